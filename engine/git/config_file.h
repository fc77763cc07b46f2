// Reads one git configuration file (git: Documentation/config, "CONFIGURATION FILE", "Syntax").
//
// Includes are not followed: git itself decides what kind of repository it has before it looks at them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace unsprawl {

struct ConfigEntry {
  // "section.key" or "section.subsection.key"; section and key in lower case, subsection as written.
  std::string name;
  std::string value;  // without quotes and comments; "true" where the file gives a key alone
};

// All entries of `text` in order. DataLoss: not a configuration, naming the line.
absl::StatusOr<std::vector<ConfigEntry>> ParseConfig(std::string_view text);

// How git reads a boolean: true, yes, on, or a number other than zero, in any case.
bool ConfigIsTrue(std::string_view value);

}  // namespace unsprawl
