#include "engine/match/named.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "absl/strings/str_format.h"
#include "engine/base/lines.h"
#include "engine/base/status.h"
#include "engine/judge/text_shape.h"

namespace unsprawl {
namespace {

constexpr size_t kMinNameBytes = 4;
constexpr std::string_view kJoint = "[ _.-]?";
// Before these a name is a service's, even if it is an ordinary word. Written out with every joint, so that Hyperscan
// looks for long literals: with one class for the joint, 400 such names cost thrice as much; with twice as many words,
// compiling them takes a minute.
constexpr std::string_view kBeside[] = {"api", "key", "token", "secret", "access", "auth", "client", "pass", "app", "user"};
constexpr std::string_view kJoints[] = {"", "_", "-", " ", "\\."};

std::string BesideCredential(const std::string& name) {
  std::string all;
  for (const std::string_view word : kBeside) {
    for (const std::string_view joint : kJoints) {
      all += all.empty() ? "" : "|";
      all += name;
      all += joint;
      all += word;
    }
  }
  return all;
}

bool IsNameByte(char c) { return IsAlnum(c) || c == '_' || c == '-' || c == '.'; }

// The bytes of a name without the word that a + wants after it.
uint64_t BareBytes(std::string_view name) {
  const std::string lower = LowerAscii(name);
  for (const std::string_view word : kBeside) {
    if (!lower.ends_with(word)) continue;
    const size_t bare = lower.find_last_not_of("_-. ", lower.size() - word.size() - (lower.size() > word.size() ? 1 : 0));
    return bare == std::string::npos ? 0 : bare + 1;
  }
  return lower.size();
}

// A stretch of the text in which a value may begin.
struct Zone {
  uint64_t begin, end;
};

// What ends any value: what stands between quotes, brackets or spaces is tried as one piece.
bool EndsPiece(char c) {
  return static_cast<unsigned char>(c) <= ' ' || std::string_view("\"'`<>(){}[],;").find(c) != std::string_view::npos;
}

// The first value that begins in `zone`, or the last. A documented shape goes before {any}, which is looked for
// only where it may be.
std::optional<NamedValue> FindValue(std::string_view text, const Zone& zone, const std::vector<ValuePattern>& patterns,
                                    bool may_be_any, bool last, uint64_t* work) {
  size_t shortest = SIZE_MAX;
  for (const ValuePattern& pattern : patterns) shortest = std::min(shortest, pattern.min_bytes());
  std::optional<NamedValue> found, found_any;
  for (uint64_t at = zone.begin; at < zone.end;) {
    uint64_t end = at;
    while (end < text.size() && !EndsPiece(text[end])) ++end;
    *work += end - at + 1;
    for (; end >= at + shortest && at < zone.end; ++at) {
      if (at > 0 && IsAlnum(text[at - 1]) && IsAlnum(text[at])) continue;
      for (const ValuePattern& pattern : patterns) {
        if (pattern.is_any() && (!may_be_any || found_any)) continue;
        const auto value_end = pattern.MatchAt(text, at, work);
        if (!value_end) continue;
        std::optional<NamedValue>& one = pattern.is_any() ? found_any : found;
        one = NamedValue{.start = at, .end = *value_end, .match_start = 0, .match_end = 0, .claim = {}};
        one->claim.documented = !pattern.is_any();
        if (one->claim.documented) break;
      }
      if (found && !last) return found;
    }
    at = end + 1;
  }
  return found ? found : found_any;
}

// Whether something stands behind a sign of assignment, other than what opens a block.
bool HasAssignment(std::string_view rest) {
  const size_t sign = rest.find_first_of("=:");
  if (sign == std::string_view::npos) return false;
  const size_t next = rest.find_first_not_of(" \t\r\"'=:>", sign);
  return next != std::string_view::npos && std::string_view("{[(|>,").find(rest[next]) == std::string_view::npos;
}

// Whether what follows `before` is a value, or a part of an address.
bool IsAssigned(std::string_view before) {
  return before.find('=') != std::string_view::npos || before.find("://") != std::string_view::npos;
}

uint64_t LineEnd(std::string_view content, uint64_t from, uint64_t limit) {
  limit = std::min<uint64_t>(limit, content.size());
  if (from >= limit) return limit;
  const void* newline = std::memchr(content.data() + from, '\n', limit - from);
  return newline == nullptr ? limit : static_cast<uint64_t>(static_cast<const char*>(newline) - content.data());
}

}  // namespace

absl::StatusOr<std::string> NamesExpression(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) {
    const bool beside = name.ends_with('+');
    const std::string_view words = std::string_view(name).substr(0, name.size() - (beside ? 1 : 0));
    size_t bytes = 0;
    std::string one;
    bool space = true;
    for (const char c : words) {
      if (c == ' ' && !space) {
        one += kJoint;
      } else if (IsLower(c) || IsDigit(c)) {
        one += c, ++bytes;
      } else {
        return absl::InvalidArgumentError(absl::StrFormat(
            "the name \"%s\" has something else than lower-case letters, digits and single spaces", name));
      }
      space = c == ' ';
    }
    if (space || bytes < (beside ? kMinNameBytes - 2 : kMinNameBytes)) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "the name \"%s\" is too short; give %d letters, or %d and a + after them", name, kMinNameBytes, kMinNameBytes - 2));
    }
    all += all.empty() ? "" : "|";
    all += beside ? BesideCredential(one) : one;
  }
  if (all.empty()) return absl::InvalidArgumentError("no names");
  return "(?i:" + all + ")";
}

bool StandsAlone(std::string_view text, uint64_t start, uint64_t end) {
  const char first = text[start], last = text[end - 1];
  if (start > 0) {
    const char before = text[start - 1];
    // A word goes on in its own case, "prEmail", "EMAIL" in "TEMAIL"; a hump or a digit begins one.
    if (IsAlpha(before) && (IsLower(first) || IsUpper(before))) return false;
  }
  if (end == text.size()) return true;
  const char after = text[end];
  if (!IsAlpha(after) || !IsAlnum(last)) return true;
  if ((IsLower(last) || IsDigit(last)) && IsUpper(after)) return true;
  if (BareBytes(text.substr(start, end - start)) < end - start) return true;  // "npm_pass" of "npm_password"
  // "twiliokey", "TWILIOKEY"; but not "twilight".
  const uint64_t reach = std::min<uint64_t>(text.size(), end + 8);
  const std::string tail = LowerAscii(text.substr(end, reach - end));
  static constexpr std::string_view kTails[] = {"api", "key", "tok", "sec", "acc", "auth", "cli", "pass", "pwd", "app",
                                                "cred", "id", "user", "web", "url", "com", "pat", "sid", "test", "live", "prod"};
  return std::any_of(std::begin(kTails), std::end(kTails),
                     [&tail](std::string_view word) { return tail.starts_with(word); });
}

bool AsksForCredential(std::string_view text) {
  static constexpr std::string_view kWords[] = {"key",    "token", "secret", "auth",   "pass",    "pwd",     "cred",
                                                "bearer", "sid",   "cookie", "signature", "webhook", "private", "apik", "pat="};
  return ContainsAny(LowerAscii(text), kWords);
}

std::optional<NamedValue> FindNamedValue(std::string_view content, uint64_t name_start, uint64_t name_end,
                                         const NamedTarget& target, uint64_t* work) {
  const uint64_t line_start = AfterLastNewline(content, name_start - std::min(name_start, kNamedBeforeBytes), name_start);
  const uint64_t line_end = LineEnd(content, name_end, name_end + kNamedAfterBytes + kMaxValueBytes);
  *work += (line_end - name_end) / 8;  // a fast search
  uint64_t word_start = name_start;
  while (word_start > line_start && IsNameByte(content[word_start - 1])) --word_start;
  uint64_t word_end = name_end;
  while (word_end < line_end && IsNameByte(content[word_end])) ++word_end;
  const auto finish = [&](std::optional<NamedValue> value, bool same_line) {
    value->match_start = std::min(word_start, value->start);
    value->match_end = std::max(name_end, value->end);
    const uint64_t between = value->start >= name_end ? value->start - word_end : word_start - value->end;
    value->claim.same_line = same_line;
    value->claim.nearness = -static_cast<int64_t>(between);
    value->claim.name_bytes = BareBytes(content.substr(name_start, name_end - name_start));
    const std::string around = LowerAscii(content.substr(value->match_start, value->match_end - value->match_start));
    *work += around.size();
    for (const std::string& word : target.kind) value->claim.kind += around.find(word) != std::string::npos ? 1 : -1;
    return value;
  };
  const std::string_view line = content.substr(0, line_end);
  const Zone after{word_end, std::min(line_end, name_end + kNamedAfterBytes)};
  if (auto value = FindValue(line, after, target.values, /*may_be_any=*/true, /*last=*/false, work)) return finish(value, true);
  const std::string_view left = content.substr(0, word_start);
  if (auto value = FindValue(left, {line_start, word_start}, target.values, /*may_be_any=*/false, /*last=*/true, work)) return finish(value, true);
  // Below, where a word asks for it on the way: `name: ABSTRACT_KEY`, `value: …`. What is assigned in the name's own
  // line is what the name stands for: ABSTRACT_URL=… says nothing of the next line.
  *work += 2 * kNamedAfterBytes;
  if (IsAssigned(content.substr(line_start, word_start - line_start)) ||
      HasAssignment(content.substr(word_end, std::min(line_end - word_end, kNamedAfterBytes)))) {
    return std::nullopt;
  }
  const uint64_t below_end = std::min<uint64_t>(content.size(), line_end + kNamedBelowBytes);
  if (line_end >= content.size() || content[line_end] != '\n') return std::nullopt;
  uint64_t begin = line_end + 1;
  for (int i = 0; i < kNamedBelowLines && begin < below_end; ++i) {
    const uint64_t end = LineEnd(content, begin, begin + kNamedBelowBytes + kMaxValueBytes);
    const Zone zone{begin, std::min(end, below_end)};
    auto value = FindValue(content.substr(0, end), zone, target.values, /*may_be_any=*/true, /*last=*/false, work);
    if (value && AsksForCredential(content.substr(name_end, value->start - name_end))) return finish(value, false);
    begin = end + 1;
  }
  return std::nullopt;
}

bool HasDocumentedShape(std::string_view value, const std::vector<ValuePattern>& patterns) {
  uint64_t work = 0;
  return std::any_of(patterns.begin(), patterns.end(), [value, &work](const ValuePattern& pattern) {
    return !pattern.is_any() && pattern.MatchAt(value, 0, &work) == std::optional<size_t>(value.size());
  });
}

}  // namespace unsprawl
