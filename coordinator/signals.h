#pragma once

#include <atomic>

namespace unsprawl {

// Set once SIGINT, SIGTERM or SIGHUP asks this process to end, from the first call on; asked a second time it ends
// at once: nothing is lost by it. What ignores a signal (nohup) goes on ignoring it; SIGPIPE is ignored.
const std::atomic<bool>& CatchSignals();

}  // namespace unsprawl
