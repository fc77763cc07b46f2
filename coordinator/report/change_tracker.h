// What changed since the last run: of each incident, and of what was covered.
//
// A run is compared with what earlier *finished* runs of the store noted; one that never finished is as if
// it had not been. Definitions: docs/design.md, "What changed".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/report/incident.h"
#include "coordinator/report/report.h"
#include "coordinator/report/state_history.h"
#include "store/ledger.h"

namespace unsprawl {

// A secret that no repository stores any more: without places it is no row of incidents.jsonl.
struct GoneIncident {
  SecretId secret;
  const Rule* rule = nullptr;  // which named it; null: not noted
};

// Follows one pass over the incidents of a run. Memory: a few bytes per repository that was ever covered,
// the histories of a thousand secrets. Not thread-safe.
class ChangeTracker {
 public:
  static constexpr size_t kMaxGone = 100;

  // Reads the runs before `input.run.run_id`. `states`, which may be null, is told what differs from what
  // the last finished run noted. All are borrowed.
  static absl::StatusOr<ChangeTracker> Open(const ReportInput& input, const Ledger& ledger,
                                            StateHistory* states);

  // The places of one secret, then End or Drop; secrets by id.
  void Add(const Place& place);
  absl::Status End(Incident* incident);  // sets incident->change
  void Drop() { evidence_ = {}; }
  // A place that is left out because somebody wants it so. In place of End and Drop, EndHidden when there is no other:
  // the secret is neither removed nor, when it is shown again, a new leak.
  void AddHidden(v1::Presence presence);
  absl::Status EndHidden(std::string_view secret);  // 16 raw bytes; does nothing where no place was hidden
  // After the last: looks for what is gone.
  absl::Status Finish();

  const ChangeSummary& summary() const { return summary_; }
  const std::vector<GoneIncident>& gone() const { return gone_; }  // the first kMaxGone by id

 private:
  static constexpr size_t kHistoriesAtOnce = 1024;

  // Of the last finished run that covered a repository.
  struct Covered {
    std::optional<RuleListId> rules;
    double min_confidence = 0;
  };
  // What earlier finished runs noted of one secret.
  struct Known {
    bool reported = false;  // else all its places were hidden, in each of them
    int64_t first_seen = 0;
    Cause first_cause = Cause::kUnknown;
    IncidentState last;
    int64_t opened = 0;  // IncidentChange::opened
  };
  // What speaks for a secret's being reported now; kScope when nothing better does.
  struct Evidence {
    Cause any = Cause::kScope;   // of all of its places
    Cause open = Cause::kScope;  // of those at some tip
    bool hidden = false;         // there are hidden ones …
    bool open_hidden = false;    // … at some tip
  };

  ChangeTracker(const ReportInput& input, const Ledger& ledger, StateHistory* states)
      : input_(input), ledger_(ledger), states_(states) {}

  absl::Status ReadRuns();
  absl::Status CompareCoverage();
  Cause CauseOf(const Place& place) const;
  bool Ran(RuleListId rules, uint64_t key) const;

  std::optional<Known> Read(const IncidentHistory& history) const;
  // What is known of `secret`; ends all secrets before it that did not come.
  absl::StatusOr<std::optional<Known>> TakeKnown(const SecretId& secret);
  absl::Status EndAbsent(const IncidentHistory& history);
  absl::StatusOr<bool> OpenElsewhere(const SecretId& secret) const;
  absl::Status Note(const IncidentState& state);
  void Count(const Incident& incident);

  const ReportInput& input_;
  const Ledger& ledger_;
  StateHistory* const states_;

  // Of earlier finished runs.
  absl::flat_hash_map<uint64_t, int64_t> started_;  // by run, seconds since the epoch
  absl::flat_hash_map<uint64_t, Covered> covered_;  // by repository
  absl::flat_hash_map<uint64_t, bool> whole_;       // by repository: in the last run that looked at it
  std::vector<uint64_t> last_repositories_;         // of the last run
  std::vector<std::vector<uint64_t>> rule_lists_;

  // Histories that are still to be compared with, in order of ids.
  std::vector<IncidentHistory> histories_;
  size_t next_history_ = 0;
  bool all_read_ = false;

  Evidence evidence_;  // of the secret that is going by
  ChangeSummary summary_;
  std::vector<GoneIncident> gone_;
};

}  // namespace unsprawl
