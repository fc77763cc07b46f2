#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/history/history_log.h"

namespace unsprawl {

// The commits of a repository and their parents. Immutable after construction; safe from many threads.
// Memory: 16 bytes per commit and 4 per parent.
//
// Parents that are missing or damaged are none. A cycle, which only a forged pack can hold, is cut at
// one of its parents.
class CommitGraph {
 public:
  // `tips`: the commits that refs and HEAD lead to.
  CommitGraph(const HistoryLog& log, std::span<const uint32_t> tips);

  uint32_t size() const { return static_cast<uint32_t>(order_.size()); }
  std::span<const uint32_t> Parents(uint32_t commit) const {
    return {parents_.data() + begin_[commit], parents_.data() + begin_[commit + 1]};
  }
  // All commits, parents before their children.
  std::span<const uint32_t> order() const { return order_; }
  // Length of the longest chain of parents below: smaller than that of any child.
  uint32_t generation(uint32_t commit) const { return generation_[commit]; }
  bool reachable(uint32_t commit) const { return reachable_[commit]; }

 private:
  void SortParentsFirst();

  std::vector<uint32_t> begin_, parents_;
  std::vector<uint32_t> order_;
  std::vector<uint32_t> generation_;
  std::vector<bool> reachable_;
};

}  // namespace unsprawl
