// `unsprawl rules convert`: a set of rules as one file, in our format or in gitleaks'.
#pragma once

#include <ostream>
#include <string>
#include <string_view>

#include "engine/match/ruleset.h"

namespace unsprawl {

// A TOML string of one line whose value is `text`, whatever is in it; bytes that are no UTF-8 become U+FFFD, since TOML
// has no way to say them.
std::string TomlString(std::string_view text);

// All of `ruleset` as one file that extends nothing; what is not written has the format's default. Reading it gives a
// set with the same id.
void WriteRules(const Ruleset& ruleset, std::ostream& out);

// The same for gitleaks, which has no checksums, structures, anchors or keyword rules: these become comments, and
// keyword rules an expression that finds a value up to 160 bytes behind a name, in its line.
void WriteGitleaksRules(const Ruleset& ruleset, std::ostream& out);

}  // namespace unsprawl
