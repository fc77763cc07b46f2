#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/organization.h"
#include "coordinator/run_plan.h"
#include "engine/base/mutex.h"
#include "unsprawl/v1/cluster.pb.h"

namespace unsprawl {

// Where the repositories of a run's shards come from: made when they are listed, and opened again, one by one as they
// are asked for, after a restart. Thread-safe; sources live as long as this.
class Sources {
 public:
  // `groups` and `plan` (whose groups are these) outlive it. `accepted`: by group.
  Sources(const PlanOptions& plan, std::vector<std::set<v1::SkipReason>> accepted, Ledger& ledger);

  // Keeps those of a listing, one organization a group.
  void Keep(std::vector<Organization> organizations) ABSL_LOCKS_EXCLUDED(mutex_);
  // As it is written into a shard. It was listed by what is kept here.
  v1::PlannedTarget ToProto(const RemoteTarget& target) ABSL_LOCKS_EXCLUDED(mutex_);
  // FailedPrecondition: the configuration has its scope no more. Errors of OpenSource.
  absl::StatusOr<RemoteTarget> FromProto(const v1::PlannedTarget& planned) ABSL_LOCKS_EXCLUDED(mutex_);
  const std::set<v1::SkipReason>& accepted(uint32_t group) const { return accepted_[group]; }

 private:
  using Name = std::pair<uint32_t, std::string>;  // group, RemoteSource::scope.text

  const PlanOptions& plan_;
  const std::vector<std::set<v1::SkipReason>> accepted_;
  Ledger& ledger_;
  Mutex mutex_;
  std::shared_ptr<TokenBudgets> budgets_ = std::make_shared<TokenBudgets>();
  std::map<Name, std::unique_ptr<RemoteSource>> sources_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<RemoteSource>> twins_ ABSL_GUARDED_BY(mutex_);  // listed under a name that is taken
  std::map<const RemoteSource*, Name> names_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace unsprawl
