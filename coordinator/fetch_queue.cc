#include "coordinator/fetch_queue.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "worker/mirror.h"

namespace unsprawl {
namespace {

constexpr uint64_t kLargeKb = 32 << 10;  // takes longer to come than all small ones beside it
constexpr size_t kMaxHosts = 4;          // that have all their jobs at a time

// "github.com" of "github.com/owner/name".
std::string HostOf(const RemoteTarget& target) { return target.name.substr(0, target.name.find('/')); }

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
  MutexLock lock(mutex_);
  for (const RemoteTarget& target : targets_) hosts_[HostOf(target)].targets.push_back(&target);
  left_ = targets_.size();
}

size_t FetchQueue::width() const {
  MutexLock lock(mutex_);
  return jobs_ * std::min(hosts_.size(), kMaxHosts);
}

bool FetchQueue::IsLarge(const RemoteTarget& target) const {
  return target.size_kb > kLargeKb && !Mirror(mirrors_dir_ / target.folder()).exists();
}

FetchQueue::Host* FetchQueue::NextHost() {
  Host* next = nullptr;
  for (auto& [name, host] : hosts_) {
    if (host.next == host.targets.size()) continue;
    const RemoteTarget* const target = host.targets[host.next];
    const bool beside_large = !host.large.empty() || IsLarge(*target);
    if (host.running >= (beside_large ? std::min(jobs_, 1 + beside_large_) : jobs_)) continue;
    // They point into one vector, whose order counts.
    if (next == nullptr || target < next->targets[next->next]) next = &host;
  }
  return next;
}

const RemoteTarget* FetchQueue::Take() {
  MutexLock lock(mutex_);
  while (left_ > 0 && !*stop_) {
    if (Host* const host = NextHost()) {
      const RemoteTarget* const target = host->targets[host->next++];
      ++host->running;
      --left_;
      if (IsLarge(*target)) host->large.insert(target);
      return target;
    }
    returned_.wait_for(mutex_, std::chrono::milliseconds(200));
  }
  return nullptr;
}

void FetchQueue::Return(const RemoteTarget* target) {
  MutexLock lock(mutex_);
  Host& host = hosts_[HostOf(*target)];
  --host.running;
  host.large.erase(target);
  returned_.notify_all();
}

}  // namespace unsprawl
