// Which trees hold a target, directly or below, and of these only the entries that lead to one.
//
// Everything happens in memory on the changes noted by the walk. The lists of kept entries of all trees
// would be large (each version of a folder repeats most of the one before), so they are cut into
// chunks of a few entries that a tree shares with its base.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "engine/history/history_log.h"

namespace unsprawl {

// A list of entries, ascending by key; equal numbers are equal lists. 0 is the empty list.
using ListId = uint32_t;

// Immutable after construction; every method is safe from many threads.
// Memory: 4 bytes per tree; 4 per list, 4 per chunk of a list, 4 + 8 per entry for chunks not shared.
class MarkedTrees {
 public:
  MarkedTrees(const HistoryLog& log, uint32_t targets);

  // The entries of `tree` that lead to targets; 0 for kNone.
  ListId list(uint32_t tree) const { return tree == kNone ? 0 : list_of_[tree]; }
  // The child under `key`, or kNone. O(log n).
  uint32_t Find(ListId list, uint32_t key) const;
  // Calls `visit` for every entry, ascending by key.
  void ForEach(ListId list, absl::FunctionRef<void(const TreeEntry&)> visit) const;
  // Calls `visit` for every key, ascending, whose child differs; kNone stands for no such entry.
  // Skips chunks that both share.
  void ForEachDifference(ListId a, ListId b,
                         absl::FunctionRef<void(uint32_t key, uint32_t a_child, uint32_t b_child)>
                             visit) const;

  uint32_t lists() const { return static_cast<uint32_t>(list_begin_.size()) - 1; }
  uint32_t chunks() const { return static_cast<uint32_t>(chunk_begin_.size()) - 1; }
  // The chunks of a list, and the entries of a chunk.
  std::span<const uint32_t> ChunksOf(ListId list) const {
    return {chunk_refs_.data() + list_begin_[list], chunk_refs_.data() + list_begin_[list + 1]};
  }
  std::span<const TreeEntry> EntriesOf(uint32_t chunk) const {
    return {entries_.data() + chunk_begin_[chunk], entries_.data() + chunk_begin_[chunk + 1]};
  }
  size_t bytes() const;  // of memory, for the benchmark

 private:
  // The trees such that a base stands before all that is built on it, and these next to each other.
  struct Forest {
    std::vector<uint32_t> order;     // trees by position
    std::vector<uint32_t> end;       // by position: one past the last that is built on it
    std::vector<uint32_t> position;  // by tree
  };
  static Forest Plant(const HistoryLog& log);
  static std::vector<bool> Mark(const HistoryLog& log, const Forest& forest, uint32_t targets);
  ListId Build(ListId base, std::span<const TreeEntry> changes);
  bool Merge(std::span<const TreeEntry> chunk, std::span<const TreeEntry> changes);
  void AppendChunks(std::span<const TreeEntry> entries);

  std::vector<ListId> list_of_;  // by tree
  std::vector<uint64_t> list_begin_;
  std::vector<uint32_t> chunk_refs_;
  std::vector<uint64_t> chunk_begin_;
  std::vector<TreeEntry> entries_;
  std::vector<TreeEntry> merged_;  // while building
};

}  // namespace unsprawl
