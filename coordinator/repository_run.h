#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/progress.h"
#include "coordinator/report/report.h"
#include "engine/base/secret.h"
#include "store/ledger.h"
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

struct ScanSettings {
  int threads = 2;
  bool full_mode = false;
  uint64_t max_object_bytes = 64 << 20;
  SecretKey key;
  int64_t now = 0;               // seconds since the epoch, for expiry dates
  // A scanner whose threads all stay on their objects for longer than this is taken for hung; ten times
  // this while it works on none.
  absl::Duration hang_timeout = absl::Minutes(2);
};

// Counters of one repository's pass that differ between equal runs.
struct PassCounters {
  bool unchanged = false;
  bool internal_error = false;   // our own fault: exit code 4
  uint64_t blobs_scanned = 0, blobs_known = 0;
  uint64_t bytes_resolved = 0, bytes_scanned = 0;
  uint64_t scanner_deaths = 0;
  std::string sandbox_note;      // what the kernel did not allow; empty when confined
  double open_seconds = 0, scan_seconds = 0, locate_seconds = 0, record_seconds = 0;
};

// What all repositories of a run share. Borrowed; thread-safe pieces only.
struct RunResources {
  const Ruleset* ruleset;
  Ledger* ledger;
  ScannerSource* scanners;
  Progress* progress;
  const std::atomic<bool>* stop;
  ScanSettings settings;
};

// What besides refs and rules decides what a scan finds: equal texts, equal scans.
std::string ScanSettingsText(const ScanSettings& settings);

// Whether `record` is of a whole scan under (at least) these rules.
bool IsCurrent(const v1::RepositoryRecord& record, const Ruleset& ruleset);

// The outcome of a repository of which nothing has changed since its record was made.
RepositoryOutcome OutcomeOf(const v1::RepositoryRecord& record, const std::set<v1::SkipReason>& accepted);

// Brings the ledger up to date with one repository: compares its tips with the watermark; if anything
// moved (or the rules grew) scans what is not known, locates every hit, and moves the watermark. When
// a scanner dies, another goes on; an object that one dies on twice becomes a skip.
// Cancelled: `stop` was set; what was scanned is recorded. Every other failure is in the outcome.
absl::StatusOr<RepositoryOutcome> RunRepository(const RepositoryTarget& target, int threads,
                                                const RunResources& resources,
                                                PassCounters* counters);

// Sets status and reason to ok, partial or empty, as the coverage says.
void SetStatus(const std::set<v1::SkipReason>& accepted, RepositoryOutcome* outcome);

}  // namespace unsprawl
