#include "engine/judge/judge.h"

#include <algorithm>

#include "engine/judge/path_class.h"
#include "engine/match/ruleset_filters.h"

namespace unsprawl {
namespace {

bool MatchesAny(const std::vector<std::unique_ptr<RE2>>& expressions, std::string_view text) {
  return std::any_of(expressions.begin(), expressions.end(), [text](const std::unique_ptr<RE2>& re) {
    return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *re);
  });
}

bool AppliesTo(const Allowlist& list, const Rule& rule) {
  return list.target_rules.empty() || std::find(list.target_rules.begin(), list.target_rules.end(),
                                                rule.id) != list.target_rules.end();
}

bool HasValueCriteria(const Allowlist& list) { return !list.regexes.empty() || !list.stopwords.empty(); }

// Whether one of `lists` excludes this path. `bit` numbers the allowlists that join paths and values.
bool PathAllowed(std::span<const Allowlist> lists, const std::vector<CompiledAllowlist>& compiled,
                 const Rule& rule, uint32_t flags, std::string_view path, int* bit) {
  for (size_t i = 0; i < lists.size(); ++i) {
    const Allowlist& list = lists[i];
    if (list.paths.empty()) continue;
    const bool joined = list.all && HasValueCriteria(list);
    const bool values_hold = !joined || (flags & (uint32_t{kPathAllowlist} << (*bit)++)) != 0;
    if (list.all && !list.commits.empty()) continue;
    if (!AppliesTo(list, rule) || !values_hold) continue;
    if (MatchesAny(compiled[i].paths, path)) return true;
  }
  return false;
}

// The rule's index in `ruleset`, or SIZE_MAX for a rule of another set.
size_t IndexOf(const Ruleset& ruleset, const Rule& rule) {
  const Rule* own = ruleset.FindById(rule.id);
  return own == nullptr ? SIZE_MAX : static_cast<size_t>(own - ruleset.rules().data());
}

// What a feature makes of the confidence. The order of the table is that in which reasons are named.
struct Effect {
  uint32_t flag;
  double distinctive, keyword, generic;  // factors by class
  std::string_view reason;
};
constexpr Effect kEffects[] = {
    {kReference, 0.1, 0.1, 0.05, "names a variable instead of holding a value"},
    {kPlaceholder, 0.1, 0.15, 0.2, "a placeholder"},
    {kStructureBad, 0.3, 0.3, 0.2, "its inner structure does not hold"},
    {kWordLike, 0.8, 0.4, 0.4, "reads as words"},
    {kDigestLike, 1.0, 0.8, 0.4, "shaped like a digest or an id"},
};

double FactorOf(const Effect& effect, RuleClass rule_class) {
  switch (rule_class) {
    case RuleClass::kDistinctive: return effect.distinctive;
    case RuleClass::kKeyword: return effect.keyword;
    case RuleClass::kGeneric: return effect.generic;
  }
  return effect.generic;
}

// Tests hold made-up passwords far more often than made-up tokens of a provider.
double FactorOfPath(PathClass path, RuleClass rule_class) {
  const bool generic = rule_class == RuleClass::kGeneric;
  switch (path) {
    case PathClass::kOrdinary: return 1;
    case PathClass::kTest: return generic ? 0.5 : 0.75;
    case PathClass::kExample: return generic ? 0.6 : 0.8;
    case PathClass::kGenerated: return generic ? 0.3 : 0.8;
  }
  return 1;
}

Verdict Refuse(std::string_view reason) { return {.report = false, .confidence = 0, .reason = reason}; }

}  // namespace

bool Beats(const Rule& a, const Rule& b) {
  if (a.rule_class != b.rule_class) return a.rule_class < b.rule_class;
  if (a.confidence != b.confidence) return a.confidence > b.confidence;
  return a.id < b.id;
}

Verdict Judge(const Ruleset& ruleset, const Rule& rule, uint32_t flags, float entropy,
              std::string_view path) {
  if ((flags & kAllowlisted) != 0) return Refuse("allowlisted");
  const RulesetFilters& filters = ruleset.filters();
  int bit = 0;
  if (const size_t index = IndexOf(ruleset, rule); index != SIZE_MAX) {
    const RulesetFilters::OfRule& own = filters.rules[index];
    if (own.path != nullptr && !RE2::PartialMatch(re2::StringPiece(path.data(), path.size()), *own.path)) {
      return Refuse("outside the paths of the rule");
    }
    if (PathAllowed(rule.allowlists, own.allowlists, rule, flags, path, &bit)) {
      return Refuse("allowlisted path");
    }
  }
  if (PathAllowed(ruleset.allowlists(), filters.global, rule, flags, path, &bit)) {
    return Refuse("allowlisted path");
  }
  if ((flags & kChecksumBad) != 0) return Refuse("its checksum is wrong");
  if ((flags & kKnownExample) != 0) return Refuse("a published example");
  if (rule.min_entropy > 0 && entropy <= rule.min_entropy) return Refuse("too little entropy");

  Verdict verdict{.report = true, .confidence = rule.confidence, .reason = ""};
  const bool checksum = (flags & kChecksumOk) != 0;
  if (checksum) verdict.confidence = std::max(verdict.confidence, 0.95);
  if ((flags & kStructureOk) != 0) verdict.confidence = std::min(1.0, verdict.confidence + 0.05);
  if ((flags & kStructurallyDead) != 0) verdict.reason = "expired, or of a retired kind";
  const auto lower = [&verdict](double factor, std::string_view reason) {
    verdict.confidence *= factor;
    if (verdict.reason.empty()) verdict.reason = reason;
  };
  for (const Effect& effect : kEffects) {
    // A checksum that holds outweighs how the value looks.
    if ((flags & effect.flag) != 0 && !checksum) lower(FactorOf(effect, rule.rule_class), effect.reason);
  }
  const PathClass path_class = ClassifyPath(path);
  if (path_class != PathClass::kOrdinary && !checksum) {
    lower(FactorOfPath(path_class, rule.rule_class), "in a test, example or generated file");
  }
  return verdict;
}

}  // namespace unsprawl
