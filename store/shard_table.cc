#include <algorithm>
#include <condition_variable>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/mutex.h"
#include "engine/base/status.h"
#include "store/shard_index.h"
#include "store/shard_rows.h"

namespace unsprawl {
namespace {

class IndexedShardTable final : public ShardTable {
 public:
  IndexedShardTable(ShardRows& rows, const ShardTableOptions& options)
      : rows_(rows), on_expired_(options.on_expired), index_(options) {}

  absl::StatusOr<uint64_t> Add(std::span<const v1::Shard> shards) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Load());
    std::vector<v1::Shard> added;
    added.reserve(shards.size());
    for (const v1::Shard& shard : shards) {
      v1::Shard& row = added.emplace_back(New(shard, next_ + added.size()));
      row.set_kind(v1::SHARD_KIND_REPOSITORY);
      row.set_home(shard.home());
      row.set_home_only(shard.home_only());
      row.set_leads(shard.leads());
    }
    const uint64_t first = next_;
    RETURN_IF_ERROR(Write({.added = added, .changed = {}, .erased = {}, .next = next_ + added.size()}));
    return first;
  }

  absl::StatusOr<v1::Shard> Read(uint64_t shard) const override {
    v1::Shard row;
    {
      const MutexLock lock(mutex_);
      RETURN_IF_ERROR(Load());
      const v1::Shard* const found = index_.Find(shard);
      if (found == nullptr) return absl::NotFoundError(absl::StrFormat("no shard %d in the store", shard));
      row = *found;
    }
    RETURN_IF_ERROR(rows_.ReadPayload(&row));
    if (row.state() == v1::SHARD_STATE_DONE) RETURN_IF_ERROR(rows_.ReadResult(&row));
    return row;
  }

  absl::Status Visit(uint64_t run, absl::FunctionRef<void(const v1::Shard&)> visit) const override {
    std::vector<v1::Shard> shards;
    {
      const MutexLock lock(mutex_);
      RETURN_IF_ERROR(Load());
      for (const uint64_t shard : index_.ShardsOf(run)) shards.push_back(*index_.Find(shard));
    }
    for (const v1::Shard& shard : shards) visit(shard);
    return absl::OkStatus();
  }

  absl::StatusOr<Counts> Count(uint64_t run) const override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Load());
    return index_.Count(run);
  }

  absl::StatusOr<Counts> CountRepositories(uint64_t run) const override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Load());
    return index_.CountRepositories(run);
  }

  absl::Status Cancel(uint64_t run) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Load());
    for (;;) {
      std::vector<v1::Shard> rows;
      std::optional<uint64_t> held_up;
      for (const uint64_t shard : index_.ShardsOf(run)) {
        const v1::ShardState state = index_.Find(shard)->state();
        if (state != v1::SHARD_STATE_PENDING && state != v1::SHARD_STATE_LEASED) continue;
        if (index_.Pinned(shard)) {
          held_up = shard;
        } else {
          rows.push_back(index_.Cancelled(shard));
        }
      }
      RETURN_IF_ERROR(Change(rows));
      if (!held_up) return absl::OkStatus();
      AwaitCommits(*held_up);
    }
  }

  absl::StatusOr<uint64_t> Retry(uint64_t run, uint64_t shard) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Load());
    for (;;) {
      uint64_t parked = 0;
      const std::vector<v1::Shard> rows = index_.Retried(run, shard, &parked);
      const auto held_up = std::find_if(rows.begin(), rows.end(), [&](const v1::Shard& row)
                                            ABSL_NO_THREAD_SAFETY_ANALYSIS { return index_.Pinned(row.id()); });
      if (held_up != rows.end()) {
        AwaitCommits(held_up->id());
        continue;
      }
      RETURN_IF_ERROR(Change(rows));
      return parked;
    }
  }

  absl::Status Erase(uint64_t run) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Load());
    const Counts counts = index_.Count(run);
    if (!counts.over()) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "run %d has %d shards pending and %d leased", run, counts.pending, counts.leased));
    }
    const std::set<uint64_t>& shards = index_.ShardsOf(run);
    const std::vector<uint64_t> erased(shards.begin(), shards.end());
    RETURN_IF_ERROR(rows_.Write({.added = {}, .changed = {}, .erased = erased}));
    index_.Erase(run);
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<v1::Shard>> Acquire(std::string_view worker, bool ahead, absl::Time now) override {
    std::optional<v1::Shard> row;
    {
      const MutexLock lock(mutex_);
      RETURN_IF_ERROR(Begin(worker, now));
      row = index_.Next(worker, ahead);
      if (!row) return row;
      RETURN_IF_ERROR(Change({*row}));
    }
    RETURN_IF_ERROR(rows_.ReadPayload(&*row));
    return row;
  }

  absl::StatusOr<std::vector<bool>> Renew(std::string_view worker, std::span<const Renewal> renewals,
                                          absl::Time now) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Begin(worker, now));
    std::vector<bool> held;
    for (const Renewal& renewal : renewals) {
      const ShardLease lease = {std::string(worker), renewal.shard, renewal.epoch};
      if (index_.MayGoOn(lease, renewal.fetching)) RETURN_IF_ERROR(Change({index_.TakenUp(lease)}));
      held.push_back(index_.Renew(worker, renewal));
    }
    return held;
  }

  absl::Status Give(const ShardLease& lease, v1::Credentials credentials, absl::Time now) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Begin(lease.worker, now));
    RETURN_IF_ERROR(CheckGood(lease));
    return Change({index_.Given(lease, credentials)});
  }

  absl::Status Complete(const ShardLease& lease, std::string_view result, absl::Time now) override {
    RETURN_IF_ERROR(rows_.Settle());  // not under the lock: it may take a while
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(BeginWith(lease, now));
    const v1::Shard* const row = index_.Find(lease.shard);
    if (row != nullptr && row->state() == v1::SHARD_STATE_DONE && row->epoch() == lease.epoch &&
        row->worker() == lease.worker) {
      return absl::OkStatus();  // it said so before, and did not hear the answer
    }
    RETURN_IF_ERROR(CheckGood(lease));
    v1::Shard done = index_.Completed(lease);
    done.set_result(std::string(result));
    return Change({std::move(done)});
  }

  absl::Status Release(const ShardLease& lease, absl::Time now, std::string_view home) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(BeginWith(lease, now));
    RETURN_IF_ERROR(CheckGood(lease));
    v1::Shard row = index_.Released(lease);
    if (home.empty()) return Change({std::move(row)});
    row.set_home(std::string(home));
    row.set_home_only(true);
    RETURN_IF_ERROR(Change({std::move(row)}));
    index_.TakeHome(lease.shard);
    return absl::OkStatus();
  }

  absl::StatusOr<v1::Shard> Fail(const ShardLease& lease, v1::ErrorClass error, std::string_view reason,
                                 absl::Time now) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(BeginWith(lease, now));
    RETURN_IF_ERROR(CheckGood(lease));
    v1::Shard failed = index_.Failed(lease, error, reason);
    RETURN_IF_ERROR(Change({failed}));
    return failed;
  }

  absl::Status Cut(const ShardLease& lease, std::span<const Piece> pieces, absl::Time now) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(BeginWith(lease, now));
    RETURN_IF_ERROR(CheckGood(lease));
    if (pieces.empty()) return absl::InvalidArgumentError("a shard was cut into no pieces");
    const v1::Shard whole = index_.Cut(lease);
    if (whole.kind() != v1::SHARD_KIND_REPOSITORY || index_.Find(lease.shard)->cut()) {
      return absl::FailedPreconditionError(absl::StrFormat("shard %d was cut before", lease.shard));
    }
    std::vector<v1::Shard> parts;
    for (const Piece& piece : pieces) {
      v1::Shard& part = parts.emplace_back(New(whole, next_ + parts.size()));
      part.set_kind(v1::SHARD_KIND_PART);
      part.set_whole(whole.id());
      part.set_size(piece.size);
      part.set_payload(piece.payload);
    }
    return Write({.added = parts, .changed = {&whole, 1}, .erased = {}, .next = next_ + parts.size()});
  }

  absl::Status Expire(absl::Time now) override {
    const MutexLock lock(mutex_);
    return Begin("", now);
  }

  absl::Status Fenced(const ShardLease& lease, absl::FunctionRef<absl::Status()> commit) override {
    {
      const MutexLock lock(mutex_);
      RETURN_IF_ERROR(Load());
      // Who waits to change the shard goes first: commits that overlap would keep it out for ever.
      while (waiters_.contains(lease.shard)) changed_.wait(mutex_);
      RETURN_IF_ERROR(CheckGood(lease));
      index_.Pin(lease.shard);
    }
    absl::Status status = commit();
    const MutexLock lock(mutex_);
    index_.Unpin(lease.shard);
    changed_.notify_all();
    return status;
  }

  absl::StatusOr<std::vector<Worker>> Workers(absl::Time now) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Load());
    index_.Advance(now);
    return index_.Workers();
  }

  absl::StatusOr<bool> HasSeveralWorkers(absl::Time now) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Load());
    index_.Advance(now);
    return index_.HasSeveralWorkers();
  }

 private:
  absl::Status Load() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (next_ != 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(next_, rows_.Load([this](v1::Shard row) { Put(std::move(row)); }));
    return absl::OkStatus();
  }
  void Put(v1::Shard row) const ABSL_NO_THREAD_SAFETY_ANALYSIS { index_.Put(std::move(row)); }

  // What every call with a clock does first. `worker` may be empty: nobody's call.
  absl::Status Begin(std::string_view worker, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    RETURN_IF_ERROR(Load());
    index_.Advance(now);
    if (!worker.empty()) index_.See(worker);
    const std::vector<v1::Shard> expired = index_.Expired();
    RETURN_IF_ERROR(Change(expired));
    if (on_expired_) {
      for (const v1::Shard& shard : expired) on_expired_(shard);
    }
    return absl::OkStatus();
  }
  absl::Status BeginWith(const ShardLease& lease, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    RETURN_IF_ERROR(Begin(lease.worker, now));
    AwaitCommits(lease.shard);
    return absl::OkStatus();
  }

  void AwaitCommits(uint64_t shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!index_.Pinned(shard)) return;
    ++waiters_[shard];
    while (index_.Pinned(shard)) changed_.wait(mutex_);
    if (--waiters_[shard] == 0) waiters_.erase(shard);
    changed_.notify_all();
  }

  absl::Status CheckGood(const ShardLease& lease) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (index_.Good(lease)) return absl::OkStatus();
    return absl::AbortedError(absl::StrFormat("shard %d is not %s's any more (epoch %d)", lease.shard,
                                              lease.worker, lease.epoch));
  }

  // A shard of the same repository as `from`, not yet worked on.
  static v1::Shard New(const v1::Shard& from, uint64_t id) {
    v1::Shard shard;
    shard.set_id(id);
    shard.set_run(from.run());
    shard.set_repository(from.repository());
    shard.set_group(from.group().empty() ? from.repository() : from.group());
    shard.set_host(from.host());
    shard.set_size(from.size());
    shard.set_payload(from.payload());
    shard.set_state(v1::SHARD_STATE_PENDING);
    return shard;
  }

  absl::Status Change(std::span<const v1::Shard> rows) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return Write({.added = {}, .changed = rows, .erased = {}});
  }
  absl::Status Change(std::initializer_list<v1::Shard> rows) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return Change(std::span<const v1::Shard>(rows.begin(), rows.size()));
  }
  absl::Status Write(const ShardRows::Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (batch.added.empty() && batch.changed.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(rows_.Write(batch));
    if (batch.next != 0) next_ = batch.next;
    for (const v1::Shard& row : batch.changed) index_.Put(row);
    for (const v1::Shard& row : batch.added) index_.Put(row);
    return absl::OkStatus();
  }

  ShardRows& rows_;
  const std::function<void(const v1::Shard&)> on_expired_;
  mutable Mutex mutex_;
  std::condition_variable_any changed_;  // a commit ended, or a shard that one held up changed
  mutable ShardIndex index_ ABSL_GUARDED_BY(mutex_);
  mutable uint64_t next_ ABSL_GUARDED_BY(mutex_) = 0;  // id; 0: nothing is loaded yet
  std::map<uint64_t, int> waiters_ ABSL_GUARDED_BY(mutex_);  // by shard: who waits for its commits
};

class MemoryShardRows final : public ShardRows {
 public:
  absl::Status Write(const Batch& batch) override {
    const MutexLock lock(mutex_);
    for (const v1::Shard& row : batch.added) {
      payloads_[row.id()] = row.payload();
      Put(row);
    }
    for (const v1::Shard& row : batch.changed) {
      if (row.state() == v1::SHARD_STATE_DONE) results_[row.id()] = row.result();
      Put(row);
    }
    for (const uint64_t shard : batch.erased) {
      states_.erase(shard);
      payloads_.erase(shard);
      results_.erase(shard);
    }
    if (batch.next != 0) next_ = batch.next;
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> Load(absl::FunctionRef<void(v1::Shard)> visit) const override {
    const MutexLock lock(mutex_);
    for (const auto& [shard, row] : states_) visit(row);
    return next_;
  }
  absl::Status Settle() override { return absl::OkStatus(); }
  absl::Status ReadPayload(v1::Shard* shard) const override {
    const MutexLock lock(mutex_);
    const auto payload = payloads_.find(shard->id());
    if (payload != payloads_.end()) shard->set_payload(payload->second);
    return absl::OkStatus();
  }
  absl::Status ReadResult(v1::Shard* shard) const override {
    const MutexLock lock(mutex_);
    const auto result = results_.find(shard->id());
    if (result != results_.end()) shard->set_result(result->second);
    return absl::OkStatus();
  }

 private:
  void Put(const v1::Shard& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    v1::Shard& state = states_[row.id()] = row;
    state.clear_payload();
    state.clear_result();
  }

  mutable Mutex mutex_;
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, v1::Shard> states_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::string> payloads_ ABSL_GUARDED_BY(mutex_), results_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<ShardRows> NewMemoryShardRows() { return std::make_unique<MemoryShardRows>(); }

std::unique_ptr<ShardTable> NewShardTable(ShardRows& rows, const ShardTableOptions& options) {
  return std::make_unique<IndexedShardTable>(rows, options);
}

}  // namespace unsprawl
