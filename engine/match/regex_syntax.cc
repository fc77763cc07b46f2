#include "engine/match/regex_syntax.h"

#include <cctype>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

void AppendByte(int byte, std::string* out) {
  if (byte < 128 && std::isalnum(byte)) {
    out->push_back(static_cast<char>(byte));
  } else {
    out->append(absl::StrFormat("\\x%02x", byte));
  }
}

}  // namespace

void AppendSet(const std::bitset<256>& set, std::string* out) {
  if (set.none()) {
    out->append("[^\\x00-\\xff]");
    return;
  }
  std::string ranges;
  for (int low = 0; low < 256; ++low) {
    if (!set[low]) continue;
    int high = low;
    while (high < 255 && set[high + 1]) ++high;
    AppendByte(low, &ranges);
    if (high > low + 1) ranges.push_back('-');
    if (high > low) AppendByte(high, &ranges);
    low = high;
  }
  if (set.count() == 1) {
    out->append(ranges);
  } else {
    out->append("[").append(ranges).append("]");
  }
}

size_t PosixClassLength(std::string_view text, size_t pos) {
  if (text.substr(pos, 2) != "[:") return 0;
  const size_t end = text.find(":]", pos + 2);
  return end == std::string_view::npos ? 0 : end + 2 - pos;
}

size_t EscapeLength(std::string_view text, size_t pos) {
  if (pos + 1 >= text.size()) return 1;
  const char c = text[pos + 1];
  if (c == 'x' || c == 'p' || c == 'P') {
    if (text.substr(pos + 2, 1) == "{") {
      const size_t end = text.find('}', pos);
      return end == std::string_view::npos ? text.size() - pos : end + 1 - pos;
    }
    return c == 'x' ? 4 : 3;
  }
  if (!IsOctal(c)) return 2;
  size_t length = 2;
  while (length < 4 && pos + length < text.size() && IsOctal(text[pos + length])) ++length;
  return length;
}

bool IsGroupEscape(std::string_view escape) {
  return escape.size() >= 2 && std::string_view("dDwWsSpP").find(escape[1]) != std::string_view::npos;
}

std::string OnlyNamedMembers(std::string_view text) {
  std::string named;
  for (size_t pos = 1; pos + 1 < text.size();) {
    size_t length = 1;
    bool group = false;
    if (const size_t posix = PosixClassLength(text, pos); posix > 0) {
      length = posix, group = true;
    } else if (text[pos] == '\\') {
      length = EscapeLength(text, pos);
      group = IsGroupEscape(text.substr(pos, length));
    }
    if (!group) named.append(text.substr(pos, length));
    pos += length;
  }
  return named.empty() ? named : "[" + named + "]";
}

size_t ClassLength(std::string_view text, size_t pos) {
  size_t end = pos + 1;
  if (end < text.size() && text[end] == '^') ++end;
  if (end < text.size() && text[end] == ']') ++end;  // A first bracket is a member.
  while (end < text.size() && text[end] != ']') {
    const size_t posix = PosixClassLength(text, end);
    end += posix > 0 ? posix : text[end] == '\\' ? EscapeLength(text, end) : 1;
  }
  return end < text.size() ? end + 1 - pos : 0;
}

size_t RepeatLength(std::string_view text, size_t pos) {
  size_t end = pos + 1;
  const auto number = [&] {  // 01 is none.
    const size_t from = end;
    while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end]))) ++end;
    return end == from + 1 || (end > from && text[from] != '0');
  };
  if (!number()) return 0;
  if (end < text.size() && text[end] == ',') {
    ++end;
    if (end < text.size() && text[end] != '}' && !number()) return 0;
  }
  return end < text.size() && text[end] == '}' ? end + 1 - pos : 0;
}

std::optional<GroupHead> ReadGroupHead(std::string_view text, size_t pos, RegexFlags flags) {
  if (text.substr(pos, 2) != "(?") return GroupHead{.length = 1, .flags = flags};
  if (text.substr(pos, 4) == "(?P<") {
    const size_t end = text.find('>', pos);
    if (end == std::string_view::npos) return std::nullopt;
    return GroupHead{.length = end + 1 - pos, .flags = flags};
  }
  bool value = true;
  for (size_t at = pos + 2; at < text.size(); ++at) {
    switch (text[at]) {
      case '-': value = false; break;
      case 'i': flags.ignore_case = value; break;
      case 'm': flags.multi_line = value; break;
      case 's': flags.dot_newline = value; break;
      case 'U': break;  // greediness only
      case ':':
      case ')': return GroupHead{.length = at + 1 - pos, .opens = text[at] == ':', .flags = flags};
      default: return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace unsprawl
