// Ordered passes over the store's rows for reports, and rows by run for trends.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/database.h"
#include "store/ledger.h"

namespace unsprawl {

// As the methods of Ledger with these names. One pass in order of secrets over all rows, or, for a
// small part of a big store, over the index of each of `repositories`.
absl::Status VisitOccurrenceRows(
    const Database& database, std::span<const uint64_t> repositories,
    absl::FunctionRef<bool(uint64_t repository, const v1::Occurrence&)> visit);
absl::Status VisitSecretRows(const Database& database, const SecretId& secret,
                             absl::FunctionRef<bool(uint64_t, const v1::Occurrence&)> visit);
// Holds up to some 100,000 rows: a share of all ids at a time, from every repository.
absl::Status VisitCommitRows(const Database& database, std::span<const uint64_t> repositories,
                             absl::FunctionRef<bool(const v1::Commit&)> visit);

absl::StatusOr<uint64_t> LastRun(const Database& database);  // 0: none

absl::Status WriteIncidentStates(Database& database, uint64_t run,
                                 std::span<const IncidentState> states);
absl::Status WriteRunCoverage(Database& database, uint64_t run, uint64_t repository,
                              const v1::Coverage& coverage);
absl::StatusOr<std::vector<IncidentHistory>> ReadIncidentHistories(const Database& database,
                                                                   const SecretId& from, size_t limit);
// In one step; nothing when `from` has no history.
absl::Status MoveIncidentHistory(Database& database, const SecretId& from, const SecretId& to);
absl::Status VisitCoverageRows(const Database& database, uint64_t repository,
                               absl::FunctionRef<void(uint64_t, const v1::Coverage&)> visit);

}  // namespace unsprawl
