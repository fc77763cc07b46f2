#include "coordinator/cluster/call_limit.h"

#include "absl/strings/str_format.h"
#include "worker/log.h"

namespace unsprawl {

absl::StatusOr<CallLimit::Call> CallLimit::Begin(const std::string& caller, bool may_wait) {
  MutexLock lock(mutex_);
  Calls& own = callers_[caller];
  const bool one_too_many = own.under_way >= kOfOneCaller;
  if (one_too_many || (may_wait && waiting_.under_way >= kThatWait)) {
    Calls& which = one_too_many ? own : waiting_;
    const absl::Status refused = absl::ResourceExhaustedError(absl::StrFormat(
        "%d calls of %s are under way, as many as may be", which.under_way, one_too_many ? caller : "workers"));
    if (!std::exchange(which.said, true)) Log(LogLevel::kWarning, "busy", {{"caller", caller}, {"error", refused}});
    if (own.under_way == 0) callers_.erase(caller);
    return refused;
  }
  ++own.under_way;
  if (may_wait) ++waiting_.under_way;
  return Call(this, caller, may_wait);
}

void CallLimit::End(const Call& call) {
  MutexLock lock(mutex_);
  const auto own = callers_.find(call.caller_);
  if (--own->second.under_way == 0) callers_.erase(own);
  if (call.may_wait_ && --waiting_.under_way == 0) waiting_.said = false;
}

}  // namespace unsprawl
