#include "engine/match/confirm.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "engine/base/lines.h"

namespace unsprawl {
namespace {

// Ends closer than this are one range from the start; ranges closer than the reach become one later.
constexpr uint32_t kDenseBytes = 16;
// Above so many ranges they are made as long as the reach allows, to bound the memory they take.
constexpr size_t kManyRanges = 4096;
constexpr size_t kLowerChunkBytes = 64 << 10;
// For the lazily built automata of one regex. RE2 starts over when it is full; 900 rules may have one.
constexpr int64_t kRegexMemoryBytes = 4 << 20;

void Lower(std::string_view text, std::string* lower) {
  lower->resize(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    (*lower)[i] = static_cast<char>(c + (c >= 'A' && c <= 'Z' ? 'a' - 'A' : 0));
  }
}

}  // namespace

const RE2& LazyRegex::Get() const {
  std::call_once(once_, [this] {
    RE2::Options options(RE2::Latin1);
    options.set_log_errors(false);
    options.set_never_nl(lines_);
    options.set_max_mem(kRegexMemoryBytes);
    compiled_ = std::make_unique<RE2>(regex_, options);
  });
  return *compiled_;
}

EndCollector::EndCollector(std::vector<uint32_t> reach)
    : reach_(std::move(reach)), latest_(reach_.size(), 0) {}

void EndCollector::Add(uint32_t pattern, uint32_t end) {
  const uint32_t latest = latest_[pattern];
  if (latest < ranges_.size() && ranges_[latest].pattern == pattern) {
    EndRange& range = ranges_[latest];
    const uint32_t reach = reach_[pattern];
    const uint64_t near = ranges_.size() < kManyRanges ? std::min(kDenseBytes, reach) : reach;
    if (end >= range.first && end <= range.last + near) {
      range.last = std::max(range.last, end);
      return;
    }
  }
  latest_[pattern] = static_cast<uint32_t>(ranges_.size());
  ranges_.push_back({.pattern = pattern, .first = end, .last = end});
}

bool EndCollector::AreOne(const EndRange& range, const EndRange& next, std::string_view text) const {
  if (range.pattern != next.pattern) return false;
  if (next.first <= range.last) return true;
  const uint32_t gap = next.first - range.last;
  if (reach_[range.pattern] != kUnbounded) return gap <= reach_[range.pattern];
  return std::memchr(text.data() + range.last, '\n', gap) == nullptr;
}

uint32_t EndCollector::EarliestStart(const EndRange& range, std::string_view text) const {
  const uint32_t reach = reach_[range.pattern];
  if (reach != kUnbounded) return range.first > reach ? range.first - reach : 0;
  return static_cast<uint32_t>(AfterLastNewline(text, 0, range.first));
}

std::span<const EndRange> EndCollector::Finish(std::string_view text) {
  std::sort(ranges_.begin(), ranges_.end());
  size_t kept = 0;
  for (const EndRange& range : ranges_) {
    if (kept > 0 && AreOne(ranges_[kept - 1], range, text)) {
      ranges_[kept - 1].last = std::max(ranges_[kept - 1].last, range.last);
    } else {
      ranges_[kept++] = range;
    }
  }
  ranges_.resize(kept);
  return ranges_;
}

uint64_t FindAll(const RE2& re, std::string_view text, uint64_t begin, uint64_t end,
                 MatchGroups* groups, absl::FunctionRef<void()> found) {
  const uint64_t context_begin = begin > 0 ? begin - 1 : 0;
  const uint64_t context_end = std::min<uint64_t>(end + 1, text.size());
  const char* const origin = text.data() + context_begin;
  const re2::StringPiece context(origin, context_end - context_begin);
  uint64_t searches = 0;
  for (uint64_t at = begin; at < end; ++searches) {
    if (!re.Match(context, at - context_begin, end - context_begin, RE2::UNANCHORED, groups->data(),
                  static_cast<int>(groups->size()))) {
      return searches + 1;
    }
    const re2::StringPiece& match = (*groups)[0];
    const uint64_t match_end = context_begin + static_cast<uint64_t>(match.end() - origin);
    if (match.empty()) {
      at = match_end + 1;
      continue;
    }
    found();
    at = match_end;
  }
  return searches;
}

re2::StringPiece SecretOf(const MatchGroups& groups, int secret_group) {
  if (secret_group > 0) {
    const auto group = static_cast<size_t>(secret_group);
    return group < groups.size() && !groups[group].empty() ? groups[group] : groups[0];
  }
  for (size_t i = 1; i < groups.size(); ++i) {
    if (!groups[i].empty()) return groups[i];
  }
  return groups[0];
}

bool HasKeyword(std::string_view text, std::span<const std::string> keywords, std::string* lower) {
  if (keywords.empty()) return true;
  size_t longest = 1;
  for (const std::string& keyword : keywords) longest = std::max(longest, keyword.size());
  // Chunks overlap by so much that a keyword lies wholly in one of them.
  for (size_t begin = 0; begin < text.size(); begin += kLowerChunkBytes) {
    Lower(text.substr(begin, kLowerChunkBytes + longest - 1), lower);
    for (const std::string& keyword : keywords) {
      if (memmem(lower->data(), lower->size(), keyword.data(), keyword.size()) != nullptr) return true;
    }
  }
  return false;
}

std::string_view KeywordRegion(std::string_view text, uint64_t start, uint64_t end) {
  const uint64_t reach = start > kKeywordReachBytes ? start - kKeywordReachBytes : 0;
  const uint64_t from = AfterLastNewline(text, reach, start);
  uint64_t to = std::min<uint64_t>(end + kKeywordReachBytes, text.size());
  if (const void* newline = std::memchr(text.data() + end, '\n', to - end); newline != nullptr) {
    to = static_cast<uint64_t>(static_cast<const char*>(newline) - text.data());
  }
  return text.substr(from, to - from);
}

}  // namespace unsprawl
