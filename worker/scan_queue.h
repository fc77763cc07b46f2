#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/mutex.h"
#include "unsprawl/v1/forge.pb.h"
#include "worker/lease.h"
#include "worker/repository_pass.h"

namespace unsprawl {

// A repository that is ready to be scanned.
struct ReadyTarget {
  std::unique_ptr<Lease> lease;
  RepositoryTarget target;
  std::string folder = {};   // of its mirror; empty: a local repository
  v1::MirrorNote note = {};  // what is true of it once it is scanned whole
  std::string gone = {};     // why there is nothing left but the mirror; empty: there is
};

// Hands out repositories, the largest first, with the threads to scan them on. Thread-safe.
class ScanQueue {
 public:
  ScanQueue(int threads, const std::atomic<bool>* stop) : threads_(threads), stop_(stop) {}

  void Add(ReadyTarget ready);
  void Close();  // nothing will be added any more

  struct Lent {
    ReadyTarget ready;
    int threads = 0;  // give it back with Return
  };
  // Waits for a repository and for threads: all of them for a large one, or for one that would otherwise run
  // alone; else one. nullopt: closed and empty, or stopped.
  std::optional<Lent> Take();
  void Return(int threads);

 private:
  std::optional<int> ThreadsForTop() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int threads_;
  const std::atomic<bool>* const stop_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<ReadyTarget> heap_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int busy_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace unsprawl
