// A .gitleaksignore file: findings that somebody wants left out, one a line (gitleaks' format):
//
//   # a comment
//   path:rule-id:line
//   commit:path:rule-id:line
//
// Read from the right, so that a path may hold colons; a path within an archive ("a.zip!b.txt") is a path.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/object_id.h"

namespace unsprawl {

// One finding. Views point into the text that was parsed.
struct IgnoreEntry {
  std::optional<ObjectId> commit;  // that introduced it; unset: any
  std::string_view path, rule;     // never empty
  uint32_t line = 0;               // 1-based; gitleaks' rules of paths alone write 0
  auto operator<=>(const IgnoreEntry&) const = default;
};

struct IgnoreFile {
  std::vector<IgnoreEntry> entries;  // in the order of lines, at most as many as asked for
  size_t bad_line = 0;               // the first that is no entry, 1-based; 0: there is none
};

// Blanks around a line mean nothing, as in gitleaks; lines that are no entry are passed over. Takes time linear in `text`.
IgnoreFile ParseIgnoreFile(std::string_view text, size_t max_entries);

// What a repository may make us read of its own file.
struct IgnoreLimits {
  uint64_t max_file_bytes = 1 << 20;  // a larger one is not read
  size_t max_entries = 10'000;        // those of the first lines
  uint32_t max_commits = 20'000;      // followed to find who wrote the entries …
  uint64_t max_bytes = 256 << 20;     // … of trees and versions of the file
};

}  // namespace unsprawl
