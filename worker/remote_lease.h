// Leases of a coordinator behind gRPC.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/mutex.h"
#include "unsprawl/v1/cluster.grpc.pb.h"
#include "worker/coordinator_client.h"
#include "worker/lease.h"
#include "worker/progress.h"
#include "worker/scanner_process.h"
#include "worker/worker_metrics.h"

namespace unsprawl {

// Says who works here. FailedPrecondition: the coordinator's version is too far from ours. Others: of the call, which
// `give_up` ends.
absl::StatusOr<v1::JoinReply> JoinCoordinator(const CoordinatorClient& client, v1::WorkerService::Stub& stub,
                                              const v1::JoinRequest& join, const std::function<bool()>& give_up);

// What a worker is like, and the coordinator that it works for. Borrowed; thread-safe pieces only.
struct WorkerResources {
  const CoordinatorClient* client;
  Progress* progress;
  WorkerMetrics* metrics;
  const ScannerSource* scanners;
  const std::atomic<bool>* stop;
  v1::JoinRequest join;        // its name, among others
  std::string ruleset_id;      // that its scanners have
  std::filesystem::path mirrors_dir;
  absl::Duration lease_time;   // as the coordinator said then
  size_t threads = 1;          // that scan
  size_t fetch_jobs = 4;
};

// Takes leases for one worker, no more of them than it will soon begin to scan, and keeps renewing those that are
// held. A lease that is destroyed before its end is given back. Thread-safe.
class RemoteLeases : public LeaseSource {
 public:
  explicit RemoteLeases(const WorkerResources& worker);
  ~RemoteLeases() override;

  size_t width() const override { return worker_.fetch_jobs; }
  // Null: `stop`, or the coordinator refuses this worker (see status), or has other rules by now, or there are no
  // scanners any more.
  std::unique_ptr<Lease> Take() override;

  // Why there are no more leases: OK but for a refusal.
  absl::Status status();

 private:
  friend class RemoteLease;
  // How far a lease is; what is fetching, but has its mirror, is nearly ready, and who locates is nearly done.
  enum class Stage : uint8_t { kFetching, kReady, kScanning, kLocating };
  struct Held {
    uint64_t epoch = 0;
    std::string name;
    Stage stage = Stage::kFetching;
    bool has_mirror = false;
    bool fetching = true;                                   // … as far as the coordinator knows
    std::shared_ptr<std::atomic<bool>> lost;
  };

  void CountStages() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What is held, or asked for, by stage; what has its mirror is as good as fetched.
  struct Counts {
    size_t fetching = 0, ready = 0, scanning = 0;
  };
  Counts Count() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayTakeMore() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayAsk() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AllThreadsHaveSome() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(const v1::LeaseRef& lease) ABSL_LOCKS_EXCLUDED(mutex_);
  void SetStage(const v1::LeaseRef& lease, Stage stage) ABSL_LOCKS_EXCLUDED(mutex_);
  void RenewUntilStopped();
  void RenewAll();
  void JoinAgain();
  void Refuse(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  const WorkerResources& worker_;
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::map<uint64_t, Held> held_ ABSL_GUARDED_BY(mutex_);
  size_t asking_ ABSL_GUARDED_BY(mutex_) = 0;               // Acquire calls under way
  // Of the last answer, if it was that there is nothing: when to ask again, and whether more was asked for ahead.
  struct Nothing {
    std::chrono::steady_clock::time_point until;
    bool ahead;
  };
  std::optional<Nothing> nothing_ ABSL_GUARDED_BY(mutex_);
  bool renew_soon_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  absl::Duration lease_time_ ABSL_GUARDED_BY(mutex_);
  std::thread renewer_;                                     // last: it uses everything above
};

}  // namespace unsprawl
