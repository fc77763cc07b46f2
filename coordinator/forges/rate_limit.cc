#include "coordinator/forges/rate_limit.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <tuple>

namespace unsprawl {
namespace {

constexpr absl::Duration kMaxStatedWait = absl::Hours(24);  // a header that says more is not believed
constexpr size_t kMaxMessageBytes = 300;

std::optional<int64_t> Number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view FirstOf(const HttpResponse& response, std::string_view a, std::string_view b) {
  const std::string_view value = response.header(a);
  return value.empty() ? response.header(b) : value;
}

// GitHub counts requests of GraphQL, searches and others apart.
bool IsCountedApart(const HttpResponse& response) {
  const std::string_view resource = response.header("x-ratelimit-resource");
  return !resource.empty() && resource != "core";
}

std::optional<int64_t> Remaining(const HttpResponse& response) {
  return Number(FirstOf(response, "x-ratelimit-remaining", "ratelimit-remaining"));
}

std::optional<absl::Time> Date(std::string_view text) {
  const time_t seconds = curl_getdate(std::string(text).c_str(), nullptr);
  if (seconds < 0) return std::nullopt;
  return absl::FromTimeT(seconds);
}

absl::Time ServerTimeOr(absl::Time now, const HttpResponse& response) {
  const absl::Time server_now = ServerTime(response);
  return server_now == absl::InfinitePast() ? now : server_now;
}

// How long until what remains is counted anew.
std::optional<absl::Duration> UntilReset(const HttpResponse& response, absl::Time now) {
  const auto reset = Number(FirstOf(response, "x-ratelimit-reset", "ratelimit-reset"));
  if (!reset) return std::nullopt;
  return absl::FromUnixSeconds(*reset) - ServerTimeOr(now, response);
}

// How long the answer says to wait: seconds, or a date by the server's clock.
std::optional<absl::Duration> StatedWait(const HttpResponse& response, absl::Time now) {
  const std::string_view retry_after = response.header("retry-after");
  if (const auto seconds = Number(retry_after)) return absl::Seconds(*seconds);
  if (!retry_after.empty()) {
    if (const auto date = Date(retry_after)) return *date - ServerTimeOr(now, response);
  }
  return Remaining(response).value_or(1) > 0 ? std::nullopt : UntilReset(response, now);
}

bool SaysLimit(const HttpResponse& response) {
  const std::string message = MessageOf(response);
  return message.find("rate limit") != std::string::npos || message.find("abuse detection") != std::string::npos;
}

}  // namespace

absl::Time ServerTime(const HttpResponse& response) {
  return Date(response.header("date")).value_or(absl::InfinitePast());
}

std::string MessageOf(const HttpResponse& response) {
  const auto json = nlohmann::json::parse(response.body, nullptr, false);
  std::string message;
  if (json.is_object()) {
    for (const char* name : {"message", "error_description", "error"}) {
      const auto found = json.find(name);
      if (found == json.end()) continue;
      // Bitbucket's is an object with a message.
      const auto& text = found->is_object() && found->contains("message") ? (*found)["message"] : *found;
      if (!text.is_string()) continue;
      message = text.get<std::string>();
      break;
    }
  }
  return message.substr(0, kMaxMessageBytes);
}

ApiAnswer Classify(const HttpResponse& response) {
  const int status = response.status;
  if ((status >= 200 && status < 300) || status == 304) return ApiAnswer::kUse;
  if (status == 429) return ApiAnswer::kLimited;
  if (status == 403) {
    const bool limited = !response.header("retry-after").empty() || Remaining(response) == 0 || SaysLimit(response);
    return limited ? ApiAnswer::kLimited : ApiAnswer::kTokenRefused;
  }
  if (status == 401 || status == 407) return ApiAnswer::kTokenRefused;
  if (status == 404 || status == 410) return ApiAnswer::kGone;
  if (status == 409) return ApiAnswer::kConflict;
  if (status == 451) return ApiAnswer::kLegal;
  if (status == 503 && !response.header("retry-after").empty()) return ApiAnswer::kLimited;
  if (status >= 500 || status == 408) return ApiAnswer::kRetry;
  return ApiAnswer::kFailed;
}

bool RefusesToken(const HttpResponse& response) {
  if (response.status == 401) return true;
  return response.status == 403 && (!response.header("x-github-sso").empty() ||
                                    MessageOf(response).find("IP allow list") != std::string::npos);
}

absl::Time TokenBudget::ReadyAt(absl::Time now) const {
  const absl::Time ready = std::max(now, blocked_until_);
  if (options_.per_minute == 0 || last_minute_.size() < options_.per_minute) return ready;
  return std::max(ready, last_minute_.front() + absl::Minutes(1));
}

void TokenBudget::Sent(absl::Time now) {
  ++sent_;
  last_minute_.push_back(now);
  if (last_minute_.size() > options_.per_minute) last_minute_.pop_front();
}

void TokenBudget::Received(const HttpResponse& response, absl::Time now) {
  if (IsCountedApart(response) && response.header("retry-after").empty()) return;
  if (const auto remaining = Remaining(response); remaining && !IsCountedApart(response)) {
    remaining_ = *remaining;
    stated_until_ = now + UntilReset(response, now).value_or(absl::InfiniteDuration());
  }
  const std::optional<absl::Duration> stated = StatedWait(response, now);
  const bool limited = Classify(response) == ApiAnswer::kLimited;
  if (stated) {
    // A second more: the header counts whole ones.
    const absl::Duration wait = std::clamp(*stated, absl::ZeroDuration(), kMaxStatedWait) + absl::Seconds(1);
    blocked_until_ = std::max(blocked_until_, now + wait);
  } else if (limited) {
    const absl::Duration wait = options_.unstated_wait * (1 << std::min(unstated_, 10));
    blocked_until_ = std::max(blocked_until_, now + std::min(wait, options_.max_unstated_wait));
  }
  unstated_ = !limited ? 0 : unstated_ + (stated ? 0 : 1);
}

std::optional<Turn> NextTurn(std::span<const TokenBudget* const> budgets, absl::Time now) {
  std::optional<Turn> turn;
  const auto rank = [&](const Turn& of) {
    const TokenBudget& budget = *budgets[of.index];
    return std::make_tuple(of.at, -budget.remaining(now), budget.sent());
  };
  for (size_t i = 0; i < budgets.size(); ++i) {
    if (budgets[i] == nullptr) continue;
    const Turn candidate = {.index = i, .at = budgets[i]->ReadyAt(now)};
    if (!turn || rank(candidate) < rank(*turn)) turn = candidate;
  }
  return turn;
}

TokenBudget* TokenBudgets::Of(const std::string& origin, const std::string& identity,
                              const TokenBudget::Options& options) {
  MutexLock lock(mutex_);
  return &budgets_.try_emplace({origin, identity}, options).first->second;
}

std::optional<Turn> TokenBudgets::Next(std::span<const TokenBudget* const> budgets, absl::Time now) {
  MutexLock lock(mutex_);
  return NextTurn(budgets, now);
}

void TokenBudgets::Sent(TokenBudget* budget, absl::Time now) {
  MutexLock lock(mutex_);
  budget->Sent(now);
}

void TokenBudgets::Received(TokenBudget* budget, const HttpResponse& response, absl::Time now) {
  MutexLock lock(mutex_);
  budget->Received(response, now);
}

}  // namespace unsprawl
