// The shard table: the shards of a run, lent to workers with leases and fencing epochs.
//
// Shards become DONE by Complete, PARKED when they were given up; a lease that is not renewed runs out
// and another worker gets the shard. Every state change is written before it is told to anybody, so a
// coordinator that is killed goes on where it was: what is not written (renewals, who fetches, which
// workers are live) is learnt again within one lease time.
//
// A lease is good as long as the shard's epoch is the lease's and the shard is leased, or pending
// again because the lease ran out: a slow worker whose shard nobody has taken yet has lost nothing, and
// refusing its result would only cost a rescan. Acquire, Release, Fail, Cut, Cancel and Retry raise the
// epoch: from then on every earlier lease is stale for good. What a stale lease asks for is Aborted and
// changes nothing. Complete does not raise it, so that one that is sent twice is OK twice.
//
// Two forms: in memory, and rows in RocksDB (docs/store-format.md); both are the ShardIndex
// (store/shard_index.h) over ShardRows. Every method is one SQL transaction, for a form over a shared
// database: Acquire is SELECT … FOR UPDATE SKIP LOCKED LIMIT 1 and an UPDATE, Expire an UPDATE … WHERE,
// Fenced takes its row FOR SHARE in the transaction of the commit, all others UPDATE … WHERE id AND
// epoch AND worker. *Which* of the shards that may be lent Acquire chooses is a preference, which a form
// may approximate; which may be lent is not.
//
// `now` is the caller's clock. It may jump: forward, leases run out too early, which costs a rescan;
// back, it counts as no time passed. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "unsprawl/v1/shard_table.pb.h"

namespace unsprawl {

struct ShardTableOptions {
  absl::Duration lease_time = absl::Seconds(60);
  uint32_t max_attempts = 4;  // a shard that failed so often is parked
  // Before the second attempt; each further one waits four times as long. Up to half as much comes on
  // top, by the shard's number, so that what failed together does not come back together.
  absl::Duration backoff = absl::Seconds(15);
  // The longest wait, whatever a server says or a wrong clock once wrote. An hour is what the limits of
  // forges take to reset.
  absl::Duration max_wait = absl::Hours(1);
  int max_fetches_per_host = 8;  // leases in the fetching phase
  // Told of each lease that ran out, with the shard as it became; must not call the table. May be empty.
  std::function<void(const v1::Shard&)> on_expired = {};
};

// A shard lent to a worker, as every later call names it. The worker's name is of the certificate that it
// showed: one worker cannot speak for another.
struct ShardLease {
  std::string worker;
  uint64_t shard = 0;
  uint64_t epoch = 0;
  bool operator==(const ShardLease&) const = default;
};

class ShardTable {
 public:
  virtual ~ShardTable() = default;

  // ---- shards
  // Adds REPOSITORY shards, all or none, and returns the id of the first; the others' follow in order.
  // Read of each: run, repository, group (empty: the repository), home, home_only, host, size, leads, payload.
  // All of one group are of one host.
  virtual absl::StatusOr<uint64_t> Add(std::span<const v1::Shard> shards) = 0;
  // NotFound: no such shard.
  virtual absl::StatusOr<v1::Shard> Read(uint64_t shard) const = 0;
  // Visits the shards of a run by id, as of one moment, without their payload and result.
  virtual absl::Status Visit(uint64_t run, absl::FunctionRef<void(const v1::Shard&)> visit) const = 0;
  struct Counts {
    uint64_t pending = 0, leased = 0, done = 0, parked = 0, cancelled = 0;
    bool over() const { return pending == 0 && leased == 0; }
    bool operator==(const Counts&) const = default;
  };
  virtual absl::StatusOr<Counts> Count(uint64_t run) const = 0;
  virtual absl::StatusOr<Counts> CountRepositories(uint64_t run) const = 0;  // of REPOSITORY shards alone
  // Cancels what is pending or leased. Waits for commits under way (Fenced).
  virtual absl::Status Cancel(uint64_t run) = 0;
  // A person's word: parked shards of the run are pending again with all their attempts ahead, and so is
  // a repository of which a part was. `shard`: only this REPOSITORY and its parts; 0: all. Returns how
  // many were parked.
  virtual absl::StatusOr<uint64_t> Retry(uint64_t run, uint64_t shard) = 0;
  // Forgets the shards of a run. FailedPrecondition: it is not over.
  virtual absl::Status Erase(uint64_t run) = 0;

  // ---- leases
  // Lends a shard to `worker`, or says that there is none for it now. One may be lent when it is pending,
  // its wait is over, the leader of its group was fetched (a PART, and the whole once it was cut, do not
  // ask), its own PARTs are done or parked, and its host has less than max_fetches_per_host leases in
  // the fetching phase, in which every lease begins. The largest of the worker's own groups comes
  // first: those of which it has the mirror, or that hash to it among the live workers while nobody
  // live has. Who has nothing of its own takes the largest of others': of groups that nobody works on,
  // then of any. Where several workers are live, what is larger than half a worker's share of all that may be lent could
  // keep one of them long after the others are done: when nobody live has its mirror, it goes before a worker's own, and
  // whoever asks `ahead` (it has enough to do for now) and would get it gets nothing: who is done first is to begin it.
  // What is home_only nobody but its home is lent while that is live, or may be: for one lease time after a restart.
  // The answer has payload, epoch and worker.
  virtual absl::StatusOr<std::optional<v1::Shard>> Acquire(std::string_view worker, bool ahead, absl::Time now) = 0;
  // `fetching`: false once the worker needs nothing more from the host. A phase that is over does not
  // come back; after a restart every lease counts as fetching until it is renewed.
  struct Renewal {
    uint64_t shard = 0;
    uint64_t epoch = 0;
    bool fetching = false;
  };
  // Leases live one lease time from `now` on, also one that ran out and that nobody else has taken: that was no attempt.
  // One flag each, in order: still held? Who hears no stops. May be called for one lease at any time, to end its
  // fetching phase.
  virtual absl::StatusOr<std::vector<bool>> Renew(std::string_view worker,
                                                  std::span<const Renewal> renewals,
                                                  absl::Time now) = 0;
  // Notes what its worker is given to fetch with, before it is: Workers says so from here on, after a restart as well,
  // until the lease is over. What it was given before it has still.
  virtual absl::Status Give(const ShardLease& lease, v1::Credentials credentials, absl::Time now) = 0;
  // What was recorded under the lease survives a crash of this process from here on.
  virtual absl::Status Complete(const ShardLease& lease, std::string_view result, absl::Time now) = 0;
  // Gives the shard back unfinished (the worker drains): pending at once, not counted as an attempt.
  // `home`: kept for that worker from now on, as what is home_only; empty: for whom it was.
  virtual absl::Status Release(const ShardLease& lease, absl::Time now, std::string_view home = "") = 0;
  // An attempt has failed, with a reason for a person; the class says what becomes of the shard. The answer is the shard
  // then, without its payload.
  virtual absl::StatusOr<v1::Shard> Fail(const ShardLease& lease, v1::ErrorClass error, std::string_view reason,
                                         absl::Time now) = 0;
  // Makes a PART of each piece (size, payload) and gives the REPOSITORY shard back, until they are done or
  // parked. FailedPrecondition: it was cut before, or is a PART. InvalidArgument: no pieces.
  struct Piece {
    uint64_t size = 0;  // bytes
    std::string payload;
  };
  virtual absl::Status Cut(const ShardLease& lease, std::span<const Piece> pieces, absl::Time now) = 0;
  // Takes back the leases that ran out, each counted as an attempt. Acquire does so too; this is for when
  // nobody asks.
  virtual absl::Status Expire(absl::Time now) = 0;

  // Runs `commit` while the lease is good and nothing can make it stale: whatever would waits, or passes
  // the shard over. Others' shards are not held up. Aborted: it is stale, `commit` was not run. `commit`
  // must not call the table.
  virtual absl::Status Fenced(const ShardLease& lease, absl::FunctionRef<absl::Status()> commit) = 0;

  // ---- workers: live for one lease time after their last call
  struct Held {
    uint64_t shard = 0;
    uint64_t epoch = 0;
    bool fetching = false;
    absl::Time until;
    v1::Credentials given = v1::CREDENTIALS_UNSPECIFIED;
  };
  struct Worker {
    std::string name;
    absl::Time seen;          // InfinitePast: not since the restart, but it holds leases
    std::vector<Held> held;  // by shard
  };
  // The live ones, and after a restart who holds a lease and may be live; by name.
  virtual absl::StatusOr<std::vector<Worker>> Workers(absl::Time now) = 0;
  // Whether these are more than one; at no cost, however many they are.
  virtual absl::StatusOr<bool> HasSeveralWorkers(absl::Time now) = 0;
};

}  // namespace unsprawl
