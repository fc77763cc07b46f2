// A whole cluster in one thread: the shard table and a ledger, workers as small state machines, and a
// transport that delays, drops, repeats and reorders. The coordinator is killed and loses what is in
// memory, workers die, pause for longer than a lease and go on, drain, and fail in every class; clocks
// jump. Every choice comes from the seed. UNSPRAWL_SEED=7 or 7-99 runs that one or those; a seed that
// fails is named, with the end of its trace.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <set>

#include "absl/strings/str_format.h"
#include "store/shard_rows.h"
#include "tests/support/status_matchers.h"
#include "tests/support/store_rows.h"

namespace unsprawl {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);
constexpr uint64_t kRun = 1;
constexpr size_t kCutFrom = 7;  // blobs of a repository that is cut

struct Repository {
  std::string key, group, host;
  bool leads = false;
  bool home_only = false;
  std::vector<int> blobs;
};

bool IsHit(int blob) { return blob % 3 == 0; }
std::vector<v1::Occurrence> OccurrencesOf(const Repository& repository, const std::set<int>& known) {
  std::vector<v1::Occurrence> rows;
  for (const int blob : repository.blobs) {
    if (IsHit(blob) && known.contains(blob)) {
      rows.push_back(Place(blob, absl::StrFormat("%s/%d", repository.key, blob), blob));
    }
  }
  return rows;
}

std::string PayloadOf(const std::vector<int>& blobs) { return std::string(blobs.begin(), blobs.end()); }
std::vector<int> BlobsOf(const std::string& payload) { return {payload.begin(), payload.end()}; }

// What the disk keeps when the coordinator dies, and the buffer of blobs that it does not.
class Disk final : public ShardRows {
 public:
  Disk() : rows_(NewMemoryShardRows()), ledger_(NewMemoryLedger()) {
    rules_ = *ledger_->InternRules(std::vector<uint64_t>{1});
  }
  absl::Status Write(const Batch& batch) override { return rows_->Write(batch); }
  absl::StatusOr<uint64_t> Load(absl::FunctionRef<void(v1::Shard)> visit) const override {
    return rows_->Load(visit);
  }
  absl::Status ReadPayload(v1::Shard* shard) const override { return rows_->ReadPayload(shard); }
  absl::Status ReadResult(v1::Shard* shard) const override { return rows_->ReadResult(shard); }
  absl::Status Settle() override {
    for (const v1::BlobBatch& batch : buffer_) EXPECT_THAT(ledger_->RecordBlobs(batch, rules_), IsOk());
    ForgetBuffer();
    return absl::OkStatus();
  }

  void Record(const std::vector<int>& blobs) {
    std::vector<int> clean;
    std::vector<v1::BlobHit> hits;
    for (const int blob : blobs) {
      buffered_.insert(blob);
      if (IsHit(blob)) {
        hits.push_back(Hit(blob, {{1, 0, 4, blob}}));
      } else {
        clean.push_back(blob);
      }
    }
    buffer_.push_back(unsprawl::Batch(clean, hits));
  }
  bool Known(int blob) const {
    const std::vector<ObjectId> ids = {BlobId(blob)};
    return buffered_.contains(blob) || ledger_->Lookup(ids)->front().known != BlobState::Known::kUnscanned;
  }
  void ForgetBuffer() {
    buffer_.clear();
    buffered_.clear();
  }
  Ledger& ledger() { return *ledger_; }

 private:
  const std::unique_ptr<ShardRows> rows_;
  const std::unique_ptr<Ledger> ledger_;
  RuleListId rules_;
  std::vector<v1::BlobBatch> buffer_;
  std::set<int> buffered_;
};

class Cluster {
 public:
  Cluster(uint64_t seed, bool trace) : random_(seed), tracing_(trace) {
    options_.max_fetches_per_host = Number(1, 2);
    MakeRepositories();
    workers_.resize(static_cast<size_t>(Number(1, 6)));
    for (size_t i = 0; i < workers_.size(); ++i) workers_[i].name = absl::StrFormat("w%d", i);
    faults_until_ = Seconds(200, 2500);
    loss_ = Number(0, 20);
  }

  // Empty, or what was broken.
  std::string Run() {
    table_ = NewShardTable(disk_, options_);
    AddShards();
    CheckStatus(table_->Expire(Now()));
    for (size_t i = 0; i < workers_.size(); ++i) After(Seconds(0, 5), [this, i] { Idle(i); });
    After(absl::Seconds(1), [this] { Fault(); });
    bool retried = false;
    while (failure_.empty()) {
      if (table_ != nullptr && time_ > faults_until_ && table_->Count(kRun)->over()) {
        if (retried || cancelled_) break;
        retried = true;  // a person has another go at what was parked, now that nothing fails
        CheckEnd(/*all=*/false);
        Retry(0);
        if (table_->Count(kRun)->over()) break;
      }
      Check(!events_.empty() && time_ < absl::Hours(60), "the run does not end");
      if (failure_.empty()) Step();
    }
    if (failure_.empty()) CheckEnd(/*all=*/!cancelled_);
    return failure_;
  }
  const std::vector<std::string>& trace() const { return trace_; }

 private:
  struct Worker {
    std::string name;
    int life = 0;                // of the process; a new one after each crash
    uint64_t step = 0;           // answers to earlier steps come too late
    absl::Duration paused_until;
    bool draining = false;
    // The shard in hand.
    std::optional<v1::Shard> shard;
    bool fetching = false;
    int session = 0;             // life of the coordinator that answered the lookup
    std::vector<int> unknown;
  };
  struct Event {
    absl::Duration at;
    uint64_t sequence;
    std::function<void()> act;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : sequence > other.sequence;
    }
  };
  // What the model says of a shard's lease.
  struct Lent {
    ShardLease lease;
    absl::Duration renewed;  // by the coordinator's clock, see clock_
    bool fetching = true;
    bool counted = true;     // as fetching, by a table that may not have heard yet
  };

  // ---- chance, time and words
  int Number(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  bool Percent(int percent) { return Number(0, 99) < percent; }
  absl::Duration Seconds(int low, int high) {
    return absl::Milliseconds(Number(low * 1000, high * 1000));
  }
  void After(absl::Duration delay, std::function<void()> act) {
    events_.push({time_ + delay, ++sequence_, std::move(act)});
  }
  void Step() {
    const Event event = events_.top();
    events_.pop();
    time_ = event.at;
    event.act();
  }
  template <typename... Arguments>
  void Say(const absl::FormatSpec<Arguments...>& format, const Arguments&... arguments) {
    if (!tracing_) return;
    trace_.push_back(absl::StrFormat("%8.3f ", absl::ToDoubleSeconds(time_)) +
                     absl::StrFormat(format, arguments...));
  }
  void Check(bool holds, const std::string& what) {
    if (!holds && failure_.empty()) failure_ = what;
  }
  bool faulty() const { return time_ <= faults_until_; }

  // The coordinator's clock, and in clock_ how long it has been going by it: what went back did not pass.
  absl::Time Now() {
    const absl::Time now = kStart + time_ + skew_;
    if (now > last_now_) {
      clock_ += now - last_now_;
      table_now_ += now - last_now_;
    }
    last_now_ = now;
    return now;
  }

  void MakeRepositories() {
    const int count = Number(1, 7);
    for (int i = 0; i < count; ++i) {
      Repository& repository = repositories_.emplace_back();
      repository.key = absl::StrFormat("r%d", i);
      repository.host = absl::StrFormat("h%d", i % 2);
      // Of each host the first few are one fork network.
      const bool fork = count > 3 && i < 6 && Percent(80);
      repository.group = fork ? "network" + repository.host : repository.key;
      repository.leads = fork && leaders_.try_emplace(repository.group, i).second;
      const auto [first, is_first] = homes_.try_emplace(repository.group, Percent(30) ? "w0" : "");
      repository.home_only = is_first ? Percent(50) : HomeOnly(repository.group);
      std::set<int> blobs;
      for (int n = Number(0, 12); n > 0; --n) blobs.insert(Number(1, 30));
      repository.blobs.assign(blobs.begin(), blobs.end());
    }
  }
  void AddShards() {
    std::vector<v1::Shard> shards;
    for (const Repository& repository : repositories_) {
      v1::Shard& shard = shards.emplace_back();
      shard.set_run(kRun);
      shard.set_repository(repository.key);
      shard.set_group(repository.group);
      shard.set_host(repository.host);
      shard.set_leads(repository.leads);
      shard.set_size(repository.blobs.size());
      shard.set_home(homes_[repository.group]);
      shard.set_home_only(repository.home_only);
      ids_.push_back(disk_.ledger().OpenRepository(repository.key, repository.key)->id());
    }
    Check(*table_->Add(shards) == 1, "ids begin at 1");
  }
  const Repository& RepositoryOf(const v1::Shard& shard) const {
    return repositories_[static_cast<size_t>(std::stoi(shard.repository().substr(1)))];
  }

  bool HomeOnly(const std::string& group) const {
    return std::any_of(repositories_.begin(), repositories_.end(),
                       [&](const Repository& other) { return other.group == group && other.home_only; });
  }
  bool MayLive(const std::string& worker) const {
    const auto seen = seen_.find(worker);
    return clock_ - restarted_ < options_.lease_time ||
           (seen != seen_.end() && clock_ - seen->second < options_.lease_time);
  }
  // Whether a shard is kept for another: one that has a home which may live. nullopt: nobody knows the home of its
  // fork network any more.
  std::optional<bool> IsKeptFrom(const std::string& worker, const v1::Shard& shard) const {
    if (!RepositoryOf(shard).home_only) return false;
    const auto home = homes_.find(RepositoryOf(shard).group);
    if (home == homes_.end()) return std::nullopt;
    return !home->second.empty() && home->second != worker && MayLive(home->second);
  }
  // Of a fork network the table remembers no home but the shards' own.
  void ForgetHomes() {
    std::erase_if(homes_, [&](const auto& home) { return leaders_.contains(home.first); });
  }
  // Who takes a repository of which, and of whose network, nobody has a shard is its home.
  void MoveHome(const v1::Shard& lent) {
    const std::string& group = RepositoryOf(lent).group;
    bool helps = false;
    CheckStatus(table_->Visit(kRun, [&](const v1::Shard& shard) {
      helps |= shard.state() == v1::SHARD_STATE_LEASED && shard.id() != lent.id() && RepositoryOf(shard).group == group;
    }));
    const auto home = homes_.find(group);
    if (!helps) {
      homes_[group] = lent.worker();
    } else if (home != homes_.end() && home->second != lent.worker()) {
      homes_.erase(home);  // It may move when either is renewed.
    }
  }

  // ---- the coordinator's answers; each is one call that arrived

  // What must hold whenever the table has heard the time.
  void CheckTable() {
    std::map<std::string, int> fetching;
    CheckStatus(table_->Visit(kRun, [&](const v1::Shard& shard) {
      Check(shard.attempts() <= options_.max_attempts, "more attempts than there are");
      const auto lent = lent_.find(shard.id());
      if (shard.state() != v1::SHARD_STATE_LEASED) {
        const bool good = shard.state() == v1::SHARD_STATE_PENDING;  // it ran out
        if (lent != lent_.end() && !good) lent_.erase(lent);
        return;
      }
      if (lent == lent_.end()) return Check(false, "a lease that nobody was given");
      Check(lent->second.lease == ShardLease{shard.worker(), shard.id(), shard.epoch()}, "another's lease");
      Check(clock_ - lent->second.renewed < options_.lease_time,
            absl::StrFormat("the lease of shard %d outlives its time", shard.id()));
      if (lent->second.fetching) ++fetching[shard.host()];
    }));
    for (const auto& [host, count] : fetching) {
      Check(count <= options_.max_fetches_per_host, "more fetches of a host than it may have");
    }
  }
  void CheckStatus(const absl::Status& status) { Check(status.ok(), std::string(status.ToString())); }
  std::string Dump() {
    std::string text;
    CheckStatus(table_->Visit(kRun, [&](const v1::Shard& shard) { text += Text(shard); }));
    return text;
  }
  bool Good(const ShardLease& lease) const {
    const auto lent = lent_.find(lease.shard);
    return lent != lent_.end() && lent->second.lease == lease;
  }
  // A call under a lease: OK when the model says that it is good, otherwise Aborted and nothing changes.
  // Returns what the worker hears. `ends`: the lease is over afterwards.
  absl::Status UnderLease(const ShardLease& lease, bool ends, const std::string& what,
                          const std::function<absl::Status()>& call) {
    CheckStatus(table_->Expire(Now()));
    CheckTable();
    const std::string before = Good(lease) ? "" : Dump();
    const bool good = Good(lease);
    const bool was_done = table_->Read(lease.shard)->state() == v1::SHARD_STATE_DONE;
    const absl::Status status = call();
    Say("%s of %d epoch %d by %s: %s", what, lease.shard, lease.epoch, lease.worker,
        std::string(status.ToString()));
    if (ends) seen_[lease.worker] = clock_;
    if (good) {
      CheckStatus(status);
      if (ends) lent_.erase(lease.shard);
    } else {
      Check(absl::IsAborted(status) || (status.ok() && what == "Complete" && was_done),
            what + " under a stale lease");
      Check(Dump() == before, what + " under a stale lease changed something");
    }
    CheckTable();
    return status;
  }

  std::optional<v1::Shard> Acquire(const std::string& worker) {
    const absl::Time now = Now();
    CheckStatus(table_->Expire(now));
    CheckTable();
    const bool ahead = Percent(20);
    auto acquired = table_->Acquire(worker, ahead, now);
    CheckStatus(acquired.status());
    seen_[worker] = clock_;
    if (!acquired.ok() || !*acquired) {
      Say("Acquire by %s: none", worker);
      if (!ahead) CheckNothingToLend(worker);
      return std::nullopt;
    }
    const v1::Shard& shard = **acquired;
    Say("Acquire by %s: %d epoch %d (%s)", worker, shard.id(), shard.epoch(), shard.repository());
    const auto lent = lent_.find(shard.id());
    Check(lent == lent_.end() || lent->second.lease.epoch < shard.epoch(), "an epoch twice");
    Check(epochs_[shard.id()] < shard.epoch(), "an epoch that went back");
    epochs_[shard.id()] = shard.epoch();
    const Repository& repository = RepositoryOf(shard);
    const auto leader = leaders_.find(repository.group);
    if (leader != leaders_.end() && shard.kind() == v1::SHARD_KIND_REPOSITORY && !shard.leads() &&
        !shard.cut()) {
      const v1::Shard first = *table_->Read(static_cast<uint64_t>(leader->second) + 1);
      const bool fetches = first.state() == v1::SHARD_STATE_LEASED && lent_[first.id()].fetching;
      Check(first.cut() || (first.state() != v1::SHARD_STATE_PENDING && !fetches),
            "a fork before its network's first");
    }
    CheckStatus(table_->Visit(kRun, [&](const v1::Shard& part) {
      const bool open =
          part.state() == v1::SHARD_STATE_PENDING || part.state() == v1::SHARD_STATE_LEASED;
      Check(part.whole() != shard.id() || !open, "a whole before its parts");
    }));
    lent_[shard.id()] = {{worker, shard.id(), shard.epoch()}, clock_, true, true};
    CheckTable();
    if (shard.kind() == v1::SHARD_KIND_REPOSITORY) {
      Check(!IsKeptFrom(worker, shard).value_or(false), "what only its home has was lent elsewhere");
      MoveHome(shard);
    }
    return shard;
  }
  // A worker is idle: then every shard is in somebody's hands, or waits for something.
  void CheckNothingToLend(const std::string& worker) {
    std::map<uint64_t, v1::Shard> rows;
    std::map<std::string, int> fetching;
    std::set<uint64_t> has_parts;
    CheckStatus(table_->Visit(kRun, [&](const v1::Shard& shard) {
      rows[shard.id()] = shard;
      const bool leased = shard.state() == v1::SHARD_STATE_LEASED;
      if (leased && lent_[shard.id()].counted) ++fetching[shard.host()];
      if (leased || shard.state() == v1::SHARD_STATE_PENDING) has_parts.insert(shard.whole());
    }));
    for (const auto& [id, shard] : rows) {
      if (shard.state() != v1::SHARD_STATE_PENDING || has_parts.contains(id)) continue;
      if (absl::FromUnixMicros(shard.not_before()) > table_now_) continue;
      if (fetching[shard.host()] >= options_.max_fetches_per_host) continue;
      // Of a fork network a part may stand behind what is kept for its home.
      if ((id <= ids_.size() || leaders_.contains(shard.group())) && IsKeptFrom(worker, shard).value_or(true)) continue;
      const auto leader = leaders_.find(shard.group());
      if (leader != leaders_.end() && shard.kind() == v1::SHARD_KIND_REPOSITORY && !shard.leads() &&
          !shard.cut()) {
        const v1::Shard& first = rows[static_cast<uint64_t>(leader->second) + 1];
        const bool fetches = first.state() == v1::SHARD_STATE_LEASED && lent_[first.id()].counted;
        if (!first.cut() && (fetches || first.state() == v1::SHARD_STATE_PENDING)) continue;
      }
      Check(false, absl::StrFormat("shard %d is nobody's, and a worker is idle", id));
    }
  }
  bool Renew(const ShardLease& lease, bool fetching) {
    const ShardTable::Renewal renewal{lease.shard, lease.epoch, fetching};
    const auto held = table_->Renew(lease.worker, {&renewal, 1}, Now());
    CheckStatus(held.status());
    seen_[lease.worker] = clock_;
    Say("Renew of %d epoch %d by %s: %d", lease.shard, lease.epoch, lease.worker,
        static_cast<int>(held->front()));
    if (held->front()) {
      Check(Good(lease), "a stale lease renewed");
      Lent& lent = lent_[lease.shard];
      lent.renewed = clock_;
      lent.fetching = lent.fetching && fetching;
      lent.counted = lent.counted && fetching;
    }
    CheckTable();
    return held->front();
  }
  void Retry(uint64_t shard) {
    const auto parked = table_->Retry(kRun, shard);
    CheckStatus(parked.status());
    Say("Retry of %d: %d", shard, *parked);
    ForgetHomes();
    // A whole whose part is pending again is nobody's until that is done.
    CheckStatus(table_->Visit(kRun, [&](const v1::Shard& row) {
      const auto lent = lent_.find(row.id());
      if (lent != lent_.end() && lent->second.lease.epoch != row.epoch()) lent_.erase(lent);
    }));
  }

  // Blobs of a shard that are to be scanned: not those of parts that were given up.
  std::vector<int> Unknown(const v1::Shard& shard) {
    std::set<int> left_out;
    CheckStatus(table_->Visit(kRun, [&](const v1::Shard& part) {
      if (part.whole() != shard.id() || part.state() != v1::SHARD_STATE_PARKED) return;
      for (const int blob : BlobsOf(table_->Read(part.id())->payload())) left_out.insert(blob);
    }));
    const bool part = shard.kind() == v1::SHARD_KIND_PART;
    std::vector<int> unknown;
    for (const int blob : part ? BlobsOf(shard.payload()) : RepositoryOf(shard).blobs) {
      if (!disk_.Known(blob) && !left_out.contains(blob)) unknown.push_back(blob);
    }
    return unknown;
  }
  absl::Status CommitRepository(const v1::Shard& shard) {
    CheckStatus(disk_.Settle());
    const Repository& repository = RepositoryOf(shard);
    std::set<int> known;
    for (const int blob : repository.blobs) {
      if (disk_.Known(blob)) known.insert(blob);
    }
    RecordPlaces(disk_.ledger(), ids_[shard.id() - 1], OccurrencesOf(repository, known), {}, "tips");
    return absl::OkStatus();
  }

  // ---- the transport

  // Asks the coordinator; `hear` gets its answer, if one comes before the worker has gone on. The worker asks
  // again when none comes. `ask` runs once per copy that arrives.
  template <typename Answer>
  void Ask(size_t i, std::function<Answer()> ask, std::function<void(Answer)> hear) {
    Worker& worker = workers_[i];
    const uint64_t step = ++worker.step;
    const int life = worker.life;
    Attempt<Answer>(i, life, step, std::move(ask), std::move(hear));
  }
  template <typename Answer>
  void Attempt(size_t i, int life, uint64_t step, std::function<Answer()> ask,
               std::function<void(Answer)> hear) {
    Send<Answer>(i, ask, [this, i, life, step, hear](Answer answer) {
      if (workers_[i].life == life && workers_[i].step == step) {
        ++workers_[i].step;
        hear(std::move(answer));
      }
    });
    OnWorker(i, life, absl::Seconds(15), [this, i, life, step, ask, hear] {
      if (workers_[i].step == step) Attempt<Answer>(i, life, step, ask, hear);
    });
  }
  template <typename Answer>
  void Send(size_t i, const std::function<Answer()>& ask, const std::function<void(Answer)>& hear) {
    const int life = workers_[i].life;
    for (int copies = faulty() && Percent(loss_) ? 2 : 1; copies > 0; --copies) {
      if (Lost()) continue;
      After(Delay(), [this, i, life, ask, hear] {
        if (table_ == nullptr) return;  // it is down
        Answer answer = ask();
        if (Lost()) return;
        OnWorker(i, life, Delay(), [hear, answer] { hear(answer); });
      });
    }
  }
  bool Lost() { return faulty() && Percent(loss_); }
  absl::Duration Delay() { return faulty() && Percent(loss_ / 4) ? Seconds(1, 150) : Seconds(0, 1); }
  // Later, in this life of the worker, and not while it pauses.
  void OnWorker(size_t i, int life, absl::Duration delay, std::function<void()> act) {
    After(delay, [this, i, life, act = std::move(act)] {
      const Worker& worker = workers_[i];
      if (worker.life != life) return;
      if (worker.paused_until > time_) return OnWorker(i, life, worker.paused_until - time_, act);
      act();
    });
  }
  void Later(size_t i, absl::Duration delay, std::function<void()> act) {
    const uint64_t step = ++workers_[i].step;
    OnWorker(i, workers_[i].life, delay, [this, i, step, act = std::move(act)] {
      if (workers_[i].step == step) act();
    });
  }

  // ---- a worker

  ShardLease LeaseOf(size_t i) const {
    const Worker& worker = workers_[i];
    return {worker.name, worker.shard->id(), worker.shard->epoch()};
  }
  void Idle(size_t i) {
    Worker& worker = workers_[i];
    worker.shard.reset();
    if (worker.draining) {  // it leaves; another process comes in its place
      worker.draining = false;
      ++worker.life;
      return Later(i, Seconds(5, 90), [this, i] { Idle(i); });
    }
    Ask<std::optional<v1::Shard>>(
        i, [this, name = worker.name] { return Acquire(name); },
        [this, i](std::optional<v1::Shard> shard) {
          if (!shard) return Later(i, Seconds(8, 20), [this, i] { Idle(i); });
          workers_[i].shard = std::move(shard);
          workers_[i].fetching = true;
          KeepAlive(i, LeaseOf(i));
          Later(i, faulty() && Percent(5) ? Seconds(30, 200) : Seconds(0, 10), [this, i] { Fetched(i); });
        });
  }
  void KeepAlive(size_t i, const ShardLease& lease) {
    OnWorker(i, workers_[i].life, absl::Seconds(20), [this, i, lease] {
      if (!workers_[i].shard || LeaseOf(i) != lease) return;
      SendRenewal(i, lease);
      KeepAlive(i, lease);
    });
  }
  void SendRenewal(size_t i, const ShardLease& lease) {
    Send<bool>(
        i, [this, lease, fetching = workers_[i].fetching] { return Renew(lease, fetching); },
        [this, i, lease](bool held) {
          if (held || !workers_[i].shard || LeaseOf(i) != lease) return;
          Say("%s drops %d", workers_[i].name, lease.shard);
          Idle(i);
        });
  }
  // Aborted: it is not ours any more. Unavailable: the coordinator was another, whose memory is gone.
  bool GoesOn(size_t i, const absl::Status& status) {
    if (status.ok()) return true;
    if (absl::IsUnavailable(status)) {
      LookUp(i);
    } else {
      Idle(i);
    }
    return false;
  }
  // An answer that only the coordinator that did the lookup can give.
  std::function<absl::Status()> InSession(size_t i, std::function<absl::Status()> ask) {
    return [this, session = workers_[i].session, ask = std::move(ask)]() -> absl::Status {
      if (session != coordinator_life_) return absl::UnavailableError("another coordinator");
      return ask();
    };
  }
  void AskStatus(size_t i, std::function<absl::Status()> ask, std::function<void()> next) {
    Ask<absl::Status>(i, std::move(ask), [this, i, next = std::move(next)](const absl::Status& status) {
      if (GoesOn(i, status)) next();
    });
  }

  void Fetched(size_t i) {
    Worker& worker = workers_[i];
    const ShardLease lease = LeaseOf(i);
    const auto idle = [this, i] { Idle(i); };
    if (worker.draining) {
      return AskStatus(i, [this, lease] {
        return UnderLease(lease, true, "Release", [&] { return table_->Release(lease, Now()); });
      }, idle);
    }
    if (faulty() && Percent(12)) {
      constexpr v1::ErrorClass kClasses[] = {v1::ERROR_CLASS_RETRY, v1::ERROR_CLASS_RETRY, v1::ERROR_CLASS_RETRY,
                                             v1::ERROR_CLASS_DENIED, v1::ERROR_CLASS_UNSPECIFIED};
      const v1::ErrorClass error = kClasses[Number(0, 4)];
      return AskStatus(i, [this, lease, error] {
        return UnderLease(lease, true, absl::StrFormat("Fail(%d)", error),
                          [&] { return table_->Fail(lease, error, "chance", Now()).status(); });
      }, idle);
    }
    worker.fetching = false;
    SendRenewal(i, lease);
    LookUp(i);
  }
  void LookUp(size_t i) {
    struct Known {
      std::vector<int> unknown;
      int session;
    };
    Ask<Known>(
        i, [this, shard = *workers_[i].shard] { return Known{Unknown(shard), coordinator_life_}; },
        [this, i](const Known& known) {
          Worker& worker = workers_[i];
          worker.session = known.session;
          worker.unknown = known.unknown;
          const bool whole = worker.shard->kind() == v1::SHARD_KIND_REPOSITORY && !worker.shard->cut();
          if (whole && worker.unknown.size() >= kCutFrom) return Cut(i);
          Scan(i);
        });
  }
  void Cut(size_t i) {
    const ShardLease lease = LeaseOf(i);
    std::vector<ShardTable::Piece> pieces;
    const std::vector<int>& unknown = workers_[i].unknown;
    for (size_t at = 0; at < unknown.size(); at += 3) {
      const size_t end = std::min(unknown.size(), at + 3);
      pieces.push_back({end - at, PayloadOf({unknown.begin() + static_cast<ptrdiff_t>(at),
                                             unknown.begin() + static_cast<ptrdiff_t>(end)})});
    }
    AskStatus(i, [this, lease, pieces] {
      return UnderLease(lease, true, "Cut", [&] { return table_->Cut(lease, pieces, Now()); });
    }, [this, i] { Idle(i); });
  }
  void Scan(size_t i) {
    Worker& worker = workers_[i];
    const ShardLease lease = LeaseOf(i);
    if (!worker.unknown.empty()) {
      std::vector<int> some;
      for (int n = Number(1, 4); n > 0 && !worker.unknown.empty(); --n) {
        some.push_back(worker.unknown.back());
        worker.unknown.pop_back();
      }
      return Later(i, Seconds(0, 4), [this, i, lease, some] {
        AskStatus(i, InSession(i, [this, lease, some] {
          return UnderLease(lease, false, "Record", [&] {
            return table_->Fenced(lease, [&] {
              disk_.Record(some);
              return absl::OkStatus();
            });
          });
        }), [this, i] { Scan(i); });
      });
    }
    if (worker.shard->kind() == v1::SHARD_KIND_PART) return Complete(i);
    AskStatus(i, InSession(i, [this, lease, shard = *worker.shard] {
      return UnderLease(lease, false, "Commit", [&] {
        return table_->Fenced(lease, [&] { return CommitRepository(shard); });
      });
    }), [this, i] { Complete(i); });
  }
  void Complete(size_t i) {
    const ShardLease lease = LeaseOf(i);
    AskStatus(i, InSession(i, [this, lease] {
      return UnderLease(lease, true, "Complete", [&] { return table_->Complete(lease, "", Now()); });
    }), [this, i] { Idle(i); });
  }

  // ---- faults

  void Fault() {
    if (!faulty()) return;
    After(Seconds(1, 60), [this] { Fault(); });
    const size_t i = static_cast<size_t>(Number(0, static_cast<int>(workers_.size()) - 1));
    switch (Number(0, 11)) {
      case 0:
      case 1:
        Say("%s dies", workers_[i].name);
        ++workers_[i].life;
        return Later(i, Seconds(1, 300), [this, i] { Idle(i); });
      case 2:
      case 3:
        workers_[i].paused_until = time_ + Seconds(10, 200);
        return Say("%s pauses until %f", workers_[i].name, absl::ToDoubleSeconds(workers_[i].paused_until));
      case 4:
        workers_[i].draining = true;
        return Say("%s drains", workers_[i].name);
      case 5:
      case 6:
        return CrashCoordinator();
      case 7:
        skew_ += Percent(20) ? absl::Hours(Number(1, 50'000)) : Seconds(1, 100);
        return Say("the clock jumps forward");
      case 8:
        skew_ -= Percent(20) ? absl::Hours(Number(1, 50'000)) : Seconds(1, 100);
        return Say("the clock jumps back");
      case 9:
        if (table_ != nullptr) Retry(static_cast<uint64_t>(Number(0, static_cast<int>(repositories_.size()))));
        return;
      case 10:
        if (table_ == nullptr || !Percent(5)) return;
        Say("Cancel");
        cancelled_ = true;
        CheckStatus(table_->Cancel(kRun));
        lent_.clear();
        return CheckTable();
      default:
        return;
    }
  }
  void CrashCoordinator() {
    if (table_ == nullptr) return;
    Say("the coordinator dies");
    table_.reset();
    disk_.ForgetBuffer();
    ++coordinator_life_;
    After(Seconds(0, 100), [this] {
      Say("the coordinator is back");
      table_ = NewShardTable(disk_, options_);
      last_now_ = table_now_ = kStart + time_ + skew_;
      CheckStatus(table_->Expire(Now()));
      restarted_ = clock_;
      seen_.clear();
      ForgetHomes();
      for (auto& [shard, lent] : lent_) {
        lent.renewed = clock_;
        lent.counted = true;
      }
      CheckTable();
      // What was done stays done: blobs that its part has lost would be scanned by nobody but the whole.
      CheckStatus(table_->Visit(kRun, [&](const v1::Shard& shard) {
        if (shard.whole() == 0 || shard.state() != v1::SHARD_STATE_DONE || shard.error() != 0) return;
        for (const int blob : BlobsOf(table_->Read(shard.id())->payload())) {
          Check(disk_.Known(blob), "a part that is done has lost its blobs");
        }
      }));
    });
  }

  // ---- the end

  void CheckEnd(bool all) {
    std::map<uint64_t, std::set<int>> left_out;  // by whole: blobs of parts that were given up
    std::map<uint64_t, v1::Shard> wholes;
    CheckStatus(table_->Visit(kRun, [&](const v1::Shard& shard) {
      if (all) Check(shard.state() == v1::SHARD_STATE_DONE, "not done in the end");
      if (shard.whole() == 0) wholes[shard.id()] = shard;
      const bool given_up = shard.state() == v1::SHARD_STATE_PARKED ||
                            shard.state() == v1::SHARD_STATE_CANCELLED || shard.error() != 0;
      if (shard.whole() == 0 || !given_up) return;
      for (const int blob : BlobsOf(table_->Read(shard.id())->payload())) left_out[shard.whole()].insert(blob);
    }));
    CheckStatus(disk_.Settle());
    for (const auto& [id, shard] : wholes) {
      if (shard.state() != v1::SHARD_STATE_DONE || shard.error() != 0) continue;
      const Repository& repository = RepositoryOf(shard);
      const std::set<int> everything(repository.blobs.begin(), repository.blobs.end());
      std::set<int> scanned;
      for (const int blob : repository.blobs) {
        if (!left_out[id].contains(blob)) scanned.insert(blob);
        Check(disk_.Known(blob) || left_out[id].contains(blob),
              absl::StrFormat("blob %d of %s was never scanned", blob, repository.key));
      }
      // One machine, which nothing happens to, records the same.
      const std::vector<std::string> rows = Places(disk_.ledger(), {ids_[id - 1]});
      const std::set<std::string> found(rows.begin(), rows.end());
      Check(found.size() == rows.size(), "an occurrence twice");
      const std::set<std::string> most = Direct(repository, everything, ids_[id - 1]);
      const std::set<std::string> least = Direct(repository, scanned, ids_[id - 1]);
      Check(std::includes(found.begin(), found.end(), least.begin(), least.end()),
            repository.key + " lacks occurrences");
      Check(std::includes(most.begin(), most.end(), found.begin(), found.end()),
            repository.key + " has occurrences of another's");
    }
  }
  static std::set<std::string> Direct(const Repository& repository, const std::set<int>& blobs, uint64_t id) {
    const std::unique_ptr<Ledger> ledger = NewMemoryLedger();
    for (uint64_t i = 1; i <= id; ++i) {
      EXPECT_THAT(ledger->OpenRepository(absl::StrFormat("%d", i), ""), IsOk());
    }
    RecordPlaces(*ledger, id, OccurrencesOf(repository, blobs), {}, "tips");
    const std::vector<std::string> rows = Places(*ledger, {id});
    return {rows.begin(), rows.end()};
  }

  std::mt19937_64 random_;
  const bool tracing_;
  std::vector<std::string> trace_;
  std::string failure_;

  ShardTableOptions options_;
  std::vector<Repository> repositories_;
  std::map<std::string, int> leaders_;  // by group: index into repositories_
  std::vector<uint64_t> ids_;           // of repositories_ in the ledger
  absl::Duration faults_until_;
  int loss_ = 0;  // percent of messages

  std::priority_queue<Event> events_;
  uint64_t sequence_ = 0;
  absl::Duration time_;
  absl::Duration skew_;             // of the coordinator's clock
  absl::Time last_now_ = kStart;
  absl::Duration clock_;
  absl::Time table_now_ = kStart;   // the table's own time

  Disk disk_;
  std::unique_ptr<ShardTable> table_;  // null: the coordinator is down
  int coordinator_life_ = 0;
  bool cancelled_ = false;
  std::map<uint64_t, Lent> lent_;      // by shard
  std::map<uint64_t, uint64_t> epochs_;
  std::map<std::string, std::string> homes_;      // by group; one that is not there: nobody knows
  std::map<std::string, absl::Duration> seen_;    // by worker, since the coordinator started
  absl::Duration restarted_;
  std::vector<Worker> workers_;
};

TEST(ClusterModel, WhateverHappensNothingIsLostOrDoubled) {
  uint64_t first = 1, last = 2000;
  if (const char* const seeds = std::getenv("UNSPRAWL_SEED")) {
    char* rest = nullptr;
    first = last = std::strtoull(seeds, &rest, 10);
    if (*rest == '-') last = std::strtoull(rest + 1, nullptr, 10);
  }
  for (uint64_t seed = first; seed <= last; ++seed) {
    const std::string failure = Cluster(seed, false).Run();
    if (failure.empty() && !HasFailure()) continue;
    Cluster again(seed, true);
    again.Run();
    std::string tail;
    const std::vector<std::string>& trace = again.trace();
    for (size_t i = trace.size() > 150 ? trace.size() - 150 : 0; i < trace.size(); ++i) tail += trace[i] + "\n";
    FAIL() << "UNSPRAWL_SEED=" << seed << ": " << failure << "\n" << tail;
  }
}

}  // namespace
}  // namespace unsprawl
