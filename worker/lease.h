// A repository that was lent to this process to be fetched, scanned and located, and the way back to who lent it.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "unsprawl/v1/lease.pb.h"
#include "unsprawl/v1/shard.pb.h"

namespace unsprawl {

inline v1::TargetEnd EndOf(v1::TargetEnd::How how, std::string reason = "") {
  v1::TargetEnd end;
  end.set_how(how);
  end.set_reason(std::move(reason));
  return end;
}
inline v1::TargetEnd FailureOf(v1::TargetEnd::How how, const absl::Status& status) {
  v1::TargetEnd end = EndOf(how, std::string(status.message()));
  end.set_code(static_cast<int>(status.code()));
  return end;
}

// Two forms: of a run in this process (coordinator/local_lease.h), and of a coordinator's behind gRPC
// (worker/remote_lease.h). Nothing else leads from a pipeline to a ledger or to a forge's API. Not thread-safe, but
// may be handed from one thread to another.
//
// Cancelled: the run is stopping. Any error may mean that the lease is lost. What asks its forge waits for its limits.
class Lease {
 public:
  explicit Lease(v1::LentTarget target) : target_(std::move(target)) {}
  virtual ~Lease() = default;

  const v1::LentTarget& target() const { return target_; }

  // The lease is no longer held: it is another's by now, or was given back. Whatever is done for it counts no more,
  // and it has no end.
  virtual bool is_lost() const { return false; }
  // Whether what was said in the pass under way is forgotten where it was said, and is to be said again; asked once.
  virtual bool TakeRestart() { return false; }

  // ---- fetching
  virtual absl::StatusOr<v1::KnownTarget> LookUp() = 0;
  // Values of the Authorization header to try one after the other, at least one; "": none. PermissionDenied: there
  // are tokens, and its forge takes none of them.
  virtual absl::StatusOr<std::vector<std::string>> Authorizations() = 0;
  // To be called when git was refused. OK: there are others now.
  virtual absl::Status RenewTokens() = 0;
  // The URL under which its forge has it by now, if it was renamed since it was listed; else "". NotFound: it has it
  // no longer. PermissionDenied, Aborted: it withholds it. Others: it cannot be asked.
  virtual absl::StatusOr<std::string> AskForge() = 0;
  // What was dropped since `before` (what was last fetched), or ever.
  virtual absl::StatusOr<v1::DroppedCommits> ListDropped(const v1::FetchNote& before) = 0;
  // The folder of the mirror that a new mirror borrows from; empty: none. Waits while that is being fetched.
  virtual absl::StatusOr<std::string> Lender() = 0;
  // Nothing is left to fetch of it, whatever came of it.
  virtual void EndFetch() = 0;

  // ---- a pass: the answers to a scanner's events (shard.proto), in the order of its conversation
  // Forgets what an earlier pass under this lease said that ended half way, but for blobs that are recorded.
  virtual absl::StatusOr<v1::PassBegun> Begin(const v1::PassBeginning& beginning) = 0;
  virtual absl::StatusOr<v1::LookupAnswer> Lookup(const v1::LookupRequest& request) = 0;
  virtual absl::Status TakeBlobs(v1::BlobBatch* batch) = 0;  // takes the content of *batch; may block
  // Instead of blobs: the repository is cut (ScanShard::cut_bytes). With Cut the lease is given back.
  virtual absl::Status TakePiece(const v1::Piece& piece) = 0;
  virtual absl::Status Cut() = 0;
  // Everything scanned is recorded when it returns. The first locate shard; nullopt: what was scanned was a part of
  // a repository, and the pass is over.
  virtual absl::StatusOr<std::optional<v1::LocateShard>> CompleteScan(const v1::ScanCompleted& completed) = 0;
  virtual absl::Status TakeCommits(const v1::CommitBatch& commits) = 0;
  virtual absl::Status TakePlaces(const v1::PlaceBatch& places) = 0;
  // The next locate shard; nullopt: that was the last, the occurrences are visible and the watermark has moved.
  virtual absl::StatusOr<std::optional<v1::LocateShard>> CompleteLocate(const v1::LocateCompleted& completed) = 0;

  // Tells whoever looks on what went wrong: `event` in a word ("failed"), and why. Nothing depends on it.
  virtual void Say(const char* event, const absl::Status& why) = 0;

  // Once, and last.
  virtual absl::Status End(const v1::TargetEnd& end) = 0;

 private:
  const v1::LentTarget target_;
};

// Where leases come from. Thread-safe.
class LeaseSource {
 public:
  virtual ~LeaseSource() = default;
  // On how many threads to take.
  virtual size_t width() const = 0;
  // Waits for one; null: there will be no more.
  virtual std::unique_ptr<Lease> Take() = 0;
};

}  // namespace unsprawl
