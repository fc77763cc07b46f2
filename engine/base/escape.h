// Bytes from strangers (names of repositories, refs, paths, people) made safe for each place they are
// shown in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace unsprawl {

// One step through UTF-8: the code point at the front of `bytes` and how many bytes it takes.
// `valid` is false for a byte that starts no well-formed sequence (overlong forms, surrogates and
// values above U+10FFFF included, RFC 3629); then `bytes` is 1 and `value` that byte.
struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 0;
  bool valid = false;
};

// `bytes` must not be empty.
CodePoint DecodeFront(std::string_view bytes);

bool IsValidUtf8(std::string_view bytes);

// True for what a person cannot see or what changes how other text looks: C0 and C1 controls, DEL,
// bidi marks, zero-width and other invisible format characters, line and paragraph separators, tags.
bool IsInvisible(uint32_t code_point);

// `bytes` made safe for a terminal and for one line of text: invalid UTF-8, C0/C1 controls, ESC, bidi
// marks and other invisible format characters become \xNN or \u{…}. Valid printable text is unchanged.
std::string EscapeForTerminal(std::string_view bytes);

// Text and attribute values of HTML: what EscapeForTerminal returns, with & < > " ' as references.
std::string EscapeForHtml(std::string_view bytes);

// Columns a terminal gives to `text` (valid UTF-8 without invisible characters); never too few.
size_t DisplayColumns(std::string_view text);

// `text` in at most `columns` (at least 3) columns: unchanged, or its start and its end around "…".
// `text` is valid UTF-8 without invisible characters, as EscapeForTerminal makes it.
std::string ShortenMiddle(std::string_view text, size_t columns);

// The first `columns` (at least 2) columns of `text`, ending in "…" when something was cut.
std::string ShortenEnd(std::string_view text, size_t columns);

// "1,234,567".
std::string WithThousands(uint64_t number);

// "5.6 GB": decimal units, one digit after the point above kilobytes.
std::string HumanBytes(uint64_t bytes);

// "2024-05-31T12:00:00Z"; empty when the year is not in 0000 to 9999 (a commit may claim any time).
std::string FormatUtc(int64_t seconds);
// The same with six digits of fraction: "2024-05-31T12:00:00.000001Z".
std::string FormatUtcMicros(int64_t microseconds);
// Its first ten characters, "2024-05-31", or "unknown".
std::string FormatDay(int64_t seconds);

}  // namespace unsprawl
