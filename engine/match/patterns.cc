#include "engine/match/patterns.h"

#include <re2/re2.h>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/match/confirm.h"
#include "engine/match/hs_pattern.h"

namespace unsprawl {
namespace {

// One rule on its way to a database.
struct Candidate {
  RuleScan scan;
  HsExpression expression;
};

absl::Status Refused(const Rule& rule, const char* what, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrFormat("rule %s: %s: %s", rule.id, what, why));
}

// Whether what Hyperscan looks for is only where to try.
bool HasAnchor(const RuleScan& scan) {
  return scan.kind == RuleScan::Kind::kSpan || scan.kind == RuleScan::Kind::kNamed;
}

absl::Status CheckRe2(const Rule& rule, const char* what, std::string_view regex, bool lines) {
  const LazyRegex compiled(regex, lines);
  if (compiled.Get().ok()) return absl::OkStatus();
  return Refused(rule, what, compiled.Get().error());
}

// What Hyperscan does not take as it is, it looks for loosely.
absl::Status Approximate(const Rule& rule, ByteSets& sets, Candidate* candidate) {
  const bool lines = candidate->scan.kind == RuleScan::Kind::kLine;
  ASSIGN_OR_RETURN(HsPattern pattern, TranslateForHyperscan(rule.regex, lines, sets, /*loose=*/true));
  candidate->scan.prefiltered = true;
  candidate->expression.text = std::move(pattern.expression);
  candidate->expression.flags = HS_FLAG_PREFILTER;
  return absl::OkStatus();
}

// Fills in widths, or turns to an approximation when Hyperscan does not take the expression itself.
absl::Status Measure(const Rule& rule, ByteSets& sets, Candidate* candidate) {
  absl::StatusOr<HsWidth> width = ExpressionWidth(candidate->expression);
  if (!width.ok() && !HasAnchor(candidate->scan)) {
    RETURN_IF_ERROR(Approximate(rule, sets, candidate));
    width = ExpressionWidth(candidate->expression);
  }
  if (!width.ok()) return Refused(rule, "regex", std::string(width.status().message()));
  if (width->min == 0) return Refused(rule, "regex", "matches the empty string");
  if (HasAnchor(candidate->scan) && width->max > kAnchorLeadBytes) {
    return Refused(rule, "anchor", absl::StrFormat("may match more than %d bytes; use bounded repeats",
                                                   kAnchorLeadBytes));
  }
  candidate->scan.min_bytes = width->min;
  candidate->scan.max_bytes = width->max;
  return absl::OkStatus();
}

absl::StatusOr<Candidate> Classify(const Rule& rule, ByteSets& sets) {
  Candidate candidate;
  const bool span = !rule.anchor.empty();
  const std::string& scanned = span ? rule.anchor : rule.regex;
  const char* const what = span ? "anchor" : "regex";
  RETURN_IF_ERROR(CheckRe2(rule, what, scanned, false));
  if (span) RETURN_IF_ERROR(CheckRe2(rule, "regex", rule.regex, false));
  absl::StatusOr<HsPattern> pattern = TranslateForHyperscan(scanned, /*lines=*/true, sets);
  if (!pattern.ok()) return Refused(rule, what, std::string(pattern.status().message()));
  candidate.scan.kind = span              ? RuleScan::Kind::kSpan
                        : rule.is_named() ? RuleScan::Kind::kNamed
                                          : RuleScan::Kind::kLine;
  if (pattern->text_anchors || pattern->names_newline) {
    if (span) return Refused(rule, what, "must stay within a line: no newline, ^ and $ only with (?m)");
    candidate.scan.kind = RuleScan::Kind::kWide;
    pattern = TranslateForHyperscan(scanned, /*lines=*/false, sets);
    if (!pattern.ok()) return Refused(rule, what, std::string(pattern.status().message()));
  }
  candidate.expression.text = std::move(pattern->expression);
  candidate.expression.flags = pattern->line_anchors ? HS_FLAG_MULTILINE : 0;
  RETURN_IF_ERROR(Measure(rule, sets, &candidate));
  return candidate;
}

bool IsForWide(const RuleScan& scan) {
  return scan.kind == RuleScan::Kind::kWide || scan.prefiltered;
}

// The expressions of one of the two databases, by rule.
std::vector<HsExpression> Expressions(const std::vector<Candidate>& candidates, bool wide) {
  std::vector<HsExpression> expressions;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (IsForWide(candidates[i].scan) != wide) continue;
    HsExpression expression = candidates[i].expression;
    expression.id = static_cast<unsigned>(i);
    if (wide) expression.flags |= HS_FLAG_SINGLEMATCH;
    expressions.push_back(std::move(expression));
  }
  return expressions;
}

// Compiles one database. A pattern that turns out to be too large is made an approximation (and so
// belongs to the wide database) and everything starts over: *changed is set then.
absl::StatusOr<HsDatabase> CompileOne(const std::vector<const Rule*>& rules, bool wide, ByteSets& sets,
                                      std::vector<Candidate>* candidates, bool* changed) {
  const std::vector<HsExpression> expressions = Expressions(*candidates, wide);
  if (expressions.empty()) return HsDatabase();
  std::optional<size_t> refused;
  absl::StatusOr<HsDatabase> database = CompileDatabase(expressions, &refused);
  if (database.ok() || !refused.has_value()) return database;
  const unsigned rule = expressions[*refused].id;
  Candidate& candidate = (*candidates)[rule];
  if (candidate.scan.prefiltered || HasAnchor(candidate.scan)) {
    return Refused(*rules[rule], "regex", std::string(database.status().message()));
  }
  RETURN_IF_ERROR(Approximate(*rules[rule], sets, &candidate));
  *changed = true;
  return HsDatabase();
}

}  // namespace

absl::StatusOr<CompiledPatterns> CompilePatterns(const std::vector<const Rule*>& rules) {
  ByteSets sets;
  std::vector<Candidate> candidates;
  for (const Rule* rule : rules) {
    ASSIGN_OR_RETURN(Candidate candidate, Classify(*rule, sets));
    candidates.push_back(std::move(candidate));
  }
  CompiledPatterns patterns;
  for (bool changed = true; changed;) {
    changed = false;
    ASSIGN_OR_RETURN(patterns.lines, CompileOne(rules, false, sets, &candidates, &changed));
    if (changed) continue;
    ASSIGN_OR_RETURN(patterns.wide, CompileOne(rules, true, sets, &candidates, &changed));
  }
  for (const Candidate& candidate : candidates) patterns.scans.push_back(candidate.scan);
  return patterns;
}

}  // namespace unsprawl
