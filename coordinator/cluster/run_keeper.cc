#include "coordinator/cluster/run_keeper.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/cluster/status_text.h"
#include "coordinator/report/coverage.h"
#include "coordinator/run_report.h"
#include "coordinator/webhook.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"
#include "worker/log.h"
#include "worker/pause.h"

namespace unsprawl {
namespace {

constexpr char kIdsName[] = "cluster runs";
constexpr size_t kMaxRuns = 100;     // that are kept in mind
constexpr size_t kMaxReports = 10;   // that are kept on disk
constexpr size_t kMaxRemembered = 32;  // of a worker's last leases, in case it asks again
constexpr size_t kMaxAnswered = 1'000;  // of a worker's last calls for one: half a minute's of four idle threads
constexpr size_t kMaxParked = 100;   // that are listed in a status
constexpr int kMaxLast = 5;          // runs that are over, likewise
// As many as `unsprawl certs` makes at once: without certificates a program of this machine could come under any
// number of names, and each costs memory.
constexpr size_t kMaxWorkers = 10'000;
constexpr uint32_t kNotYetMs = 5'000;  // before who was lent nothing, for a forge's limit, asks again
constexpr size_t kMaxShownBytes = 100, kMaxReasonBytes = 4 << 10;
constexpr std::chrono::milliseconds kTick{100};
constexpr absl::Duration kStorePause = absl::Seconds(1);
constexpr int kReportTries = 60;     // with such a pause between them
constexpr absl::Duration kRateWindow = absl::Minutes(1);

std::string RunName(uint64_t run) { return absl::StrFormat("cluster run %d", run); }

ShardLease LeaseOf(const v1::LeaseRef& ref) {
  return {.worker = ref.worker(), .shard = ref.shard(), .epoch = ref.epoch()};
}

// What trying again may mend.
bool MayPass(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted: return true;
    default: return false;
  }
}
bool MayPass(const absl::Status& status) { return MayPass(status.code()); }

absl::StatusOr<v1::ShardPayload> PayloadOf(const v1::Shard& shard) {
  v1::ShardPayload payload;
  if (!payload.ParseFromString(shard.payload())) return absl::DataLossError("the store holds an unreadable shard");
  return payload;
}

// What a shard is of.
absl::StatusOr<v1::PlannedTarget> TargetOf(const v1::Shard& shard, const ShardTable& shards) {
  if (shard.kind() == v1::SHARD_KIND_PART) {
    ASSIGN_OR_RETURN(const v1::Shard whole, shards.Read(shard.whole()));
    return TargetOf(whole, shards);
  }
  ASSIGN_OR_RETURN(v1::ShardPayload payload, PayloadOf(shard));
  return std::move(*payload.mutable_target());
}

// The name of what it is of; empty: the run has ended meanwhile.
std::string NameOf(const v1::Shard& shard, const ShardTable& shards) {
  const absl::StatusOr<v1::PlannedTarget> target = TargetOf(shard, shards);
  return target.ok() ? target->name() : "";
}

// What is daily business.
void LogLease(const char* event, uint64_t run, const ShardLease& lease) {
  Log(LogLevel::kDebug, event, LeaseFields(run, lease));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RunKeeper>> RunKeeper::Start(const CoordinatorSettings& settings) {
  std::unique_ptr<RunKeeper> keeper(new RunKeeper(settings));
  RETURN_IF_ERROR(keeper->Load());
  keeper->thread_ = std::thread([self = keeper.get()] { self->Work(); });
  return keeper;
}

RunKeeper::~RunKeeper() {
  Stop();
  if (thread_.joinable()) thread_.join();
}

void RunKeeper::Stop() {
  MutexLock lock(mutex_);
  stop_ = true;
  if (active_ != nullptr) active_->Stop();
  changed_.notify_all();
}

absl::Status RunKeeper::Load() {
  ASSIGN_OR_RETURN(const auto stored, settings_.ledger->ReadNote(kIdsName));
  v1::ClusterRuns ids;
  if (stored && !ids.ParseFromString(*stored)) return absl::DataLossError("the store holds an unreadable list of runs");
  for (const uint64_t id : ids.ids()) {
    ASSIGN_OR_RETURN(const auto row, settings_.ledger->ReadNote(RunName(id)));
    v1::ClusterRun run;
    if (!row) continue;  // Its submission was not acknowledged.
    if (!run.ParseFromString(*row)) return absl::DataLossError(absl::StrFormat("the store holds an unreadable run %d", id));
    {
      MutexLock lock(mutex_);
      runs_[id] = run;
    }
    if (IsOver(run.state())) RETURN_IF_ERROR(Close(std::move(run)));  // It was killed just then.
  }
  return absl::OkStatus();
}

absl::Status RunKeeper::EraseShards(uint64_t run) {
  RETURN_IF_ERROR(settings_.ledger->shards().Cancel(run));
  return settings_.ledger->shards().Erase(run);
}

absl::StatusOr<ShardTable::Counts> RunKeeper::CountShards(v1::ClusterRun* run) const {
  const ShardTable& shards = settings_.ledger->shards();
  ASSIGN_OR_RETURN(const ShardTable::Counts counts, shards.Count(run->id()));
  if (counts == ShardTable::Counts()) {
    return ShardTable::Counts{
        .done = run->shards_done(), .parked = run->shards_parked(), .cancelled = run->shards_cancelled()};
  }
  run->set_shards_done(counts.done);
  run->set_shards_parked(counts.parked);
  run->set_shards_cancelled(counts.cancelled);
  ASSIGN_OR_RETURN(const ShardTable::Counts of, shards.CountRepositories(run->id()));
  v1::RepositoryCounts& repositories = *run->mutable_repositories();
  repositories.set_to_do(of.pending + of.leased);
  repositories.set_done(of.done);
  repositories.set_parked(of.parked);
  repositories.set_cancelled(of.cancelled);
  return counts;
}

absl::StatusOr<std::vector<v1::ClusterStatus::Parked>> RunKeeper::ListParked(uint64_t run) const {
  const ShardTable& shards = settings_.ledger->shards();
  ASSIGN_OR_RETURN(const ShardTable::Counts counts, shards.Count(run));
  std::vector<uint64_t> ids;
  if (counts.parked == 0) return std::vector<v1::ClusterStatus::Parked>();
  RETURN_IF_ERROR(shards.Visit(run, [&](const v1::Shard& shard) {
    if (shard.state() == v1::SHARD_STATE_PARKED && ids.size() < kMaxParked) ids.push_back(shard.id());
  }));
  std::vector<v1::ClusterStatus::Parked> parked;
  for (const uint64_t id : ids) {
    const absl::StatusOr<v1::Shard> read = shards.Read(id);
    if (absl::IsNotFound(read.status())) continue;  // The run has ended meanwhile.
    ASSIGN_OR_RETURN(const v1::Shard shard, read);
    v1::ClusterStatus::Parked& row = parked.emplace_back();
    row.set_shard(shard.id());
    row.set_repository(NameOf(shard, shards));
    row.set_reason(EscapeForTerminal(shard.reason()));
    row.set_attempts(shard.attempts());
  }
  return parked;
}

absl::Status RunKeeper::Close(v1::ClusterRun run) {
  ShardTable& shards = settings_.ledger->shards();
  RETURN_IF_ERROR(shards.Cancel(run.id()));
  ASSIGN_OR_RETURN(const ShardTable::Counts counts, shards.Count(run.id()));
  if (counts != ShardTable::Counts()) {
    RETURN_IF_ERROR(CountShards(&run).status());
    ASSIGN_OR_RETURN(const std::vector<v1::ClusterStatus::Parked> parked, ListParked(run.id()));
    run.mutable_parked()->Assign(parked.begin(), parked.end());
    {
      MutexLock lock(mutex_);
      RETURN_IF_ERROR(settings_.ledger->WriteNote(RunName(run.id()), run.SerializeAsString()));
      runs_[run.id()] = run;
    }
    RETURN_IF_ERROR(shards.Erase(run.id()));
  }
  return settings_.ledger->EraseNote(SettledName(run.id()));
}

absl::Status RunKeeper::WriteIds(uint64_t added) {
  std::vector<uint64_t> forgotten;
  for (; runs_.size() > kMaxRuns && IsOver(runs_.begin()->second.state()); runs_.erase(runs_.begin())) {
    forgotten.push_back(runs_.begin()->first);
  }
  v1::ClusterRuns ids;
  for (const auto& [id, run] : runs_) ids.add_ids(id);
  ids.add_ids(added);
  RETURN_IF_ERROR(settings_.ledger->WriteNote(kIdsName, ids.SerializeAsString()));
  for (const uint64_t id : forgotten) RETURN_IF_ERROR(settings_.ledger->EraseNote(RunName(id)));
  return absl::OkStatus();
}

absl::Status RunKeeper::Write(const v1::ClusterRun& run) {
  MutexLock lock(mutex_);
  const auto before = runs_.find(run.id());
  if (before != runs_.end() && IsOver(before->second.state())) {
    return absl::FailedPreconditionError(absl::StrFormat("run %d is over", run.id()));
  }
  RETURN_IF_ERROR(settings_.ledger->WriteNote(RunName(run.id()), run.SerializeAsString()));
  std::vector<LogField> fields = {{"run", run.id()}, {"state", v1::RunState_Name(run.state())}};
  if (!run.error().empty()) fields.emplace_back("error", run.error());
  Log(LogLevel::kInfo, "run", fields);
  runs_[run.id()] = run;
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status RunKeeper::SetState(v1::ClusterRun& run, v1::RunState state) {
  run.set_state(state);
  if (IsOver(state)) run.set_ended(absl::ToUnixMicros(settings_.clock->Now()));
  return Write(run);
}

// ---- administrators

absl::StatusOr<uint64_t> RunKeeper::Submit(const v1::RunPlan& plan, const std::string& token) {
  MutexLock one_by_one(submitting_);  // One that is sent again finds the first.
  {
    MutexLock lock(mutex_);
    for (const auto& [id, run] : runs_) {
      if (!token.empty() && run.token() == token) return id;
    }
  }
  ASSIGN_OR_RETURN(const std::vector<TargetGroup> groups, GroupsOf(plan, *settings_.options));
  RETURN_IF_ERROR(SortGroups(groups, stop_).status());
  v1::RunRecord record;
  record.set_started(NowMicros());
  record.set_ruleset(settings_.ruleset->id());
  ASSIGN_OR_RETURN(record, settings_.ledger->StartRun(record));
  v1::ClusterRun run;
  run.set_id(record.id());
  *run.mutable_plan() = plan;
  run.set_token(token);
  run.set_submitted(absl::ToUnixMicros(settings_.clock->Now()));
  {
    MutexLock lock(mutex_);
    RETURN_IF_ERROR(WriteIds(run.id()));
  }
  RETURN_IF_ERROR(SetState(run, v1::RUN_STATE_QUEUED));
  return run.id();
}

absl::Status RunKeeper::Cancel(uint64_t id) {
  v1::ClusterRun run;
  std::shared_ptr<ActiveRun> under_way;
  {
    MutexLock lock(mutex_);
    const auto found = runs_.find(id);
    if (found == runs_.end()) return absl::NotFoundError(absl::StrFormat("there is no run %d", id));
    if (found->second.state() == v1::RUN_STATE_CANCELLED) return absl::OkStatus();  // Sent again.
    if (IsOver(found->second.state()) || found->second.state() == v1::RUN_STATE_REPORTING) {
      return absl::FailedPreconditionError(absl::StrFormat("run %d is over", id));
    }
    run = found->second;
    if (active_ != nullptr && active_->id() == id) under_way = active_;
  }
  RETURN_IF_ERROR(SetState(run, v1::RUN_STATE_CANCELLED));
  if (under_way != nullptr) under_way->Stop();
  return settings_.ledger->shards().Cancel(id);
}

absl::StatusOr<uint64_t> RunKeeper::Retry(uint64_t run, const std::string& repository) {
  MutexLock scanning(retrying_);
  {
    MutexLock lock(mutex_);
    const auto found = runs_.find(run);
    if (found == runs_.end()) return absl::NotFoundError(absl::StrFormat("there is no run %d", run));
    if (found->second.state() != v1::RUN_STATE_SCANNING) {
      return absl::FailedPreconditionError(
          absl::StrFormat("run %d is not scanning: the next run tries again what is missing", run));
    }
  }
  ShardTable& shards = settings_.ledger->shards();
  if (repository.empty()) return shards.Retry(run, 0);
  std::vector<uint64_t> ids;
  RETURN_IF_ERROR(shards.Visit(run, [&](const v1::Shard& shard) {
    if (shard.kind() == v1::SHARD_KIND_REPOSITORY) ids.push_back(shard.id());
  }));
  for (const uint64_t id : ids) {
    ASSIGN_OR_RETURN(const v1::Shard shard, shards.Read(id));
    v1::ShardPayload payload;
    if (!payload.ParseFromString(shard.payload())) continue;
    if (payload.target().name() == repository || payload.target().url() == repository) return shards.Retry(run, id);
  }
  return absl::NotFoundError(absl::StrFormat("no repository of run %d is called %s", run, repository));
}

absl::StatusOr<v1::ClusterStatus> RunKeeper::Status(uint64_t id) {
  ShardTable& shards = settings_.ledger->shards();
  v1::ClusterStatus status;
  const absl::Time now = settings_.clock->Now();
  status.set_now(absl::ToUnixMicros(now));
  ASSIGN_OR_RETURN(const std::vector<ShardTable::Worker> workers, shards.Workers(now));
  uint64_t bytes = 0, done = 0;
  absl::Time since;
  ShardTable::Counts counts;
  if (id == 0) {
    MutexLock lock(mutex_);
    if (!runs_.empty()) id = active_ != nullptr ? active_->id() : runs_.rbegin()->first;
  }
  // First: when it is over, its row has them before its shards are erased.
  ASSIGN_OR_RETURN(const std::vector<v1::ClusterStatus::Parked> parked, ListParked(id));
  {
    MutexLock lock(mutex_);
    const auto found = runs_.find(id);
    if (id != 0 && found == runs_.end()) return absl::NotFoundError(absl::StrFormat("there is no run %d", id));
    if (id != 0) {
      *status.mutable_run() = found->second;
      // Under the lock: its shards are erased only after they were counted in runs_.
      ASSIGN_OR_RETURN(counts, CountShards(status.mutable_run()));
    }
    status.set_step(step_);
    for (const auto& [other, run] : runs_) {
      if (run.state() == v1::RUN_STATE_QUEUED && other != id) *status.add_queued() = run;
    }
    for (auto run = runs_.rbegin(); run != runs_.rend() && status.last_size() < kMaxLast; ++run) {
      if (!IsOver(run->second.state()) || run->first == id) continue;
      v1::ClusterRun& last = *status.add_last();
      last = run->second;
      last.clear_plan();
      last.clear_token();
      last.clear_parked();
    }
    ForgetOldRates(now);
    since = active_since_;
    for (const auto& [time, size] : done_) {
      ++done;
      bytes += size;
    }
    for (const ShardTable::Worker& live : workers) {
      const WorkerFacts& facts = workers_[live.name];
      v1::ClusterStatus::Worker& worker = *status.add_workers();
      worker.set_name(live.name);
      worker.set_threads(facts.joined.threads());
      worker.set_program(facts.joined.program());
      if (live.seen != absl::InfinitePast()) worker.set_seen(absl::ToUnixMicros(live.seen));
      worker.set_shards_done(facts.shards_done);
      for (const ShardTable::Held& held : live.held) {
        v1::ClusterStatus::Lease& lease = *worker.add_leases();
        lease.set_shard(held.shard);
        lease.set_until(absl::ToUnixMicros(held.until));
        lease.set_credentials(held.given != v1::CREDENTIALS_NONE);
        lease.set_unscoped(lease.credentials() && held.given != v1::CREDENTIALS_SCOPED);
        if (const auto lent = lent_.find(held.shard); lent != lent_.end()) {
          lease.set_repository(lent->second->name());
        }
        if (const auto said = facts.held.find(held.shard); said != facts.held.end()) {
          lease.set_phase(said->second.phase());
          *lease.mutable_progress() = said->second.progress();
        }
      }
    }
  }
  for (v1::ClusterStatus::Worker& worker : *status.mutable_workers()) {
    for (v1::ClusterStatus::Lease& lease : *worker.mutable_leases()) {
      if (!lease.repository().empty()) continue;
      // Not taken up again since the restart.
      const absl::StatusOr<v1::Shard> shard = shards.Read(lease.shard());
      if (shard.ok()) lease.set_repository(NameOf(*shard, shards));
    }
  }
  if (id == 0) return status;
  status.set_pending(counts.pending);
  status.set_leased(counts.leased);
  status.set_done(counts.done);
  status.set_parked_count(counts.parked);
  status.set_cancelled(counts.cancelled);
  const double seconds = std::max(1.0, absl::ToDoubleSeconds(std::min(kRateWindow, now - since)));
  status.set_shards_per_second(static_cast<double>(done) / seconds);
  status.set_bytes_per_second(static_cast<double>(bytes) / seconds);
  status.set_seconds_left(done == 0 ? -1
                                    : static_cast<double>(counts.pending + counts.leased) /
                                          status.shards_per_second());
  status.mutable_parked()->Swap(status.mutable_run()->mutable_parked());
  if (status.parked().empty()) status.mutable_parked()->Assign(parked.begin(), parked.end());
  return status;
}

RunKeeper::Figures RunKeeper::figures() {
  const absl::Time now = settings_.clock->Now();
  Figures figures{.runs = {}, .oldest_lease = absl::ZeroDuration()};
  const absl::StatusOr<std::vector<ShardTable::Worker>> workers = settings_.ledger->shards().Workers(now);
  MutexLock lock(mutex_);
  for (const auto& [id, run] : runs_) ++figures.runs[run.state()];
  if (!workers.ok()) return figures;
  for (const ShardTable::Worker& worker : *workers) {
    for (const ShardTable::Held& held : worker.held) {
      const auto lent = lent_.find(held.shard);
      if (lent != lent_.end() && lent->second->lease().epoch == held.epoch) {
        figures.oldest_lease = std::max(figures.oldest_lease, now - lent->second->since());
      } else if (worker.seen == absl::InfinitePast()) {
        figures.oldest_lease = std::max(figures.oldest_lease, now - started_);
      }
    }
  }
  return figures;
}

std::filesystem::path RunKeeper::DirOf(uint64_t run) const {
  return std::filesystem::path(settings_.options->output_dir) / absl::StrFormat("run-%d", run);
}

absl::StatusOr<std::filesystem::path> RunKeeper::ReportDir(uint64_t* run) {
  MutexLock lock(mutex_);
  uint64_t& id = *run;
  if (id == 0) {
    for (const auto& [other, row] : runs_) {
      if (row.state() == v1::RUN_STATE_DONE) id = other;
    }
    if (id == 0) return absl::NotFoundError("no run is done yet");
  }
  const auto found = runs_.find(id);
  if (found == runs_.end()) return absl::NotFoundError(absl::StrFormat("there is no run %d", id));
  if (const v1::RunState state = found->second.state(); state != v1::RUN_STATE_DONE) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "run %d %s", id, IsOver(state) ? "was cancelled, or failed: it has no report" : "has no report yet"));
  }
  std::error_code error;
  if (!std::filesystem::exists(DirOf(id), error)) {
    return absl::NotFoundError(
        absl::StrFormat("the report of run %d is kept no longer: those of the last %d are", id, kMaxReports));
  }
  return DirOf(id);
}

// ---- the runs

std::shared_ptr<ActiveRun> RunKeeper::active() {
  MutexLock lock(mutex_);
  return active_;
}

std::optional<v1::ClusterRun> RunKeeper::NextRun() {
  MutexLock lock(mutex_);
  while (!stop_) {
    for (const auto& [id, run] : runs_) {
      if (!IsOver(run.state())) return run;
    }
    changed_.wait_for(mutex_, kTick);
  }
  return std::nullopt;
}

void RunKeeper::Work() {
  while (std::optional<v1::ClusterRun> run = NextRun()) Execute(*std::move(run));
}

void RunKeeper::Execute(v1::ClusterRun run) {
  absl::Status carried = Carry(run);
  std::map<uint64_t, std::shared_ptr<LentShard>> lent;  // destroyed without the lock
  {
    MutexLock lock(mutex_);
    active_ = nullptr;
    step_.clear();
    lent.swap(lent_);
    if (stop_) return;
    const auto now = runs_.find(run.id());
    if (now != runs_.end() && now->second.state() == v1::RUN_STATE_CANCELLED) run = now->second;
  }
  const bool unlisted = run.state() == v1::RUN_STATE_QUEUED || run.state() == v1::RUN_STATE_LISTING;
  if (unlisted && absl::IsResourceExhausted(carried)) {
    // It is listed again when there is room.
  } else if (run.state() != v1::RUN_STATE_CANCELLED && !carried.ok()) {
    run.set_error(EscapeForTerminal(std::string(carried.message())));
    carried = SetState(run, v1::RUN_STATE_FAILED);
  } else {
    carried = absl::OkStatus();
  }
  // What cannot be written is not so: the run goes on as soon as the store takes something again.
  if (!carried.ok()) {
    (void)WaitForStore(run.id(), carried);
    return;
  }
  while (!stop_) {
    const absl::Status closed = Close(run);
    if (closed.ok()) return;
    (void)WaitForStore(run.id(), closed);
  }
}

absl::Status RunKeeper::Carry(v1::ClusterRun& run) {
  if (run.started() == 0) run.set_started(NowMicros());
  const auto say = [id = run.id()](const std::string& line) {
    Log(LogLevel::kInfo, "listing", {{"run", id}, {"said", line}});
  };
  const auto say_step = [this](const std::string& step) {
    MutexLock lock(mutex_);
    step_ = step;
  };
  const auto end = [this, id = run.id()](std::optional<RepositoryOutcome> outcome, const PassCounters& counters,
                                         const ShardLease* lease) {
    return ShardEnded(id, std::move(outcome), counters, *lease);
  };
  ASSIGN_OR_RETURN(std::shared_ptr<ActiveRun> active, ActiveRun::Make(run, settings_, end, say, say_step));
  // Begun under other rules, say, it is begun again.
  if (const std::string basis = active->Basis(); run.state() == v1::RUN_STATE_QUEUED || run.listed_under() != basis) {
    run.set_listed_under(basis);
    run.clear_repositories();
    RETURN_IF_ERROR(SetState(run, v1::RUN_STATE_LISTING));
  }
  if (run.state() == v1::RUN_STATE_LISTING) {
    RETURN_IF_ERROR(EraseShards(run.id()));  // What a listing that was interrupted left.
  }
  // From here on shards are lent: what there is of them was listed under this configuration.
  {
    MutexLock lock(mutex_);
    if (stop_ || runs_[run.id()].state() == v1::RUN_STATE_CANCELLED) return absl::OkStatus();
    active_ = active;
    active_since_ = settings_.clock->Now();
    done_.clear();
  }
  if (run.state() == v1::RUN_STATE_LISTING) {
    ASSIGN_OR_RETURN(*run.mutable_repositories(), active->List());
    RETURN_IF_ERROR(SetState(run, v1::RUN_STATE_SCANNING));
  }
  while (run.state() == v1::RUN_STATE_SCANNING) {
    if (const absl::Status looked = EndScanning(run); MayPass(looked) ? !WaitForStore(run.id(), looked) : !looked.ok()) {
      return looked;
    }
    MutexLock lock(mutex_);
    if (stop_ || runs_[run.id()].state() == v1::RUN_STATE_CANCELLED) return absl::OkStatus();
    if (run.state() == v1::RUN_STATE_SCANNING) changed_.wait_for(mutex_, kTick);
  }
  absl::Status reported = Report(run, *active);
  // A full disk may be full for days.
  for (int i = 0; (i < kReportTries || absl::IsResourceExhausted(reported)) && MayPass(reported) &&
                  WaitForStore(run.id(), reported); ++i) {
    reported = Report(run, *active);
  }
  return reported;
}

// Goes on to REPORTING if no shard is left.
absl::Status RunKeeper::EndScanning(v1::ClusterRun& run) {
  MutexLock scanning(retrying_);
  ShardTable& shards = settings_.ledger->shards();
  RETURN_IF_ERROR(shards.Expire(settings_.clock->Now()));
  ASSIGN_OR_RETURN(const ShardTable::Counts counts, shards.Count(run.id()));
  if (!counts.over()) return absl::OkStatus();
  v1::ClusterRun next = run;
  RETURN_IF_ERROR(SetState(next, v1::RUN_STATE_REPORTING));
  run = next;
  return absl::OkStatus();
}

bool RunKeeper::WaitForStore(uint64_t run, const absl::Status& why) {
  Log(LogLevel::kError, "run_held_up", {{"run", run}, {"error", why}});
  (void)Pause(kStorePause, &stop_);
  MutexLock lock(mutex_);
  return !stop_ && runs_[run].state() != v1::RUN_STATE_CANCELLED;
}

absl::Status RunKeeper::Report(v1::ClusterRun& run, const ActiveRun& active) {
  bool internal_error = false;
  ASSIGN_OR_RETURN(ReportInput input, active.Collect(&internal_error));
  input.run.finished_us = std::max(run.started(), absl::ToUnixMicros(settings_.clock->Now()));
  v1::RunRecord record;
  record.set_id(run.id());
  record.set_started(run.started());
  record.set_ruleset(settings_.ruleset->id());
  std::error_code error;
  std::filesystem::create_directories(settings_.options->output_dir, error);
  const ScanOptions& options = *settings_.options;
  ASSIGN_OR_RETURN(const ReportTotals totals,
                   ReportRun(std::move(input), record, DirOf(run.id()), options.webhook, *settings_.ledger));
  const absl::Status called = SettleWebhook(options.webhook, options.network, *settings_.ledger, &stop_);
  if (!called.ok()) Log(LogLevel::kWarning, "webhook_later", {{"run", run.id()}, {"error", called}});
  run.set_complete(totals.complete);
  run.set_incidents(totals.incidents);
  run.mutable_by_severity()->Assign(std::begin(totals.by_severity), std::end(totals.by_severity));
  run.set_has_news(totals.changes.HasNews());
  run.set_internal_error(internal_error);
  RETURN_IF_ERROR(SetState(run, v1::RUN_STATE_DONE));
  std::vector<uint64_t> reported;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, row] : runs_) {
      if (row.state() == v1::RUN_STATE_DONE) reported.push_back(id);
    }
  }
  for (size_t i = 0; i + kMaxReports < reported.size(); ++i) std::filesystem::remove_all(DirOf(reported[i]), error);
  return absl::OkStatus();
}

// ---- workers

absl::Status RunKeeper::Admit(const std::string& worker) {
  {
    MutexLock lock(mutex_);
    if (workers_.contains(worker)) return absl::OkStatus();
    if (workers_.size() < kMaxWorkers) {
      workers_.try_emplace(worker);
      return absl::OkStatus();
    }
  }
  ASSIGN_OR_RETURN(const std::vector<ShardTable::Worker> live, settings_.ledger->shards().Workers(settings_.clock->Now()));
  std::set<std::string> names;
  for (const ShardTable::Worker& one : live) names.insert(one.name);
  MutexLock lock(mutex_);
  std::erase_if(workers_, [&](const auto& known) { return !names.contains(known.first); });
  if (workers_.size() >= kMaxWorkers) {
    return absl::ResourceExhaustedError(absl::StrFormat("%d workers are here, and a coordinator serves no more: end "
                                                        "some, or start another coordinator", kMaxWorkers));
  }
  workers_.try_emplace(worker);
  return absl::OkStatus();
}

absl::Status RunKeeper::Join(const v1::JoinRequest& request) {
  v1::JoinRequest joined;
  joined.set_worker(request.worker());
  joined.set_threads(request.threads());
  joined.set_program(ShortenEnd(EscapeForTerminal(request.program()), kMaxShownBytes));
  Log(LogLevel::kInfo, "joined",
      {{"worker", joined.worker()}, {"threads", joined.threads()}, {"program", joined.program()}});
  MutexLock lock(mutex_);
  workers_[joined.worker()].joined = std::move(joined);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<LentShard>> RunKeeper::Open(const v1::Shard& shard) {
  const std::shared_ptr<ActiveRun> run = active();
  if (run == nullptr || run->id() != shard.run()) {
    // Or not under way yet, after a restart.
    return absl::UnavailableError(absl::StrFormat("run %d is not under way", shard.run()));
  }
  ShardTable& shards = settings_.ledger->shards();
  ASSIGN_OR_RETURN(const v1::PlannedTarget planned, TargetOf(shard, shards));
  LocalLease::Shard lease;
  lease.fence = {.worker = shard.worker(), .shard = shard.id(), .epoch = shard.epoch()};
  lease.part = shard.kind() == v1::SHARD_KIND_PART;
  if (lease.part) {
    ASSIGN_OR_RETURN(v1::ShardPayload payload, PayloadOf(shard));
    lease.only = std::move(*payload.mutable_blobs());
  } else if (!shard.cut()) {
    ASSIGN_OR_RETURN(const bool several, shards.HasSeveralWorkers(settings_.clock->Now()));
    lease.cut_bytes = several ? settings_.cut_bytes : 0;
  }
  ASSIGN_OR_RETURN(RemoteTarget target, run->sources().FromProto(planned));
  auto lent = std::make_shared<LentShard>(run, std::move(target), planned.lender(), std::move(lease));
  RETURN_IF_ERROR(lent->LookUp());
  std::shared_ptr<LentShard> before;  // destroyed without the lock
  MutexLock lock(mutex_);
  std::shared_ptr<LentShard>& kept = lent_[shard.id()];
  // Two calls may have asked for it, and meanwhile it may have been given back and lent to another.
  if (kept == nullptr || kept->lease().epoch < shard.epoch()) before = std::exchange(kept, lent);
  if (before != nullptr) settings_.metrics->Held(settings_.clock->Now() - before->since());  // It ran out.
  if (kept->lease() == lent->lease()) return kept;
  return absl::AbortedError(absl::StrFormat("shard %d was lent again meanwhile", shard.id()));
}

absl::StatusOr<v1::AcquireReply> RunKeeper::Acquire(const v1::AcquireRequest& request) {
  {
    MutexLock lock(mutex_);
    while (workers_[request.worker()].asking.contains(request.nonce())) changed_.wait(mutex_);
    WorkerFacts& facts = workers_[request.worker()];
    for (const auto& [nonce, reply] : facts.lent) {
      if (nonce == request.nonce()) return reply;  // Sent again.
    }
    // Late: nobody would learn of what it is lent now.
    if (std::find(facts.answered.begin(), facts.answered.end(), request.nonce()) != facts.answered.end()) {
      return LendNothing();
    }
    facts.asking.insert(request.nonce());
  }
  absl::StatusOr<v1::AcquireReply> reply = Lend(request);
  MutexLock lock(mutex_);
  WorkerFacts& facts = workers_[request.worker()];
  facts.asking.erase(request.nonce());
  changed_.notify_all();
  if (!reply.ok()) return reply;
  facts.answered.push_back(request.nonce());
  if (facts.answered.size() > kMaxAnswered) facts.answered.pop_front();
  if (!reply->has_shard()) return reply;
  facts.lent.emplace_back(request.nonce(), *reply);
  if (facts.lent.size() > kMaxRemembered) facts.lent.pop_front();
  return reply;
}

v1::AcquireReply RunKeeper::LendNothing() const {
  v1::AcquireReply reply;
  reply.set_ruleset_id(settings_.ruleset->id());
  // A crowd of idle workers asks hardly more often than a few.
  reply.set_retry_ms(static_cast<uint32_t>(100 + 2 * workers_.size()));
  return reply;
}

absl::StatusOr<v1::AcquireReply> RunKeeper::Lend(const v1::AcquireRequest& request) {
  const std::string& worker = request.worker();
  v1::AcquireReply reply;
  reply.set_ruleset_id(settings_.ruleset->id());
  ShardTable& shards = settings_.ledger->shards();
  for (;;) {
    std::optional<v1::Shard> shard;
    const absl::Time now = settings_.clock->Now();
    // After a restart there are shards before their run is under way.
    if (active() != nullptr) {
      ASSIGN_OR_RETURN(shard, shards.Acquire(worker, request.ahead(), now));
    } else {
      RETURN_IF_ERROR(shards.Renew(worker, {}, now).status());  // It lives.
    }
    if (!shard) {
      MutexLock lock(mutex_);
      return LendNothing();
    }
    const ShardLease lease = {.worker = worker, .shard = shard->id(), .epoch = shard->epoch()};
    const absl::StatusOr<std::shared_ptr<LentShard>> opened = Open(*shard);
    absl::StatusOr<v1::LentShard> lent = opened.ok() ? (*opened)->ToProto() : opened.status();
    if (lent.ok()) {
      settings_.metrics->Lent();
      *reply.mutable_shard() = *std::move(lent);
      reply.mutable_shard()->set_run(shard->run());
      reply.mutable_shard()->set_attempt(shard->attempts() + 1);
      Log(LogLevel::kDebug, "lent",
          LeaseFields(shard->run(), lease,
                      {{"attempt", shard->attempts() + 1}, {"repository", shard->repository()},
                       {"name", (*opened)->name()}}));
      return reply;
    }
    // No fault of the shard: a limit of its forge is not over, or its run is stopping.
    if (absl::IsDeadlineExceeded(lent.status()) || absl::IsCancelled(lent.status())) {
      const absl::Status back = GiveBack(lease);
      if (!back.ok() && !absl::IsAborted(back)) return back;
      reply.set_retry_ms(kNotYetMs);
      return reply;
    }
    // What it needs is not to be had now.
    const absl::Status failed = Fail(lease, v1::ERROR_CLASS_RETRY, std::string(lent.status().message()));
    if (!failed.ok() && !absl::IsAborted(failed)) return failed;  // Aborted: its run was cancelled meanwhile.
  }
}

absl::StatusOr<v1::RenewReply> RunKeeper::Renew(const v1::RenewRequest& request) {
  std::vector<ShardTable::Renewal> renewals;
  for (const v1::RenewRequest::Held& held : request.held()) {
    renewals.push_back({.shard = held.shard(), .epoch = held.epoch(), .fetching = held.fetching()});
  }
  v1::RenewReply reply;
  if (!renewals.empty()) {
    ASSIGN_OR_RETURN(const std::vector<bool> held,
                     settings_.ledger->shards().Renew(request.worker(), renewals, settings_.clock->Now()));
    for (const bool one : held) reply.add_held(one);
  }
  MutexLock lock(mutex_);
  WorkerFacts& facts = workers_[request.worker()];
  reply.set_join_again(facts.joined.worker().empty());
  facts.held.clear();
  for (int i = 0; i < request.held_size(); ++i) {
    if (!reply.held(i)) continue;
    v1::RenewRequest::Held& one = facts.held[request.held(i).shard()] = request.held(i);
    one.set_phase(ShortenEnd(EscapeForTerminal(one.phase()), kMaxShownBytes));
  }
  return reply;
}

absl::StatusOr<std::shared_ptr<LentShard>> RunKeeper::Find(const v1::LeaseRef& ref) {
  const ShardLease lease = LeaseOf(ref);
  ShardTable& shards = settings_.ledger->shards();
  RETURN_IF_ERROR(shards.Fenced(lease, [] { return absl::OkStatus(); }));
  {
    MutexLock lock(mutex_);
    const auto found = lent_.find(lease.shard);
    if (found != lent_.end() && found->second->lease() == lease) return found->second;
  }
  ASSIGN_OR_RETURN(v1::Shard shard, shards.Read(lease.shard));
  shard.set_worker(lease.worker);
  shard.set_epoch(lease.epoch);
  absl::StatusOr<std::shared_ptr<LentShard>> lent = Open(shard);
  const absl::Status& why = lent.status();
  if (lent.ok() || absl::IsAborted(why) || absl::IsCancelled(why) || MayPass(why)) return lent;
  // After a restart its forge has no token any more, say: nothing that its worker has done.
  RETURN_IF_ERROR(Fail(lease, v1::ERROR_CLASS_RETRY, std::string(lent.status().message())));
  return absl::AbortedError(lent.status().message());
}

absl::Status RunKeeper::Release(const v1::LeaseRef& ref) { return GiveBack(LeaseOf(ref)); }

absl::Status RunKeeper::GiveBack(const ShardLease& lease, const std::string& home) {
  Forget(lease);
  ShardTable& shards = settings_.ledger->shards();
  const absl::StatusOr<v1::Shard> shard = shards.Read(lease.shard);  // Its run may not be under way yet.
  RETURN_IF_ERROR(shards.Release(lease, settings_.clock->Now(), home));
  if (!shard.ok()) return absl::OkStatus();
  if (home.empty()) {
    LogLease("given_back", shard->run(), lease);
  } else {
    Log(LogLevel::kInfo, "sent_home",
        LeaseFields(shard->run(), lease, {{"repository", shard->repository()}, {"home", home}}));
  }
  return absl::OkStatus();
}

void RunKeeper::Forget(const ShardLease& lease) {
  std::shared_ptr<LentShard> lent;  // destroyed without the lock
  MutexLock lock(mutex_);
  const auto found = lent_.find(lease.shard);
  if (found == lent_.end() || found->second->lease() != lease) return;
  lent = std::move(found->second);
  lent_.erase(found);
  settings_.metrics->Held(settings_.clock->Now() - lent->since());
}

absl::Status RunKeeper::End(const v1::EndRequest& request) {
  const v1::LeaseRef& ref = request.lease();
  v1::TargetEnd end = request.end();
  if (end.reason().size() > kMaxReasonBytes) end.mutable_reason()->resize(kMaxReasonBytes);
  const ShardLease lease = LeaseOf(ref);
  const absl::StatusOr<std::shared_ptr<LentShard>> lent = Find(ref);
  if (!lent.ok()) {
    // Perhaps it was said before, and the answer was lost.
    return absl::IsAborted(lent.status()) && IsDone(lease) ? absl::OkStatus() : lent.status();
  }
  RETURN_IF_ERROR((*lent)->CheckRepository(request.repository()));
  absl::Status ended;
  const bool failed = end.how() == v1::TargetEnd::FAILED;
  const bool denied = end.how() == v1::TargetEnd::REFUSED &&
                      static_cast<absl::StatusCode>(end.code()) == absl::StatusCode::kPermissionDenied;
  if ((failed && (MayPass(static_cast<absl::StatusCode>(end.code())) || (*lent)->part())) || denied) {
    ended = Fail(lease, denied ? v1::ERROR_CLASS_DENIED : v1::ERROR_CLASS_RETRY, end.reason());
  } else {
    ended = (*lent)->End(end);
    // Whatever it is, it costs an attempt, or the shard would be lent for ever.
    if (absl::IsInternal(ended) || absl::IsDataLoss(ended)) {
      ended = Fail(lease, v1::ERROR_CLASS_RETRY, std::string(ended.message()));
    }
  }
  if (!absl::IsFailedPrecondition(ended)) Forget(lease);
  return ended;
}

bool RunKeeper::IsDone(const ShardLease& lease) const {
  const absl::StatusOr<v1::Shard> shard = settings_.ledger->shards().Read(lease.shard);
  return shard.ok() && shard->state() == v1::SHARD_STATE_DONE && shard->worker() == lease.worker &&
         shard->epoch() == lease.epoch;
}

absl::StatusOr<v1::BeginReply> RunKeeper::Begin(const v1::BeginRequest& request) {
  if (request.nonce() == 0) return absl::InvalidArgumentError("a pass without a nonce");
  ASSIGN_OR_RETURN(const std::shared_ptr<LentShard> lent, Find(request.lease()));
  RETURN_IF_ERROR(lent->CheckRepository(request.repository()));
  if (const std::string home = lent->MayHaveMore(request.beginning()); !home.empty()) {
    ASSIGN_OR_RETURN(const v1::Shard shard, settings_.ledger->shards().Read(request.lease().shard()));
    if (!shard.home_only()) {  // Else that worker was asked, or is no more.
      RETURN_IF_ERROR(GiveBack(LeaseOf(request.lease()), home));
      return absl::AbortedError("another worker's mirror may have more of it");
    }
  }
  if (request.ruleset_id() == settings_.ruleset->id()) return lent->Begin(request);
  // This coordinator was started again, with other rules: what the worker finds would be of the old ones.
  RETURN_IF_ERROR(Release(request.lease()));
  return absl::AbortedError("the coordinator has other rules by now");
}

absl::Status RunKeeper::Fail(const ShardLease& lease, v1::ErrorClass error, const std::string& reason) {
  ASSIGN_OR_RETURN(const v1::Shard shard, settings_.ledger->shards().Fail(lease, error, reason, settings_.clock->Now()));
  const bool parked = shard.state() == v1::SHARD_STATE_PARKED;
  settings_.metrics->Failed(error, parked);
  Log(LogLevel::kWarning, parked ? "parked" : "failed",
      LeaseFields(shard.run(), lease,
                  {{"repository", shard.repository()}, {"class", ErrorWord(error)}, {"attempts", shard.attempts()},
                   {"reason", reason}}));
  return absl::OkStatus();
}

void RunKeeper::ForgetOldRates(absl::Time now) {
  while (!done_.empty() && now - done_.front().first > kRateWindow) done_.pop_front();
}

absl::Status RunKeeper::ShardEnded(uint64_t run, std::optional<RepositoryOutcome> outcome,
                                   const PassCounters& counters, const ShardLease& lease) {
  const std::string result = outcome ? ToProto(*outcome, counters).SerializeAsString() : "";
  RETURN_IF_ERROR(settings_.ledger->shards().Complete(lease, result, settings_.clock->Now()));
  settings_.metrics->Completed();
  LogLease("done", run, lease);
  if (outcome && !IsWhole(outcome->status)) {
    Log(LogLevel::kWarning, "not_covered",
        LeaseFields(run, lease, {{"name", outcome->name}, {"status", Name(outcome->status)}, {"reason", outcome->reason}}));
  }
  MutexLock lock(mutex_);
  ++workers_[lease.worker].shards_done;
  const absl::Time now = settings_.clock->Now();
  ForgetOldRates(now);
  done_.emplace_back(now, counters.bytes_resolved);
  changed_.notify_all();
  return absl::OkStatus();
}

}  // namespace unsprawl
