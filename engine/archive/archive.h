// What is inside an archive or a document that is held as a blob.
//
// Read by libarchive, in memory, with the readers named in archive.cc and no others: no program is run, nothing is
// written, and no file is opened once PrepareArchives was called. Everything in an archive is hostile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/functional/function_ref.h"

namespace unsprawl {

// By the first bytes.
enum class ArchiveKind : uint8_t {
  kNone,
  kZip,      // with what is made of it: jar, docx, xlsx, odt
  kSevenZip,
  kTar,      // POSIX and GNU: with "ustar"
  kStream,   // one compressed stream: gzip, bzip2, xz, zstd; of a tar archive or of a single file
  kUnread,   // an archive of a kind that is not read: rar, cab, lz4, lzip, compress
  kGitData,  // a pack, its index, a bundle, a loose object: git's own, compressed, and no archive to look into
};
ArchiveKind KindOfArchive(std::string_view content);
// The same of a blob of which DecodeText made `decoded` (empty: it is its own text): a stream whose text could be read so
// is no archive, unless that is one.
ArchiveKind KindOfArchive(std::string_view content, std::string_view decoded);
constexpr bool IsArchive(ArchiveKind kind) { return kind != ArchiveKind::kNone && kind != ArchiveKind::kGitData; }

struct ArchiveLimits {
  uint64_t max_bytes = 64 << 20;      // of all that is unpacked, archives within it included
  uint32_t max_members = 1 << 16;     // of all archives within one another
  int max_depth = 3;                  // archives within archives; a compressed stream counts as none
  size_t max_path_bytes = 1024;       // a longer name is cut
};

// What could not be read; a set.
enum ArchiveGap : uint32_t {
  kGapEncrypted = 1 << 0,
  kGapDamaged = 1 << 1,   // or compressed by a method that is not known
  kGapBeyond = 1 << 2,    // what ArchiveLimits allows
  kGapUnread = 1 << 3,    // ArchiveKind::kUnread
  kGapGitData = 1 << 4,   // ArchiveKind::kGitData
};

struct ArchiveMember {
  // Names from the outermost archive's members inwards, joined by '!'; raw bytes as the archive has them. Empty: the text
  // of a stream that stands alone.
  std::string_view path;
  std::string_view content;  // less than 4 GiB
  bool is_archive;           // its members were visited before
};

// Calls `visit` for every member that is a file, in the order of the archive; what is in an archive before the archive
// itself. What is damaged is visited as far as it could be read. Arguments live as long as the call. Returns the gaps.
// `content` is of a kind for which IsArchive holds; less than 4 GiB. Beside it a few times limits.max_bytes are held at
// most, and what libarchive needs. Thread-safe.
uint32_t VisitMembers(std::string_view content, const ArchiveLimits& limits,
                      absl::FunctionRef<void(const ArchiveMember&)> visit);

// Loads what turns names into UTF-8: before the process is confined, while it has one thread. Without it names that are
// not ASCII may be replaced by numbers.
void PrepareArchives();

}  // namespace unsprawl
