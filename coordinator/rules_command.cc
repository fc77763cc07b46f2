#include "coordinator/rules_command.h"

#include <hs/hs.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/str_format.h"
#include "coordinator/example_text.h"
#include "coordinator/named_examples.h"
#include "engine/base/status.h"
#include "engine/judge/judge.h"
#include "engine/judge/text_shape.h"
#include "engine/match/detector.h"
#include "engine/match/literal.h"

namespace unsprawl {
namespace {

// 1 January 2026: a fixed day, so that a check says the same on any day.
constexpr int64_t kNow = 1767225600;

char ClassLetter(RuleClass rule_class) { return static_cast<char>('A' + static_cast<int>(rule_class) - 1); }

std::string_view SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kLow: return "low";
    case Severity::kMedium: return "medium";
    case Severity::kHigh: return "high";
    case Severity::kCritical: return "critical";
  }
  return "";
}

// The widest match in bytes as Hyperscan sees it; UINT32_MAX: no bound. nullopt: refused.
std::optional<uint32_t> WidthOf(const std::string& regex) {
  hs_expr_info_t* info = nullptr;
  hs_compile_error_t* error = nullptr;
  const hs_error_t status = hs_expression_info(regex.c_str(), HS_FLAG_ALLOWEMPTY, &info, &error);
  if (error != nullptr) hs_free_compile_error(error);
  if (status != HS_SUCCESS || info == nullptr) return std::nullopt;
  const uint32_t width = info->max_width;
  std::free(info);
  return width;
}

// Whether the text of an expression has something that may match a newline: a negated class without it,
// \s, \W, \D, or a dot that takes everything.
bool MayMatchNewline(std::string_view regex) {
  bool in_class = false;
  for (size_t i = 0; i < regex.size(); ++i) {
    if (regex[i] == '\\' && i + 1 < regex.size()) {
      const char c = regex[++i];
      if (c == 's' || c == 'W' || c == 'D' || c == 'H' || c == 'v' || c == 'R') return true;
      continue;
    }
    if (in_class) {
      in_class = regex[i] != ']';
      continue;
    }
    if (regex[i] == '[') {
      in_class = true;
      if (regex.substr(i, 2) == "[^") {
        size_t end = i + 2;
        while (end < regex.size() && (regex[end] != ']' || end == i + 2)) end += regex[end] == '\\' ? 2 : 1;
        if (regex.substr(i, end - i).find("\\n") == std::string_view::npos) return true;
      }
      if (i + 1 < regex.size() && regex[i + 1] == ']') ++i;
    }
    if (regex.substr(i, 4) == "(?s)") return true;
  }
  return false;
}

void Append(std::vector<std::string> from, std::vector<std::string>* to) {
  std::move(from.begin(), from.end(), std::back_inserter(*to));
}

struct Report {
  const Rule* rule;
  uint64_t start, end;  // of the secret
};

// One run of the check: the compiled rules and what was found wrong.
class Checker {
 public:
  Checker(const Ruleset& ruleset, const Detector& detector, std::ostream& out, const RulesCheckOptions& options)
      : ruleset_(ruleset), scanner_(detector), out_(out), options_(options) {}

  void CheckRule(const Rule& rule) {
    CheckPattern(rule);
    std::vector<std::string> examples = rule.examples, negatives = rule.negatives;
    if (rule.is_named()) {
      Append(NamedExamples(rule), &examples);
      Append(NamedNegatives(rule), &negatives);
    }
    if (examples.size() < 2) Problem(rule, absl::StrFormat("has %d examples; give two", examples.size()));
    if (negatives.size() < 2) Problem(rule, absl::StrFormat("has %d negatives; give two", negatives.size()));
    if (rule.is_path_only()) return CheckPaths(rule);
    for (uint64_t seed = 0; seed < options_.seeds; ++seed) {
      for (const std::string& example : examples) CheckExample(rule, example, seed);
      for (const std::string& negative : negatives) CheckNegative(rule, negative, seed);
    }
  }

  void WriteConfusions() const {
    for (const auto& [rule, others] : confusions_) {
      for (const auto& [other, wins] : others) {
        out_ << absl::StrFormat("note: %s: an example is also reported by %s, which %s\n", rule, other,
                                wins ? "WINS" : "loses");
      }
    }
  }

  // Values of no known shape are drawn anew for each seed, and a few of them read as words: of the examples that are
  // made for keyword rules, some may be missed.
  void CheckMissed() {
    constexpr double kMayBeMissed = 0.02;
    if (made_ == 0) return;
    out_ << absl::StrFormat("keyword rules: %d of %d examples found\n", made_ - missed_, made_);
    out_ << absl::StrFormat("of %d examples found %d are named by their own rule, %d by one of their provider\n", found_,
                            named_by_own_, named_by_provider_);
    problems_ += missed_ > kMayBeMissed * made_ ? 1 : 0;
  }

  int problems() const { return problems_; }

 private:
  void Problem(const Rule& rule, std::string_view what) {
    ++problems_;
    Write(rule, what);
  }

  void Write(const Rule& rule, std::string_view what) {
    out_ << absl::StrFormat("%s: %s\n", rule.id, what);
  }

  void CheckPattern(const Rule& rule) {
    const std::string& looked_for = rule.anchor.empty() ? rule.regex : rule.anchor;
    if (looked_for.empty()) return;  // a rule of paths only
    const auto width = WidthOf(looked_for);
    if (!width) {
      Problem(rule, "Hyperscan refuses its expression");
    } else if (*width == UINT32_MAX) {
      Problem(rule, "its width has no bound; write {0,n} instead of * and +");
    } else if (options_.widths) {
      out_ << absl::StrFormat("%-40s class %c, at most %d bytes\n", rule.id, ClassLetter(rule.rule_class), *width);
    }
    // A name is one, even where there are more of them than RE2 looks into.
    if (!rule.is_named() && !RuleHasLiteral(looked_for)) {
      Problem(rule, absl::StrFormat("no literal of %d bytes is in every match: it slows every scan", kLiteralBytes));
    }
    if (MayMatchNewline(looked_for)) {
      Problem(rule, "may match a newline; write [ \\t] for \\s and put \\n into [^...], or give it an anchor");
    }
  }

  // Examples of a rule of paths alone are paths.
  void CheckPaths(const Rule& rule) {
    for (const std::string& path : rule.examples) {
      if (!Judge(ruleset_, rule, 0, 0, {.path = path}).report) Problem(rule, "example not reported: " + path);
    }
    for (const std::string& path : rule.negatives) {
      if (Judge(ruleset_, rule, 0, 0, {.path = path}).report) Problem(rule, "negative reported: " + path);
    }
  }

  // What is reported of `text`, all rules.
  std::vector<Report> Scan(const std::string& text) {
    scanner_.ScanFull(text, &matches_);
    std::vector<Report> reports;
    const std::vector<MatchFeatures> all = Examine(ruleset_, matches_.matches, text, SecretKey{}, kNow);
    for (size_t i = 0; i < all.size(); ++i) {
      const RawMatch& match = matches_.matches[i];
      const Rule& rule = ruleset_.rules()[match.rule];
      const Verdict verdict = Judge(ruleset_, rule, all[i].flags, all[i].entropy, {});
      last_reason_[match.rule] = absl::StrFormat("%s, confidence %.2f", std::string(verdict.reason), verdict.confidence);
      // A rule that stays below the default is found by its examples when nothing speaks against them.
      constexpr double kDoubt = 0.7;
      if (verdict.report && verdict.confidence >= std::min(options_.min_confidence, rule.confidence * kDoubt)) {
        reports.push_back({&rule, match.secret_start, match.secret_end});
      }
    }
    return reports;
  }

  std::string Expand(const Rule& rule, const std::string& text, uint64_t seed) {
    auto expanded = ExpandExample(text, seed);
    if (expanded.ok()) return *std::move(expanded);
    Problem(rule, std::string(expanded.status().message()));
    return "";
  }

  void CheckExample(const Rule& rule, const std::string& example, uint64_t seed) {
    last_reason_.clear();
    const std::string text = Expand(rule, example, seed);
    if (text.empty()) return;
    const std::vector<Report> reports = Scan(text);
    const auto own = std::find_if(reports.begin(), reports.end(),
                                  [&rule](const Report& report) { return report.rule == &rule; });
    made_ += rule.is_named() ? 1 : 0;
    if (own == reports.end()) {
      const auto reason = last_reason_.find(static_cast<uint32_t>(&rule - ruleset_.rules().data()));
      const std::string what = absl::StrFormat("example not %s (%s), seed %d: %s",
                                               reason == last_reason_.end() ? "found" : "reported",
                                               reason == last_reason_.end() ? "no match" : reason->second, seed, text);
      if (!rule.is_named()) {
        Problem(rule, what);
      } else {
        Write(rule, what);
        ++missed_;
      }
      return;
    }
    const Rule* best = &rule;
    for (const Report& other : reports) {
      const bool overlaps = other.start < own->end && own->start < other.end;
      if (other.rule == &rule || !overlaps) continue;
      if (Beats(*other.rule, rule)) {
        confusions_[rule.id][other.rule->id] = true;
        if (Beats(*other.rule, *best)) best = other.rule;
      } else if (other.rule->rule_class != RuleClass::kGeneric) {
        confusions_[rule.id].emplace(other.rule->id, false);
      }
    }
    ++found_;
    named_by_own_ += best == &rule ? 1 : 0;
    named_by_provider_ += best->provider == rule.provider ? 1 : 0;
  }

  void CheckNegative(const Rule& rule, const std::string& negative, uint64_t seed) {
    const std::string text = Expand(rule, negative, seed);
    for (const Report& report : Scan(text)) {
      if (report.rule == &rule) Problem(rule, absl::StrFormat("negative reported, seed %d: %s", seed, text));
    }
  }

  const Ruleset& ruleset_;
  BlobScanner scanner_;
  std::ostream& out_;
  const RulesCheckOptions& options_;
  BlobMatches matches_;
  std::map<uint32_t, std::string> last_reason_;
  std::map<std::string, std::map<std::string, bool>> confusions_;  // rule, other, whether the other wins
  int problems_ = 0;
  int made_ = 0, missed_ = 0;  // examples of keyword rules
  int found_ = 0, named_by_own_ = 0, named_by_provider_ = 0;  // of all rules
};

}  // namespace

absl::StatusOr<int> RulesCheck(const Ruleset& ruleset, std::ostream& out, const RulesCheckOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Detector> detector, Detector::Create(ruleset, {}, {}));
  Checker checker(ruleset, *detector, out, options);
  for (const Rule& rule : ruleset.rules()) checker.CheckRule(rule);
  checker.CheckMissed();
  if (options.confusions) checker.WriteConfusions();
  for (const std::string& warning : ruleset.warnings()) out << warning << "\n";
  const int problems = checker.problems() + static_cast<int>(ruleset.warnings().size());
  out << absl::StrFormat("%d rules, %d problems\n", ruleset.rules().size(), problems);
  return problems;
}

void RulesList(const Ruleset& ruleset, std::ostream& out) {
  for (const Rule& rule : ruleset.rules()) {
    out << absl::StrFormat("%-36s %c  %-8s  %.2f  %-16s  %s\n", rule.id, ClassLetter(rule.rule_class),
                           SeverityName(rule.severity), rule.confidence, rule.provider, rule.description);
  }
}

void RulesStats(const Ruleset& ruleset, std::ostream& out) {
  std::map<std::string, int> classes, categories, severities;
  std::set<std::string> providers;
  int named = 0, documented = 0, checksums = 0, structures = 0, shown = 0, spans = 0;
  constexpr double kShown = 0.5;  // what a report shows by itself
  for (const Rule& rule : ruleset.rules()) {
    ++classes[std::string(1, ClassLetter(rule.rule_class))];
    ++categories[rule.category.empty() ? "none" : rule.category];
    ++severities[std::string(SeverityName(rule.severity))];
    providers.insert(rule.provider);
    named += rule.is_named() ? 1 : 0;
    documented += rule.is_named() && rule.values.front() != "{any}" ? 1 : 0;
    checksums += rule.checksum.empty() ? 0 : 1;
    structures += rule.structure.empty() ? 0 : 1;
    spans += rule.anchor.empty() ? 0 : 1;
    shown += rule.confidence >= kShown ? 1 : 0;
  }
  const auto counts = [&out](std::string_view what, const std::map<std::string, int>& numbers) {
    out << absl::StrFormat("%-12s", what);
    for (const auto& [name, number] : numbers) out << absl::StrFormat(" %s %d ", name, number);
    out << "\n";
  };
  out << absl::StrFormat("%d rules of %d providers, ruleset %s\n", ruleset.rules().size(), providers.size(), ruleset.id());
  counts("class", classes);
  counts("category", categories);
  counts("severity", severities);
  out << absl::StrFormat("%d keyword rules, %d of them with a known shape; %d with a checksum, %d with a structure, %d over several lines\n",
                         named, documented, checksums, structures, spans);
  out << absl::StrFormat("%d are shown by default (confidence %.1f and above, before anything is known of a value)\n", shown, kShown);
}

void RulesPage(const Ruleset& ruleset, std::ostream& out) {
  std::map<std::string, std::vector<const Rule*>> categories;
  std::set<std::string> providers;
  for (const Rule& rule : ruleset.rules()) {
    categories[rule.category].push_back(&rule);
    providers.insert(rule.provider);
  }
  out << absl::StrFormat("# Types of secrets\nMade by `unsprawl rules list --markdown`. %d types of %d providers; what the columns mean is in "
                         "[rules.md](rules.md).\n", ruleset.rules().size(), providers.size());
  for (auto& [category, rules] : categories) {
    std::sort(rules.begin(), rules.end(), [](const Rule* a, const Rule* b) {
      return std::pair(LowerAscii(a->provider), a->id) < std::pair(LowerAscii(b->provider), b->id);
    });
    out << absl::StrFormat("\n## %s\n| provider | type | class | severity | confidence |\n|---|---|---|---|---|\n", category);
    for (const Rule* rule : rules) {
      out << absl::StrFormat("| %s | %s | %c | %s | %.2f |\n", rule->provider, rule->id, ClassLetter(rule->rule_class),
                             SeverityName(rule->severity), rule->confidence);
    }
  }
}

absl::Status RulesShow(const Ruleset& ruleset, std::string_view id, std::ostream& out) {
  const Rule* rule = ruleset.FindById(id);
  if (rule == nullptr) {
    std::string near;
    for (const Rule& other : ruleset.rules()) {
      if (other.id.find(id) != std::string::npos) near += " " + other.id;
    }
    return absl::NotFoundError(
        absl::StrFormat("there is no rule %s;%s", id,
                        near.empty() ? " `unsprawl rules list` names all" : " near it:" + near));
  }
  const auto line = [&out](std::string_view name, std::string_view value) {
    if (!value.empty()) out << absl::StrFormat("%-12s %s\n", name, value);
  };
  line("id", rule->id);
  line("description", rule->description);
  line("provider", rule->provider);
  line("category", rule->category);
  line("class", std::string(1, ClassLetter(rule->rule_class)));
  line("severity", SeverityName(rule->severity));
  line("confidence", absl::StrFormat("%.2f", rule->confidence));
  if (!rule->is_named()) line("regex", rule->regex);
  line("anchor", rule->anchor);
  line("path", rule->path);
  for (const std::string& name : rule->names) line("name", name);
  for (const std::string& value : rule->values) line("value", value);
  if (rule->min_entropy > 0) line("entropy", absl::StrFormat("more than %.1f bits a character", rule->min_entropy));
  line("checksum", rule->checksum);
  line("structure", rule->structure);
  line("remediation", rule->remediation);
  for (const std::string& reference : rule->references) line("reference", reference);
  line("key", absl::StrFormat("%016x", rule->key));
  std::vector<std::string> examples = rule->examples;
  if (rule->is_named()) Append(NamedExamples(*rule), &examples);
  for (const std::string& example : examples) {
    ASSIGN_OR_RETURN(const std::string text, ExpandExample(example, 0));
    line("example", text);
  }
  return absl::OkStatus();
}

}  // namespace unsprawl
