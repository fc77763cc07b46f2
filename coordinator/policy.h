#pragma once

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "unsprawl/v1/types.pb.h"

namespace unsprawl {

// What an organization has accepted as not covered. A TOML file:
//
//   [accept]
//   skips = ["missing", "damaged", "too-large"]   # reasons as manifest.json names them
struct Policy {
  std::set<v1::SkipReason> accepted;
};

// NotFound: no such file. InvalidArgument: what is wrong, in which line.
absl::StatusOr<Policy> LoadPolicy(const std::string& file);

}  // namespace unsprawl
