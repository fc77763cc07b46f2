#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace unsprawl {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// EXPECT_THAT(F(), IsOk());
MATCHER(IsOk, "is OK") {
  *result_listener << std::string(StatusOf(arg).ToString());
  return arg.ok();
}

// EXPECT_THAT(F(), FailsWith(absl::StatusCode::kNotFound, HasSubstr("no such file")));
MATCHER_P2(FailsWith, code, message, "") {
  *result_listener << std::string(StatusOf(arg).ToString());
  return StatusOf(arg).code() == code &&
         testing::ExplainMatchResult(message, std::string(StatusOf(arg).message()), result_listener);
}

}  // namespace unsprawl
