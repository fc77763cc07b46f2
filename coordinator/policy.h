#pragma once

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "unsprawl/v1/types.pb.h"

namespace unsprawl {

// What an organization has accepted as not covered. A TOML file:
//
//   [accept]
//   skips = ["missing", "damaged", "too_large"]   # names of SkipReason, lower-case
struct Policy {
  std::set<v1::SkipReason> accepted;
};

// NotFound: no such file. InvalidArgument: what is wrong, in which line.
absl::StatusOr<Policy> LoadPolicy(const std::string& file);

// "too_large" for SKIP_REASON_TOO_LARGE.
std::string SkipReasonName(v1::SkipReason reason);

}  // namespace unsprawl
