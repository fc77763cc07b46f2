#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/mutex.h"
#include "store/database.h"
#include "store/ledger.h"

namespace unsprawl {

// The lists of rules that blobs were scanned under, numbered; all of them in memory (a few dozen in
// a store's life). Thread-safe.
class RuleBook {
 public:
  explicit RuleBook(Database& database) : database_(database) {}

  absl::Status Load();  // once, before anything else; again to see what a writer added
  absl::StatusOr<RuleListId> Intern(std::vector<uint64_t> keys);
  // The list that holds the rules of both.
  absl::StatusOr<RuleListId> Union(RuleListId a, RuleListId b);
  std::vector<std::vector<uint64_t>> Lists() const;
  // InvalidArgument: no such list.
  absl::StatusOr<std::vector<uint64_t>> List(RuleListId id) const;

 private:
  absl::StatusOr<RuleListId> InternLocked(std::vector<uint64_t> keys)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Database& database_;
  mutable Mutex mutex_;
  std::vector<std::vector<uint64_t>> lists_ ABSL_GUARDED_BY(mutex_);
  std::map<std::vector<uint64_t>, RuleListId> ids_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<RuleListId, RuleListId>, RuleListId> unions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace unsprawl
