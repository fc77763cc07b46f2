#pragma once

#include <condition_variable>
#include <span>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/mutex.h"
#include "store/ledger.h"

namespace unsprawl {

// Writes scan results to the ledger on a thread of its own, in large batches, so that scanning does
// not wait for the store. Add may block when the store is far behind. Not thread-safe.
class BlobRecorder {
 public:
  // `rule_lists[i]` is what a batch with BlobBatch::rules == i was scanned under. Both outlive this.
  BlobRecorder(Ledger& ledger, std::span<const RuleListId> rule_lists);
  ~BlobRecorder();

  // Takes the content of *batch. Its skips are not recorded.
  void Add(v1::BlobBatch* batch);
  // Waits until everything added is recorded; the first error, if any. Idempotent.
  absl::Status Finish();

 private:
  void Run();
  // Moves what is pending for the fullest rule list out; empty when there is nothing.
  v1::BlobBatch TakeLargest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Ledger& ledger_;
  const std::span<const RuleListId> rule_lists_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<v1::BlobBatch> pending_ ABSL_GUARDED_BY(mutex_);  // one per rule list, merged
  size_t pending_blobs_ ABSL_GUARDED_BY(mutex_) = 0;
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses everything above
};

}  // namespace unsprawl
