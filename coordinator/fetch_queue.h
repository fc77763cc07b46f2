#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <set>
#include <vector>

#include "coordinator/fork_networks.h"
#include "coordinator/organization.h"
#include "engine/base/mutex.h"

namespace unsprawl {

// Says what is fetched next: the largest first, since what is fetched last is then scanned in no time; forks that
// wait for another of their network at the end. A large repository that is not there yet has few others beside
// it: with many it would get a small part of the link, and arrive last after all. Thread-safe.
class FetchQueue {
 public:
  // Up to `jobs` at a time, up to `beside_large` beside a large one. `stop` is polled while waiting.
  FetchQueue(std::vector<RemoteTarget> targets, ForkNetworks& networks, std::filesystem::path mirrors_dir,
             size_t jobs, size_t beside_large, const std::atomic<bool>* stop);

  // Null: there is nothing left, or `stop`. What was taken must be returned when it is fetched or has failed.
  const RemoteTarget* Take() ABSL_LOCKS_EXCLUDED(mutex_);
  void Return(const RemoteTarget* target) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool IsLarge(const RemoteTarget& target) const;

  const std::filesystem::path mirrors_dir_;
  const size_t jobs_, beside_large_;
  const std::atomic<bool>* const stop_;
  std::vector<RemoteTarget> targets_;  // in the order in which they are taken
  Mutex mutex_;
  std::condition_variable_any returned_;
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0, running_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<const RemoteTarget*> large_ ABSL_GUARDED_BY(mutex_);  // of those that run
};

}  // namespace unsprawl
