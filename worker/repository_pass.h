#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "worker/lease.h"
#include "worker/progress.h"
#include "worker/scanner_process.h"

namespace unsprawl {

// A repository to scan, opened in place.
struct RepositoryTarget {
  std::string key;               // identity in the ledger: "local:<canonical path>", "<host>/<path>"
  std::string name;              // for people
  std::filesystem::path path;
  bool linked_worktree = false;  // its HEAD is not the repository's own
  uint64_t pack_bytes = 0;       // size of its packs: what is large goes first
  bool borrows = false;          // OpenRepository::borrows
  std::string lost_tips;         // OpenRepository::lost_tips
  std::vector<v1::Skip> skips;   // what was left out before scanning
  std::set<v1::SkipReason> accepted;  // skips that do not make it partial
};

// What all repositories that this process scans share. Borrowed; thread-safe pieces only.
struct ScanResources {
  ScannerSource* scanners;
  Progress* progress;
  const std::atomic<bool>* stop;
  int threads = 2;
  // A scanner whose threads all stay on their objects for longer than this is taken for hung; ten times
  // this while it works on none.
  absl::Duration hang_timeout = absl::Minutes(2);
};

// Opens the repository; unless `lease` says that nothing has changed, scans what is not known and locates
// every hit. When a scanner dies, another goes on; an object that one dies on twice becomes a skip.
// Cancelled: `stop` was set; what was scanned is recorded. Aborted: the lease is lost. FailedPrecondition: of a
// kind that cannot be read. Every other error: it could not be scanned.
absl::Status ScanRepository(const RepositoryTarget& target, int threads, const ScanResources& resources,
                            Lease& lease, uint64_t* scanner_deaths);

}  // namespace unsprawl
