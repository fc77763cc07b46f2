// When a token may ask again, and what a forge's answer means. No clock: time is an argument.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "coordinator/http_client.h"

namespace unsprawl {

// The classes of answers (docs/design.md, "Errors").
enum class ApiAnswer : uint8_t {
  kUse,           // 2xx, 304
  kLimited,       // a limit was hit: the same again, once the token is ready
  kRetry,         // a server error: the same again, after a pause
  kTokenRefused,  // 401, and 403 that is no limit: this token is of no use here
  kGone,          // 404, 410
  kConflict,      // 409: nothing there yet (an empty repository)
  kLegal,         // 451
  kFailed,        // any other answer; asking again will not help
};

// GitHub says its limits with 403 as well as 429, the others with 429 (and Azure with 503).
ApiAnswer Classify(const HttpResponse& response);

// The server's clock, from its Date header; InfinitePast if it did not say.
absl::Time ServerTime(const HttpResponse& response);

// What a person may know of a refusal: the answer's "message" (or "error"), shortened; never a header.
std::string MessageOf(const HttpResponse& response);

// The budget of one token: a bucket for the rate that the forge asks for, and the limits that its answers
// state. Not thread-safe.
class TokenBudget {
 public:
  struct Options {
    double per_minute = 0;                              // 0: the forge states no such rate
    absl::Duration unstated_wait = absl::Seconds(60);   // a limit without a time; doubled each time
    absl::Duration max_unstated_wait = absl::Minutes(30);
  };
  explicit TokenBudget(const Options& options) : options_(options), bucket_(options.per_minute) {}

  // The earliest time at which the next request may be sent; `now` if at once.
  absl::Time ReadyAt(absl::Time now);
  void Sent(absl::Time now);
  // Takes in what an answer says of limits: "retry-after", else "x-ratelimit-reset" when nothing remains
  // (RateLimit-* of GitLab and others alike), else a wait that doubles.
  void Received(const HttpResponse& response, absl::Time now);

  int64_t remaining() const { return remaining_; }  // as last stated; -1: never

 private:
  void Refill(absl::Time now);

  const Options options_;
  double bucket_;                                // requests that may be sent at once
  absl::Time refilled_ = absl::InfinitePast();
  absl::Time blocked_until_ = absl::InfinitePast();
  int64_t remaining_ = -1;
  int unstated_ = 0;                             // limits without a time, one after another
};

}  // namespace unsprawl
