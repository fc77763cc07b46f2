#include "worker/scan_queue.h"

#include <algorithm>
#include <chrono>
#include <tuple>

namespace unsprawl {
namespace {

// Repositories with more pack bytes get all threads.
constexpr uint64_t kLargePackBytes = 32 << 20;

// Order of a heap with the largest on top; among equals by name.
bool GoesLater(const ReadyTarget& a, const ReadyTarget& b) {
  return std::tie(a.target.pack_bytes, b.target.name) < std::tie(b.target.pack_bytes, a.target.name);
}

}  // namespace

void ScanQueue::Add(ReadyTarget ready) {
  MutexLock lock(mutex_);
  heap_.push_back(std::move(ready));
  std::push_heap(heap_.begin(), heap_.end(), GoesLater);
  changed_.notify_all();
}

void ScanQueue::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

std::optional<int> ScanQueue::ThreadsForTop() const {
  if (heap_.empty()) return std::nullopt;
  const bool large = heap_.front().target.pack_bytes > kLargePackBytes;
  if (busy_ == 0 && (large || heap_.size() == 1)) return threads_;
  if (!large && busy_ < threads_) return 1;
  return std::nullopt;
}

std::optional<ScanQueue::Lent> ScanQueue::Take() {
  MutexLock lock(mutex_);
  for (;;) {
    if (*stop_ || (closed_ && heap_.empty())) return std::nullopt;
    if (const std::optional<int> threads = ThreadsForTop()) {
      std::pop_heap(heap_.begin(), heap_.end(), GoesLater);
      Lent lent{std::move(heap_.back()), *threads};
      heap_.pop_back();
      busy_ += *threads;
      return lent;
    }
    changed_.wait_for(mutex_, std::chrono::milliseconds(200));  // `stop` notifies nobody.
  }
}

void ScanQueue::Return(int threads) {
  MutexLock lock(mutex_);
  busy_ -= threads;
  changed_.notify_all();
}

}  // namespace unsprawl
