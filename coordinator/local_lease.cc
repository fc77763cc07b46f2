#include "coordinator/local_lease.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/content_traits.h"
#include "coordinator/forges/dropped_commits.h"
#include "coordinator/forges/json_fields.h"
#include "coordinator/forges/listing.h"
#include "coordinator/known_target.h"
#include "coordinator/report/coverage.h"
#include "engine/base/escape.h"
#include "engine/base/object_id.h"
#include "engine/base/sha256.h"
#include "engine/base/status.h"
#include "store/ledger_semantics.h"

namespace unsprawl {
namespace {

using Status = RepositoryOutcome::Status;

constexpr size_t kMaxKnownLists = 200;  // older rule lists a shard distinguishes (an answer is one byte)
constexpr size_t kMaxLists = 4 * kMaxKnownLists;  // under which one pass records
constexpr size_t kCompactHits = 1 << 16;

// The tips and how they were scanned; equal means nothing is left to do.
std::string Watermark(const ScanSettings& settings, std::string_view tips_digest, std::string_view lost_tips) {
  return Sha256(absl::StrFormat("%s %s %s", ScanSettingsText(settings), tips_digest, lost_tips));
}

v1::LentSettings Settings(const RunResources& run) {
  v1::LentSettings settings;
  settings.set_max_object_bytes(run.settings.max_object_bytes);
  settings.set_max_pull_requests(run.max_pull_requests);
  settings.set_audit_seconds(absl::ToInt64Seconds(run.audit_every));
  return settings;
}

v1::LentTarget Lent(const RepositoryTarget& target, const RunResources& run) {
  v1::LentTarget lent;
  lent.set_key(target.key);
  lent.set_name(target.name);
  *lent.mutable_settings() = Settings(run);
  return lent;
}

v1::LentTarget Lent(const RemoteTarget& target, const RunResources& run) {
  v1::LentTarget lent;
  lent.set_key(target.key);
  lent.set_name(target.name);
  lent.set_folder(target.folder());
  lent.set_url(target.url);
  lent.set_size_kb(target.size_kb);
  lent.set_pushed_at(target.pushed_at);
  lent.set_optional(target.optional);
  lent.set_disabled(target.disabled);
  lent.set_gone(target.gone);
  lent.set_has_forge(target.source->client != nullptr);
  lent.set_names_dropped(!target.DroppedCommitsPaths().empty());
  *lent.mutable_settings() = Settings(run);
  return lent;
}

Status StatusOf(v1::TargetEnd::How how) {
  switch (how) {
    case v1::TargetEnd::REFUSED: return Status::kRefused;
    case v1::TargetEnd::NOT_COVERED: return Status::kNotCovered;
    default: return Status::kFailed;
  }
}

}  // namespace

LocalLease::LocalLease(v1::LentTarget lent, const RemoteTarget* target, const std::set<v1::SkipReason>& accepted,
                       const RunResources& run, std::atomic<uint64_t>* dropped_asked, std::optional<Shard> shard)
    : Lease(std::move(lent)),
      remote_(target),
      accepted_(accepted),
      run_(run),
      dropped_asked_(dropped_asked),
      shard_(std::move(shard)) {
  outcome_.name = this->target().name();
}

LocalLease::LocalLease(const RepositoryTarget& target, const RunResources& run)
    : LocalLease(Lent(target, run), nullptr, target.accepted, run, nullptr, std::nullopt) {}

LocalLease::LocalLease(const RemoteTarget& target, const RunResources& run, std::atomic<uint64_t>* dropped_asked,
                       std::optional<Shard> shard)
    : LocalLease(Lent(target, run), &target, target.source->accepted, run, dropped_asked, std::move(shard)) {}

// ---- fetching

absl::StatusOr<v1::KnownTarget> LocalLease::LookUp() {
  ASSIGN_OR_RETURN(v1::KnownTarget known,
                   unsprawl::LookUp(*remote_, run_, absl::ToUnixSeconds(absl::Now()), &record_));
  current_ = known.current();
  return known;
}

absl::StatusOr<std::vector<std::string>> LocalLease::Authorizations() {
  return AuthorizationsFor(*remote_);
}

absl::Status LocalLease::RenewTokens() {
  if (remote_->source->client == nullptr) return absl::PermissionDeniedError("there are no others");
  return remote_->source->client->RenewGitTokens();
}

absl::StatusOr<std::string> LocalLease::AskForge() {
  const RemoteSource& source = *remote_->source;
  if (source.client == nullptr || remote_->optional) return absl::UnknownError("nobody to ask");
  const v1::ForgeRepository before = remote_->AtForge();
  ASSIGN_OR_RETURN(const HttpResponse response,
                   source.client->Get(source.forge->RepositoryPath(before), source.forge->Headers()));
  const absl::StatusOr<Json> json = ParseBody(response);
  if (!json.ok()) return "";
  const v1::ForgeRepository now = source.forge->ParseRepository(source.scope, *json);
  if (now.id() != before.id() || now.full_name() == before.full_name() || !IsCleanPath(now.clone_path())) return "";
  return source.web_url + "/" + now.clone_path();
}

absl::StatusOr<v1::DroppedCommits> LocalLease::ListDropped(const v1::FetchNote& before) {
  // Without a token there are 60 calls an hour.
  const RemoteSource& source = *remote_->source;
  if (source.client == nullptr || source.client->is_anonymous()) return v1::DroppedCommits();
  const bool first = !before.dropped_asked();
  if (first && (*dropped_asked_)++ >= run_.max_dropped_commits) return v1::DroppedCommits();
  absl::StatusOr<v1::DroppedCommits> dropped = ListDroppedCommits(*remote_, before, absl::ToUnixSeconds(absl::Now()));
  if (first && absl::IsDeadlineExceeded(dropped.status())) --*dropped_asked_;  // It will be asked again.
  return dropped;
}

// ---- a pass

absl::StatusOr<v1::PassBegun> LocalLease::Begin(const v1::PassBeginning& beginning) {
  RETURN_IF_ERROR(FinishRecorder());
  beginning_ = beginning;
  whole_ = false;
  outcome_.coverage.Clear();
  hits_.clear();
  compact_hits_at_ = kCompactHits;
  tally_ = {};
  blobs_skipped_ = 0;
  writer_.reset();
  recording_ = nullptr;
  ASSIGN_OR_RETURN(record_, run_.ledger->OpenRepository(target().key(), target().name()));
  outcome_.id = record_.id();
  for (const v1::Skip& skip : beginning.opened().skips()) tally_.Add(skip);
  for (const v1::Skip& skip : beginning.skips()) tally_.Add(skip);
  counters_.sandbox_note = beginning.sandbox_note();
  outcome_.coverage.set_sandboxed(beginning.sandboxed());
  watermark_ = Watermark(run_.settings, beginning.opened().tips_digest(), beginning.lost_tips());
  v1::PassBegun begun;
  const bool part = shard_ && shard_->part;
  if (!part && record_.tips_digest() == watermark_ && IsCurrent(record_, *run_.ruleset)) {
    counters_.unchanged = true;
    outcome_.coverage = record_.coverage();
    outcome_.coverage.set_sandboxed(beginning.sandboxed());
    whole_ = true;
    begun.set_unchanged(true);
    return begun;
  }
  v1::ScanShard& scan = *begun.mutable_scan();
  scan.set_ledger_empty(!run_.ledger->HasBlobs());
  rules_run_ = {run_.ruleset->blob_keys()};
  lists_.clear();
  rule_keys_.clear();
  known_under_.clear();
  scan.set_full_mode(run_.settings.full_mode);
  scan.set_archives(run_.settings.archives);
  scan.set_key(run_.settings.key.bytes.data(), run_.settings.key.bytes.size());
  scan.set_now(run_.settings.now);
  if (shard_) {
    scan.set_only(shard_->only);
    if (part && only_.empty()) {
      only_ = UnpackObjectIds(shard_->only);
      std::sort(only_.begin(), only_.end());
    }
    scan.set_cut_bytes(shard_->cut_bytes);
  }
  recorder_.emplace(*run_.ledger, fence());
  return begun;
}

// The byte that answers a lookup of a blob known under `list` (LookupAnswer). Sets of rules that some
// blob still needs are told to the scanner as they come up, in `answer`.
absl::StatusOr<LocalLease::KnownUnder> LocalLease::AnswerFor(RuleListId list, v1::LookupAnswer* answer) {
  if (list >= rule_keys_.size()) {  // Another repository's pass has made it meanwhile.
    ASSIGN_OR_RETURN(rule_keys_, run_.ledger->RuleLists());
    known_under_.resize(rule_keys_.size());
    if (list >= rule_keys_.size()) return absl::DataLossError("the store names a list of rules it lacks");
  }
  KnownUnder& known = known_under_[list];
  if (known.answer != KnownUnder::kNoAnswer) return known;
  const std::vector<uint64_t>& wanted = rules_run_[0];
  const uint64_t bound = run_.settings.max_object_bytes;
  std::vector<uint64_t> missing = StillNeeded(wanted, rule_keys_[list], run_.settings.archives, bound);
  known.traits = TraitsUnder(wanted, rule_keys_[list], bound);
  if (missing.empty()) {
    known.answer = 1;
  } else if (missing.size() == wanted.size() || rules_run_.size() > kMaxKnownLists) {
    known.answer = 0;
  } else {
    answer->add_known()->mutable_missing()->Add(missing.begin(), missing.end());
    rules_run_.push_back(std::move(missing));
    known.answer = static_cast<char>(rules_run_.size());
  }
  return known;
}

// The list of rules, and what stands for its traits, under which a batch is recorded.
absl::StatusOr<RuleListId> LocalLease::ListFor(const v1::BlobBatch& batch) {
  const auto key = std::make_pair(batch.rules(), batch.traits());
  if (const auto known = lists_.find(key); known != lists_.end()) return known->second;
  if (lists_.size() > kMaxLists) return absl::InvalidArgumentError("blobs with more traits than there are");
  ASSIGN_OR_RETURN(const RuleListId id, run_.ledger->InternRules(KeysWithTraits(rules_run_[batch.rules()], batch.traits(),
                                                                                run_.settings.max_object_bytes)));
  return lists_[key] = id;
}

void LocalLease::TallyTraits(uint32_t traits, std::string_view blob) {
  if (traits == 0) return;
  std::optional<v1::Skip> skip = SkipFor(traits);
  if (!skip) return;
  skip->set_object_id(std::string(blob));
  tally_.Add(*skip);
}

absl::StatusOr<v1::LookupAnswer> LocalLease::Lookup(const v1::LookupRequest& request) {
  const std::vector<ObjectId> blobs = UnpackObjectIds(request.blobs());
  ASSIGN_OR_RETURN(const std::vector<BlobState> states, run_.ledger->Lookup(blobs));
  v1::LookupAnswer answer;
  std::string& answers = *answer.mutable_answers();
  answers.resize(blobs.size(), 0);
  for (size_t i = 0; i < blobs.size(); ++i) {
    if (states[i].known == BlobState::Known::kUnscanned) continue;
    ASSIGN_OR_RETURN(const KnownUnder known, AnswerFor(states[i].rules, &answer));
    answers[i] = known.answer;
    if (states[i].known == BlobState::Known::kHit) AddHit(blobs[i]);
    if (answers[i] != 1) continue;
    TallyTraits(known.traits, blobs[i].raw());
    ++counters_.blobs_known;
    outcome_.coverage.set_bytes(outcome_.coverage.bytes() + states[i].bytes);
  }
  return answer;
}

// A part records what it was given, and nothing else.
absl::Status LocalLease::CheckPart(const v1::BlobBatch& batch) const {
  if (!shard_ || !shard_->part) return absl::OkStatus();
  std::vector<ObjectId> blobs = UnpackObjectIds(batch.clean());
  for (const v1::BlobHit& hit : batch.hits()) blobs.push_back(ObjectId::FromRaw(hit.object_id().data()));
  for (const ObjectId& blob : blobs) {
    if (!std::binary_search(only_.begin(), only_.end(), blob)) {
      return absl::InvalidArgumentError("a result for a blob that is not of this part");
    }
  }
  return absl::OkStatus();
}

// Each is kept once, give or take: they may be named without end.
void LocalLease::AddHit(const ObjectId& blob) {
  hits_.push_back(blob);
  if (hits_.size() < compact_hits_at_) return;
  SortHits();
  compact_hits_at_ = std::max(kCompactHits, 2 * hits_.size());
}

void LocalLease::SortHits() {
  std::sort(hits_.begin(), hits_.end());
  hits_.erase(std::unique(hits_.begin(), hits_.end()), hits_.end());
}

absl::Status LocalLease::TakeBlobs(v1::BlobBatch* batch) {
  if (!recorder_ || batch->rules() >= rules_run_.size()) return absl::InternalError("a batch out of order");
  RETURN_IF_ERROR(CheckBatch(*batch));
  RETURN_IF_ERROR(CheckPart(*batch));
  for (const v1::BlobHit& hit : batch->hits()) AddHit(ObjectId::FromRaw(hit.object_id().data()));
  for (const v1::Skip& skip : batch->skips()) tally_.Add(skip);
  if (batch->traits() != 0) {
    for (const ObjectId& blob : UnpackObjectIds(batch->clean())) TallyTraits(batch->traits(), blob.raw());
    for (const v1::BlobHit& hit : batch->hits()) TallyTraits(batch->traits(), hit.object_id());
  }
  blobs_skipped_ += static_cast<uint64_t>(batch->skips_size());
  outcome_.coverage.set_bytes(outcome_.coverage.bytes() + batch->bytes_resolved());
  ASSIGN_OR_RETURN(const RuleListId list, ListFor(*batch));
  return recorder_->Add(batch, list);
}

// What came before a death is kept, too.
absl::Status LocalLease::FinishRecorder() {
  if (!recorder_) return absl::OkStatus();
  const absl::Time start = absl::Now();
  const absl::Status finished = recorder_->Finish();
  counters_.record_seconds += absl::ToDoubleSeconds(absl::Now() - start);
  recorder_.reset();
  return finished;
}

absl::Status LocalLease::TakePiece(const v1::Piece&) { return absl::InternalError("nobody asked for pieces"); }
absl::Status LocalLease::Cut() { return absl::InternalError("nobody asked for a cut"); }

absl::StatusOr<std::optional<v1::LocateShard>> LocalLease::CompleteScan(const v1::ScanCompleted& completed) {
  if (!recorder_) return absl::InternalError("a scan that was not begun is complete");
  RETURN_IF_ERROR(FinishRecorder());
  if (shard_ && shard_->part) {
    whole_ = true;
    return std::nullopt;
  }
  outcome_.coverage.set_blobs(completed.blobs());
  for (const v1::Skip& skip : completed.skips()) tally_.Add(skip);
  counters_.blobs_scanned += completed.blobs_scanned();
  counters_.bytes_resolved += completed.bytes_resolved();
  counters_.bytes_scanned += completed.bytes_scanned();
  counters_.open_seconds += completed.open_seconds();
  counters_.scan_seconds += completed.scan_seconds();

  SortHits();
  writer_.emplace(*run_.ruleset, *run_.ledger);
  std::vector<v1::Skip> truncated;
  ASSIGN_OR_RETURN(locate_shards_, writer_->CountShards(hits_, &truncated));
  for (const v1::Skip& skip : truncated) tally_.Add(skip);
  ASSIGN_OR_RETURN(recording_, run_.ledger->StartRecording(record_.id()));
  locate_number_ = 0;
  return NextLocate();
}

absl::StatusOr<std::optional<v1::LocateShard>> LocalLease::NextLocate() {
  v1::LocateShard shard;
  RETURN_IF_ERROR(writer_->Request(hits_, locate_number_, locate_shards_, &shard));
  shard.set_without_commits(locate_number_ > 0);
  shard.set_path_rules(locate_number_ == 0 && run_.ruleset->has_path_rules());
  return shard;
}

absl::Status LocalLease::TakeCommits(const v1::CommitBatch& commits) {
  if (!recording_) return absl::InternalError("commits out of order");
  return recording_->AddCommits(commits.commits());
}

absl::Status LocalLease::TakePlaces(const v1::PlaceBatch& places) {
  if (!recording_) return absl::InternalError("places out of order");
  return writer_->Write(places, *recording_);
}

// What is of the repository as a whole all locate shards say; the first is heard.
absl::StatusOr<std::optional<v1::LocateShard>> LocalLease::CompleteLocate(const v1::LocateCompleted& completed) {
  if (!recording_) return absl::InternalError("a locate shard that was not begun is complete");
  const bool first = locate_number_ == 0;
  counters_.locate_seconds += completed.locate_seconds();
  for (const v1::Skip& skip : completed.skips()) {
    if (first || skip.reason() == v1::SKIP_REASON_TRUNCATED) tally_.Add(skip);
  }
  if (first) located_ = completed;
  if (++locate_number_ < locate_shards_) return NextLocate();
  RETURN_IF_ERROR(Record());
  return std::nullopt;
}

absl::Status LocalLease::Record() {
  const v1::RepositoryOpened& opened = beginning_.opened();
  if (opened.shallow()) {
    v1::Skip skip;
    skip.set_reason(v1::SKIP_REASON_MISSING);
    skip.set_detail("shallow clone: older history is not here (git fetch --unshallow gets it)");
    tally_.Add(skip);
  }
  v1::Coverage& coverage = outcome_.coverage;
  coverage.set_refs(opened.refs());
  coverage.set_commits(located_.commits());
  coverage.set_submodules(located_.submodules());
  tally_.AppendTo(coverage.mutable_skips());
  coverage.set_blobs_scanned(coverage.blobs() - std::min(coverage.blobs(), blobs_skipped_));

  const std::vector<uint64_t> keys = run_.ruleset->keys();
  record_.set_name(target().name());
  record_.set_tips_digest(tally_.has_unread() ? "" : watermark_);
  record_.mutable_rule_keys()->Assign(keys.begin(), keys.end());
  record_.set_head_ref(opened.head_ref());
  *record_.mutable_coverage() = coverage;
  *record_.mutable_head() = located_.head();
  for (const std::string& name : writer_->identifiers()) record_.mutable_head()->add_identifiers(name);
  const absl::Time start = absl::Now();
  RETURN_IF_ERROR(recording_->Commit(record_, fence()));
  counters_.record_seconds += absl::ToDoubleSeconds(absl::Now() - start);
  recording_ = nullptr;
  whole_ = true;
  return absl::OkStatus();
}

// ---- the end

void LocalLease::Say(const char* /*event*/, const absl::Status& why) {
  if (!run_.say) return;
  run_.say(absl::StrFormat("%s: %s", EscapeForTerminal(target().name()), EscapeForTerminal(std::string(why.message()))));
}

absl::Status LocalLease::End(const v1::TargetEnd& end) {
  if (end.how() == v1::TargetEnd::SCANNED && !whole_) {
    return absl::FailedPreconditionError("it was not scanned whole under this lease: scan it again");
  }
  const absl::Status recorded = FinishRecorder();  // What was scanned is kept, whatever came then.
  counters_.scanner_deaths = end.scanner_deaths();
  if (shard_ && shard_->part) return run_.end(std::nullopt, counters_, fence());
  switch (end.how()) {
    case v1::TargetEnd::UNCHANGED:
      if (end.has_note()) RETURN_IF_ERROR(WriteNote(end.note()));
      counters_.unchanged = true;
      outcome_ = OutcomeOf(record_, accepted_);
      break;
    case v1::TargetEnd::SCANNED: {
      const absl::Status noted = recorded.ok() ? NoteScanned(end) : recorded;
      if (shard_ && recorded.ok() && absl::IsResourceExhausted(noted)) return noted;  // Its worker says so again.
      AddScanned(noted, end.reason());
      break;
    }
    case v1::TargetEnd::GONE:
      if (target().optional() && record_.rule_keys().empty()) {  // There never was one.
        return run_.end(std::nullopt, counters_, fence());
      }
      AddGone(end.reason());
      break;
    default: RETURN_IF_ERROR(AddFailure(end));
  }
  return run_.end(std::move(outcome_), counters_, fence());
}

// Last, after what the note says: a crash before costs a comparison of refs.
absl::Status LocalLease::NoteScanned(const v1::TargetEnd& end) {
  if (!end.has_note()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto record, run_.ledger->ReadRepository(outcome_.id));
  if (!record) return absl::OkStatus();
  v1::MirrorNote note = end.note();
  if (shard_) note.set_worker(shard_->fence.worker);
  note.set_watermark(record->tips_digest());
  note.set_settings(ScanSettingsText(run_.settings));
  return WriteNote(note);
}

absl::Status LocalLease::WriteNote(v1::MirrorNote note) {
  // By the clock of a worker of the last version. What is ahead would hide what is dropped until then.
  v1::FetchNote& fetched = *note.mutable_fetched();
  fetched.set_checked_at(std::min(fetched.checked_at(), absl::ToUnixSeconds(absl::Now())));
  const auto write = [&] { return WriteMirrorNote(target().key(), note, *run_.ledger); };
  return shard_ ? run_.ledger->shards().Fenced(shard_->fence, write) : write();
}

void LocalLease::AddScanned(const absl::Status& noted, const std::string& gone) {
  SetStatus(accepted_, &outcome_);
  ShrinkSkips(&outcome_.coverage);
  if (!noted.ok()) {
    outcome_.status = Status::kFailed;
    outcome_.reason = std::string(noted.message());
  } else if (!gone.empty()) {
    SetGone(gone);
  }
}

void LocalLease::AddGone(const std::string& why) {
  outcome_ = OutcomeOf(record_, {});
  if (!current_ && outcome_.coverage.blobs() > 0) {
    v1::Skip& skip = *outcome_.coverage.add_skips();
    skip.set_reason(v1::SKIP_REASON_UNOBTAINABLE);
    skip.set_count(outcome_.coverage.blobs());
    skip.set_detail("scanned under older rules only; no mirror of it is kept");
  }
  SetGone(why);
}

// What is there no longer was scanned whole, or not.
void LocalLease::SetGone(const std::string& why) {
  SetStatus(accepted_, &outcome_);
  const bool whole = IsWhole(outcome_.status);
  if (whole) outcome_.status = Status::kGone;
  outcome_.reason = whole ? why : absl::StrFormat("%s; and of what was known: %s", why, outcome_.reason);
}

absl::Status LocalLease::AddFailure(const v1::TargetEnd& end) {
  const bool scanning = outcome_.id != 0;
  counters_.internal_error = scanning && static_cast<absl::StatusCode>(end.code()) == absl::StatusCode::kInternal;
  if (scanning) {  // Ours may say what was not recorded any more.
    ASSIGN_OR_RETURN(const auto record, run_.ledger->ReadRepository(outcome_.id));
    if (record) record_ = *record;
  }
  outcome_ = FailedOutcome(record_, target().name(), StatusOf(end.how()), end.reason());
  return absl::OkStatus();
}

// ---- all of a run

class LocalLeases::Fetched : public LocalLease {
 public:
  Fetched(const RemoteTarget& target, LocalLeases& source)
      : LocalLease(target, source.run_, &source.dropped_asked_), remote_target_(target), source_(source) {}
  ~Fetched() override { Fetched::EndFetch(); }

  absl::StatusOr<std::string> Lender() override { return source_.networks_.LenderFor(remote_target_); }
  void EndFetch() override {
    if (std::exchange(ended_, true)) return;
    source_.networks_.Finish(remote_target_);
    source_.queue_.Return(&remote_target_);
  }

 private:
  const RemoteTarget& remote_target_;
  LocalLeases& source_;
  bool ended_ = false;
};

LocalLeases::LocalLeases(std::vector<RemoteTarget> targets, const RunResources& run,
                         std::filesystem::path mirrors_dir, size_t jobs, size_t beside_large,
                         const std::atomic<bool>* stop)
    : run_(run),
      networks_(targets, mirrors_dir, stop),
      queue_(std::move(targets), networks_, std::move(mirrors_dir), jobs, beside_large, stop) {}

std::unique_ptr<Lease> LocalLeases::Take() {
  const RemoteTarget* const target = queue_.Take();
  return target == nullptr ? nullptr : std::make_unique<Fetched>(*target, *this);
}

}  // namespace unsprawl
