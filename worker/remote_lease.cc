#include "worker/remote_lease.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "engine/base/status.h"
#include "worker/clone_url.h"
#include "worker/log.h"
#include "worker/mirror.h"

namespace unsprawl {
namespace {

using Stub = v1::WorkerService::Stub;
using Clock = std::chrono::steady_clock;  // Nobody can set it.

// What has been fetched is said so soon, together with what else was.
constexpr std::chrono::milliseconds kRenewSoon{200};
constexpr std::chrono::seconds kGiveBackDeadline{3};

absl::Status FromFailure(const v1::Failure& failure) {
  if (failure.code() == 0) return absl::UnknownError("the coordinator says why it failed, and that it did not");
  return absl::Status(static_cast<absl::StatusCode>(failure.code()), failure.message());
}

// A forge's limit, which RenewTokens waits for.
bool NotYet(const v1::Failure& refused) {
  return static_cast<absl::StatusCode>(refused.code()) == absl::StatusCode::kDeadlineExceeded;
}

// Whether a coordinator's word for a folder stays below that of mirrors.
bool StaysBelow(const std::string& folder) {
  const std::filesystem::path path(folder);
  return path.is_relative() && std::find(path.begin(), path.end(), "..") == path.end();
}

// A coordinator decides what is fetched, not what is read and written on this machine besides.
absl::Status CheckLent(const v1::LentShard& shard) {
  const v1::LentTarget& target = shard.target();
  if (target.folder().empty() || !StaysBelow(target.folder()) || !StaysBelow(shard.lender())) {
    return absl::InvalidArgumentError("the coordinator names a folder that is not below that of mirrors");
  }
  // What is gone is asked for nowhere, and may have no address.
  const bool is_gone = !target.gone().empty() && target.url().empty();
  return is_gone || IsRemoteUrl(target.url())
             ? absl::OkStatus()
             : absl::InvalidArgumentError("the coordinator names a repository of this machine");
}

uint64_t NewNonce() {
  std::random_device random;
  return (uint64_t{random()} << 32 | random()) | 1;  // Never 0.
}

}  // namespace

class RemoteLease : public Lease {
 public:
  RemoteLease(v1::LentShard lent, RemoteLeases& source, std::shared_ptr<std::atomic<bool>> lost)
      : Lease(std::move(*lent.mutable_target())), lent_(std::move(lent)), source_(source), lost_(std::move(lost)) {}
  ~RemoteLease() override {
    if (!ended_ && !cut_) is_lost() ? Note(LogLevel::kWarning, "lost") : GiveBack();
    source_.Drop(lent_.lease());
  }

  bool is_lost() const override { return *lost_; }
  bool TakeRestart() override { return std::exchange(restart_, false) && !is_lost(); }

  absl::StatusOr<v1::KnownTarget> LookUp() override { return lent_.known(); }

  absl::StatusOr<std::vector<std::string>> Authorizations() override {
    if (NotYet(lent_.refused())) RETURN_IF_ERROR(RenewTokens());
    if (lent_.has_refused()) return FromFailure(lent_.refused());
    return std::vector<std::string>(lent_.authorizations().begin(), lent_.authorizations().end());
  }

  absl::Status RenewTokens() override {
    v1::TokensReply reply;
    RETURN_IF_ERROR(Call(&Stub::RenewTokens, Request(), &reply));
    if (!reply.renewed()) return absl::PermissionDeniedError("there are no other tokens");
    lent_.clear_refused();
    if (reply.has_refused()) lent_.mutable_refused()->Swap(reply.mutable_refused());
    *lent_.mutable_authorizations() = reply.authorizations();
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> AskForge() override {
    v1::ForgeReply reply;
    RETURN_IF_ERROR(Call(&Stub::AskForge, Request(), &reply));
    if (reply.failure().code() != 0) return FromFailure(reply.failure());
    return reply.url().empty() || IsRemoteUrl(reply.url()) ? reply.url() : "";
  }

  absl::StatusOr<v1::DroppedCommits> ListDropped(const v1::FetchNote& before) override {
    v1::ListDroppedRequest request;
    *request.mutable_lease() = lent_.lease();
    *request.mutable_before() = before;
    v1::DroppedCommits reply;
    RETURN_IF_ERROR(Call(&Stub::ListDropped, request, &reply));
    return reply;
  }

  absl::StatusOr<std::string> Lender() override { return lent_.lender(); }
  void EndFetch() override {
    if (!std::exchange(fetched_, true)) {
      source_.worker_.metrics->Fetched(seconds());
      Note(LogLevel::kDebug, "fetch_ended", {{"seconds", seconds()}});
    }
    source_.SetStage(lent_.lease(), RemoteLeases::Stage::kReady);
  }

  absl::StatusOr<v1::PassBegun> Begin(const v1::PassBeginning& beginning) override {
    source_.SetStage(lent_.lease(), RemoteLeases::Stage::kScanning);
    nonce_ = NewNonce();
    sequence_ = 0;
    v1::BeginRequest request;
    *request.mutable_lease() = lent_.lease();
    *request.mutable_beginning() = beginning;
    request.set_nonce(nonce_);
    request.set_repository(target().key());
    request.set_ruleset_id(source_.worker_.ruleset_id);
    v1::BeginReply reply;
    RETURN_IF_ERROR(Call(&Stub::Begin, request, &reply));
    return std::move(*reply.mutable_begun());
  }

  absl::StatusOr<v1::LookupAnswer> Lookup(const v1::LookupRequest& lookup) override {
    v1::ShardEvent event;
    *event.mutable_lookup() = lookup;
    ASSIGN_OR_RETURN(v1::ShardCommand command, Tell(&event));
    if (!command.has_lookup()) return absl::InternalError("a coordinator answered a lookup with something else");
    return std::move(*command.mutable_lookup());
  }

  absl::Status TakeBlobs(v1::BlobBatch* batch) override {
    v1::ShardEvent event;
    event.mutable_blobs()->Swap(batch);
    return Tell(&event).status();
  }

  absl::Status TakePiece(const v1::Piece& piece) override {
    v1::ShardEvent event;
    *event.mutable_piece() = piece;
    return Tell(&event).status();
  }

  absl::Status Cut() override {
    v1::ShardEvent event;
    event.mutable_scan_cut();
    RETURN_IF_ERROR(Tell(&event).status());
    Note(LogLevel::kInfo, "cut");
    *lost_ = cut_ = true;
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<v1::LocateShard>> CompleteScan(const v1::ScanCompleted& completed) override {
    source_.SetStage(lent_.lease(), RemoteLeases::Stage::kLocating);
    source_.worker_.metrics->Scanned(completed);
    Note(LogLevel::kDebug, "scanned",
         {{"blobs", completed.blobs_scanned()}, {"bytes", completed.bytes_resolved()},
          {"seconds", completed.scan_seconds()}});
    v1::ShardEvent event;
    *event.mutable_scan_completed() = completed;
    return NextLocate(&event);
  }

  absl::Status TakeCommits(const v1::CommitBatch& commits) override {
    v1::ShardEvent event;
    *event.mutable_commits() = commits;
    return Tell(&event).status();
  }

  absl::Status TakePlaces(const v1::PlaceBatch& places) override {
    v1::ShardEvent event;
    *event.mutable_places() = places;
    return Tell(&event).status();
  }

  absl::StatusOr<std::optional<v1::LocateShard>> CompleteLocate(const v1::LocateCompleted& completed) override {
    v1::ShardEvent event;
    *event.mutable_locate_completed() = completed;
    return NextLocate(&event);
  }

  absl::Status End(const v1::TargetEnd& end) override {
    // No fault of the repository: another worker, or this one with others, will scan it.
    if (end.how() == v1::TargetEnd::FAILED && !source_.worker_.scanners->alive()) {
      return absl::UnavailableError("the process that forks scanners has ended");
    }
    v1::EndRequest request;
    *request.mutable_lease() = lent_.lease();
    *request.mutable_end() = end;
    request.set_repository(target().key());
    v1::EndReply reply;
    absl::Status ended = Call(&Stub::End, request, &reply);
    if (absl::IsResourceExhausted(ended) && !is_lost() && !*source_.worker_.stop) {
      // What was noted is larger than a message may be, here and elsewhere.
      *request.mutable_end() = FailureOf(v1::TargetEnd::FAILED, ended);
      request.mutable_end()->set_scanner_deaths(end.scanner_deaths());
      ended = Call(&Stub::End, request, &reply);
    }
    ended_ = ended.ok();
    if (!ended_) return ended;
    const v1::TargetEnd& said = request.end();
    source_.worker_.metrics->Ended(said);
    std::vector<LogField> fields = {{"how", v1::TargetEnd::How_Name(said.how())}, {"code", CodeName(said.code())},
                                    {"seconds", seconds()}, {"scanner_deaths", said.scanner_deaths()}};
    if (!said.reason().empty()) fields.emplace_back("reason", said.reason());
    Note(LogLevel::kDebug, "ended", fields);
    return absl::OkStatus();
  }

  void Say(const char* event, const absl::Status& why) override {
    Note(LogLevel::kWarning, event, {{"code", CodeName(static_cast<int>(why.code()))}, {"error", why}});
  }
  // A line of the log.
  void Note(LogLevel level, const char* event, const std::vector<LogField>& more = {}) const {
    const v1::LeaseRef& lease = lent_.lease();
    std::vector<LogField> fields = {{"run", lent_.run()},           {"shard", lease.shard()},
                                    {"worker", lease.worker()},     {"epoch", lease.epoch()},
                                    {"attempt", lent_.attempt()},   {"repository", target().key()},
                                    {"name", target().name()}};
    fields.insert(fields.end(), more.begin(), more.end());
    Log(level, event, fields);
  }

 private:
  double seconds() const { return absl::ToDoubleSeconds(absl::Now() - since_); }

  // At once: without it others would wait for its time to run out.
  void GiveBack() {
    Note(LogLevel::kInfo, "given_back");
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kGiveBackDeadline);
    v1::ReleaseReply reply;
    (void)source_.stub_->Release(&context, Request(), &reply);
  }

  v1::LeaseRequest Request() const {
    v1::LeaseRequest request;
    *request.mutable_lease() = lent_.lease();
    return request;
  }

  template <typename Question, typename Reply>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Question&, Reply*),
                    const Question& request, Reply* reply) {
    const absl::Status called = source_.worker_.client->Call(
        *source_.stub_, method, request, reply, [this] { return *source_.worker_.stop || is_lost(); });
    if (absl::IsAborted(called)) *lost_ = true;
    if (absl::IsPermissionDenied(called)) source_.Refuse(called);
    return called;
  }

  absl::StatusOr<v1::ShardCommand> Tell(v1::ShardEvent* event) {
    v1::TellRequest request;
    *request.mutable_lease() = lent_.lease();
    request.set_nonce(nonce_);
    request.set_sequence(++sequence_);
    request.mutable_event()->Swap(event);
    v1::TellReply reply;
    RETURN_IF_ERROR(Call(&Stub::Tell, request, &reply));
    if (reply.begin_again()) {
      restart_ = true;
      Note(LogLevel::kInfo, "begun_again");
      return absl::FailedPreconditionError("the coordinator was started again");
    }
    return std::move(*reply.mutable_command());
  }

  absl::StatusOr<std::optional<v1::LocateShard>> NextLocate(v1::ShardEvent* event) {
    ASSIGN_OR_RETURN(v1::ShardCommand command, Tell(event));
    if (!command.has_locate()) return std::nullopt;
    return std::move(*command.mutable_locate());
  }

  v1::LentShard lent_;  // without its target
  RemoteLeases& source_;
  const std::shared_ptr<std::atomic<bool>> lost_;
  uint64_t nonce_ = 0;
  uint32_t sequence_ = 0;
  bool restart_ = false, ended_ = false, fetched_ = false, cut_ = false;
  const absl::Time since_ = absl::Now();
};

RemoteLeases::RemoteLeases(const WorkerResources& worker)
    : worker_(worker), stub_(v1::WorkerService::NewStub(worker.client->channel())), lease_time_(worker.lease_time),
      renewer_([this] { RenewUntilStopped(); }) {}

RemoteLeases::~RemoteLeases() {
  {
    MutexLock lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  renewer_.join();
}

absl::Status RemoteLeases::status() {
  MutexLock lock(mutex_);
  return status_;
}

void RemoteLeases::Refuse(const absl::Status& status) {
  MutexLock lock(mutex_);
  if (status_.ok()) status_ = status;
  changed_.notify_all();
}

void RemoteLeases::CountStages() {
  size_t stages[4] = {};
  for (const auto& [shard, held] : held_) ++stages[static_cast<size_t>(held.stage)];
  worker_.metrics->SetLeases(stages[0], stages[1], stages[2] + stages[3]);
}

RemoteLeases::Counts RemoteLeases::Count() const {
  Counts counts{.fetching = asking_, .ready = asking_, .scanning = 0};
  for (const auto& [shard, held] : held_) {
    const bool waits = held.stage == Stage::kReady || (held.stage == Stage::kFetching && held.has_mirror);
    counts.fetching += held.stage == Stage::kFetching ? 1 : 0;
    counts.ready += waits ? 1 : 0;
    counts.scanning += held.stage == Stage::kScanning ? 1 : 0;
  }
  return counts;
}

// As many ahead of the threads as there are threads: what is held here and waits, no other worker can take.
bool RemoteLeases::MayTakeMore() const {
  const Counts counts = Count();
  return counts.ready < worker_.threads && counts.fetching < worker_.fetch_jobs;
}

bool RemoteLeases::AllThreadsHaveSome() const {
  const Counts counts = Count();
  return counts.ready + counts.scanning >= worker_.threads;
}

// Where there was nothing one thread asks again, for all of them, when that is due; or at once when a thread has nothing
// left to do, and nothing was only for who has.
bool RemoteLeases::MayAsk() const {
  if (!MayTakeMore()) return false;
  if (!nothing_) return true;
  return asking_ == 0 && (Clock::now() >= nothing_->until || (nothing_->ahead && !AllThreadsHaveSome()));
}

std::unique_ptr<Lease> RemoteLeases::Take() {
  v1::AcquireRequest request;
  request.set_worker(worker_.join.worker());
  for (;;) {
    request.set_nonce(NewNonce());
    {
      MutexLock lock(mutex_);
      while (!MayAsk() && !*worker_.stop && status_.ok() && worker_.scanners->alive()) {
        changed_.wait_for(mutex_, std::chrono::milliseconds(50));
      }
      if (*worker_.stop || !status_.ok() || !worker_.scanners->alive()) return nullptr;
      request.set_ahead(AllThreadsHaveSome());
      ++asking_;
    }
    v1::AcquireReply reply;
    const absl::Status called = worker_.client->Call(*stub_, &Stub::Acquire, request, &reply,
                                                     [this] { return worker_.stop->load(); });
    const absl::Status sound = called.ok() && reply.has_shard() ? CheckLent(reply.shard()) : absl::OkStatus();
    std::unique_ptr<Lease> lease;
    bool other_rules = false;
    {
      MutexLock lock(mutex_);
      --asking_;
      other_rules = called.ok() && reply.ruleset_id() != worker_.ruleset_id;
      if (!status_.ok()) return nullptr;
      nothing_.reset();
      if (called.ok() && !reply.has_shard()) {
        const std::chrono::milliseconds pause(std::clamp<uint32_t>(reply.retry_ms(), 20, 10'000));
        nothing_ = {.until = Clock::now() + pause, .ahead = request.ahead()};
      } else if (called.ok()) {
        const v1::LentShard& shard = reply.shard();
        const Mirror mirror(worker_.mirrors_dir / shard.target().folder());
        auto lost = std::make_shared<std::atomic<bool>>(false);
        held_[shard.lease().shard()] = {.epoch = shard.lease().epoch(), .name = shard.target().name(),
                                        .stage = Stage::kFetching, .has_mirror = sound.ok() && mirror.exists(), .fetching = true,
                                        .lost = lost};
        CountStages();
        auto remote = std::make_unique<RemoteLease>(std::move(*reply.mutable_shard()), *this, std::move(lost));
        remote->Note(LogLevel::kDebug, "lent");
        lease = std::move(remote);
      }
      changed_.notify_all();
    }
    if (other_rules) return nullptr;  // The lease, if there is one, is given back.
    if (!sound.ok()) {
      lease->Say("failed", sound);
      (void)lease->End(FailureOf(v1::TargetEnd::FAILED, sound));
      continue;
    }
    if (lease != nullptr) return lease;
    if (!called.ok()) {
      if (!*worker_.stop) Refuse(called);
      return nullptr;
    }
  }
}

void RemoteLeases::Drop(const v1::LeaseRef& lease) {
  MutexLock lock(mutex_);
  const auto found = held_.find(lease.shard());
  if (found != held_.end() && found->second.epoch == lease.epoch()) held_.erase(found);
  CountStages();
  changed_.notify_all();
}

void RemoteLeases::SetStage(const v1::LeaseRef& lease, Stage stage) {
  MutexLock lock(mutex_);
  const auto found = held_.find(lease.shard());
  if (found == held_.end() || found->second.epoch != lease.epoch() || found->second.stage == stage) return;
  found->second.stage = stage;
  CountStages();
  // Begin says by itself that nothing is to be fetched any more.
  if (stage == Stage::kScanning) found->second.fetching = false;
  renew_soon_ |= found->second.fetching;
  changed_.notify_all();
}

void RemoteLeases::RenewUntilStopped() {
  Clock::time_point last = Clock::now();
  uint64_t repeated = 0;
  for (;;) {
    {
      MutexLock lock(mutex_);
      const Clock::time_point due = last + absl::ToChronoMilliseconds(lease_time_ / 3);
      // One that was started again takes every lease for one that fetches, and lends little, until it hears otherwise.
      while (!ended_ && !renew_soon_ && Clock::now() < due && worker_.client->repeated() == repeated) {
        changed_.wait_for(mutex_, std::chrono::milliseconds(100));
      }
      if (!ended_ && renew_soon_) changed_.wait_for(mutex_, kRenewSoon);
      renew_soon_ = false;
      if (ended_) return;
    }
    last = Clock::now();
    RenewAll();
    repeated = worker_.client->repeated();
  }
}

void RemoteLeases::RenewAll() {
  v1::RenewRequest request;
  request.set_worker(worker_.join.worker());
  std::vector<std::shared_ptr<std::atomic<bool>>> lost;
  {
    MutexLock lock(mutex_);
    for (auto& [shard, held] : held_) {
      held.fetching = held.stage == Stage::kFetching;
      v1::RenewRequest::Held& row = *request.add_held();
      row.set_shard(shard);
      row.set_epoch(held.epoch);
      row.set_fetching(held.fetching);
      const Progress::Figures figures = worker_.progress->Of(held.name);
      row.set_phase(figures.phase);
      row.mutable_progress()->set_objects_done(figures.objects_done);
      row.mutable_progress()->set_objects_total(figures.objects_total);
      row.mutable_progress()->set_bytes_done(figures.bytes_done);
      row.mutable_progress()->set_matches(figures.matches);
      lost.push_back(held.lost);
    }
  }
  v1::RenewReply reply;
  const absl::Status called = worker_.client->Call(*stub_, &Stub::Renew, request, &reply, [this] {
    MutexLock lock(mutex_);
    return ended_;
  });
  if (!called.ok() || reply.held_size() != request.held_size()) return;
  for (int i = 0; i < reply.held_size(); ++i) {
    if (!reply.held(i)) *lost[static_cast<size_t>(i)] = true;
  }
  if (reply.join_again()) JoinAgain();
}

absl::StatusOr<v1::JoinReply> JoinCoordinator(const CoordinatorClient& client, Stub& stub, const v1::JoinRequest& join,
                                              const std::function<bool()>& give_up) {
  v1::JoinReply joined;
  RETURN_IF_ERROR(client.Call(stub, &Stub::Join, join, &joined, give_up));
  RETURN_IF_ERROR(CheckVersion(joined.version(), "the coordinator", "the worker"));
  return joined;
}

// Its leases go on; but for how long they are lent may be another time by now, and its version another.
void RemoteLeases::JoinAgain() {
  const absl::StatusOr<v1::JoinReply> joined = JoinCoordinator(*worker_.client, *stub_, worker_.join, [this] {
    MutexLock lock(mutex_);
    return ended_;
  });
  if (!joined.ok()) return Refuse(joined.status());
  MutexLock lock(mutex_);
  lease_time_ = absl::Seconds(std::max(1U, joined->lease_seconds()));
}

}  // namespace unsprawl
