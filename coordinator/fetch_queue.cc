#include "coordinator/fetch_queue.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "coordinator/mirror.h"

namespace unsprawl {
namespace {

constexpr uint64_t kLargeKb = 32 << 10;  // takes longer to come than all small ones beside it

}  // namespace

FetchQueue::FetchQueue(std::vector<RemoteTarget> targets, ForkNetworks& networks, std::filesystem::path mirrors_dir,
                       size_t jobs, size_t beside_large, const std::atomic<bool>* stop)
    : mirrors_dir_(std::move(mirrors_dir)), jobs_(jobs), beside_large_(beside_large), stop_(stop),
      targets_(std::move(targets)) {
  const auto waiting = std::stable_partition(targets_.begin(), targets_.end(), [&](const RemoteTarget& target) {
    return !networks.WaitsForAnother(target);
  });
  const auto larger = [](const RemoteTarget& a, const RemoteTarget& b) { return a.size_kb > b.size_kb; };
  std::stable_sort(targets_.begin(), waiting, larger);
  std::stable_sort(waiting, targets_.end(), larger);
}

bool FetchQueue::IsLarge(const RemoteTarget& target) const {
  return target.size_kb > kLargeKb && !Mirror(mirrors_dir_ / target.folder()).exists();
}

const RemoteTarget* FetchQueue::Take() {
  MutexLock lock(mutex_);
  while (next_ < targets_.size() && !*stop_) {
    const RemoteTarget& target = targets_[next_];
    const bool is_large = IsLarge(target);
    const size_t limit = is_large || !large_.empty() ? std::min(jobs_, 1 + beside_large_) : jobs_;
    if (running_ < limit) {
      ++next_;
      ++running_;
      if (is_large) large_.insert(&target);
      return &target;
    }
    returned_.wait_for(mutex_, std::chrono::milliseconds(200));
  }
  return nullptr;
}

void FetchQueue::Return(const RemoteTarget* target) {
  MutexLock lock(mutex_);
  --running_;
  large_.erase(target);
  returned_.notify_all();
}

}  // namespace unsprawl
