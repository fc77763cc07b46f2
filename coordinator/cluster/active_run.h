#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/cluster/cluster_metrics.h"
#include "coordinator/cluster/sources.h"
#include "coordinator/cluster/steady_clock.h"
#include "coordinator/run_plan.h"
#include "coordinator/run_resources.h"
#include "coordinator/scan_command.h"
#include "store/key_file.h"
#include "unsprawl/v1/cluster.pb.h"

namespace unsprawl {

// What a coordinator is started with and keeps.
struct CoordinatorSettings {
  const ScanOptions* options;   // its configuration
  const Ruleset* ruleset;
  const KeyRing* keys;
  const OperatorIgnores* ignores = nullptr;  // what its reports leave out; may be null
  Ledger* ledger;
  const SteadyClock* clock;
  ClusterMetrics* metrics;
  uint64_t cut_bytes;           // ScanShard::cut_bytes, where there are workers to share it
};

// The groups of targets that `plan` means: those of the configuration, or its targets with the credentials and the
// policy that the configuration has for their forge.
// InvalidArgument: a target that workers cannot fetch, or no configuration to begin with.
absl::StatusOr<std::vector<TargetGroup>> GroupsOf(const v1::RunPlan& plan, const ScanOptions& configuration);

// The run that is under way: what its shards are made of and recorded with.
class ActiveRun {
 public:
  using EndFunction = decltype(RunResources::end);

  // `started`: seconds since the epoch. `end`: RunResources::end.
  static absl::StatusOr<std::unique_ptr<ActiveRun>> Make(const v1::ClusterRun& run, const CoordinatorSettings& settings,
                                                         EndFunction end,
                                                         std::function<void(const std::string&)> say,
                                                         std::function<void(const std::string&)> say_step);

  // A digest of what its shards mean something under: rules, key, settings, and the configuration's groups, which they
  // name by number; but not of credentials, which may be replaced.
  std::string Basis() const;
  // Lists everything, and what is to be done becomes shards; there are none yet. Once. Returns how many repositories
  // there are. Cancelled: Stop.
  absl::StatusOr<v1::RepositoryCounts> List();
  // Ends a List that is under way, and whatever asks a forge for a lease. Cancelled from then on.
  void Stop() { stop_ = true; }

  uint64_t id() const { return run_.id(); }
  const SteadyClock& clock() const { return *settings_.clock; }
  ClusterMetrics& metrics() const { return *settings_.metrics; }
  const RunResources& resources() const { return resources_; }
  Sources& sources() { return *sources_; }
  std::atomic<uint64_t>* dropped_asked() { return &dropped_asked_; }

  // Everything that came of it, for its report. All its shards are over.
  absl::StatusOr<ReportInput> Collect(bool* internal_error) const;

 private:
  ActiveRun(const v1::ClusterRun& run, const CoordinatorSettings& settings) : run_(run), settings_(settings) {}
  // The worker that had a mirror last; empty: none. `only`: no other is as good (Shard::home_only).
  struct Home {
    std::string worker;
    bool only = false;
  };
  absl::Status AddShards(const std::vector<const RemoteTarget*>& targets, const std::vector<Home>& homes,
                         const std::vector<RemoteTarget>& all);
  RepositoryOutcome ParkedOutcome(const v1::Shard& shard, const v1::RepositoryRecord& record) const;

  const v1::ClusterRun run_;
  const CoordinatorSettings settings_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> lending_ = true;  // no longer listing: who asks a forge now keeps a worker waiting
  std::vector<TargetGroup> groups_;
  PlanOptions plan_;
  std::vector<SortedGroup> sorted_;
  RunResources resources_;
  std::optional<Sources> sources_;
  std::atomic<uint64_t> dropped_asked_ = 0;
};

// The note in which its listing keeps a v1::SettledTargets for its report.
std::string SettledName(uint64_t run);

// Of an outcome as the coordinator keeps it.
v1::Outcome ToProto(const RepositoryOutcome& outcome, const PassCounters& counters);

}  // namespace unsprawl
