// `unsprawl rules check | list | show | stats`: what the rules are, and the proof that they do what they say.
#pragma once

#include <ostream>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/match/ruleset.h"

namespace unsprawl {

struct RulesCheckOptions {
  double min_confidence = 0.5;
  uint64_t seeds = 1;       // how many texts to make of each example
  bool confusions = true;   // list which other rules report an example
  bool widths = false;      // print every rule's class and width, not only the problems
};

// Runs every example and negative of every rule through the real detector and judgement and writes what
// is wrong to `out`: an example not found by its rule or not reported, a negative reported, fewer than
// two of either, no mandatory literal, a width without bound, an expression that may match a newline
// without an anchor, a warning of the parser; of keyword rules, whose examples are made from names and values, more than
// one of fifty not found. Returns the number of problems. Deterministic.
// An error only if the ruleset does not compile.
absl::StatusOr<int> RulesCheck(const Ruleset& ruleset, std::ostream& out,
                               const RulesCheckOptions& options = {});

// One line a rule: id, class, severity, confidence, provider, description.
void RulesList(const Ruleset& ruleset, std::ostream& out);

// How many rules there are of each class, category and severity, how many providers, and what proves them.
void RulesStats(const Ruleset& ruleset, std::ostream& out);

// The rules as a page in Markdown, a table a category: docs/types.md is this.
void RulesPage(const Ruleset& ruleset, std::ostream& out);

// Everything about one rule, with an example made up. NotFound: no rule of that id; names near ones.
absl::Status RulesShow(const Ruleset& ruleset, std::string_view id, std::ostream& out);

}  // namespace unsprawl
