#include "engine/archive/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <zlib.h>

#include <algorithm>
#include <memory>
#include <string>

namespace unsprawl {
namespace {

constexpr int kMaxLayers = 8;               // streams in streams as well
constexpr size_t kTarMagicAt = 257, kTarBlockBytes = 512;
constexpr size_t kTarSumAt = 148, kTarSumBytes = 8;

// The sum over a tar header, with its own field as spaces, is what the field says in octal digits.
bool TarSumHolds(std::string_view header) {
  uint32_t sum = 0, said = 0;
  for (size_t i = 0; i < kTarBlockBytes; ++i) {
    const bool own = i >= kTarSumAt && i < kTarSumAt + kTarSumBytes;
    sum += own ? ' ' : static_cast<unsigned char>(header[i]);
    if (own && header[i] >= '0' && header[i] <= '7') said = said * 8 + static_cast<uint32_t>(header[i] - '0');
  }
  return sum == said;
}

// zlib's stream of "blob 12\0…".
bool IsLooseObject(std::string_view content) {
  if (content.size() < 8 || content[0] != 'x' ||
      (static_cast<unsigned char>(content[0]) << 8 | static_cast<unsigned char>(content[1])) % 31 != 0) {
    return false;
  }
  char start[16] = {};
  z_stream stream = {};
  if (inflateInit(&stream) != Z_OK) return false;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(std::min<size_t>(content.size(), 4096));
  stream.next_out = reinterpret_cast<Bytef*>(start);
  stream.avail_out = sizeof(start);
  const int status = inflate(&stream, Z_SYNC_FLUSH);
  const std::string_view text(start, sizeof(start) - stream.avail_out);
  inflateEnd(&stream);
  if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) return false;
  const bool typed = text.starts_with("blob ") || text.starts_with("tree ") || text.starts_with("commit ") ||
                     text.starts_with("tag ");
  const size_t digits = text.find(' ') + 1;
  const size_t end = text.find_first_not_of("0123456789", digits);
  return typed && end != std::string_view::npos && end > digits && text[end] == '\0';
}

struct ReadFree {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Reader = std::unique_ptr<archive, ReadFree>;

// The one reader that a kind needs. Never support_filter_all: it runs programs.
Reader Open(std::string_view content, ArchiveKind kind) {
  Reader reader(archive_read_new());
  if (reader == nullptr) return nullptr;
  archive* const a = reader.get();
  switch (kind) {
    case ArchiveKind::kZip: archive_read_support_format_zip(a); break;
    case ArchiveKind::kSevenZip: archive_read_support_format_7zip(a); break;
    case ArchiveKind::kTar: archive_read_support_format_tar(a); break;
    default:
      archive_read_support_filter_gzip(a);
      archive_read_support_filter_bzip2(a);
      archive_read_support_filter_xz(a);
      archive_read_support_filter_zstd(a);
      archive_read_support_format_raw(a);  // A tar archive in it is entered by itself: what lies behind its end is seen.
      archive_read_support_format_empty(a);
  }
  if (archive_read_open_memory(a, content.data(), content.size()) != ARCHIVE_OK) return nullptr;
  return reader;
}

locale_t Utf8Locale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

// libarchive converts names into the thread's encoding.
class Utf8Thread {
 public:
  Utf8Thread() : before_(Utf8Locale() == nullptr ? nullptr : uselocale(Utf8Locale())) {}
  ~Utf8Thread() {
    if (before_ != nullptr) uselocale(before_);
  }
  Utf8Thread(const Utf8Thread&) = delete;
  Utf8Thread& operator=(const Utf8Thread&) = delete;

 private:
  const locale_t before_;
};

class Walk {
 public:
  Walk(const ArchiveLimits& limits, absl::FunctionRef<void(const ArchiveMember&)> visit)
      : limits_(limits), visit_(visit), left_(limits.max_bytes), skippable_(limits.max_bytes) {}

  // Of an archive that `path` leads to, in `depth` others; `layer` counts streams as well.
  void Enter(std::string_view content, ArchiveKind kind, const std::string& path, int depth, int layer) {
    if (kind == ArchiveKind::kUnread) return Note(kGapUnread);
    const bool is_stream = kind == ArchiveKind::kStream;
    if (layer > kMaxLayers || (depth >= limits_.max_depth && !is_stream)) return Note(kGapBeyond);
    const Reader reader = Open(content, kind);
    if (reader == nullptr) return Note(kGapDamaged);
    archive* const a = reader.get();
    archive_entry* entry = nullptr;
    for (bool more = true; more && Next(a, &entry);) {
      more = is_stream ? ReadStream(a, path, depth, layer) : ReadMember(a, entry, path, depth + 1, layer);
    }
  }

  uint32_t gaps() const { return gaps_; }

 private:
  void Note(ArchiveGap gap) { gaps_ |= gap; }

  // False: there is no other.
  bool Next(archive* a, archive_entry** entry) {
    const int status = archive_read_next_header(a, entry);
    if (status == ARCHIVE_EOF) return false;
    const bool readable = status >= ARCHIVE_WARN;  // a warning is of its name
    if (!readable) Note(archive_read_has_encrypted_entries(a) > 0 ? kGapEncrypted : kGapDamaged);
    if (readable && members_++ < limits_.max_members) return true;
    if (readable) Note(kGapBeyond);
    return false;
  }

  // False: nothing more can be read of this archive.
  bool ReadMember(archive* a, archive_entry* entry, const std::string& path, int depth, int layer) {
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) return true;
    if (archive_entry_is_data_encrypted(entry)) {
      Note(kGapEncrypted);
      return true;
    }
    const uint64_t bytes = archive_entry_size_is_set(entry) ? static_cast<uint64_t>(archive_entry_size(entry)) : 0;
    if (bytes > (IsTar(a) ? limits_.max_bytes : left_)) {
      Note(kGapBeyond);
      return MaySkip(a, bytes);
    }
    std::string content;
    content.reserve(bytes);
    bool beyond = false;
    const bool more = Read(a, &content, &beyond);
    // Cut it would end within a line.
    if (!beyond) Take(content, PathOf(entry, path), depth, layer);
    return more;
  }

  // What a tar archive holds was counted with it: nothing in it is larger than its bytes.
  static bool IsTar(archive* a) { return (archive_format(a) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR; }

  // Members of 7z are not found without unpacking those before, so what is passed over has an end as well.
  bool MaySkip(archive* a, uint64_t bytes) {
    if (archive_format(a) != ARCHIVE_FORMAT_7ZIP) return true;
    if (bytes > skippable_) return false;
    skippable_ -= bytes;
    return true;
  }

  bool ReadStream(archive* a, const std::string& path, int depth, int layer) {
    if (archive_filter_count(a) <= 1) {  // The bytes as they are: no stream after all.
      Note(kGapDamaged);
      return false;
    }
    std::string content;
    bool beyond = false;
    const bool more = Read(a, &content, &beyond);
    const ArchiveKind kind = KindOfArchive(content);
    if (!IsArchive(kind)) {
      if (beyond) content.resize(content.rfind('\n') + 1);  // npos + 1 is 0
      Show(content, kind, path);
      return more;
    }
    const uint32_t before = gaps_;
    Enter(content, kind, path, depth, layer + 1);
    if (beyond) gaps_ = before | (gaps_ & ~uint32_t{kGapDamaged});  // It was we who cut it.
    visit_({path, content, true});
    return more;
  }

  // A member, and first what is in it if it is an archive.
  void Take(std::string_view content, const std::string& path, int depth, int layer) {
    const ArchiveKind kind = KindOfArchive(content);
    if (!IsArchive(kind)) return Show(content, kind, path);
    Enter(content, kind, path, depth, layer + 1);
    if (kind != ArchiveKind::kStream) visit_({path, content, true});
  }

  void Show(std::string_view content, ArchiveKind kind, const std::string& path) {
    if (kind == ArchiveKind::kGitData) Note(kGapGitData);
    visit_({path, content, false});
  }

  // As much as there is and may be (*beyond: there is more); holes of sparse files are left out. False: nothing can be
  // read behind it.
  bool Read(archive* a, std::string* content, bool* beyond) {
    for (;;) {
      const void* block = nullptr;
      size_t bytes = 0;
      la_int64_t offset = 0;
      const int status = archive_read_data_block(a, &block, &bytes, &offset);
      if (status == ARCHIVE_EOF) return true;
      if (status != ARCHIVE_OK) Note(kGapDamaged);
      if (status < ARCHIVE_WARN || (status != ARCHIVE_OK && bytes == 0)) return status > ARCHIVE_FATAL;
      const size_t may = IsTar(a) ? bytes : static_cast<size_t>(std::min<uint64_t>(bytes, left_));
      content->append(static_cast<const char*>(block), may);
      if (!IsTar(a)) left_ -= may;
      if (may < bytes) {
        Note(kGapBeyond);
        *beyond = true;
        return false;
      }
    }
  }

  std::string PathOf(archive_entry* entry, const std::string& path) const {
    const char* name = archive_entry_pathname_utf8(entry);
    if (name == nullptr) name = archive_entry_pathname(entry);
    std::string_view own = name == nullptr ? "" : name;
    while (own.starts_with("./")) own.remove_prefix(2);
    std::string whole = path.empty() ? "" : path + "!";
    whole += own.empty() ? "#" + std::to_string(members_) : std::string(own);
    if (whole.size() > limits_.max_path_bytes) whole.resize(limits_.max_path_bytes);
    return whole;
  }

  const ArchiveLimits& limits_;
  const absl::FunctionRef<void(const ArchiveMember&)> visit_;
  uint64_t left_;        // bytes that may still be unpacked
  uint64_t skippable_;   // … and unpacked without being held
  uint32_t members_ = 0;
  uint32_t gaps_ = 0;
};

}  // namespace

ArchiveKind KindOfArchive(std::string_view content) {
  using enum ArchiveKind;
  if (content.size() < 4) return kNone;
  switch (content[0]) {
    case 'P':
      if (content.starts_with("PK\3\4") || content.starts_with("PK\5\6") || content.starts_with("PK\7\10")) return kZip;
      if (content.starts_with(std::string_view("PACK\0\0\0\2", 8)) ||
          content.starts_with(std::string_view("PACK\0\0\0\3", 8))) {
        return kGitData;
      }
      break;
    case '7':
      if (content.starts_with("7z\xbc\xaf\x27\x1c")) return kSevenZip;
      break;
    case '\x1f':
      if (content.starts_with("\x1f\x8b\x08")) return kStream;
      if (content.starts_with("\x1f\x9d")) return kUnread;
      break;
    case 'B':
      if (content.starts_with("BZh") && content.size() > 10 && content[3] >= '1' && content[3] <= '9' &&
          (content.substr(4, 6) == "1AY&SY" || content.substr(4, 6) == "\x17rE8P\x90")) {
        return kStream;
      }
      break;
    case '\xfd':
      if (content.starts_with(std::string_view("\xfd" "7zXZ\0", 6))) return kStream;
      break;
    case '\x28':
      if (content.starts_with("\x28\xb5\x2f\xfd")) return kStream;
      break;
    case 'R':
      if (content.starts_with("Rar!\x1a\x07")) return kUnread;
      break;
    case 'M':
      if (content.starts_with(std::string_view("MSCF\0\0\0\0", 8))) return kUnread;
      break;
    case '\x04':
      if (content.starts_with("\x04\x22\x4d\x18")) return kUnread;
      break;
    case 'L':
      if (content.starts_with("LZIP\1")) return kUnread;
      break;
    case '#':
      if (content.starts_with("# v2 git bundle\n") || content.starts_with("# v3 git bundle\n")) return kGitData;
      break;
    case '\xff':
      if (content.starts_with("\xfftOc")) return kGitData;
      break;
    case 'x':
      if (IsLooseObject(content)) return kGitData;
      break;
  }
  if (content.size() >= kTarBlockBytes && content.substr(kTarMagicAt, 5) == "ustar" && TarSumHolds(content)) return kTar;
  return kNone;
}

ArchiveKind KindOfArchive(std::string_view content, std::string_view decoded) {
  const ArchiveKind kind = KindOfArchive(content);
  if (kind != ArchiveKind::kStream || decoded.empty()) return kind;
  const ArchiveKind inner = KindOfArchive(decoded);
  return IsArchive(inner) ? ArchiveKind::kStream : inner;
}

uint32_t VisitMembers(std::string_view content, const ArchiveLimits& limits,
                      absl::FunctionRef<void(const ArchiveMember&)> visit) {
  const Utf8Thread utf8;
  Walk walk(limits, visit);
  walk.Enter(content, KindOfArchive(content), "", 0, 1);
  return walk.gaps();
}

void PrepareArchives() { (void)Utf8Locale(); }

}  // namespace unsprawl
