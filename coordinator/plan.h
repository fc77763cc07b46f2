#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/organization.h"
#include "coordinator/run_resources.h"
#include "worker/pipeline.h"

namespace unsprawl {

// What a run would do. Borrowed.
struct Plan {
  const std::vector<RepositoryTarget>& local;
  const std::vector<RemoteTarget>& remote;
  const std::vector<Organization>& organizations;
  const PipelineOptions& pipeline;
};

// `scan --list-only`: prints a line for each repository (name, size, what would happen to it), what could not
// be listed, and what the run would cost: disk, transfer, API calls, hours of one core. The exit code:
// incomplete if a listing was.
absl::StatusOr<int> PrintPlan(const Plan& plan, const RunResources& run,
                              const std::vector<RepositoryOutcome>& outcomes);

}  // namespace unsprawl
