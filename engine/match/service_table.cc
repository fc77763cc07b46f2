#include <array>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "engine/base/status.h"
#include "engine/match/named.h"
#include "engine/match/ruleset_document.h"

namespace unsprawl {
namespace {

constexpr size_t kShownPrefixBytes = 3;  // literal text before the first piece that a preview may show
constexpr size_t kColumns = 9;
constexpr std::array<std::string_view, kColumns> kColumnNames = {
    "id", "provider", "category", "kind", "severity", "names", "values", "source", "reference"};

// Of the column `source`: how sure the shape is decides how sure a match is.
std::optional<double> ConfidenceOf(std::string_view source) {
  if (source == "doc" || source == "mem") return 0.6;
  if (source == "guess") return 0.48;
  if (source == "none") return 0.45;
  return std::nullopt;
}

std::optional<Severity> SeverityOf(std::string_view word) {
  if (word == "low") return Severity::kLow;
  if (word == "medium") return Severity::kMedium;
  if (word == "high") return Severity::kHigh;
  if (word == "critical") return Severity::kCritical;
  return std::nullopt;
}

absl::StatusOr<Rule> RuleOfRow(const std::string& line, const std::string& what) {
  const auto error = [&what](size_t column, std::string_view problem) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: %s: %s", what, kColumnNames[column], problem));
  };
  const std::vector<std::string> cells = absl::StrSplit(line, '\t');
  if (cells.size() != kColumns) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: has %d columns, not %d", what, cells.size(), kColumns));
  }
  for (size_t i = 0; i < kColumns; ++i) {
    if (cells[i].empty()) return error(i, "is empty");
  }
  Rule rule;
  rule.id = cells[0];
  rule.provider = cells[1];
  rule.category = cells[2];
  rule.kind = cells[3];
  rule.description = absl::StrFormat("%s: %s, named beside its value.", cells[1], cells[3]);
  rule.rule_class = RuleClass::kKeyword;
  const auto severity = SeverityOf(cells[4]);
  if (!severity) return error(4, "must be low, medium, high or critical");
  rule.severity = *severity;
  rule.names = absl::StrSplit(cells[5], ',');
  auto expression = NamesExpression(rule.names);
  if (!expression.ok()) return error(5, std::string(expression.status().message()));
  rule.regex = *std::move(expression);
  rule.values = absl::StrSplit(cells[6], ',');
  for (const std::string& value : rule.values) {
    const std::string prefix = value.substr(0, value.find('{'));
    if (prefix.size() >= kShownPrefixBytes) rule.prefixes.push_back(prefix);
  }
  const auto confidence = ConfidenceOf(cells[7]);
  if (!confidence) return error(7, "must be doc, mem, guess or none");
  rule.confidence = *confidence;
  rule.references = {cells[8]};
  rule.remediation = "generic";
  return rule;
}

}  // namespace

absl::StatusOr<RuleDocument> ParseServiceTable(std::string_view table, std::string_view origin) {
  RuleDocument document;
  document.origin = origin;
  size_t number = 0;
  const std::vector<std::string> lines = absl::StrSplit(std::string(table), '\n');
  for (const std::string& line : lines) {
    ++number;
    if (line.empty() || line.front() == '#') continue;
    ASSIGN_OR_RETURN(Rule rule, RuleOfRow(line, absl::StrFormat("%s:%d", document.origin, number)));
    document.rules.push_back(std::move(rule));
  }
  return document;
}

}  // namespace unsprawl
