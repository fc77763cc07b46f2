#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "worker/mirror.h"

namespace unsprawl {

// The libgit2 forms of a mirror's work: without protocol v2, and an interrupted fetch starts again.

// What `git ls-remote --symref` prints.
absl::StatusOr<std::string> ListWithLibgit2(const CloneUrl& url, const FetchOptions& options);

// `dir` is made as a bare repository when new. `watch` as GitCommand::watch.
absl::Status FetchWithLibgit2(const CloneUrl& url, const std::string& dir, const FetchOptions& options,
                              const std::function<absl::Status()>& watch);

}  // namespace unsprawl
