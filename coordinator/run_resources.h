#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "coordinator/run_totals.h"
#include "engine/base/secret.h"
#include "engine/match/ruleset.h"
#include "store/ledger.h"

namespace unsprawl {

struct ScanSettings {
  bool full_mode = false;
  bool archives = false;         // look into them
  uint64_t max_object_bytes = 64 << 20;
  SecretKey key;
  int64_t now = 0;               // seconds since the epoch, for expiry dates
};

// What all repositories of a run share where it is planned and recorded. Borrowed; thread-safe pieces only.
struct RunResources {
  const Ruleset* ruleset = nullptr;
  Ledger* ledger = nullptr;
  // Takes how a repository ended, once each; nullopt: it is not part of the run after all. `lease` as the ledger's
  // fences: null in a run of this process.
  std::function<absl::Status(std::optional<RepositoryOutcome> outcome, const PassCounters& counters,
                             const ShardLease* lease)> end = {};
  // Takes a line for a person; may be empty.
  std::function<void(const std::string& line)> say = {};
  ScanSettings settings = {};
  uint64_t max_pull_requests = 1'000'000;  // FetchOptions::max_pull_requests
  // A repository that its forge says is unchanged is looked at anyway when its refs were last compared
  // longer ago: what the forge says covers neither wikis nor pull requests. 0: every time.
  absl::Duration audit_every = absl::Hours(24 * 7);
  // A forge is asked what was dropped (Forge::DroppedCommitsPaths) before the first fetch of as many
  // repositories in one run; of those that were asked for, always.
  uint64_t max_dropped_commits = 1000;
};

}  // namespace unsprawl
