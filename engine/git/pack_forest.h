#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/git/object.h"
#include "engine/git/pack_file.h"
#include "engine/git/pack_index.h"
#include "engine/git/shadowed.h"

namespace unsprawl {

// What is known of a pack's entry without inflating it. The first five are ObjectType's numbers.
enum class EntryState : uint8_t {
  kPending = 0,  // a delta whose base has not been followed yet; none remains after ObjectStore::Open
  kCommit = 1, kTree = 2, kBlob = 3, kTag = 4,
  kVisiting,     // used while bases are followed
  // The rest cannot be read.
  kBadPlace,     // its offset lies outside the pack, or is another object's too
  kBadHeader,
  kBaseMissing,  // somewhere down its chain
  kBadBase,      // a base down its chain is in one of these states
  kCycle,
};

inline bool IsReadable(EntryState state) {
  return state >= EntryState::kCommit && state <= EntryState::kTag;
}
inline ObjectType TypeOf(EntryState state) {
  return IsReadable(state) ? static_cast<ObjectType>(state) : ObjectType::kUnknown;
}

// One pack and its delta trees: every entry, in order of offsets, linked to its base and its deltas.
//
// 29 bytes of memory per entry (33 under a multi-pack-index), besides the mapped files. Building is
// not thread-safe; afterwards it is immutable and safe from many threads.
class PackForest {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;         // no base: stored whole; no child; no position
  static constexpr uint32_t kOutside = UINT32_MAX - 1;  // the base is not in this pack

  // Parses the header of every entry on `threads` threads. Damaged entries do not fail it.
  // DataLoss: index and pack disagree about the number of entries.
  static absl::StatusOr<std::unique_ptr<PackForest>> Build(PackFile pack, PackIndex index,
                                                           int threads);

  uint32_t size() const { return static_cast<uint32_t>(state_.size()); }
  const PackFile& pack() const { return pack_; }
  const PackIndex& index() const { return index_; }

  uint64_t offset(uint32_t entry) const { return offsets_[entry]; }
  uint64_t end(uint32_t entry) const { return offsets_[entry + 1]; }
  // Position in the index; kNone for an entry that only a delta's offset speaks of. That happens under
  // a multi-pack-index, where the object is listed for another pack.
  uint32_t position(uint32_t entry) const { return position_[entry]; }
  uint32_t entry_at(uint32_t position) const { return entry_at_[position]; }
  uint32_t base(uint32_t entry) const { return base_[entry]; }
  uint32_t first_child(uint32_t entry) const { return first_child_[entry]; }
  uint32_t next_sibling(uint32_t entry) const { return next_sibling_[entry]; }
  EntryState state(uint32_t entry) const { return state_[entry]; }
  void set_state(uint32_t entry, EntryState state) { state_[entry] = state; }
  // Some delta stands before its base, which only deltas by id can.
  bool has_forward_bases() const { return has_forward_bases_; }
  // The id that a delta whose base is kOutside names.
  ObjectId OutsideBase(uint32_t entry) const;

  // Entries that do not count because the object is counted as another copy, sorted. Entry numbers and
  // ranks among the others are converted by binary search.
  void SetShadowed(std::vector<uint32_t> entries) { shadowed_ = std::move(entries); }
  uint32_t counted() const { return size() - static_cast<uint32_t>(shadowed_.size()); }
  uint32_t EntryOfRank(uint32_t rank) const { return unsprawl::EntryOfRank(shadowed_, rank); }
  std::optional<uint32_t> RankOfEntry(uint32_t entry) const {
    return unsprawl::RankOfEntry(shadowed_, entry);
  }

 private:
  PackForest(PackFile pack, PackIndex index) : pack_(std::move(pack)), index_(std::move(index)) {}
  void OrderByOffset();
  void AddHiddenBases();
  void ParseHeaders(int threads);
  void ParseEntry(uint32_t entry);
  void SpreadTypes();
  void LinkChildren();
  std::optional<uint32_t> EntryAtOffset(uint64_t offset, uint32_t before) const;

  PackFile pack_;
  PackIndex index_;
  std::vector<uint64_t> offsets_;  // ascending, and the end of the last entry; bad ones are the end
  std::vector<uint32_t> position_, entry_at_;
  std::vector<uint32_t> base_, first_child_, next_sibling_;
  std::vector<EntryState> state_;
  std::vector<uint32_t> shadowed_;
  bool has_forward_bases_ = false;
};

}  // namespace unsprawl
