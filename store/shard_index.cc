#include "store/shard_index.h"

#include <algorithm>

#include "engine/base/status.h"

namespace unsprawl {
namespace {

uint64_t Scramble(uint64_t value) {  // splitmix64's finish
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

// The same in every process: a restart sends no group to another worker.
uint64_t HashOf(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return Scramble(hash);
}

uint64_t& CounterOf(v1::ShardState state, ShardTable::Counts& counts) {
  switch (state) {
    case v1::SHARD_STATE_PENDING: return counts.pending;
    case v1::SHARD_STATE_LEASED: return counts.leased;
    case v1::SHARD_STATE_DONE: return counts.done;
    case v1::SHARD_STATE_PARKED: return counts.parked;
    default: return counts.cancelled;
  }
}

}  // namespace

// ---- rows

bool ShardIndex::Waits(const Entry& entry) const {
  if (entry.row.not_before() == 0) return false;
  return !now_ || absl::FromUnixMicros(entry.row.not_before()) > *now_;
}

bool ShardIndex::Blocks(const Entry& entry) {
  return entry.row.leads() && !entry.row.cut() && (!IsLeased(entry) || entry.fetching);
}

std::set<ShardIndex::Turn>* ShardIndex::ReadyOf(Entry& entry) const {
  const v1::Shard& row = entry.row;
  if (IsLeased(entry) || entry.pins > 0 || entry.open_parts > 0 || Waits(entry)) return nullptr;
  const bool asks = row.kind() == v1::SHARD_KIND_REPOSITORY && !row.leads() && !row.cut();
  return &entry.group->ready[asks ? 1 : 0];
}

void ShardIndex::Tally(const v1::Shard& row, int change) {
  RunCounts& counts = counts_[row.run()];
  CounterOf(row.state(), counts.all) += static_cast<uint64_t>(change);
  if (row.kind() == v1::SHARD_KIND_REPOSITORY) {
    CounterOf(row.state(), counts.repositories) += static_cast<uint64_t>(change);
  }
}

void ShardIndex::Insert(Entry& entry) {
  const v1::Shard& row = entry.row;
  Tally(row, 1);
  if (!Open(row)) return;
  if (entry.group == nullptr) entry.group = &GroupOf(row);
  Group& group = *entry.group;
  Leave(group);
  std::string home = group.home.empty() ? row.home() : group.home;
  if (IsLeased(entry)) {
    deadlines_.emplace(entry.until, row.id());
    held_[row.worker()].insert(row.id());
    // Who helps others, with a part or with another of their group, does not take the mirror from them.
    if (group.leased == 0 && row.kind() == v1::SHARD_KIND_REPOSITORY) home = row.worker();
    ++group.leased;
    if (entry.fetching) ++group.host->fetching;
  } else if (Waits(entry)) {
    waiting_.emplace(row.not_before(), row.id());
  } else if (std::set<Turn>* const ready = ReadyOf(entry)) {
    ready->insert({row.size(), row.id(), &group});
    ready_bytes_ += row.size();
  }
  ++group.members;
  if (Blocks(entry)) ++group.leaders;
  if (home != group.home || group.owner == nullptr) SetHome(group, std::move(home));
  Queue(group);
}

void ShardIndex::Remove(Entry& entry) {
  const v1::Shard& row = entry.row;
  Tally(row, -1);
  if (!Open(row)) return;
  Group& group = *entry.group;
  Leave(group);
  if (IsLeased(entry)) {
    deadlines_.erase({entry.until, row.id()});
    const auto held = held_.find(row.worker());
    held->second.erase(row.id());
    if (held->second.empty()) held_.erase(held);
    --group.leased;
    if (entry.fetching) --group.host->fetching;
  } else {
    // It waited when it came, and may not wait now.
    waiting_.erase({row.not_before(), row.id()});
    if (std::set<Turn>* const ready = ReadyOf(entry)) {
      if (ready->erase({row.size(), row.id(), &group}) > 0) ready_bytes_ -= row.size();
    }
  }
  --group.members;
  if (Blocks(entry)) --group.leaders;
  Queue(group);
}

void ShardIndex::SetOpenParts(uint64_t whole, int change) {
  Entry& entry = At(whole);
  Remove(entry);
  entry.open_parts += change;
  Insert(entry);
}

void ShardIndex::Put(v1::Shard row) {
  std::unique_ptr<Entry>& place = entries_[row.id()];
  bool was_open = false, same_lease = false;
  if (place == nullptr) {
    place = std::make_unique<Entry>();
    runs_[row.run()].insert(row.id());
  } else {
    was_open = Open(place->row);
    same_lease = IsLeased(*place) && place->row.epoch() == row.epoch();
    Remove(*place);
  }
  Entry& entry = *place;
  entry.row = std::move(row);
  entry.row.clear_payload();
  entry.row.clear_result();
  if (IsLeased(entry) && !same_lease) {
    entry.until = now_ ? *now_ + options_.lease_time : absl::InfiniteFuture();
    entry.fetching = true;
  }
  Insert(entry);
  if (!Open(entry.row) && entry.group != nullptr) {
    if (entry.group->members == 0) DropGroup(*entry.group);
    entry.group = nullptr;
  }
  const int change = (Open(entry.row) ? 1 : 0) - (was_open ? 1 : 0);
  if (entry.row.whole() != 0 && change != 0) SetOpenParts(entry.row.whole(), change);
}

void ShardIndex::Erase(uint64_t run) {
  const auto shards = runs_.find(run);
  if (shards == runs_.end()) return;
  for (const uint64_t shard : shards->second) {
    Remove(At(shard));
    entries_.erase(shard);
  }
  runs_.erase(shards);
  counts_.erase(run);
}

const v1::Shard* ShardIndex::Find(uint64_t shard) const {
  const auto place = entries_.find(shard);
  return place == entries_.end() ? nullptr : &place->second->row;
}

ShardIndex::RunCounts ShardIndex::CountsOf(uint64_t run) const {
  const auto counts = counts_.find(run);
  return counts == counts_.end() ? RunCounts() : counts->second;
}

const std::set<uint64_t>& ShardIndex::ShardsOf(uint64_t run) const {
  static const std::set<uint64_t> none;
  const auto shards = runs_.find(run);
  return shards == runs_.end() ? none : shards->second;
}

// ---- groups and their owners

ShardIndex::Group& ShardIndex::GroupOf(const v1::Shard& row) {
  const std::string key = row.host() + std::string(1, '\0') + row.group();
  std::unique_ptr<Group>& group = groups_[key];
  if (group == nullptr) {
    group = std::make_unique<Group>();
    group->host = &hosts_[row.host()];
    group->key = key;
    group->bid = bids_.size();
    bids_.push_back({.group = group.get(), .hash = HashOf(row.group()), .home = HashOf("")});
  }
  return *group;
}

void ShardIndex::DropGroup(Group& group) {
  Bid& place = bids_[group.bid];
  place = bids_.back();
  place.group->bid = group.bid;
  bids_.pop_back();
  groups_.erase(std::string(group.key));
}

uint64_t ShardIndex::Weight(const Bid& bid, const LiveWorker& worker) {
  if (bid.home == worker.hash && bid.group->home == worker.name) return UINT64_MAX;
  return Scramble(bid.hash ^ worker.hash) >> 1 | 1;
}

void ShardIndex::SetHome(Group& group, std::string home) {
  bids_[group.bid].home = HashOf(home);
  group.home = std::move(home);
  Choose(group);
}

void ShardIndex::Choose(Group& group) {
  Bid& bid = bids_[group.bid];
  const auto home = workers_.find(group.home);
  if (home != workers_.end()) {
    group.owner = &home->second;
    bid.weight = UINT64_MAX;
    return;
  }
  group.owner = nullptr;
  bid.weight = 0;
  for (auto& [name, worker] : workers_) {
    const uint64_t weight = Weight(bid, worker);
    if (weight <= bid.weight) continue;
    group.owner = &worker;
    bid.weight = weight;
  }
}

void ShardIndex::TakeHome(uint64_t shard) {
  const Entry& entry = At(shard);
  Group& group = *entry.group;
  Leave(group);
  SetHome(group, entry.row.home());
  Queue(group);
}

void ShardIndex::Leave(Group& group) {
  if (!group.turn) return;
  Host& host = *group.host;
  if (group.owner != nullptr) host.owned[group.owner].erase(*group.turn);
  (group.leased == 0 ? host.idle : host.busy).erase(*group.turn);
  group.turn.reset();
}

void ShardIndex::Queue(Group& group) {
  for (int i = 0; i < (group.leaders == 0 ? 2 : 1); ++i) {
    if (group.ready[i].empty()) continue;
    const Turn& first = *group.ready[i].begin();
    if (!group.turn || first < *group.turn) group.turn = first;
  }
  if (!group.turn) return;
  Host& host = *group.host;
  if (group.owner != nullptr) host.owned[group.owner].insert(*group.turn);
  (group.leased == 0 ? host.idle : host.busy).insert(*group.turn);
}

void ShardIndex::See(std::string_view name) {
  const auto [place, is_new] =
      workers_.try_emplace(std::string(name), LiveWorker{{}, HashOf(name), *now_});
  LiveWorker& worker = place->second;
  worker.name = place->first;
  if (!is_new) seen_.erase({worker.seen, worker.name});
  worker.seen = *now_;
  seen_.emplace(worker.seen, worker.name);
  if (!is_new) return;
  for (Bid& bid : bids_) {
    const uint64_t weight = Weight(bid, worker);
    if (weight <= bid.weight) continue;
    Group& group = *bid.group;
    if (group.turn) {  // What is idle or busy stays so.
      if (group.owner != nullptr) group.host->owned[group.owner].erase(*group.turn);
      group.host->owned[&worker].insert(*group.turn);
    }
    group.owner = &worker;
    bid.weight = weight;
  }
}

void ShardIndex::Depart() {
  std::map<std::string, LiveWorker, std::less<>> gone;
  while (!seen_.empty() && seen_.begin()->first + options_.lease_time <= *now_) {
    const auto place = workers_.find(seen_.begin()->second);
    seen_.erase(seen_.begin());
    gone.insert(workers_.extract(place));
  }
  if (gone.empty()) return;
  for (const Bid& bid : bids_) {
    Group& group = *bid.group;
    if (group.owner == nullptr || !gone.contains(group.owner->name)) continue;
    Leave(group);
    Choose(group);
    Queue(group);
  }
  for (auto& [name, host] : hosts_) {
    for (const auto& [name_of, worker] : gone) host.owned.erase(&worker);
  }
}

// ---- time

absl::Time ShardIndex::Advance(absl::Time now) {
  now += ahead_;
  if (now_ && now < *now_) {
    ahead_ += *now_ - now;
    now = *now_;
  }
  const bool restarted = !now_;
  now_ = now;
  if (restarted) Restart();
  while (!waiting_.empty() && absl::FromUnixMicros(waiting_.begin()->first) <= now) {
    Entry& entry = At(waiting_.begin()->second);
    Remove(entry);
    Insert(entry);
  }
  Depart();
  return now;
}

void ShardIndex::Restart() {
  restarted_ = *now_;
  const int64_t latest = absl::ToUnixMicros(*now_ + options_.max_wait);
  std::vector<uint64_t> loaded;
  for (const auto& [until, shard] : deadlines_) loaded.push_back(shard);
  for (auto late = waiting_.lower_bound({latest, 0}); late != waiting_.end(); ++late) {
    loaded.push_back(late->second);
  }
  for (const uint64_t shard : loaded) {
    Entry& entry = At(shard);
    Remove(entry);
    entry.until = *now_ + options_.lease_time;
    // Written by a clock that was wrong: how long it was to wait nobody knows.
    if (!IsLeased(entry)) entry.row.clear_not_before();
    Insert(entry);
  }
}

void ShardIndex::LoseAttempt(v1::Shard& row) const {
  row.set_attempts(row.attempts() + 1);
  row.set_state(row.attempts() >= options_.max_attempts ? v1::SHARD_STATE_PARKED
                                                        : v1::SHARD_STATE_PENDING);
}

ShardIndex::Rows ShardIndex::Expired() const {
  Rows rows;
  for (const auto& [until, shard] : deadlines_) {
    if (until > *now_) break;
    const Entry& entry = At(shard);
    if (entry.pins > 0) continue;
    v1::Shard& row = rows.emplace_back(entry.row);
    LoseAttempt(row);
    row.set_error(v1::ERROR_CLASS_LOST);
    row.set_reason("its worker was not heard of any more");
  }
  return rows;
}

// ---- leases

// A home that has not called since the restart may live: whoever does calls within one lease time.
bool ShardIndex::KeptFrom(const LiveWorker& worker, const Turn& turn) const {
  const Group& group = *turn.group;
  if (group.home.empty() || group.home == worker.name || !At(turn.shard).row.home_only()) return false;
  return *now_ < restarted_ + options_.lease_time || HasLiveHome(group);
}

bool ShardIndex::HasLiveHome(const Group& group) { return group.owner != nullptr && group.owner->name == group.home; }

uint64_t ShardIndex::HalfAShare() const {
  return workers_.size() < 2 ? UINT64_MAX : ready_bytes_ / (2 * workers_.size());
}

std::optional<v1::Shard> ShardIndex::Next(std::string_view name, bool ahead) const {
  const auto worker = workers_.find(name);
  CHECK(worker != workers_.end());  // it was seen just now
  const uint64_t half_a_share = HalfAShare();
  const Turn *own = nullptr, *idle = nullptr, *busy = nullptr, *large = nullptr;
  const auto better = [](const Turn& turn, const Turn* best) { return best == nullptr || turn < *best; };
  const auto take = [&](const std::set<Turn>& turns, const Turn** best) {
    const auto first = std::find_if(turns.begin(), turns.end(),
                                    [&](const Turn& turn) { return !KeptFrom(worker->second, turn); });
    if (first != turns.end() && better(*first, *best)) *best = &*first;
  };
  for (const auto& [host_name, host] : hosts_) {
    if (host.fetching >= options_.max_fetches_per_host) continue;
    const auto owned = host.owned.find(&worker->second);
    if (owned != host.owned.end()) take(owned->second, &own);
    take(host.idle, &idle);
    take(host.busy, &busy);
    for (auto turn = host.idle.begin(); turn != host.idle.end() && turn->size > half_a_share; ++turn) {
      if (HasLiveHome(*turn->group) || KeptFrom(worker->second, *turn)) continue;
      if (better(*turn, large)) large = &*turn;
      break;
    }
  }
  const Turn* const mine = own != nullptr ? own : idle != nullptr ? idle : busy;
  const Turn* const turn = large != nullptr && better(*large, mine) ? large : mine;
  if (turn == nullptr || (ahead && turn->size > half_a_share)) return std::nullopt;
  v1::Shard row = At(turn->shard).row;
  row.set_state(v1::SHARD_STATE_LEASED);
  row.set_epoch(row.epoch() + 1);
  row.set_worker(std::string(name));
  row.set_home(std::string(name));
  row.set_given(v1::CREDENTIALS_NONE);
  row.clear_not_before();
  return row;
}

bool ShardIndex::Good(const ShardLease& lease) const {
  const v1::Shard* const row = Find(lease.shard);
  return row != nullptr && lease.epoch != 0 && row->epoch() == lease.epoch && Open(*row) &&
         row->worker() == lease.worker;
}

v1::Shard ShardIndex::Given(const ShardLease& lease, v1::Credentials credentials) const {
  v1::Shard row = At(lease.shard).row;
  // What was not noted stays unknown: it may have been more.
  if (row.given() != v1::CREDENTIALS_UNSPECIFIED) row.set_given(std::max(row.given(), credentials));
  return row;
}

v1::Shard ShardIndex::Completed(const ShardLease& lease) const {
  v1::Shard row = At(lease.shard).row;
  row.set_state(v1::SHARD_STATE_DONE);
  row.clear_attempts();
  row.clear_error();
  row.clear_reason();
  row.clear_not_before();
  return row;
}

v1::Shard ShardIndex::Released(const ShardLease& lease) const {
  v1::Shard row = At(lease.shard).row;
  // It ran out, which was counted; its worker was there after all.
  if (row.state() == v1::SHARD_STATE_PENDING) row.set_attempts(row.attempts() - 1);
  row.set_state(v1::SHARD_STATE_PENDING);
  row.set_epoch(row.epoch() + 1);
  return row;
}

v1::Shard ShardIndex::Failed(const ShardLease& lease, v1::ErrorClass error,
                             std::string_view reason) const {
  v1::Shard row = Released(lease);
  row.set_error(error);
  row.set_reason(std::string(reason));
  if (error != v1::ERROR_CLASS_RETRY) {
    row.set_attempts(row.attempts() + 1);
    row.set_state(v1::SHARD_STATE_PARKED);
    return row;
  }
  absl::Duration wait = options_.backoff;
  for (uint32_t i = 0; i < row.attempts() && wait < options_.max_wait; ++i) wait *= 4;
  LoseAttempt(row);
  if (row.state() == v1::SHARD_STATE_PARKED) return row;
  wait += wait * (static_cast<double>(Scramble(row.id() + row.epoch()) >> 11) * 0x1p-54);
  row.set_not_before(absl::ToUnixMicros(*now_ + std::min(wait, options_.max_wait)));
  return row;
}

v1::Shard ShardIndex::Cut(const ShardLease& lease) const {
  v1::Shard row = Released(lease);
  row.clear_attempts();  // what is left is another piece of work
  row.set_cut(true);
  return row;
}

v1::Shard ShardIndex::Cancelled(uint64_t shard) const {
  v1::Shard row = At(shard).row;
  row.set_state(v1::SHARD_STATE_CANCELLED);
  row.set_epoch(row.epoch() + 1);
  row.clear_not_before();
  return row;
}

ShardIndex::Rows ShardIndex::Retried(uint64_t run, uint64_t shard, uint64_t* parked) const {
  std::set<uint64_t> retried;
  *parked = 0;
  for (const uint64_t id : ShardsOf(run)) {
    const v1::Shard& row = At(id).row;
    if (row.state() != v1::SHARD_STATE_PARKED) continue;
    if (shard != 0 && id != shard && row.whole() != shard) continue;
    if (row.whole() != 0 && At(row.whole()).row.state() == v1::SHARD_STATE_CANCELLED) continue;
    retried.insert(id);
    if (row.whole() != 0) retried.insert(row.whole());
    ++*parked;
  }
  Rows rows;
  for (const uint64_t id : retried) {
    v1::Shard& row = rows.emplace_back(At(id).row);
    row.set_state(v1::SHARD_STATE_PENDING);
    row.set_epoch(row.epoch() + 1);
    row.clear_attempts();
    row.clear_error();
    row.clear_reason();
    row.clear_not_before();
  }
  return rows;
}

bool ShardIndex::MayGoOn(const ShardLease& lease, bool fetching) const {
  if (!Good(lease)) return false;
  const Entry& entry = At(lease.shard);
  return !IsLeased(entry) && (!fetching || entry.group->host->fetching < options_.max_fetches_per_host);
}

v1::Shard ShardIndex::TakenUp(const ShardLease& lease) const {
  v1::Shard row = At(lease.shard).row;
  row.set_attempts(row.attempts() - 1);
  row.set_state(v1::SHARD_STATE_LEASED);
  row.clear_error();
  row.clear_reason();
  return row;
}

bool ShardIndex::Renew(std::string_view worker, const ShardTable::Renewal& renewal) {
  if (!Good({std::string(worker), renewal.shard, renewal.epoch})) return false;
  Entry& entry = At(renewal.shard);
  if (!IsLeased(entry)) return false;
  deadlines_.erase({entry.until, renewal.shard});
  entry.until = *now_ + options_.lease_time;
  deadlines_.emplace(entry.until, renewal.shard);
  if (!entry.fetching || renewal.fetching) return true;
  Remove(entry);
  entry.fetching = false;
  Insert(entry);
  return true;
}

void ShardIndex::Pin(uint64_t shard) {
  Entry& entry = At(shard);
  if (entry.pins == 0) Remove(entry);
  if (entry.pins++ == 0) Insert(entry);
}

void ShardIndex::Unpin(uint64_t shard) {
  Entry& entry = At(shard);
  if (entry.pins == 1) Remove(entry);
  if (--entry.pins == 0) Insert(entry);
}

bool ShardIndex::Pinned(uint64_t shard) const {
  const auto place = entries_.find(shard);
  return place != entries_.end() && place->second->pins > 0;
}

std::vector<ShardTable::Worker> ShardIndex::Workers() const {
  std::map<std::string_view, ShardTable::Worker> by_name;
  for (const auto& [name, live] : workers_) by_name[name] = {name, live.seen, {}};
  for (const auto& [name, shards] : held_) {
    const bool lives = workers_.contains(name);
    for (const uint64_t shard : shards) {
      const Entry& entry = At(shard);
      if (!lives && entry.until <= *now_) continue;  // Its worker is gone.
      ShardTable::Worker& worker = by_name.try_emplace(name, ShardTable::Worker{name, absl::InfinitePast(), {}}).first->second;
      worker.held.push_back({shard, entry.row.epoch(), entry.fetching, entry.until, entry.row.given()});
    }
  }
  std::vector<ShardTable::Worker> workers;
  for (auto& [name, worker] : by_name) workers.push_back(std::move(worker));
  return workers;
}

bool ShardIndex::HasSeveralWorkers() const {
  size_t count = workers_.size();
  for (auto held = held_.begin(); count < 2 && held != held_.end(); ++held) {
    if (workers_.contains(held->first)) continue;
    count += std::any_of(held->second.begin(), held->second.end(), [&](uint64_t shard) { return At(shard).until > *now_; });
  }
  return count > 1;
}

}  // namespace unsprawl
