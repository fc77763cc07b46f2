#include "engine/history/commit_graph.h"

#include <algorithm>

namespace unsprawl {

CommitGraph::CommitGraph(const HistoryLog& log, std::span<const uint32_t> tips) {
  const uint32_t commits = static_cast<uint32_t>(log.commits.size());
  begin_.reserve(size_t{commits} + 1);
  begin_.push_back(0);
  for (uint32_t commit = 0; commit < commits; ++commit) {
    for (const uint32_t parent : log.Parents(commit)) {
      if (log.commits[parent].thread != HistoryLog::kUnread) parents_.push_back(parent);
    }
    begin_.push_back(static_cast<uint32_t>(parents_.size()));
  }
  SortParentsFirst();
  reachable_.assign(commits, false);
  std::vector<uint32_t> open;
  const auto reach = [&](uint32_t commit) {
    if (reachable_[commit] || log.commits[commit].thread == HistoryLog::kUnread) return;
    reachable_[commit] = true;
    open.push_back(commit);
  };
  for (const uint32_t tip : tips) reach(tip);
  while (!open.empty()) {
    const uint32_t commit = open.back();
    open.pop_back();
    for (const uint32_t parent : Parents(commit)) reach(parent);
  }
}

// Depth first without recursion: histories are millions of commits long.
void CommitGraph::SortParentsFirst() {
  const uint32_t commits = static_cast<uint32_t>(begin_.size()) - 1;
  enum : uint8_t { kNew, kOpen, kDone };
  std::vector<uint8_t> state(commits, kNew);
  struct Step {
    uint32_t commit;
    uint32_t next;  // of its parents
  };
  std::vector<Step> path;
  bool cut = false;
  order_.reserve(commits);
  generation_.assign(commits, 0);
  for (uint32_t start = 0; start < commits; ++start) {
    if (state[start] != kNew) continue;
    state[start] = kOpen;
    path.push_back({start, begin_[start]});
    while (!path.empty()) {
      const uint32_t commit = path.back().commit;
      if (path.back().next == begin_[commit + 1]) {
        state[commit] = kDone;
        order_.push_back(commit);
        path.pop_back();
        continue;
      }
      uint32_t& parent = parents_[path.back().next++];
      if (state[parent] == kNew) {
        state[parent] = kOpen;
        path.push_back({parent, begin_[parent]});
      } else if (state[parent] == kOpen) {
        parent = kNone;
        cut = true;
      }
    }
  }
  if (cut) {
    std::vector<uint32_t> kept;
    for (uint32_t commit = 0; commit < commits; ++commit) {
      const uint32_t first = static_cast<uint32_t>(kept.size());
      for (uint32_t i = begin_[commit]; i < begin_[commit + 1]; ++i) {
        if (parents_[i] != kNone) kept.push_back(parents_[i]);
      }
      begin_[commit] = first;
    }
    begin_[commits] = static_cast<uint32_t>(kept.size());
    parents_ = std::move(kept);
  }
  for (const uint32_t commit : order_) {
    for (const uint32_t parent : Parents(commit)) {
      generation_[commit] = std::max(generation_[commit], generation_[parent] + 1);
    }
  }
}

}  // namespace unsprawl
