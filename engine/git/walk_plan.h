#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/git/object_store_impl.h"

namespace unsprawl {

// A piece of a walk that one thread takes at a time: a delta tree, some loose objects, or some objects
// that cannot be read.
struct WalkTask {
  enum class Kind : uint8_t { kTree, kLoose, kUnreadable };
  Kind kind;
  uint32_t pack;    // kTree
  uint32_t begin;   // kTree: entry of the root; else first index into WalkPlan::loose or ::unreadable
  uint32_t count;   // wanted objects in it
};

// What must be touched to show the wanted objects. 4 bytes of memory for each entry of a pack that
// holds one of them. Immutable once made; read by all threads.
class WalkPlan {
 public:
  WalkPlan(const ObjectStore::Impl& store, std::span<const ObjectNumber> wanted);

  // In the order in which to take them: heavy trees first, so that none is left to one thread at the
  // end, then by place in the pack, so that a cold disk is read ahead.
  const std::vector<WalkTask>& tasks() const { return tasks_; }
  const std::vector<StoredCopy>& loose() const { return loose_; }
  const std::vector<StoredCopy>& unreadable() const { return unreadable_; }

  bool IsWanted(uint32_t pack, uint32_t entry) const { return needs_[pack][entry] & 1; }
  // Wanted entries in the tree below and with `entry`.
  uint32_t CountWanted(uint32_t pack, uint32_t entry) const { return needs_[pack][entry] >> 1; }

 private:
  void Mark(const ObjectStore::Impl& store, std::span<const ObjectNumber> wanted);
  void AddUp(const PackForest& forest, std::vector<uint32_t>& needs);
  void ListTasks(const ObjectStore::Impl& store);

  // By pack, empty where nothing is wanted; by entry: twice the count of wanted ones in its tree, plus
  // one if it is wanted itself.
  std::vector<std::vector<uint32_t>> needs_;
  std::vector<WalkTask> tasks_;
  std::vector<StoredCopy> loose_, unreadable_;
};

}  // namespace unsprawl
