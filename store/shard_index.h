// What both forms of the shard table agree upon: which shard goes to whom, what becomes of a row, when a
// lease has run out.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "store/shard_table.h"

namespace unsprawl {

// All shards in memory, without payloads and results. Deterministic: neither clock nor chance of its own.
// Not thread-safe. What an operation does to rows is said first and done later: the methods that say so
// return rows as they are to become, the caller writes them, and then Puts them.
//
// Lending and every change of a row are O(log n) and O(hosts); a worker that comes costs one hash per
// group that has something left, some nanoseconds each, one that goes the hashes of its groups.
class ShardIndex {
 public:
  using Rows = std::vector<v1::Shard>;

  explicit ShardIndex(const ShardTableOptions& options) : options_(options) {}

  // ---- rows
  void Put(v1::Shard row);  // new, or instead of the one of its id; those of parts after their whole's
  void Erase(uint64_t run);
  const v1::Shard* Find(uint64_t shard) const;  // valid until the next Put; null: none
  ShardTable::Counts Count(uint64_t run) const { return CountsOf(run).all; }
  ShardTable::Counts CountRepositories(uint64_t run) const { return CountsOf(run).repositories; }
  const std::set<uint64_t>& ShardsOf(uint64_t run) const;

  // ---- time
  // Takes the caller's clock; the index's own, which it returns, never goes back. The first call is the
  // moment of the restart: leases that were loaded live one lease time from here.
  absl::Time Advance(absl::Time now);
  void See(std::string_view worker);  // it is live

  // ---- what is to become of rows
  Rows Expired() const;                                     // leases that ran out
  std::optional<v1::Shard> Next(std::string_view worker, bool ahead) const;  // the shard to lend
  bool Good(const ShardLease& lease) const;                      // shard_table.h says when
  v1::Shard Given(const ShardLease& lease, v1::Credentials credentials) const;  // of a good lease, as the next four
  v1::Shard Completed(const ShardLease& lease) const;
  v1::Shard Released(const ShardLease& lease) const;
  v1::Shard Failed(const ShardLease& lease, v1::ErrorClass error, std::string_view reason) const;
  v1::Shard Cut(const ShardLease& lease) const;
  v1::Shard Cancelled(uint64_t shard) const;
  // Whether it ran out and may go on: nobody else has taken it, nor, if it fetches, its host's last turn.
  bool MayGoOn(const ShardLease& lease, bool fetching) const;
  v1::Shard TakenUp(const ShardLease& lease) const;              // of one that ran out: it goes on
  Rows Retried(uint64_t run, uint64_t shard, uint64_t* parked) const;

  // ---- leases
  bool Renew(std::string_view worker, const ShardTable::Renewal& renewal);
  // Its group's home is the one that its row names.
  void TakeHome(uint64_t shard);
  // A pinned shard is neither lent nor expired.
  void Pin(uint64_t shard);
  void Unpin(uint64_t shard);
  bool Pinned(uint64_t shard) const;
  std::vector<ShardTable::Worker> Workers() const;
  bool HasSeveralWorkers() const;

 private:
  struct LiveWorker {
    std::string_view name;
    uint64_t hash;
    absl::Time seen;
  };
  struct Group;
  // Order in which groups and shards are taken: the largest first.
  struct Turn {
    uint64_t size = 0, shard = 0;
    Group* group = nullptr;
    bool operator<(const Turn& other) const {
      return size != other.size ? size > other.size : shard < other.shard;
    }
  };
  struct Host {
    int fetching = 0;
    // Groups that have a shard to lend: by owner, and by whether somebody works on them.
    absl::flat_hash_map<const LiveWorker*, std::set<Turn>> owned;
    std::set<Turn> idle, busy;
  };
  struct Group {
    Host* host = nullptr;
    std::string key;   // in groups_
    size_t bid = 0;    // in bids_
    std::string home;  // worker that has the mirror; may be empty, or not live
    LiveWorker* owner = nullptr;  // null: no worker is live
    int members = 0;              // pending or leased
    int leased = 0;
    int leaders = 0;              // that are not fetched yet
    std::set<Turn> ready[2];      // shards to lend: at any time; when no leader is to be waited for
    std::optional<Turn> turn;     // its place in host
  };
  // What a new worker is weighed by, of all groups side by side in memory.
  struct Bid {
    Group* group;
    uint64_t hash;        // of the group
    uint64_t home;        // hash of its home
    uint64_t weight = 0;  // of its owner; 0: none
  };
  struct Entry {
    v1::Shard row;
    absl::Time until;      // of its lease
    bool fetching = false;
    int pins = 0;
    int open_parts = 0;    // pending or leased
    Group* group = nullptr;  // while pending or leased
  };

  Entry& At(uint64_t shard) { return *entries_.find(shard)->second; }
  const Entry& At(uint64_t shard) const { return *entries_.find(shard)->second; }
  static bool Open(const v1::Shard& row) {
    return row.state() == v1::SHARD_STATE_PENDING || row.state() == v1::SHARD_STATE_LEASED;
  }
  static bool IsLeased(const Entry& entry) { return entry.row.state() == v1::SHARD_STATE_LEASED; }
  bool Waits(const Entry& entry) const;  // for its time
  static bool Blocks(const Entry& entry);
  std::set<Turn>* ReadyOf(Entry& entry) const;  // where it belongs; null: it cannot be lent yet
  uint64_t HalfAShare() const;  // of a worker, in bytes; shard_table.h, Acquire
  void Tally(const v1::Shard& row, int change);
  struct RunCounts {
    ShardTable::Counts all, repositories;
  };
  RunCounts CountsOf(uint64_t run) const;
  // Every other member is what these two make of the entries.
  void Insert(Entry& entry);
  void Remove(Entry& entry);
  void SetOpenParts(uint64_t whole, int change);
  Group& GroupOf(const v1::Shard& row);
  void DropGroup(Group& group);
  void SetHome(Group& group, std::string home);  // and chooses the owner
  void Choose(Group& group);
  void Leave(Group& group);   // its place in host
  void Queue(Group& group);   // takes it again
  static uint64_t Weight(const Bid& bid, const LiveWorker& worker);
  static bool HasLiveHome(const Group& group);
  bool KeptFrom(const LiveWorker& worker, const Turn& turn) const;  // for its home
  void Restart();
  void Depart();  // workers that were not seen for a lease time
  void LoseAttempt(v1::Shard& row) const;

  const ShardTableOptions options_;
  std::optional<absl::Time> now_;  // nullopt: not told yet
  absl::Time restarted_;           // when it was told first
  absl::Duration ahead_;           // of the caller's clock, which went back
  absl::flat_hash_map<uint64_t, std::unique_ptr<Entry>> entries_;
  std::map<uint64_t, std::set<uint64_t>> runs_;
  std::map<uint64_t, RunCounts> counts_;
  uint64_t ready_bytes_ = 0;                               // in the `ready` of all groups
  std::set<std::pair<int64_t, uint64_t>> waiting_;         // not_before, shard
  std::set<std::pair<absl::Time, uint64_t>> deadlines_;    // until, shard
  std::map<std::string, std::set<uint64_t>, std::less<>> held_;  // by worker
  std::map<std::string, LiveWorker, std::less<>> workers_;
  std::set<std::pair<absl::Time, std::string_view>> seen_;  // of workers_
  std::map<std::string, Host, std::less<>> hosts_;
  absl::flat_hash_map<std::string, std::unique_ptr<Group>> groups_;
  std::vector<Bid> bids_;
};

}  // namespace unsprawl
