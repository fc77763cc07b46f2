#include "worker/pause.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "absl/time/clock.h"

namespace unsprawl {

absl::Status Pause(absl::Duration duration, const std::atomic<bool>* stop) {
  using Clock = std::chrono::steady_clock;  // Nobody can set it.
  const Clock::time_point began = Clock::now();
  for (absl::Duration left = duration; left > absl::ZeroDuration();
       left = duration - absl::FromChrono(Clock::now() - began)) {
    if (stop != nullptr && *stop) return absl::CancelledError("stopped");
    absl::SleepFor(std::min(left, absl::Milliseconds(100)));
  }
  return absl::OkStatus();
}

absl::Duration WithJitter(absl::Duration duration) {
  thread_local std::minstd_rand random(std::random_device{}());
  return duration * std::uniform_real_distribution<>(1, 1.5)(random);
}

}  // namespace unsprawl
