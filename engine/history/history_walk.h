#pragma once

#include <span>

#include "absl/status/status.h"
#include "engine/git/walk.h"
#include "engine/history/history_log.h"

namespace unsprawl {

// ResourceExhausted: `store` has more objects than a NodeTable takes.
absl::Status CheckLocatable(const ObjectStore& store);

// Reads every commit, tree and annotated tag of `store` once, on options.threads threads, into `log`
// (which has as many thread logs). Commits in `shallow` (sorted) have no parents, stored or not.
// What is missing or damaged goes to the logs' skips.
// Cancelled: options.stop was set; the log is then incomplete.
absl::Status WalkHistory(const ObjectStore& store, const NodeTable& nodes,
                         std::span<const ObjectId> shallow, std::span<const ObjectNumber> avoid,
                         const WalkOptions& options, HistoryLog& log);

}  // namespace unsprawl
