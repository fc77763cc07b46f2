#include "engine/git/pack_file.h"

#include <cstring>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/git/byte_order.h"

namespace unsprawl {
namespace {

absl::Status Damaged(const std::filesystem::path& path, std::string_view what) {
  return absl::DataLossError(absl::StrFormat("%s: %s", path.string(), what));
}

// The distance back to the base: big-endian groups of seven bits, each but the last one more than it
// says (gitformat-pack, "offset encoding"). False if it does not end before `end` or within 64 bits.
bool ReadDistance(const uint8_t*& at, const uint8_t* end, uint64_t* distance) {
  if (at == end) return false;
  uint8_t byte = *at++;
  *distance = byte & 0x7f;
  while (byte & 0x80) {
    if (at == end || *distance >= (uint64_t{1} << 56)) return false;
    byte = *at++;
    *distance = ((*distance + 1) << 7) | (byte & 0x7f);
  }
  return true;
}

// Three bits of type and four of size, then little-endian groups of seven bits.
bool ReadTypeAndSize(const uint8_t*& at, const uint8_t* end, EntryHeader* header) {
  if (at == end) return false;
  uint8_t byte = *at++;
  header->type = (byte >> 4) & 7;
  header->bytes = byte & 0x0f;
  for (int shift = 4; byte & 0x80; shift += 7) {
    if (at == end || shift > 57) return false;
    byte = *at++;
    header->bytes |= static_cast<uint64_t>(byte & 0x7f) << shift;
  }
  return true;
}

}  // namespace

absl::StatusOr<PackFile> PackFile::Open(const std::filesystem::path& path,
                                        std::string_view checksum) {
  PackFile pack;
  ASSIGN_OR_RETURN(pack.file_, MappedFile::Open(path));
  const MappedFile& file = pack.file_;
  if (file.size() < kHeaderBytes + ObjectId::kBytes) return Damaged(path, "too short for a pack");
  if (std::memcmp(file.data(), "PACK", 4) != 0) return Damaged(path, "not a pack");
  const uint32_t version = ReadBig32(file.data() + 4);
  if (version != 2 && version != 3) {
    return absl::UnimplementedError(
        absl::StrFormat("%s: pack version %d is not known", path.string(), version));
  }
  pack.entry_count_ = ReadBig32(file.data() + 8);
  if (!checksum.empty() && std::memcmp(file.data() + pack.end(), checksum.data(), checksum.size())) {
    return Damaged(path, "does not end with the checksum in its index: truncated, or of another index");
  }
  pack.name_ = path.filename().string();
  return pack;
}

bool PackFile::ParseHeader(uint64_t offset, uint64_t limit, EntryHeader* header) const {
  const uint8_t* at = file_.data() + offset;
  const uint8_t* const end = file_.data() + limit;
  if (!ReadTypeAndSize(at, end, header)) return false;
  switch (header->type) {
    case 1: case 2: case 3: case 4:
      break;
    case EntryHeader::kOffsetDelta: {
      uint64_t distance;
      if (!ReadDistance(at, end, &distance)) return false;
      if (distance == 0 || distance > offset - kHeaderBytes) return false;
      header->base_offset = offset - distance;
      break;
    }
    case EntryHeader::kIdDelta:
      if (end - at < static_cast<ptrdiff_t>(ObjectId::kBytes)) return false;
      header->base_id = ObjectId::FromRaw(at);
      at += ObjectId::kBytes;
      break;
    default:
      return false;
  }
  header->data_offset = static_cast<uint64_t>(at - file_.data());
  return true;
}

}  // namespace unsprawl
