// Puts rule documents together into a Ruleset: extending, checking, hashing, compiling.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "engine/match/ruleset.h"
#include "engine/match/ruleset_document.h"

namespace unsprawl {

class RulesetBuilder {
 public:
  // Adds what `document` says on top of what is there already. A rule whose id is known overrides its
  // description, regex, path, entropy and group where they are given, and adds to its tags, keywords
  // and allowlists (gitleaks' rules of extending). `origin`'s disabled rules are removed first.
  // InvalidArgument: an id twice within the document.
  absl::Status Add(RuleDocument document);

  // Sorts, validates and hashes. `compile_regexes`: also prove that RE2 takes every regex and has the
  // secret group (left out for the rules of the program itself, which a test proves).
  absl::StatusOr<Ruleset> Finish(bool compile_regexes) &&;

 private:
  std::vector<Rule> rules_;
  std::vector<std::string> origins_;  // of each rule, for errors
  std::vector<Allowlist> allowlists_;
  std::vector<std::string> warnings_;
};

}  // namespace unsprawl
