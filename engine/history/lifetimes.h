// From single events to lives: which removal ends which introduction, and where it moved in between.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/history/commit_diff.h"

namespace unsprawl {

// One introduction and what became of it.
struct Life {
  uint32_t secret;
  uint32_t target;                  // the blob that introduced it
  uint32_t commit;
  std::vector<uint32_t> paths;      // at introduction, then those it moved to, in the events' order
  std::vector<uint32_t> removals;   // commits, in the events' order
};

// An event that takes a secret from a path belongs to every introduction from which it can be reached
// along commits that all hold the secret at that path; a move hands the introductions it takes over to
// the new path. What unreachable commits remove is noted for introductions in unreachable ones only.
// Lives are in the order of `events`.
//
// Where a location has a single introduction or move to it, that is the one; only the others are
// followed through the graph, 64 at a time in one sweep of it.
std::vector<Life> FollowEvents(const Events& events, const HistoryLog& log, const CommitGraph& graph,
                               const MarkedTrees& trees,
                               std::span<const std::span<const uint32_t>> secrets);

}  // namespace unsprawl
