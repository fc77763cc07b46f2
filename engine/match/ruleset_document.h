// One rule file as written: what a TOML document says, before files are put together.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/match/ruleset.h"

namespace unsprawl {

struct RuleDocument {
  std::string origin;                     // names it in errors
  std::vector<Rule> rules;                // in the file's order; key not set
  std::vector<Allowlist> allowlists;      // global ones
  std::string extend_path;                // empty: none
  bool extend_default = false;
  std::vector<std::string> disabled_rules;
  std::vector<std::string> warnings;
  // Pieces of expressions that several rules have in common: "%{name}" in a regex or anchor stands for one.
  std::map<std::string, std::string> fragments;
};

// Reads TOML into a document and checks types, enumerations and ids of each entry; expressions are not
// compiled. Defaults of a rule that names no class: B, confidence 0.7 (C and 0.5 when its id begins
// with "generic"). InvalidArgument: names origin, rule and key. Never throws, whatever the bytes.
absl::StatusOr<RuleDocument> ParseRuleDocument(std::string_view toml, std::string_view origin);

// Reads a table of keyword rules (rules/services.tsv): a line each, tabs between its columns id, provider,
// category, kind, severity, names, values, source of the shape (doc, mem, guess, none) and reference; names and
// values are separated by commas; a line that begins with # is a comment. InvalidArgument: names line and column.
absl::StatusOr<RuleDocument> ParseServiceTable(std::string_view table, std::string_view origin);

}  // namespace unsprawl
