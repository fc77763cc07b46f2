#include "engine/match/value_pattern.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/judge/text_shape.h"

namespace unsprawl {
namespace {

// {any}: shorter is more likely a name, longer more likely a document in base 64.
constexpr size_t kMinAnyBytes = 16, kMaxAnyBytes = 200;
// The part of a text at which entropy says something, bits a character.
constexpr double kMinAnyEntropy = 3.0;

// What may be compared for one value, bytes: a shape of many pieces of varying length is given up.
constexpr uint64_t kMostWork = 100'000;

struct Alphabet {
  std::string_view name, ranges;  // ranges: pairs of first and last byte
};
constexpr Alphabet kAlphabets[] = {
    {"b62", "09AZaz"},    {"hex", "09af"},   {"HEX", "09AF"},   {"b32", "AZ27"},      {"b64", "AZaz09++//"},
    {"b64url", "AZaz09--__"}, {"digits", "09"}, {"upper", "AZ"}, {"lower", "az"},     {"alnum", "az09"},
    {"up36", "AZ09"},
};

std::bitset<256> BytesOf(std::string_view ranges) {
  std::bitset<256> bytes;
  for (size_t i = 0; i + 1 < ranges.size(); i += 2) {
    for (int c = ranges[i]; c <= ranges[i + 1]; ++c) bytes.set(static_cast<size_t>(c));
  }
  return bytes;
}

std::bitset<256> OneByte(char c) { return std::bitset<256>().set(static_cast<unsigned char>(c)); }

// "40" or "20-40".
bool ParseLength(std::string_view text, size_t* min, size_t* max) {
  const auto number = [](std::string_view digits, size_t* value) {
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), *value);
    return result.ec == std::errc() && result.ptr == digits.data() + digits.size() && *value <= kMaxValueBytes;
  };
  const size_t dash = text.find('-');
  if (!number(text.substr(0, dash), min)) return false;
  *max = *min;
  return dash == std::string_view::npos || (number(text.substr(dash + 1), max) && *max >= *min);
}

// A byte as it is written in an expression, within brackets or not.
std::string Quoted(size_t byte) {
  const char c = static_cast<char>(byte);
  if (byte < ' ' || byte == 0x7f) return absl::StrFormat("\\x%02x", byte);
  return byte >= 0x80 || IsAlnum(c) || c == '_' ? std::string(1, c) : std::string("\\") + c;
}

std::string ClassOf(const std::bitset<256>& bytes) {
  std::string ranges;
  for (size_t first = 0; first < bytes.size(); ++first) {
    if (!bytes[first]) continue;
    size_t last = first;
    while (last + 1 < bytes.size() && bytes[last + 1]) ++last;
    ranges += Quoted(first);
    if (last > first + 1) ranges += '-';
    if (last > first) ranges += Quoted(last);
    first = last;
  }
  return bytes.count() == 1 ? ranges : "[" + ranges + "]";
}

// RE2 and Go take no more than 1,000 of a thing at a time.
std::string Repeated(const std::string& one, size_t min, size_t max) {
  constexpr size_t kMost = 1000;
  std::string all;
  for (; max > kMost; max -= kMost, min -= std::min(min, kMost)) all += absl::StrFormat("%s{%d,%d}", one, std::min(min, kMost), kMost);
  if (max == 0) return all;
  if (max == 1 && min == 1) return all + one;
  return all + (min == max ? absl::StrFormat("%s{%d}", one, min) : absl::StrFormat("%s{%d,%d}", one, min, max));
}

bool IsWordByte(char c) { return IsAlnum(c) || c == '_'; }

// What a text of no known shape may consist of; padding may follow.
bool IsAnyByte(char c) {
  return IsAlnum(c) || c == '_' || c == '-' || c == '+' || c == '/' || c == '.' || c == '~';
}

// Names of what is looked for, as in MY2_API_TOKEN; no drawn text has them but by a rare chance.
bool NamesCredential(std::string_view text) {
  static constexpr std::string_view kWords[] = {"token", "secret", "apikey", "api_key", "api-key", "access", "client", "passw"};
  return ContainsAny(LowerAscii(text), kWords);
}

// Whether a run of such bytes looks drawn rather than written.
bool LooksDrawn(std::string_view text) {
  if (text.size() < kMinAnyBytes || text.size() > kMaxAnyBytes) return false;
  const bool digit = std::any_of(text.begin(), text.end(), IsDigit);
  const bool letter = std::any_of(text.begin(), text.end(), IsAlpha);
  if (!digit || !letter) return false;
  if (text.front() == '/' || text.front() == '.' || text.front() == '-') return false;  // a path, an option
  return Entropy(text) >= kMinAnyEntropy && !IsWordLike(text) && !NamesCredential(text);
}

}  // namespace

absl::StatusOr<ValuePattern> ValuePattern::Parse(std::string_view text) {
  const auto refuse = [text](std::string_view why) {
    return absl::InvalidArgumentError(absl::StrFormat("the value \"%s\": %s", text, why));
  };
  ValuePattern pattern;
  size_t max_bytes = 0;
  const auto add = [&](const std::bitset<256>& bytes, size_t min, size_t max) {
    pattern.parts_.push_back({bytes, min, max});
    pattern.min_bytes_ += min;
    max_bytes += max;
  };
  const auto add_text = [&](std::string_view literal) {
    for (const char c : literal) add(OneByte(c), 1, 1);
  };
  const std::bitset<256> hex = BytesOf("09afAF"), base64 = BytesOf("AZaz09--__");
  bool has_piece = false;
  for (std::string_view rest = text; !rest.empty();) {
    if (rest.front() != '{') {
      add_text(rest.substr(0, 1));
      rest.remove_prefix(1);
      continue;
    }
    const size_t close = rest.find('}');
    if (close == std::string_view::npos) return refuse("a { has no }");
    const std::string_view piece = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    has_piece = true;
    const size_t colon = piece.find(':');
    const std::string_view name = piece.substr(0, colon);
    if (piece == "any") {
      if (close + 1 != text.size()) return refuse("{any} stands alone");
      pattern.any_ = true;
      pattern.min_bytes_ = kMinAnyBytes;
      return pattern;
    }
    if (piece == "uuid") {
      constexpr size_t kGroups[] = {8, 4, 4, 4, 12};
      for (size_t i = 0; i < std::size(kGroups); ++i) {
        if (i > 0) add_text("-");
        add(hex, kGroups[i], kGroups[i]);
      }
      continue;
    }
    if (piece == "jwt") {
      add_text("eyJ");
      add(base64, 10, 600);
      add_text(".");
      add(base64, 10, 1200);
      add_text(".");
      add(base64, 20, 240);
      continue;
    }
    const auto* alphabet = std::find_if(std::begin(kAlphabets), std::end(kAlphabets),
                                        [name](const Alphabet& one) { return one.name == name; });
    size_t min = 0, max = 0;
    if (alphabet == std::end(kAlphabets) || colon == std::string_view::npos ||
        !ParseLength(piece.substr(colon + 1), &min, &max) || max == 0) {
      return refuse(absl::StrFormat("{%s} is no piece of a value; docs/rules.md lists them", piece));
    }
    add(BytesOf(alphabet->ranges), min, max);
  }
  if (!has_piece) return refuse("names no piece that varies, such as {hex:32}");
  if (max_bytes > kMaxValueBytes + 100) return refuse("is longer than any value that is looked for");
  return pattern;
}

std::string ValuePattern::Regex() const {
  if (any_) return absl::StrFormat("[0-9A-Za-z_+/.~-]{%d,%d}={0,2}", kMinAnyBytes, kMaxAnyBytes);
  std::string all;
  for (const Part& part : parts_) all += Repeated(ClassOf(part.bytes), part.min, part.max);
  return all;
}

bool ValuePattern::EndsWell(std::string_view text, size_t end) const {
  if (end == text.size()) return true;
  const char next = text[end];
  // A dot, a dash or an equals sign may follow where the alphabet lacks it: "…key.", "…key=" of base 64 may not.
  return !IsWordByte(next) && !parts_.back().bytes[static_cast<unsigned char>(next)];
}

std::optional<size_t> ValuePattern::MatchParts(std::string_view text, size_t at, size_t part, uint64_t limit,
                                               uint64_t* work) const {
  const Part& one = parts_[part];
  size_t count = 0;
  while (count < one.max && at + count < text.size() && one.bytes[static_cast<unsigned char>(text[at + count])]) ++count;
  *work += count + 1;
  if (count < one.min || *work > limit) return std::nullopt;
  // Behind fewer of the last part's bytes one of them would follow.
  if (part + 1 == parts_.size()) return EndsWell(text, at + count) ? std::optional(at + count) : std::nullopt;
  for (;; --count) {
    if (const auto end = MatchParts(text, at + count, part + 1, limit, work); end) return end;
    if (count == one.min) return std::nullopt;
  }
}

std::optional<size_t> ValuePattern::MatchAt(std::string_view text, size_t start, uint64_t* work) const {
  if (start + min_bytes_ > text.size()) return std::nullopt;
  if (start > 0 && IsWordByte(text[start - 1])) return std::nullopt;
  if (!any_) {
    // In the midst of a text that goes on with a dash: of its alphabet, so not its beginning.
    if (start > 0 && text[start - 1] == '-' && parts_.front().bytes['-']) return std::nullopt;
    return MatchParts(text, start, 0, *work + kMostWork, work);
  }
  if (start > 0 && ((IsAnyByte(text[start - 1]) && text[start - 1] != '/') || text[start - 1] == '$')) return std::nullopt;
  size_t end = start;
  while (end < text.size() && end - start <= kMaxAnyBytes && IsAnyByte(text[end])) ++end;
  *work += 4 * (end - start) + 1;  // looked at several times
  while (end > start && (text[end - 1] == '.' || text[end - 1] == '-')) --end;
  if (!LooksDrawn(text.substr(start, end - start))) return std::nullopt;
  for (size_t padding = 0; padding < 2 && end < text.size() && text[end] == '='; ++padding) ++end;
  return end;
}

}  // namespace unsprawl
