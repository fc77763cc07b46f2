// Characters that stand escaped in a line: %40 of addresses, \u0040 \x40 \" \n of string literals, &#64; &quot; of markup.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace unsprawl {

// Which are meant; bits.
enum EscapeKinds : uint8_t {
  kPercentEscapes = 1 << 0,
  kBackslashEscapes = 1 << 1,  // of C, JSON, JavaScript, Python alike
  kEntities = 1 << 2,          // numeric, and those that XML knows
  // A quote that is not escaped is read as a newline: what stands between two is a text of its own, as the value of a
  // string literal is.
  kQuotesBreak = 1 << 3,
  kAllEscapes = kPercentEscapes | kBackslashEscapes | kEntities | kQuotesBreak,
};

// What begins at one place of a text: an escape, or one byte that stands for itself.
struct EscapeToken {
  uint32_t bytes = 1;     // in the text
  uint32_t point = 0;     // what it stands for: a code point, or a byte where `is_byte`
  bool is_byte = true;
  // Bytes of what it stands for, in UTF-8.
  uint32_t decoded_bytes() const { return is_byte || point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4; }
  void AppendTo(std::string* text) const;
};

// The token at text[at]. Escapes of control characters other than \t, \n and \r, and surrogates, are left as they are.
EscapeToken EscapeTokenAt(std::string_view text, uint64_t at, uint8_t kinds);

// `text` with its escapes undone, from left to right and once. Never longer than `text`.
std::string Unescape(std::string_view text, uint8_t kinds);

// A line, without its newline.
struct EscapedLine {
  uint64_t start, end;
};

// The first line at `from` (where a line begins) or later with an escape that tells: one that hides a sign of assignment,
// a quote beside one, a mark of an address or a letter, so that rules may not see what stands there. Depends on the line
// alone. Time: far less than to scan the text.
std::optional<EscapedLine> FindEscapedLine(std::string_view text, uint64_t from);

// What `text`[start, end), a value, stands for where it is written: percent escapes are undone within an address,
// others wherever they leave no doubt (entities, \u0040, \x40).
std::string ValueOf(std::string_view text, uint64_t start, uint64_t end);

}  // namespace unsprawl
