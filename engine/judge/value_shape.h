// What a value says about itself: a placeholder, a reference to a variable, a published example.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/match/ruleset.h"

namespace unsprawl {

// What is known of a value besides its rule.
struct ValueContext {
  std::string_view identifier;       // the name it is assigned to; where none is shown, `before`
  std::string_view before, behind;   // what its rule matched around it
  bool documented = false;           // of a keyword rule, of a shape that the provider documents
};

// The MatchFlags among kPlaceholder, kReference, kKnownExample, kDigestLike, kWordLike, kPlainWord and kOtherName that hold for
// `secret`. For class A only what no random token shows by chance is looked for (runs of one
// character, "EXAMPLE", published examples); for class C everything. Pure; thread-safe.
uint32_t ShapeOfValue(std::string_view secret, const ValueContext& context, const Rule& rule);

// Whether `secret` is printed as an example in a provider's documentation. Kept as hashes, so that
// they are not found here.
bool IsKnownExample(std::string_view secret);

}  // namespace unsprawl
