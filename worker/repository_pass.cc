#include "worker/repository_pass.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "engine/git/repository.h"

namespace unsprawl {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(200);
constexpr int kMaxDeaths = 64;      // of scanners, for one repository
constexpr int kMaxBlameless = 3;    // … with no object that could be the cause
constexpr int kStrikes = 2;         // deaths on one object that make it a skip

// All passes over one repository in one run.
class RepositoryPasses {
 public:
  RepositoryPasses(const RepositoryTarget& target, int threads, const ScanResources& resources, Lease& lease)
      : target_(target), threads_(threads), resources_(resources), lease_(lease) {}

  absl::Status Run() {
    absl::Status done;
    do {
      scanner_died_ = false;
      done = Pass();
      if (*resources_.stop) return absl::CancelledError("stopped");
    } while (lease_.TakeRestart() || (scanner_died_ && NoteDeath(done)));
    return done;
  }

  uint64_t deaths() const { return deaths_; }

 private:
  using Event = v1::ShardEvent;

  // Open, compare, scan, locate.
  absl::Status Pass() {
    v1::PassBeginning beginning;
    RETURN_IF_ERROR(OpenScanner(beginning.mutable_opened()));
    beginning.set_lost_tips(target_.lost_tips);
    beginning.mutable_skips()->Assign(target_.skips.begin(), target_.skips.end());
    beginning.set_sandboxed(scanner_->ready().sandboxed());
    beginning.set_sandbox_note(scanner_->ready().note());
    ASSIGN_OR_RETURN(v1::PassBegun begun, lease_.Begin(beginning));
    if (begun.unchanged()) return absl::OkStatus();
    std::optional<v1::LocateShard> locate;
    RETURN_IF_ERROR(Scan(begun.mutable_scan(), &locate));
    resources_.progress->Update(target_.name, "locating in history", 0, 0, shown_bytes_, shown_matches_);
    while (locate) RETURN_IF_ERROR(Locate(&locate));
    return absl::OkStatus();
  }

  absl::Status OpenScanner(v1::RepositoryOpened* opened) {
    ASSIGN_OR_RETURN(const RepositoryPaths paths, FindRepository(target_.path));
    std::vector<std::filesystem::path> readable = paths.object_dirs;
    readable.push_back(paths.git_dir);
    readable.push_back(paths.common_dir);
    // A linked worktree is named by a file; what it points to is in git_dir.
    readable.push_back(target_.path / ".git");
    scanner_ = nullptr;
    absl::StatusOr<std::unique_ptr<Scanner>> spawned = resources_.scanners->Spawn(readable);
    RETURN_IF_ERROR(FromScanner(spawned.status()));
    scanner_ = *std::move(spawned);
    v1::ShardCommand command;
    command.mutable_open()->set_path(target_.path.native());
    command.mutable_open()->set_max_object_bytes(lease_.target().settings().max_object_bytes());
    command.mutable_open()->set_threads(static_cast<uint32_t>(threads()));
    command.mutable_open()->set_borrows(target_.borrows);
    command.mutable_open()->set_lost_tips(target_.lost_tips);
    RETURN_IF_ERROR(Send(command));
    Event event;
    RETURN_IF_ERROR(NextEvent(&event));
    if (!event.has_opened()) return absl::InternalError("a scanner answered out of order");
    *opened = std::move(*event.mutable_opened());
    return absl::OkStatus();
  }

  // *locate: the first locate shard, if there is one.
  absl::Status Scan(v1::ScanShard* shard, std::optional<v1::LocateShard>* locate) {
    v1::ShardCommand command;
    command.mutable_scan()->Swap(shard);
    AddAvoided(command.mutable_scan());
    RETURN_IF_ERROR(Send(command));
    Event event;
    for (;;) {
      RETURN_IF_ERROR(NextEvent(&event));
      switch (event.event_case()) {
        case Event::kPlanned: planned_objects_ = event.planned().objects(); break;
        case Event::kLookup: RETURN_IF_ERROR(AnswerLookup(event.lookup())); break;
        case Event::kProgress: ShowProgress(event.progress()); break;
        case Event::kBlobs: RETURN_IF_ERROR(lease_.TakeBlobs(event.mutable_blobs())); break;
        case Event::kPiece: RETURN_IF_ERROR(lease_.TakePiece(event.piece())); break;
        case Event::kScanCut: return lease_.Cut();
        case Event::kScanCompleted: {
          ASSIGN_OR_RETURN(*locate, lease_.CompleteScan(event.scan_completed()));
          return absl::OkStatus();
        }
        default: return absl::InternalError("a scanner answered out of order");
      }
    }
  }

  absl::Status AnswerLookup(const v1::LookupRequest& request) {
    v1::ShardCommand command;
    ASSIGN_OR_RETURN(*command.mutable_lookup(), lease_.Lookup(request));
    return Send(command);
  }

  // Carries out **locate; *locate is then the next.
  absl::Status Locate(std::optional<v1::LocateShard>* locate) {
    v1::ShardCommand command;
    command.mutable_locate()->Swap(&**locate);
    AddAvoided(command.mutable_locate());
    RETURN_IF_ERROR(Send(command));
    command.Clear();
    Event event;
    for (;;) {
      RETURN_IF_ERROR(NextEvent(&event));
      switch (event.event_case()) {
        case Event::kCommits: RETURN_IF_ERROR(lease_.TakeCommits(event.commits())); break;
        case Event::kPlaces: RETURN_IF_ERROR(lease_.TakePlaces(event.places())); break;
        case Event::kLocateCompleted: {
          ASSIGN_OR_RETURN(*locate, lease_.CompleteLocate(event.locate_completed()));
          return absl::OkStatus();
        }
        default: return absl::InternalError("a scanner answered out of order");
      }
    }
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
      if (*resources_.stop) return absl::CancelledError("stopped");
      const absl::Status received = scanner_->channel().Receive(event, kPollInterval);
      if (received.ok()) break;
      if (!absl::IsDeadlineExceeded(received)) return FromScanner(received);
      std::vector<uint32_t> now = CurrentObjects();
      if (now != noted) {
        noted = std::move(now);
        noted_since = absl::Now();
      }
      // Between the objects it opens files, plans, and compares commits: longer than any object takes.
      const absl::Duration limit = resources_.hang_timeout * (noted.empty() ? 10 : 1);
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
  bool NoteDeath(const absl::Status& why) {
    std::vector<uint32_t> noted;
    if (scanner_ != nullptr) noted = CurrentObjects();  // Else it died before it was ready.
    bool found = false;
    std::string objects;
    for (const uint32_t object : noted) {
      absl::StrAppendFormat(&objects, "%s%d", objects.empty() ? "object " : ", ", object - 1);
      if (++strikes_[object - 1] < kStrikes || !single_thread_) continue;
      avoid_.push_back(object - 1);
      avoid_objects_ = planned_objects_;
      found = true;
    }
    lease_.Say("scanner_died", absl::UnavailableError(absl::StrFormat(
                                   "a scanner died on %s, %s: %s", objects.empty() ? "no object" : objects,
                                   found ? "which becomes a skip" : "and is replaced", std::string(why.message()))));
    single_thread_ = !found;
    if (noted.empty()) ++blameless_;
    scanner_ = nullptr;
    return ++deaths_ < kMaxDeaths && blameless_ < kMaxBlameless;
  }

  template <typename Shard>
  void AddAvoided(Shard* shard) const {
    shard->mutable_avoid()->Add(avoid_.begin(), avoid_.end());
    shard->set_avoid_objects(avoid_objects_);
  }

  void ShowProgress(const v1::Progress& progress) {
    shown_bytes_ = progress.bytes_done();
    shown_matches_ = progress.matches();
    resources_.progress->Update(target_.name, "scanning", progress.objects_done(),
                          progress.objects_total(), shown_bytes_, shown_matches_);
  }

  int threads() const { return single_thread_ ? 1 : threads_; }

  const RepositoryTarget& target_;
  const int threads_;
  const ScanResources& resources_;
  Lease& lease_;

  // Of the current pass.
  std::unique_ptr<Scanner> scanner_;
  bool scanner_died_ = false;
  uint64_t shown_bytes_ = 0, shown_matches_ = 0;

  // Over all passes.
  uint64_t deaths_ = 0;
  absl::flat_hash_map<uint32_t, int> strikes_;
  std::vector<uint32_t> avoid_;
  uint32_t avoid_objects_ = 0, planned_objects_ = 0;
  int blameless_ = 0;
  bool single_thread_ = false;
};

}  // namespace

absl::Status ScanRepository(const RepositoryTarget& target, int threads, const ScanResources& resources,
                            Lease& lease, uint64_t* scanner_deaths) {
  resources.progress->StartRepository(target.name);
  RepositoryPasses passes(target, threads, resources, lease);
  const absl::Status done = passes.Run();
  *scanner_deaths = passes.deaths();
  resources.progress->FinishRepository(target.name);
  return done;
}

}  // namespace unsprawl
