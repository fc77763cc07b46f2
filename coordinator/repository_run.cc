#include "coordinator/repository_run.h"

#include <openssl/sha.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/blob_recorder.h"
#include "coordinator/occurrence_writer.h"
#include "coordinator/report/coverage.h"
#include "coordinator/skip_tally.h"
#include "engine/base/status.h"
#include "engine/git/repository.h"

namespace unsprawl {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(200);
constexpr int kMaxDeaths = 64;      // of scanners, for one repository
constexpr int kMaxBlameless = 3;    // … with no object that could be the cause
constexpr int kStrikes = 2;         // deaths on one object that make it a skip
constexpr size_t kMaxKnownLists = 200;  // older rule lists a shard distinguishes (an answer is one byte)
constexpr char kNoAnswer = static_cast<char>(0xff);
// Changes whenever equal rules could find something else: every repository is then looked at again.
constexpr std::string_view kEngineVersion = "1";

// The tips and how they were scanned; equal means nothing is left to do.
std::string Watermark(const ScanSettings& settings, std::string_view tips_digest, std::string_view lost_tips) {
  std::string text = absl::StrFormat("%s %s %s", ScanSettingsText(settings), tips_digest, lost_tips);
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(),
         reinterpret_cast<uint8_t*>(digest.data()));
  return digest;
}

// All passes over one repository in one run.
class RepositoryRun {
 public:
  RepositoryRun(const RepositoryTarget& target, int threads, const RunResources& run,
                PassCounters* counters)
      : target_(target), threads_(threads), run_(run), counters_(*counters) {
    outcome_.name = target.name;
  }

  absl::StatusOr<RepositoryOutcome> Run() {
    absl::Status done;
    do {
      scanner_died_ = false;
      done = Pass();
      if (*run_.stop) return absl::CancelledError("stopped");
    } while (scanner_died_ && NoteDeath());
    counters_.internal_error = absl::IsInternal(done);
    if (done.ok()) {
      SetStatus(target_.accepted, &outcome_);
      ShrinkSkips(&outcome_.coverage);
    } else {
      outcome_.status = absl::IsFailedPrecondition(done) ? RepositoryOutcome::Status::kNotCovered
                                                         : RepositoryOutcome::Status::kFailed;
      outcome_.reason = std::string(done.message());
    }
    return outcome_;
  }

 private:
  using Event = v1::ShardEvent;

  // Open, compare, scan, locate, record.
  absl::Status Pass() {
    outcome_.coverage.Clear();
    hits_.clear();
    tally_ = {};
    blobs_skipped_ = 0;
    ASSIGN_OR_RETURN(record_, run_.ledger->OpenRepository(target_.key, target_.name));
    outcome_.id = record_.id();
    RETURN_IF_ERROR(OpenScanner());
    if (Unchanged()) {
      counters_.unchanged = true;
      const bool sandboxed = outcome_.coverage.sandboxed();
      outcome_.coverage = record_.coverage();
      outcome_.coverage.set_sandboxed(sandboxed);
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(ScanPhase());
    return LocatePhase();
  }

  absl::Status OpenScanner() {
    ASSIGN_OR_RETURN(const RepositoryPaths paths, FindRepository(target_.path));
    std::vector<std::filesystem::path> readable = paths.object_dirs;
    readable.push_back(paths.git_dir);
    readable.push_back(paths.common_dir);
    // A linked worktree is named by a file; what it points to is in git_dir.
    readable.push_back(target_.path / ".git");
    scanner_ = nullptr;
    absl::StatusOr<std::unique_ptr<Scanner>> spawned = run_.scanners->Spawn(readable);
    RETURN_IF_ERROR(FromScanner(spawned.status()));
    scanner_ = *std::move(spawned);
    v1::ShardCommand command;
    command.mutable_open()->set_path(target_.path.native());
    command.mutable_open()->set_max_object_bytes(run_.settings.max_object_bytes);
    command.mutable_open()->set_threads(static_cast<uint32_t>(threads()));
    command.mutable_open()->set_borrows(target_.borrows);
    command.mutable_open()->set_lost_tips(target_.lost_tips);
    RETURN_IF_ERROR(Send(command));
    Event event;
    RETURN_IF_ERROR(NextEvent(&event));
    if (!event.has_opened()) return absl::InternalError("a scanner answered out of order");
    opened_ = std::move(*event.mutable_opened());
    for (const v1::Skip& skip : opened_.skips()) tally_.Add(skip);
    for (const v1::Skip& skip : target_.skips) tally_.Add(skip);
    outcome_.coverage.set_sandboxed(scanner_->ready().sandboxed());
    counters_.sandbox_note = scanner_->ready().note();
    return absl::OkStatus();
  }

  std::string NewWatermark() const {
    return Watermark(run_.settings, opened_.tips_digest(), target_.lost_tips);
  }
  bool Unchanged() const {
    return record_.tips_digest() == NewWatermark() && IsCurrent(record_, *run_.ruleset);
  }

  // ---- scanning

  // The byte that answers a lookup of a blob known under `list` (LookupAnswer). Sets of rules that some
  // blob still needs are told to the scanner as they come up, in `answer`.
  absl::StatusOr<char> AnswerFor(RuleListId list, v1::LookupAnswer* answer) {
    if (list >= rule_keys_.size()) {  // Another repository's pass has made it meanwhile.
      ASSIGN_OR_RETURN(rule_keys_, run_.ledger->RuleLists());
      answer_of_list_.resize(rule_keys_.size(), kNoAnswer);
      if (list >= rule_keys_.size()) return absl::DataLossError("the store names a list of rules it lacks");
    }
    char& known = answer_of_list_[list];
    if (known != kNoAnswer) return known;
    const std::vector<uint64_t> wanted = run_.ruleset->keys();
    std::vector<uint64_t> missing;
    std::set_difference(wanted.begin(), wanted.end(), rule_keys_[list].begin(), rule_keys_[list].end(),
                        std::back_inserter(missing));
    if (missing.empty()) return known = 1;
    if (missing.size() == wanted.size() || rule_lists_.size() > kMaxKnownLists) return known = 0;
    answer->add_known()->mutable_missing()->Add(missing.begin(), missing.end());
    ASSIGN_OR_RETURN(const RuleListId id, run_.ledger->InternRules(missing));
    rule_lists_.push_back(id);
    return known = static_cast<char>(rule_lists_.size());
  }

  absl::Status ScanPhase() {
    v1::ShardCommand command;
    v1::ScanShard* shard = command.mutable_scan();
    shard->set_ledger_empty(!run_.ledger->HasBlobs());
    ASSIGN_OR_RETURN(const RuleListId all, run_.ledger->InternRules(run_.ruleset->keys()));
    rule_lists_ = {all};
    rule_keys_.clear();
    answer_of_list_.clear();
    shard->set_full_mode(run_.settings.full_mode);
    shard->set_key(run_.settings.key.bytes.data(), run_.settings.key.bytes.size());
    shard->set_now(run_.settings.now);
    AddAvoided(shard);
    RETURN_IF_ERROR(Send(command));

    BlobRecorder recorder(*run_.ledger);
    const absl::Status scanned = ReceiveScan(recorder);
    const absl::Time start = absl::Now();
    RETURN_IF_ERROR(recorder.Finish());  // What came before a death is kept.
    counters_.record_seconds += absl::ToDoubleSeconds(absl::Now() - start);
    return scanned;
  }

  absl::Status ReceiveScan(BlobRecorder& recorder) {
    Event event;
    for (;;) {
      RETURN_IF_ERROR(NextEvent(&event));
      switch (event.event_case()) {
        case Event::kPlanned: planned_objects_ = event.planned().objects(); break;
        case Event::kLookup: RETURN_IF_ERROR(AnswerLookup(event.lookup())); break;
        case Event::kProgress: ShowProgress(event.progress()); break;
        case Event::kBlobs: RETURN_IF_ERROR(TakeBlobs(event.mutable_blobs(), recorder)); break;
        case Event::kScanCompleted: TakeScanCompleted(event.scan_completed()); return absl::OkStatus();
        default: return absl::InternalError("a scanner answered out of order");
      }
    }
  }

  absl::Status AnswerLookup(const v1::LookupRequest& request) {
    const std::vector<ObjectId> blobs = UnpackObjectIds(request.blobs());
    ASSIGN_OR_RETURN(const std::vector<BlobState> states, run_.ledger->Lookup(blobs));
    v1::ShardCommand command;
    std::string* answers = command.mutable_lookup()->mutable_answers();
    answers->resize(blobs.size(), 0);
    for (size_t i = 0; i < blobs.size(); ++i) {
      if (states[i].known == BlobState::Known::kUnscanned) continue;
      ASSIGN_OR_RETURN(const char answer, AnswerFor(states[i].rules, command.mutable_lookup()));
      (*answers)[i] = answer;
      if (states[i].known == BlobState::Known::kHit) hits_.push_back(blobs[i]);
      if (answer != 1) continue;
      ++counters_.blobs_known;
      outcome_.coverage.set_bytes(outcome_.coverage.bytes() + states[i].bytes);
    }
    return Send(command);
  }

  absl::Status TakeBlobs(v1::BlobBatch* batch, BlobRecorder& recorder) {
    if (batch->rules() >= rule_lists_.size()) return absl::InternalError("a batch of unknown rules");
    for (const v1::BlobHit& hit : batch->hits()) {
      if (hit.object_id().size() != ObjectId::kBytes) return absl::InternalError("a hit without an id");
      hits_.push_back(ObjectId::FromRaw(hit.object_id().data()));
    }
    for (const v1::Skip& skip : batch->skips()) tally_.Add(skip);
    blobs_skipped_ += static_cast<uint64_t>(batch->skips_size());
    outcome_.coverage.set_bytes(outcome_.coverage.bytes() + batch->bytes_resolved());
    recorder.Add(batch, rule_lists_[batch->rules()]);
    return absl::OkStatus();
  }

  void TakeScanCompleted(const v1::ScanCompleted& completed) {
    outcome_.coverage.set_blobs(completed.blobs());
    for (const v1::Skip& skip : completed.skips()) tally_.Add(skip);
    counters_.blobs_scanned += completed.blobs_scanned();
    counters_.bytes_resolved += completed.bytes_resolved();
    counters_.bytes_scanned += completed.bytes_scanned();
    counters_.open_seconds += completed.open_seconds();
    counters_.scan_seconds += completed.scan_seconds();
  }

  // ---- locating

  absl::Status LocatePhase() {
    run_.progress->Update(target_.name, "locating in history", 0, 0, shown_bytes_, shown_matches_);
    std::sort(hits_.begin(), hits_.end());
    hits_.erase(std::unique(hits_.begin(), hits_.end()), hits_.end());
    OccurrenceWriter writer(*run_.ruleset, *run_.ledger);
    std::vector<v1::Skip> truncated;
    ASSIGN_OR_RETURN(const uint32_t shards, writer.CountShards(hits_, &truncated));
    for (const v1::Skip& skip : truncated) tally_.Add(skip);
    ASSIGN_OR_RETURN(const auto recording, run_.ledger->StartRecording(record_.id()));
    v1::LocateCompleted completed;
    for (uint32_t number = 0; number < shards; ++number) {
      v1::ShardCommand command;
      RETURN_IF_ERROR(writer.Request(hits_, number, shards, command.mutable_locate()));
      command.mutable_locate()->set_without_commits(number > 0);
      AddAvoided(command.mutable_locate());
      RETURN_IF_ERROR(Send(command));
      command.Clear();
      RETURN_IF_ERROR(ReceivePlaces(writer, *recording, number == 0, &completed));
    }
    return Complete(completed, writer, *recording);
  }

  // Records what one locate shard finds. What is of the repository as a whole all of them say; the first
  // is heard.
  absl::Status ReceivePlaces(OccurrenceWriter& writer, Ledger::Recording& recording, bool first,
                             v1::LocateCompleted* completed) {
    Event event;
    for (;;) {
      RETURN_IF_ERROR(NextEvent(&event));
      if (event.has_commits()) {
        RETURN_IF_ERROR(recording.AddCommits(event.commits().commits()));
      } else if (event.has_places()) {
        RETURN_IF_ERROR(writer.Write(event.places(), recording));
      } else if (event.has_locate_completed()) {
        counters_.locate_seconds += event.locate_completed().locate_seconds();
        for (const v1::Skip& skip : event.locate_completed().skips()) {
          if (first || skip.reason() == v1::SKIP_REASON_TRUNCATED) tally_.Add(skip);
        }
        if (first) *completed = std::move(*event.mutable_locate_completed());
        return absl::OkStatus();
      } else {
        return absl::InternalError("a scanner answered out of order");
      }
    }
  }

  absl::Status Complete(const v1::LocateCompleted& completed, const OccurrenceWriter& writer,
                        Ledger::Recording& recording) {
    if (opened_.shallow()) {
      v1::Skip skip;
      skip.set_reason(v1::SKIP_REASON_MISSING);
      skip.set_detail("shallow clone: older history is not here (git fetch --unshallow gets it)");
      tally_.Add(skip);
    }
    v1::Coverage& coverage = outcome_.coverage;
    coverage.set_refs(opened_.refs());
    coverage.set_commits(completed.commits());
    coverage.set_submodules(completed.submodules());
    tally_.AppendTo(coverage.mutable_skips());
    coverage.set_blobs_scanned(coverage.blobs() - std::min(coverage.blobs(), blobs_skipped_));

    const std::vector<uint64_t> keys = run_.ruleset->keys();
    record_.set_name(target_.name);
    record_.set_tips_digest(tally_.has_unread() ? "" : NewWatermark());
    record_.mutable_rule_keys()->Assign(keys.begin(), keys.end());
    record_.set_head_ref(opened_.head_ref());
    *record_.mutable_coverage() = coverage;
    *record_.mutable_head() = completed.head();
    for (const std::string& name : writer.identifiers()) record_.mutable_head()->add_identifiers(name);
    const absl::Time start = absl::Now();
    RETURN_IF_ERROR(recording.Commit(record_));
    counters_.record_seconds += absl::ToDoubleSeconds(absl::Now() - start);
    return absl::OkStatus();
  }

  // ---- the conversation

  // Remembers whether a status says that the scanner is gone.
  absl::Status FromScanner(absl::Status status) {
    scanner_died_ |= absl::IsUnavailable(status);
    return status;
  }
  absl::Status Send(const v1::ShardCommand& command) {
    return FromScanner(scanner_->channel().Send(command));
  }

  // The next event; handles silence, death and failure.
  absl::Status NextEvent(Event* event) {
    std::vector<uint32_t> noted;
    absl::Time noted_since = absl::Now();
    for (;;) {
      if (*run_.stop) return absl::CancelledError("stopped");
      const absl::Status received = scanner_->channel().Receive(event, kPollInterval);
      if (received.ok()) break;
      if (!absl::IsDeadlineExceeded(received)) return FromScanner(received);
      std::vector<uint32_t> now = CurrentObjects();
      if (now != noted) {
        noted = std::move(now);
        noted_since = absl::Now();
      }
      // Between the objects it opens files, plans, and compares commits: longer than any object takes.
      const absl::Duration limit = run_.settings.hang_timeout * (noted.empty() ? 10 : 1);
      if (absl::Now() - noted_since > limit) {
        return FromScanner(absl::UnavailableError(
            absl::StrFormat("the scanner made no progress for %s", absl::FormatDuration(limit))));
      }
    }
    if (event->has_failure()) {
      return absl::Status(static_cast<absl::StatusCode>(event->failure().code()),
                          event->failure().message());
    }
    return absl::OkStatus();
  }

  // What each thread of the scanner is working on, as number + 1; 0 where it is on none.
  std::vector<uint32_t> CurrentObjects() const {
    std::vector<uint32_t> objects;
    for (int i = 0; i < threads(); ++i) {
      const uint32_t noted = scanner_->notes().current_object[i];
      if (noted != 0) objects.push_back(noted);
    }
    return objects;
  }

  // After a death: one strike for each object that was being worked on. Until one is found to be the
  // cause passes have one thread, so that it is certain. False: it died too often.
  bool NoteDeath() {
    std::vector<uint32_t> noted;
    if (scanner_ != nullptr) noted = CurrentObjects();  // Else it died before it was ready.
    bool found = false;
    for (const uint32_t object : noted) {
      if (++strikes_[object - 1] < kStrikes || !single_thread_) continue;
      avoid_.push_back(object - 1);
      avoid_objects_ = planned_objects_;
      found = true;
    }
    single_thread_ = !found;
    if (noted.empty()) ++blameless_;
    scanner_ = nullptr;
    return ++counters_.scanner_deaths < kMaxDeaths && blameless_ < kMaxBlameless;
  }

  template <typename Shard>
  void AddAvoided(Shard* shard) const {
    shard->mutable_avoid()->Add(avoid_.begin(), avoid_.end());
    shard->set_avoid_objects(avoid_objects_);
  }

  void ShowProgress(const v1::Progress& progress) {
    shown_bytes_ = progress.bytes_done();
    shown_matches_ = progress.matches();
    run_.progress->Update(target_.name, "scanning", progress.objects_done(),
                          progress.objects_total(), shown_bytes_, shown_matches_);
  }

  int threads() const { return single_thread_ ? 1 : threads_; }

  const RepositoryTarget& target_;
  const int threads_;
  const RunResources& run_;
  PassCounters& counters_;
  RepositoryOutcome outcome_;

  // Of the current pass.
  v1::RepositoryRecord record_;
  std::unique_ptr<Scanner> scanner_;
  v1::RepositoryOpened opened_;
  bool scanner_died_ = false;
  std::vector<RuleListId> rule_lists_;   // by BlobBatch::rules
  std::vector<std::vector<uint64_t>> rule_keys_;  // of the ledger's lists, by RuleListId
  std::vector<char> answer_of_list_;              // by RuleListId; kNoAnswer: not asked for yet
  std::vector<ObjectId> hits_;
  SkipTally tally_;
  uint64_t blobs_skipped_ = 0;
  uint64_t shown_bytes_ = 0, shown_matches_ = 0;

  // Over all passes.
  absl::flat_hash_map<uint32_t, int> strikes_;
  std::vector<uint32_t> avoid_;
  uint32_t avoid_objects_ = 0, planned_objects_ = 0;
  int blameless_ = 0;
  bool single_thread_ = false;
};

}  // namespace

std::string ScanSettingsText(const ScanSettings& settings) {
  return absl::StrFormat("%s %d", kEngineVersion, settings.max_object_bytes);
}

bool IsCurrent(const v1::RepositoryRecord& record, const Ruleset& ruleset) {
  const std::vector<uint64_t> wanted = ruleset.keys();
  return !record.tips_digest().empty() &&
         std::includes(record.rule_keys().begin(), record.rule_keys().end(), wanted.begin(), wanted.end());
}

RepositoryOutcome OutcomeOf(const v1::RepositoryRecord& record, const std::set<v1::SkipReason>& accepted) {
  RepositoryOutcome outcome;
  outcome.id = record.id();
  outcome.name = record.name();
  outcome.coverage = record.coverage();
  SetStatus(accepted, &outcome);
  ShrinkSkips(&outcome.coverage);
  return outcome;
}

absl::StatusOr<RepositoryOutcome> RunRepository(const RepositoryTarget& target, int threads,
                                                const RunResources& resources,
                                                PassCounters* counters) {
  resources.progress->StartRepository(target.name);
  absl::StatusOr<RepositoryOutcome> outcome =
      RepositoryRun(target, threads, resources, counters).Run();
  resources.progress->FinishRepository(target.name);
  return outcome;
}

void SetStatus(const std::set<v1::SkipReason>& accepted, RepositoryOutcome* outcome) {
  using Status = RepositoryOutcome::Status;
  const v1::Coverage& coverage = outcome->coverage;
  outcome->status = coverage.blobs() == 0 && coverage.commits() == 0 ? Status::kEmpty : Status::kOk;
  for (const v1::Skip& skip : coverage.skips()) {
    if (KindOf(skip.reason()) == SkipKind::kPolicy || accepted.count(skip.reason()) > 0) continue;
    outcome->status = Status::kPartial;
    outcome->reason = skip.detail();
    return;
  }
}

}  // namespace unsprawl
