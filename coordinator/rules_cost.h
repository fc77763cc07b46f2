// `unsprawl rules check --cost`: what rules cost a scan, so that a dear one is seen before it slows a night.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/match/detector.h"
#include "engine/match/ruleset.h"

namespace unsprawl {

// Made-up sources, logs and settings, in which an example of each of the program's own rules stands here and there: about
// `bytes` in all, in pieces of the size of files. The same on every machine.
absl::StatusOr<std::vector<std::string>> CostSample(size_t bytes);

// By rule of the detector's ruleset. Counts depend on nothing but rules and sample; times do.
std::vector<RuleCost> MeasureCosts(const Detector& detector, const std::vector<std::string>& sample);

// Why a rule is dear whatever it finds, in words; empty: it is not. What finds nothing in the sample may be so, too.
std::string DearByNature(const Rule& rule, const RuleScan& scan);

// Scans a sample of 4 MB and writes how fast that was, the ten rules that took longest beside Hyperscan (which looks for
// all rules at once: what one adds there cannot be told), and all rules that are dear by nature.
// An error only if the ruleset does not compile.
absl::Status RulesCost(const Ruleset& ruleset, std::ostream& out);

}  // namespace unsprawl
