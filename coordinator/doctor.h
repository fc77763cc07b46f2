#pragma once

#include "absl/status/statusor.h"
#include "coordinator/scan_command.h"

namespace unsprawl {

// `unsprawl doctor`: says before a run what would stand in its way: git, the key, the store and who holds it,
// disk space, and for each organization what is wanted of a token, whether each is accepted, for whom it speaks,
// its scopes and its end, what an installation covers, whether single sign-on hides repositories, whether the
// listing is whole and whether repositories can be read with git. A line each on stdout. Changes nothing but kept
// listings. kExitClean, or kExitIncomplete if a run would not be complete. Errors as RunScan's, of what was asked
// for.
absl::StatusOr<int> RunDoctor(const ScanOptions& options);

}  // namespace unsprawl
