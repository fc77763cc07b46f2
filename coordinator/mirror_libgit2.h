#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/mirror.h"

namespace unsprawl {

// The libgit2 forms of a mirror's work: for machines without git. Without protocol v2, an interrupted fetch
// starts again, and a client certificate cannot be used (FailedPrecondition). The first call of a process
// decides which authorities are trusted.

// What `git ls-remote --symref` prints.
absl::StatusOr<std::string> ListWithLibgit2(const CloneUrl& url, const FetchOptions& options);

// `dir` is made as a bare repository when new. `watch` as GitCommand::watch.
absl::Status FetchWithLibgit2(const CloneUrl& url, const std::string& dir, const FetchOptions& options,
                              const std::function<absl::Status()>& watch);

}  // namespace unsprawl
