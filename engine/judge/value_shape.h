// What a value says about itself: a placeholder, a reference to a variable, a published example.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/match/ruleset.h"

namespace unsprawl {

// The MatchFlags among kPlaceholder, kReference, kKnownExample, kDigestLike, kWordLike and kOtherName that hold for
// `secret`. For class A only what no random token shows by chance is looked for (runs of one
// character, "EXAMPLE", published examples); for class C everything. `identifier` is the name the value
// is assigned to, or empty; `documented`: it is of a keyword rule and has a shape that the provider
// documents. Pure; thread-safe.
// `around`: what its rule matched before and behind it.
uint32_t ShapeOfValue(std::string_view secret, std::string_view identifier, std::string_view around, const Rule& rule,
                      bool documented);

// Whether `secret` is printed as an example in a provider's documentation. Kept as hashes, so that
// they are not found here.
bool IsKnownExample(std::string_view secret);

}  // namespace unsprawl
