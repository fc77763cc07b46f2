#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace unsprawl {

// The runs that the store recorded, oldest first: a table for people, or with `json` one object a line
// (run, started, finished, seconds, repositories, partial, failed, complete, incidents, open, new,
// new_by_commit, reopened, removed; null: not recorded). Reads beside a scan that has the store open.
// NotFound: no store there. FailedPrecondition: of another schema.
absl::StatusOr<std::string> ListRuns(const std::filesystem::path& store, bool json);

}  // namespace unsprawl
