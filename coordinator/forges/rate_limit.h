// When a token may ask again, and what a forge's answer means. No clock: time is an argument.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "engine/base/mutex.h"
#include "worker/http_client.h"

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

// Whether a refusal is of the token itself, whatever it asks for: 401, single sign-on or an IP allow list. Another
// 403 is of what was asked for.
bool RefusesToken(const HttpResponse& response);

// The server's clock, from its Date header; InfinitePast if it did not say.
absl::Time ServerTime(const HttpResponse& response);

// What a person may know of a refusal: the answer's "message" (or "error"), shortened; never a header.
std::string MessageOf(const HttpResponse& response);

// The budget of one token: a bucket whose contents come back a minute after they were taken, and the limits
// that answers state. Not thread-safe.
class TokenBudget {
 public:
  struct Options {
    uint32_t per_minute = 0;                            // in any 60 seconds; 0: the forge states no such rate
    absl::Duration unstated_wait = absl::Seconds(60);   // a limit without a time; doubled each time
    absl::Duration max_unstated_wait = absl::Minutes(30);
  };
  explicit TokenBudget(const Options& options) : options_(options) {}

  // The earliest time at which the next request may be sent; `now` if at once.
  absl::Time ReadyAt(absl::Time now) const;
  void Sent(absl::Time now);
  // Takes in what an answer says of limits: "retry-after", else "x-ratelimit-reset" when nothing remains
  // (RateLimit-* of GitLab and others alike), else a wait that doubles. What is left of another resource than
  // REST's (x-ratelimit-resource: "graphql") is not of interest: nobody waits for it.
  void Received(const HttpResponse& response, absl::Time now);

  // Requests that are left, as last stated; INT64_MAX: never, or its time is over.
  int64_t remaining(absl::Time now) const { return now < stated_until_ ? remaining_ : INT64_MAX; }
  uint64_t sent() const { return sent_; }           // requests so far

 private:
  const Options options_;
  std::deque<absl::Time> last_minute_;           // when the last requests were sent, at most per_minute of them
  absl::Time blocked_until_ = absl::InfinitePast();
  int64_t remaining_ = 0;
  absl::Time stated_until_ = absl::InfinitePast();  // remaining_ was
  uint64_t sent_ = 0;
  int unstated_ = 0;                             // limits without a time, one after another
};

struct Turn {
  size_t index = 0;
  absl::Time at;  // when it may send; `now` if at once
};
// Whose turn it is: the budget that may send first; of several the one with the most left, then the one that
// sent the least. Null ones are left out; nullopt: all are null.
std::optional<Turn> NextTurn(std::span<const TokenBudget* const> budgets, absl::Time now);

// The budgets of a run: whoever asks with one token, through whichever client, has the same budget. Thread-safe.
class TokenBudgets {
 public:
  // The budget at `origin` of what TokenSource::identity names, made as `options` say when there is none. Lives as
  // long as this, and is for the calls below only.
  TokenBudget* Of(const std::string& origin, const std::string& identity, const TokenBudget::Options& options);

  // As NextTurn and the methods of TokenBudget.
  std::optional<Turn> Next(std::span<const TokenBudget* const> budgets, absl::Time now);
  void Sent(TokenBudget* budget, absl::Time now);
  void Received(TokenBudget* budget, const HttpResponse& response, absl::Time now);

 private:
  Mutex mutex_;
  std::map<std::pair<std::string, std::string>, TokenBudget> budgets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace unsprawl
