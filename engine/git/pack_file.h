#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/base/object_id.h"
#include "engine/git/mapped_file.h"

namespace unsprawl {

// What stands before an entry's compressed bytes.
struct EntryHeader {
  // As in the pack: 1 commit, 2 tree, 3 blob, 4 tag, 6 delta upon an offset, 7 delta upon an id.
  static constexpr uint8_t kOffsetDelta = 6, kIdDelta = 7;

  uint8_t type = 0;
  uint64_t bytes = 0;          // inflated size of the object, or of the delta itself
  uint64_t base_offset = 0;    // kOffsetDelta: from the start of the pack, less than the entry's own
  ObjectId base_id;            // kIdDelta
  uint64_t data_offset = 0;    // of the zlib stream, from the start of the pack

  bool is_delta() const { return type == kOffsetDelta || type == kIdDelta; }
};

// A .pack, version 2 or 3 (git: Documentation/gitformat-pack). Offsets are bytes from its start.
// Immutable after Open; safe from many threads.
class PackFile {
 public:
  static constexpr uint64_t kHeaderBytes = 12;  // offset of the first entry

  // Maps `path` and checks magic and version. If `checksum` is not empty, the pack must end with these
  // 20 bytes (from its index), so that a truncated pack is found out; the sum itself is not computed.
  // NotFound: no such file. DataLoss: anything else that does not fit.
  static absl::StatusOr<PackFile> Open(const std::filesystem::path& path, std::string_view checksum);

  // File name, for messages: "pack-….pack".
  const std::string& name() const { return name_; }
  // How many entries the pack says it has.
  uint32_t entry_count() const { return entry_count_; }
  // Where the last entry ends.
  uint64_t end() const { return file_.size() - ObjectId::kBytes; }
  // Bytes [begin, end) of the pack; the caller keeps to begin <= end <= this->end().
  std::span<const uint8_t> Bytes(uint64_t begin, uint64_t end) const {
    return {file_.data() + begin, file_.data() + end};
  }
  const uint8_t* data() const { return file_.data(); }

  // Parses the header of the entry at `offset`, which must end before `limit`. False: it is damaged.
  // kHeaderBytes <= offset <= limit <= end().
  bool ParseHeader(uint64_t offset, uint64_t limit, EntryHeader* header) const;

  const MappedFile& file() const { return file_; }

 private:
  MappedFile file_;
  std::string name_;
  uint32_t entry_count_ = 0;
};

}  // namespace unsprawl
