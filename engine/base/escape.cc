#include "engine/base/escape.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <vector>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

struct Range {
  uint32_t first, last;
};

// Unicode 15: controls, Default_Ignorable_Code_Point, Bidi_Control, line and paragraph separators and
// the other format characters without a glyph. Ascending.
constexpr Range kInvisible[] = {
    {0x0000, 0x001F},   {0x007F, 0x009F},   {0x00AD, 0x00AD},   {0x034F, 0x034F},
    {0x061C, 0x061C},   {0x115F, 0x1160},   {0x17B4, 0x17B5},   {0x180B, 0x180F},
    {0x200B, 0x200F},   {0x2028, 0x202E},   {0x2060, 0x206F},   {0x3164, 0x3164},
    {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},   {0xFFF0, 0xFFFB},
    {0xFFFE, 0xFFFF},   {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
    {0xE0000, 0xE0FFF},
};

// East Asian Wide and Fullwidth and the emoji, rounded up to whole blocks. Ascending.
constexpr Range kWide[] = {
    {0x1100, 0x115F}, {0x231A, 0x23F3}, {0x25FD, 0x27BF},   {0x2B1B, 0x2B55},   {0x2E80, 0xA4CF},
    {0xA960, 0xA97F}, {0xAC00, 0xD7A3}, {0xF900, 0xFAFF},   {0xFE10, 0xFE6F},   {0xFF01, 0xFF60},
    {0xFFE0, 0xFFE6}, {0x16FE0, 0x1B2FF}, {0x1F000, 0x1FAFF}, {0x20000, 0x3FFFD},
};

template <size_t kCount>
bool Contains(const Range (&ranges)[kCount], uint32_t value) {
  const Range* found = std::lower_bound(
      std::begin(ranges), std::end(ranges), value,
      [](const Range& range, uint32_t wanted) { return range.last < wanted; });
  return found != std::end(ranges) && found->first <= value;
}

size_t Columns(uint32_t code_point) { return Contains(kWide, code_point) ? 2 : 1; }

// How many bytes from the front of `text` fill at most `columns`.
size_t PrefixBytes(std::string_view text, size_t columns) {
  size_t at = 0, used = 0;
  while (at < text.size()) {
    CodePoint point = DecodeFront(text.substr(at));
    used += Columns(point.value);
    if (used > columns) break;
    at += point.bytes;
  }
  return at;
}

// How many bytes from the end of `text` fill at most `columns`.
size_t SuffixBytes(std::string_view text, size_t columns) {
  size_t begin = text.size(), used = 0;
  while (begin > 0) {
    size_t start = begin - 1;
    while (start > 0 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
    used += Columns(DecodeFront(text.substr(start)).value);
    if (used > columns) break;
    begin = start;
  }
  return text.size() - begin;
}

}  // namespace

CodePoint DecodeFront(std::string_view bytes) {
  auto byte = [&](size_t i) -> uint32_t { return static_cast<uint8_t>(bytes[i]); };
  auto continues = [&](size_t i) { return i < bytes.size() && (byte(i) & 0xC0) == 0x80; };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) return {lead, 1, false};
  uint32_t value = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if (!continues(i)) return {lead, 1, false};
    value = value << 6 | (byte(i) & 0x3F);
  }
  const uint32_t least = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
  if (value < least || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
    return {lead, 1, false};
  }
  return {value, length, true};
}

bool IsValidUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    CodePoint point = DecodeFront(bytes);
    if (!point.valid) return false;
    bytes.remove_prefix(point.bytes);
  }
  return true;
}

bool IsInvisible(uint32_t code_point) { return Contains(kInvisible, code_point); }

std::string EscapeForTerminal(std::string_view bytes) {
  std::string result;
  result.reserve(bytes.size());
  while (!bytes.empty()) {
    CodePoint point = DecodeFront(bytes);
    if (!point.valid || (point.value < 0x80 && IsInvisible(point.value))) {
      absl::StrAppendFormat(&result, "\\x%02x", point.value);
    } else if (IsInvisible(point.value)) {
      absl::StrAppendFormat(&result, "\\u{%x}", point.value);
    } else {
      result.append(bytes.substr(0, point.bytes));
    }
    bytes.remove_prefix(point.bytes);
  }
  return result;
}

std::string EscapeForHtml(std::string_view bytes) {
  std::string result;
  result.reserve(bytes.size() + bytes.size() / 8);
  for (char c : EscapeForTerminal(bytes)) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      case '\'': result += "&#39;"; break;
      default: result += c;
    }
  }
  return result;
}

size_t DisplayColumns(std::string_view text) {
  size_t columns = 0;
  while (!text.empty()) {
    CodePoint point = DecodeFront(text);
    columns += Columns(point.value);
    text.remove_prefix(point.bytes);
  }
  return columns;
}

std::string ShortenMiddle(std::string_view text, size_t columns) {
  if (PrefixBytes(text, columns) == text.size()) return std::string(text);
  const size_t tail = (columns - 1) / 2;
  std::string result(text.substr(0, PrefixBytes(text, columns - 1 - tail)));
  result += "…";
  result += text.substr(text.size() - SuffixBytes(text, tail));
  return result;
}

std::string ShortenEnd(std::string_view text, size_t columns) {
  if (PrefixBytes(text, columns) == text.size()) return std::string(text);
  std::string result(text.substr(0, PrefixBytes(text, columns - 1)));
  return result + "…";
}

std::string WithThousands(uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string result;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) result.push_back(',');
    result.push_back(digits[i]);
  }
  return result;
}

std::string HumanBytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 1000) return absl::StrFormat("%d bytes", bytes);
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  for (; value >= (unit == 0 ? 999.5 : 999.95) && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  if (unit == 0) return absl::StrFormat("%.0f kB", value);
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string FormatUtc(int64_t seconds) {
  // 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
  if (seconds < -62167219200 || seconds > 253402300799) return "";
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const int64_t rest = (time - day).count();
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                         static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                         rest / 3600, rest / 60 % 60, rest % 60);
}

std::string FormatUtcMicros(int64_t microseconds) {
  int64_t seconds = microseconds / 1'000'000, micros = microseconds % 1'000'000;
  if (micros < 0) micros += 1'000'000, --seconds;
  std::string text = FormatUtc(seconds);
  if (text.empty()) return text;
  text.pop_back();
  return absl::StrFormat("%s.%06dZ", text, micros);
}

std::string FormatDay(int64_t seconds) {
  std::string text = FormatUtc(seconds);
  return text.empty() ? "unknown" : text.substr(0, 10);
}

}  // namespace unsprawl
