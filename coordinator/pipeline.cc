#include "coordinator/pipeline.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/fetch_queue.h"
#include "coordinator/fork_networks.h"
#include "coordinator/forges/json_fields.h"
#include "coordinator/forges/listing.h"
#include "coordinator/mirror_budget.h"
#include "coordinator/report/coverage.h"
#include "coordinator/scan_queue.h"
#include "coordinator/targets.h"
#include "engine/base/object_id.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

using Status = RepositoryOutcome::Status;

constexpr size_t kMaxDropped = 500;  // of one repository's dropped commits that are asked for at once
constexpr uint64_t kUnknownBytes = 4'000'000'000;
constexpr int64_t kClockSlack = 24 * 3600;  // between ours and a forge's, seconds

std::string NoteName(const std::string& key) { return "mirror " + key; }

// Whether there was a push since `note`, for all that its forge says.
bool MayBePushedTo(const RemoteTarget& target, const v1::FetchNote& note) {
  return target.pushed_at == 0 || target.pushed_at != note.pushed_at();
}

// Whether its forge says that nothing was pushed since `note`, and it was audited lately.
bool IsUnmoved(const RemoteTarget& target, const v1::FetchNote& note, absl::Duration audit_every, int64_t now) {
  return !MayBePushedTo(target, note) && now - note.checked_at() < absl::ToInt64Seconds(audit_every);
}

v1::Skip SkipOf(v1::SkipReason reason, uint64_t count, const char* detail) {
  v1::Skip skip;
  skip.set_reason(reason);
  skip.set_count(count);
  skip.set_detail(detail);
  return skip;
}

class Pipeline {
 public:
  Pipeline(const PipelineOptions& options, const RunResources& run, RunTotals* totals)
      : options_(options),
        run_(run),
        totals_(*totals),
        budget_(options.mirrors_dir, options.mirrors_budget_bytes, run.stop),
        queue_(run.settings.threads, run.stop) {}

  void Run(std::vector<RepositoryTarget> local, std::vector<RemoteTarget> remote) {
    for (const RemoteTarget& target : remote) {  // Before anything is evicted.
      if (!target.gone.empty() || target.disabled) Mirror(options_.mirrors_dir / target.folder()).SetGone(true);
    }
    for (RepositoryTarget& target : local) queue_.Add({.target = std::move(target)});
    networks_.emplace(remote, options_.mirrors_dir, run_.stop);
    const size_t targets = remote.size();
    // git's index-pack takes a processor for as long as a large pack comes, and longer.
    const auto beside_large = static_cast<size_t>(std::max(1, run_.settings.threads / 4));
    FetchQueue fetches(std::move(remote), *networks_, options_.mirrors_dir,
                       static_cast<size_t>(std::max(1, options_.fetch_jobs)), beside_large, run_.stop);
    std::vector<std::thread> fetchers, lanes;
    for (size_t i = std::min(targets, fetches.width()); i > 0; --i) {
      fetchers.emplace_back([&] {
        while (const RemoteTarget* target = fetches.Take()) {
          Obtain(*target);
          networks_->Finish(*target);
          fetches.Return(target);
        }
      });
    }
    for (int i = 0; i < run_.settings.threads; ++i) {
      lanes.emplace_back([&] {
        while (std::optional<ScanQueue::Lent> lent = queue_.Take()) {
          Scan(lent->ready, lent->threads);
          queue_.Return(lent->threads);
        }
      });
    }
    for (std::thread& fetcher : fetchers) fetcher.join();
    queue_.Close();
    for (std::thread& lane : lanes) lane.join();
  }

 private:
  // ---- fetching

  // Ends with an outcome, or with the target in the queue.
  void Obtain(const RemoteTarget& target) {
    run_.progress->StartRepository(target.name);
    v1::RepositoryRecord record;
    absl::Status obtained = target.gone.empty() ? TryToObtain(target, &record) : EndAsGone(target, target.gone);
    if (absl::IsPermissionDenied(obtained) && !target.disabled && target.source->client != nullptr &&
        target.source->client->RenewGitTokens()) {
      obtained = TryToObtain(target, &record);
    }
    absl::StatusOr<HttpResponse> asked = absl::UnknownError("not asked");
    if (absl::IsNotFound(obtained) || absl::IsFailedPrecondition(obtained)) {
      asked = AskForge(target);
      if (const std::optional<RemoteTarget> renamed = Renamed(target, asked)) {
        obtained = TryToObtain(*renamed, &record);
      }
    }
    if (obtained.ok() || *run_.stop) return;
    Status how = StatusFor(obtained, asked.status());
    if (target.optional && absl::IsNotFound(obtained)) how = Status::kGone;
    if (how == Status::kGone) {
      const bool never_was = target.optional && record.rule_keys().empty();
      if (!never_was) obtained = EndAsGone(target, std::string(obtained.message()));
      if (never_was || obtained.ok()) return run_.progress->FinishRepository(target.name);
      how = Status::kFailed;
    }
    if (how == Status::kRefused) Mirror(options_.mirrors_dir / target.folder()).SetGone(true);
    run_.progress->FinishRepository(target.name);
    run_.progress->Say(absl::StrFormat("%s: %s", EscapeForTerminal(target.name),
                                       EscapeForTerminal(std::string(obtained.message()))));
    totals_.AddFailure(target.name, obtained, record, how);
  }

  // The outcome of one that is there no longer. Rules that it was not scanned under go over its mirror first,
  // if that is kept.
  absl::Status EndAsGone(const RemoteTarget& target, const std::string& why) {
    ASSIGN_OR_RETURN(Known known, LookUp(target, *run_.ruleset, run_.settings, options_.audit_every, 0, *run_.ledger));
    Mirror mirror(options_.mirrors_dir / target.folder());
    mirror.SetGone(true);
    if (!known.current && mirror.exists()) {
      // An interrupted first fetch leaves one that holds nothing.
      ASSIGN_OR_RETURN(const std::vector<std::string> tips, mirror.Tips(options_.fetch));
      if (!tips.empty()) {
        RETURN_IF_ERROR(budget_.Use(target.folder(), 0));
        return EnqueueInUse(target, nullptr, std::move(known.note), &mirror, why);
      }
    }
    RepositoryOutcome outcome = OutcomeOf(known.record, {});
    if (!known.current && outcome.coverage.blobs() > 0) {
      *outcome.coverage.add_skips() = SkipOf(v1::SKIP_REASON_UNOBTAINABLE, outcome.coverage.blobs(),
                                             "scanned under older rules only; no mirror of it is kept");
    }
    SetGone(target.source->accepted, why, &outcome);
    totals_.Add(std::move(outcome), {});
    run_.progress->FinishRepository(target.name);
    return absl::OkStatus();
  }

  // What is there no longer was scanned whole, or not.
  static void SetGone(const std::set<v1::SkipReason>& accepted, const std::string& why, RepositoryOutcome* outcome) {
    SetStatus(accepted, outcome);
    const bool whole = IsWhole(outcome->status);
    if (whole) outcome->status = Status::kGone;
    outcome->reason = whole ? why : absl::StrFormat("%s; and of what was known: %s", why, outcome->reason);
  }

  absl::Status TryToObtain(const RemoteTarget& target, v1::RepositoryRecord* record) {
    const int64_t now = absl::ToUnixSeconds(absl::Now());
    ASSIGN_OR_RETURN(Known known, LookUp(target, *run_.ruleset, run_.settings, options_.audit_every, now,
                                         *run_.ledger));
    *record = known.record;
    if (target.disabled) return absl::PermissionDeniedError("its forge has disabled it");
    v1::MirrorNote& note = known.note;
    if (known.current && known.unmoved) {
      AddUnchanged(target, *record);
      return absl::OkStatus();
    }
    Mirror mirror(options_.mirrors_dir / target.folder());
    const v1::FetchNote kept = mirror.fetched();
    const v1::FetchNote scanned = note.fetched();
    // The rules are others, or the store is new; the repository is the same: its mirror is as good as the forge.
    if (!kept.refs_digest().empty() && (scanned.refs_digest().empty() || note.mirror_id() == mirror.id()) &&
        IsUnmoved(target, kept, options_.audit_every, now)) {
      RETURN_IF_ERROR(budget_.Use(target.folder(), 0));
      if (mirror.exists()) {  // It was not evicted meanwhile.
        *note.mutable_fetched() = kept;
        return EnqueueInUse(target, nullptr, std::move(note), &mirror);
      }
      budget_.Release(target.folder());
    }
    run_.progress->Update(target.name, "fetching", 0, 0, 0, 0);
    CloneUrl url;
    ASSIGN_OR_RETURN(const Mirror::Refs refs, ListRefs(target, &url));
    mirror.SetGone(false);
    const bool was_scanned = known.current && scanned.refs_digest() == refs.digest && HoldsNoMore(mirror, kept, note);
    v1::FetchNote& fetched = *note.mutable_fetched();
    if (!kept.refs_digest().empty()) fetched = kept;
    fetched.set_refs_digest(refs.digest);
    fetched.set_pushed_at(target.pushed_at);
    fetched.set_checked_at(now);
    fetched.set_refs_left_out(refs.pull_requests ? 0 : refs.pull_request_refs);
    if (was_scanned) {
      ASSIGN_OR_RETURN(const bool dropped, HasDropped(target, scanned));
      if (!dropped) {
        const absl::Status set = kept.refs_digest() == refs.digest ? mirror.SetFetched(fetched) : absl::OkStatus();
        if (!set.ok() && mirror.exists()) return set;  // Else it was just evicted.
        RETURN_IF_ERROR(run_.ledger->WriteNote(NoteName(target.key), note.SerializeAsString()));
        AddUnchanged(target, *record);
        return absl::OkStatus();
      }
    }
    return Fetch(target, url, refs, scanned, std::move(note));
  }

  // Whether a mirror has nothing that was fetched, by a run that was killed or into another store, since the scan
  // that `note` is of. `kept`: Mirror::fetched.
  static bool HoldsNoMore(const Mirror& mirror, const v1::FetchNote& kept, const v1::MirrorNote& note) {
    const v1::FetchNote& scanned = note.fetched();
    return !mirror.exists() ||
           (kept.refs_digest() == scanned.refs_digest() && kept.dropped_asked() == scanned.dropped_asked() &&
            note.lost_tips() == PackedLost(mirror));
  }

  // Asks the remote for its refs. Sets *url to the one that it answered: where one token is refused, another
  // may not be.
  absl::StatusOr<Mirror::Refs> ListRefs(const RemoteTarget& target, CloneUrl* url) {
    ASSIGN_OR_RETURN(const std::vector<CloneUrl> urls, UrlsWithTokens(target));
    absl::StatusOr<Mirror::Refs> refs = absl::UnknownError("not asked");
    for (const CloneUrl& candidate : urls) {
      *url = candidate;
      refs = Mirror::List(candidate, options_.fetch);
      if (!absl::IsPermissionDenied(refs.status()) && !absl::IsNotFound(refs.status())) break;
    }
    return refs;
  }

  // `scanned`: what the last scan had. What an evicted mirror had of dropped commits is recalled.
  absl::Status Fetch(const RemoteTarget& target, const CloneUrl& url, const Mirror::Refs& refs,
                     const v1::FetchNote& scanned, v1::MirrorNote note) {
    Mirror mirror(options_.mirrors_dir / target.folder());
    v1::FetchNote before;
    if (mirror.exists()) {
      RETURN_IF_ERROR(Update(target, url, refs, &mirror, &before));
    } else {
      ASSIGN_OR_RETURN(const std::string lender, networks_->LenderFor(target));
      RETURN_IF_ERROR(FetchFirst(target, url, refs, lender, &mirror));
    }
    budget_.Fetched(target.folder());
    const v1::FetchNote& known = before.refs_digest().empty() ? scanned : before;
    const absl::Status done = FetchDropped(target, url, known, &mirror, note.mutable_fetched());
    if (!done.ok()) {
      budget_.Release(target.folder());
      return done;
    }
    return EnqueueInUse(target, &url, std::move(note), &mirror);
  }

  // OK: the mirror is in use. *before: what was last fetched into it.
  absl::Status Update(const RemoteTarget& target, const CloneUrl& url, const Mirror::Refs& refs, Mirror* mirror,
                      v1::FetchNote* before) {
    RETURN_IF_ERROR(budget_.Use(target.folder(), 0));  // Of an update a forge does not say how large it is.
    *before = mirror->fetched();
    if (before->refs_digest() == refs.digest) return absl::OkStatus();
    const absl::Status done = mirror->Fetch(url, refs, options_.fetch);
    if (!done.ok()) budget_.Release(target.folder());
    return done;
  }

  // OK: the mirror is in use.
  absl::Status FetchFirst(const RemoteTarget& target, const CloneUrl& url, const Mirror::Refs& refs,
                          const std::string& lender, Mirror* mirror) {
    const Mirror lending(options_.mirrors_dir / lender);
    const bool borrows = options_.fetch.backend == FetchBackend::kGit && !lender.empty() &&
                         lender != target.folder() && lending.exists();
    // What a forge calls a size is about that of the packs; of a fork nearly all is its lender's.
    const uint64_t expected = borrows || target.optional ? 0
                              : target.size_kb > 0       ? target.size_kb * 1024
                                                         : SizeOfUnknown();
    RETURN_IF_ERROR(budget_.Use(target.folder(), expected, borrows ? lender : ""));
    absl::Status done;
    if (borrows) done = mirror->Borrow(lending);
    if (done.ok()) done = mirror->Fetch(url, refs, options_.fetch);
    if (!done.ok()) budget_.Release(target.folder());
    return done;
  }

  // What is kept free for one whose forge does not say how large it is.
  uint64_t SizeOfUnknown() const { return std::min<uint64_t>(options_.mirrors_budget_bytes, kUnknownBytes); }

  // Into the scan's queue with what is fetched, or given back. `url` null: its remote is not asked. `gone`: why it
  // will not be fetched any more; empty: it will.
  absl::Status EnqueueInUse(const RemoteTarget& target, const CloneUrl* url, v1::MirrorNote note, Mirror* mirror,
                            std::string gone = "") {
    absl::Status done = Recall(url, mirror, &note);
    if (done.ok() && url != nullptr) done = mirror->SetFetched(note.fetched());
    if (!done.ok()) {
      budget_.Release(target.folder());
      return done;
    }
    Enqueue(target, *mirror, std::move(note), std::move(gone));
    return absl::OkStatus();
  }

  // Makes *note one of what the mirror has and of what it should have: what could not be had is asked for by id
  // once more, and so are, if it is another mirror than was scanned, the tips and lost tips of then.
  absl::Status Recall(const CloneUrl* url, Mirror* mirror, v1::MirrorNote* note) {
    std::vector<std::string> wanted = mirror->missing_tips();
    if (note->mirror_id().empty() || note->mirror_id() != mirror->id()) {
      for (const std::string* packed : {&note->lost_tips(), &note->tips()}) {
        for (const ObjectId& id : UnpackObjectIds(*packed)) wanted.push_back(id.ToHex());
      }
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> missing, mirror->FetchLost(url, wanted, options_.fetch));
    RETURN_IF_ERROR(mirror->NoteMissing(missing));
    ASSIGN_OR_RETURN(const std::vector<std::string> tips, mirror->Tips(options_.fetch));
    note->set_tips(Packed(tips));
    note->set_lost_tips(PackedLost(*mirror));
    note->set_mirror_id(mirror->id());
    return absl::OkStatus();
  }

  static std::string PackedLost(const Mirror& mirror) {
    return Packed(mirror.lost_tips()) + Packed(mirror.missing_tips());
  }
  static std::string Packed(const std::vector<std::string>& ids) {
    std::string packed;
    for (const std::string& hex : ids) {
      if (const auto id = ObjectId::FromHex(hex)) packed += id->raw();
    }
    return packed;
  }

  void Enqueue(const RemoteTarget& target, const Mirror& mirror, v1::MirrorNote note, std::string gone) {
    ReadyTarget ready;
    ready.gone = std::move(gone);
    ready.target.key = target.key;
    ready.target.name = target.name;
    ready.target.path = mirror.dir();
    ready.target.pack_bytes = PackBytes(mirror.dir());
    ready.target.borrows = !mirror.lender().empty();
    ready.target.lost_tips = Packed(mirror.lost_tips());
    if (note.fetched().refs_left_out() > 0) {
      ready.target.skips.push_back(SkipOf(v1::SKIP_REASON_NOT_FETCHED, note.fetched().refs_left_out(),
                                          "pull requests beyond --max-pull-requests"));
    }
    const bool may_ask = !target.DroppedCommitsPaths().empty();
    if (may_ask && !note.fetched().dropped_asked()) {
      ready.target.skips.push_back(SkipOf(v1::SKIP_REASON_NOT_FETCHED, 1,
                                          "commits that were dropped: its forge was not asked, or did not answer"));
    }
    if (note.fetched().dropped_cut()) {
      ready.target.skips.push_back(SkipOf(v1::SKIP_REASON_NOT_FETCHED, 1, "dropped commits but for the newest 500"));
    }
    if (const size_t missing = mirror.missing_tips().size(); missing > 0) {
      ready.target.skips.push_back(SkipOf(v1::SKIP_REASON_UNOBTAINABLE, missing,
                                          "commits of force pushes and deleted branches; their mirror was deleted"));
    }
    ready.target.accepted = target.source->accepted;
    ready.folder = target.folder();
    ready.note = std::move(note);
    run_.progress->Update(target.name, "waiting to be scanned", 0, 0, 0, 0);
    queue_.Add(std::move(ready));
  }

  // Fetches what force pushes and deleted branches left without a ref since `before`, where the forge names it.
  // What cannot be asked for now is asked for the next time.
  absl::Status FetchDropped(const RemoteTarget& target, const CloneUrl& url, const v1::FetchNote& before,
                            Mirror* mirror, v1::FetchNote* fetched) {
    if (target.DroppedCommitsPaths().empty()) return absl::OkStatus();
    const bool asked = before.dropped_asked();
    fetched->set_dropped_asked(asked);
    if (asked && before.refs_digest() == fetched->refs_digest() && !MayBePushedTo(target, before)) {
      return absl::OkStatus();
    }
    fetched->set_dropped_asked(false);
    // Without a token there are 60 calls an hour; libgit2 cannot ask for an id.
    if (target.source->client->is_anonymous() || options_.fetch.backend == FetchBackend::kLibgit2) {
      return absl::OkStatus();
    }
    if (!asked && first_asked_++ >= options_.max_dropped_commits) return absl::OkStatus();
    bool whole = true;
    const absl::StatusOr<std::vector<std::string>> ids = ListDropped(target, before, &whole);
    if (!ids.ok()) return absl::IsCancelled(ids.status()) ? ids.status() : absl::OkStatus();
    if (!whole) fetched->set_dropped_cut(true);
    fetched->set_dropped_asked(true);
    return mirror->FetchLost(&url, *ids, options_.fetch).status();
  }

  // Whether something came and went since `before`, which refs do not show.
  static absl::StatusOr<bool> HasDropped(const RemoteTarget& target, const v1::FetchNote& before) {
    if (!before.dropped_asked() || !MayBePushedTo(target, before)) return false;
    bool whole = true;
    const absl::StatusOr<std::vector<std::string>> ids = ListDropped(target, before, &whole);
    if (absl::IsCancelled(ids.status())) return ids.status();
    return !ids.ok() || !ids->empty() || !whole;
  }

  // What its forge says was dropped since `before`, or ever. *whole: there is no more of it.
  static absl::StatusOr<std::vector<std::string>> ListDropped(const RemoteTarget& target, const v1::FetchNote& before,
                                                              bool* whole) {
    const int64_t since = before.dropped_asked() ? before.checked_at() - kClockSlack : 0;
    std::vector<std::string> ids;
    for (const std::string& path : target.DroppedCommitsPaths()) {
      ASSIGN_OR_RETURN(const bool all, ListDropped(target, path, since, &ids));
      *whole = *whole && all;
    }
    return ids;
  }

  // Appends what the listing at `page` names since `since`, seconds since the epoch. False: it names more.
  static absl::StatusOr<bool> ListDropped(const RemoteTarget& target, std::string page, int64_t since,
                                          std::vector<std::string>* ids) {
    size_t left = kMaxDropped;
    while (!page.empty()) {
      const absl::StatusOr<HttpResponse> response = target.source->client->Get(page, target.source->forge->Headers());
      // Not every token may ask, and not every server can be asked; the refs are covered anyway.
      if (absl::IsPermissionDenied(response.status()) || absl::IsNotFound(response.status())) return true;
      if (!response.ok()) return response.status();
      ASSIGN_OR_RETURN(const Json list, ParseBody(*response));
      if (!list.is_array() || list.empty()) return true;
      for (const Json& drop : list) {
        const int64_t time = TimeField(drop, "timestamp");
        if (time != 0 && time < since) return true;
        if (left-- == 0) return false;
        ids->push_back(TextField(drop, "before"));
      }
      page = NextLink(*response);
    }
    return true;
  }

  // What the forge's API says of one repository. Unknown: there is nobody to ask.
  static absl::StatusOr<HttpResponse> AskForge(const RemoteTarget& target) {
    const RemoteSource& source = *target.source;
    if (source.client == nullptr || target.optional) return absl::UnknownError("nobody to ask");
    return source.client->Get(source.forge->RepositoryPath(target.AtForge()), source.forge->Headers());
  }

  // The repository under the name that its forge knows it by now, if that is another: it was renamed or
  // moved since it was listed. git follows no redirect.
  static std::optional<RemoteTarget> Renamed(const RemoteTarget& target,
                                             const absl::StatusOr<HttpResponse>& asked) {
    if (!asked.ok()) return std::nullopt;
    const absl::StatusOr<Json> json = ParseBody(*asked);
    if (!json.ok()) return std::nullopt;
    const RemoteSource& source = *target.source;
    const v1::ForgeRepository before = target.AtForge();
    const v1::ForgeRepository repository = source.forge->ParseRepository(source.scope, *json);
    if (repository.id() != before.id() || repository.full_name() == before.full_name() ||
        !IsCleanPath(repository.clone_path())) {
      return std::nullopt;
    }
    RemoteTarget renamed = target;
    renamed.url = source.web_url + "/" + repository.clone_path();
    return renamed;
  }

  // Git cannot tell what is gone from what is withheld; the API, `asked`, can.
  static Status StatusFor(const absl::Status& obtained, const absl::Status& asked) {
    if (absl::IsPermissionDenied(obtained) || absl::IsAborted(obtained)) return Status::kRefused;
    if (absl::IsUnimplemented(obtained)) return Status::kNotCovered;
    if (!absl::IsNotFound(obtained)) return Status::kFailed;
    if (absl::IsNotFound(asked)) return Status::kGone;
    const bool withheld = asked.ok() || absl::IsPermissionDenied(asked) || absl::IsAborted(asked);
    return withheld ? Status::kRefused : Status::kFailed;
  }

  void AddUnchanged(const RemoteTarget& target, const v1::RepositoryRecord& record) {
    PassCounters counters;
    counters.unchanged = true;
    totals_.Add(OutcomeOf(record, target.source->accepted), counters);
    run_.progress->FinishRepository(target.name);
  }

  // ---- scanning

  void Scan(ReadyTarget& ready, int threads) {
    PassCounters counters;
    absl::StatusOr<RepositoryOutcome> outcome = RunRepository(ready.target, threads, run_, &counters);
    if (!ready.folder.empty()) budget_.Release(ready.folder);
    if (!outcome.ok()) return;  // Stopped: the run ends without a report.
    const bool scanned = outcome->status != Status::kFailed && outcome->status != Status::kNotCovered;
    if (!scanned) {
      run_.progress->Say(absl::StrFormat("%s: %s", EscapeForTerminal(ready.target.name),
                                         EscapeForTerminal(outcome->reason)));
    }
    if (scanned && !ready.folder.empty()) {
      // Last, after what it says: a crash before costs a comparison of refs.
      const absl::Status noted = NoteScanned(&ready, outcome->id);
      if (!noted.ok()) {
        outcome->status = Status::kFailed;
        outcome->reason = std::string(noted.message());
      } else if (!ready.gone.empty()) {
        SetGone(ready.target.accepted, ready.gone, &*outcome);
      }
    }
    totals_.Add(*std::move(outcome), counters);
  }

  absl::Status NoteScanned(ReadyTarget* ready, uint64_t id) {
    ASSIGN_OR_RETURN(const auto record, run_.ledger->ReadRepository(id));
    if (!record) return absl::OkStatus();
    ready->note.set_watermark(record->tips_digest());
    ready->note.set_settings(ScanSettingsText(run_.settings));
    return run_.ledger->WriteNote(NoteName(ready->target.key), ready->note.SerializeAsString());
  }

  const PipelineOptions& options_;
  const RunResources& run_;
  RunTotals& totals_;
  MirrorBudget budget_;
  std::atomic<uint64_t> first_asked_ = 0;  // repositories whose dropped commits were asked for the first time
  std::optional<ForkNetworks> networks_;
  ScanQueue queue_;
};

}  // namespace

absl::StatusOr<Known> LookUp(const RemoteTarget& target, const Ruleset& ruleset, const ScanSettings& settings,
                             absl::Duration audit_every, int64_t now, Ledger& ledger) {
  Known known;
  ASSIGN_OR_RETURN(known.record, ledger.OpenRepository(target.key, target.name));
  ASSIGN_OR_RETURN(const auto stored, ledger.ReadNote(NoteName(target.key)));
  if (stored && !known.note.ParseFromString(*stored)) known.note.Clear();
  known.current = IsCurrent(known.record, ruleset) && known.note.watermark() == known.record.tips_digest() &&
                  known.note.settings() == ScanSettingsText(settings);
  known.unmoved = IsUnmoved(target, known.note.fetched(), audit_every, now);
  return known;
}

void RunPipeline(std::vector<RepositoryTarget> local, std::vector<RemoteTarget> remote,
                 const PipelineOptions& options, const RunResources& run, RunTotals* totals) {
  Pipeline(options, run, totals).Run(std::move(local), std::move(remote));
}

}  // namespace unsprawl
