// The one ordered pass over the ledger that every export is fed from: occurrences grouped by secret
// and judged under the current rules.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/report/incident.h"
#include "coordinator/report/report.h"
#include "coordinator/report/suppression.h"
#include "store/ledger.h"

namespace unsprawl {

class ChangeTracker;  // coordinator/report/change_tracker.h

// What an export does with the pass. Calls come in the order of secret ids: the places of a secret,
// in the ledger's order, then one End or Drop for it.
class IncidentSink {
 public:
  virtual ~IncidentSink() = default;
  virtual absl::Status Add(const Place& place) = 0;
  virtual absl::Status End(const Incident& incident) = 0;
  // The places since the last End or Drop are not reported after all: the incident's confidence is
  // below ReportInput::min_confidence.
  virtual void Drop() = 0;
};

// What the pass left out, and why.
struct PassTotals {
  uint64_t rows = 0;               // visible occurrences seen
  uint64_t unknown_rule = 0;       // … of rules that are not in the ruleset (any more)
  uint64_t shadowed = 0;           // … beaten by a more specific rule on the same bytes
  uint64_t rejected = 0;           // … that the rules' filters say is no secret
  uint64_t low_confidence = 0;     // incidents below min_confidence
  std::array<uint64_t, kSuppressedByKinds> hidden = {};  // places, by SuppressedBy
};

// Feeds `sinks` from the visible occurrences of `input.repositories`, a secret's places in the order of
// these, and `changes` with them: incidents come with what changed. Holds one incident; memory grows
// with the number of distinct paths and authors of one secret within one repository only (8 bytes
// each). The first error of the ledger or of a sink ends the pass.
absl::StatusOr<PassTotals> RunIncidentPass(const ReportInput& input, const Ledger& ledger,
                                           ChangeTracker* changes,
                                           std::span<IncidentSink* const> sinks);

}  // namespace unsprawl
