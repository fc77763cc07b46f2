#pragma once

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "coordinator/mirror.h"

namespace unsprawl {

// FetchMirror's libgit2 form: for machines without git. Without protocol v2, and an interrupted fetch
// starts again. `dir` is made as a bare repository when new.
absl::Status FetchWithLibgit2(const CloneUrl& url, const std::string& dir,
                              const std::atomic<bool>* stop);

}  // namespace unsprawl
