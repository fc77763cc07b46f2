#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/cluster/active_run.h"
#include "coordinator/local_lease.h"
#include "engine/base/mutex.h"
#include "unsprawl/v1/cluster.pb.h"
#include "worker/log.h"

namespace unsprawl {

// What every line of the log about a lease begins with; then `more`.
std::vector<LogField> LeaseFields(uint64_t run, const ShardLease& lease, std::initializer_list<LogField> more = {});

// A shard as a worker holds it: the pass over it that is under way is here, in memory, and nowhere else. Thread-safe;
// what a worker says in order is taken in order.
class LentShard {
 public:
  // `target`: of its repository. `lender`: Lease::Lender.
  LentShard(std::shared_ptr<ActiveRun> run, RemoteTarget target, std::string lender, LocalLease::Shard shard);

  const ShardLease& lease() const { return lease_id_; }
  // Aborted: the lease is of another repository than `key`. A store that was restored from a backup gives shards their
  // numbers again. Empty: the worker does not say.
  absl::Status CheckRepository(const std::string& key) const;
  // The worker that had its mirror last, when that may have what this pass says is obtained nowhere; empty: none. What
  // a force push dropped between two runs, say, which the forge does not serve by its id.
  std::string MayHaveMore(const v1::PassBeginning& beginning);
  const std::string& name() const { return target_.name; }
  bool part() const { return part_; }
  absl::Time since() const { return since_; }
  uint64_t run() const { return run_->id(); }
  // Reads what the ledger has of it; to be called once, before all others.
  absl::Status LookUp();
  // What a worker needs for it. Cancelled: its run is stopping.
  absl::StatusOr<v1::LentShard> ToProto();

  // DeadlineExceeded: not yet, for a limit of its forge; Cancelled: its run is stopping. The worker is to ask again.
  absl::StatusOr<v1::ForgeReply> AskForge();
  absl::StatusOr<v1::TokensReply> RenewTokens();
  absl::StatusOr<v1::DroppedCommits> ListDropped(const v1::FetchNote& before);
  // Aborted: another pass was begun since, or this one cannot go on.
  absl::StatusOr<v1::BeginReply> Begin(const v1::BeginRequest& request);
  absl::StatusOr<v1::TellReply> Tell(v1::TellRequest* request);
  absl::Status End(const v1::TargetEnd& end);

 private:
  // Writes what its worker is to fetch with, or why there is nothing, into a LentShard or TokensReply. Errors of
  // ShardTable::Give.
  template <typename Message>
  absl::Status Give(const absl::StatusOr<std::vector<GivenToken>>& tokens, Message* message)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One more question to its forge for this lease: OK, or too many.
  absl::Status MayAsk() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether `status` is an answer to it, and not that the worker is to ask again.
  bool IsAnswer(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<v1::ShardCommand> Answer(v1::ShardEvent* event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakePiece(v1::Piece* piece) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CutUp() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<ActiveRun> run_;
  const RemoteTarget target_;
  const ShardLease lease_id_;
  const bool part_;
  const bool may_cut_;
  const std::string lender_;
  const absl::Time since_;
  Mutex mutex_;
  LocalLease lease_ ABSL_GUARDED_BY(mutex_);
  v1::KnownTarget known_ ABSL_GUARDED_BY(mutex_);
  int asked_ ABSL_GUARDED_BY(mutex_) = 0;          // of its forge, and answered
  absl::Time waits_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // for an answer
  uint64_t nonce_ ABSL_GUARDED_BY(mutex_) = 0;     // of the pass under way; 0: none
  uint32_t sequence_ ABSL_GUARDED_BY(mutex_) = 0;  // of the last event
  std::deque<uint64_t> passes_ ABSL_GUARDED_BY(mutex_);  // nonces of the last that were begun
  v1::BeginReply begun_ ABSL_GUARDED_BY(mutex_);
  v1::TellReply last_ ABSL_GUARDED_BY(mutex_);     // the answer to it
  std::map<uint32_t, ShardTable::Piece> pieces_ ABSL_GUARDED_BY(mutex_);  // their payload is of blobs so far
  size_t pieces_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace unsprawl
