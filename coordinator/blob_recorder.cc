#include "coordinator/blob_recorder.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr size_t kFlushBytes = 2 << 20;       // the ledger ingests large batches cheaper
constexpr size_t kMaxPendingBytes = 8 << 20;  // Add waits above it
constexpr std::chrono::seconds kFlushInterval{3};  // what a crash may cost

// About what a batch takes in memory.
size_t Bytes(const v1::BlobBatch& batch) {
  constexpr size_t kCleanBytes = 32, kHitBytes = 160, kMatchBytes = 240;
  size_t bytes = kCleanBytes * static_cast<size_t>(batch.clean_bytes_size());
  for (const v1::BlobHit& hit : batch.hits()) {
    bytes += kHitBytes + kMatchBytes * static_cast<size_t>(hit.matches_size());
    for (const v1::Match& match : hit.matches()) bytes += match.member().size();
  }
  return bytes;
}

}  // namespace

BlobRecorder::BlobRecorder(Ledger& ledger, const ShardLease* fence)
    : ledger_(ledger), fence_(fence), thread_([this] { Run(); }) {}

BlobRecorder::~BlobRecorder() { (void)Finish(); }

absl::Status BlobRecorder::Add(v1::BlobBatch* batch, RuleListId rules) {
  batch->clear_skips();
  const size_t bytes = Bytes(*batch);
  MutexLock lock(mutex_);
  while (pending_bytes_ > kMaxPendingBytes && status_.ok()) changed_.wait(mutex_);
  RETURN_IF_ERROR(status_);
  Pending& pending = pending_[rules];
  if (pending.bytes == 0) {
    pending.batch = std::move(*batch);
  } else {
    pending.batch.mutable_clean()->append(batch->clean());  // A merge would replace it.
    batch->clear_clean();
    batch->clear_traits();  // They are in the list.
    pending.batch.MergeFrom(*batch);
    pending.batch.set_bytes_resolved(0);  // A sum of sums: not kept.
  }
  pending.bytes += bytes;
  pending_bytes_ += bytes;
  if (pending_bytes_ >= kFlushBytes) changed_.notify_all();
  return absl::OkStatus();
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

void BlobRecorder::Run() {
  for (;;) {
    RuleListId rules = 0;
    v1::BlobBatch batch;
    {
      MutexLock lock(mutex_);
      if (!finishing_ && pending_bytes_ < kFlushBytes) changed_.wait_for(mutex_, kFlushInterval);
      if (pending_bytes_ == 0) {
        if (finishing_) return;
        continue;
      }
      const auto fullest = std::max_element(
          pending_.begin(), pending_.end(),
          [](const auto& a, const auto& b) { return a.second.bytes < b.second.bytes; });
      rules = fullest->first;
      batch = std::move(fullest->second.batch);
      pending_bytes_ -= fullest->second.bytes;
      pending_.erase(fullest);
      changed_.notify_all();
    }
    const absl::Status recorded = ledger_.RecordBlobs(batch, rules, fence_);
    MutexLock lock(mutex_);
    status_.Update(recorded);
    if (!recorded.ok()) {
      pending_.clear();
      pending_bytes_ = 0;
      changed_.notify_all();
      return;
    }
  }
}

}  // namespace unsprawl
