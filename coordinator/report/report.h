// Writes the sprawl report: one ordered pass over the ledger, beside a coverage statement.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/match/ruleset.h"
#include "store/ledger.h"
#include "unsprawl/v1/types.pb.h"

namespace unsprawl {

class OperatorIgnores;  // coordinator/report/operator_ignores.h
class StateHistory;     // coordinator/report/state_history.h

// How one repository of the run ended.
struct RepositoryOutcome {
  // kPartial: scanned, with retryable or damaged skips that are not accepted. kNotCovered: of a kind
  // unsprawl cannot read (SHA-256). kEmpty: no objects; complete. kGone: its forge has it no longer;
  // what is known of it stays, and nothing is missing. kRefused: the forge does not let us read it
  // (permissions, disabled, legal reasons).
  enum class Status : uint8_t { kOk, kPartial, kFailed, kEmpty, kNotCovered, kGone, kRefused };
  uint64_t id = 0;        // ledger's; 0 when it never got one
  std::string name;       // raw bytes; as shown to people
  Status status = Status::kOk;
  std::string reason;     // empty for kEmpty, and for kOk unless it says what a budget leaves out
  v1::Coverage coverage;
};

// What goes into run.json only: clock times and counters that differ between equal runs.
struct RunFacts {
  uint64_t run_id = 0;
  int64_t started_us = 0, finished_us = 0;  // microseconds since the epoch
  std::string version;
  std::string command;                      // subcommand and options, no credentials
  uint64_t repositories_unchanged = 0;
  uint64_t blobs_scanned = 0, blobs_known = 0;
  uint64_t bytes_resolved = 0, bytes_scanned = 0;
  uint64_t scanner_deaths = 0;
  std::vector<std::pair<std::string, double>> seconds;  // phase name, wall seconds
};

struct ReportInput {
  const Ruleset* ruleset = nullptr;
  std::vector<RepositoryOutcome> repositories;   // sorted by name
  std::set<v1::SkipReason> accepted;             // reasons that do not make a run incomplete
  bool sandboxed = true;
  std::string sandbox_note;                      // why not, when not
  double min_confidence = 0.5;
  const OperatorIgnores* ignores = nullptr;      // what the operator wants left out; may be null
  bool trust_repo_ignores = false;               // leave out what repositories want left out, too
  RunFacts run;
};

// What changed since the last finished run: counts and ids, nothing that would not do in a message to
// strangers but the names of repositories in `dropped`.
struct ChangeSummary {
  static constexpr size_t kMaxIds = 1000;
  struct Drop {
    uint64_t repository = 0;  // ledger's
    std::string name;
    RepositoryOutcome::Status status = RepositoryOutcome::Status::kFailed;
    std::string reason;
  };

  bool first_run = true;      // no earlier run of this store has finished: nothing to compare with
  int64_t since = 0;          // when the run that this one is compared with started, seconds
  // Incidents of this report that no finished run reported before, by cause.
  uint64_t new_by_commit = 0, new_by_rule = 0, new_by_scope = 0;
  uint64_t reopened = 0;          // open again, in a place that runs before looked at with these rules
  uint64_t reopened_backlog = 0;  // open again, but only where no run had looked
  uint64_t removed = 0;           // not open any more, or stored nowhere any more
  uint64_t backlog = 0;           // incidents of this report that came as backlog, whenever they came
  // 32 digits each, lowest first, at most kMaxIds: new by commit, reopened (no backlog), removed.
  std::vector<std::string> new_ids, reopened_ids, removed_ids;
  // Repositories that the last run that looked at them covered whole and this one did not, by name.
  std::vector<Drop> dropped;
  uint64_t out_of_scope = 0;      // repositories of the last run that this one did not ask for

  uint64_t new_incidents() const { return new_by_commit + new_by_rule + new_by_scope; }
  bool HasNews() const { return new_by_commit + reopened > 0; }  // what --fail-on=new fails on
};

// What the summary and the exit code are made of. Counts are of incidents at or above min_confidence.
struct ReportTotals {
  uint64_t incidents = 0;              // open or removed: what was removed from all tips still leaked
  uint64_t open = 0;                   // with presence head or branch
  uint64_t by_severity[5] = {};        // of `incidents`; index: Severity
  uint64_t in_head = 0;                // with presence head
  uint64_t occurrences = 0;            // rows of occurrences.jsonl
  uint64_t suppressed_places = 0;      // … that their repositories want left out
  uint64_t repositories_affected = 0;
  bool complete = true;                // no repository partial, failed or not covered
  ChangeSummary changes;
};

// Writes incidents.jsonl, occurrences.jsonl, manifest.json, run.json, summary.txt and report.html into
// `dir` (made with mode 0700; files 0600, each written beside and renamed). Memory does not grow with
// the number of occurrences. All files but run.json depend only on the ledger's visible rows of
// `input.repositories`, what finished runs before `input.run.run_id` noted, the ruleset, the start of the
// run and the input's other fields, never on clock, locale, order of work or the order in which the store
// grew. No file holds a raw secret or a blob id. `states`, if not null, is told what this run has to note;
// histories must have been carried over (Ledger::CarryHistoriesOver).
absl::StatusOr<ReportTotals> WriteReport(const ReportInput& input, const Ledger& ledger,
                                         const std::filesystem::path& dir,
                                         StateHistory* states = nullptr);

}  // namespace unsprawl
