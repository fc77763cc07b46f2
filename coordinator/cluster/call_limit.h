// How many calls may be under way, so that neither one caller nor all workers together take every thread of a
// coordinator: a call that waits, for a forge or for another call of its lease, holds one.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "engine/base/mutex.h"

namespace unsprawl {

inline constexpr int kServerThreads = 512;
// Calls under way on one connection; what is beyond waits at the client. More than a worker can have waiting for a
// forge (64 fetches): its renewals do not wait behind them.
inline constexpr int kMaxStreams = 96;

// Thread-safe.
class CallLimit {
 public:
  // Of one caller, by its certificate. A worker makes one call at a time on each of its threads: 64 that fetch, one
  // that renews, and 127 that scan fit. Of one with more threads kMaxStreams holds most back.
  static constexpr size_t kOfOneCaller = 192;
  // Of all callers, those that may wait. The other threads are for admins and for renewals, which do not.
  static constexpr size_t kThatWait = kServerThreads - 64;

  // A call, until it is destroyed.
  class Call {
   public:
    Call(Call&& other) noexcept : limit_(std::exchange(other.limit_, nullptr)), caller_(std::move(other.caller_)),
                                  may_wait_(other.may_wait_) {}
    ~Call() {
      if (limit_ != nullptr) limit_->End(*this);
    }

   private:
    friend class CallLimit;
    Call(CallLimit* limit, std::string caller, bool may_wait)
        : limit_(limit), caller_(std::move(caller)), may_wait_(may_wait) {}

    CallLimit* limit_;
    std::string caller_;
    bool may_wait_;
  };

  // ResourceExhausted: there are too many; a client tries again. Said in the log when it begins to be so.
  absl::StatusOr<Call> Begin(const std::string& caller, bool may_wait) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Calls {
    size_t under_way = 0;
    bool said = false;  // that there are too many
  };
  void End(const Call& call) ABSL_LOCKS_EXCLUDED(mutex_);

  Mutex mutex_;
  std::map<std::string, Calls> callers_ ABSL_GUARDED_BY(mutex_);  // that have a call under way
  Calls waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace unsprawl
