#include "coordinator/forges/rate_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace unsprawl {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

HttpResponse Answer(int status, HttpHeaders headers = {}, std::string body = "") {
  HttpResponse response;
  response.status = status;
  response.headers = std::move(headers);
  response.body = std::move(body);
  return response;
}
std::string Seconds(absl::Time time) { return std::to_string(absl::ToUnixSeconds(time)); }
HttpHeaders Left(int64_t remaining, absl::Time reset) {
  return {{"x-ratelimit-remaining", std::to_string(remaining)}, {"x-ratelimit-reset", Seconds(reset)}};
}

// What each of `budgets` sent until `end`, a request taking a millisecond.
std::vector<std::vector<absl::Time>> SendUntil(absl::Time end, std::vector<TokenBudget>* budgets) {
  std::vector<const TokenBudget*> pointers;
  for (const TokenBudget& budget : *budgets) pointers.push_back(&budget);
  std::vector<std::vector<absl::Time>> sent(budgets->size());
  for (absl::Time now = kStart;; now += absl::Milliseconds(1)) {
    const std::optional<Turn> turn = NextTurn(pointers, now);
    now = turn->at;
    if (now >= end) return sent;
    (*budgets)[turn->index].Sent(now);
    sent[turn->index].push_back(now);
  }
}

TEST(RateLimitTest, EachTokenAddsItsRateAndNoMinuteHasMoreThanThat) {
  constexpr uint32_t kPerMinute = 900;
  constexpr int kMinutes = 5;
  for (size_t tokens = 1; tokens <= 4; ++tokens) {
    std::vector<TokenBudget> budgets(tokens, TokenBudget({.per_minute = kPerMinute}));
    const auto sent = SendUntil(kStart + absl::Minutes(kMinutes), &budgets);
    for (const std::vector<absl::Time>& times : sent) {
      EXPECT_EQ(times.size(), kPerMinute * kMinutes) << tokens;
      for (size_t i = kPerMinute; i < times.size(); ++i) {
        ASSERT_GE(times[i] - times[i - kPerMinute], absl::Minutes(1)) << i;
      }
    }
  }
}

TEST(RateLimitTest, WithoutAStatedRateNobodyWaits) {
  TokenBudget budget({});
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(budget.ReadyAt(kStart), kStart);
    budget.Sent(kStart);
  }
}

TEST(RateLimitTest, TurnsGoRoundWhetherOrNotAForgeSaysWhatIsLeft) {
  for (const bool stated : {false, true}) {
    std::vector<TokenBudget> budgets(3, TokenBudget({}));
    const std::vector<const TokenBudget*> pointers = {&budgets[0], &budgets[1], &budgets[2]};
    std::vector<int64_t> left = {5000, 5000, 5000};
    for (int i = 0; i < 300; ++i) {
      const size_t index = NextTurn(pointers, kStart)->index;
      budgets[index].Sent(kStart);
      budgets[index].Received(Answer(200, stated ? Left(--left[index], kStart + absl::Hours(1)) : HttpHeaders{}),
                              kStart);
    }
    for (const TokenBudget& budget : budgets) EXPECT_EQ(budget.sent(), 100u) << stated;
  }
}

TEST(RateLimitTest, ATokenThatIsUsedUpIsLeftAloneUntilItsResetAndThenUsedLikeTheOthers) {
  std::vector<TokenBudget> budgets(2, TokenBudget({}));
  const std::vector<const TokenBudget*> pointers = {&budgets[0], &budgets[1]};
  const absl::Time reset = kStart + absl::Minutes(10);
  budgets[0].Sent(kStart);
  budgets[0].Received(Answer(200, Left(0, reset)), kStart);
  budgets[1].Sent(kStart);
  budgets[1].Received(Answer(200, Left(7, kStart + absl::Hours(1))), kStart);
  EXPECT_EQ(NextTurn(pointers, kStart)->index, 1u);
  EXPECT_EQ(NextTurn(pointers, reset)->index, 1u);
  EXPECT_EQ(budgets[0].ReadyAt(kStart), reset + absl::Seconds(1));
  EXPECT_EQ(NextTurn(pointers, reset + absl::Seconds(1))->index, 0u);
  // Where both must wait it is the one that waits less.
  budgets[1].Received(Answer(429, {{"retry-after", "3600"}}), kStart);
  const std::optional<Turn> turn = NextTurn(pointers, kStart);
  EXPECT_EQ(turn->index, 0u);
  EXPECT_EQ(turn->at, reset + absl::Seconds(1));
}

TEST(RateLimitTest, TurnsLeaveOutWhoIsParkedAndEndWithTheLast) {
  const TokenBudget budget({});
  EXPECT_EQ(NextTurn(std::vector<const TokenBudget*>{nullptr, &budget}, kStart)->index, 1u);
  EXPECT_FALSE(NextTurn(std::vector<const TokenBudget*>{nullptr, nullptr}, kStart).has_value());
}

TEST(RateLimitTest, WaitsAreAsStatedByTheServersClock) {
  const absl::Time server = kStart + absl::Hours(3);
  const std::string date = absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", server, absl::UTCTimeZone());
  const std::string later =
      absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", server + absl::Seconds(90), absl::UTCTimeZone());
  struct Case {
    int status;
    HttpHeaders headers;
    absl::Duration wait;  // after one more second
  };
  HttpHeaders reset = Left(0, server + absl::Minutes(7));
  reset.emplace_back("date", date);
  HttpHeaders both = reset;
  both.emplace_back("retry-after", "5");
  for (const Case& one : std::vector<Case>{
           {429, {{"retry-after", "30"}}, absl::Seconds(30)},
           {403, {{"retry-after", later}, {"date", date}}, absl::Seconds(90)},
           {403, reset, absl::Minutes(7)},
           {200, reset, absl::Minutes(7)},
           {403, both, absl::Seconds(5)},
           {429, {{"ratelimit-remaining", "0"}, {"ratelimit-reset", Seconds(kStart + absl::Seconds(20))}},
            absl::Seconds(20)},
           {429, {{"retry-after", "99999999"}}, absl::Hours(24)},
           {429, {{"retry-after", "-5"}}, absl::ZeroDuration()}}) {
    TokenBudget budget({});
    budget.Received(Answer(one.status, one.headers), kStart);
    EXPECT_EQ(budget.ReadyAt(kStart) - kStart, one.wait + absl::Seconds(1)) << one.headers.front().second;
  }
}

TEST(RateLimitTest, ALimitWithoutATimeDoublesUntilAnAnswerIsOfUse) {
  TokenBudget budget({});
  absl::Time now = kStart;
  for (const int seconds : {60, 120, 240, 480, 960, 1800, 1800}) {
    budget.Received(Answer(429), now);
    EXPECT_EQ(budget.ReadyAt(now) - now, absl::Seconds(seconds));
    now = budget.ReadyAt(now);
  }
  budget.Received(Answer(200), now);
  EXPECT_EQ(budget.ReadyAt(now), now);
  budget.Received(Answer(429), now);
  EXPECT_EQ(budget.ReadyAt(now) - now, absl::Seconds(60));
}

TEST(RateLimitTest, EveryAnswerHasItsClass) {
  struct Case {
    int status;
    HttpHeaders headers;
    std::string body;
    ApiAnswer answer;
  };
  for (const Case& one : std::vector<Case>{
           {200, {}, "", ApiAnswer::kUse},
           {201, {}, "", ApiAnswer::kUse},
           {304, {}, "", ApiAnswer::kUse},
           {302, {}, "", ApiAnswer::kFailed},
           {400, {}, "", ApiAnswer::kFailed},
           {401, {}, "", ApiAnswer::kTokenRefused},
           {403, {}, R"({"message": "Resource not accessible by integration"})", ApiAnswer::kTokenRefused},
           {403, {}, R"({"message": "You have exceeded a secondary rate limit."})", ApiAnswer::kLimited},
           {403, {{"retry-after", "60"}}, "", ApiAnswer::kLimited},
           {403, {{"x-ratelimit-remaining", "0"}}, "", ApiAnswer::kLimited},
           {403, {{"x-ratelimit-remaining", "10"}}, "", ApiAnswer::kTokenRefused},
           {404, {}, "", ApiAnswer::kGone},
           {408, {}, "", ApiAnswer::kRetry},
           {409, {}, "", ApiAnswer::kConflict},
           {410, {}, "", ApiAnswer::kGone},
           {422, {}, "", ApiAnswer::kFailed},
           {429, {}, "", ApiAnswer::kLimited},
           {451, {}, "", ApiAnswer::kLegal},
           {500, {}, "not JSON", ApiAnswer::kRetry},
           {503, {}, "", ApiAnswer::kRetry},
           {503, {{"retry-after", "1"}}, "", ApiAnswer::kLimited}}) {
    EXPECT_EQ(Classify(Answer(one.status, one.headers, one.body)), one.answer) << one.status << one.body;
  }
}

}  // namespace
}  // namespace unsprawl
