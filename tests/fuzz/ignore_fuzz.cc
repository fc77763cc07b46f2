// A .gitleaksignore from strangers.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "engine/base/status.h"
#include "engine/history/ignore_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const unsprawl::IgnoreFile file = unsprawl::ParseIgnoreFile(text, 100);
  const size_t lines = 1 + static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  CHECK(file.entries.size() <= std::min<size_t>(100, lines) && file.bad_line <= lines);
  const auto inside = [&](std::string_view piece) {
    return !piece.empty() && piece.data() >= text.data() && piece.data() + piece.size() <= text.data() + text.size();
  };
  for (const unsprawl::IgnoreEntry& entry : file.entries) {
    CHECK(inside(entry.path) && inside(entry.rule) && entry.rule.find(':') == std::string_view::npos);
    CHECK(entry.path.find_first_of(std::string_view("\n\0", 2)) == std::string_view::npos);
  }
  return 0;
}
