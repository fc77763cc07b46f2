#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/base/mutex.h"

namespace unsprawl {

// Keeps the mirrors' folder below a number of bytes: when another mirror needs room, those that were used
// longest ago go. A mirror in use stays, and so does one that is irreplaceable, and one that others borrow
// from. Thread-safe; one process at a time (the store's lock sees to it).
class MirrorBudget {
 public:
  // `bytes` 0: no bound. `stop` is polled while waiting.
  MirrorBudget(std::filesystem::path dir, uint64_t bytes, const std::atomic<bool>* stop);

  // Takes `folder` (relative) into use and makes room for `expected_bytes` more in it, waiting for mirrors in
  // use if it must. One that is larger than the whole budget is let through alone. From now on `lender`, if
  // it is still there, stays: it is one that `folder` borrows from, or may.
  // ResourceExhausted: the disk itself has not that much room. Cancelled: `stop`.
  absl::Status Use(const std::string& folder, uint64_t expected_bytes, const std::string& lender = "")
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Counts what it takes now, and makes room for it as far as others may go: an estimate is over.
  void Fetched(const std::string& folder) ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives it back; what it takes now is counted.
  void Release(const std::string& folder) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Kept {
    uint64_t bytes = 0;
    absl::Time used;
    int users = 0;
    int waiting = 0;      // that will use it: it stays
    bool pinned = false;  // irreplaceable
    std::string lender;   // the folder that it borrows from; empty: none
    int borrowers = 0;
  };
  void SetLender(const std::string& folder, const std::string& lender) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LookAround() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Removes the mirror that was used longest ago. False: none may go.
  bool Evict() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Count(const std::string& folder, uint64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AnyInUseBut(const std::string& folder) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::filesystem::path dir_;
  const uint64_t budget_;
  const std::atomic<bool>* const stop_;
  Mutex mutex_;
  std::condition_variable_any released_;
  bool looked_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, Kept> mirrors_ ABSL_GUARDED_BY(mutex_);
  uint64_t total_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes of mirrors_, expected ones included
};

}  // namespace unsprawl
