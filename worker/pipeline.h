// Fetches what has to be fetched and scans everything: side by side, never all fetched first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "absl/time/time.h"
#include "unsprawl/v1/forge.pb.h"
#include "worker/lease.h"
#include "worker/mirror.h"
#include "worker/repository_pass.h"
#include "worker/scan_queue.h"

namespace unsprawl {

struct PipelineOptions {
  FetchOptions fetch;                 // max_pull_requests comes with each lease
  std::filesystem::path mirrors_dir;
  uint64_t mirrors_budget_bytes = 0;  // 0: no bound
};

// Whether its forge says that nothing was pushed since `note`, and it was audited lately. `pushed_at` as its forge
// says; `now`: seconds since the epoch.
bool IsUnmoved(int64_t pushed_at, const v1::FetchNote& note, absl::Duration audit_every, int64_t now);

// Takes leases until there are no more, and scans what they lend beside `local`; how each ended is said to its lease.
// Nothing is fetched or scanned of a remote repository that its forge, or its refs, say is as it was when it was last
// scanned whole under these rules. Large repositories get all threads one after another, small ones a thread each.
// Returns early, with leases not ended, when `scan.stop` is set.
void RunPipeline(std::vector<ReadyTarget> local, LeaseSource& leases, const PipelineOptions& options,
                 const ScanResources& scan);

}  // namespace unsprawl
