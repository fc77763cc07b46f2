#include "worker/pipeline.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "engine/base/object_id.h"
#include "engine/base/status.h"
#include "engine/git/repository.h"
#include "worker/mirror_budget.h"
#include "worker/scan_queue.h"

namespace unsprawl {
namespace {

constexpr uint64_t kUnknownBytes = 4'000'000'000;

// Whether there was a push since `note`, for all that its forge says.
bool MayBePushedTo(int64_t pushed_at, const v1::FetchNote& note) {
  return pushed_at == 0 || pushed_at != note.pushed_at();
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
  Pipeline(const PipelineOptions& options, const ScanResources& scan)
      : options_(options),
        scan_(scan),
        budget_(options.mirrors_dir, options.mirrors_budget_bytes, scan.stop),
        queue_(scan.threads, scan.stop) {}

  void Run(std::vector<ReadyTarget> local, LeaseSource& leases) {
    for (ReadyTarget& ready : local) queue_.Add(std::move(ready));
    std::vector<std::thread> fetchers, lanes;
    for (size_t i = leases.width(); i > 0; --i) {
      fetchers.emplace_back([&] {
        while (std::unique_ptr<Lease> lease = leases.Take()) Obtain(std::move(lease));
      });
    }
    for (int i = 0; i < scan_.threads; ++i) {
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
  // A lease and what is known of its repository, until it can be scanned.
  struct Work {
    std::unique_ptr<Lease> lease;
    v1::KnownTarget known;
    std::string url;
  };

  // ---- fetching

  // Ends with an outcome, or with the target in the queue.
  void Obtain(std::unique_ptr<Lease> owned) {
    const v1::LentTarget& target = owned->target();
    const std::string name = target.name();
    scan_.progress->StartRepository(name);
    Work work{.lease = std::move(owned), .known = {}, .url = target.url()};
    absl::Status obtained = target.gone().empty() ? TryToObtain(work) : EndAsGone(work, target.gone());
    if (absl::IsPermissionDenied(obtained) && !target.disabled() && target.has_forge() &&
        work.lease->RenewTokens().ok()) {
      obtained = TryToObtain(work);
    }
    absl::StatusOr<std::string> asked = absl::UnknownError("not asked");
    if (absl::IsNotFound(obtained) || absl::IsFailedPrecondition(obtained)) {
      asked = work.lease->AskForge();
      if (asked.ok() && !asked->empty()) {
        work.url = *asked;
        obtained = TryToObtain(work);
      }
    }
    if (obtained.ok()) return;
    scan_.progress->FinishRepository(name);
    if (*scan_.stop || work.lease->is_lost()) return;
    v1::TargetEnd::How how = HowFor(obtained, asked.status());
    if (target.optional() && absl::IsNotFound(obtained)) how = v1::TargetEnd::GONE;
    if (how == v1::TargetEnd::GONE) {
      obtained = EndAsGone(work, std::string(obtained.message()));
      if (obtained.ok()) return;
      how = v1::TargetEnd::FAILED;
    }
    if (how == v1::TargetEnd::REFUSED) Mirror(MirrorDir(target)).SetGone(true);
    work.lease->Say("failed", obtained);
    End(*work.lease, FailureOf(how, obtained));
  }

  std::filesystem::path MirrorDir(const v1::LentTarget& target) const {
    return options_.mirrors_dir / target.folder();
  }

  // The last word on a repository of which nothing is left to scan.
  void End(Lease& lease, const v1::TargetEnd& end) {
    lease.EndFetch();
    scan_.progress->FinishRepository(lease.target().name());
    const absl::Status ended = lease.End(end);
    if (!ended.ok()) SayLost(lease, ended);
  }
  static void SayLost(Lease& lease, const absl::Status& why) {
    lease.Say("unrecorded", absl::Status(why.code(), absl::StrFormat("how it ended could not be recorded: %s",
                                                                     std::string(why.message()))));
  }

  // The outcome of one that is there no longer. Rules that it was not scanned under go over its mirror first,
  // if that is kept.
  absl::Status EndAsGone(Work& work, const std::string& why) {
    ASSIGN_OR_RETURN(work.known, work.lease->LookUp());
    const v1::LentTarget& target = work.lease->target();
    Mirror mirror(MirrorDir(target));
    mirror.SetGone(true);
    if (!work.known.current() && mirror.exists()) {
      // An interrupted first fetch leaves one that holds nothing.
      ASSIGN_OR_RETURN(const std::vector<std::string> tips, mirror.Tips(FetchOptionsFor(target)));
      if (!tips.empty()) {
        RETURN_IF_ERROR(budget_.Use(target.folder(), 0));
        return EnqueueInUse(work, nullptr, &mirror, why);
      }
    }
    End(*work.lease, EndOf(v1::TargetEnd::GONE, why));
    return absl::OkStatus();
  }

  FetchOptions FetchOptionsFor(const v1::LentTarget& target) const {
    FetchOptions fetch = options_.fetch;
    fetch.max_pull_requests = target.settings().max_pull_requests();
    return fetch;
  }

  static bool IsUnmovedFor(const v1::LentTarget& target, const v1::FetchNote& note, int64_t now) {
    return IsUnmoved(target.pushed_at(), note, absl::Seconds(target.settings().audit_seconds()), now);
  }

  absl::Status TryToObtain(Work& work) {
    ASSIGN_OR_RETURN(work.known, work.lease->LookUp());
    const int64_t now = work.known.now();  // Ours may be wrong.
    const v1::LentTarget& target = work.lease->target();
    if (target.disabled()) return absl::PermissionDeniedError("its forge has disabled it");
    v1::MirrorNote& note = *work.known.mutable_note();
    if (work.known.current() && work.known.unmoved()) {
      End(*work.lease, EndOf(v1::TargetEnd::UNCHANGED));
      return absl::OkStatus();
    }
    Mirror mirror(MirrorDir(target));
    const v1::FetchNote kept = mirror.fetched();
    const v1::FetchNote scanned = note.fetched();
    // The rules are others, or the store is new; the repository is the same: its mirror is as good as the forge.
    if (!kept.refs_digest().empty() && (scanned.refs_digest().empty() || note.mirror_id() == mirror.id()) &&
        IsUnmovedFor(target, kept, now)) {
      RETURN_IF_ERROR(budget_.Use(target.folder(), 0));
      if (mirror.exists()) {  // It was not evicted meanwhile.
        *note.mutable_fetched() = kept;
        return EnqueueInUse(work, nullptr, &mirror);
      }
      budget_.Release(target.folder());
    }
    scan_.progress->Update(target.name(), "fetching", 0, 0, 0, 0);
    CloneUrl url;
    ASSIGN_OR_RETURN(const Mirror::Refs refs, ListRefs(work, &url));
    mirror.SetGone(false);
    const bool was_scanned =
        work.known.current() && scanned.refs_digest() == refs.digest && HoldsNoMore(mirror, kept, note);
    v1::FetchNote& fetched = *note.mutable_fetched();
    if (!kept.refs_digest().empty()) fetched = kept;
    fetched.set_refs_digest(refs.digest);
    fetched.set_pushed_at(target.pushed_at());
    fetched.set_checked_at(now);
    fetched.set_refs_left_out(refs.pull_requests ? 0 : refs.pull_request_refs);
    if (was_scanned) {
      ASSIGN_OR_RETURN(const bool dropped, HasDropped(*work.lease, scanned));
      if (!dropped) {
        const absl::Status set = kept.refs_digest() == refs.digest ? mirror.SetFetched(fetched) : absl::OkStatus();
        if (!set.ok() && mirror.exists()) return set;  // Else it was just evicted.
        v1::TargetEnd end = EndOf(v1::TargetEnd::UNCHANGED);
        *end.mutable_note() = note;
        End(*work.lease, end);
        return absl::OkStatus();
      }
    }
    return Fetch(work, url, refs, scanned);
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
  absl::StatusOr<Mirror::Refs> ListRefs(const Work& work, CloneUrl* url) {
    ASSIGN_OR_RETURN(const std::vector<std::string> authorizations, work.lease->Authorizations());
    const FetchOptions fetch = FetchOptionsFor(work.lease->target());
    absl::StatusOr<Mirror::Refs> refs = absl::UnknownError("not asked");
    for (const std::string& authorization : authorizations) {
      *url = CloneUrlOf(work.url, work.lease->target().name(), authorization);
      refs = Mirror::List(*url, fetch);
      if (!absl::IsPermissionDenied(refs.status()) && !absl::IsNotFound(refs.status())) break;
    }
    return refs;
  }

  // `scanned`: what the last scan had. What an evicted mirror had of dropped commits is recalled.
  absl::Status Fetch(Work& work, const CloneUrl& url, const Mirror::Refs& refs, const v1::FetchNote& scanned) {
    const v1::LentTarget& target = work.lease->target();
    Mirror mirror(MirrorDir(target));
    v1::FetchNote before;
    if (mirror.exists()) {
      RETURN_IF_ERROR(Update(target, url, refs, &mirror, &before));
    } else {
      ASSIGN_OR_RETURN(const std::string lender, work.lease->Lender());
      RETURN_IF_ERROR(FetchFirst(target, url, refs, lender, &mirror));
    }
    budget_.Fetched(target.folder());
    const v1::FetchNote& known = before.refs_digest().empty() ? scanned : before;
    const absl::Status done =
        FetchDropped(*work.lease, url, known, &mirror, work.known.mutable_note()->mutable_fetched());
    if (!done.ok()) {
      budget_.Release(target.folder());
      return done;
    }
    return EnqueueInUse(work, &url, &mirror);
  }

  // OK: the mirror is in use. *before: what was last fetched into it.
  absl::Status Update(const v1::LentTarget& target, const CloneUrl& url, const Mirror::Refs& refs, Mirror* mirror,
                      v1::FetchNote* before) {
    RETURN_IF_ERROR(budget_.Use(target.folder(), 0));  // Of an update a forge does not say how large it is.
    *before = mirror->fetched();
    if (before->refs_digest() == refs.digest) return absl::OkStatus();
    const absl::Status done = mirror->Fetch(url, refs, FetchOptionsFor(target));
    if (!done.ok()) budget_.Release(target.folder());
    return done;
  }

  // OK: the mirror is in use.
  absl::Status FetchFirst(const v1::LentTarget& target, const CloneUrl& url, const Mirror::Refs& refs,
                          const std::string& lender, Mirror* mirror) {
    const Mirror lending(options_.mirrors_dir / lender);
    const bool borrows = options_.fetch.backend == FetchBackend::kGit && !lender.empty() &&
                         lender != target.folder() && lending.exists();
    // What a forge calls a size is about that of the packs; of a fork nearly all is its lender's.
    const uint64_t expected = borrows || target.optional() ? 0
                              : target.size_kb() > 0       ? target.size_kb() * 1024
                                                           : SizeOfUnknown();
    RETURN_IF_ERROR(budget_.Use(target.folder(), expected, borrows ? lender : ""));
    absl::Status done;
    if (borrows) done = mirror->Borrow(lending);
    if (done.ok()) done = mirror->Fetch(url, refs, FetchOptionsFor(target));
    if (!done.ok()) budget_.Release(target.folder());
    return done;
  }

  // What is kept free for one whose forge does not say how large it is.
  uint64_t SizeOfUnknown() const { return std::min<uint64_t>(options_.mirrors_budget_bytes, kUnknownBytes); }

  // Into the scan's queue with what is fetched, or given back. `url` null: its remote is not asked. `gone`: why it
  // will not be fetched any more; empty: it will.
  absl::Status EnqueueInUse(Work& work, const CloneUrl* url, Mirror* mirror, std::string gone = "") {
    const v1::LentTarget& target = work.lease->target();
    absl::Status done = Recall(target, url, mirror, work.known.mutable_note());
    if (done.ok() && url != nullptr) done = mirror->SetFetched(work.known.note().fetched());
    if (!done.ok()) {
      budget_.Release(target.folder());
      return done;
    }
    Enqueue(work, *mirror, std::move(gone));
    return absl::OkStatus();
  }

  // Makes *note one of what the mirror has and of what it should have: what could not be had is asked for by id
  // once more, and so are, if it is another mirror than was scanned, the tips and lost tips of then.
  absl::Status Recall(const v1::LentTarget& target, const CloneUrl* url, Mirror* mirror, v1::MirrorNote* note) {
    const FetchOptions fetch = FetchOptionsFor(target);
    std::vector<std::string> wanted = mirror->missing_tips();
    if (note->mirror_id().empty() || note->mirror_id() != mirror->id()) {
      for (const std::string* packed : {&note->lost_tips(), &note->tips()}) {
        for (const ObjectId& id : UnpackObjectIds(*packed)) wanted.push_back(id.ToHex());
      }
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> missing, mirror->FetchLost(url, wanted, fetch));
    RETURN_IF_ERROR(mirror->NoteMissing(missing));
    ASSIGN_OR_RETURN(const std::vector<std::string> tips, mirror->Tips(fetch));
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

  void Enqueue(Work& work, const Mirror& mirror, std::string gone) {
    const v1::LentTarget& target = work.lease->target();
    const v1::FetchNote& fetched = work.known.note().fetched();
    ReadyTarget ready;
    ready.gone = std::move(gone);
    ready.target.key = target.key();
    ready.target.name = target.name();
    ready.target.path = mirror.dir();
    ready.target.pack_bytes = PackBytes(mirror.dir());
    ready.target.borrows = !mirror.lender().empty();
    ready.target.lost_tips = Packed(mirror.lost_tips());
    std::vector<v1::Skip>& skips = ready.target.skips;
    if (fetched.refs_left_out() > 0) {
      skips.push_back(SkipOf(v1::SKIP_REASON_NOT_FETCHED, fetched.refs_left_out(),
                             "pull requests beyond --max-pull-requests"));
    }
    if (target.names_dropped() && !fetched.dropped_asked()) {
      skips.push_back(SkipOf(v1::SKIP_REASON_NOT_FETCHED, 1,
                             "commits that were dropped: its forge was not asked, or did not answer"));
    }
    if (fetched.dropped_cut()) {
      skips.push_back(SkipOf(v1::SKIP_REASON_NOT_FETCHED, 1, "dropped commits but for the newest 500"));
    }
    if (const size_t missing = mirror.missing_tips().size(); missing > 0) {
      skips.push_back(SkipOf(v1::SKIP_REASON_UNOBTAINABLE, missing,
                             "commits of force pushes and deleted branches; their mirror was deleted"));
    }
    ready.folder = target.folder();
    ready.note = work.known.note();
    scan_.progress->Update(target.name(), "waiting to be scanned", 0, 0, 0, 0);
    work.lease->EndFetch();
    ready.lease = std::move(work.lease);
    queue_.Add(std::move(ready));
  }

  // Fetches what force pushes and deleted branches left without a ref since `before`, where the forge names it.
  // What cannot be asked for now is asked for the next time.
  absl::Status FetchDropped(Lease& lease, const CloneUrl& url, const v1::FetchNote& before, Mirror* mirror,
                            v1::FetchNote* fetched) {
    if (!lease.target().names_dropped()) return absl::OkStatus();
    fetched->set_dropped_asked(before.dropped_asked());
    if (before.dropped_asked() && before.refs_digest() == fetched->refs_digest() &&
        !MayBePushedTo(lease.target().pushed_at(), before)) {
      return absl::OkStatus();
    }
    fetched->set_dropped_asked(false);
    if (options_.fetch.backend == FetchBackend::kLibgit2) return absl::OkStatus();  // It cannot ask for an id.
    ASSIGN_OR_RETURN(const v1::DroppedCommits dropped, lease.ListDropped(before));
    if (!dropped.asked()) return absl::OkStatus();
    if (dropped.cut()) fetched->set_dropped_cut(true);
    fetched->set_dropped_asked(true);
    const std::vector<std::string> ids(dropped.ids().begin(), dropped.ids().end());
    return mirror->FetchLost(&url, ids, FetchOptionsFor(lease.target())).status();
  }

  // Whether something came and went since `before`, which refs do not show.
  static absl::StatusOr<bool> HasDropped(Lease& lease, const v1::FetchNote& before) {
    if (!before.dropped_asked() || !MayBePushedTo(lease.target().pushed_at(), before)) return false;
    ASSIGN_OR_RETURN(const v1::DroppedCommits dropped, lease.ListDropped(before));
    return !dropped.asked() || dropped.cut() || dropped.ids_size() > 0;
  }

  // Git cannot tell what is gone from what is withheld; the API, `asked`, can.
  static v1::TargetEnd::How HowFor(const absl::Status& obtained, const absl::Status& asked) {
    if (absl::IsPermissionDenied(obtained) || absl::IsAborted(obtained)) return v1::TargetEnd::REFUSED;
    if (absl::IsUnimplemented(obtained)) return v1::TargetEnd::NOT_COVERED;
    if (!absl::IsNotFound(obtained)) return v1::TargetEnd::FAILED;
    if (absl::IsNotFound(asked)) return v1::TargetEnd::GONE;
    const bool withheld = asked.ok() || absl::IsPermissionDenied(asked) || absl::IsAborted(asked);
    return withheld ? v1::TargetEnd::REFUSED : v1::TargetEnd::FAILED;
  }

  // ---- scanning

  void Scan(ReadyTarget& ready, int threads) {
    uint64_t deaths = 0;
    const absl::Status done = ScanRepository(ready.target, threads, scan_, *ready.lease, &deaths);
    if (!ready.folder.empty()) budget_.Release(ready.folder);
    if (*scan_.stop || ready.lease->is_lost()) return;
    v1::TargetEnd end = EndOf(v1::TargetEnd::SCANNED, std::move(ready.gone));
    if (!done.ok()) {
      end = FailureOf(absl::IsFailedPrecondition(done) ? v1::TargetEnd::NOT_COVERED : v1::TargetEnd::FAILED, done);
      ready.lease->Say("failed", done);
    } else if (!ready.folder.empty()) {
      end.mutable_note()->Swap(&ready.note);
    }
    end.set_scanner_deaths(deaths);
    const absl::Status ended = ready.lease->End(end);
    if (!ended.ok()) SayLost(*ready.lease, ended);
  }

  const PipelineOptions& options_;
  const ScanResources& scan_;
  MirrorBudget budget_;
  ScanQueue queue_;
};

}  // namespace

bool IsUnmoved(int64_t pushed_at, const v1::FetchNote& note, absl::Duration audit_every, int64_t now) {
  return !MayBePushedTo(pushed_at, note) && note.checked_at() <= now &&
         now - note.checked_at() < absl::ToInt64Seconds(audit_every);
}

void RunPipeline(std::vector<ReadyTarget> local, LeaseSource& leases, const PipelineOptions& options,
                 const ScanResources& scan) {
  Pipeline(options, scan).Run(std::move(local), leases);
}

}  // namespace unsprawl
