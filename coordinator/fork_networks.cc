#include "coordinator/fork_networks.h"

#include <chrono>

#include "worker/mirror.h"

namespace unsprawl {

bool IsFirstRather(const RemoteTarget& target, const std::string& key, uint64_t size_kb) {
  return target.key == target.network || (key != target.network && target.size_kb > size_kb);
}

ForkNetworks::ForkNetworks(const std::vector<RemoteTarget>& targets, const std::filesystem::path& mirrors_dir,
                           const std::atomic<bool>* stop)
    : mirrors_dir_(mirrors_dir), stop_(stop) {
  MutexLock lock(mutex_);
  for (const RemoteTarget& target : targets) {
    if (target.network.empty()) continue;
    Network& network = networks_[target.network];
    if (++network.members == 1 || IsFirstRather(target, network.first, network.first_kb)) {
      network.first = target.key;
      network.first_kb = target.size_kb;
    }
  }
  std::erase_if(networks_, [](const auto& network) { return network.second.members < 2; });
  for (const RemoteTarget& target : targets) {
    Network* network = Find(target);
    if (network == nullptr || !network->lender.empty()) continue;
    const Mirror mirror(mirrors_dir / target.folder());
    if (!mirror.exists()) continue;
    const std::filesystem::path lender = mirror.lender();
    network->lender = lender.empty() ? target.folder() : lender.lexically_relative(mirrors_dir).native();
  }
}

ForkNetworks::Network* ForkNetworks::Find(const RemoteTarget& target) {
  const auto found = target.network.empty() ? networks_.end() : networks_.find(target.network);
  return found == networks_.end() ? nullptr : &found->second;
}

bool ForkNetworks::WaitsForAnother(const RemoteTarget& target) {
  MutexLock lock(mutex_);
  const Network* network = Find(target);
  return network != nullptr && network->lender.empty() && network->first != target.key;
}

absl::StatusOr<std::string> ForkNetworks::LenderFor(const RemoteTarget& target) {
  MutexLock lock(mutex_);
  Network* const network = Find(target);
  if (network == nullptr) return "";
  while (network->lender.empty() && !network->first.empty() && network->first != target.key) {
    if (*stop_) return absl::CancelledError("stopped");
    finished_.wait_for(mutex_, std::chrono::milliseconds(200));
  }
  if (network->lender.empty()) network->first = target.key;
  return network->lender;
}

void ForkNetworks::Finish(const RemoteTarget& target) {
  MutexLock lock(mutex_);
  Network* const network = Find(target);
  if (network == nullptr || network->first != target.key) return;
  network->first.clear();
  const bool fetched = !Mirror(mirrors_dir_ / target.folder()).fetched().refs_digest().empty();
  if (network->lender.empty() && fetched) network->lender = target.folder();
  finished_.notify_all();
}

}  // namespace unsprawl
