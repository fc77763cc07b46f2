// Fetches what has to be fetched and scans everything: side by side, never all fetched first.
#pragma once

#include <filesystem>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/mirror.h"
#include "coordinator/organization.h"
#include "coordinator/repository_run.h"
#include "coordinator/run_totals.h"
#include "unsprawl/v1/forge.pb.h"

namespace unsprawl {

struct PipelineOptions {
  FetchOptions fetch;
  std::filesystem::path mirrors_dir;
  uint64_t mirrors_budget_bytes = 0;  // 0: no bound
  int fetch_jobs = 8;                 // fetches at a time from one host; forges want no more than 8 to 16
  // A repository that its forge says is unchanged is looked at anyway when its refs were last compared
  // longer ago: what the forge says covers neither wikis nor pull requests. 0: every time.
  absl::Duration audit_every = absl::Hours(24 * 7);
  // A forge is asked what was dropped (Forge::DroppedCommitsPaths) before the first fetch of as many
  // repositories in one run; of those that were asked for, always.
  uint64_t max_dropped_commits = 1000;
};

// What is known of a remote repository before anybody is asked about it.
struct Known {
  v1::RepositoryRecord record;
  v1::MirrorNote note;
  bool current = false;    // scanned whole, under these rules and settings, as of `note`
  bool unmoved = false;    // its forge says that nothing was pushed since, and it was audited lately
};
// Makes the repository's record when there is none. `now`: seconds since the epoch.
absl::StatusOr<Known> LookUp(const RemoteTarget& target, const Ruleset& ruleset, const ScanSettings& settings,
                             absl::Duration audit_every, int64_t now, Ledger& ledger);

// Brings the ledger up to date with all of them; how each ended goes to *totals. Nothing is fetched or
// scanned of a remote repository that its forge, or its refs, say is as it was when it was last scanned
// whole under these rules. Large repositories get all threads one after another, small ones a thread each.
// Returns early, with outcomes missing, when `run.stop` is set.
void RunPipeline(std::vector<RepositoryTarget> local, std::vector<RemoteTarget> remote,
                 const PipelineOptions& options, const RunResources& run, RunTotals* totals);

}  // namespace unsprawl
