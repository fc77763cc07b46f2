#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/git/mapped_file.h"
#include "engine/git/pack_index.h"

namespace unsprawl {

// objects/pack/multi-pack-index, version 1 (git: Documentation/gitformat-pack, "multi-pack-index (MIDX)
// files have the following format"). One row per distinct object, in order of ids; an object stored in
// several packs is listed for one of them. Immutable after Open; safe from many threads.
class MultiPackIndex {
 public:
  // Maps `path` and checks everything that the file says of itself, its SHA-1 included.
  // NotFound: no such file. Unimplemented: another version, or SHA-256. DataLoss: inconsistent.
  static absl::StatusOr<MultiPackIndex> Open(const std::filesystem::path& path);

  // File names of the indexes it stands for ("pack-….idx"), by pack number.
  const std::vector<std::string>& index_names() const { return index_names_; }
  const IdTable& ids() const { return ids_; }
  // Rows of the objects it takes from pack `pack`, ascending. O(n).
  std::vector<uint32_t> RowsOfPack(uint32_t pack) const;

  // Big-endian 32-bit offsets, 8 bytes apart, one for each row; and the large ones they refer to.
  const uint8_t* offsets() const { return places_ + 4; }
  const uint8_t* large_offsets() const { return large_; }
  uint64_t large_offset_count() const { return large_count_; }

 private:
  absl::Status ReadChunks(const std::filesystem::path& path);
  absl::Status ReadNames(const std::filesystem::path& path, const uint8_t* names, uint64_t bytes,
                         uint32_t packs);

  MappedFile file_;
  IdTable ids_;
  const uint8_t* places_ = nullptr;  // 8 bytes a row: pack number, offset
  const uint8_t* large_ = nullptr;
  uint64_t large_count_ = 0;
  std::vector<std::string> index_names_;
};

}  // namespace unsprawl
