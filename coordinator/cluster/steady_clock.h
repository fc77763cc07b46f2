#pragma once

#include "absl/time/clock.h"
#include "absl/time/time.h"

#include <chrono>

namespace unsprawl {

// The wall clock as it was when this was made, and what has passed since: nobody can set it. Thread-safe.
class SteadyClock {
 public:
  absl::Time Now() const {
    return began_ + absl::FromChrono(std::chrono::steady_clock::now() - steady_began_);
  }

 private:
  const absl::Time began_ = absl::Now();
  const std::chrono::steady_clock::time_point steady_began_ = std::chrono::steady_clock::now();
};

}  // namespace unsprawl
