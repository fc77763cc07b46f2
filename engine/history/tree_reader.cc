#include "engine/history/tree_reader.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_format.h"
#include "engine/history/path_table.h"

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
  new_.clear();
  lost_.clear();
  added_.clear();
  at_ = base_kept_ = base_next_ = 0;
  before_.id = nullptr;
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
  live.starts.Add(static_cast<uint32_t>(at_));
  LookUpNew();
  KeepNew(live);
}

void TreeReader::Starts::Grow(uint32_t size) {
  capacity_ = std::max<uint32_t>(64, size + size / 4);
  std::unique_ptr<uint32_t[]> values(new uint32_t[capacity_]);  // not cleared
  if (size_ > 0) std::memcpy(values.get(), values_.get(), size_ * sizeof(uint32_t));
  values_ = std::move(values);
}

void TreeReader::Starts::AddShifted(const Starts& base, uint32_t begin, uint32_t end, uint32_t shift) {
  const uint32_t count = end - begin;
  if (size_ + count > capacity_) Grow(size_ + count);
  const uint32_t* from = base.values_.get() + begin;
  uint32_t* to = values_.get() + size_;
  size_ += count;
  // Four at a time by hand: g++ 12 leaves the loop scalar at -O2.
  typedef uint32_t Four __attribute__((vector_size(16)));
  const Four shifts = {shift, shift, shift, shift};
  uint32_t i = 0;
  for (; i + 4 <= count; i += 4) {
    Four four;
    std::memcpy(&four, from + i, sizeof(four));
    four += shifts;
    std::memcpy(to + i, &four, sizeof(four));
  }
  for (; i < count; ++i) to[i] = from[i] + shift;
}

uint32_t TreeReader::Starts::LowerBound(uint32_t from, uint64_t value) const {
  const uint32_t* at = values_.get() + from;
  uint32_t left = size_ - from;
  // What is asked for is mostly one of the next few, or the end.
  for (int i = 0; i < 3 && left > 0; ++i, ++at, --left) {
    if (*at >= value) return static_cast<uint32_t>(at - values_.get());
  }
  if (left == 0 || at[left - 1] < value) return size_;
  while (left > 1) {  // without branches to mispredict
    const uint32_t half = left / 2;
    at += at[half - 1] < value ? half : 0;
    left -= half;
  }
  return static_cast<uint32_t>(at - values_.get());
}

// Takes over the base's entries from its byte `base_at` on that end at or before its byte `limit`.
// False: no entry begins there, or it is not whole.
bool TreeReader::Inherit(std::string_view content, const Live& base, uint64_t limit, uint64_t base_at,
                         Live& live) {
  const Starts& starts = base.starts;
  // Entries come in the order of the base, but for what no sorted tree has.
  const bool forward = base_next_ == 0 || starts[base_next_ - 1] < base_at;
  const uint32_t begin = starts.LowerBound(forward ? base_next_ : 0, base_at);
  if (begin + 1 >= starts.size() || starts[begin] != base_at) return false;
  // The last start at or before `limit`; the end of the tree most often.
  const uint32_t end =
      starts.back() <= limit ? starts.size() - 1 : starts.LowerBound(begin, limit + 1) - 1;
  if (end <= begin) return false;
  if (begin < base_next_) live.sorted = false;
  if (begin != base_next_ || !follows_) {
    ParsedTreeEntry entry;
    if (!ParseTreeEntry(content, at_, entry)) return false;
    CheckOrder(content, entry, live);
  }

  const uint32_t before = live.starts.size();
  live.starts.AddShifted(starts, begin, end, static_cast<uint32_t>(at_) - starts[begin]);
  for (; base_kept_ < base.kept.size() && base.kept[base_kept_].entry < begin; ++base_kept_) {
    lost_.push_back(base.kept[base_kept_].key);
  }
  for (; base_kept_ < base.kept.size() && base.kept[base_kept_].entry < end; ++base_kept_) {
    const Kept& kept = base.kept[base_kept_];
    live.kept.push_back({kept.entry - begin + before, kept.key, kept.child});
  }
  base_next_ = end;
  before_.id = nullptr;
  at_ += starts[end] - starts[begin];
  follows_ = true;
  return true;
}

bool TreeReader::ParseNew(std::string_view content, Live& live) {
  ParsedTreeEntry entry;
  if (!ParseTreeEntry(content, at_, entry)) return false;
  follows_ = false;
  CheckOrder(content, entry, live);
  Note(entry, live.starts.size());
  live.starts.Add(static_cast<uint32_t>(at_));
  before_ = entry;
  at_ = entry.next;
  return true;
}

// Compares `entry`, which begins at `at_`, with the one before it.
void TreeReader::CheckOrder(std::string_view content, const ParsedTreeEntry& entry, Live& live) {
  if (live.starts.size() == 0) return;
  if (before_.id == nullptr && !ParseTreeEntry(content, live.starts.back(), before_)) return;
  if (!SortsBefore(before_, entry)) live.sorted = false;
}

void TreeReader::Note(const ParsedTreeEntry& entry, uint32_t at) {
  if (entry.IsGitlink()) {
    uint64_t prefix;
    std::memcpy(&prefix, entry.id, sizeof(prefix));
    log_.gitlinks.push_back(prefix);
    return;
  }
  new_.push_back({entry.name, ObjectId::FromRaw(entry.id), at, entry.IsFolder(), kNoObject});
}

// All new entries of a tree at once: each alone would wait for memory several times.
void TreeReader::LookUpNew() {
  const auto cached_at = [this](const ObjectId& id) -> Cached& {
    uint32_t hash;
    std::memcpy(&hash, id.bytes.data(), sizeof(hash));
    return cache_[hash % kCacheSlots];
  };
  sought_.clear();
  sought_ids_.clear();
  for (uint32_t i = 0; i < new_.size(); ++i) {
    const Cached& cached = cached_at(new_[i].id);
    if (cached.known && SameId(cached.id, new_[i].id)) {
      new_[i].object = cached.object;
    } else {
      sought_.push_back(i);
      sought_ids_.push_back(new_[i].id);
    }
  }
  nodes_.FindAll(sought_ids_, &found_);
  for (size_t i = 0; i < sought_.size(); ++i) {
    new_[sought_[i]].object = found_[i];
    cached_at(sought_ids_[i]) = {sought_ids_[i], found_[i], true};
  }
}

// Keeps new entries that are folders or targets, among those taken over from the base.
void TreeReader::KeepNew(Live& live) {
  kept_.clear();
  for (const NewEntry& entry : new_) {
    if (entry.object == kNoObject) {
      log_.skips.Add(entry.id, entry.folder ? ObjectType::kTree : ObjectType::kBlob,
                     ObjectFault::kMissing, "named by a tree, stored nowhere");
      continue;
    }
    const Node node = nodes_.at(entry.object);
    const bool fits = entry.folder ? node.kind == NodeKind::kTree
                                   : node.kind == NodeKind::kOther || node.kind == NodeKind::kTarget;
    if (!fits) {
      log_.skips.Add(entry.id, store_.type(entry.object), ObjectFault::kDamaged,
                     entry.folder ? "named as a folder, but it is none"
                                  : "named as a file, but it is none");
      continue;
    }
    if (node.kind == NodeKind::kOther) continue;
    if (entry.name.size() > PathTable::kMaxPathBytes) {
      log_.skips.Add(entry.id, store_.type(entry.object), ObjectFault::kTruncated,
                     "its name is longer than any path may be");
      log_.left_out = true;
      continue;
    }
    const uint32_t key = log_.names.Add(entry.name) << 1 | (entry.folder ? 1 : 0);
    kept_.push_back({entry.entry, key, node.index});
    added_.push_back({key, node.index});
  }
  if (kept_.empty()) return;
  const size_t inherited = live.kept.size();
  live.kept.insert(live.kept.end(), kept_.begin(), kept_.end());
  std::inplace_merge(live.kept.begin(), live.kept.begin() + static_cast<ptrdiff_t>(inherited),
                     live.kept.end(),
                     [](const Kept& a, const Kept& b) { return a.entry < b.entry; });
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
      log_.left_out = true;
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
  std::span<uint32_t> words;
  const uint32_t handle = log_.pool.Add(1 + 2 * static_cast<uint32_t>(changes.size()), words);
  words[0] = static_cast<uint32_t>(changes.size());
  if (!changes.empty()) std::memcpy(&words[1], changes.data(), changes.size_bytes());
  return handle;
}

}  // namespace unsprawl
