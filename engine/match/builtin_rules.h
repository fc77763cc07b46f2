#pragma once

#include <cstddef>

namespace unsprawl {

// A rule file compiled into the program (rules/CMakeLists.txt generates the definition).
struct BuiltinRuleFile {
  const char* name;  // "rules/vcs.toml"
  const char* text;  // `bytes` bytes of TOML
  size_t bytes;
};

extern const BuiltinRuleFile kBuiltinRuleFiles[];
extern const size_t kBuiltinRuleFileCount;

}  // namespace unsprawl
