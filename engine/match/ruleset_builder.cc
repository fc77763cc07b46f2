#include "engine/match/ruleset_builder.h"

#include <algorithm>
#include <cstring>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "engine/base/object_id.h"
#include "engine/base/sha256.h"
#include "engine/base/status.h"
#include "engine/judge/checksum.h"
#include "engine/judge/structure.h"
#include "engine/judge/text_shape.h"
#include "engine/match/ruleset_filters.h"

namespace unsprawl {
namespace {

// Raise when the detector or Examine comes to mean something else by the same rule.
constexpr uint64_t kEngineVersion = 3;
// Flags of examine.h that say which AND-allowlist with paths has its other criteria fulfilled.
constexpr size_t kMaxPathAllowlists = 14;
// Of a word of Rule::kind.
constexpr size_t kTellingBytes = 3;

// SHA-256 over a sequence of values, each preceded by its length, so that no two sequences run together.
class Hash {
 public:
  Hash& Add(std::string_view text) {
    AddRaw(text.size());
    bytes_.append(text);
    return *this;
  }
  Hash& Add(uint64_t number) {
    AddRaw(number);
    return *this;
  }
  Hash& Add(double number) {
    uint64_t bits;
    std::memcpy(&bits, &number, sizeof(bits));
    return Add(bits);
  }
  Hash& Add(const std::vector<std::string>& texts) {
    AddRaw(texts.size());
    for (const std::string& text : texts) Add(std::string_view(text));
    return *this;
  }

  uint64_t Finish() const {
    const std::string digest = Sha256(bytes_);
    uint64_t value = 0;
    for (int i = 7; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(digest[static_cast<size_t>(i)]);
    return value;
  }

 private:
  void AddRaw(uint64_t number) {
    for (int i = 0; i < 8; ++i) bytes_.push_back(static_cast<char>(number >> (8 * i)));
  }
  std::string bytes_;
};

void AddValueCriteria(const Allowlist& list, Hash* hash) {
  hash->Add(uint64_t{list.all}).Add(static_cast<uint64_t>(list.target));
  hash->Add(list.regexes).Add(list.stopwords);
  // Which bit records it depends on whether paths belong to it.
  hash->Add(uint64_t{list.paths.empty()}).Add(uint64_t{list.commits.empty()});
}

// Over all that keyword rules look for: the best of them has a value, so each depends on all.
uint64_t HashOfNamed(const std::vector<Rule>& rules, const std::vector<size_t>& order) {
  Hash hash;
  for (const size_t i : order) {
    const Rule& rule = rules[i];
    if (rule.is_named()) hash.Add(rule.id).Add(rule.names).Add(rule.values).Add(rule.kind);
  }
  return hash.Finish();
}

uint64_t KeyOf(const Rule& rule, const std::vector<Allowlist>& global, uint64_t named) {
  Hash hash;
  hash.Add(kEngineVersion).Add(rule.regex).Add(rule.anchor).Add(uint64_t{rule.span_bytes});
  std::vector<std::string> keywords = rule.keywords;
  std::sort(keywords.begin(), keywords.end());
  hash.Add(keywords).Add(static_cast<uint64_t>(rule.secret_group));
  hash.Add(rule.checksum).Add(rule.structure).Add(rule.prefixes).Add(uint64_t{rule.is_password()});
  hash.Add(static_cast<uint64_t>(rule.rule_class));  // examining generic values looks for more
  for (const Allowlist& list : rule.allowlists) {
    if (list.has_values()) AddValueCriteria(list, &hash);
  }
  if (rule.is_named()) hash.Add(rule.id).Add(rule.values).Add(named);
  if (rule.is_path_only()) hash.Add(rule.id).Add(rule.path);
  hash.Add("global");
  for (const Allowlist& list : global) {
    if (list.has_values() && list.AppliesTo(rule.id)) AddValueCriteria(list, &hash);
  }
  return hash.Finish();
}

void AddMeaning(const Allowlist& list, Hash* hash) {
  AddValueCriteria(list, hash);
  hash->Add(list.description).Add(list.paths).Add(list.commits).Add(list.target_rules);
}

std::string IdOf(const std::vector<Rule>& rules, const std::vector<Allowlist>& global) {
  Hash hash;
  for (const Rule& rule : rules) {
    hash.Add(rule.key).Add(rule.id).Add(rule.description).Add(rule.provider).Add(rule.category);
    hash.Add(static_cast<uint64_t>(rule.severity)).Add(rule.confidence).Add(rule.min_entropy);
    hash.Add(rule.references).Add(rule.tags).Add(rule.remediation).Add(rule.path).Add(uint64_t{rule.skip_report});
    for (const Allowlist& list : rule.allowlists) AddMeaning(list, &hash);
  }
  for (const Allowlist& list : global) AddMeaning(list, &hash);
  return absl::StrFormat("%016x", hash.Finish());
}

void Append(const std::vector<std::string>& from, std::vector<std::string>* to) {
  for (const std::string& text : from) {
    if (std::find(to->begin(), to->end(), text) == to->end()) to->push_back(text);
  }
}

void Override(Rule* base, Rule&& rule) {
  if (!rule.description.empty()) base->description = std::move(rule.description);
  if (!rule.regex.empty()) {  // Names make one, too: a rule is found by them or by an expression of its own.
    base->regex = std::move(rule.regex);
    base->names = std::move(rule.names);
    base->values = std::move(rule.values);
    if (base->is_named()) base->anchor.clear(), base->span_bytes = 0;
  }
  if (!rule.kind.empty()) base->kind = std::move(rule.kind);
  if (!rule.path.empty()) base->path = std::move(rule.path);
  if (rule.min_entropy != 0) base->min_entropy = rule.min_entropy;
  if (rule.secret_group != 0) base->secret_group = rule.secret_group;
  Append(rule.tags, &base->tags);
  Append(rule.keywords, &base->keywords);
  for (Allowlist& list : rule.allowlists) base->allowlists.push_back(std::move(list));
  base->skip_report |= rule.skip_report;
}

// Compiles every one of `expressions` or says which of them fails.
absl::Status CompileAll(const std::vector<std::string>& expressions, const std::string& what,
                        std::vector<std::unique_ptr<RE2>>* compiled) {
  for (const std::string& expression : expressions) {
    std::string error;
    compiled->push_back(CompileExpression(expression, &error));
    if (compiled->back() == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: RE2 refuses the expression %s: %s", what, expression, error));
    }
  }
  return absl::OkStatus();
}

absl::Status CompileAllowlists(const std::vector<Allowlist>& lists, const std::string& what,
                               std::vector<CompiledAllowlist>* compiled) {
  for (const Allowlist& list : lists) {
    CompiledAllowlist& one = compiled->emplace_back();
    RETURN_IF_ERROR(CompileAll(list.regexes, what + ": allowlist: regexes", &one.regexes));
    RETURN_IF_ERROR(CompileAll(list.paths, what + ": allowlist: paths", &one.paths));
    for (const std::string& commit : list.commits) {
      if (const auto id = ObjectId::FromHex(commit)) one.commits.push_back(*id);
    }
    std::sort(one.commits.begin(), one.commits.end());
  }
  return absl::OkStatus();
}

// The words of a kind but the shortest, which are in too many others ("IO" in "version").
std::vector<std::string> WordsOf(const std::string& kind) {
  return absl::StrSplit(LowerAscii(kind), ' ', [](const auto& word) { return word.size() >= kTellingBytes; });
}

absl::Status CompileValues(const std::vector<std::string>& values, const std::string& what,
                           std::vector<ValuePattern>* compiled) {
  for (const std::string& value : values) {
    auto pattern = ValuePattern::Parse(value);
    if (!pattern.ok()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: values: %s", what, std::string(pattern.status().message())));
    }
    compiled->push_back(*std::move(pattern));
  }
  return absl::OkStatus();
}

absl::Status CheckRule(const Rule& rule, const std::string& what) {
  if (rule.regex.empty() && rule.path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: regex: is missing, and so is path; a rule needs one of them", what));
  }
  if (!rule.checksum.empty() && FindChecksum(rule.checksum) == nullptr) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: checksum: \"%s\" is not known; docs/rules.md lists the checksums", what, rule.checksum));
  }
  if (!rule.structure.empty() && FindStructure(rule.structure) == nullptr) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: structure: \"%s\" is not known; docs/rules.md lists the structures", what, rule.structure));
  }
  return absl::OkStatus();
}

absl::Status CheckExpressions(const Rule& rule, const std::string& what) {
  std::vector<std::unique_ptr<RE2>> compiled;
  if (!rule.anchor.empty()) RETURN_IF_ERROR(CompileAll({rule.anchor}, what + ": anchor", &compiled));
  if (rule.regex.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CompileAll({rule.regex}, what + ": regex", &compiled));
  const int groups = compiled.back()->NumberOfCapturingGroups();
  if (rule.secret_group > groups) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: secretGroup: is %d, but the regex has %d groups", what,
                        rule.secret_group, groups));
  }
  return absl::OkStatus();
}

size_t CountPathAllowlists(const std::vector<Allowlist>& lists) {
  return static_cast<size_t>(std::count_if(lists.begin(), lists.end(), [](const Allowlist& list) {
    return list.is_joined();
  }));
}

// What is written and means nothing, in the rules put together.
void WarnOfMeaningless(const std::vector<Rule>& rules, const std::vector<Allowlist>& global, std::vector<std::string>* warnings) {
  for (const Rule& rule : rules) {
    if (rule.is_path_only() && !rule.keywords.empty()) {
      warnings->push_back(absl::StrFormat("rule %s: keywords: mean nothing in a rule without regex", rule.id));
    }
  }
  for (const Allowlist& list : global) {
    for (const std::string& id : list.target_rules) {
      if (std::any_of(rules.begin(), rules.end(), [&id](const Rule& rule) { return rule.id == id; })) continue;
      warnings->push_back(absl::StrFormat("allowlists: targetRules: there is no rule %s in this set", id));
    }
  }
}

// Finds the rules that others require; `rules`, with their keys, are those of `filters`.
absl::Status ResolveRequired(std::vector<Rule>* rules, RulesetFilters* filters, std::vector<std::string>* warnings) {
  absl::flat_hash_map<std::string_view, uint32_t> by_id;
  std::vector<uint64_t> keys;  // without what they require, which may go round in circles
  for (uint32_t i = 0; i < rules->size(); ++i) {
    by_id.emplace((*rules)[i].id, i);
    keys.push_back((*rules)[i].key);
  }
  for (size_t i = 0; i < rules->size(); ++i) {
    Rule& rule = (*rules)[i];
    if (rule.required.empty()) continue;
    if (rule.is_path_only()) {  // gitleaks passes it over as well
      warnings->push_back(absl::StrFormat("rule %s: required: means nothing in a rule without regex", rule.id));
      rule.required.clear();
      continue;
    }
    Hash hash;
    hash.Add(rule.key);
    for (const RequiredRule& required : rule.required) {
      const auto found = by_id.find(required.id);
      if (found == by_id.end()) {
        return absl::InvalidArgumentError(
            absl::StrFormat("rule %s: required: there is no rule %s in this set", rule.id, required.id));
      }
      filters->rules[i].required.push_back(found->second);
      hash.Add(keys[found->second]).Add((*rules)[found->second].min_entropy);
      hash.Add(uint64_t{required.within_lines.value_or(UINT32_MAX)}).Add(uint64_t{required.within_columns.value_or(UINT32_MAX)});
    }
    rule.key = hash.Finish();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RulesetBuilder::Add(RuleDocument document) {
  for (const std::string& id : document.disabled_rules) {
    for (size_t i = rules_.size(); i-- > 0;) {
      if (rules_[i].id != id) continue;
      rules_.erase(rules_.begin() + static_cast<ptrdiff_t>(i));
      origins_.erase(origins_.begin() + static_cast<ptrdiff_t>(i));
    }
  }
  absl::flat_hash_map<std::string, size_t> known;
  for (size_t i = 0; i < rules_.size(); ++i) known.emplace(rules_[i].id, i);
  absl::flat_hash_set<std::string> own;
  for (Rule& rule : document.rules) {
    if (!own.insert(rule.id).second) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s: rule %s: id: is used twice; every rule needs an id of its own", document.origin, rule.id));
    }
    if (const auto base = known.find(rule.id); base != known.end()) {
      Override(&rules_[base->second], std::move(rule));
      continue;
    }
    origins_.push_back(absl::StrFormat("%s: rule %s", document.origin, rule.id));
    rules_.push_back(std::move(rule));
  }
  for (Allowlist& list : document.allowlists) allowlists_.push_back(std::move(list));
  for (std::string& warning : document.warnings) warnings_.push_back(std::move(warning));
  return absl::OkStatus();
}

absl::StatusOr<Ruleset> RulesetBuilder::Finish(bool compile_regexes) && {
  std::vector<size_t> order(rules_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [this](size_t a, size_t b) { return rules_[a].id < rules_[b].id; });

  Ruleset ruleset;
  auto filters = std::make_shared<RulesetFilters>();
  RETURN_IF_ERROR(CompileAllowlists(allowlists_, "global", &filters->global));
  const uint64_t named = HashOfNamed(rules_, order);
  for (const size_t i : order) {
    Rule& rule = rules_[i];
    RETURN_IF_ERROR(CheckRule(rule, origins_[i]));
    if (compile_regexes) RETURN_IF_ERROR(CheckExpressions(rule, origins_[i]));
    RulesetFilters::OfRule& compiled = filters->rules.emplace_back();
    std::vector<std::unique_ptr<RE2>> path;
    if (!rule.path.empty()) {
      RETURN_IF_ERROR(CompileAll({rule.path}, origins_[i] + ": path", &path));
      compiled.path = std::move(path.front());
    }
    RETURN_IF_ERROR(CompileAllowlists(rule.allowlists, origins_[i], &compiled.allowlists));
    RETURN_IF_ERROR(CompileValues(rule.values, origins_[i], &compiled.named.values));
    compiled.named.kind = WordsOf(rule.kind);
    if (CountPathAllowlists(rule.allowlists) + CountPathAllowlists(allowlists_) > kMaxPathAllowlists) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: allowlists: more than %d (global ones included) join paths and values with"
                          " or commits with AND; merge some of them",
                          origins_[i], kMaxPathAllowlists));
    }
    rule.key = KeyOf(rule, allowlists_, named);
    ruleset.rules_.push_back(std::move(rule));
  }
  WarnOfMeaningless(ruleset.rules_, allowlists_, &warnings_);
  RETURN_IF_ERROR(ResolveRequired(&ruleset.rules_, filters.get(), &warnings_));
  for (uint32_t i = 0; i < ruleset.rules_.size(); ++i) ruleset.by_key_.emplace_back(ruleset.rules_[i].key, i);
  std::sort(ruleset.by_key_.begin(), ruleset.by_key_.end());
  ruleset.id_ = IdOf(ruleset.rules_, allowlists_);
  ruleset.allowlists_ = std::move(allowlists_);
  ruleset.warnings_ = std::move(warnings_);
  ruleset.filters_ = std::move(filters);
  return ruleset;
}

}  // namespace unsprawl
