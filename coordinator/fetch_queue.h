#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "coordinator/fork_networks.h"
#include "coordinator/organization.h"
#include "engine/base/mutex.h"

namespace unsprawl {

// Says what is fetched next: the largest first, since what is fetched last is then scanned in no time; forks that
// wait for another of their network at the end. Of each host so many at a time: one that stalls holds up no other.
// A large repository that is not there yet has few others beside
// it: with many it would get a small part of the link, and arrive last after all. Thread-safe.
class FetchQueue {
 public:
  // Up to `jobs` at a time of one host, up to `beside_large` beside a large one of it. `stop` is polled while waiting.
  FetchQueue(std::vector<RemoteTarget> targets, ForkNetworks& networks, std::filesystem::path mirrors_dir,
             size_t jobs, size_t beside_large, const std::atomic<bool>* stop);

  // How many may be taken at a time, of all hosts.
  size_t width() const;

  // Null: there is nothing left, or `stop`. What was taken must be returned when it is fetched or has failed.
  const RemoteTarget* Take() ABSL_LOCKS_EXCLUDED(mutex_);
  void Return(const RemoteTarget* target) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Host {
    std::vector<const RemoteTarget*> targets;  // in the order in which they are taken
    size_t next = 0, running = 0;
    std::set<const RemoteTarget*> large;  // of those that run
  };
  bool IsLarge(const RemoteTarget& target) const;
  // The host whose turn it is; null: each that has something left has enough running.
  Host* NextHost() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::filesystem::path mirrors_dir_;
  const size_t jobs_, beside_large_;
  const std::atomic<bool>* const stop_;
  std::vector<RemoteTarget> targets_;  // in the order in which they are taken, were there one host
  mutable Mutex mutex_;
  std::condition_variable_any returned_;
  std::map<std::string, Host> hosts_ ABSL_GUARDED_BY(mutex_);
  size_t left_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace unsprawl
