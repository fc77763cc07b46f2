// From blobs that hit to where they lie in history: paths, introductions, removals, presence.
//
// One pass over all trees (base first) finds which trees hold, directly or below, one of the targets;
// compact trees of only those entries are then diffed along all commits. Definitions: docs/design.md.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/git/object_store.h"
#include "engine/git/repository.h"
#include "engine/git/walk.h"

namespace unsprawl {

// A blob known to hit, with the secrets in it as small numbers of the caller's (sorted, distinct).
struct LocateTarget {
  ObjectId blob;
  std::vector<uint32_t> secrets;
};

enum class Presence : uint8_t { kHead = 1, kBranch = 2, kHistory = 3, kUnreachable = 4 };

// A commit as the report counts it. Strings are raw bytes from the commit, not yet mapped or escaped.
struct CommitRow {
  ObjectId id;
  int64_t author_time = 0;     // seconds since the epoch
  int64_t committer_time = 0;
  int32_t author_offset = 0;   // minutes east of UTC
  std::string author_name, author_email;      // after mailmap (HEAD's .mailmap)
  std::vector<std::string> co_authors;        // "Name <mail>" of Co-authored-by trailers
  bool reachable = true;       // from a ref or HEAD
};

// One introduction of one secret, with the path's later life. See docs/design.md "occurrence".
struct Place {
  uint32_t secret = 0;
  uint32_t target = 0;                 // index of the blob in the request, as introduced
  std::vector<std::string> paths;      // path at introduction first, then those it moved to
  uint32_t commit = UINT32_MAX;        // index into LocateResult::commits; UINT32_MAX: in no commit
  // Commits that removed it (this secret from this path) afterwards: index into commits.
  std::vector<uint32_t> removals;
  Presence presence = Presence::kHistory;
};

struct LocateResult {
  std::vector<CommitRow> commits;      // only those that a Place names, in order of (committer_time, id)
  std::vector<Place> places;           // sorted by (secret, commit's time, commit id, path)
  uint64_t commits_reachable = 0;      // distinct commits reachable from refs and HEAD
  std::vector<ObjectSkip> skips;       // trees, blobs, commits that are named but missing or damaged
  uint64_t submodules = 0;             // distinct gitlink entries, never fetched
  // Facts at HEAD (empty without one).
  std::vector<std::pair<std::string, uint64_t>> head_extensions;  // lower-cased, sorted; count of files
  std::string head_codeowners_path;    // the CODEOWNERS file that applies, or empty
};

struct LocateOptions {
  WalkOptions walk;
  std::span<const ObjectNumber> avoid;  // as Walk's: sorted; not touched, listed as skips
};

// Searches all commits of `store` (reachable ones and others; the latter give kUnreachable) for all
// `targets` in one pass. `on_commit` is called once for each reachable commit, in no fixed order but
// on the calling thread: the rows for denominators.
// Cancelled: walk.stop was set. Damaged objects are skips in the result, never an error.
absl::StatusOr<LocateResult> Locate(const ObjectStore& store, const RepositoryState& state,
                                    std::span<const LocateTarget> targets,
                                    const LocateOptions& options,
                                    absl::FunctionRef<void(const CommitRow&)> on_commit);

}  // namespace unsprawl
