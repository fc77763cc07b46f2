// What the ledger has of a target, and how that reads in a report.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/organization.h"
#include "coordinator/report/report.h"
#include "coordinator/run_resources.h"
#include "unsprawl/v1/lease.pb.h"

namespace unsprawl {

// What besides refs and rules decides what a scan finds: equal texts, equal scans.
std::string ScanSettingsText(const ScanSettings& settings);

// Whether `record` is of a whole scan under (at least) these rules.
bool IsCurrent(const v1::RepositoryRecord& record, const Ruleset& ruleset);

// The outcome of a repository of which nothing has changed since its record was made.
RepositoryOutcome OutcomeOf(const v1::RepositoryRecord& record, const std::set<v1::SkipReason>& accepted);

// The outcome of one that was not scanned: what an earlier run left of it stays in the report.
RepositoryOutcome FailedOutcome(const v1::RepositoryRecord& record, std::string name,
                                RepositoryOutcome::Status status, std::string reason);

// Sets status and reason to ok, partial or empty, as the coverage says.
void SetStatus(const std::set<v1::SkipReason>& accepted, RepositoryOutcome* outcome);

// Makes the repository's record when there is none. `now`: seconds since the epoch.
absl::StatusOr<v1::KnownTarget> LookUp(const RemoteTarget& target, const RunResources& run, int64_t now,
                                       v1::RepositoryRecord* record);
// Replaces what LookUp finds as `note`.
absl::Status WriteMirrorNote(const std::string& key, const v1::MirrorNote& note, Ledger& ledger);

}  // namespace unsprawl
