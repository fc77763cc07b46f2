#pragma once

#include "absl/status/statusor.h"
#include "coordinator/organization.h"
#include "unsprawl/v1/lease.pb.h"

namespace unsprawl {

// Asks the forge of `target` what force pushes and deleted branches dropped since `before`, or ever; the newest 500
// of each of its lists. Not `asked`: it did not answer. `now`: seconds since the epoch. Cancelled: the run is stopping.
// DeadlineExceeded: not yet (ApiOptions::no_wait).
absl::StatusOr<v1::DroppedCommits> ListDroppedCommits(const RemoteTarget& target, const v1::FetchNote& before,
                                                      int64_t now);

}  // namespace unsprawl
