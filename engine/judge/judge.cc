#include "engine/judge/judge.h"

#include <algorithm>

#include "engine/judge/path_class.h"
#include "engine/match/ruleset_filters.h"

namespace unsprawl {
namespace {

// Whether one of `lists` excludes this place. `bit` numbers the allowlists that join places and values.
bool PlaceAllowed(std::span<const Allowlist> lists, const std::vector<CompiledAllowlist>& compiled, const Rule& rule,
                  uint32_t flags, const Where& where, int* bit) {
  for (size_t i = 0; i < lists.size(); ++i) {
    const Allowlist& list = lists[i];
    const bool values_hold = !list.is_joined() || (flags & (uint32_t{kPathAllowlist} << (*bit)++)) != 0;
    if (!list.has_places() || !list.AppliesTo(rule.id)) continue;
    const bool path = MatchesAny(compiled[i].paths, where.path);
    const bool commit = where.commit.size() == ObjectId::kBytes &&
                        std::binary_search(compiled[i].commits.begin(), compiled[i].commits.end(),
                                           ObjectId::FromRaw(where.commit.data()));
    const bool all = values_hold && (path || list.paths.empty()) && (commit || list.commits.empty());
    if (list.all ? all : path || commit) return true;
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
    {kChecksumBad, 0.1, 0.1, 0.1, "its checksum is wrong"},
    {kKnownExample, 0.1, 0.1, 0.1, "a published example"},
    {kReference, 0.1, 0.1, 0.05, "names a variable instead of holding a value"},
    {kPlaceholder, 0.1, 0.15, 0.2, "a placeholder"},
    {kStructureBad, 0.3, 0.3, 0.2, "its inner structure does not hold"},
    {kWordLike, 0.8, 0.4, 0.4, "reads as words"},
    {kPlainWord, 1.0, 0.9, 0.9, "a plain word"},
    {kDigestLike, 1.0, 0.4, 0.4, "shaped like a digest or an id"},
    {kOtherName, 1.0, 0.5, 0.3, "its name speaks of something else"},
};
// Of keyword rules, before what a generic rule lends them.
constexpr Effect kNamedEffects[] = {
    {kNothingAsked, 1.0, 0.6, 1.0, "nothing near it asks for a credential"},
    {kUndocumented, 1.0, 0.9, 1.0, "not of a documented shape"},
    {kOtherLine, 1.0, 0.9, 1.0, "its service is named in another line"},
};

double FactorOf(const Effect& effect, RuleClass rule_class) {
  switch (rule_class) {
    case RuleClass::kDistinctive: return effect.distinctive;
    case RuleClass::kKeyword: return effect.keyword;
    case RuleClass::kGeneric: return effect.generic;
  }
  return effect.generic;
}

// A confidence on its way, with all that counted.
class Weighing {
 public:
  Weighing(double confidence, std::string_view what, std::vector<JudgeStep>* steps) : steps_(steps) {
    Set(confidence, what);
  }

  void Set(double confidence, std::string_view what) {
    confidence_ = confidence;
    if (steps_ != nullptr) steps_->push_back({what, confidence_});
  }
  // The first thing that lowers it is the reason that is shown.
  void Lower(double factor, std::string_view what) {
    Set(confidence_ * factor, what);
    if (reason_.empty()) reason_ = what;
  }
  void Reason(std::string_view reason) { reason_ = reason; }

  double confidence() const { return confidence_; }
  Verdict Finish() const { return {.report = true, .confidence = confidence_, .reason = reason_}; }

 private:
  std::vector<JudgeStep>* const steps_;
  double confidence_ = 0;
  std::string_view reason_;
};

// What tells for or against a keyword rule's match before its value is looked at.
void WeighName(const Ruleset& ruleset, uint32_t flags, float entropy, std::span<const uint64_t> overlapping,
               Weighing* weighing) {
  for (const Effect& effect : kNamedEffects) {
    if ((flags & effect.flag) != 0) weighing->Lower(effect.keyword, effect.reason);
  }
  for (const uint64_t key : overlapping) {
    const Rule* const other = ruleset.FindByKey(key);
    if (other == nullptr || other->rule_class != RuleClass::kGeneric || entropy <= other->min_entropy) continue;
    if (other->confidence <= weighing->confidence()) continue;
    weighing->Set(other->confidence, "a generic rule finds it too");
    weighing->Reason("");
  }
}

// Tests hold made-up passwords more often than made-up tokens of a provider, and keys made for them alone.
double FactorOfPath(PathClass path, const Rule& rule, RuleClass value_class) {
  const bool generic = value_class == RuleClass::kGeneric;
  if (rule.category == "keys" && !rule.anchor.empty()) {  // a key block
    if (path == PathClass::kTest) return 0.62;
    if (path == PathClass::kFixture) return 0.5;
  }
  switch (path) {
    case PathClass::kOrdinary: return 1;
    case PathClass::kTest:
    case PathClass::kFixture: return generic ? 0.85 : 0.9;
    case PathClass::kExample: return generic ? 0.87 : 0.9;
    case PathClass::kGenerated: return generic ? 0.3 : 0.8;
  }
  return 1;
}

}  // namespace

bool Beats(const Rule& a, const Rule& b) {
  if (a.rule_class != b.rule_class) return a.rule_class < b.rule_class;
  if (a.confidence != b.confidence) return a.confidence > b.confidence;
  return a.id < b.id;
}

Verdict Judge(const Ruleset& ruleset, const Rule& rule, uint32_t flags, float entropy,
              const Where& where, std::span<const uint64_t> overlapping, std::vector<JudgeStep>* steps) {
  const auto refuse = [steps](std::string_view reason) {
    if (steps != nullptr) steps->push_back({reason, 0});
    return Verdict{.report = false, .confidence = 0, .reason = reason};
  };
  if (rule.skip_report) return refuse("looked for only where another rule requires it");
  if ((flags & kAllowlisted) != 0) return refuse("allowlisted");
  const RulesetFilters& filters = ruleset.filters();
  int bit = 0;
  if (const size_t index = IndexOf(ruleset, rule); index != SIZE_MAX) {
    const RulesetFilters::OfRule& own = filters.rules[index];
    const auto is_inside = [&](const RulesetFilters::OfRule& of) { return of.path == nullptr || Finds(*of.path, where.path); };
    if (!is_inside(own)) return refuse("outside the paths of the rule");
    const bool all_there = std::all_of(own.required.begin(), own.required.end(), [&](uint32_t required) {
      const Rule& other = ruleset.rules()[required];
      int its_bit = 0;
      return is_inside(filters.rules[required]) &&
             !PlaceAllowed(other.allowlists, filters.rules[required].allowlists, other, 0, where, &its_bit) &&
             !PlaceAllowed(ruleset.allowlists(), filters.global, other, 0, where, &its_bit);
    });
    if (!all_there || (flags & kRequiredMissing) != 0) return refuse("what its rule requires is not near");
    if (PlaceAllowed(rule.allowlists, own.allowlists, rule, flags, where, &bit)) return refuse("allowlisted place");
  }
  if (PlaceAllowed(ruleset.allowlists(), filters.global, rule, flags, where, &bit)) return refuse("allowlisted place");
  if (rule.min_entropy > 0 && entropy <= rule.min_entropy && !rule.is_path_only()) return refuse("too little entropy");

  Weighing weighing(rule.confidence, "the rule", steps);
  if (rule.is_named()) WeighName(ruleset, flags, entropy, overlapping, &weighing);
  const bool checksum = (flags & kChecksumOk) != 0;
  if (checksum) weighing.Set(std::max(weighing.confidence(), 0.95), "its checksum holds");
  if ((flags & kStructureOk) != 0) {
    weighing.Set(std::min(1.0, weighing.confidence() + 0.05), "its inner structure holds");
  }
  if ((flags & kStructurallyDead) != 0) weighing.Reason("expired, or of a retired kind");
  // A value beside a name that has no documented shape is as doubtful as any under a telling name.
  const RuleClass value_class = (flags & kUndocumented) != 0 ? RuleClass::kGeneric : rule.rule_class;
  for (const Effect& effect : kEffects) {
    // A checksum that holds outweighs how the value looks.
    if ((flags & effect.flag) != 0 && !checksum) weighing.Lower(FactorOf(effect, value_class), effect.reason);
  }
  const PathClass path_class = ClassifyPath(where.path);
  if (path_class != PathClass::kOrdinary && !checksum) {
    weighing.Lower(FactorOfPath(path_class, rule, value_class), "in a test, example or generated file");
  }
  return weighing.Finish();
}

}  // namespace unsprawl
