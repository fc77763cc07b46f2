#include "engine/git/multi_pack_index.h"

#include <cstring>
#include <optional>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr uint64_t kHeaderBytes = 12;
constexpr uint64_t kChunkRowBytes = 12;  // 4 bytes of name, 8 of offset
constexpr uint64_t kChecksumBytes = ObjectId::kBytes;
constexpr uint32_t kMagic = 0x4d494458;         // "MIDX"
constexpr uint32_t kPackNames = 0x504e414d;     // "PNAM"
constexpr uint32_t kIdFanout = 0x4f494446;      // "OIDF"
constexpr uint32_t kIds = 0x4f49444c;           // "OIDL"
constexpr uint32_t kOffsets = 0x4f4f4646;       // "OOFF"
constexpr uint32_t kLargeOffsets = 0x4c4f4646;  // "LOFF"

struct Chunk {
  const uint8_t* data = nullptr;
  uint64_t bytes = 0;
};

absl::Status Damaged(const std::filesystem::path& path, std::string_view what) {
  return absl::DataLossError(absl::StrFormat("%s: %s", path.string(), what));
}

// The chunk called `name`, empty if there is none; nullopt if the table of chunks is wrong.
std::optional<Chunk> FindChunk(const MappedFile& file, uint32_t chunks, uint32_t name) {
  const uint8_t* table = file.data() + kHeaderBytes;
  for (uint32_t i = 0; i < chunks; ++i) {
    const uint8_t* row = table + i * kChunkRowBytes;
    if (ReadBig32(row) != name) continue;
    // The next row, or the one that ends the table, says where this chunk ends.
    const uint64_t begin = ReadBig64(row + 4), end = ReadBig64(row + kChunkRowBytes + 4);
    if (begin > end || end > file.size() - kChecksumBytes) return std::nullopt;
    return Chunk{file.data() + begin, end - begin};
  }
  return Chunk{};
}

}  // namespace

absl::StatusOr<MultiPackIndex> MultiPackIndex::Open(const std::filesystem::path& path) {
  MultiPackIndex index;
  ASSIGN_OR_RETURN(index.file_, MappedFile::Open(path));
  const uint8_t* data = index.file_.data();
  if (index.file_.size() < kHeaderBytes + kChunkRowBytes + kChecksumBytes) {
    return Damaged(path, "too short");
  }
  if (ReadBig32(data) != kMagic) return Damaged(path, "not a multi-pack-index");
  if (data[4] != 1 || data[5] != 1 || data[7] != 0) {
    return absl::UnimplementedError(absl::StrFormat(
        "%s: multi-pack-index version %d, hash %d, %d base files is not known", path.string(), data[4],
        data[5], data[7]));
  }
  if (!EndsWithOwnChecksum(index.file_)) return Damaged(path, "its checksum is wrong");
  RETURN_IF_ERROR(index.ReadChunks(path));
  return index;
}

absl::Status MultiPackIndex::ReadChunks(const std::filesystem::path& path) {
  const uint32_t chunks = file_.data()[6];
  if (file_.size() < kHeaderBytes + (chunks + 1) * kChunkRowBytes + kChecksumBytes) {
    return Damaged(path, "its table of chunks is cut off");
  }
  const std::optional<Chunk> names = FindChunk(file_, chunks, kPackNames);
  const std::optional<Chunk> fanout = FindChunk(file_, chunks, kIdFanout);
  const std::optional<Chunk> ids = FindChunk(file_, chunks, kIds);
  const std::optional<Chunk> places = FindChunk(file_, chunks, kOffsets);
  const std::optional<Chunk> large = FindChunk(file_, chunks, kLargeOffsets);
  if (!names || !fanout || !ids || !places || !large || fanout->bytes != 256 * 4) {
    return Damaged(path, "its table of chunks is wrong");
  }
  ids_ = IdTable(fanout->data, ids->data);
  const uint64_t count = ids_.size();
  if (ids->bytes != count * ObjectId::kBytes || places->bytes != count * 8 || large->bytes % 8 != 0) {
    return Damaged(path, absl::StrFormat("its chunks do not fit the %d objects it names", count));
  }
  if (!ids_.IsConsistent()) return Damaged(path, "object ids are not in order");
  places_ = places->data;
  large_ = large->data;
  large_count_ = large->bytes / 8;
  return ReadNames(path, names->data, names->bytes, ReadBig32(file_.data() + 8));
}

absl::Status MultiPackIndex::ReadNames(const std::filesystem::path& path, const uint8_t* names,
                                       uint64_t bytes, uint32_t packs) {
  uint64_t at = 0;
  for (uint32_t i = 0; i < packs; ++i) {
    const void* end = at < bytes ? std::memchr(names + at, 0, bytes - at) : nullptr;
    if (end == nullptr) return Damaged(path, "its pack names are cut off");
    const uint64_t length = static_cast<uint64_t>(static_cast<const uint8_t*>(end) - (names + at));
    index_names_.emplace_back(reinterpret_cast<const char*>(names + at), length);
    at += length + 1;
  }
  return absl::OkStatus();
}

std::vector<uint32_t> MultiPackIndex::RowsOfPack(uint32_t pack) const {
  std::vector<uint32_t> rows;
  for (uint32_t row = 0; row < ids_.size(); ++row) {
    if (ReadBig32(places_ + uint64_t{row} * 8) == pack) rows.push_back(row);
  }
  return rows;
}

}  // namespace unsprawl
