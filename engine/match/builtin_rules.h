#pragma once

#include <cstddef>

namespace unsprawl {

// A rule file compiled into the program (rules/CMakeLists.txt generates the definition).
struct BuiltinRuleFile {
  const char* name;  // "rules/vcs.toml", "rules/services.tsv"
  const char* text;  // `bytes` bytes of TOML or of a table
  size_t bytes;
};

extern const BuiltinRuleFile kBuiltinRuleFiles[];
extern const size_t kBuiltinRuleFileCount;

}  // namespace unsprawl
