// Proof that a rule cannot match without one of a few literals: what makes a rule cheap to scan for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace unsprawl {

// The least length of a literal that carries a rule, in bytes. Shorter ones are everywhere in text.
inline constexpr int kLiteralBytes = 3;

// Literals (lower-case, compared without case) of which every match of `regex` contains at least one;
// none if there is no such proof, or if RE2 refuses `regex`. For a rule with an anchor pass the anchor:
// it is what the scan looks for. `min_bytes` > 0.
std::vector<std::string> RequiredLiterals(std::string_view regex, int min_bytes = kLiteralBytes);

// True if every match of `regex` contains a literal of at least kLiteralBytes.
bool RuleHasLiteral(std::string_view regex);

}  // namespace unsprawl
