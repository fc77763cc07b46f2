#pragma once

#include <atomic>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace unsprawl {

// Sleeps for `duration`. Cancelled: `stop` (which may be null) was set meanwhile; noticed within 100 ms.
absl::Status Pause(absl::Duration duration, const std::atomic<bool>* stop);

// `duration`, made longer by up to half of it: those that failed together do not come back together. Thread-safe.
absl::Duration WithJitter(absl::Duration duration);

}  // namespace unsprawl
