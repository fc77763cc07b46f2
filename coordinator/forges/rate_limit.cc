#include "coordinator/forges/rate_limit.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

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

std::optional<int64_t> Remaining(const HttpResponse& response) {
  return Number(FirstOf(response, "x-ratelimit-remaining", "ratelimit-remaining"));
}

std::optional<absl::Time> Date(std::string_view text) {
  const time_t seconds = curl_getdate(std::string(text).c_str(), nullptr);
  if (seconds < 0) return std::nullopt;
  return absl::FromTimeT(seconds);
}

// How long the answer says to wait: seconds, or a date by the server's clock.
std::optional<absl::Duration> StatedWait(const HttpResponse& response, absl::Time now) {
  absl::Time server_now = ServerTime(response);
  if (server_now == absl::InfinitePast()) server_now = now;
  const std::string_view retry_after = response.header("retry-after");
  if (const auto seconds = Number(retry_after)) return absl::Seconds(*seconds);
  if (!retry_after.empty()) {
    if (const auto date = Date(retry_after)) return *date - server_now;
  }
  const auto reset = Number(FirstOf(response, "x-ratelimit-reset", "ratelimit-reset"));
  if (!reset || Remaining(response).value_or(1) > 0) return std::nullopt;
  return absl::FromUnixSeconds(*reset) - server_now;
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

void TokenBudget::Refill(absl::Time now) {
  if (refilled_ < now) {
    const double minutes = refilled_ == absl::InfinitePast() ? 1 : absl::ToDoubleMinutes(now - refilled_);
    bucket_ = std::min(options_.per_minute, bucket_ + minutes * options_.per_minute);
    refilled_ = now;
  }
}

absl::Time TokenBudget::ReadyAt(absl::Time now) {
  absl::Time ready = std::max(now, blocked_until_);
  if (options_.per_minute > 0) {
    Refill(now);
    if (bucket_ < 1) ready = std::max(ready, now + absl::Minutes((1 - bucket_) / options_.per_minute));
  }
  return ready;
}

void TokenBudget::Sent(absl::Time now) {
  Refill(now);
  bucket_ -= 1;
}

void TokenBudget::Received(const HttpResponse& response, absl::Time now) {
  remaining_ = Remaining(response).value_or(remaining_);
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

}  // namespace unsprawl
