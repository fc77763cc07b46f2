// A coordinator's runs, and what it lends of them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/cluster/active_run.h"
#include "coordinator/cluster/lent_shard.h"
#include "coordinator/cluster/steady_clock.h"
#include "engine/base/mutex.h"
#include "unsprawl/v1/cluster.pb.h"

namespace unsprawl {

// Carries out runs, one after another in the order in which they came, on a thread of its own; workers take their
// shards. All state is in the ledger: destroyed at any moment, another one goes on. Thread-safe.
class RunKeeper {
 public:
  // Loads what the ledger holds, and begins.
  static absl::StatusOr<std::unique_ptr<RunKeeper>> Start(const CoordinatorSettings& settings);
  ~RunKeeper();  // ends without finishing the run
  // Ends the waiting of whatever call asks a forge; the run goes no further.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // ---- administrators
  // Returns the run's id; the same for the same `token`. InvalidArgument: see GroupsOf.
  absl::StatusOr<uint64_t> Submit(const v1::RunPlan& plan, const std::string& token);
  // NotFound: no such run. FailedPrecondition: it is over.
  absl::Status Cancel(uint64_t run);
  // Parked shards of the run under way, or of one of its repositories (by name), get all their attempts again; how
  // many. Errors as Cancel; NotFound: no such repository in it.
  absl::StatusOr<uint64_t> Retry(uint64_t run, const std::string& repository);
  // `run` 0: the one under way, or the last.
  absl::StatusOr<v1::ClusterStatus> Status(uint64_t run);
  // The folder with the report of a run that is done; *run 0: of the last one, which *run is then. NotFound: no such
  // run, or its report is kept no longer.
  absl::StatusOr<std::filesystem::path> ReportDir(uint64_t* run);

  // ---- workers; `worker` is the caller's name. Aborted: the lease is not (or no longer) the worker's.
  // Before all others: there is room for this worker. ResourceExhausted: there are too many.
  absl::Status Admit(const std::string& worker);
  // Live, and waited for, is who asks for work or holds some: who only joins, again and again, cannot do any.
  absl::Status Join(const v1::JoinRequest& request);
  absl::StatusOr<v1::AcquireReply> Acquire(const v1::AcquireRequest& request);
  absl::StatusOr<v1::RenewReply> Renew(const v1::RenewRequest& request);
  absl::Status Release(const v1::LeaseRef& lease);
  // Aborted as well: the worker has other rules than this coordinator.
  absl::StatusOr<v1::BeginReply> Begin(const v1::BeginRequest& request);
  // The shard as it was lent; taken up again after a restart. Unavailable: its run is not under way (yet).
  absl::StatusOr<std::shared_ptr<LentShard>> Find(const v1::LeaseRef& lease);
  // Ends a lease: the shard is done, or failed.
  absl::Status End(const v1::EndRequest& request);

  const Ruleset& ruleset() const { return *settings_.ruleset; }
  // What is at the moment, for metrics: runs by state, and the age of the oldest lease (at most that of this keeper).
  struct Figures {
    std::map<v1::RunState, uint64_t> runs;
    absl::Duration oldest_lease;
  };
  Figures figures() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  explicit RunKeeper(const CoordinatorSettings& settings) : settings_(settings) {}

  struct WorkerFacts {
    v1::JoinRequest joined;
    uint64_t shards_done = 0;
    std::set<uint64_t> asking;      // by AcquireRequest::nonce, what is being answered
    std::deque<uint64_t> answered;  // … and what was, the last of all calls
    std::deque<std::pair<uint64_t, v1::AcquireReply>> lent;  // … and the last of those that were lent something
    std::map<uint64_t, v1::RenewRequest::Held> held;  // as it last said, by shard
  };

  absl::StatusOr<v1::AcquireReply> Lend(const v1::AcquireRequest& request);
  v1::AcquireReply LendNothing() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Load();
  void Work();
  std::optional<v1::ClusterRun> NextRun() ABSL_LOCKS_EXCLUDED(mutex_);
  void Execute(v1::ClusterRun run);
  absl::Status Carry(v1::ClusterRun& run);
  absl::Status EndScanning(v1::ClusterRun& run);
  absl::Status Report(v1::ClusterRun& run, const ActiveRun& active);
  absl::Status SetState(v1::ClusterRun& run, v1::RunState state);
  absl::Status Write(const v1::ClusterRun& run) ABSL_LOCKS_EXCLUDED(mutex_);  // FailedPrecondition: it is over
  absl::Status EraseShards(uint64_t run);
  // What has become of its shards, into *run as well; of shards that are erased, what *run says.
  absl::StatusOr<ShardTable::Counts> CountShards(v1::ClusterRun* run) const;
  // The first of them, of shards that are not erased.
  absl::StatusOr<std::vector<v1::ClusterStatus::Parked>> ListParked(uint64_t run) const;
  // Of a run that is over: what was kept for its report is erased, and what is shown of it is kept.
  absl::Status Close(v1::ClusterRun run) ABSL_LOCKS_EXCLUDED(mutex_);
  bool IsDone(const ShardLease& lease) const;
  absl::Status WriteIds(uint64_t added) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Says that the run waits for its store. False: it waits no longer, being cancelled, or this ends.
  bool WaitForStore(uint64_t run, const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status ShardEnded(uint64_t run, std::optional<RepositoryOutcome> outcome, const PassCounters& counters,
                          const ShardLease& lease);
  absl::StatusOr<std::shared_ptr<LentShard>> Open(const v1::Shard& shard);
  // `home`: ShardTable::Release's.
  absl::Status GiveBack(const ShardLease& lease, const std::string& home = "");
  absl::Status Fail(const ShardLease& lease, v1::ErrorClass error, const std::string& reason);
  std::shared_ptr<ActiveRun> active() ABSL_LOCKS_EXCLUDED(mutex_);
  void Forget(const ShardLease& lease) ABSL_LOCKS_EXCLUDED(mutex_);
  void ForgetOldRates(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::filesystem::path DirOf(uint64_t run) const;

  const CoordinatorSettings settings_;
  const absl::Time started_ = settings_.clock->Now();
  std::atomic<bool> stop_ = false;
  // Before mutex_: of a run that is submitted, and of one that may have no shard left to scan.
  Mutex submitting_, retrying_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::map<uint64_t, v1::ClusterRun> runs_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<ActiveRun> active_ ABSL_GUARDED_BY(mutex_);
  absl::Time active_since_ ABSL_GUARDED_BY(mutex_);
  std::string step_ ABSL_GUARDED_BY(mutex_);  // of a listing
  std::map<uint64_t, std::shared_ptr<LentShard>> lent_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, WorkerFacts> workers_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::pair<absl::Time, uint64_t>> done_ ABSL_GUARDED_BY(mutex_);  // shards of the last minute, with bytes
  std::thread thread_;  // last: it uses everything above
};

}  // namespace unsprawl
