#include "engine/git/pack_forest.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_format.h"
#include "engine/git/parallel.h"

namespace unsprawl {
namespace {

// An offset and what lies there, in 12 bytes.
struct Place {
  uint32_t low, high;
  uint32_t position;

  uint64_t offset() const { return uint64_t{high} << 32 | low; }
};

// Sorts by offset, stable: least significant digits first, 11 bits at a time.
void RadixSort(std::vector<Place>& places, uint64_t max_offset) {
  constexpr int kDigitBits = 11;
  std::vector<Place> other(places.size());
  for (int shift = 0; shift < static_cast<int>(std::bit_width(max_offset)); shift += kDigitBits) {
    const auto digit = [shift](const Place& place) {
      return (place.offset() >> shift) & ((1 << kDigitBits) - 1);
    };
    std::array<uint32_t, 1 << kDigitBits> next{};
    for (const Place& place : places) ++next[digit(place)];
    uint32_t sum = 0;
    for (uint32_t& count : next) sum += std::exchange(count, sum);
    for (const Place& place : places) other[next[digit(place)]++] = place;
    places.swap(other);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<PackForest>> PackForest::Build(PackFile pack, PackIndex index,
                                                              int threads) {
  const uint32_t stored = pack.entry_count(), known = index.size();
  // A multi-pack-index may know fewer: it lists each object for one pack only.
  if (known > stored || (known < stored && index.has_crc()) || known >= kOutside) {
    return absl::DataLossError(absl::StrFormat("%s: has %d entries, its index %d", pack.name(), stored,
                                               known));
  }
  std::unique_ptr<PackForest> forest(new PackForest(std::move(pack), std::move(index)));
  forest->OrderByOffset();
  if (known < stored) forest->AddHiddenBases();
  forest->ParseHeaders(threads);
  forest->SpreadTypes();
  forest->LinkChildren();
  return forest;
}

void PackForest::OrderByOffset() {
  const uint32_t count = index_.size();
  const uint64_t pack_end = pack_.end();
  std::vector<Place> places(count);
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t offset = index_.offset(i);
    if (offset < PackFile::kHeaderBytes || offset > pack_end) offset = pack_end;
    places[i] = {static_cast<uint32_t>(offset), static_cast<uint32_t>(offset >> 32), i};
  }
  RadixSort(places, pack_end);
  offsets_.resize(size_t{count} + 1);
  position_.resize(count);
  for (uint32_t entry = 0; entry < count; ++entry) {
    offsets_[entry] = places[entry].offset();
    position_[entry] = places[entry].position;
  }
  offsets_[count] = pack_end;
  places = {};
  entry_at_.resize(count);
  for (uint32_t entry = 0; entry < count; ++entry) entry_at_[position_[entry]] = entry;
}

// Adds the entries that deltas name by offset and the index does not list, and their bases in turn.
void PackForest::AddHiddenBases() {
  const uint64_t limit = pack_.entry_count() - index_.size();  // so many can be hidden, and no more
  absl::flat_hash_set<uint64_t> hidden;
  std::vector<uint64_t> unfollowed;
  const auto follow = [&](uint64_t offset) {
    EntryHeader header;
    if (!pack_.ParseHeader(offset, pack_.end(), &header)) return;
    if (header.type != EntryHeader::kOffsetDelta || hidden.size() >= limit) return;
    if (std::binary_search(offsets_.begin(), offsets_.end(), header.base_offset)) return;
    if (hidden.insert(header.base_offset).second) unfollowed.push_back(header.base_offset);
  };
  for (const uint64_t offset : offsets_) {
    if (offset < pack_.end()) follow(offset);
  }
  while (!unfollowed.empty()) {
    const uint64_t offset = unfollowed.back();
    unfollowed.pop_back();
    follow(offset);
  }
  std::vector<std::pair<uint64_t, uint32_t>> all;  // offset, position
  all.reserve(position_.size() + hidden.size());
  for (size_t i = 0; i < position_.size(); ++i) all.emplace_back(offsets_[i], position_[i]);
  for (const uint64_t offset : hidden) all.emplace_back(offset, kNone);
  std::sort(all.begin(), all.end());
  offsets_.resize(all.size() + 1);
  position_.resize(all.size());
  for (uint32_t entry = 0; entry < all.size(); ++entry) {
    offsets_[entry] = all[entry].first;
    position_[entry] = all[entry].second;
    if (position_[entry] != kNone) entry_at_[position_[entry]] = entry;
  }
  offsets_[all.size()] = pack_.end();
}

void PackForest::ParseHeaders(int threads) {
  const size_t count = position_.size();
  base_.assign(count, kNone);
  state_.assign(count, EntryState::kPending);
  ParallelFor(threads, count, 16384, [this](uint64_t begin, uint64_t end) {
    constexpr uint64_t kAhead = 16;  // each header is a cache miss of its own: have several under way
    for (uint64_t entry = begin; entry < end; ++entry) {
      if (entry + kAhead < end) __builtin_prefetch(pack_.data() + offsets_[entry + kAhead]);
      ParseEntry(static_cast<uint32_t>(entry));
    }
  });
  for (uint32_t entry = 0; entry < count && !has_forward_bases_; ++entry) {
    has_forward_bases_ = base_[entry] < kOutside && base_[entry] > entry;
  }
}

void PackForest::ParseEntry(uint32_t entry) {
  const uint64_t begin = offset(entry);
  EntryHeader header;
  if (begin == end(entry) || (entry > 0 && begin == offset(entry - 1))) {
    state_[entry] = EntryState::kBadPlace;
  } else if (!pack_.ParseHeader(begin, end(entry), &header)) {
    state_[entry] = EntryState::kBadHeader;
  } else if (!header.is_delta()) {
    state_[entry] = static_cast<EntryState>(header.type);
  } else if (header.type == EntryHeader::kOffsetDelta) {
    const std::optional<uint32_t> base = EntryAtOffset(header.base_offset, entry);
    base_[entry] = base.value_or(kNone);
    if (!base) state_[entry] = EntryState::kBaseMissing;
  } else {
    const std::optional<uint32_t> base = index_.Find(header.base_id);
    base_[entry] = base ? entry_at_[*base] : kOutside;
  }
}

std::optional<uint32_t> PackForest::EntryAtOffset(uint64_t offset, uint32_t before) const {
  // Bases tend to be near: look back in doubling steps.
  uint32_t high = before, step = 8;
  while (high > step && offsets_[high - step] > offset) {
    high -= step;
    step *= 2;
  }
  const auto begin = offsets_.begin() + (high > step ? high - step : 0);
  const auto found = std::lower_bound(begin, offsets_.begin() + high, offset);
  if (found == offsets_.begin() + before || *found != offset) return std::nullopt;
  return static_cast<uint32_t>(found - offsets_.begin());
}

// Gives deltas their base's type wherever the base comes first, which is nearly everywhere.
void PackForest::SpreadTypes() {
  for (uint32_t entry = 0; entry < size(); ++entry) {
    if (state_[entry] != EntryState::kPending || base_[entry] >= entry) continue;
    if (IsReadable(state_[base_[entry]])) state_[entry] = state_[base_[entry]];
  }
}

void PackForest::LinkChildren() {
  first_child_.assign(size(), kNone);
  next_sibling_.assign(size(), kNone);
  for (uint32_t entry = size(); entry-- > 0;) {
    const uint32_t base = base_[entry];
    if (base >= kOutside) continue;
    next_sibling_[entry] = first_child_[base];
    first_child_[base] = entry;
  }
}

ObjectId PackForest::OutsideBase(uint32_t entry) const {
  EntryHeader header;
  pack_.ParseHeader(offset(entry), end(entry), &header);
  return header.base_id;
}

}  // namespace unsprawl
