// Mirrors: bare repositories below one folder that hold what was ever fetched of a remote one.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "unsprawl/v1/forge.pb.h"
#include "worker/clone_url.h"
#include "worker/http_client.h"

namespace unsprawl {

enum class FetchBackend : uint8_t { kGit, kLibgit2 };

// Left free on the disk for the store and the report.
inline constexpr uint64_t kDiskReserveBytes = 256 << 20;

struct FetchOptions {
  FetchBackend backend = FetchBackend::kGit;
  NetworkOptions network;
  const std::atomic<bool>* stop = nullptr;
  int attempts = 3;                                // of what may pass
  absl::Duration first_pause = absl::Seconds(1);   // before trying again; doubled, with jitter
  absl::Duration limit_pause = absl::Seconds(30);  // the same, where the remote end asks for fewer requests
  absl::Duration timeout = absl::Hours(6);         // of one fetch
  // A fetch by which the mirror grows beyond this is given up: some servers never end. 100 GB is several times
  // the largest public repositories.
  uint64_t max_mirror_bytes = 100'000'000'000;      // 0: no bound
  uint64_t disk_reserve_bytes = kDiskReserveBytes;  // one that leaves less is given up as well
  // Refs of pull and merge requests (refs/pull/*, refs/merge-requests/*, …) are taken from repositories
  // that have at most this many.
  uint64_t max_pull_requests = 1'000'000;
};

// A mirror on disk. Not thread-safe; one process at a time may change it.
class Mirror {
 public:
  // `dir` need not exist.
  explicit Mirror(std::filesystem::path dir) : dir_(std::move(dir)) {}

  const std::filesystem::path& dir() const { return dir_; }
  bool exists() const;
  uint64_t bytes() const;  // on disk, of its objects

  // What a remote says of its refs.
  struct Refs {
    std::string head;    // "refs/heads/main"; empty: none, or no branch
    std::string detached_head;  // the commit, hexadecimal, if HEAD names no branch
    std::string digest;  // 32 bytes over the names and ids of all refs that a fetch takes; what a fetch
                         // need not be made for
    bool pull_requests = true;          // whether they are taken
    uint64_t pull_request_refs = 0;
  };
  // Asks `url` what it has. Errors as RunGit's, after options.attempts. Unimplemented: object names that are
  // not SHA-1.
  static absl::StatusOr<Refs> List(const CloneUrl& url, const FetchOptions& options);

  // Fetches all refs of `url`. Objects of refs that vanished or were forced stay, and their tips are noted
  // as lost; gc never runs, and packs that hold them are marked to be kept. An interrupted fetch is taken
  // up again by the next: what a killed git left half done is removed. Errors as RunGit's, after
  // options.attempts. Unavailable: another process works in the mirror. ResourceExhausted: the mirror has
  // become too large, or the disk too full; what came is removed.
  absl::Status Fetch(const CloneUrl& url, const Refs& refs, const FetchOptions& options);
  // Fetches those of the objects `ids` (hexadecimal; others are passed over) that are not here, where the
  // server allows it, and notes those that no ref reaches as lost. `url` null: nobody is asked. Returns those
  // that cannot be had. Other errors as Fetch's.
  absl::StatusOr<std::vector<std::string>> FetchLost(const CloneUrl* url, const std::vector<std::string>& ids,
                                                     const FetchOptions& options);
  // Notes what FetchLost could not have, until it can.
  absl::Status NoteMissing(const std::vector<std::string>& ids);

  // Lets it do without what `lender`, another mirror below the same folder, holds: the next fetch gets what
  // is missing there. For a mirror that does not exist yet. The lender must then stay, and lose nothing.
  absl::Status Borrow(const Mirror& lender);
  // The mirror that this one borrows from; empty: none. It may have been deleted by hand, and even be there
  // again with less: the next fetch then gets everything.
  std::filesystem::path lender() const;

  // Says that everything of `note` is here; the next Fetch unsays it.
  absl::Status SetFetched(const v1::FetchNote& note);
  // What was last said; empty if there was nothing, a fetch was interrupted since, or the lender is gone.
  v1::FetchNote fetched() const;
  // What its refs and a detached HEAD name, hexadecimal, sorted.
  absl::StatusOr<std::vector<std::string>> Tips(const FetchOptions& options) const;
  // Tells it from another one in its place, earlier or later; empty: it has none.
  std::string id() const;
  // Tips that were seen once and that no ref of the remote reaches any more: those that are here, and those
  // that cannot be had; hexadecimal, sorted.
  std::vector<std::string> lost_tips() const;
  std::vector<std::string> missing_tips() const;
  // Whether the remote serves it no longer.
  void SetGone(bool gone);
  // Whether it may be the only place that has some objects: of lost tips that the remote was not seen to serve
  // without a ref, or of a remote that is gone.
  bool is_irreplaceable() const;

 private:
  absl::Status FetchOnce(const CloneUrl& url, const Refs& refs, const FetchOptions& options);
  absl::Status FetchLocked(const CloneUrl& url, const Refs& refs, const FetchOptions& options, int lock);
  absl::Status MoveCloneUp();
  // ResourceExhausted: a fetch has to end for what it takes of the disk.
  absl::Status CheckRoom(const FetchOptions& options) const;
  void ForgetLostLender();
  bool IsLenderLost() const;
  absl::Status NoteTips(const FetchOptions& options);
  absl::Status NoteLost(const FetchOptions& options);
  absl::Status FetchIds(const CloneUrl& url, std::set<std::string> ids, const FetchOptions& options, int lock) const;
  absl::StatusOr<std::map<std::string, std::string>> TypesOf(const std::set<std::string>& ids,
                                                             const FetchOptions& options) const;
  absl::StatusOr<std::set<std::string>> UnreachedOf(const std::map<std::string, std::string>& tips,
                                                    const FetchOptions& options, std::set<std::string>* broken) const;
  absl::Status AddLost(const std::set<std::string>& ids, const std::map<std::string, std::string>& served);
  std::vector<std::string> Marked(bool missing) const;

  std::filesystem::path dir_;
};

// "host/path" made into a relative folder that cannot leave the mirrors' folder.
std::string MirrorFolder(std::string_view name);

}  // namespace unsprawl
