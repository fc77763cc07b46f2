#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/history/commit_diff.h"
#include "engine/history/locate.h"
#include "engine/history/marked_trees.h"

namespace unsprawl {

// What a ref or HEAD leads to when its tags are peeled.
struct Tip {
  enum Kind : uint8_t { kCommit, kTree, kTarget } kind;
  uint32_t index;  // of its kind
};

// Where secrets are at the tips.
struct TipPresence {
  // By secret << 32 | path: kHead or kBranch; absent elsewhere. Paths are those of Events::paths.
  absl::flat_hash_map<uint64_t, Presence> locations;
  std::vector<bool> at_tip;      // by target: in the tree of a tip, or a tip itself
  std::vector<bool> is_tip;      // by target: a ref leads to the blob itself
  std::vector<bool> in_commit;   // by target: in the tree of any commit
  bool truncated = false;        // more than max_places folders, or too long paths: not all was seen
};

struct TipOptions {
  uint64_t max_places = 1 << 22;
};

// `head` may be null. `paths` gains the paths of the tips.
TipPresence FindAtTips(const Tip* head, std::span<const Tip> tips, const HistoryLog& log,
                       const MarkedTrees& trees, std::span<const std::span<const uint32_t>> secrets,
                       const TipOptions& options, PathTable& paths);

}  // namespace unsprawl
