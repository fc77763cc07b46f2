#include "engine/match/escapes.h"

#include <algorithm>
#include <cstring>

#include "engine/base/lines.h"
#include "engine/base/utf8.h"
#include "engine/judge/text_shape.h"

namespace unsprawl {
namespace {

constexpr uint64_t kNameBytes = 40;      // of a name that is looked for behind an escape
constexpr uint64_t kRunBytes = 32;       // of base64 behind \n: a wrapped text
constexpr uint64_t kAddressBytes = 300;  // before a value in which its address begins

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The number that `digits` hexadecimal digits at `at` are, or -1.
int HexAt(std::string_view text, uint64_t at, uint64_t digits) {
  if (at + digits > text.size()) return -1;
  int value = 0;
  for (uint64_t i = at; i < at + digits; ++i) {
    const int digit = HexValue(text[i]);
    if (digit < 0) return -1;
    value = value << 4 | digit;
  }
  return value;
}

bool IsText(uint32_t point) {
  if (point < ' ') return point == '\t' || point == '\n' || point == '\r';
  return point != 0x7f && !(point >= 0xd800 && point < 0xe000) && point <= 0x10ffff;
}

EscapeToken Literal(char c) { return {.bytes = 1, .point = static_cast<unsigned char>(c), .is_byte = true}; }

EscapeToken PercentAt(std::string_view text, uint64_t at) {
  const int value = HexAt(text, at + 1, 2);
  if (value < 0 || !IsText(static_cast<uint32_t>(value))) return Literal('%');
  return {.bytes = 3, .point = static_cast<uint32_t>(value), .is_byte = true};
}

EscapeToken BackslashAt(std::string_view text, uint64_t at) {
  if (at + 1 >= text.size()) return Literal('\\');
  const auto one = [](char c) { return EscapeToken{.bytes = 2, .point = static_cast<unsigned char>(c), .is_byte = true}; };
  switch (const char next = text[at + 1]; next) {
    case '\\':
    case '"':
    case '\'':
    case '/': return one(next);
    case 'n': return one('\n');
    case 'r': return one('\r');
    case 't': return one('\t');
    case 'u':
    case 'x': {
      const uint64_t digits = next == 'u' ? 4 : 2;
      const int value = HexAt(text, at + 2, digits);
      if (value < 0 || !IsText(static_cast<uint32_t>(value))) return Literal('\\');
      return {.bytes = static_cast<uint32_t>(2 + digits), .point = static_cast<uint32_t>(value), .is_byte = next == 'x'};
    }
    default: return Literal('\\');
  }
}

EscapeToken NumericEntityAt(std::string_view text, uint64_t at) {
  const bool hex = at + 2 < text.size() && (text[at + 2] | 0x20) == 'x';
  const uint64_t first = at + (hex ? 3 : 2);
  uint32_t value = 0;
  uint64_t end = first;
  for (; end < text.size() && end < first + 7; ++end) {
    const int digit = hex || IsDigit(text[end]) ? HexValue(text[end]) : -1;
    if (digit < 0) break;
    value = value * (hex ? 16 : 10) + static_cast<uint32_t>(digit);
  }
  if (end == first || end >= text.size() || text[end] != ';' || !IsText(value)) return Literal('&');
  return {.bytes = static_cast<uint32_t>(end + 1 - at), .point = value, .is_byte = false};
}

EscapeToken EntityAt(std::string_view text, uint64_t at) {
  struct Named {
    std::string_view name;
    char c;
  };
  static constexpr Named kNamed[] = {{"amp;", '&'}, {"quot;", '"'}, {"lt;", '<'}, {"gt;", '>'}, {"apos;", '\''}};
  const std::string_view rest = text.substr(at + 1, 5);
  if (rest.starts_with('#')) return NumericEntityAt(text, at);
  for (const Named& one : kNamed) {
    if (!rest.starts_with(one.name)) continue;
    return {.bytes = static_cast<uint32_t>(1 + one.name.size()), .point = static_cast<unsigned char>(one.c), .is_byte = true};
  }
  return Literal('&');
}

// Whether a quote at text[start, end) stands beside a sign of assignment or a bracket of a call, or one space from it.
bool StandsByAssignment(std::string_view text, uint64_t start, uint64_t end) {
  if (end < text.size() && text[end] == ' ') ++end;
  if (end < text.size() && (text[end] == ':' || text[end] == '=')) return true;
  if (start > 0 && text[start - 1] == ' ') --start;
  return start > 0 && std::string_view(":=(").find(text[start - 1]) != std::string_view::npos;
}

// Whether a name with a sign of assignment behind it begins at `at`.
bool IsAssignedName(std::string_view text, uint64_t at) {
  const uint64_t limit = std::min<uint64_t>(text.size(), at + kNameBytes);
  uint64_t end = at;
  while (end < limit && (IsAlnum(text[end]) || text[end] == '_' || text[end] == '-' || text[end] == '.')) ++end;
  if (end < at + 2) return false;
  while (end < limit && text[end] == ' ') ++end;
  return end < text.size() && (text[end] == '=' || text[end] == ':');
}

bool IsBase64Run(std::string_view text, uint64_t at) {
  const std::string_view run = text.substr(at, kRunBytes);
  return run.size() == kRunBytes && std::all_of(run.begin(), run.end(), [](char c) { return IsAlnum(c) || c == '+' || c == '/'; });
}

bool PercentTells(std::string_view text, uint64_t at) {
  const int value = HexAt(text, at + 1, 2);
  if (value == '%') return HexAt(text, at + 3, 2) >= 0;
  return value > 0 && std::string_view(":=&@\"'{").find(static_cast<char>(value)) != std::string_view::npos;
}

bool BackslashTells(std::string_view text, uint64_t at) {
  if (at + 1 >= text.size()) return false;
  switch (text[at + 1]) {
    case '"':
    case '\'': return StandsByAssignment(text, at, at + 2);
    case 'n': return IsAssignedName(text, at + 2) || IsBase64Run(text, at + 2);
    case '/': return at > 0 && text[at - 1] == ':' && text.substr(at + 2, 2) == "\\/";
    case 'u': {
      const int value = HexAt(text, at + 2, 4);
      return value >= ' ' && value < 0x7f;
    }
    case 'x': {  // two of them: one is mostly a colour of a terminal
      const int first = HexAt(text, at + 2, 2);
      if (first < ' ' || first >= 0x7f) return false;
      const int second = text.substr(at + 4, 2) == "\\x" ? HexAt(text, at + 6, 2) : -1;
      return second >= ' ' && second < 0x7f;
    }
    default: return false;
  }
}

bool EntityTells(std::string_view text, uint64_t at) {
  if (at + 1 >= text.size() || std::string_view("#aql").find(text[at + 1]) == std::string_view::npos) return false;
  const EscapeToken token = EntityAt(text, at);
  if (token.bytes == 1) return false;
  switch (token.point) {
    case '"':
    case '\'': return StandsByAssignment(text, at, at + token.bytes);
    case '&': return IsAssignedName(text, at + token.bytes) || text.substr(at + token.bytes, 1) == "#";
    case '<': return text.substr(at + token.bytes, 1) == "/";
    default: return token.point > ' ' && token.point < 0x7f;
  }
}

bool Tells(std::string_view text, uint64_t at) {
  switch (text[at]) {
    case '%': return PercentTells(text, at);
    case '\\': return BackslashTells(text, at);
    default: return EntityTells(text, at);
  }
}

bool IsEscapeByte(char c) { return c == '%' || c == '\\' || c == '&'; }

// Where the first escape that tells begins, at `at` or later; the text's size when there is none. Sixteen bytes at a time:
// all that is scanned comes by here.
uint64_t FirstTelling(std::string_view text, uint64_t at) {
  typedef uint8_t Sixteen __attribute__((vector_size(16)));
  for (; at + sizeof(Sixteen) <= text.size(); at += sizeof(Sixteen)) {
    Sixteen bytes;
    std::memcpy(&bytes, text.data() + at, sizeof(bytes));
    const auto hits = (bytes == '%') | (bytes == '\\') | (bytes == '&');  // all ones where one is
    uint64_t halves[2];
    std::memcpy(halves, &hits, sizeof(hits));
    if ((halves[0] | halves[1]) == 0) continue;
    for (uint64_t half = 0; half < 2; ++half) {
      for (uint64_t left = halves[half]; left != 0;) {
        const int bit = __builtin_ctzll(left) / 8 * 8;  // of the first one: little-endian
        left &= ~(uint64_t{0xff} << bit);
        const uint64_t place = at + 8 * half + static_cast<uint64_t>(bit) / 8;
        if (Tells(text, place)) return place;
      }
    }
  }
  while (at < text.size() && !(IsEscapeByte(text[at]) && Tells(text, at))) ++at;
  return at;
}

// Whether the value at text[start] is a part of an address or of a form.
bool IsInAddress(std::string_view text, uint64_t start) {
  std::string_view before = text.substr(start - std::min(start, kAddressBytes), std::min(start, kAddressBytes));
  if (const size_t cut = before.find_last_of(" \t\n\"'`<>"); cut != std::string_view::npos) before.remove_prefix(cut + 1);
  if (before.find("://") != std::string_view::npos) return true;
  return before.ends_with('=') && before.find_first_of("?&") != std::string_view::npos;
}

}  // namespace

void EscapeToken::AppendTo(std::string* text) const {
  if (is_byte) {
    text->push_back(static_cast<char>(point));
  } else {
    AppendUtf8(point, text);
  }
}

EscapeToken EscapeTokenAt(std::string_view text, uint64_t at, uint8_t kinds) {
  const char c = text[at];
  if (c == '%' && (kinds & kPercentEscapes) != 0) return PercentAt(text, at);
  if (c == '\\' && (kinds & kBackslashEscapes) != 0) return BackslashAt(text, at);
  if (c == '&' && (kinds & kEntities) != 0) return EntityAt(text, at);
  return Literal(c == '"' && (kinds & kQuotesBreak) != 0 ? '\n' : c);
}

std::string Unescape(std::string_view text, uint8_t kinds) {
  std::string plain;
  plain.reserve(text.size());
  for (uint64_t at = 0; at < text.size();) {
    const EscapeToken token = EscapeTokenAt(text, at, kinds);
    token.AppendTo(&plain);
    at += token.bytes;
  }
  return plain;
}

std::optional<EscapedLine> FindEscapedLine(std::string_view text, uint64_t from) {
  const uint64_t at = FirstTelling(text, from);
  if (at == text.size()) return std::nullopt;
  return EscapedLine{AfterLastNewline(text, from, at), std::min<uint64_t>(text.find('\n', at), text.size())};
}

std::string ValueOf(std::string_view text, uint64_t start, uint64_t end) {
  const std::string_view value = text.substr(start, end - start);
  uint8_t kinds = kEntities;
  if (value.find("\\u") != std::string_view::npos || value.find("\\x") != std::string_view::npos) kinds |= kBackslashEscapes;
  if (value.find('%') != std::string_view::npos && IsInAddress(text, start)) kinds |= kPercentEscapes;
  return std::none_of(value.begin(), value.end(), IsEscapeByte) ? std::string(value) : Unescape(value, kinds);
}

}  // namespace unsprawl
