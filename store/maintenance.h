// What `unsprawl store` does to a whole store: check, back up, restore, forget.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/secret.h"
#include "store/database.h"

namespace unsprawl {

// Counts of a store's rows, and what is wrong with them.
struct StoreFindings {
  uint64_t schema = 0, keys = 0, rule_lists = 0, aliases = 0, runs = 0;
  uint64_t repositories = 0;
  uint64_t clean = 0, hits = 0;
  uint64_t hits_of_old_keys = 0;  // not rescanned since the key was rotated
  uint64_t repositories_of_old_keys = 0;
  uint64_t occurrences = 0, commits = 0, states = 0;
  uint64_t doomed = 0;  // rows of replaced generations, deleted at the next opening
  uint64_t problems = 0;
  std::vector<std::string> examples;  // of problems, at most 20; no blob ids, no names
};

// Reads every row of every family and checks what must hold between them: all parse; a hit has
// matches and matches have a hit; a blob's rules and key are known; every occurrence has its place
// in the index and the reverse; its repository exists and its generation is shown or doomed; the
// counts in a repository's record are right; a shard has its payload, and a part its whole. Memory grows with repositories only.
absl::StatusOr<StoreFindings> CheckStore(const Database& database);

// Copies a consistent state into the new or empty folder `target`, itself a store; may run beside
// other work on `database`. On one file system data files are linked, not copied.
absl::Status BackUpStore(const Database& database, const std::filesystem::path& target);

// Copies the backup in `source` to `target`. FailedPrecondition: `target` holds something.
// `target` appears as a whole or not at all.
absl::Status RestoreStore(const std::filesystem::path& source, const std::filesystem::path& target);

struct PurgeCounts {
  uint64_t repositories = 0, occurrences = 0, commits = 0, matches = 0, blobs = 0, states = 0;
};

// Forgets a repository (by its name or key): its record, occurrences, commits and coverage, the states
// of secrets that lie nowhere else, and what is known of blobs that only its occurrences name, which
// become unscanned. NotFound: no such
// name; FailedPrecondition: several repositories have this name (give the key). A crash in between
// leaves less than before; run it again.
absl::StatusOr<PurgeCounts> PurgeRepository(Database& database, std::string_view name);

// Forgets a secret: its occurrences in every repository, its matches in blobs, its states and
// aliases. The blobs stay known, so it does not come back before they are scanned under changed
// rules. NotFound: nothing is known of it.
absl::StatusOr<PurgeCounts> PurgeSecret(Database& database, const SecretId& secret);

// Forgets hits whose ids were made with a key older than number `keys`: no repository that was scanned
// since the rotation stores such a blob any more. Lookups call them unscanned already.
absl::Status DropHitsOfOldKeys(Database& database, uint64_t keys);

// Rewrites files so that deleted rows are gone from the disk, too.
absl::Status CompactStore(Database& database);

}  // namespace unsprawl
