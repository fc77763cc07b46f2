#include "engine/git/pack_index.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/git/multi_pack_index.h"

namespace unsprawl {
namespace {

constexpr uint64_t kHeaderBytes = 8;
constexpr uint64_t kFanoutBytes = 256 * 4;
constexpr uint64_t kTrailerBytes = 2 * ObjectId::kBytes;  // the pack's checksum and the index's own
constexpr uint64_t kRowBytes = ObjectId::kBytes + 4 + 4;  // id, CRC, offset
constexpr uint32_t kLargeOffset = 0x80000000;

absl::Status Damaged(const std::filesystem::path& path, std::string_view what) {
  return absl::DataLossError(absl::StrFormat("%s: %s", path.string(), what));
}

}  // namespace

bool EndsWithOwnChecksum(const MappedFile& file) {
  if (file.size() < ObjectId::kBytes) return false;
  const uint64_t body = file.size() - ObjectId::kBytes;
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  CHECK(EVP_Digest(file.data(), body, digest, &length, EVP_sha1(), nullptr) == 1);
  return std::memcmp(digest, file.data() + body, ObjectId::kBytes) == 0;
}

std::optional<uint32_t> IdTable::Find(const ObjectId& id) const {
  const int bucket = id.bytes[0];
  const uint32_t begin = bucket == 0 ? 0 : BucketEnd(bucket - 1), end = BucketEnd(bucket);
  if (begin == end) return std::nullopt;
  const auto is_less = [&](uint32_t position) {
    return std::memcmp(raw(position), id.bytes.data(), ObjectId::kBytes) < 0;
  };
  // Guess from bytes 1 to 4, then double the step until the place is bracketed by [low, high).
  const uint64_t fraction = ReadBig32(id.bytes.data() + 1);
  const uint32_t guess = begin + static_cast<uint32_t>((fraction * (end - begin)) >> 32);
  uint64_t low = begin, high = end;
  if (is_less(guess)) {
    low = uint64_t{guess} + 1;
    for (uint64_t step = 4; low + step < high; low += step, step *= 2) {
      if (!is_less(static_cast<uint32_t>(low + step))) {
        high = low + step;
        break;
      }
    }
  } else {
    high = guess;
    for (uint64_t step = 4; high >= low + step; high -= step, step *= 2) {
      if (is_less(static_cast<uint32_t>(high - step))) {
        low = high - step + 1;
        break;
      }
    }
  }
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (is_less(static_cast<uint32_t>(middle))) low = middle + 1; else high = middle;
  }
  const uint32_t found = static_cast<uint32_t>(low);
  if (found == end || std::memcmp(raw(found), id.bytes.data(), ObjectId::kBytes) != 0) {
    return std::nullopt;
  }
  return found;
}

bool IdTable::IsConsistent() const {
  uint32_t begin = 0;
  for (int bucket = 0; bucket < 256; ++bucket) {
    const uint32_t end = BucketEnd(bucket);
    if (end < begin || end > size()) return false;
    for (uint32_t i = begin; i < end; ++i) {
      if (raw(i)[0] != bucket) return false;
      if (i > begin && std::memcmp(raw(i - 1), raw(i), ObjectId::kBytes) > 0) return false;
    }
    begin = end;
  }
  return true;
}

absl::StatusOr<PackIndex> PackIndex::Open(const std::filesystem::path& path) {
  PackIndex index;
  ASSIGN_OR_RETURN(index.file_, MappedFile::Open(path));
  const uint8_t* data = index.file_.data();
  const uint64_t bytes = index.file_.size();
  if (bytes < kHeaderBytes + kFanoutBytes + kTrailerBytes) return Damaged(path, "too short");
  if (ReadBig32(data) != 0xff744f63) {
    return absl::UnimplementedError(absl::StrFormat(
        "%s: not a pack index of version 2; `git index-pack` on its pack writes one",
        path.string()));
  }
  if (ReadBig32(data + 4) != 2) {
    return absl::UnimplementedError(
        absl::StrFormat("%s: pack index version %d is not known", path.string(), ReadBig32(data + 4)));
  }
  const uint64_t count = ReadBig32(data + kHeaderBytes + 255 * 4);
  const uint64_t fixed = kHeaderBytes + kFanoutBytes + count * kRowBytes + kTrailerBytes;
  if (bytes < fixed || (bytes - fixed) % 8 != 0 || (bytes - fixed) / 8 > count) {
    return Damaged(path, absl::StrFormat("%d bytes do not fit the %d objects it names", bytes, count));
  }
  const uint8_t* ids = data + kHeaderBytes + kFanoutBytes;
  index.ids_ = IdTable(data + kHeaderBytes, ids);
  if (!index.ids_.IsConsistent()) return Damaged(path, "object ids are not in order");
  if (!EndsWithOwnChecksum(index.file_)) return Damaged(path, "its checksum is wrong");
  index.crcs_ = ids + count * ObjectId::kBytes;
  index.offsets_ = index.crcs_ + count * 4;
  index.large_ = index.offsets_ + count * 4;
  index.large_count_ = (bytes - fixed) / 8;
  index.pack_checksum_ = {reinterpret_cast<const char*>(data + bytes - kTrailerBytes),
                          ObjectId::kBytes};
  return index;
}

PackIndex PackIndex::FromMultiPack(const MultiPackIndex& multi, uint32_t pack) {
  PackIndex index;
  index.ids_ = multi.ids();
  index.offsets_ = multi.offsets();
  index.offset_stride_ = 8;
  index.large_ = multi.large_offsets();
  index.large_count_ = multi.large_offset_count();
  index.is_part_ = true;
  index.members_ = multi.RowsOfPack(pack);
  return index;
}

uint64_t PackIndex::offset(uint32_t position) const {
  const uint32_t offset = ReadBig32(offsets_ + uint64_t{Row(position)} * offset_stride_);
  // Without a table of large offsets a multi-pack-index uses all 32 bits (gitformat-pack, OOFF).
  if ((offset & kLargeOffset) == 0 || (is_part_ && large_count_ == 0)) return offset;
  const uint64_t row = offset & ~kLargeOffset;
  return row < large_count_ ? ReadBig64(large_ + row * 8) : UINT64_MAX;
}

std::optional<uint32_t> PackIndex::Find(const ObjectId& id) const {
  const std::optional<uint32_t> row = ids_.Find(id);
  if (!row || !is_part_) return row;
  const auto member = std::lower_bound(members_.begin(), members_.end(), *row);
  if (member == members_.end() || *member != *row) return std::nullopt;
  return static_cast<uint32_t>(member - members_.begin());
}

}  // namespace unsprawl
