// Connections of libgit2 that give up, and that show a certificate: its own (1.5) wait for ever, and have none.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "worker/http_client.h"

namespace unsprawl {

// While it lives, connections that this thread makes through libgit2 obey the timeouts, authorities and
// certificate of `network` and
// `stop` (which may be null), end at `deadline`, and receive at most `max_bytes`. One at a time in a thread; the
// library must be set up. Over SSH only connecting is bounded: libssh2 takes the socket over.
class StreamLimits {
 public:
  StreamLimits(const NetworkOptions& network, const std::atomic<bool>* stop, absl::Time deadline, uint64_t max_bytes);
  ~StreamLimits();
  StreamLimits(const StreamLimits&) = delete;
  StreamLimits& operator=(const StreamLimits&) = delete;

  // From now on something else bounds what is received.
  void LiftMaxBytes() { max_bytes_ = UINT64_MAX; }

  // Why a connection was ended; OK: none was. Unavailable: a timeout, nobody there. DeadlineExceeded: the
  // deadline. ResourceExhausted: too many bytes. Cancelled: `stop`. libgit2 itself has vaguer words for it.
  const absl::Status& ended() const { return ended_; }

  // For the streams.
  const NetworkOptions& network() const { return network_; }
  const std::atomic<bool>* stop() const { return stop_; }
  absl::Time deadline() const { return deadline_; }
  absl::Status Received(uint64_t bytes);
  void End(absl::Status why) { ended_.Update(std::move(why)); }

 private:
  const NetworkOptions& network_;
  const std::atomic<bool>* const stop_;
  const absl::Time deadline_;
  uint64_t max_bytes_, received_ = 0;
  absl::Status ended_;
};

}  // namespace unsprawl
