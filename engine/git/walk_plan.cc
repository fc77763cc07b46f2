#include "engine/git/walk_plan.h"

#include <algorithm>

namespace unsprawl {
namespace {

constexpr uint32_t kLoosePerTask = 32;

}  // namespace

WalkPlan::WalkPlan(const ObjectStore::Impl& store, std::span<const ObjectNumber> wanted)
    : needs_(store.packs.size()) {
  Mark(store, wanted);
  for (uint32_t pack = 0; pack < needs_.size(); ++pack) {
    if (!needs_[pack].empty()) AddUp(*store.packs[pack], needs_[pack]);
  }
  ListTasks(store);
}

void WalkPlan::Mark(const ObjectStore::Impl& store, std::span<const ObjectNumber> wanted) {
  for (const ObjectNumber object : wanted) {
    const StoredCopy copy = store.CopyOf(object);
    if (store.TypeOfCopy(copy) == ObjectType::kUnknown) {
      unreadable_.push_back(copy);
    } else if (copy.is_loose()) {
      loose_.push_back(copy);
    } else {
      std::vector<uint32_t>& needs = needs_[copy.pack];
      if (needs.empty()) needs.assign(store.packs[copy.pack]->size(), 0);
      needs[copy.entry] = 3;
    }
  }
}

// Adds every tree's count to its base's, deltas before bases.
void WalkPlan::AddUp(const PackForest& forest, std::vector<uint32_t>& needs) {
  const auto add_to_base = [&](uint32_t entry) {
    const uint32_t base = forest.base(entry);
    if (base < PackForest::kOutside) needs[base] += needs[entry] & ~1u;
  };
  if (!forest.has_forward_bases()) {
    for (uint32_t entry = forest.size(); entry-- > 0;) add_to_base(entry);
    return;
  }
  // Visit each tree's entries after their children, along the links: down, then right, then up.
  for (uint32_t root = 0; root < forest.size(); ++root) {
    if (forest.base(root) < PackForest::kOutside || !IsReadable(forest.state(root))) continue;
    uint32_t entry = root;
    while (forest.first_child(entry) != PackForest::kNone) entry = forest.first_child(entry);
    while (entry != root) {
      add_to_base(entry);
      uint32_t next = forest.next_sibling(entry);
      if (next == PackForest::kNone) {
        entry = forest.base(entry);
        continue;
      }
      while (forest.first_child(next) != PackForest::kNone) next = forest.first_child(next);
      entry = next;
    }
  }
}

void WalkPlan::ListTasks(const ObjectStore::Impl& store) {
  uint64_t total = 0;
  for (uint32_t pack = 0; pack < needs_.size(); ++pack) {
    if (needs_[pack].empty()) continue;
    const PackForest& forest = *store.packs[pack];
    for (uint32_t entry = 0; entry < forest.size(); ++entry) {
      if (forest.base(entry) < PackForest::kOutside || CountWanted(pack, entry) == 0) continue;
      tasks_.push_back({WalkTask::Kind::kTree, pack, entry, CountWanted(pack, entry)});
      total += tasks_.back().count;
    }
  }
  const uint64_t heavy = std::max<uint64_t>(total / 1024, 64);
  const auto light_begin = std::stable_partition(
      tasks_.begin(), tasks_.end(), [heavy](const WalkTask& task) { return task.count >= heavy; });
  std::stable_sort(tasks_.begin(), light_begin,
                   [](const WalkTask& a, const WalkTask& b) { return a.count > b.count; });
  const auto add_lists = [this](WalkTask::Kind kind, size_t size) {
    for (uint32_t begin = 0; begin < size; begin += kLoosePerTask) {
      const uint32_t count = std::min(kLoosePerTask, static_cast<uint32_t>(size) - begin);
      tasks_.push_back({kind, 0, begin, count});
    }
  };
  add_lists(WalkTask::Kind::kLoose, loose_.size());
  add_lists(WalkTask::Kind::kUnreadable, unreadable_.size());
}

}  // namespace unsprawl
