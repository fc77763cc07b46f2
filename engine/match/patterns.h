// From rules to the patterns that Hyperscan is given, and the file in which they are kept compiled.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/match/detector.h"
#include "engine/match/hs_database.h"
#include "engine/match/ruleset.h"

namespace unsprawl {

// A number of rules made ready for Hyperscan. Ids in the databases are indexes into the list of rules.
struct CompiledPatterns {
  std::vector<RuleScan> scans;  // one per rule of the list
  HsDatabase lines;             // kLine and kSpan: reports every end. Null if there are none
  HsDatabase wide;              // kWide and whatever is prefiltered: says once that there may be a match
};

// Decides how each rule is scanned for and compiles all of them: seconds of work for many rules.
// InvalidArgument: names the rule and what is wrong. `rules` have a regex each.
absl::StatusOr<CompiledPatterns> CompilePatterns(const std::vector<const Rule*>& rules);

// SHA-256, as hexadecimal digits, over all that CompilePatterns depends on: the regexes and anchors in
// their order, this code's version, Hyperscan's, and the processor's features.
std::string PatternsKey(const std::vector<const Rule*>& rules);

// Keeps `patterns` in `dir` (made if needed) under `key`: written aside and renamed, so that a reader
// never sees half a file. Failures are nobody's concern: the next start compiles again.
void SavePatterns(const CompiledPatterns& patterns, const std::filesystem::path& dir,
                  std::string_view key);

// Reads them back; nullopt if there are none or the file is not exactly what was saved (length and
// SHA-256 are checked, and by Hyperscan its own CRC). `rules` is the number of rules expected.
std::optional<CompiledPatterns> LoadPatterns(const std::filesystem::path& dir, std::string_view key,
                                             size_t rules);

}  // namespace unsprawl
