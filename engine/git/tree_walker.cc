#include "engine/git/tree_walker.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

constexpr uint64_t kMaxPooledBytes = 16 << 20;  // memory kept for contents to come
// Fewer objects than this are not worth a copy of their base.
constexpr uint64_t kMinDivisible = 16;
// Looking for something to give away costs a pass over the children of the open bases.
constexpr uint64_t kObjectsBetweenDivisions = 16;

}  // namespace

TreeWalker::TreeWalker(const ObjectStore::Impl& store, const WalkPlan& plan, WalkQueue& queue,
                       std::span<const ObjectNumber> avoid, const WalkOptions& options,
                       std::atomic<uint32_t>* current, WalkVisitor& visitor)
    : store_(store), plan_(plan), queue_(queue), avoid_(avoid), options_(options),
      current_(current), visitor_(visitor), reader_(store.options.max_object_bytes) {}

void TreeWalker::Run() {
  const WalkTask* task;
  TreePart part;
  Note(kNoObject);
  while (queue_.Take(&task, &part)) {
    if (task != nullptr) {
      RunTask(*task);
    } else {
      RunPart(std::move(part));
    }
    Note(kNoObject);
  }
}

void TreeWalker::RunTask(const WalkTask& task) {
  switch (task.kind) {
    case WalkTask::Kind::kTree:
      pack_ = task.pack;
      forest_ = store_.packs[pack_].get();
      WalkTree(task.begin);
      break;
    case WalkTask::Kind::kLoose:
      for (uint32_t i = 0; i < task.count && !queue_.stopped(); ++i) VisitLoose(plan_.loose()[task.begin + i]);
      break;
    case WalkTask::Kind::kUnreadable:
      for (uint32_t i = 0; i < task.count && !queue_.stopped(); ++i) {
        SkipUnreadable(plan_.unreadable()[task.begin + i]);
      }
      break;
  }
}

void TreeWalker::RunPart(TreePart part) {
  pack_ = part.pack;
  forest_ = store_.packs[pack_].get();
  const uint32_t slot = TakeSlot();
  slots_[slot] = std::move(part.content);
  live_bytes_ += slots_[slot].size();
  frames_.push_back({part.entry, slot, part.next, part.end, part.heavy, part.has_heavy});
  frames_.back().visited_here = false;
  WalkFrames();
}

void TreeWalker::WalkTree(uint32_t root) {
  std::string_view outside;
  Buffer outside_buffer;
  if (const auto base = forest_->base(root) == PackForest::kOutside
                            ? store_.BaseOf({pack_, root})
                            : std::nullopt) {
    ReadFault fault;
    const ObjectNumber number = store_.NumberOf(*base);
    if (IsAvoided(number)) {
      return SkipTree(root, {ObjectFault::kDamaged, 0, "a scan of its delta base died"});
    }
    Note(number);
    if (!store_.ReadCopy(*base, reader_, &outside_buffer, &outside, &fault)) {
      return SkipTree(root, fault);
    }
  }
  if (const auto slot = Enter(root, outside, -1)) PushFrame(root, *slot);
  outside_buffer.Free();
  WalkFrames();
}

void TreeWalker::WalkFrames() {
  while (!frames_.empty()) {
    if (queue_.wants_parts() && stats_.objects_visited >= next_division_) GiveAway();
    Frame& base = frames_.back();
    const uint32_t child = NextChild(base);
    if (child == PackForest::kNone || queue_.stopped()) {
      PopFrame();
      continue;
    }
    if (!Restore(base)) {
      SkipTree(child, {ObjectFault::kDamaged, 0, "its delta base cannot be read any more"});
      continue;
    }
    const bool is_last = child == base.heavy;
    const int32_t base_slot = base.visited_here ? static_cast<int32_t>(base.slot) : -1;
    const auto slot = Enter(child, slots_[base.slot].view(), base_slot);
    if (is_last) PopFrame();
    if (slot) PushFrame(child, *slot);
  }
}

std::optional<uint32_t> TreeWalker::Enter(uint32_t entry, std::string_view base, int32_t base_slot) {
  const ObjectNumber number = store_.NumberOf({pack_, entry});
  if (IsAvoided(number)) {
    SkipTree(entry, {ObjectFault::kDamaged, 0, "an earlier scan died on it"});
    return std::nullopt;
  }
  if (number != kNoObject) Note(number);
  const uint32_t slot = TakeSlot();
  // TakeSlot may have moved the buffers, never the bytes they own: `base` is still good.
  ReadFault fault;
  if (!reader_.Read(*forest_, entry, base, &slots_[slot], &copies_, &fault)) {
    ReturnSlot(slot);
    SkipTree(entry, fault);
    return std::nullopt;
  }
  WalkedObject object;
  object.number = number;
  object.wanted = plan_.IsWanted(pack_, entry);
  object.content = slots_[slot].view();
  object.slot = slot;
  if (base_slot >= 0) {
    object.base_slot = base_slot;
    object.base_bytes = base.size();
    object.copies = copies_;
  }
  Show(object);
  return slot;
}

void TreeWalker::PushFrame(uint32_t entry, uint32_t slot) {
  Frame frame{entry, slot, forest_->first_child(entry), PackForest::kNone, PackForest::kNone};
  uint32_t heaviest = 0;
  for (uint32_t child = forest_->first_child(entry); child != PackForest::kNone;
       child = forest_->next_sibling(child)) {
    const uint32_t count = plan_.CountWanted(pack_, child);
    if (count <= heaviest) continue;
    heaviest = count;
    frame.heavy = child;
  }
  if (frame.heavy == PackForest::kNone) return ReturnSlot(slot);
  frames_.push_back(frame);
  live_bytes_ += slots_[slot].size();
  if (live_bytes_ > options_.max_live_bytes) DropOldest();
}

void TreeWalker::PopFrame() {
  const Frame& frame = frames_.back();
  if (frame.has_content) live_bytes_ -= slots_[frame.slot].size();
  ReturnSlot(frame.slot);
  frames_.pop_back();
}

uint32_t TreeWalker::NextChild(Frame& frame) const {
  while (frame.next != frame.end) {
    const uint32_t child = frame.next;
    frame.next = forest_->next_sibling(child);
    if (child != frame.heavy && plan_.CountWanted(pack_, child) > 0) return child;
  }
  return frame.has_heavy ? frame.heavy : PackForest::kNone;
}

bool TreeWalker::Restore(Frame& frame) {
  if (frame.has_content) return true;
  const ObjectNumber number = store_.NumberOf({pack_, frame.entry});
  if (number != kNoObject) Note(number);
  std::string_view content;
  ReadFault fault;
  if (!store_.ReadCopy({pack_, frame.entry}, reader_, &slots_[frame.slot], &content, &fault)) {
    return false;
  }
  frame.has_content = true;
  live_bytes_ += content.size();
  stats_.bytes_resolved += content.size();
  return true;
}

void TreeWalker::DropOldest() {
  for (size_t i = 0; i + 1 < frames_.size() && live_bytes_ > options_.max_live_bytes; ++i) {
    if (!frames_[i].has_content) continue;
    frames_[i].has_content = false;
    live_bytes_ -= slots_[frames_[i].slot].size();
    slots_[frames_[i].slot].Free();
  }
}

void TreeWalker::GiveAway() {
  next_division_ = stats_.objects_visited + kObjectsBetweenDivisions;
  for (Frame& frame : frames_) {
    auto part = Divide(frame, &frame == &frames_.back());
    if (!part) continue;
    const std::string_view content = slots_[frame.slot].view();
    std::memcpy(part->content.Reset(content.size()), content.data(), content.size());
    return queue_.Give(std::move(*part));
  }
}

// Takes the heavy child out of `frame`, or about half of the others. nullopt: too little is left.
std::optional<TreePart> TreeWalker::Divide(Frame& frame, bool is_top) {
  if (!frame.has_content) return std::nullopt;
  uint64_t others = 0;
  for (uint32_t child = frame.next; child != frame.end; child = forest_->next_sibling(child)) {
    if (child != frame.heavy) others += plan_.CountWanted(pack_, child);
  }
  const uint64_t heavy = frame.has_heavy ? plan_.CountWanted(pack_, frame.heavy) : 0;
  const uint64_t total = others + heavy;
  // A single path cannot be divided.
  if (total < kMinDivisible || (is_top && others == 0)) return std::nullopt;
  TreePart part;
  part.pack = pack_;
  part.entry = frame.entry;
  part.heavy = frame.heavy;
  if (heavy < others) {
    uint64_t kept = 0;
    for (part.next = frame.next; part.next != frame.end && kept < total / 2;
         part.next = forest_->next_sibling(part.next)) {
      if (part.next != frame.heavy) kept += plan_.CountWanted(pack_, part.next);
    }
    if (part.next == frame.end && heavy == 0) return std::nullopt;
    part.end = std::exchange(frame.end, part.next);
  }
  part.has_heavy = std::exchange(frame.has_heavy, false);
  return part;
}

void TreeWalker::VisitLoose(const StoredCopy& copy) {
  const ObjectNumber number = *store_.NumberOfCounted(copy);
  if (IsAvoided(number)) return SkipOne(copy, {ObjectFault::kDamaged, 0, "an earlier scan died on it"});
  Note(number);
  ReadFault fault;
  WalkedObject object;
  object.number = number;
  object.slot = TakeSlot();
  if (store_.loose.Read(copy.entry, reader_, &slots_[object.slot], &object.content, &fault)) {
    Show(object);
    ReturnSlot(object.slot);
  } else {
    ReturnSlot(object.slot);
    SkipOne(copy, fault);
  }
}

void TreeWalker::SkipUnreadable(const StoredCopy& copy) { SkipOne(copy, store_.FaultOf(copy)); }

void TreeWalker::SkipTree(uint32_t root, const ReadFault& fault) {
  ReadFault below = {fault.fault, 0, "its delta base cannot be read: " + fault.detail};
  uint32_t entry = root;
  while (true) {
    if (plan_.IsWanted(pack_, entry)) SkipOne({pack_, entry}, entry == root ? fault : below);
    if (forest_->first_child(entry) != PackForest::kNone && plan_.CountWanted(pack_, entry) > 0) {
      entry = forest_->first_child(entry);
      continue;
    }
    while (entry != root && forest_->next_sibling(entry) == PackForest::kNone) {
      entry = forest_->base(entry);
    }
    if (entry == root) return;
    entry = forest_->next_sibling(entry);
  }
}

void TreeWalker::SkipOne(const StoredCopy& copy, const ReadFault& fault) {
  const ObjectNumber number = *store_.NumberOfCounted(copy);
  if (VisitOtherCopy(number, copy)) return;
  visitor_.Skip(number, {store_.IdOf(copy), store_.TypeOfCopy(copy), fault.fault, fault.object_bytes,
                         fault.detail});
}

// An object stored twice is lost only if both copies are damaged. Not tried while anything is avoided,
// because the other copy's bases are not checked for it.
bool TreeWalker::VisitOtherCopy(ObjectNumber number, const StoredCopy& failed) {
  if (!avoid_.empty()) return false;
  for (const StoredCopy& copy : store_.FindCopies(store_.IdOf(failed))) {
    if (copy == failed) continue;
    Note(number);
    ReadFault ignored;
    WalkedObject object;
    object.number = number;
    object.slot = TakeSlot();
    const bool is_read =
        store_.ReadCopy(copy, reader_, &slots_[object.slot], &object.content, &ignored);
    if (is_read) Show(object);
    ReturnSlot(object.slot);
    if (is_read) return true;
  }
  return false;
}

void TreeWalker::Show(const WalkedObject& object) {
  ++stats_.objects_visited;
  stats_.bytes_resolved += object.content.size();
  visitor_.Visit(object);
}

bool TreeWalker::IsAvoided(ObjectNumber object) const {
  return !avoid_.empty() && std::binary_search(avoid_.begin(), avoid_.end(), object);
}

void TreeWalker::Note(ObjectNumber object) {
  if (current_ != nullptr) current_->store(object + 1, std::memory_order_relaxed);
}

uint32_t TreeWalker::TakeSlot() {
  if (free_slots_.empty()) {
    slots_.emplace_back();
    return static_cast<uint32_t>(slots_.size()) - 1;
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  pooled_bytes_ -= slots_[slot].capacity();
  return slot;
}

void TreeWalker::ReturnSlot(uint32_t slot) {
  if (pooled_bytes_ + slots_[slot].capacity() > kMaxPooledBytes) slots_[slot].Free();
  pooled_bytes_ += slots_[slot].capacity();
  free_slots_.push_back(slot);
}

}  // namespace unsprawl
