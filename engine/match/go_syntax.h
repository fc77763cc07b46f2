// From the expressions of gitleaks' configurations, which are Go's and of characters, to ours, which match bytes.
#pragma once

#include <string>
#include <string_view>

namespace unsprawl {

// Rewrites what Go reads otherwise than RE2 in Latin-1:
//   (?<name>…  becomes (?P<name>…, which Debian's RE2 knows.
//   An atom that takes characters beyond ASCII becomes the choice of them, so that the bytes of each stand together
//   and case is that of characters: [nñ]? becomes (?-i:n|ñ)?, and (?i)é becomes (?i)(?-i:É|é).
// What takes more of them than can be written out (., [^x], \W, \pL) is left to match bytes. To Go the result means
// what `expression` does; rewriting it again changes nothing. What RE2 refuses is left as it is.
// Takes some 2 ms for each atom that it writes out, and none for any other.
std::string FromGoSyntax(std::string_view expression);

}  // namespace unsprawl
