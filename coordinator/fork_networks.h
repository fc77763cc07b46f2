#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/organization.h"
#include "engine/base/mutex.h"

namespace unsprawl {

// Whether `target`, rather than the one with this key and size, comes first of their network: its root, or else the
// largest.
bool IsFirstRather(const RemoteTarget& target, const std::string& key, uint64_t size_kb);

// Which mirror the others of its fork network borrow from: of each network the first that is there, on disk
// or fetched in this run. Thread-safe.
class ForkNetworks {
 public:
  // `stop` is polled while waiting. Only networks of which `targets` has at least two members count.
  ForkNetworks(const std::vector<RemoteTarget>& targets, const std::filesystem::path& mirrors_dir,
               const std::atomic<bool>* stop);

  // Whether `target` should come after others: no mirror of its network is there yet, and it is neither the
  // root nor, without one, the largest.
  bool WaitsForAnother(const RemoteTarget& target) ABSL_LOCKS_EXCLUDED(mutex_);

  // For a target that has no mirror yet: the folder of the mirror to borrow from, or empty: it is the first
  // of its network, or alone. The others wait here for the first. Cancelled: `stop`.
  absl::StatusOr<std::string> LenderFor(const RemoteTarget& target) ABSL_LOCKS_EXCLUDED(mutex_);
  // To be called for every target once there is nothing more to fetch of it, whatever came of it.
  void Finish(const RemoteTarget& target) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Network {
    std::string lender;  // empty: none yet
    std::string first;   // key of the member that the others wait for while there is no lender; empty: nobody
    uint64_t first_kb = 0;
    int members = 0;
  };
  Network* Find(const RemoteTarget& target) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::filesystem::path mirrors_dir_;
  const std::atomic<bool>* const stop_;
  Mutex mutex_;
  std::condition_variable_any finished_;
  std::map<std::string, Network> networks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace unsprawl
