#include "coordinator/rules_convert.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/strings/str_format.h"
#include "engine/match/named.h"
#include "engine/match/ruleset_filters.h"

namespace unsprawl {
namespace {

// What may be written as it is. What would govern a terminal is escaped: controls, and marks of direction.
bool IsPlain(char32_t c) {
  const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
  const bool direction = c == 0x61c || (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
                         (c >= 0x2066 && c <= 0x2069);
  return !control && !direction && c != 0xfeff;
}

// The code point at the beginning of *text, which is taken from it; U+FFFD for a byte that begins none.
char32_t TakeCodePoint(std::string_view* text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>((*text)[i]); };
  const unsigned char first = byte(0);
  const size_t bytes = first < 0x80   ? 1
                       : first < 0xc2 ? 0
                       : first < 0xe0 ? 2
                       : first < 0xf0 ? 3
                       : first < 0xf5 ? 4
                                      : 0;
  char32_t c = bytes <= 1 ? first : first & (0xff >> (bytes + 1));
  bool good = bytes > 0 && bytes <= text->size();
  for (size_t i = 1; good && i < bytes; ++i) {
    good = (byte(i) & 0xc0) == 0x80;
    c = c << 6 | (byte(i) & 0x3f);
  }
  good = good && !(bytes == 3 && c < 0x800) && !(bytes == 4 && (c < 0x10000 || c > 0x10ffff)) && !(c >= 0xd800 && c <= 0xdfff);
  text->remove_prefix(good ? bytes : 1);
  return good ? c : 0xfffd;
}

std::string Escaped(char32_t c) {
  switch (c) {
    case '\t': return "\\t";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '"': return "\\\"";
    case '\\': return "\\\\";
    default: return absl::StrFormat("\\u%04X", static_cast<uint32_t>(c));
  }
}

bool IsAllPlain(std::string_view text) {
  while (!text.empty()) {
    std::string_view rest = text;
    const char32_t c = TakeCodePoint(&rest);
    if (!IsPlain(c) || (c == 0xfffd && text.substr(0, 1) != "\xef")) return false;
    text = rest;
  }
  return true;
}

// As few digits as give the same number again.
std::string TomlNumber(double number) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof(digits), number);
  return std::string(digits, end.ptr);
}

// The lines of one table; what has the default is left out.
class Table {
 public:
  Table(std::string_view header, std::ostream& out) : out_(out) { out_ << header << "\n"; }

  void Text(std::string_view key, std::string_view value) {
    if (!value.empty()) out_ << key << " = " << TomlString(value) << "\n";
  }
  void Texts(std::string_view key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    out_ << key << " = [";
    for (size_t i = 0; i < values.size(); ++i) out_ << (i > 0 ? ", " : "") << TomlString(values[i]);
    out_ << "]\n";
  }
  void Number(std::string_view key, double value) { out_ << key << " = " << TomlNumber(value) << "\n"; }
  void NumberUnlessZero(std::string_view key, double value) {
    if (value != 0) Number(key, value);
  }
  void Flag(std::string_view key, bool value) {
    if (value) out_ << key << " = true\n";
  }
  void Comment(std::string_view text) { out_ << "# " << text << "\n"; }

 private:
  std::ostream& out_;
};

const char* NameOf(RuleClass rule_class) {
  switch (rule_class) {
    case RuleClass::kDistinctive: return "A";
    case RuleClass::kKeyword: return "B";
    case RuleClass::kGeneric: return "C";
  }
  return "C";
}

const char* NameOf(Severity severity) {
  switch (severity) {
    case Severity::kLow: return "low";
    case Severity::kMedium: return "medium";
    case Severity::kHigh: return "high";
    case Severity::kCritical: return "critical";
  }
  return "medium";
}

const char* NameOf(Allowlist::Target target) {
  switch (target) {
    case Allowlist::Target::kSecret: return "";
    case Allowlist::Target::kMatch: return "match";
    case Allowlist::Target::kLine: return "line";
  }
  return "";
}

void WriteAllowlists(std::string_view header, std::span<const Allowlist> lists, std::ostream& out) {
  for (const Allowlist& list : lists) {
    Table table(header, out);
    table.Text("description", list.description);
    table.Text("condition", list.all ? "AND" : "");
    table.Text("regexTarget", NameOf(list.target));
    table.Texts("regexes", list.regexes);
    table.Texts("stopwords", list.stopwords);
    table.Texts("paths", list.paths);
    table.Texts("commits", list.commits);
    table.Texts("targetRules", list.target_rules);
  }
}

// The tables below a rule, which end it.
void WriteBelow(const Rule& rule, std::ostream& out) {
  WriteAllowlists("[[rules.allowlists]]", rule.allowlists, out);
  for (const RequiredRule& required : rule.required) {
    Table table("[[rules.required]]", out);
    table.Text("id", required.id);
    if (required.within_lines) table.Number("withinLines", *required.within_lines);
    if (required.within_columns) table.Number("withinColumns", *required.within_columns);
  }
  out << "\n";
}

void WriteRule(const Rule& rule, std::ostream& out) {
  Table table("[[rules]]", out);
  table.Text("id", rule.id);
  table.Text("description", rule.description);
  table.Text("provider", rule.provider);
  table.Text("category", rule.category);
  table.Text("class", NameOf(rule.rule_class));
  table.Text("severity", NameOf(rule.severity));
  table.Number("confidence", rule.confidence);
  table.Texts("references", rule.references);
  table.Texts("tags", rule.tags);
  table.Text("remediation", rule.remediation);
  if (!rule.is_named()) table.Text("regex", rule.regex);
  table.Texts("names", rule.names);
  table.Texts("values", rule.values);
  table.Text("kind", rule.kind);
  table.Text("anchor", rule.anchor);
  table.NumberUnlessZero("span_bytes", rule.span_bytes);
  table.NumberUnlessZero("secretGroup", rule.secret_group);
  table.Text("path", rule.path);
  table.Texts("keywords", rule.keywords);
  table.NumberUnlessZero("entropy", rule.min_entropy);
  table.Text("checksum", rule.checksum);
  table.Text("structure", rule.structure);
  table.Texts("prefixes", rule.prefixes);
  table.Flag("skipReport", rule.skip_report);
  table.Texts("examples", rule.examples);
  table.Texts("negatives", rule.negatives);
  WriteBelow(rule, out);
}

// A name, up to kNamedAfterBytes of its line, then one of the values, which is group 1.
std::string NamedRegex(const Rule& rule, const NamedTarget& target) {
  std::string values;
  for (const ValuePattern& value : target.values) values += (values.empty() ? "" : "|") + value.Regex();
  return absl::StrFormat("(?m)%s[^\\n]{0,%d}?[^0-9A-Za-z_\\n](%s)(?:[^0-9A-Za-z_\\n-]|$)", rule.regex,
                         kNamedAfterBytes - 1, values);
}

// The longest word of each name: without it there is no match.
std::vector<std::string> NamedKeywords(const Rule& rule) {
  std::vector<std::string> keywords;
  for (std::string_view name : rule.names) {
    if (name.ends_with('+')) name.remove_suffix(1);
    std::string longest;
    for (size_t begin = 0; begin <= name.size();) {
      const size_t end = std::min(name.find(' ', begin), name.size());
      if (end - begin > longest.size()) longest = name.substr(begin, end - begin);
      begin = end + 1;
    }
    if (std::find(keywords.begin(), keywords.end(), longest) == keywords.end()) keywords.push_back(longest);
  }
  return keywords;
}

void CommentOnUnsaid(const Rule& rule, Table* table) {
  table->Comment(absl::StrFormat("class %s, severity %s, confidence %s", NameOf(rule.rule_class), NameOf(rule.severity),
                                 TomlNumber(rule.confidence)));
  if (!rule.checksum.empty()) table->Comment("checksum, not verified here: " + TomlString(rule.checksum));
  if (!rule.structure.empty()) table->Comment("structure, not verified here: " + TomlString(rule.structure));
  if (!rule.anchor.empty()) {
    table->Comment(absl::StrFormat("the regex is tried in the %d bytes after this only: %s", rule.span_bytes,
                                   TomlString(rule.anchor)));
  }
  if (!rule.is_named()) return;
  table->Comment("made of names and values; of several names the nearest has a value, which may also stand before or below it");
  for (const std::string& value : rule.values) table->Comment("value: " + TomlString(value));
}

void WriteGitleaksRule(const Rule& rule, const RulesetFilters::OfRule& filters, std::ostream& out) {
  Table table("[[rules]]", out);
  table.Text("id", rule.id);
  table.Text("description", rule.description.empty() ? rule.id : rule.description);
  CommentOnUnsaid(rule, &table);
  table.Text("regex", rule.is_named() ? NamedRegex(rule, filters.named) : rule.regex);
  table.NumberUnlessZero("secretGroup", rule.is_named() ? 1 : rule.secret_group);
  table.NumberUnlessZero("entropy", rule.min_entropy);
  table.Text("path", rule.path);
  table.Texts("keywords", rule.is_named() ? NamedKeywords(rule) : rule.keywords);
  table.Texts("tags", rule.tags);
  table.Flag("skipReport", rule.skip_report);
  WriteBelow(rule, out);
}

}  // namespace

std::string TomlString(std::string_view text) {
  // A literal string cannot say an apostrophe, three of them not even between three.
  if (IsAllPlain(text)) {
    if (text.find('\'') == std::string_view::npos) return absl::StrFormat("'%s'", text);
    if (text.find("'''") == std::string_view::npos && text.back() != '\'') return absl::StrFormat("'''%s'''", text);
  }
  std::string quoted = "\"";
  while (!text.empty()) {
    const std::string_view before = text;
    const char32_t c = TakeCodePoint(&text);
    const bool plain = IsPlain(c) && c != '"' && c != '\\' && c != 0xfffd;
    quoted += plain ? std::string(before.substr(0, before.size() - text.size())) : Escaped(c);
  }
  return quoted + "\"";
}

void WriteRules(const Ruleset& ruleset, std::ostream& out) {
  out << "# Made by `unsprawl rules convert`; ruleset " << ruleset.id() << ".\n\n";
  for (const Rule& rule : ruleset.rules()) WriteRule(rule, out);
  WriteAllowlists("[[allowlists]]", ruleset.allowlists(), out);
}

void WriteGitleaksRules(const Ruleset& ruleset, std::ostream& out) {
  out << "# Made by `unsprawl rules convert --to gitleaks`; ruleset " << ruleset.id() << ".\n\n";
  for (size_t i = 0; i < ruleset.rules().size(); ++i) {
    WriteGitleaksRule(ruleset.rules()[i], ruleset.filters().rules[i], out);
  }
  WriteAllowlists("[[allowlists]]", ruleset.allowlists(), out);
}

}  // namespace unsprawl
