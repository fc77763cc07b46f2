#include "engine/history/tree_reader.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr size_t kCacheSlots = 1 << 14;
// Of a tree whose entries are not sorted, which no git writes, at most so many folders are followed:
// such trees are noted whole, and a pack of deltas on a large one must not fill the memory.
constexpr size_t kMaxUnsortedEntries = 4096;

// Whether git sorts `a` before `b`: folders as if their names ended in a slash.
bool SortsBefore(const ParsedTreeEntry& a, const ParsedTreeEntry& b) {
  const size_t common = std::min(a.name.size(), b.name.size());
  const int order = std::memcmp(a.name.data(), b.name.data(), common);
  if (order != 0) return order < 0;
  const auto next = [common](const ParsedTreeEntry& entry) {
    if (common < entry.name.size()) return static_cast<unsigned char>(entry.name[common]);
    return static_cast<unsigned char>(entry.IsFolder() ? '/' : '\0');
  };
  return next(a) < next(b);
}

}  // namespace

TreeReader::TreeReader(const ObjectStore& store, const NodeTable& nodes, ThreadLog& log)
    : store_(store), nodes_(nodes), log_(log), cache_(kCacheSlots) {}

TreeReader::Live& TreeReader::At(uint32_t slot) {
  if (slot >= lives_.size()) lives_.resize(slot + 1);
  return lives_[slot];
}

uint32_t TreeReader::Read(const WalkedObject& object, uint32_t tree, uint32_t& base) {
  Live& live = At(object.slot);
  const Live* from = object.base_slot >= 0 ? &At(static_cast<uint32_t>(object.base_slot)) : nullptr;
  if (from != nullptr && (!from->sorted || from->tree == kNone)) from = nullptr;
  Assemble(object, from, live);
  if (!live.sorted && from != nullptr) {
    Assemble(object, nullptr, live);
    from = nullptr;
  }
  live.tree = tree;
  if (!object.wanted) return kNone;
  base = from != nullptr ? from->tree : kNone;
  if (at_ < object.content.size()) {
    log_.skips.Add(store_.id(object.number), ObjectType::kTree, ObjectFault::kDamaged,
                   absl::StrFormat("no valid tree entry at byte %d of %d", at_, object.content.size()));
  }
  return live.sorted ? NoteChange() : NoteAll(live);
}

void TreeReader::Assemble(const WalkedObject& object, const Live* base, Live& live) {
  const std::string_view content = object.content;
  live.sorted = true;
  live.starts.clear();
  live.kept.clear();
  lost_.clear();
  added_.clear();
  at_ = previous_ = base_kept_ = base_next_ = 0;
  follows_ = true;
  bool valid = true;
  if (base != nullptr) {
    for (const CopyRun& run : object.copies) {
      const uint64_t end = run.offset + run.length;
      while (valid && at_ < end) {
        if (at_ >= run.offset && Inherit(content, *base, run.base_offset + run.length,
                                         run.base_offset + (at_ - run.offset), live)) {
          continue;
        }
        valid = ParseNew(content, live);
      }
    }
    for (; base_kept_ < base->kept.size(); ++base_kept_) lost_.push_back(base->kept[base_kept_].key);
  }
  while (valid && at_ < content.size()) valid = ParseNew(content, live);
  live.starts.push_back(static_cast<uint32_t>(at_));
}

// Takes over the base's entries from its byte `base_at` on that end at or before its byte `limit`.
// False: no entry begins there, or it is not whole.
bool TreeReader::Inherit(std::string_view content, const Live& base, uint64_t limit, uint64_t base_at,
                         Live& live) {
  const std::vector<uint32_t>& starts = base.starts;
  const auto first = std::lower_bound(starts.begin(), starts.end(), base_at);
  if (first == starts.end() || *first != base_at) return false;
  const auto last = std::upper_bound(first, starts.end(), limit) - 1;
  if (last <= first) return false;
  const uint32_t begin = static_cast<uint32_t>(first - starts.begin());
  const uint32_t end = static_cast<uint32_t>(last - starts.begin());
  if (begin != base_next_) follows_ = false;
  CheckOrder(content, at_, live);
  if (begin < base_next_) live.sorted = false;

  const uint32_t before = static_cast<uint32_t>(live.starts.size());
  const uint32_t shift = static_cast<uint32_t>(at_) - *first;  // wraps, and wraps back
  live.starts.resize(before + (end - begin));
  for (uint32_t i = begin; i < end; ++i) live.starts[before + (i - begin)] = starts[i] + shift;
  for (; base_kept_ < base.kept.size() && base.kept[base_kept_].entry < begin; ++base_kept_) {
    lost_.push_back(base.kept[base_kept_].key);
  }
  for (; base_kept_ < base.kept.size() && base.kept[base_kept_].entry < end; ++base_kept_) {
    const Kept& kept = base.kept[base_kept_];
    live.kept.push_back({kept.entry - begin + before, kept.key, kept.child});
  }
  base_next_ = end;
  previous_ = live.starts.back();
  at_ += *last - *first;
  follows_ = true;
  return true;
}

bool TreeReader::ParseNew(std::string_view content, Live& live) {
  ParsedTreeEntry entry;
  if (!ParseTreeEntry(content, at_, entry)) return false;
  follows_ = false;
  CheckOrder(content, at_, live);
  Keep(entry, live);
  live.starts.push_back(static_cast<uint32_t>(at_));
  previous_ = at_;
  at_ = entry.next;
  return true;
}

// Compares the entry at `at` with the one before it, unless they followed each other in the base.
void TreeReader::CheckOrder(std::string_view content, size_t at, Live& live) {
  if (follows_ || live.starts.empty()) return;
  ParsedTreeEntry before, entry;
  if (!ParseTreeEntry(content, previous_, before) || !ParseTreeEntry(content, at, entry) ||
      !SortsBefore(before, entry)) {
    live.sorted = false;
  }
}

// Looks a new entry up, and keeps it if it is a folder or a target.
void TreeReader::Keep(const ParsedTreeEntry& entry, Live& live) {
  const ObjectId id = ObjectId::FromRaw(entry.id);
  if (entry.IsGitlink()) {
    uint64_t prefix;
    std::memcpy(&prefix, entry.id, sizeof(prefix));
    log_.gitlinks.push_back(prefix);
    return;
  }
  const bool folder = entry.IsFolder();
  const ObjectNumber object = Lookup(id);
  if (object == kNoObject) {
    log_.skips.Add(id, folder ? ObjectType::kTree : ObjectType::kBlob, ObjectFault::kMissing,
                   "named by a tree, stored nowhere");
    return;
  }
  const Node node = nodes_.at(object);
  const bool fits = folder ? node.kind == NodeKind::kTree
                           : node.kind == NodeKind::kOther || node.kind == NodeKind::kTarget;
  if (!fits) {
    log_.skips.Add(id, store_.type(object), ObjectFault::kDamaged,
                   folder ? "named as a folder, but it is none" : "named as a file, but it is none");
    return;
  }
  if (node.kind == NodeKind::kOther) return;
  const uint32_t key = log_.names.Add(entry.name) << 1 | (folder ? 1 : 0);
  live.kept.push_back({static_cast<uint32_t>(live.starts.size()), key, node.index});
  added_.push_back({key, node.index});
}

ObjectNumber TreeReader::Lookup(const ObjectId& id) {
  uint32_t hash;
  std::memcpy(&hash, id.bytes.data(), sizeof(hash));
  Cached& cached = cache_[hash % kCacheSlots];
  if (!cached.known || cached.id != id) {
    cached = {id, store_.Find(id).value_or(kNoObject), true};
  }
  return cached.object;
}

// A key that is both lost and added is changed.
uint32_t TreeReader::NoteChange() {
  const auto by_key = [](const TreeEntry& a, const TreeEntry& b) { return a.key < b.key; };
  std::sort(added_.begin(), added_.end(), by_key);
  const size_t added = added_.size();
  for (const uint32_t key : lost_) {
    const auto end = added_.begin() + static_cast<ptrdiff_t>(added);
    const auto at = std::lower_bound(added_.begin(), end, TreeEntry{key, 0}, by_key);
    if (at == end || at->key != key) added_.push_back({key, kNone});
  }
  return Write(added_);
}

// Notes an unsorted tree whole. Entries of one name are told apart by an ordinal after a zero byte,
// which no name contains.
uint32_t TreeReader::NoteAll(Live& live) {
  all_.clear();
  for (const Kept& kept : live.kept) {
    if (all_.size() == kMaxUnsortedEntries) {
      log_.skips.Add(store_.id(nodes_.tree(live.tree)), ObjectType::kTree, ObjectFault::kDamaged,
                     "unsorted entries: only the first 4,096 folders and hits were followed");
      break;
    }
    all_.push_back({kept.key, kept.child});
  }
  std::stable_sort(all_.begin(), all_.end(),
                   [](const TreeEntry& a, const TreeEntry& b) { return a.key < b.key; });
  uint32_t ordinal = 0, key = kNone;
  for (TreeEntry& entry : all_) {
    ordinal = entry.key == key ? ordinal + 1 : 0;
    key = entry.key;
    if (ordinal == 0) continue;
    std::string name(log_.names.at(key >> 1));
    absl::StrAppendFormat(&name, "%c%d", '\0', ordinal);
    entry.key = log_.names.Add(name) << 1 | (key & 1);
  }
  return Write(all_);
}

uint32_t TreeReader::Write(std::span<const TreeEntry> changes) {
  CHECK(log_.pool.size() < UINT32_MAX);  // 16 GB: a process is limited to less
  const uint32_t begin = static_cast<uint32_t>(log_.pool.size());
  log_.pool.push_back(static_cast<uint32_t>(changes.size()));
  for (const TreeEntry& change : changes) {
    log_.pool.push_back(change.key);
    log_.pool.push_back(change.child);
  }
  return begin;
}

}  // namespace unsprawl
