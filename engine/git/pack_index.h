#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/object_id.h"
#include "engine/git/byte_order.h"
#include "engine/git/mapped_file.h"

namespace unsprawl {

class MultiPackIndex;

// A table of object ids in ascending order with its fan-out, as both kinds of index hold it. Borrows
// mapped bytes; immutable.
class IdTable {
 public:
  IdTable() = default;
  // `fanout`: 256 big-endian counts. `ids`: as many ids as the last of them says.
  IdTable(const uint8_t* fanout, const uint8_t* ids) : fanout_(fanout), ids_(ids) {}

  uint32_t size() const { return ReadBig32(fanout_ + 255 * 4); }
  const uint8_t* raw(uint32_t position) const { return ids_ + uint64_t{position} * ObjectId::kBytes; }
  // First position of `id`, or nullopt. Ids are hashes, so the place is guessed from their first bytes:
  // two or three cache lines are touched whatever the size of the table.
  std::optional<uint32_t> Find(const ObjectId& id) const;

  // Counts ascend, ids ascend, and each id lies in the bucket of its first byte. O(n).
  bool IsConsistent() const;

 private:
  uint32_t BucketEnd(int bucket) const { return ReadBig32(fanout_ + bucket * 4); }

  const uint8_t* fanout_ = nullptr;
  const uint8_t* ids_ = nullptr;
};

// Which objects one pack holds and where: read from its .idx, version 2, or out of a multi-pack-index
// (git: Documentation/gitformat-pack, "Version 2 pack-*.idx" and "multi-pack-index").
//
// A position is an object's rank in the order of ids. Offsets are bytes from the start of the .pack and
// are not checked against its size. Immutable after Open; safe from many threads.
class PackIndex {
 public:
  // Maps `path` and checks everything that the file says of itself: magic, version, sizes of the
  // tables, order of ids, SHA-1 over the whole. NotFound: no such file. Unimplemented: version 1, or
  // SHA-256. DataLoss: anything inconsistent.
  static absl::StatusOr<PackIndex> Open(const std::filesystem::path& path);

  // The part of `multi` that lies in its pack number `pack`. An object of the pack that `multi` takes
  // from another pack is not in it. `multi` must outlive it. Costs 4 bytes of memory per object.
  static PackIndex FromMultiPack(const MultiPackIndex& multi, uint32_t pack);

  uint32_t size() const { return is_part_ ? static_cast<uint32_t>(members_.size()) : ids_.size(); }
  ObjectId id(uint32_t position) const { return ObjectId::FromRaw(raw(position)); }
  // 20 bytes, valid as long as this index.
  const uint8_t* raw(uint32_t position) const { return ids_.raw(Row(position)); }
  // UINT64_MAX where the index names a place beyond its own table of large offsets.
  uint64_t offset(uint32_t position) const;
  // First position of `id`, or nullopt if this pack lacks it. No allocation.
  std::optional<uint32_t> Find(const ObjectId& id) const;

  // CRC-32 of each entry's bytes in the pack. Not in a multi-pack-index.
  bool has_crc() const { return crcs_ != nullptr; }
  uint32_t crc(uint32_t position) const { return ReadBig32(crcs_ + uint64_t{position} * 4); }
  // The 20 bytes that must end the pack; empty for a multi-pack-index. Valid as long as this index.
  std::string_view pack_checksum() const { return pack_checksum_; }

 private:
  uint32_t Row(uint32_t position) const { return is_part_ ? members_[position] : position; }

  MappedFile file_;
  IdTable ids_;
  const uint8_t* offsets_ = nullptr;   // a big-endian 32-bit number every offset_stride_ bytes
  uint32_t offset_stride_ = 4;
  const uint8_t* large_ = nullptr;     // 64-bit offsets, named by those with the high bit
  uint64_t large_count_ = 0;
  const uint8_t* crcs_ = nullptr;
  std::string_view pack_checksum_;
  bool is_part_ = false;
  std::vector<uint32_t> members_;      // if is_part_: rows of the multi-pack-index, ascending
};

// True if the last 20 bytes of `file` are the SHA-1 of all bytes before.
bool EndsWithOwnChecksum(const MappedFile& file);

}  // namespace unsprawl
