#include "coordinator/forges/api_client.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "worker/pause.h"

namespace unsprawl {
namespace {

// For this long after a token was renewed because git was refused, it is not to blame for another refusal.
constexpr absl::Duration kRenewedLately = absl::Minutes(5);
// Where nobody may wait: for a limit, and before the last attempt of a request.
constexpr absl::Duration kShortWait = absl::Seconds(1), kShortTime = absl::Seconds(30);

HttpRequest PostOf(const std::string& url, const std::string& json, const HttpHeaders& headers) {
  HttpRequest request;
  request.method = "POST";
  request.url = url;
  request.headers = headers;
  request.headers.emplace_back("Content-Type", "application/json");
  request.body = json;
  return request;
}

// Origin and path: a query may hold what a forge calls a token.
std::string Shown(std::string_view url) { return std::string(url.substr(0, url.find('?'))); }

absl::Status Error(ApiAnswer answer, const HttpResponse& response) {
  const std::string message = MessageOf(response);
  const std::string text = absl::StrFormat("%s answered %d%s%s", Shown(response.url), response.status,
                                           message.empty() ? "" : ": ", message);
  switch (answer) {
    case ApiAnswer::kGone: return absl::NotFoundError(text);
    case ApiAnswer::kConflict: return absl::AlreadyExistsError(text);
    case ApiAnswer::kLegal: return absl::AbortedError(text);
    case ApiAnswer::kTokenRefused: return absl::PermissionDeniedError(text);
    case ApiAnswer::kRetry: return absl::UnavailableError(text);
    default: return absl::FailedPreconditionError(text);
  }
}

}  // namespace

ApiClient::ApiClient(std::string base_url, std::vector<std::unique_ptr<TokenSource>> tokens,
                     Authorize authorize, ApiOptions options)
    : base_url_(std::move(base_url)),
      authorize_(authorize),
      options_(std::move(options)),
      budgets_(options_.budgets != nullptr ? options_.budgets : std::make_shared<TokenBudgets>()),
      http_(options_.network, options_.stop),
      token_count_(tokens.size()),
      anonymous_(tokens.empty()),
      random_(std::random_device()()) {
  if (anonymous_) tokens.push_back(nullptr);
  for (auto& token : tokens) {
    if (token != nullptr) git_tokens_.push_back({token.get()});
    const std::string identity = token == nullptr ? "" : token->identity();
    TokenBudget* const budget = budgets_->Of(OriginOf(base_url_), identity, options_.budget);
    tokens_.push_back({std::move(token), budget});
  }
}

absl::StatusOr<HttpResponse> ApiClient::Get(const std::string& url, const HttpHeaders& headers) {
  HttpRequest request;
  request.url = url;
  request.headers = headers;
  return Send(std::move(request));
}

absl::StatusOr<HttpResponse> ApiClient::Post(const std::string& url, const std::string& json,
                                             const HttpHeaders& headers) {
  return Send(PostOf(url, json, headers));
}

absl::StatusOr<HttpResponse> ApiClient::TryPost(const std::string& url, const std::string& json) {
  return Send(PostOf(url, json, {}), /*once=*/true);
}

absl::StatusOr<HttpResponse> ApiClient::Send(HttpRequest request, bool once) {
  if (request.url.rfind("/", 0) == 0) request.url = base_url_ + request.url;
  if (OriginOf(request.url) != OriginOf(base_url_)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s names a page on another host, which is not asked: the token would go along",
        OriginOf(base_url_)));
  }
  request.headers.emplace_back("User-Agent", "unsprawl");
  const HttpHeaders plain = request.headers;

  MutexLock lock(mutex_);
  absl::Status last;
  std::vector<Token*> refused;  // this request
  std::vector<Token*> of_no_use;  // of them, those that would be refused others as well
  bool renewed = false;
  int limits = 0;
  const absl::Time began = absl::Now();
  for (int attempt = 0; attempt < options_.max_attempts;) {
    ASSIGN_OR_RETURN(Token* const token, WaitForToken(refused, once ? absl::ZeroDuration() : options_.max_limit_wait));
    request.headers = plain;
    if (!anonymous_) {
      absl::StatusOr<std::string> value = token->source->Value(absl::Now(), std::exchange(token->renew, false));
      if (absl::IsPermissionDenied(value.status())) {
        token->why = std::string(value.status().message());
        Park(token);
        continue;
      }
      RETURN_IF_ERROR(value.status());
      for (auto& header : authorize_(*value)) request.headers.push_back(std::move(header));
    }
    budgets_->Sent(token->budget, absl::Now());
    ++requests_;
    absl::StatusOr<HttpResponse> response = http_.Send(request);
    if (response.ok()) {
      budgets_->Received(token->budget, *response, absl::Now());
      const ApiAnswer answer = Classify(*response);
      if (response->status == 304) ++not_modified_;
      if (answer == ApiAnswer::kUse) {
        for (Token* worse : of_no_use) Park(worse);
        return response;
      }
      last = Error(answer, *response);
      if (answer == ApiAnswer::kLimited) {  // WaitForToken waits, or takes another token.
        if (once || ++limits > options_.max_limits) return absl::ResourceExhaustedError(last.message());
        continue;
      }
      if (answer == ApiAnswer::kTokenRefused) {
        // One that expires on the way is renewed once; what is still refused is parked.
        if (response->status == 401 && !anonymous_ && token->source->expires() != absl::InfiniteFuture() &&
            !std::exchange(renewed, true)) {
          token->renew = true;
          continue;
        }
        token->why = std::string(last.message());
        refused.push_back(token);
        if (once || anonymous_) continue;
        if (response->status == 401) {
          Park(token);
        } else if (RefusesToken(*response)) {
          of_no_use.push_back(token);
        }
        continue;
      }
      if (answer != ApiAnswer::kRetry) return last;
    } else {
      last = response.status();
      if (!absl::IsUnavailable(last)) return last;
    }
    if (once || ++attempt == options_.max_attempts || (!may_wait() && absl::Now() - began > kShortTime)) break;
    const absl::Duration pause =
        std::min(options_.max_pause, options_.first_pause * (1 << std::min(attempt - 1, 10)));
    // Jitter: many scopes that failed together do not come back together.
    RETURN_IF_ERROR(Pause(pause * std::uniform_real_distribution<>(0.5, 1)(random_), options_.stop));
  }
  return last;
}

absl::StatusOr<ApiClient::Token*> ApiClient::WaitForToken(const std::vector<Token*>& refused, absl::Duration at_most) {
  for (;;) {
    const absl::Time now = absl::Now();
    std::vector<const TokenBudget*> budgets;
    for (const Token& token : tokens_) {
      const bool of_no_use =
          token.refused || std::find(refused.begin(), refused.end(), &token) != refused.end();
      budgets.push_back(of_no_use ? nullptr : token.budget);
    }
    const std::optional<Turn> turn = budgets_->Next(budgets, now);
    if (!turn) return Refused();
    const absl::Time ready = turn->at;
    if (ready <= now) return &tokens_[turn->index];
    const bool too_long = ready - now > at_most;
    if (too_long || (!may_wait() && ready - now > kShortWait)) {
      const std::string why = absl::StrFormat("%s: its rate limit ends only in %s", OriginOf(base_url_),
                                              absl::FormatDuration(absl::Trunc(ready - now, absl::Seconds(1))));
      return too_long ? absl::ResourceExhaustedError(why) : absl::DeadlineExceededError(why);
    }
    if (ready - now > absl::Seconds(1) && options_.on_wait) {
      options_.on_wait(absl::StrFormat("waiting %s for the rate limit of %s",
                                       absl::FormatDuration(absl::Ceil(ready - now, absl::Seconds(1))),
                                       OriginOf(base_url_)));
    }
    RETURN_IF_ERROR(Pause(ready - now, options_.stop));
  }
}

absl::Status ApiClient::Refused() const {
  std::string all;
  for (const Token& token : tokens_) {
    const std::string name = token.source == nullptr ? "without a token" : token.source->name();
    all += absl::StrFormat("%s%s (%s)", all.empty() ? "" : "; ", token.why, name);
  }
  return absl::PermissionDeniedError(all);
}

void ApiClient::Park(Token* token) {
  token->refused = true;
  MutexLock lock(git_mutex_);
  for (GitToken& git_token : git_tokens_) git_token.refused |= git_token.source == token->source.get();
}

std::vector<TokenSource*> ApiClient::UsableGitTokens() {
  MutexLock lock(git_mutex_);
  std::vector<TokenSource*> usable;
  const size_t first = next_git_token_++;
  for (size_t i = 0; i < git_tokens_.size(); ++i) {
    const GitToken& token = git_tokens_[(first + i) % git_tokens_.size()];
    if (!token.refused) usable.push_back(token.source);
  }
  return usable;
}

template <typename Value>
absl::StatusOr<std::vector<Value>> ApiClient::GitTokensBy(
    absl::FunctionRef<absl::StatusOr<Value>(TokenSource&)> value_of) {
  if (anonymous_) return std::vector<Value>(1);
  std::vector<Value> values;
  absl::Status last = absl::PermissionDeniedError(absl::StrFormat("%s refused every token", OriginOf(base_url_)));
  for (TokenSource* source : UsableGitTokens()) {
    absl::StatusOr<Value> value = value_of(*source);
    if (value.ok()) {
      values.push_back(*std::move(value));
    } else {
      last = value.status();
    }
  }
  if (values.empty()) return last;
  return values;
}

absl::StatusOr<std::vector<std::string>> ApiClient::GitTokens() {
  return GitTokensBy<std::string>([](TokenSource& source) { return source.Value(absl::Now(), false); });
}

absl::StatusOr<std::vector<GivenToken>> ApiClient::GitTokensFor(const std::string& repository) {
  return GitTokensBy<GivenToken>([&](TokenSource& source) { return source.ValueFor(repository, absl::Now()); });
}

absl::Status ApiClient::RenewGitTokens() {
  MutexLock lock(renewal_mutex_);  // Who comes meanwhile waits for the new one.
  const absl::Time now = absl::Now();
  bool renewed = false;
  absl::Status last = absl::PermissionDeniedError(absl::StrFormat("%s has no other token", OriginOf(base_url_)));
  for (TokenSource* source : UsableGitTokens()) {
    if (source->expires() == absl::InfiniteFuture()) continue;
    // Else since, or while, whoever asks was refused: perhaps it has not been tried yet.
    if (now - renewals_[source] >= kRenewedLately) {
      const absl::Status done = source->Value(now, true).status();
      if (absl::IsDeadlineExceeded(done) || absl::IsCancelled(done)) {
        last = done;
        continue;
      }
      renewals_[source] = now;
      if (!done.ok()) continue;
    }
    renewed = true;
  }
  return renewed ? absl::OkStatus() : last;
}

}  // namespace unsprawl
