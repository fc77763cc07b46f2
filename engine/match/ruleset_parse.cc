#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "engine/base/object_id.h"
#include "engine/base/status.h"
#include "engine/base/toml.h"
#include "engine/judge/text_shape.h"
#include "engine/match/go_syntax.h"
#include "engine/match/named.h"
#include "engine/match/ruleset_document.h"

namespace unsprawl {
namespace {

// One TOML table with the words that name it in errors. Keys are compared without case, as gitleaks'
// own reader does.
class Fields {
 public:
  Fields(const toml::table& table, std::string what) : table_(table), what_(std::move(what)) {}

  absl::Status Error(std::string_view key, std::string_view problem) const {
    return absl::InvalidArgumentError(absl::StrFormat("%s: %s: %s", what_, key, problem));
  }

  const toml::node* Find(std::string_view key) {
    const std::string wanted = LowerAscii(key);
    for (auto&& [name, node] : table_) {
      if (LowerAscii(name.str()) == wanted) {
        seen_.push_back(wanted);
        return &node;
      }
    }
    return nullptr;
  }

  absl::Status Read(std::string_view key, std::string* value) {
    const toml::node* node = Find(key);
    if (node == nullptr) return absl::OkStatus();
    if (!node->is_string()) return Error(key, "must be a string; put it in quotes");
    *value = node->as_string()->get();
    return absl::OkStatus();
  }

  absl::Status Read(std::string_view key, bool* value) {
    const toml::node* node = Find(key);
    if (node == nullptr) return absl::OkStatus();
    if (!node->is_boolean()) return Error(key, "must be true or false");
    *value = node->as_boolean()->get();
    return absl::OkStatus();
  }

  // A number from `low` to `high`.
  absl::Status Read(std::string_view key, double low, double high, double* value) {
    const toml::node* node = Find(key);
    if (node == nullptr) return absl::OkStatus();
    double number = low - 1;
    if (node->is_integer()) number = static_cast<double>(node->as_integer()->get());
    if (node->is_floating_point()) number = node->as_floating_point()->get();
    if (!(number >= low && number <= high)) {
      return Error(key, absl::StrFormat("must be a number from %g to %g", low, high));
    }
    *value = number;
    return absl::OkStatus();
  }

  absl::Status Read(std::string_view key, int64_t low, int64_t high, int64_t* value) {
    double number = static_cast<double>(*value);
    RETURN_IF_ERROR(Read(key, static_cast<double>(low), static_cast<double>(high), &number));
    if (number != std::floor(number)) return Error(key, "must be a whole number");
    *value = static_cast<int64_t>(number);
    return absl::OkStatus();
  }

  absl::Status Read(std::string_view key, std::vector<std::string>* values) {
    const toml::node* node = Find(key);
    if (node == nullptr) return absl::OkStatus();
    if (!node->is_array()) return Error(key, "must be an array of strings");
    for (const toml::node& item : *node->as_array()) {
      if (!item.is_string()) return Error(key, "must be an array of strings");
      values->push_back(item.as_string()->get());
    }
    return absl::OkStatus();
  }

  // The tables of [[key]]; none when absent. A single [key] table counts as one.
  absl::Status Tables(std::string_view key, std::vector<const toml::table*>* tables) {
    const toml::node* node = Find(key);
    if (node == nullptr) return absl::OkStatus();
    if (node->is_table()) {
      tables->push_back(node->as_table());
      return absl::OkStatus();
    }
    if (!node->is_array()) return Error(key, "must be a table or an array of tables");
    for (const toml::node& item : *node->as_array()) {
      if (!item.is_table()) return Error(key, "must be an array of tables");
      tables->push_back(item.as_table());
    }
    return absl::OkStatus();
  }

  // Notes every key that nobody asked for.
  void WarnOfUnknown(std::vector<std::string>* warnings) const {
    for (auto&& [name, node] : table_) {
      if (std::find(seen_.begin(), seen_.end(), LowerAscii(name.str())) == seen_.end()) {
        warnings->push_back(absl::StrFormat("%s: the key %s means nothing here", what_,
                                            std::string(name.str())));
      }
    }
  }

  const std::string& what() const { return what_; }

 private:
  const toml::table& table_;
  std::string what_;
  std::vector<std::string> seen_;
};

bool ValidId(std::string_view id) {
  // gitleaks configurations in the wild use capitals, dots, underscores and spaces too.
  if (id.empty() || id.size() > 200) return false;
  return std::all_of(id.begin(), id.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

template <typename T>
absl::Status ReadWord(Fields& fields, std::string_view key,
                      std::initializer_list<std::pair<std::string_view, T>> words, T* value) {
  std::string word;
  RETURN_IF_ERROR(fields.Read(key, &word));
  if (word.empty()) return absl::OkStatus();
  std::string known;
  for (const auto& [name, meaning] : words) {
    if (LowerAscii(word) == LowerAscii(name)) {
      *value = meaning;
      return absl::OkStatus();
    }
    known += absl::StrFormat("%s%s", known.empty() ? "" : ", ", name);
  }
  return fields.Error(key, absl::StrFormat("is \"%s\"; it must be one of %s", word, known));
}

void RewriteAll(std::vector<std::string>* expressions) {
  for (std::string& expression : *expressions) expression = FromGoSyntax(expression);
}

absl::Status ReadAllowlist(const toml::table& table, const std::string& what, bool global,
                           RuleDocument* document, std::vector<Allowlist>* lists) {
  Fields fields(table, what + ": allowlist");
  Allowlist list;
  RETURN_IF_ERROR(fields.Read("description", &list.description));
  RETURN_IF_ERROR(ReadWord<bool>(
      fields, "condition", {{"OR", false}, {"||", false}, {"AND", true}, {"&&", true}}, &list.all));
  RETURN_IF_ERROR(ReadWord<Allowlist::Target>(fields, "regexTarget",
                                              {{"secret", Allowlist::Target::kSecret},
                                               {"match", Allowlist::Target::kMatch},
                                               {"line", Allowlist::Target::kLine}},
                                              &list.target));
  RETURN_IF_ERROR(fields.Read("regexes", &list.regexes));
  RETURN_IF_ERROR(fields.Read("stopwords", &list.stopwords));
  RETURN_IF_ERROR(fields.Read("paths", &list.paths));
  RETURN_IF_ERROR(fields.Read("commits", &list.commits));
  if (global) RETURN_IF_ERROR(fields.Read("targetRules", &list.target_rules));
  if (list.regexes.empty() && list.stopwords.empty() && list.paths.empty() && list.commits.empty()) {
    return fields.Error("regexes, stopwords, paths, commits",
                        "all are empty; name at least one, or remove the allowlist");
  }
  RewriteAll(&list.regexes);
  RewriteAll(&list.paths);
  for (std::string& commit : list.commits) {
    commit = LowerAscii(std::string(absl::StripAsciiWhitespace(commit)));
    if (!ObjectId::FromHex(commit)) {
      document->warnings.push_back(
          absl::StrFormat("%s: commits: \"%s\" is no commit's full id: 40 hexadecimal digits", fields.what(), commit));
    }
  }
  for (std::string& word : list.stopwords) word = LowerAscii(word);
  fields.WarnOfUnknown(&document->warnings);
  lists->push_back(std::move(list));
  return absl::OkStatus();
}

// [[allowlists]] and the older [allowlist], of which only one may be used.
absl::Status ReadAllowlists(Fields& fields, bool global, RuleDocument* document,
                            std::vector<Allowlist>* lists) {
  std::vector<const toml::table*> tables, older;
  RETURN_IF_ERROR(fields.Tables("allowlists", &tables));
  RETURN_IF_ERROR(fields.Tables("allowlist", &older));
  if (!tables.empty() && !older.empty()) {
    return fields.Error("allowlist", "is the older spelling of allowlists; use only one of the two");
  }
  tables.insert(tables.end(), older.begin(), older.end());
  for (const toml::table* table : tables) {
    RETURN_IF_ERROR(ReadAllowlist(*table, fields.what(), global, document, lists));
  }
  return absl::OkStatus();
}

absl::Status ReadMeaning(Fields& fields, Rule* rule) {
  RETURN_IF_ERROR(fields.Read("description", &rule->description));
  RETURN_IF_ERROR(fields.Read("provider", &rule->provider));
  RETURN_IF_ERROR(fields.Read("category", &rule->category));
  const bool generic = rule->id.rfind("generic", 0) == 0;
  rule->rule_class = generic ? RuleClass::kGeneric : RuleClass::kKeyword;
  rule->confidence = generic ? 0.5 : 0.7;
  RETURN_IF_ERROR(ReadWord<RuleClass>(fields, "class",
                                      {{"A", RuleClass::kDistinctive},
                                       {"B", RuleClass::kKeyword},
                                       {"C", RuleClass::kGeneric}},
                                      &rule->rule_class));
  RETURN_IF_ERROR(ReadWord<Severity>(fields, "severity",
                                     {{"low", Severity::kLow},
                                      {"medium", Severity::kMedium},
                                      {"high", Severity::kHigh},
                                      {"critical", Severity::kCritical}},
                                     &rule->severity));
  RETURN_IF_ERROR(fields.Read("confidence", 0.0, 1.0, &rule->confidence));
  RETURN_IF_ERROR(fields.Read("references", &rule->references));
  RETURN_IF_ERROR(fields.Read("tags", &rule->tags));
  return fields.Read("remediation", &rule->remediation);
}

// Replaces %{name} by the fragment of that name, in which others may stand that were named before it.
absl::Status ExpandFragments(const Fields& fields, std::string_view key, const std::map<std::string, std::string>& fragments,
                             std::string* expression) {
  std::string expanded;
  for (size_t at = 0; at < expression->size();) {
    const size_t begin = expression->find("%{", at), end = expression->find('}', begin);
    if (begin == std::string::npos || end == std::string::npos) {
      expanded.append(*expression, at);
      break;
    }
    const std::string name = expression->substr(begin + 2, end - begin - 2);
    const auto fragment = fragments.find(name);
    if (fragment == fragments.end()) return fields.Error(key, absl::StrFormat("there is no fragment %s in this file", name));
    expanded.append(*expression, at, begin - at).append(fragment->second);
    at = end + 1;
  }
  *expression = std::move(expanded);
  return absl::OkStatus();
}

absl::Status ReadFragments(Fields& fields, RuleDocument* document) {
  constexpr size_t kMaxBytes = 1 << 16;  // of one: nested ones grow fast
  const toml::node* node = fields.Find("fragments");
  if (node == nullptr) return absl::OkStatus();
  if (!node->is_table()) return fields.Error("fragments", "must be a table");
  // A table has no order: what is left over once no more can be expanded goes round in a circle.
  std::map<std::string, std::string> open;
  for (auto&& [name, value] : *node->as_table()) {
    if (!value.is_string()) return fields.Error("fragments", "must be strings");
    open.emplace(std::string(name.str()), value.as_string()->get());
  }
  for (bool more = true; more && !open.empty();) {
    more = false;
    for (auto at = open.begin(); at != open.end();) {
      std::string text = at->second;
      if (!ExpandFragments(fields, "fragments", document->fragments, &text).ok() || text.find("%{") != std::string::npos) {
        ++at;
        continue;
      }
      if (text.size() > kMaxBytes) return fields.Error("fragments", absl::StrFormat("%s is too long", at->first));
      document->fragments.emplace(at->first, std::move(text));
      at = open.erase(at);
      more = true;
    }
  }
  if (!open.empty()) return fields.Error("fragments", absl::StrFormat("%s names one that is not there", open.begin()->first));
  return absl::OkStatus();
}

absl::Status ReadPattern(Fields& fields, const std::map<std::string, std::string>& fragments, Rule* rule) {
  constexpr int64_t kMaxGroups = 1000;
  constexpr int64_t kMaxSpanBytes = 65536;  // a rule that sees more is a file format, not a secret
  RETURN_IF_ERROR(fields.Read("regex", &rule->regex));
  RETURN_IF_ERROR(fields.Read("path", &rule->path));
  RETURN_IF_ERROR(fields.Read("anchor", &rule->anchor));
  if (!fragments.empty()) {  // Without any, an expression is what it says: gitleaks' format has none.
    RETURN_IF_ERROR(ExpandFragments(fields, "regex", fragments, &rule->regex));
    RETURN_IF_ERROR(ExpandFragments(fields, "anchor", fragments, &rule->anchor));
  }
  int64_t group = 0, span = 0;
  RETURN_IF_ERROR(fields.Read("secretGroup", 0, kMaxGroups, &group));
  RETURN_IF_ERROR(fields.Read("span_bytes", 0, kMaxSpanBytes, &span));
  rule->secret_group = static_cast<int>(group);
  rule->span_bytes = static_cast<uint32_t>(span);
  if (rule->anchor.empty() != (span == 0)) {
    return fields.Error("anchor, span_bytes", "go together: a rule has both or neither");
  }
  RETURN_IF_ERROR(fields.Read("names", &rule->names));
  RETURN_IF_ERROR(fields.Read("values", &rule->values));
  RETURN_IF_ERROR(fields.Read("kind", &rule->kind));
  if (rule->names.empty() != rule->values.empty()) {
    return fields.Error("names, values", "go together: a rule has both or neither");
  }
  if (!rule->names.empty()) {
    if (!rule->regex.empty() || !rule->anchor.empty()) {
      return fields.Error("names, values", "stand in place of regex and anchor; keep one of them");
    }
    auto expression = NamesExpression(rule->names);
    if (!expression.ok()) return fields.Error("names", std::string(expression.status().message()));
    rule->regex = *std::move(expression);
  }
  rule->regex = FromGoSyntax(rule->regex);
  rule->anchor = FromGoSyntax(rule->anchor);
  rule->path = FromGoSyntax(rule->path);
  RETURN_IF_ERROR(fields.Read("keywords", &rule->keywords));
  for (std::string& keyword : rule->keywords) keyword = LowerAscii(keyword);
  RETURN_IF_ERROR(fields.Read("entropy", 0.0, 8.0, &rule->min_entropy));
  RETURN_IF_ERROR(fields.Read("checksum", &rule->checksum));
  RETURN_IF_ERROR(fields.Read("structure", &rule->structure));
  return fields.Read("prefixes", &rule->prefixes);
}

absl::Status ReadRequired(Fields& fields, RuleDocument* document, std::vector<RequiredRule>* required) {
  constexpr int64_t kMaxDistance = INT32_MAX;
  std::vector<const toml::table*> tables;
  RETURN_IF_ERROR(fields.Tables("required", &tables));
  for (const toml::table* table : tables) {
    Fields one(*table, fields.what() + ": required");
    RequiredRule rule;
    int64_t lines = -1, columns = -1;
    RETURN_IF_ERROR(one.Read("id", &rule.id));
    RETURN_IF_ERROR(one.Read("withinLines", 0, kMaxDistance, &lines));
    RETURN_IF_ERROR(one.Read("withinColumns", 0, kMaxDistance, &columns));
    if (lines >= 0) rule.within_lines = static_cast<uint32_t>(lines);
    if (columns >= 0) rule.within_columns = static_cast<uint32_t>(columns);
    if (rule.id.empty()) return one.Error("id", "is missing; name the rule that is required");
    one.WarnOfUnknown(&document->warnings);
    required->push_back(std::move(rule));
  }
  return absl::OkStatus();
}

absl::Status ReadRule(const toml::table& table, size_t number, RuleDocument* document) {
  const std::string nameless = absl::StrFormat("%s: rule %d", document->origin, number);
  Fields unnamed(table, nameless);
  Rule rule;
  RETURN_IF_ERROR(unnamed.Read("id", &rule.id));
  if (rule.id.empty()) return unnamed.Error("id", "is missing; give the rule a name of its own");
  if (!ValidId(rule.id)) {
    return unnamed.Error("id", "must be at most 200 bytes without control characters");
  }
  Fields fields(table, absl::StrFormat("%s: rule %s", document->origin, rule.id));
  fields.Find("id");
  RETURN_IF_ERROR(ReadMeaning(fields, &rule));
  RETURN_IF_ERROR(ReadPattern(fields, document->fragments, &rule));
  RETURN_IF_ERROR(fields.Read("examples", &rule.examples));
  RETURN_IF_ERROR(fields.Read("negatives", &rule.negatives));
  RETURN_IF_ERROR(ReadAllowlists(fields, /*global=*/false, document, &rule.allowlists));
  RETURN_IF_ERROR(ReadRequired(fields, document, &rule.required));
  RETURN_IF_ERROR(fields.Read("skipReport", &rule.skip_report));
  fields.WarnOfUnknown(&document->warnings);
  document->rules.push_back(std::move(rule));
  return absl::OkStatus();
}

absl::Status ReadExtend(const toml::table& table, RuleDocument* document) {
  Fields fields(table, document->origin + ": extend");
  RETURN_IF_ERROR(fields.Read("path", &document->extend_path));
  RETURN_IF_ERROR(fields.Read("useDefault", &document->extend_default));
  RETURN_IF_ERROR(fields.Read("disabledRules", &document->disabled_rules));
  if (!document->extend_path.empty() && document->extend_default) {
    return fields.Error("path, useDefault", "exclude each other; keep one");
  }
  fields.WarnOfUnknown(&document->warnings);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RuleDocument> ParseRuleDocument(std::string_view toml, std::string_view origin) {
  RuleDocument document;
  document.origin = origin;
  const toml::parse_result parsed = toml::parse(toml, std::string(origin));
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return absl::InvalidArgumentError(
        absl::StrFormat("%s:%d:%d: not TOML: %s", document.origin, error.source().begin.line,
                        error.source().begin.column, std::string(error.description())));
  }
  Fields fields(parsed.table(), document.origin);
  std::string ignored;
  for (const std::string_view key : {"title", "description", "minVersion"}) {
    RETURN_IF_ERROR(fields.Read(key, &ignored));
  }
  std::vector<const toml::table*> extends, rules;
  RETURN_IF_ERROR(fields.Tables("extend", &extends));
  for (const toml::table* table : extends) RETURN_IF_ERROR(ReadExtend(*table, &document));
  RETURN_IF_ERROR(ReadFragments(fields, &document));
  RETURN_IF_ERROR(fields.Tables("rules", &rules));
  for (size_t i = 0; i < rules.size(); ++i) RETURN_IF_ERROR(ReadRule(*rules[i], i + 1, &document));
  RETURN_IF_ERROR(ReadAllowlists(fields, /*global=*/true, &document, &document.allowlists));
  fields.WarnOfUnknown(&document.warnings);
  return document;
}

}  // namespace unsprawl
