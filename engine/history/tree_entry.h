// One entry of a tree object (git: Documentation/user-manual "tree object"; "<mode> <name>\0<20 bytes>").
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "engine/base/object_id.h"

namespace unsprawl {

// Views point into the content that was parsed.
struct ParsedTreeEntry {
  static constexpr uint32_t kTypeMask = 0170000;
  static constexpr uint32_t kFolder = 0040000;
  static constexpr uint32_t kFile = 0100000;
  static constexpr uint32_t kSymlink = 0120000;
  static constexpr uint32_t kGitlink = 0160000;

  std::string_view name;
  uint32_t mode = 0;
  const char* id = nullptr;  // 20 raw bytes
  size_t next = 0;           // where the following entry begins

  bool IsFolder() const { return (mode & kTypeMask) == kFolder; }
  bool IsGitlink() const { return (mode & kTypeMask) == kGitlink; }
};

// Parses the entry at byte `at` of a tree. False: there is no whole entry; `entry` is then undefined.
inline bool ParseTreeEntry(std::string_view content, size_t at, ParsedTreeEntry& entry) {
  const char* const end = content.data() + content.size();
  const char* p = content.data() + at;
  const char* const mode_begin = p;
  entry.mode = 0;
  for (; p < end && *p >= '0' && *p <= '7' && p - mode_begin < 8; ++p) {
    entry.mode = entry.mode << 3 | static_cast<uint32_t>(*p - '0');
  }
  if (p == mode_begin || p == end || *p != ' ') return false;
  ++p;
  const char* const zero =
      static_cast<const char*>(std::memchr(p, '\0', static_cast<size_t>(end - p)));
  if (zero == nullptr || static_cast<size_t>(end - zero) < 1 + ObjectId::kBytes) return false;
  entry.name = {p, static_cast<size_t>(zero - p)};
  entry.id = zero + 1;
  entry.next = static_cast<size_t>(entry.id + ObjectId::kBytes - content.data());
  return true;
}

}  // namespace unsprawl
