#pragma once

#include <atomic>
#include <cstdint>

#include "engine/match/detector.h"
#include "worker/frame_channel.h"

namespace unsprawl {

// Answers commands about one repository (proto/unsprawl/v1/shard.proto) until the other side closes
// the channel: open once, then scan and locate any number of times. What goes wrong with
// the repository as a whole is answered as a Failure and ends the session.
//
// `current_object` has kMaxScanThreads entries, see WalkOptions.
void ServeRepository(FrameChannel& channel, const Detector& detector,
                     std::atomic<uint32_t>* current_object);

}  // namespace unsprawl
