#include "engine/match/literal.h"

#include <re2/filtered_re2.h>
#include <re2/re2.h>

namespace unsprawl {

std::vector<std::string> RequiredLiterals(std::string_view regex, int min_bytes) {
  RE2::Options options(RE2::Latin1);
  options.set_log_errors(false);
  re2::FilteredRE2 filter(min_bytes);
  int id = 0;
  if (filter.Add(re2::StringPiece(regex.data(), regex.size()), options, &id) != RE2::NoError) return {};
  std::vector<std::string> literals;
  filter.Compile(&literals);
  return literals;
}

bool RuleHasLiteral(std::string_view regex) { return !RequiredLiterals(regex).empty(); }

}  // namespace unsprawl
