// Rewrites a regex of RE2's syntax for Hyperscan so that both mean the same, byte for byte.
#pragma once

#include <bitset>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/statusor.h"

namespace unsprawl {

// The bytes that one atom of a regex (a class, an escape, a literal under (?i)) matches, as RE2 itself
// answers for each of the 256. Remembers answers: rules share most of their classes. Not thread-safe.
class ByteSets {
 public:
  // `atom` is one atom of RE2 syntax; the empty set if RE2 refuses it. Valid until the next call.
  const std::bitset<256>& Of(const std::string& atom, bool ignore_case);

 private:
  std::unordered_map<std::string, std::bitset<256>> known_;
};

struct HsPattern {
  std::string expression;  // in Hyperscan's (PCRE's) syntax, for byte mode
  // ^ or $ under (?m): compile with HS_FLAG_MULTILINE.
  bool line_anchors = false;
  // \A, \z, or ^ and $ without (?m): a match depends on where the whole text begins or ends.
  bool text_anchors = false;
  // The author names a newline: \n, [\r\n], (?s)., [\s\S], \C. A newline that is merely among the bytes
  // of [^"], \s or \W does not count.
  bool names_newline = false;
};

// `regex` must be one that RE2 accepts (Latin-1). With `lines`, no atom of the result matches '\n', as
// with RE2's never_nl; otherwise newlines stay where RE2 has them. With `loose` the result leaves out what
// Hyperscan does not take everywhere (anchors, {0}, an atom that takes nothing) and so finds all that `regex`
// does, and more.
// InvalidArgument: syntax this rewriting does not know.
absl::StatusOr<HsPattern> TranslateForHyperscan(std::string_view regex, bool lines, ByteSets& sets,
                                                bool loose = false);

}  // namespace unsprawl
