#include "coordinator/blob_recorder.h"

#include <chrono>
#include <utility>

#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr size_t kFlushBlobs = 1 << 16;       // the ledger ingests large batches cheaper
constexpr size_t kMaxPendingBlobs = 1 << 18;  // about 6 MB; Add waits above it
constexpr std::chrono::seconds kFlushInterval{3};  // what a crash may cost

size_t Blobs(const v1::BlobBatch& batch) {
  return static_cast<size_t>(batch.clean_bytes_size() + batch.hits_size());
}

}  // namespace

BlobRecorder::BlobRecorder(Ledger& ledger, std::span<const RuleListId> rule_lists)
    : ledger_(ledger), rule_lists_(rule_lists), pending_(rule_lists.size()), thread_([this] { Run(); }) {}

BlobRecorder::~BlobRecorder() { (void)Finish(); }

void BlobRecorder::Add(v1::BlobBatch* batch) {
  CHECK(batch->rules() < rule_lists_.size());
  batch->clear_skips();
  MutexLock lock(mutex_);
  while (pending_blobs_ > kMaxPendingBlobs && status_.ok()) changed_.wait(mutex_);
  v1::BlobBatch& pending = pending_[batch->rules()];
  pending_blobs_ += Blobs(*batch);
  if (Blobs(pending) == 0) {
    pending = std::move(*batch);
  } else {
    pending.MergeFrom(*batch);
    pending.set_bytes_resolved(0);  // A sum of sums: not kept.
  }
  if (pending_blobs_ >= kFlushBlobs) changed_.notify_all();
}

absl::Status BlobRecorder::Finish() {
  {
    MutexLock lock(mutex_);
    finishing_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  MutexLock lock(mutex_);
  return status_;
}

v1::BlobBatch BlobRecorder::TakeLargest() {
  size_t largest = 0;
  for (size_t i = 1; i < pending_.size(); ++i) {
    if (Blobs(pending_[i]) > Blobs(pending_[largest])) largest = i;
  }
  v1::BlobBatch batch = std::exchange(pending_[largest], {});
  pending_blobs_ -= Blobs(batch);
  batch.set_rules(static_cast<uint32_t>(largest));
  return batch;
}

void BlobRecorder::Run() {
  for (;;) {
    v1::BlobBatch batch;
    {
      MutexLock lock(mutex_);
      if (!finishing_ && pending_blobs_ < kFlushBlobs) changed_.wait_for(mutex_, kFlushInterval);
      if (pending_blobs_ == 0) {
        if (finishing_) return;
        continue;
      }
      batch = TakeLargest();
      changed_.notify_all();
    }
    const absl::Status recorded = ledger_.RecordBlobs(batch, rule_lists_[batch.rules()]);
    MutexLock lock(mutex_);
    status_.Update(recorded);
    if (!recorded.ok()) {
      for (v1::BlobBatch& pending : pending_) pending.Clear();
      pending_blobs_ = 0;
      changed_.notify_all();
      return;
    }
  }
}

}  // namespace unsprawl
