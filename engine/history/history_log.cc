#include "engine/history/history_log.h"

#include <sys/auxv.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "engine/git/parallel.h"

namespace unsprawl {
namespace {

uint64_t Prefix(const ObjectId& id) {
  uint64_t prefix;
  std::memcpy(&prefix, id.bytes.data(), sizeof(prefix));
  return prefix;
}

constexpr uint64_t kObjectsAtOnce = 1 << 15;

NodeKind KindOf(ObjectType type) {
  switch (type) {
    case ObjectType::kCommit: return NodeKind::kCommit;
    case ObjectType::kTree: return NodeKind::kTree;
    case ObjectType::kTag: return NodeKind::kTag;
    default: return NodeKind::kOther;
  }
}

bool Before(const ObjectSkip& a, const ObjectSkip& b) {
  if (a.id != b.id) return a.id < b.id;
  if (a.fault != b.fault) return a.fault < b.fault;
  return a.type != b.type ? a.type < b.type : a.detail < b.detail;
}

}  // namespace

NodeTable::NodeTable(const ObjectStore& store, std::span<const ObjectId> targets, int threads)
    : store_(store), nodes_(store.size(), 0) {
  ParallelFor(threads, store.size(), kObjectsAtOnce, [&](uint64_t begin, uint64_t end) {
    for (uint64_t object = begin; object < end; ++object) {
      const NodeKind kind = KindOf(store.type(static_cast<ObjectNumber>(object)));
      nodes_[object] = static_cast<uint32_t>(kind) << 29;
    }
  });
  Number(NodeKind::kCommit);
  commits_ = static_cast<uint32_t>(numbers_.size());
  Number(NodeKind::kTree);
  trees_ = static_cast<uint32_t>(numbers_.size()) - commits_;
  Number(NodeKind::kTag);
  numbers_.shrink_to_fit();
  BuildIndex(threads);
  for (uint32_t i = 0; i < targets.size(); ++i) {
    const ObjectNumber object = Find(targets[i]);
    if (object == kNoObject || at(object).kind != NodeKind::kOther) continue;
    nodes_[object] = static_cast<uint32_t>(NodeKind::kTarget) << 29 | i;
  }
}

void NodeTable::Number(NodeKind kind) {
  uint32_t index = 0;
  for (ObjectNumber object = 0; object < nodes_.size(); ++object) {
    if (at(object).kind != kind) continue;
    nodes_[object] |= index++;
    numbers_.push_back(object);
  }
}

NodeTable::Place NodeTable::PlaceOf(const ObjectId& id) const {
  // All twenty bytes, each part times a secret number of its own.
  uint64_t parts[2];
  uint32_t rest;
  std::memcpy(parts, id.bytes.data(), sizeof(parts));
  std::memcpy(&rest, id.bytes.data() + sizeof(parts), sizeof(rest));
  const auto fold = [](uint64_t a, uint64_t b) {
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
  };
  const uint64_t hash = fold(fold(parts[0] ^ multipliers_[0], parts[1] ^ multipliers_[1]) ^ rest, multipliers_[0]);
  const uint64_t slot = static_cast<uint64_t>(static_cast<unsigned __int128>(hash) * slots_.size() >> 64);
  return {slot, static_cast<uint32_t>(hash & 7)};
}

void NodeTable::BuildIndex(int threads) {
  // Sixteen random bytes that the kernel gave the process when it began: no system call is needed.
  if (const unsigned long random = getauxval(AT_RANDOM); random != 0) {
    std::memcpy(multipliers_, reinterpret_cast<const void*>(random), sizeof(multipliers_));
  }
  multipliers_[0] |= 1;
  slots_.assign(size_t{store_.size()} + store_.size() / 3 + 16, kNone);  // three quarters full
  // Where two threads want one slot, the one that comes second takes the next: any order will do.
  ParallelFor(threads, store_.size(), kObjectsAtOnce, [&](uint64_t begin, uint64_t end) {
    for (uint64_t object = begin; object < end; ++object) {
      if (!store_.IsKept(static_cast<ObjectNumber>(object))) continue;
      Place place = PlaceOf(store_.id(static_cast<ObjectNumber>(object)));
      const uint32_t entry = place.tag << 29 | static_cast<uint32_t>(object);
      for (uint32_t empty = kNone;
           !std::atomic_ref(slots_[place.slot]).compare_exchange_strong(empty, entry, std::memory_order_relaxed);
           empty = kNone) {
        place.slot = Next(place.slot);
      }
    }
  });
}

ObjectNumber NodeTable::Find(const ObjectId& id) const {
  if (slots_.empty()) return store_.Find(id).value_or(kNoObject);
  for (Place place = PlaceOf(id);; place.slot = Next(place.slot)) {
    const ObjectNumber object = Candidate(place);
    if (object == kNoObject || SameId(store_.id(object), id)) return object;
  }
}

void NodeTable::FindAll(std::span<const ObjectId> ids, std::vector<ObjectNumber>* objects) const {
  constexpr size_t kAtOnce = 32;
  objects->resize(ids.size());
  for (size_t begin = 0; begin < ids.size(); begin += kAtOnce) {
    const size_t end = std::min(ids.size(), begin + kAtOnce);
    if (!slots_.empty()) {
      Place places[kAtOnce];
      for (size_t i = begin; i < end; ++i) {
        places[i - begin] = PlaceOf(ids[i]);
        __builtin_prefetch(&slots_[places[i - begin].slot]);
      }
      for (size_t i = begin; i < end; ++i) (*objects)[i] = Candidate(places[i - begin]);
    }
    ObjectId stored[kAtOnce];
    for (size_t i = begin; i < end; ++i) {
      if ((*objects)[i] != kNoObject && !slots_.empty()) stored[i - begin] = store_.id((*objects)[i]);
    }
    for (size_t i = begin; i < end; ++i) {
      if (slots_.empty() || ((*objects)[i] != kNoObject && !SameId(stored[i - begin], ids[i]))) {
        (*objects)[i] = Find(ids[i]);
      }
    }
  }
}

void SkipLog::Add(const ObjectId& id, ObjectType type, ObjectFault fault, std::string_view detail) {
  seen_.push_back(Prefix(id));
  if (seen_.size() >= compact_at_) Compact();
  if (last_listed_ && *last_listed_ < id) return;
  listed_.push_back({.id = id, .type = type, .fault = fault, .object_bytes = 0,
                     .detail = std::string(detail)});
  if (listed_.size() >= 2 * kMaxListed) CompactListed();
}

void SkipLog::Compact() {
  std::sort(seen_.begin(), seen_.end());
  seen_.erase(std::unique(seen_.begin(), seen_.end()), seen_.end());
  compact_at_ = std::max<size_t>(4096, 2 * seen_.size());
}

void SkipLog::CompactListed() {
  std::sort(listed_.begin(), listed_.end(), Before);
  listed_.erase(std::unique(listed_.begin(), listed_.end(),
                            [](const ObjectSkip& a, const ObjectSkip& b) { return a.id == b.id; }),
                listed_.end());
  if (listed_.size() < kMaxListed) return;
  listed_.resize(kMaxListed);
  last_listed_ = listed_.back().id;
}

void SkipLog::Merge(SkipLog&& other) {
  seen_.insert(seen_.end(), other.seen_.begin(), other.seen_.end());
  listed_.insert(listed_.end(), std::make_move_iterator(other.listed_.begin()),
                 std::make_move_iterator(other.listed_.end()));
  Compact();
  CompactListed();
}

uint64_t SkipLog::CountDistinct() {
  Compact();
  return seen_.size();
}

std::vector<ObjectSkip> SkipLog::List() {
  CompactListed();
  return listed_;
}

HistoryLog::HistoryLog(const NodeTable& nodes, int thread_count)
    : commits(nodes.commits()),
      tree_base(nodes.trees(), kNone),
      tree_words(nodes.trees(), 0),
      tree_thread(nodes.trees(), kUnread),
      tag_targets(nodes.tags()),
      tag_read(nodes.tags(), 0),
      threads(static_cast<size_t>(thread_count)) {}

void HistoryLog::UnifyNames(int thread_count) {
  for (const ThreadLog& log : threads) {
    for (uint32_t i = 0; i < log.names.size(); ++i) names.push_back(log.names.at(i));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::vector<std::vector<uint32_t>> renumbered(threads.size());
  for (size_t t = 0; t < threads.size(); ++t) {
    renumbered[t].resize(threads[t].names.size());
    for (uint32_t i = 0; i < renumbered[t].size(); ++i) {
      const auto at = std::lower_bound(names.begin(), names.end(), threads[t].names.at(i));
      renumbered[t][i] = static_cast<uint32_t>(at - names.begin());
    }
  }
  ParallelFor(thread_count, tree_thread.size(), 4096, [&](uint64_t begin, uint64_t end) {
    for (uint64_t tree = begin; tree < end; ++tree) {
      const uint8_t thread = tree_thread[tree];
      if (thread == kUnread) continue;
      uint32_t* words = threads[thread].pool.At(tree_words[tree]);
      TreeEntry* changes = reinterpret_cast<TreeEntry*>(words + 1);
      for (uint32_t i = 0; i < words[0]; ++i) {
        changes[i].key = renumbered[thread][changes[i].key >> 1] << 1 | (changes[i].key & 1);
      }
      std::sort(changes, changes + words[0],
                [](const TreeEntry& a, const TreeEntry& b) { return a.key < b.key; });
    }
  });
}

}  // namespace unsprawl
