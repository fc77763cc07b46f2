#include "engine/judge/place.h"

#include <algorithm>
#include <cstring>

#include "engine/base/lines.h"
#include "engine/judge/text_shape.h"

namespace unsprawl {
namespace {

constexpr size_t kMaxLookBack = 400;  // bytes before a value in which its name is sought
constexpr size_t kMaxName = 64;

bool IsNameByte(char c) { return IsAlnum(c) || c == '_' || c == '-' || c == '.' || c == '$'; }

std::string_view TrimEnd(std::string_view text, std::string_view bytes) {
  const size_t last = text.find_last_not_of(bytes);
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// `before` up to where the URL that it ends within begins: what stands before "https://user:".
std::string_view SkipUrl(std::string_view before) {
  const size_t scheme = before.rfind("://");
  if (scheme == std::string_view::npos) return before;
  if (before.substr(scheme).find_first_of(" \t\"'`<>,;") != std::string_view::npos) return before;
  size_t start = scheme;
  while (start > 0 && (IsAlnum(before[start - 1]) || before[start - 1] == '+')) --start;
  return before.substr(0, start);
}

// The word of a header's scheme or of a type between name and value: `Authorization: Bearer …`,
// `password: str = "…"`.
std::string_view SkipQualifier(std::string_view before) {
  const std::string lower = LowerAscii(before.substr(before.size() - std::min<size_t>(before.size(), 10)));
  for (const std::string_view word : {"bearer", "basic", "token", "apikey"}) {
    const size_t rest = before.size() - std::min(before.size(), word.size());
    if (EndsWith(lower, word) && rest > 0 && std::string_view(" \t\"'`").find(before[rest - 1]) != std::string_view::npos) {
      const std::string_view shorter = TrimEnd(before.substr(0, rest), " \t\"'`");
      if (EndsWith(shorter, ":") || EndsWith(shorter, "=") || EndsWith(shorter, ",")) return shorter;
    }
  }
  return before;
}

// The name of an address's parameter that ends in `before`: "?id=1&token=".
std::string_view ParameterName(std::string_view before) {
  if (!EndsWith(before, "=")) return "";
  before.remove_suffix(1);
  size_t start = before.size();
  while (start > 0 && IsNameByte(before[start - 1])) --start;
  const bool parameter = start > 0 && (before[start - 1] == '?' || before[start - 1] == '&');
  return parameter ? before.substr(start) : "";
}

std::string_view LastName(std::string_view before) {
  const std::string_view text = TrimEnd(before, " \t\"'`\\]");
  size_t start = text.size();
  while (start > 0 && IsNameByte(text[start - 1])) --start;
  std::string_view name = text.substr(start);
  while (!name.empty() && !IsAlpha(name.front()) && name.front() != '_') name.remove_prefix(1);
  return name;
}

bool IsTypeName(std::string_view name) {
  static constexpr std::string_view kTypes[] = {"str", "string", "String", "bytes", "text", "any", "QString"};
  return std::find(std::begin(kTypes), std::end(kTypes), name) != std::end(kTypes);
}

// Sixteen bytes at a time by hand: g++ 12 leaves std::count scalar at -O2, and every version of a file
// with a match is counted.
uint64_t CountNewlines(std::string_view text) {
  typedef uint8_t Sixteen __attribute__((vector_size(16)));
  constexpr size_t kMostAtOnce = 255;  // what a byte can count
  uint64_t count = 0;
  while (text.size() >= sizeof(Sixteen)) {
    const size_t blocks = std::min(text.size() / sizeof(Sixteen), kMostAtOnce);
    Sixteen sums = {};
    for (size_t i = 0; i < blocks; ++i) {
      Sixteen bytes;
      std::memcpy(&bytes, text.data() + i * sizeof(bytes), sizeof(bytes));
      sums -= reinterpret_cast<Sixteen>(bytes == '\n');  // true is all ones: minus one
    }
    for (size_t i = 0; i < sizeof(sums); ++i) count += sums[i];
    text.remove_prefix(blocks * sizeof(Sixteen));
  }
  return count + static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

uint64_t Lines::LineStart(uint64_t offset, uint64_t* newlines) {
  const uint64_t block = offset / kBlockBytes;
  while (blocks_.size() <= block) {
    const uint64_t start = (blocks_.size() - 1) * kBlockBytes;
    const std::string_view bytes = content_.substr(start, kBlockBytes);
    const uint64_t line_start = AfterLastNewline(content_, start, start + bytes.size());
    Block next = blocks_.back();
    next.newlines += CountNewlines(bytes);
    if (line_start > start) next.line_start = line_start;
    blocks_.push_back(next);
  }
  const uint64_t start = block * kBlockBytes;
  const uint64_t line_start = AfterLastNewline(content_, start, offset);
  *newlines = blocks_[block].newlines + CountNewlines(content_.substr(start, offset - start));
  return line_start > start ? line_start : blocks_[block].line_start;
}

Lines::Position Lines::At(uint64_t offset) {
  offset = std::min<uint64_t>(offset, content_.size());
  uint64_t newlines = 0;
  const uint64_t line_start = LineStart(offset, &newlines);
  return {static_cast<uint32_t>(std::min<uint64_t>(newlines + 1, UINT32_MAX)),
          static_cast<uint32_t>(std::min<uint64_t>(offset - line_start + 1, UINT32_MAX))};
}

std::string_view Lines::Around(uint64_t start, uint64_t end) {
  uint64_t newlines = 0;
  const uint64_t from = LineStart(std::min<uint64_t>(start, content_.size()), &newlines);
  const size_t to = content_.find('\n', std::max(end, from));
  return content_.substr(from, to == std::string_view::npos ? to : to - from);
}

std::string IdentifierBefore(std::string_view content, uint64_t start) {
  start = std::min<uint64_t>(start, content.size());
  const uint64_t from = start - std::min<uint64_t>(start, kMaxLookBack);
  std::string_view before = content.substr(from, start - from);
  if (const size_t newline = before.rfind('\n'); newline != std::string_view::npos) {
    before.remove_prefix(newline + 1);
  }
  if (const std::string_view parameter = ParameterName(before); !parameter.empty()) {
    return parameter.size() <= kMaxName && IsShowableName(parameter) ? std::string(parameter) : "";
  }
  before = SkipUrl(before);
  before = SkipQualifier(TrimEnd(before, " \t\"'`\\"));
  const std::string_view separators = TrimEnd(before, " \t\"'`\\@");
  const std::string_view left = TrimEnd(separators, "=:>(,!~+ \t\"'`");
  const bool option = left.size() == separators.size();  // no separator: only `--name value` will do
  std::string_view name = LastName(left);
  if (option && left.find("--") == std::string_view::npos) return "";
  if (IsTypeName(name)) {
    const std::string_view outer = TrimEnd(left.substr(0, left.size() - name.size()), " \t");
    if (EndsWith(outer, ":")) name = LastName(outer.substr(0, outer.size() - 1));
  }
  if (name.size() > kMaxName || !IsShowableName(name)) return "";
  return std::string(name);
}

}  // namespace unsprawl
