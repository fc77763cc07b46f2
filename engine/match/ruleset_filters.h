// The expressions of a ruleset that are judged outside the detector: paths and allowlists, compiled
// once. Immutable; RE2 is thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <re2/re2.h>

#include "absl/status/statusor.h"
#include "engine/base/object_id.h"
#include "engine/match/named.h"
#include "engine/match/ruleset.h"

namespace unsprawl {

struct CompiledAllowlist {
  std::vector<std::unique_ptr<RE2>> regexes;
  std::vector<std::unique_ptr<RE2>> paths;
  std::vector<ObjectId> commits;  // sorted
};

struct RulesetFilters {
  struct OfRule {
    std::unique_ptr<RE2> path;                  // null: any path
    std::vector<CompiledAllowlist> allowlists;  // as Rule::allowlists
    NamedTarget named;                          // of Rule::values and kind
    std::vector<uint32_t> required;             // as Rule::required: indices of the rules
  };
  std::vector<OfRule> rules;               // as Ruleset::rules()
  std::vector<CompiledAllowlist> global;   // as Ruleset::allowlists()
};

// Compiles with the options that all expressions of rules share: bytes (Latin-1), no logging, 8 MB.
// Null and *error set: RE2 refuses it.
std::unique_ptr<RE2> CompileExpression(std::string_view expression, std::string* error);

// Whether `expression`, or one of `expressions`, is found in `text`.
bool Finds(const RE2& expression, std::string_view text);
bool MatchesAny(const std::vector<std::unique_ptr<RE2>>& expressions, std::string_view text);

}  // namespace unsprawl
