#include "engine/history/ignore_file.h"

#include <algorithm>
#include <charconv>

namespace unsprawl {
namespace {

constexpr size_t kHexDigits = 2 * ObjectId::kBytes;

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\v\f";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

// Cuts what follows the last colon off `text`. False: there is no colon, or nothing on one of its sides.
bool TakeLast(std::string_view& text, std::string_view& last) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size()) return false;
  last = text.substr(colon + 1);
  text = text.substr(0, colon);
  return true;
}

std::optional<IgnoreEntry> ParseEntry(std::string_view text) {
  IgnoreEntry entry;
  std::string_view line;
  if (text.find('\0') != std::string_view::npos || !TakeLast(text, line) || !TakeLast(text, entry.rule)) return std::nullopt;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), entry.line);
  if (error != std::errc() || end != line.data() + line.size()) return std::nullopt;
  if (text.size() > kHexDigits + 1 && text[kHexDigits] == ':') {
    entry.commit = ObjectId::FromHex(text.substr(0, kHexDigits));
    if (entry.commit) text.remove_prefix(kHexDigits + 1);
  }
  entry.path = text;
  return entry;
}

}  // namespace

IgnoreFile ParseIgnoreFile(std::string_view text, size_t max_entries) {
  IgnoreFile file;
  for (size_t number = 1; !text.empty() && file.entries.size() < max_entries; ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line[0] == '#') continue;
    if (const std::optional<IgnoreEntry> entry = ParseEntry(line)) {
      file.entries.push_back(*entry);
    } else if (file.bad_line == 0) {
      file.bad_line = number;
    }
  }
  return file;
}

}  // namespace unsprawl
