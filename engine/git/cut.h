// Cuts what is to be walked into pieces that can be walked apart.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/git/object_store.h"

namespace unsprawl {

struct Piece {
  std::vector<ObjectNumber> objects;
  // Bytes of packs to read for it, and 200 more for each object: over the packs of git, curl and redis this
  // foretells the time of a scan best (docs/decisions.md), and it costs no inflating.
  uint64_t bytes = 0;
};

inline constexpr size_t kMaxPieces = 256;

// Cuts `wanted` (distinct numbers, any order) into about as many pieces as hold `piece_bytes` (at least 1)
// each, at most kMaxPieces; none is empty, and none at all comes of nothing. Each object is in exactly one.
//
// Whole delta trees are kept together, so that no piece needs another's bases (but for a delta whose base
// is in another pack): walking all of them visits and resolves what one walk does. No piece is larger than
// the mean aimed at by more than a sixteenth, or by its smallest tree if that is larger. Trees that lie
// together in a pack are kept together up to a sixteenth of a piece: they are read together, and another
// clone may have divided the history of a file at other places. The same packs are cut the same way.
// Thread-safe.
std::vector<Piece> CutIntoPieces(const ObjectStore& store, std::span<const ObjectNumber> wanted,
                                 uint64_t piece_bytes);

}  // namespace unsprawl
