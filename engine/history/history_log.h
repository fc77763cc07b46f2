// What one pass over all commits, trees and tags leaves in memory: about 20 bytes per object of the
// repository, in arrays indexed by dense numbers (see "Memory" below).
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/git/object_store.h"
#include "engine/history/string_table.h"
#include "engine/history/word_pool.h"

namespace unsprawl {

// Dense numbers: commits, trees and tags are each numbered from 0; targets as in the request.
inline constexpr uint32_t kNone = UINT32_MAX;

// What an object of the store is to locating.
enum class NodeKind : uint8_t { kOther = 0, kCommit = 1, kTree = 2, kTag = 3, kTarget = 4 };

struct Node {
  NodeKind kind;
  uint32_t index;  // of its kind
};

// Numbers the objects of `store` by kind, and finds them by id with two memory accesses where
// ObjectStore::Find searches every pack. But for ReleaseIndex safe from many threads.
// Memory: 4 bytes per object, 4 per commit, tree and tag, and 5.4 per object for finding, which can be
// given back.
class NodeTable {
 public:
  static constexpr uint32_t kMaxObjects = (1u << 29) - 1;

  // `targets` are distinct; those that the store lacks are passed over. Made on up to `threads` threads.
  NodeTable(const ObjectStore& store, std::span<const ObjectId> targets, int threads);

  // The number of `id`, or kNoObject.
  ObjectNumber Find(const ObjectId& id) const;
  // The same for many ids: several times as fast, since the memory accesses do not wait for each other.
  void FindAll(std::span<const ObjectId> ids, std::vector<ObjectNumber>* objects) const;
  // Gives back what makes Find fast; it then asks the store.
  void ReleaseIndex() { slots_ = {}; }
  Node at(ObjectNumber object) const {
    return {static_cast<NodeKind>(nodes_[object] >> 29), nodes_[object] & kMaxObjects};
  }
  uint32_t commits() const { return commits_; }
  uint32_t trees() const { return trees_; }
  uint32_t tags() const { return static_cast<uint32_t>(numbers_.size()) - commits_ - trees_; }
  ObjectNumber commit(uint32_t index) const { return numbers_[index]; }
  ObjectNumber tree(uint32_t index) const { return numbers_[commits_ + index]; }
  ObjectNumber tag(uint32_t index) const { return numbers_[commits_ + trees_ + index]; }
  // All commits, trees, and tags.
  std::span<const ObjectNumber> numbers() const { return numbers_; }

 private:
  struct Place {
    uint64_t slot;
    uint32_t tag;  // three bits more of the hash, where a slot has room for them
  };
  Place PlaceOf(const ObjectId& id) const;
  // The first object at or after `place` that may be the one sought, or kNoObject.
  ObjectNumber Candidate(Place& place) const {
    for (;; place.slot = Next(place.slot)) {
      const uint32_t slot = slots_[place.slot];
      if (slot == kNone) return kNoObject;
      if (slot >> 29 == place.tag) return slot & kMaxObjects;
    }
  }
  uint64_t Next(uint64_t slot) const { return slot + 1 == slots_.size() ? 0 : slot + 1; }
  void Number(NodeKind kind);
  void BuildIndex(int threads);

  const ObjectStore& store_;
  std::vector<uint32_t> nodes_;
  std::vector<ObjectNumber> numbers_;
  uint32_t commits_ = 0, trees_ = 0;
  std::vector<uint32_t> slots_;  // open addressing: tag << 29 | object, or kNone
  uint64_t multipliers_[2] = {1, 1};  // random: nobody can choose ids that collide
};

// Equality without a call: twenty bytes are three loads.
inline bool SameId(const ObjectId& a, const ObjectId& b) {
  uint64_t x[2], y[2];
  uint32_t u, v;
  std::memcpy(x, a.bytes.data(), sizeof(x));
  std::memcpy(y, b.bytes.data(), sizeof(y));
  std::memcpy(&u, a.bytes.data() + 16, sizeof(u));
  std::memcpy(&v, b.bytes.data() + 16, sizeof(v));
  return x[0] == y[0] && x[1] == y[1] && u == v;
}

// An entry of a tree that matters: a folder, or a blob that is a target.
struct TreeEntry {
  uint32_t key;    // number of its name * 2, + 1 for a folder: unique within a tree
  uint32_t child;  // tree or target; kNone in a change that takes the entry away
};

// Objects that are named but unusable. The distinct ones are counted, the smallest ids are listed: the
// same for every packing and number of threads.
class SkipLog {
 public:
  static constexpr size_t kMaxListed = 1000;

  void Add(const ObjectId& id, ObjectType type, ObjectFault fault, std::string_view detail);
  void Merge(SkipLog&& other);
  uint64_t CountDistinct();
  std::vector<ObjectSkip> List();

 private:
  void Compact();
  void CompactListed();

  std::vector<uint64_t> seen_;  // first eight bytes of ids, compacted now and then: 8-16 bytes each
  size_t compact_at_ = 4096;
  std::vector<ObjectSkip> listed_;
  std::optional<ObjectId> last_listed_;  // set when the list is full: larger ids need not be noted
};

// What one thread of the walk noted. A run of words in `pool` is, of a
//   commit: number of parents, parents, number of co-authors, co-authors (numbers in `identities`)
//   tree:   number of changes, then key and child of each, ascending by key
struct ThreadLog {
  WordPool pool;
  StringTable names;        // of tree entries; a duplicate in one tree is "name\0ordinal"
  StringTable identities;   // "name\0email"
  SkipLog skips;
  std::vector<uint64_t> gitlinks;  // first eight bytes of ids
  bool left_out = false;           // entries of some tree: of too long a name, or one too many in no order
};

// Memory: 33 bytes per commit plus its words; 9 per tree plus its words.
struct HistoryLog {
  static constexpr uint8_t kUnread = 0xff;

  HistoryLog(const NodeTable& nodes, int thread_count);

  struct Commit {
    int64_t author_time = 0;
    int64_t committer_time = 0;
    uint32_t tree = kNone;
    uint32_t author = 0;
    uint32_t words = 0;  // in the pool
    int16_t author_offset = 0;
    uint8_t thread = kUnread;  // whose log holds author and words
  };
  std::vector<Commit> commits;

  // A tree is what its base is, changed.
  std::vector<uint32_t> tree_base;   // kNone: the changes are all of it
  std::vector<uint32_t> tree_words;
  std::vector<uint8_t> tree_thread;  // kUnread: the tree holds nothing
  std::vector<ObjectId> tag_targets;
  std::vector<uint8_t> tag_read;
  std::vector<ThreadLog> threads;

  std::span<const TreeEntry> Changes(uint32_t tree) const {
    if (tree_thread[tree] == kUnread) return {};
    const uint32_t* words = threads[tree_thread[tree]].pool.At(tree_words[tree]);
    return {reinterpret_cast<const TreeEntry*>(words + 1), words[0]};
  }
  std::span<const uint32_t> Parents(uint32_t commit) const {
    const Commit& row = commits[commit];
    if (row.thread == kUnread) return {};
    const uint32_t* words = threads[row.thread].pool.At(row.words);
    return {words + 1, words[0]};
  }
  std::span<const uint32_t> CoAuthors(uint32_t commit) const {
    const std::span<const uint32_t> parents = Parents(commit);
    if (commits[commit].thread == kUnread) return {};
    return {parents.data() + parents.size() + 1, parents.data()[parents.size()]};
  }

  // Renumbers the names of all threads as one: ascending bytewise, so that results do not depend on
  // which thread saw what. Call once, after the walk.
  void UnifyNames(int thread_count);
  std::vector<std::string_view> names;  // by number, after UnifyNames
};

}  // namespace unsprawl
