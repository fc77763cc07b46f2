// From blobs that hit to where they lie in history: paths, introductions, removals, presence.
//
// One pass over all trees (base first) finds which trees hold, directly or below, one of the targets;
// compact trees of only those entries are then diffed along all commits.
//
// Definitions. A commit *holds* a secret at a path if a blob with the secret is there in its tree.
// - An introduction is a secret at a path that a commit holds and none of its parents does. A commit
//   without parents (a root, or at a shallow boundary) introduces all it holds; parents that are missing
//   or damaged are no parents; a missing or damaged tree holds nothing.
// - A removal is a secret at a path that a commit does not hold and each of its parents (at least one)
//   does. A blob that changes and keeps the secret at its path is neither.
// - A move: where a reachable commit removes a secret from paths and introduces it at others, the
//   first removed path in byte order goes with the first introduced one, and so on. A pair is neither a
//   removal nor an introduction: the places at the old path go on at the new one. Unreachable
//   commits make no moves.
// - A removal or move concerns every place of that secret that leads to the path it leaves: from the
//   introduction (or the move to that path) a chain of commits, each a parent of the next, all
//   holding the secret at the path, ends in a parent of the removing commit. Removals by unreachable
//   commits concern only places introduced by unreachable commits.
// - Presence of a place: kHead if HEAD's commit holds the secret at any of its paths, else kBranch if
//   any ref's commit does (or a ref leads to a tree with it at that path, or to the introduced blob
//   itself), else kHistory if the introducing commit is reachable from a ref or HEAD, else kUnreachable.
//   (Any path, not the last alone: a move on one branch does not take the file from the others.)
// - Events are in the order of (length of the longest chain of ancestors, committer time, id).
// Grafts and refs/replace are ignored.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
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

// One introduction of one secret, with the path's later life. A target that is in no commit's tree has
// one place per secret: without commit and paths, kBranch if a ref leads to it or to a tree with it.
struct Place {
  uint32_t secret = 0;
  uint32_t target = 0;                 // index of the blob in the request, as introduced
  std::vector<std::string> paths;      // path at introduction first, then those it moved to, raw bytes
  uint32_t commit = UINT32_MAX;        // index into LocateResult::commits; UINT32_MAX: in no commit
  // Commits that removed it afterwards, from one of its paths: indices into commits, ascending.
  std::vector<uint32_t> removals;
  Presence presence = Presence::kHistory;
};

struct LocateResult {
  std::vector<CommitRow> commits;      // only those that a Place names, in order of (committer_time, id)
  std::vector<Place> places;           // sorted by (secret, commit's time, commit id, path)
  uint64_t commits_reachable = 0;      // distinct commits reachable from refs and HEAD
  // Trees, blobs, commits, tags that are named but missing or damaged: the 1,000 with the smallest ids,
  // each once; and commits of which not everything could be listed (kTruncated).
  std::vector<ObjectSkip> skips;
  uint64_t skips_total = 0;            // distinct objects that are missing or damaged, listed or not
  uint64_t submodules = 0;             // distinct gitlink entries, never fetched
  // Facts at HEAD (empty without one).
  std::vector<std::pair<std::string, uint64_t>> head_extensions;  // see engine/history/head_facts.h
  std::string head_codeowners_path;    // the CODEOWNERS file that applies, or empty
  // Entries of HEAD's .gitleaksignore (IgnoreEntry, IgnoreLimits), and the commits that introduced them.
  struct Ignore {
    std::optional<ObjectId> commit;
    std::string path, rule;
    uint32_t line = 0;
    uint32_t introduced_by = UINT32_MAX;  // index into head_ignore_commits; UINT32_MAX: not known
  };
  std::vector<Ignore> head_ignores;
  std::vector<CommitRow> head_ignore_commits;  // without co-authors; of at most 2 MiB
};

// Wall time of the phases, in seconds.
struct LocateTimes {
  double walk = 0;   // commits, trees, tags
  double mark = 0;   // which trees hold a target; their lists
  double diff = 0;   // commits against parents; lives
  double rest = 0;   // HEAD, tips, rows
};

struct LocateOptions {
  WalkOptions walk;
  std::span<const ObjectNumber> avoid;  // as Walk's: sorted; not touched, listed as skips
  // Bounds against trees that name one blob under a million paths; beyond them a skip says so. Paths of
  // more than 4,096 bytes are not followed, either.
  uint64_t max_events_per_commit = 1 << 18;
  uint64_t max_places = 1 << 22;                // in the result, and at the tips
  uint64_t max_path_text_bytes = 256 << 20;     // of all paths in the result
  uint64_t max_place_bytes = 8 << 20;           // of the paths of one place; of the commits that removed it
  // If set, only places that it takes, by their paths, are in the result and count for its bounds. Secrets all of whose
  // places are beyond a bound then have none.
  std::function<bool(std::span<const std::string> paths)> keep = nullptr;
  LocateTimes* times = nullptr;  // filled if set
};

// Searches all commits of `store` (reachable ones and others; the latter give kUnreachable) for all
// `targets` (distinct blobs; those that the store lacks have no place) in one pass. `on_commits` is
// given each reachable commit once, some at a time, in no fixed order: the rows for denominators. With
// more than one thread it is called on another one while the search goes on; never twice at once.
// Cancelled: walk.stop was set. Damaged objects are skips in the result, never an error.
absl::StatusOr<LocateResult> Locate(const ObjectStore& store, const RepositoryState& state,
                                    std::span<const LocateTarget> targets,
                                    const LocateOptions& options,
                                    absl::FunctionRef<void(std::span<const CommitRow>)> on_commits);

}  // namespace unsprawl
