#include "coordinator/cluster/call_limit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;

std::vector<CallLimit::Call> Fill(CallLimit& limit, const std::string& caller, size_t calls) {
  std::vector<CallLimit::Call> held;
  for (size_t i = 0; i < calls; ++i) {
    absl::StatusOr<CallLimit::Call> call = limit.Begin(caller, true);
    EXPECT_THAT(call, IsOk()) << i;
    if (call.ok()) held.push_back(*std::move(call));
  }
  return held;
}

TEST(CallLimitTest, OneCallerHasItsCallsAndTheOthersHaveTheirs) {
  CallLimit limit;
  std::vector<CallLimit::Call> a = Fill(limit, "a", CallLimit::kOfOneCaller);
  for (const bool may_wait : {true, false}) {
    EXPECT_THAT(limit.Begin("a", may_wait), FailsWith(absl::StatusCode::kResourceExhausted, HasSubstr("calls of a")));
  }
  EXPECT_THAT(limit.Begin("b", true), IsOk());
  a.pop_back();  // One of them has ended.
  EXPECT_THAT(limit.Begin("a", true), IsOk());
  EXPECT_THAT(limit.Begin("a", true), IsOk());  // So has that one.
}

TEST(CallLimitTest, WhatDoesNotWaitIsServedWhenEverythingElseWaits) {
  CallLimit limit;
  std::vector<std::vector<CallLimit::Call>> all;
  size_t left = CallLimit::kThatWait;
  for (int i = 0; left > 0; ++i) {
    const size_t calls = std::min(left, CallLimit::kOfOneCaller);
    all.push_back(Fill(limit, std::to_string(i), calls));
    left -= calls;
  }
  EXPECT_THAT(limit.Begin("late", true), FailsWith(absl::StatusCode::kResourceExhausted, HasSubstr("calls of workers")));
  EXPECT_THAT(limit.Begin("late", false), IsOk());
  all.pop_back();
  EXPECT_THAT(limit.Begin("late", true), IsOk());
}

}  // namespace
}  // namespace unsprawl
