#include <time.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "engine/base/lines.h"
#include "engine/base/status.h"
#include "engine/match/detector_impl.h"
#include "engine/match/escapes.h"
#include "engine/match/inner.h"
#include "engine/match/named.h"
#include "engine/match/windows.h"

namespace unsprawl {
namespace {

// Fewer whole lines of the base than this are scanned again instead of inherited, bytes.
constexpr uint64_t kMinInheritedBytes = 64;
// What may be spent on the values beside names, in bytes compared. A file of nothing but names and values costs 30 a byte.
constexpr uint64_t kNamedWorkPerByte = 200;
constexpr uint64_t kNamedWorkAtLeast = 1 << 20;
// So many claims are gathered before the best of them are chosen, to bound the memory they take.
constexpr size_t kManyClaims = 1 << 16;

template <typename T>
void SortDistinct(std::vector<T>* values) {
  std::sort(values->begin(), values->end());
  values->erase(std::unique(values->begin(), values->end()), values->end());
}

std::vector<uint32_t> Reaches(const std::deque<ScannedRule>& rules) {
  std::vector<uint32_t> reaches;
  for (const ScannedRule& rule : rules) reaches.push_back(rule.scan.max_bytes);
  return reaches;
}

// Adds one candidate to a rule's cost, and what is done while this lives.
class CostMeter {
 public:
  // `cost`: null: not counted. `confirms` goes on counting.
  CostMeter(RuleCost* cost, const uint64_t& confirms) : cost_(cost), confirms_(confirms) {
    if (cost_ == nullptr) return;
    before_ = confirms;
    start_ = Now();
  }
  CostMeter(const CostMeter&) = delete;
  CostMeter& operator=(const CostMeter&) = delete;
  ~CostMeter() {
    if (cost_ == nullptr) return;
    ++cost_->candidates;
    cost_->confirms += confirms_ - before_;
    cost_->nanoseconds += Now() - start_;
  }

 private:
  // Of this thread alone: what else the machine does is no rule's cost.
  static int64_t Now() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  }

  RuleCost* const cost_;
  const uint64_t& confirms_;
  uint64_t before_ = 0;
  int64_t start_ = 0;
};

// Where a thing of the base begins, so that a copied run finds its own by binary search.
struct BaseOrder {
  uint64_t offset;
  size_t index;
  auto operator<=>(const BaseOrder&) const = default;
};

// A value and the keyword rule that claims it.
struct NamedClaim {
  NamedValue value;
  uint32_t rule;  // index into Ruleset::rules()
  bool needed;
};

// Leaves the best claim on each value, and of equal ones the first rule's.
void KeepBest(std::vector<NamedClaim>* claims) {
  std::sort(claims->begin(), claims->end(), [](const NamedClaim& a, const NamedClaim& b) {
    return std::tie(a.value.start, a.value.end, b.value.claim, a.rule, a.value.match_start) <
           std::tie(b.value.start, b.value.end, a.value.claim, b.rule, b.value.match_start);
  });
  const auto same = [](const NamedClaim& a, const NamedClaim& b) {
    return a.value.start == b.value.start && a.value.end == b.value.end;
  };
  claims->erase(std::unique(claims->begin(), claims->end(), same), claims->end());
}

}  // namespace

struct BlobScanner::Impl {
  // `level`: so many encoded texts is what it scans within.
  Impl(const Detector::Impl& the_detector, ScannerStats& the_stats, std::vector<RuleCost>& the_costs, int the_level)
      : detector(the_detector), stats(the_stats), costs(the_costs), level(the_level), ends(Reaches(the_detector.rules)) {
    GrowScratch(detector.lines.get(), &scratch);
    GrowScratch(detector.wide.get(), &scratch);
  }

  void ScanText(std::string_view text, bool escapes, BlobMatches* result);
  void ScanLines(std::string_view text, BlobMatches* result);
  void ScanEmbedded(std::string_view text, BlobMatches* result);
  void ScanEscaped(std::string_view text, BlobMatches* result);
  void ScanDecoded(std::string_view text, const EmbeddedText& at, std::vector<RawMatch>* matches, BlobMatches* result);
  void ConfirmWrapped(std::string_view content, BlobMatches* result);
  BlobScanner::Impl& Inner();
  void ConfirmLine(const ScannedRule& rule, std::string_view text, const EndRange& range,
                   BlobMatches* result);
  void ConfirmAnchor(const ScannedRule& rule, std::string_view text, const EndRange& range,
                     BlobMatches* result);
  void MapToContent(BlobMatches* result) const;
  void Inherit(const BlobMatches& base, BlobMatches* result);
  void ScanWide(std::string_view content, BlobMatches* result);
  struct Stretch {
    uint64_t begin, end;
  };
  Stretch AroundAnchor(const ScannedRule& rule, std::string_view content, uint64_t anchor_end) const;
  void ConfirmSpans(std::string_view content, BlobMatches* result);
  void ConfirmSpan(const ScannedRule& rule, std::string_view text, uint64_t offset,
                   BlobMatches* result);
  void ConfirmNamed(std::string_view content, BlobMatches* result);
  void Finish(std::string_view content, BlobMatches* result);

  const RE2& Ready(const LazyRegex& regex, int secret_group);
  void Report(const ScannedRule& rule, const char* origin, uint64_t offset, BlobMatches* result) const;
  const ScannedRule& ByRule(uint32_t rule) const;
  CostMeter Meter(const ScannedRule& rule) const {
    return CostMeter(costs.empty() ? nullptr : &costs[rule.rule], stats.confirms);
  }

  const Detector::Impl& detector;
  ScannerStats& stats;
  std::vector<RuleCost>& costs;  // by rule of the ruleset; empty: not counted
  const int level;
  HsScratch scratch;
  EndCollector ends;
  std::vector<uint32_t> wide_hits;
  MatchGroups groups;
  std::string lower;                    // working memory of HasKeyword
  std::vector<CopyRun> whole_lines;     // what the blob at hand inherits
  LineWindows windows;                  // what it does not
  std::vector<NamedClaim> named;        // working memory of ConfirmNamed
  std::unique_ptr<Impl> inner;          // scans what is decoded, where there is any
  BlobMatches inner_result;
  std::vector<RawMatch> decoded_matches, line_matches;  // working memory of ScanEscaped and ConfirmWrapped
  std::vector<BaseOrder> match_order, anchor_order;
};

namespace {

struct EndSink {
  EndCollector& ends;
  uint64_t& candidates;
};

int OnEnd(unsigned id, unsigned long long, unsigned long long to, unsigned, void* sink) {
  auto* out = static_cast<EndSink*>(sink);
  ++out->candidates;
  out->ends.Add(id, static_cast<uint32_t>(to));
  return 0;
}

int OnWide(unsigned id, unsigned long long, unsigned long long, unsigned, void* hits) {
  static_cast<std::vector<uint32_t>*>(hits)->push_back(id);
  return 0;
}

void Scan(const hs_database_t& database, std::string_view text, hs_scratch_t* scratch,
          match_event_handler on_match, void* sink) {
  CHECK(text.size() <= UINT32_MAX);
  CHECK(hs_scan(&database, text.data(), static_cast<unsigned>(text.size()), 0, scratch, on_match,
                sink) == HS_SUCCESS);
}

}  // namespace

// The compiled regex, with room for the groups that SecretOf wants to see.
const RE2& BlobScanner::Impl::Ready(const LazyRegex& regex, int secret_group) {
  const RE2& re = regex.Get();
  CHECK(re.ok());  // Proven when the patterns were compiled.
  const int wanted = secret_group > 0 ? secret_group : re.NumberOfCapturingGroups();
  groups.resize(1 + static_cast<size_t>(std::min(wanted, re.NumberOfCapturingGroups())));
  return re;
}

// Adds the match in `groups`, whose offsets count from `origin`, which is at `offset`.
void BlobScanner::Impl::Report(const ScannedRule& rule, const char* origin, uint64_t offset,
                               BlobMatches* result) const {
  const re2::StringPiece secret = SecretOf(groups, rule.secret_group);
  const auto at = [&](const char* p) { return offset + static_cast<uint64_t>(p - origin); };
  result->matches.push_back({.rule = rule.rule,
                             .start = at(groups[0].begin()),
                             .end = at(groups[0].end()),
                             .secret_start = at(secret.begin()),
                             .secret_end = at(secret.end()),
                             .inner = {}});
}

// Finds matches of line rules and anchors of span rules in a text of whole lines.
void BlobScanner::Impl::ScanLines(std::string_view text, BlobMatches* result) {
  if (text.empty() || detector.lines == nullptr) return;
  ends.Start();
  EndSink sink{ends, stats.candidates};
  Scan(*detector.lines, text, scratch.get(), OnEnd, &sink);
  stats.bytes_scanned += text.size();
  for (const EndRange& range : ends.Finish(text)) {
    const ScannedRule& rule = detector.rules[range.pattern];
    const CostMeter meter = Meter(rule);
    if (rule.scan.kind != RuleScan::Kind::kLine) {
      ConfirmAnchor(rule, text, range, result);
    } else {
      ConfirmLine(rule, text, range, result);
    }
  }
}

// Everything in a text by itself.
// `escapes`: also what its lines say when their escapes are undone.
void BlobScanner::Impl::ScanText(std::string_view text, bool escapes, BlobMatches* result) {
  result->Clear();
  ScanLines(text, result);
  ScanEmbedded(text, result);
  if (escapes) ScanEscaped(text, result);
  Finish(text, result);
}

BlobScanner::Impl& BlobScanner::Impl::Inner() {
  if (inner == nullptr) inner = std::make_unique<Impl>(detector, stats, costs, level + 1);
  return *inner;
}

// Adds what is found in what is decoded at `at`.
void BlobScanner::Impl::ScanDecoded(std::string_view text, const EmbeddedText& at, std::vector<RawMatch>* matches,
                                    BlobMatches* result) {
  Inner().ScanText(at.decoded, true, &inner_result);
  result->too_much |= inner_result.too_much;
  if (inner_result.matches.empty()) return;
  const EncodedPlaces places(text.substr(at.start, at.end - at.start), at.embedding);
  for (const RawMatch& match : inner_result.matches) matches->push_back(Lift(match, at, places));
}

// Finds what is in the texts that stand encoded in a line, and where such begin that may go on in the next.
void BlobScanner::Impl::ScanEmbedded(std::string_view text, BlobMatches* result) {
  if (level == kMostEmbeddings) return;
  for (auto at = FindEmbedded(text, 0); at; at = FindEmbedded(text, at->end)) {
    if (at->embedding == Embedding::kBase64Lines) {
      result->wrapped.push_back(at->start);
    } else {
      ScanDecoded(text, *at, &result->matches, result);
    }
  }
}

// Finds what lines say when their escapes are undone. Where a rule finds a secret in the line as it is, what it finds
// there in the other form is the same, or cut at a character that was escaped because it belongs to the secret.
void BlobScanner::Impl::ScanEscaped(std::string_view text, BlobMatches* result) {
  if (level == kMostEmbeddings) return;
  for (auto line = FindEscapedLine(text, 0); line; line = FindEscapedLine(text, line->end)) {
    const std::string_view raw = text.substr(line->start, line->end - line->start);
    decoded_matches.clear();
    ScanDecoded(text, {line->start, line->end, Embedding::kEscapes, DecodeEmbedded(raw, Embedding::kEscapes)}, &decoded_matches,
                result);
    if (decoded_matches.empty()) continue;
    Inner().ScanText(raw, false, &inner_result);
    for (RawMatch& match : inner_result.matches) match.secret_start += line->start, match.secret_end += line->start;
    const SecretPlaces found(inner_result.matches);
    for (const RawMatch& match : decoded_matches) {
      if (!found.Meets(match)) result->matches.push_back(match);
    }
  }
}

// Decodes base64 that may be wrapped. Its lines are scanned each by itself as well: they may be texts of their own.
void BlobScanner::Impl::ConfirmWrapped(std::string_view content, BlobMatches* result) {
  SortDistinct(&result->wrapped);
  size_t lines = 0;
  for (std::span<const uint64_t> starts = result->wrapped; !starts.empty(); starts = starts.subspan(lines)) {
    const EmbeddedText whole = FindWrapped(content, starts, &lines);
    decoded_matches.clear();
    ScanDecoded(content, whole, &decoded_matches, result);
    result->matches.insert(result->matches.end(), decoded_matches.begin(), decoded_matches.end());
    if (lines == 1) continue;
    line_matches.clear();
    for (const uint64_t start : starts.first(lines)) {
      const auto line = FindEmbedded(content, start);
      if (line && line->start == start) ScanDecoded(content, *line, &line_matches, result);
    }
    const SecretPlaces found(decoded_matches);
    for (const RawMatch& match : line_matches) {
      if (!found.Meets(match)) result->matches.push_back(match);
    }
  }
}

void BlobScanner::Impl::ConfirmLine(const ScannedRule& rule, std::string_view text,
                                    const EndRange& range, BlobMatches* result) {
  const RE2& re = Ready(rule.regex, rule.secret_group);
  const uint32_t begin = ends.EarliestStart(range, text);
  stats.confirms += FindAll(re, text, begin, range.last, &groups, [&] {
    const auto start = static_cast<uint64_t>(groups[0].begin() - text.data());
    const std::string_view region = KeywordRegion(text, start, start + groups[0].size());
    if (HasKeyword(region, rule.source.keywords, &lower)) Report(rule, text.data(), 0, result);
  });
}

void BlobScanner::Impl::ConfirmAnchor(const ScannedRule& rule, std::string_view text,
                                      const EndRange& range, BlobMatches* result) {
  const RE2& re = rule.anchor.Get();
  CHECK(re.ok());
  groups.resize(1);
  const uint32_t begin = ends.EarliestStart(range, text);
  const bool name = rule.scan.kind == RuleScan::Kind::kNamed;
  stats.confirms += FindAll(re, text, begin, range.last, &groups, [&] {
    const auto end = static_cast<uint64_t>(groups[0].end() - text.data());
    if (name && !StandsAlone(text, end - groups[0].size(), end)) return;
    result->anchors.push_back(
        {.rule = rule.rule, .end = end, .bytes = static_cast<uint32_t>(groups[0].size())});
  });
}

// From offsets in the windows' text to offsets in the blob.
void BlobScanner::Impl::MapToContent(BlobMatches* result) const {
  for (RawMatch& match : result->matches) {
    const uint64_t shift = windows.ToContent(match.start) - match.start;  // Modulo 2^64, as it should.
    match.start += shift, match.end += shift;
    match.secret_start += shift, match.secret_end += shift;
  }
  for (BlobMatches::AnchorAt& anchor : result->anchors) {
    anchor.end = windows.ToContent(anchor.end - 1) + 1;
  }
  for (uint64_t& start : result->wrapped) start = windows.ToContent(start);
}

// Adds what the base has in the lines that came from it.
void BlobScanner::Impl::Inherit(const BlobMatches& base, BlobMatches* result) {
  match_order.clear();
  anchor_order.clear();
  for (size_t i = 0; i < base.matches.size(); ++i) {
    const RuleScan& scan = detector.scans[base.matches[i].rule];
    const Embedding embedding = base.matches[i].inner.embedding;
    if (embedding == Embedding::kBase64Lines) continue;  // Found anew below.
    const bool embedded = embedding != Embedding::kNone;  // It depends on its line alone.
    if (!embedded && (scan.kind != RuleScan::Kind::kLine || scan.prefiltered)) continue;
    match_order.push_back({base.matches[i].start, i});
  }
  for (size_t i = 0; i < base.anchors.size(); ++i) {
    anchor_order.push_back({base.anchors[i].end - 1, i});
  }
  if (match_order.empty() && anchor_order.empty() && base.wrapped.empty()) return;
  std::sort(match_order.begin(), match_order.end());
  std::sort(anchor_order.begin(), anchor_order.end());
  for (const CopyRun& run : whole_lines) {
    const uint64_t shift = run.offset - run.base_offset;  // Modulo 2^64.
    const uint64_t base_end = run.base_offset + run.length;
    const BaseOrder first{run.base_offset, 0};
    for (auto it = std::lower_bound(match_order.begin(), match_order.end(), first);
         it != match_order.end() && it->offset < base_end; ++it) {
      RawMatch match = base.matches[it->index];
      match.start += shift, match.end += shift;
      match.secret_start += shift, match.secret_end += shift;
      result->matches.push_back(match);
    }
    for (auto it = std::lower_bound(anchor_order.begin(), anchor_order.end(), first);
         it != anchor_order.end() && it->offset < base_end; ++it) {
      const BlobMatches::AnchorAt& anchor = base.anchors[it->index];
      result->anchors.push_back({.rule = anchor.rule, .end = anchor.end + shift, .bytes = anchor.bytes});
    }
    for (auto it = std::lower_bound(base.wrapped.begin(), base.wrapped.end(), run.base_offset);
         it != base.wrapped.end() && *it < base_end; ++it) {
      result->wrapped.push_back(*it + shift);
    }
  }
}

// Rules that see the blob as one text, in either mode.
void BlobScanner::Impl::ScanWide(std::string_view content, BlobMatches* result) {
  if (content.empty() || detector.wide == nullptr) return;
  wide_hits.clear();
  Scan(*detector.wide, content, scratch.get(), OnWide, &wide_hits);
  stats.bytes_scanned += content.size();
  for (const uint32_t hit : wide_hits) {
    ++stats.candidates;
    const ScannedRule& rule = detector.rules[hit];
    const CostMeter meter = Meter(rule);
    const bool line = rule.scan.kind == RuleScan::Kind::kLine;  // One that Hyperscan does not take.
    if (!line && !HasKeyword(content, rule.source.keywords, &lower)) continue;
    const RE2& re = Ready(rule.regex, rule.secret_group);
    stats.confirms += FindAll(re, content, 0, content.size(), &groups, [&] {
      const auto start = static_cast<uint64_t>(groups[0].begin() - content.data());
      const std::string_view region = KeywordRegion(content, start, start + groups[0].size());
      if (line && !HasKeyword(region, rule.source.keywords, &lower)) return;
      Report(rule, content.data(), 0, result);
    });
  }
}

const ScannedRule& BlobScanner::Impl::ByRule(uint32_t rule) const {
  return *std::lower_bound(detector.rules.begin(), detector.rules.end(), rule,
                           [](const ScannedRule& a, uint32_t b) { return a.rule < b; });
}

// The stretch of the blob in which the regex of a span rule is tried for one of its anchors.
BlobScanner::Impl::Stretch BlobScanner::Impl::AroundAnchor(const ScannedRule& rule,
                                                           std::string_view content,
                                                           uint64_t anchor_end) const {
  const uint64_t lead = anchor_end > kAnchorLeadBytes ? anchor_end - kAnchorLeadBytes : 0;
  return {AfterLastNewline(content, lead, anchor_end), std::min<uint64_t>(anchor_end + rule.source.span_bytes, content.size())};
}

// Tries span rules around all anchors, inherited ones as well: what follows them may have changed.
void BlobScanner::Impl::ConfirmSpans(std::string_view content, BlobMatches* result) {
  const std::vector<BlobMatches::AnchorAt>& anchors = result->anchors;
  for (size_t i = 0; i < anchors.size();) {
    if (detector.scans[anchors[i].rule].kind != RuleScan::Kind::kSpan) {  // a name
      ++i;
      continue;
    }
    const ScannedRule& rule = ByRule(anchors[i].rule);
    Stretch stretch = AroundAnchor(rule, content, anchors[i].end);
    for (++i; i < anchors.size() && anchors[i].rule == rule.rule; ++i) {
      const Stretch next = AroundAnchor(rule, content, anchors[i].end);
      if (next.begin > stretch.end) break;
      stretch.end = next.end;
    }
    ConfirmSpan(rule, content.substr(stretch.begin, stretch.end - stretch.begin), stretch.begin,
                result);
  }
}

void BlobScanner::Impl::ConfirmSpan(const ScannedRule& rule, std::string_view text, uint64_t offset,
                                    BlobMatches* result) {
  const CostMeter meter = Meter(rule);
  if (!HasKeyword(text, rule.source.keywords, &lower)) return;
  const RE2& re = Ready(rule.regex, rule.secret_group);
  stats.confirms += FindAll(re, text, 0, text.size(), &groups,
                            [&] { Report(rule, text.data(), offset, result); });
}

// Finds what stands beside the names. One value may be claimed by several: the best claim has it, and of
// equal ones the first rule's.
void BlobScanner::Impl::ConfirmNamed(std::string_view content, BlobMatches* result) {
  named.clear();
  uint64_t work = 0;
  size_t kept = 0;
  const ScannedRule* rule = nullptr;
  for (const BlobMatches::AnchorAt& anchor : result->anchors) {
    if (rule == nullptr || rule->rule != anchor.rule) rule = &ByRule(anchor.rule);  // they are sorted
    if (rule->named.empty()) continue;  // a span rule's
    const CostMeter meter = Meter(*rule);
    for (const ScannedRule::Named& one : rule->named) {
      ++stats.confirms;
      const auto value = FindNamedValue(content, anchor.end - anchor.bytes, anchor.end, *one.target, &work);
      if (value) named.push_back({.value = *value, .rule = one.rule, .needed = one.needed});
    }
    if (work > kNamedWorkAtLeast + kNamedWorkPerByte * content.size()) {
      result->too_much = true;
      break;
    }
    if (named.size() > 2 * kept + kManyClaims) {
      KeepBest(&named);
      kept = named.size();
    }
  }
  KeepBest(&named);
  for (const NamedClaim& claim : named) {
    if (!claim.needed) continue;
    result->matches.push_back({.rule = claim.rule,
                               .start = claim.value.match_start,
                               .end = claim.value.match_end,
                               .secret_start = claim.value.start,
                               .secret_end = claim.value.end,
                               .inner = {}});
  }
}

// Everything that sees more than lines, and order. `result` holds all that lines say.
void BlobScanner::Impl::Finish(std::string_view content, BlobMatches* result) {
  SortDistinct(&result->anchors);
  ConfirmSpans(content, result);
  ConfirmNamed(content, result);
  ConfirmWrapped(content, result);
  ScanWide(content, result);
  SortDistinct(&result->matches);
}

BlobScanner::BlobScanner(const Detector& detector)
    : impl_(std::make_unique<Impl>(detector.impl(), stats_, costs_, 0)) {}
BlobScanner::~BlobScanner() = default;

void BlobScanner::CountCosts() { costs_.assign(impl_->detector.ruleset->rules().size(), {}); }

void BlobScanner::ScanFull(std::string_view content, BlobMatches* result) {
  impl_->ScanText(content, true, result);
}

void BlobScanner::ScanDelta(std::string_view content, std::span<const CopyRun> copies,
                            uint64_t base_bytes, const BlobMatches& base, BlobMatches* result) {
  result->Clear();
  KeepWholeLines(content, copies, base_bytes, kMinInheritedBytes, &impl_->whole_lines);
  const std::string_view windows = impl_->windows.Gather(content, impl_->whole_lines);
  impl_->ScanLines(windows, result);
  impl_->ScanEmbedded(windows, result);
  impl_->ScanEscaped(windows, result);
  impl_->MapToContent(result);
  impl_->Inherit(base, result);
  impl_->Finish(content, result);
}

}  // namespace unsprawl
