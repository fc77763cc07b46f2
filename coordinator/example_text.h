// Examples of secrets, made at check time from templates: made-up values in a documented format.
//
// A template is text in which {name} or {name:arguments} stands for a generated piece; docs/rules.md
// lists the names. Anything else in braces is kept as it is, so that JSON and ${VARIABLES} need no
// escaping. The generator knows formats and checksums, never a rule's expression: that is what makes
// an example prove something.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace unsprawl {

// The same template and seed give the same text, on every machine. InvalidArgument: a known name with
// arguments that it does not take, naming both.
absl::StatusOr<std::string> ExpandExample(std::string_view text, uint64_t seed);

// What decides what is made of a text: the same on every machine.
uint64_t HashText(std::string_view text, uint64_t seed);

}  // namespace unsprawl
