#include "worker/mirror_budget.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "worker/mirror.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

constexpr char kEvicted[] = ".evicted";  // behind the name of a mirror that is being removed
constexpr char kUsedFile[] = "unsprawl-used";  // its time of change is when the mirror was last used

absl::Time UsedAt(const fs::path& mirror) {
  std::error_code error;
  const fs::file_time_type time = fs::last_write_time(mirror / kUsedFile, error);
  if (error) return absl::InfinitePast();
  const auto system = std::chrono::file_clock::to_sys(time);
  return absl::FromUnixNanos(std::chrono::duration_cast<std::chrono::nanoseconds>(system.time_since_epoch()).count());
}

}  // namespace

MirrorBudget::MirrorBudget(fs::path dir, uint64_t bytes, const std::atomic<bool>* stop)
    : dir_(std::move(dir)), budget_(bytes), stop_(stop) {}

void MirrorBudget::LookAround() {
  looked_ = true;
  std::error_code error;
  std::vector<fs::path> doomed;  // of a run that was killed
  for (fs::recursive_directory_iterator entries(dir_, error);
       !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    if (entries->path().extension() == kEvicted) doomed.push_back(entries->path());
    if (entries->path().extension() != ".git") continue;
    entries.disable_recursion_pending();
    const Mirror mirror(entries->path());
    const std::string folder = entries->path().lexically_relative(dir_);
    Kept& kept = mirrors_[folder];
    kept.bytes = mirror.bytes();
    kept.used = UsedAt(mirror.dir());
    kept.pinned = mirror.is_irreplaceable();
    total_ += kept.bytes;
    if (!mirror.lender().empty()) SetLender(folder, mirror.lender().lexically_relative(dir_));
  }
  for (const fs::path& folder : doomed) fs::remove_all(folder, error);
}

void MirrorBudget::SetLender(const std::string& folder, const std::string& lender) {
  std::string& known = mirrors_[folder].lender;
  if (!known.empty()) --mirrors_[known].borrowers;
  if (!lender.empty()) ++mirrors_[lender].borrowers;
  known = lender;
}

bool MirrorBudget::Evict() {
  auto oldest = mirrors_.end();
  for (bool sure = false; !sure;) {
    oldest = mirrors_.end();
    for (auto it = mirrors_.begin(); it != mirrors_.end(); ++it) {
      const Kept& kept = it->second;
      if (kept.users + kept.waiting + kept.borrowers > 0 || kept.pinned || kept.bytes == 0) continue;
      if (oldest == mirrors_.end() || kept.used < oldest->second.used) oldest = it;
    }
    if (oldest == mirrors_.end()) return false;
    // It may have become the only copy since anybody looked.
    oldest->second.pinned = Mirror(dir_ / oldest->first).is_irreplaceable();
    sure = !oldest->second.pinned;
  }
  // Out of the way first: half a mirror must not look like one.
  const fs::path mirror = dir_ / oldest->first;
  const fs::path doomed = mirror.native() + kEvicted;
  std::error_code error;
  fs::rename(mirror, doomed, error);
  fs::remove_all(error ? mirror : doomed, error);
  total_ -= oldest->second.bytes;
  SetLender(oldest->first, "");
  mirrors_.erase(oldest);
  return true;
}

bool MirrorBudget::AnyInUseBut(const std::string& folder) const {
  return std::any_of(mirrors_.begin(), mirrors_.end(), [&](const auto& mirror) {
    return mirror.second.users > 0 && mirror.first != folder;
  });
}

absl::Status MirrorBudget::Use(const std::string& folder, uint64_t expected_bytes, const std::string& lender) {
  MutexLock lock(mutex_);
  if (budget_ > 0 && !looked_) LookAround();
  if (!lender.empty()) SetLender(folder, lender);
  ++mirrors_[folder].waiting;
  while (budget_ > 0 && total_ + expected_bytes > budget_) {
    if (Evict()) continue;
    if (!AnyInUseBut(folder)) break;
    if (stop_ != nullptr && *stop_) break;
    released_.wait_for(mutex_, std::chrono::milliseconds(200));
  }
  --mirrors_[folder].waiting;
  if (stop_ != nullptr && *stop_) return absl::CancelledError("stopped");
  std::error_code error;
  fs::create_directories(dir_, error);
  const fs::space_info space = fs::space(dir_, error);
  if (!error && space.available < expected_bytes + kDiskReserveBytes) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "%s: the disk has %d MB left, and this repository needs about %d: make room, or bound the mirrors "
        "with --mirrors-budget",
        dir_.native(), space.available >> 20, (expected_bytes + kDiskReserveBytes) >> 20));
  }
  Kept& kept = mirrors_[folder];
  ++kept.users;
  kept.bytes += expected_bytes;
  total_ += expected_bytes;
  return absl::OkStatus();
}

void MirrorBudget::Release(const std::string& folder) {
  const Mirror mirror(dir_ / folder);
  const uint64_t bytes = budget_ > 0 ? mirror.bytes() : 0;
  if (mirror.exists()) std::ofstream(mirror.dir() / kUsedFile, std::ios::trunc) << "\n";
  MutexLock lock(mutex_);
  Kept& kept = mirrors_[folder];
  kept.used = absl::Now();
  kept.pinned = mirror.is_irreplaceable();
  --kept.users;
  Count(folder, bytes);
}

void MirrorBudget::Fetched(const std::string& folder) {
  if (budget_ == 0) return;
  const uint64_t bytes = Mirror(dir_ / folder).bytes();
  MutexLock lock(mutex_);
  Count(folder, bytes);
}

void MirrorBudget::Count(const std::string& folder, uint64_t bytes) {
  Kept& kept = mirrors_[folder];
  total_ = total_ - kept.bytes + bytes;
  kept.bytes = bytes;
  while (budget_ > 0 && total_ > budget_ && Evict()) {
  }
  released_.notify_all();
}

}  // namespace unsprawl
