// Reads trees as deltas of trees: only the entries that a delta touched are parsed and looked up, all
// others are taken over from the base.
//
// Why this is exact: an entry that lies wholly within a copy, and begins at a byte where an entry of
// the base begins, is that entry of the base. Every distinct entry of a repository is so seen at least
// once, in the first tree that has it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/git/walk.h"
#include "engine/history/history_log.h"
#include "engine/history/tree_entry.h"

namespace unsprawl {

// One per thread of the walk; not thread-safe.
class TreeReader {
 public:
  TreeReader(const ObjectStore& store, const NodeTable& nodes, ThreadLog& log);

  // Notes the change from `object`'s base in the log, and for entries seen for the first time what is
  // missing or a submodule. `tree` is the dense number of the object. Sets `base` to that of the tree
  // which the noted change builds on, or kNone. Returns the handle of its words in the pool.
  // A malformed tree counts up to its first bad byte and is a skip.
  uint32_t Read(const WalkedObject& object, uint32_t tree, uint32_t& base);
  // Says that the object in `slot` is not read: deltas upon it are read whole.
  void Forget(uint32_t slot) { At(slot).tree = kNone; }

 private:
  // An entry that matters, in a live tree.
  struct Kept {
    uint32_t entry;  // its place among all entries
    uint32_t key;
    uint32_t child;
  };
  // Where the entries of a tree begin, in bytes: ascending. Half of the time spent on trees goes into
  // taking starts over from the base, so they are neither cleared nor checked one by one.
  class Starts {
   public:
    uint32_t size() const { return size_; }
    uint32_t operator[](uint32_t i) const { return values_[i]; }
    uint32_t back() const { return values_[size_ - 1]; }
    void clear() { size_ = 0; }
    void Add(uint32_t value) {
      if (size_ == capacity_) Grow(size_ + 1);
      values_[size_++] = value;
    }
    // Appends base[begin, end), each plus `shift` (modulo 2^32).
    void AddShifted(const Starts& base, uint32_t begin, uint32_t end, uint32_t shift);
    // The first index at or after `from` whose value is at least `value`; size() if there is none.
    uint32_t LowerBound(uint32_t from, uint64_t value) const;

   private:
    void Grow(uint32_t size);

    std::unique_ptr<uint32_t[]> values_;
    uint32_t size_ = 0, capacity_ = 0;
  };
  // What is remembered of a tree while deltas upon it may still come.
  struct Live {
    uint32_t tree = kNone;
    bool sorted = true;      // strictly, as git sorts: then no name comes twice
    Starts starts;           // of every entry; then the end of the last
    std::vector<Kept> kept;  // ascending by entry
  };
  // An entry that is not taken over from the base.
  struct NewEntry {
    std::string_view name;
    ObjectId id;
    uint32_t entry;  // its place among all entries
    bool folder;
    ObjectNumber object;
  };
  struct Cached {
    ObjectId id;
    ObjectNumber object = kNoObject;
    bool known = false;
  };

  void Assemble(const WalkedObject& object, const Live* base, Live& live);
  bool ParseNew(std::string_view content, Live& live);
  bool Inherit(std::string_view content, const Live& base, uint64_t limit, uint64_t base_at, Live& live);
  void CheckOrder(std::string_view content, const ParsedTreeEntry& entry, Live& live);
  void Note(const ParsedTreeEntry& entry, uint32_t at);
  void LookUpNew();
  void KeepNew(Live& live);
  uint32_t NoteChange();
  uint32_t NoteAll(Live& live);
  uint32_t Write(std::span<const TreeEntry> changes);
  Live& At(uint32_t slot);

  const ObjectStore& store_;
  const NodeTable& nodes_;
  ThreadLog& log_;
  std::deque<Live> lives_;     // by slot; addresses stay
  std::vector<Cached> cache_;  // direct-mapped: folders of one place share most of their entries

  // Of the tree being read.
  size_t at_ = 0;              // bytes read
  ParsedTreeEntry before_;     // the entry before `at_`; without an id when it was taken over unparsed
  bool follows_ = true;        // the entry at `at_` followed the one before it in the base too
  uint32_t base_next_ = 0;     // entry of the base after the last inherited one
  size_t base_kept_ = 0;       // first of the base's kept that was neither inherited nor lost
  std::vector<NewEntry> new_;      // ascending by entry
  std::vector<uint32_t> sought_;   // those of new_ that are not in cache_ …
  std::vector<ObjectId> sought_ids_;
  std::vector<ObjectNumber> found_;
  std::vector<Kept> kept_;         // those of new_ that matter
  std::vector<uint32_t> lost_;     // keys of the base's kept entries that are not inherited
  std::vector<TreeEntry> added_;   // kept entries that are new
  std::vector<TreeEntry> all_;     // of an unsorted tree
};

}  // namespace unsprawl
