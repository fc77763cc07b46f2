#include "coordinator/skip_tally.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

v1::Skip SkipOf(uint32_t object, v1::SkipReason reason) {
  v1::Skip skip;
  ObjectId id;
  for (size_t i = 0; i < 4; ++i) id.bytes[i] = static_cast<uint8_t>(object >> (8 * (3 - i)));
  skip.set_object_id(id.bytes.data(), id.bytes.size());
  skip.set_reason(reason);
  return skip;
}

std::string Listed(const SkipTally& tally) {
  v1::Coverage coverage;
  tally.AppendTo(coverage.mutable_skips());
  return coverage.SerializeAsString();
}

TEST(SkipTallyTest, AnObjectCountsOnceHoweverOftenItIsNamed) {
  SkipTally tally;
  for (int i = 0; i < 3; ++i) tally.Add(SkipOf(7, v1::SKIP_REASON_DAMAGED));
  v1::Coverage coverage;
  tally.AppendTo(coverage.mutable_skips());
  EXPECT_EQ(coverage.skips_size(), 1);
}

TEST(SkipTallyTest, AChoiceHidesNoFaultOfTheSameObject) {
  for (const bool first : {false, true}) {
    SkipTally tally;
    tally.Add(SkipOf(7, first ? v1::SKIP_REASON_TRUNCATED : v1::SKIP_REASON_ARCHIVE));
    tally.Add(SkipOf(7, first ? v1::SKIP_REASON_ARCHIVE : v1::SKIP_REASON_TRUNCATED));
    v1::Coverage coverage;
    tally.AppendTo(coverage.mutable_skips());
    EXPECT_EQ(coverage.skips_size(), 2);
    EXPECT_TRUE(tally.has_unread());
  }
}

TEST(SkipTallyTest, TheResultDoesNotDependOnTheOrder) {
  std::vector<v1::Skip> skips;
  for (uint32_t i = 0; i < 3000; ++i) {
    skips.push_back(SkipOf(i, i % 3 == 0 ? v1::SKIP_REASON_MISSING : v1::SKIP_REASON_TOO_LARGE));
  }
  SkipTally in_order;
  for (const v1::Skip& skip : skips) in_order.Add(skip);
  std::shuffle(skips.begin(), skips.end(), std::mt19937(3));
  SkipTally shuffled;
  for (const v1::Skip& skip : skips) shuffled.Add(skip);
  EXPECT_EQ(Listed(shuffled), Listed(in_order));
}

TEST(SkipTallyTest, WhatIsBeyondTheListIsCountedByReason) {
  SkipTally tally;
  for (uint32_t i = 0; i < 2500; ++i) tally.Add(SkipOf(i, v1::SKIP_REASON_MISSING));
  v1::Skip many;
  many.set_reason(v1::SKIP_REASON_MISSING);
  many.set_count(1'000'000);
  tally.Add(many);
  v1::Coverage coverage;
  tally.AppendTo(coverage.mutable_skips());
  ASSERT_EQ(coverage.skips_size(), static_cast<int>(SkipTally::kMaxListed) + 1);
  EXPECT_EQ(coverage.skips().rbegin()->count(), 2500 - SkipTally::kMaxListed + 1'000'000);
}

TEST(SkipTallyTest, EverythingButAPolicyHoldsTheWatermarkBack) {
  for (const v1::SkipReason reason : {v1::SKIP_REASON_IO, v1::SKIP_REASON_DAMAGED, v1::SKIP_REASON_POISON}) {
    SkipTally tally;
    tally.Add(SkipOf(1, v1::SKIP_REASON_TOO_LARGE));
    tally.Add(SkipOf(2, v1::SKIP_REASON_LFS_POINTER));
    EXPECT_FALSE(tally.has_unread());
    tally.Add(SkipOf(3, reason));
    EXPECT_TRUE(tally.has_unread());
  }
}

}  // namespace
}  // namespace unsprawl
