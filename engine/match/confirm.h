// From the ends that Hyperscan reports to the matches that RE2 finds around them.
//
// The law: the matches of a single-line rule are what RE2 finds in each line, from left to right and
// not overlapping. Searching only around the reported ends gives the same, because Hyperscan reports
// every end of every possible match and a match is never wider than the rule's reach, nor than its line
// (docs/delta-scan.md has the proof).
#pragma once

#include <re2/re2.h>

#include <compare>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"

namespace unsprawl {

// The reach of a rule whose matches have no greatest width: to the beginning of the line.
inline constexpr uint32_t kUnbounded = UINT32_MAX;
// How far from a match one of its rule's keywords may be, within the line, bytes.
inline constexpr uint64_t kKeywordReachBytes = 4096;

// A regex that is compiled when it is first needed. Thread-safe.
//
// Bytes are matched, not code points: RE2 in Latin-1 and Hyperscan without UTF-8 mode agree on every
// byte, and content from a repository is valid UTF-8 only by chance. What a rule says of characters is
// written out in bytes before (engine/match/go_syntax.h).
class LazyRegex {
 public:
  // With `lines` no atom matches '\n', even where the regex says so.
  LazyRegex(std::string_view regex, bool lines) : regex_(regex), lines_(lines) {}
  // Never null; ok() is false for what RE2 refuses.
  const RE2& Get() const;

 private:
  const std::string regex_;
  const bool lines_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<RE2> compiled_;
};

// Where one pattern ended: at `first`, at `last`, and perhaps between them. Offsets into the text.
struct EndRange {
  uint32_t pattern;
  uint32_t first, last;
  auto operator<=>(const EndRange&) const = default;
};

// Collects ends as Hyperscan reports them, in a list that stays short where ends are dense: a
// `[a-z]{20,}` on a minified line reports one per byte. Reused from text to text; not thread-safe.
class EndCollector {
 public:
  // `reach` by pattern: the greatest width of a match, bytes, or kUnbounded.
  explicit EndCollector(std::vector<uint32_t> reach);

  void Start() { ranges_.clear(); }
  void Add(uint32_t pattern, uint32_t end);
  // Sorted by pattern and place. `text` is what was scanned. No match belongs to two ranges: they are
  // more than the reach apart, or, for kUnbounded, on different lines.
  std::span<const EndRange> Finish(std::string_view text);
  // Where a match that ends in `range` begins at the earliest.
  uint32_t EarliestStart(const EndRange& range, std::string_view text) const;

 private:
  bool AreOne(const EndRange& range, const EndRange& next, std::string_view text) const;

  const std::vector<uint32_t> reach_;
  std::vector<uint32_t> latest_;  // by pattern: index of its range in ranges_, or stale
  std::vector<EndRange> ranges_;
};

// The groups of a match; [0] is the whole. Reused from match to match.
using MatchGroups = std::vector<re2::StringPiece>;

// Calls `found` for each non-empty match of `re` in text[begin, end), from left to right and not
// overlapping. Assertions (^, $, \b) see one byte beyond the range where `text` has one.
// *groups is sized by the caller to the groups it wants. Returns the number of RE2 searches.
uint64_t FindAll(const RE2& re, std::string_view text, uint64_t begin, uint64_t end,
                 MatchGroups* groups, absl::FunctionRef<void()> found);

// The secret of a match: group `secret_group`, or (0) the first group that is not empty; the whole
// match where there is no such group or it is empty.
re2::StringPiece SecretOf(const MatchGroups& groups, int secret_group);

// True if one of `keywords` (lower-case) is in `text`, without regard to ASCII case; also if there are
// none. *lower is working memory.
bool HasKeyword(std::string_view text, std::span<const std::string> keywords, std::string* lower);

// The part of the line around text[start, end) in which its rule's keywords may be.
std::string_view KeywordRegion(std::string_view text, uint64_t start, uint64_t end);

}  // namespace unsprawl
