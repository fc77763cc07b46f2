#pragma once

#include <condition_variable>
#include <map>
#include <thread>

#include "absl/status/status.h"
#include "engine/base/mutex.h"
#include "store/ledger.h"

namespace unsprawl {

// Writes scan results to the ledger on a thread of its own, in large batches, so that scanning does
// not wait for the store. Add may block when the store is far behind. Not thread-safe.
class BlobRecorder {
 public:
  // `ledger` outlives this, and so does `fence` (Ledger::RecordBlobs).
  explicit BlobRecorder(Ledger& ledger, const ShardLease* fence = nullptr);
  ~BlobRecorder();

  // Takes the content of *batch (which CheckBatch found valid), scanned under `rules`. Its skips are not recorded.
  // An error: something before could not be recorded, and nothing is taken any more.
  absl::Status Add(v1::BlobBatch* batch, RuleListId rules);
  // Waits until everything added is recorded; the first error, if any. Idempotent.
  absl::Status Finish();

 private:
  void Run();

  struct Pending {
    v1::BlobBatch batch;  // merged
    size_t bytes = 0;     // about what it takes in memory
  };

  Ledger& ledger_;
  const ShardLease* const fence_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::map<RuleListId, Pending> pending_ ABSL_GUARDED_BY(mutex_);
  size_t pending_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses everything above
};

}  // namespace unsprawl
