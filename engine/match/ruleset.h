// Rules as the detector and the report use them, read from TOML (a superset of gitleaks' format).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace unsprawl {

// How a type of secret is told from other text (docs/rules.md).
enum class RuleClass : uint8_t {
  kDistinctive = 1,  // A: a literal or checksum of its own
  kKeyword = 2,      // B: the provider named nearby, plus a shape
  kGeneric = 3,      // C: an assignment, a URL with credentials, a header, a key block
};

enum class Severity : uint8_t { kLow = 1, kMedium = 2, kHigh = 3, kCritical = 4 };

// gitleaks' allowlist: see docs/rules.md. Several criteria; any (OR) or all defined ones (AND).
struct Allowlist {
  enum class Target : uint8_t { kSecret, kMatch, kLine };
  std::string description;
  bool all = false;                         // condition = "AND"
  Target target = Target::kSecret;
  std::vector<std::string> regexes;         // RE2, unanchored
  std::vector<std::string> stopwords;       // lower-case; substring of the lower-cased secret
  std::vector<std::string> paths;           // RE2 over the path: judged when a path is known
  std::vector<std::string> commits;         // 40 lower-case digits: judged when a commit is known
  std::vector<std::string> target_rules;    // global allowlists only

  bool has_values() const { return !regexes.empty() || !stopwords.empty(); }
  bool has_places() const { return !paths.empty() || !commits.empty(); }
  bool is_joined() const { return all && has_values() && has_places(); }  // judged in two steps
  bool AppliesTo(std::string_view rule_id) const;
};

// Another rule that must match near a match of this one (gitleaks' [[rules.required]]).
struct RequiredRule {
  std::string id;
  std::optional<uint32_t> within_lines, within_columns;  // between where both begin; unset: anywhere in the blob
};

// One type of secret. All offsets and widths are bytes.
struct Rule {
  std::string id;           // "github-pat": lower-case, digits, dashes
  std::string description;
  std::string provider;     // "GitHub"; "generic" for class C
  std::string category;     // "vcs", "cloud", …
  RuleClass rule_class = RuleClass::kGeneric;
  Severity severity = Severity::kMedium;
  double confidence = 0.5;  // of a match that passes all filters, 0 to 1
  std::vector<std::string> references;
  std::vector<std::string> tags;
  std::string remediation;  // playbook id, may be empty

  std::string regex;        // RE2 syntax; empty for a path-only rule
  int secret_group = 0;     // 0: first non-empty group, else the whole match
  std::string path;         // RE2 over the path, empty: any
  std::vector<std::string> keywords;  // lower-case; one must be in the line (docs/rules.md)
  // For a rule that spans lines: a single-line regex whose match says where to try `regex`, which
  // then sees from `anchor`'s line start to `span_bytes` after it. Empty for single-line rules.
  std::string anchor;
  uint32_t span_bytes = 0;
  // A keyword rule (engine/match/named.h): what names the service, and the shapes of its values. `regex` is
  // then made from the names. Both empty for every other rule.
  std::vector<std::string> names, values;
  std::string kind;         // what the provider calls the credential: "API key"; may be empty
  bool is_password() const { return kind == "password"; }  // chosen by a person: may hold words
  bool is_named() const { return !names.empty(); }  // a keyword rule
  bool is_path_only() const { return regex.empty(); }  // each file at such a path is a finding, whatever is in it

  double min_entropy = 0;   // Shannon, bits per character of the secret; a finding needs more than this
  std::string checksum;     // name of a check in engine/judge/checksum.h; empty: none
  std::string structure;    // name of a check in engine/judge/structure.h; empty: none
  std::vector<std::string> prefixes;    // what a preview may show: "ghp_" (a provider's public prefix)
  std::vector<Allowlist> allowlists;
  std::vector<RequiredRule> required;
  bool skip_report = false;  // matches for the sake of rules that require it

  // Templates from which examples are generated at check time (docs/rules.md); never a real value.
  std::vector<std::string> examples;
  std::vector<std::string> negatives;

  // Identity of what this rule means for a scan: hash over regex, anchor, span, keywords, group,
  // checksum, structure, value-level allowlists and engine version; for keyword rules, which share
  // values among them, also over the names and values of all; for what requires others, over theirs; for rules of
  // paths alone over id and path. Two rules with the same key find
  // the same matches and compute the same features, so a blob scanned under it need not be scanned
  // again. Thresholds, paths beside a regex, names and texts are not in it: they are judged when reporting.
  uint64_t key = 0;
};

struct RulesetFilters;  // engine/match/ruleset_filters.h

// A rule file's name, for messages, and its text. What it extends is the next one of a list.
struct RuleFile {
  std::string origin, text;
};

// An immutable set of rules. Thread-safe; copies share the compiled filters.
class Ruleset {
 public:
  // As Load reads it: the file, and what it extends.
  static absl::StatusOr<std::vector<RuleFile>> ReadFiles(const std::string& file);
  // Of files that ReadFiles read, perhaps elsewhere.
  static absl::StatusOr<Ruleset> FromFiles(std::span<const RuleFile> files);

  // Parses one TOML document (`origin` names it in errors). InvalidArgument: with file, rule and key
  // named. [extend] useDefault means Builtin(); a path is refused, since there is no file to start at.
  static absl::StatusOr<Ruleset> Parse(std::string_view toml, std::string_view origin);
  // The rules compiled into the program, from rules/*.toml. Their expressions are not compiled here
  // (tests do that for all of them), so that a scan starts quickly.
  static absl::StatusOr<Ruleset> Builtin();
  // Reads a file; gitleaks' [extend] is honoured, paths relative to the file, at most two deep.
  // NotFound, PermissionDenied: the file cannot be read.
  static absl::StatusOr<Ruleset> Load(const std::string& file);

  // Sorted by id; ids are distinct.
  std::span<const Rule> rules() const { return rules_; }
  std::span<const Allowlist> allowlists() const { return allowlists_; }  // global ones
  // Sorted distinct keys of all rules: what a repository was scanned under.
  std::vector<uint64_t> keys() const;
  // Of those that look into blobs: what a blob must have been scanned under.
  std::vector<uint64_t> blob_keys() const;
  bool has_path_rules() const;  // rules of paths alone, which are looked for when locating
  // 16 hexadecimal digits over everything that may change a report.
  const std::string& id() const { return id_; }
  const Rule* FindByKey(uint64_t key) const;           // null: not in this ruleset
  const Rule* FindById(std::string_view rule_id) const;  // null: not in this ruleset
  // What was read but means nothing to unsprawl (an unknown key, a feature not supported), a sentence
  // each. `unsprawl rules check` fails on them.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Compiled path expressions and allowlists, for engine/judge.
  const RulesetFilters& filters() const { return *filters_; }

 private:
  friend class RulesetBuilder;
  Ruleset() = default;
  std::vector<Rule> rules_;
  std::vector<Allowlist> allowlists_;
  std::string id_;
  std::vector<std::string> warnings_;
  std::vector<std::pair<uint64_t, uint32_t>> by_key_;  // sorted; key and index into rules_
  std::shared_ptr<const RulesetFilters> filters_;
};

}  // namespace unsprawl
