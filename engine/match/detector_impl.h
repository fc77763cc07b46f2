// What a Detector is made of; for detector.cc and scanner.cc.
#pragma once

#include <deque>
#include <vector>

#include "engine/match/confirm.h"
#include "engine/match/detector.h"
#include "engine/match/named.h"
#include "engine/match/patterns.h"

namespace unsprawl {

// One rule as it is scanned for; its index is Hyperscan's id.
struct ScannedRule {
  ScannedRule(uint32_t index, const Rule& the_rule, const RuleScan& the_scan);

  const uint32_t rule;            // index into Ruleset::rules()
  const RuleScan scan;
  const int secret_group;
  const LazyRegex regex;
  const LazyRegex anchor;         // kSpan and kNamed
  const Rule& source;
  // kNamed only: this rule and those of the same names (a service's key and its secret), which are looked for once.
  struct Named {
    uint32_t rule;                // index into Ruleset::rules()
    bool needed;                  // else it is only a rival of those that are
    const NamedTarget* target;    // RulesetFilters has it
  };
  std::vector<Named> named;
};

struct Detector::Impl {
  const Ruleset* ruleset = nullptr;
  bool loaded_from_cache = false;
  std::vector<RuleScan> scans;    // by rule of the ruleset
  std::vector<bool> wanted;       // by rule of the ruleset
  std::deque<ScannedRule> rules;  // those that are scanned for
  HsDatabase lines, wide;
};

}  // namespace unsprawl
