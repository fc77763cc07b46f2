// Asks a forge's API: spreads tokens, obeys limits, tries again, and says in one word what went wrong.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/forges/rate_limit.h"
#include "coordinator/forges/token_source.h"
#include "engine/base/mutex.h"
#include "worker/http_client.h"

namespace unsprawl {

// A limit that is not over by then is taken for an answer.
inline constexpr absl::Duration kMaxLimitWait = absl::Hours(2);

struct ApiOptions {
  NetworkOptions network;
  TokenBudget::Options budget;
  std::shared_ptr<TokenBudgets> budgets;            // shared with other clients of a run; null: this client's own
  int max_attempts = 6;                             // of one request, limits not counted
  int max_limits = 30;                              // that one request may run into, one after another
  absl::Duration first_pause = absl::Seconds(1);    // before trying again; doubled, with jitter
  absl::Duration max_pause = absl::Minutes(1);
  absl::Duration max_limit_wait = kMaxLimitWait;    // a longer one ends the request
  const std::atomic<bool>* stop = nullptr;          // polled while waiting
  // While it is set (null: never), whoever asks waits no longer than a second for a limit, and does not try again
  // after half a minute: somebody else waits for him.
  const std::atomic<bool>* no_wait = nullptr;
  // Called before a wait for a limit of more than a second: a sentence for a person.
  std::function<void(const std::string&)> on_wait;
};

// A forge's API behind one base URL. Thread-safe: requests are one at a time.
class ApiClient {
 public:
  // Adds to a request what a forge wants to see of a token.
  using Authorize = HttpHeaders (*)(const std::string& token);

  // `tokens` may be empty: anonymous. Requests go to the origin of `base_url` only.
  ApiClient(std::string base_url, std::vector<std::unique_ptr<TokenSource>> tokens, Authorize authorize,
            ApiOptions options);

  const std::string& base_url() const { return base_url_; }
  bool is_anonymous() const { return anonymous_; }
  size_t token_count() const { return token_count_; }  // 0: anonymous

  // Sends a GET (or, with `body`, a POST of JSON) for an absolute URL below the origin, or a path below the
  // base URL. The response is 2xx or 304.
  // PermissionDenied: every token was refused (401, 403). A token that is not known (401), and one that single sign-on
  // or an IP allow list keeps from what another is given (403), is parked: not used again, while the others go on. One
  // that may not see what this request asks for (another 403) is left out of this request. NotFound: 404, 410.
  // AlreadyExists: 409. Aborted: 451, withheld for legal reasons. ResourceExhausted: a limit that would take longer
  // than max_limit_wait, or max_limits of them. DeadlineExceeded: a shorter one, which `no_wait` keeps it from waiting
  // for. Unavailable: still failing after max_attempts. FailedPrecondition: anything else; trying again will not help.
  // Cancelled: `stop`.
  absl::StatusOr<HttpResponse> Get(const std::string& url, const HttpHeaders& headers = {});
  absl::StatusOr<HttpResponse> Post(const std::string& url, const std::string& json,
                                    const HttpHeaders& headers = {});
  // A Post that is made once, by whoever comes again: no token is parked for its refusal, no limit is waited for, and
  // what failed is not tried again.
  absl::StatusOr<HttpResponse> TryPost(const std::string& url, const std::string& json);

  // The tokens for git that the API has not refused, beginning with the one whose turn it is. One that is empty:
  // there are no tokens (anonymous). PermissionDenied: all were refused.
  absl::StatusOr<std::vector<std::string>> GitTokens();
  // The same, to be given away: as far as the forge allows for the repository with this id only.
  absl::StatusOr<std::vector<GivenToken>> GitTokensFor(const std::string& repository);
  // To be called when git was refused: a token may have ended since it was given out. OK: another is there now.
  // A token is renewed for that once in a few minutes, however many repositories are refused. DeadlineExceeded: not
  // yet, as of Get. Others: there is none.
  absl::Status RenewGitTokens();

  uint64_t requests() const { return requests_; }         // sent so far
  uint64_t not_modified() const { return not_modified_; }  // of them answered by 304

 private:
  struct Token {
    std::unique_ptr<TokenSource> source;  // null: anonymous
    TokenBudget* budget;    // in budgets_
    bool renew = false;    // its value was refused, and may only have ended
    bool refused = false;  // parked
    std::string why = {};  // it was last refused
  };
  struct GitToken {
    TokenSource* source;
    bool refused = false;
  };

  absl::StatusOr<HttpResponse> Send(HttpRequest request, bool once = false) ABSL_LOCKS_EXCLUDED(mutex_);
  // The token that may send first, but for those that were `refused` this request; waits for it.
  // ResourceExhausted: not in less than `at_most`. DeadlineExceeded: as of Get.
  absl::StatusOr<Token*> WaitForToken(const std::vector<Token*>& refused, absl::Duration at_most)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Never asked with again, by this client or by git.
  void Park(Token* token) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool may_wait() const { return options_.no_wait == nullptr || !*options_.no_wait; }
  template <typename Value>
  absl::StatusOr<std::vector<Value>> GitTokensBy(absl::FunctionRef<absl::StatusOr<Value>(TokenSource&)> value_of);
  // Those that are not parked, beginning with the one whose turn it is.
  std::vector<TokenSource*> UsableGitTokens() ABSL_LOCKS_EXCLUDED(git_mutex_);
  absl::Status Refused() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string base_url_;
  const Authorize authorize_;
  const ApiOptions options_;
  const std::shared_ptr<TokenBudgets> budgets_;
  mutable Mutex mutex_;
  HttpClient http_ ABSL_GUARDED_BY(mutex_);
  std::vector<Token> tokens_ ABSL_GUARDED_BY(mutex_);
  const size_t token_count_;
  const bool anonymous_;
  std::minstd_rand random_ ABSL_GUARDED_BY(mutex_);
  Mutex git_mutex_;  // taken with or without mutex_, which may be held for hours
  std::vector<GitToken> git_tokens_ ABSL_GUARDED_BY(git_mutex_);  // as tokens_; empty: anonymous
  size_t next_git_token_ ABSL_GUARDED_BY(git_mutex_) = 0;
  Mutex renewal_mutex_;  // held while a token is asked for; git_mutex_ may be taken under it
  std::map<TokenSource*, absl::Time> renewals_ ABSL_GUARDED_BY(renewal_mutex_);
  std::atomic<uint64_t> requests_ = 0, not_modified_ = 0;
};

}  // namespace unsprawl
