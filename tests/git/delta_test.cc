#include "engine/git/delta.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/support/pack_writer.h"

namespace unsprawl {

bool operator==(const CopyRun& a, const CopyRun& b) {
  return a.base_offset == b.base_offset && a.offset == b.offset && a.length == b.length;
}

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The result of `delta` upon `base`, or nullopt where it is refused.
std::optional<std::string> Apply(std::string_view delta, std::string_view base,
                                 std::vector<CopyRun>* copies = nullptr) {
  const auto header = ParseDeltaHeader(delta);
  if (!header || header->base_bytes != base.size() || header->result_bytes > 1 << 20) return std::nullopt;
  std::string out(header->result_bytes, '?');
  if (!ApplyDelta(delta.substr(header->header_bytes), base, out, copies)) return std::nullopt;
  return out;
}

TEST(DeltaTest, CopiesAndInsertsMakeTheResult) {
  std::vector<CopyRun> copies;
  const std::string delta =
      DeltaSize(10) + DeltaSize(9) + DeltaCopy(2, 3) + DeltaInsert("xyz") + DeltaCopy(0, 3);
  EXPECT_EQ(Apply(delta, "0123456789", &copies), "234xyz012");
  EXPECT_THAT(copies, ElementsAre(CopyRun{2, 0, 3}, CopyRun{0, 6, 3}));
}

TEST(DeltaTest, CopiesThatFollowEachOtherInBothAreOne) {
  std::vector<CopyRun> copies;
  const std::string delta = DeltaSize(10) + DeltaSize(9) + DeltaCopy(1, 3) + DeltaCopy(4, 2) +
                            DeltaCopy(7, 2) + DeltaInsert("-") + DeltaCopy(9, 1);
  EXPECT_EQ(Apply(delta, "0123456789", &copies), "1234578-9");
  EXPECT_THAT(copies, ElementsAre(CopyRun{1, 0, 5}, CopyRun{7, 5, 2}, CopyRun{9, 8, 1}));
}

TEST(DeltaTest, ACopyOfSizeZeroIs65536Bytes) {
  const std::string base(70000, 'b');
  std::vector<CopyRun> copies;
  const std::string delta = DeltaSize(base.size()) + DeltaSize(65536) + "\x80";
  EXPECT_EQ(Apply(delta, base, &copies), std::string(65536, 'b'));
  EXPECT_THAT(copies, ElementsAre(CopyRun{0, 0, 65536}));
}

TEST(DeltaTest, AnEmptyDeltaMakesAnEmptyResult) {
  std::vector<CopyRun> copies;
  EXPECT_EQ(Apply(DeltaSize(3) + DeltaSize(0), "abc", &copies), "");
  EXPECT_THAT(copies, IsEmpty());
}

TEST(DeltaTest, WhatReachesBeyondBaseOrResultIsRefused) {
  const std::string base = "0123456789";
  const std::string sizes = DeltaSize(10) + DeltaSize(4);
  EXPECT_EQ(Apply(sizes + DeltaCopy(6, 4), base), "6789");
  EXPECT_EQ(Apply(sizes + DeltaCopy(7, 4), base), std::nullopt) << "end of the base";
  EXPECT_EQ(Apply(sizes + DeltaCopy(0xffffffff, 4), base), std::nullopt) << "far beyond the base";
  EXPECT_EQ(Apply(sizes + DeltaCopy(0, 5), base), std::nullopt) << "longer than the result";
  EXPECT_EQ(Apply(sizes + DeltaInsert("abcde"), base), std::nullopt) << "longer than the result";
  EXPECT_EQ(Apply(sizes + DeltaCopy(0, 3), base), std::nullopt) << "shorter than the result";
  EXPECT_EQ(Apply(sizes + std::string(1, '\0') + DeltaCopy(0, 4), base), std::nullopt) << "reserved";
  EXPECT_EQ(Apply(sizes + "\x04" "abc", base), std::nullopt) << "ends within an insert";
  EXPECT_EQ(Apply(DeltaSize(9) + DeltaSize(4) + DeltaCopy(0, 4), base), std::nullopt) << "base size";
}

TEST(DeltaTest, SizesThatDoNotEndOrDoNotFitAreRefused) {
  EXPECT_FALSE(ParseDeltaHeader(""));
  EXPECT_FALSE(ParseDeltaHeader("\x05"));
  EXPECT_FALSE(ParseDeltaHeader("\x05\x80"));
  EXPECT_FALSE(ParseDeltaHeader(std::string(9, '\xff') + "\x02\x01"));  // 65 bits
  const auto largest = ParseDeltaHeader(std::string(9, '\xff') + "\x01\x01");
  ASSERT_TRUE(largest);
  EXPECT_EQ(largest->base_bytes, UINT64_MAX);
}

TEST(DeltaTest, EveryTruncationIsRefused) {
  const std::string base = "0123456789";
  const std::string delta =
      DeltaSize(10) + DeltaSize(9) + DeltaCopy(2, 3) + DeltaInsert("xyz") + DeltaCopy(0, 3);
  for (size_t bytes = 0; bytes < delta.size(); ++bytes) {
    EXPECT_EQ(Apply(std::string_view(delta).substr(0, bytes), base), std::nullopt) << bytes;
  }
}

// A slow reading of gitformat-pack, operand by operand, to compare with.
std::optional<std::string> ReferenceApply(std::string_view delta, std::string_view base) {
  size_t at = 0;
  const auto byte = [&]() -> int { return at < delta.size() ? static_cast<uint8_t>(delta[at++]) : -1; };
  std::string out;
  while (at < delta.size()) {
    const int op = byte();
    if (op == 0) return std::nullopt;
    if (op < 0x80) {
      if (delta.size() - at < static_cast<size_t>(op)) return std::nullopt;
      out += delta.substr(at, static_cast<size_t>(op));
      at += static_cast<size_t>(op);
      continue;
    }
    size_t offset = 0, length = 0;
    for (int bit = 0; bit < 7; ++bit) {
      if ((op >> bit & 1) == 0) continue;
      const int operand = byte();
      if (operand < 0) return std::nullopt;
      if (bit < 4) offset += static_cast<size_t>(operand) << (8 * bit);
      else length += static_cast<size_t>(operand) << (8 * (bit - 4));
    }
    if (length == 0) length = 65536;
    if (offset + length > base.size()) return std::nullopt;
    out += base.substr(offset, length);
  }
  return out;
}

TEST(DeltaTest, RandomDeltasMeanWhatTheFormatSays) {
  std::mt19937 random(7);
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string base(1 + random() % 300, 0), instructions;
    for (char& c : base) c = static_cast<char>(random());
    for (int ops = static_cast<int>(random() % 8); ops > 0; --ops) {
      switch (random() % 8) {
        case 0: instructions += static_cast<char>(random()); break;  // anything
        case 1: instructions += std::string("\x91", 1) + static_cast<char>(random() % 64) + "\x05"; break;
        case 2: instructions += DeltaInsert(base.substr(0, random() % base.size())); break;
        default: {
          const uint32_t offset = static_cast<uint32_t>(random() % base.size());
          instructions += DeltaCopy(offset, 1 + static_cast<uint32_t>(random() % (base.size() - offset)));
        }
      }
    }
    const auto expected = ReferenceApply(instructions, base);
    const uint64_t bytes = expected ? expected->size() : random() % 300;
    const std::string delta = DeltaSize(base.size()) + DeltaSize(bytes) + instructions;
    std::vector<CopyRun> copies;
    ASSERT_EQ(Apply(delta, base, &copies), expected);
    if (!expected) continue;
    ++accepted;
    for (const CopyRun& run : copies) {
      ASSERT_EQ(expected->substr(run.offset, run.length), base.substr(run.base_offset, run.length));
    }
  }
  EXPECT_GT(accepted, 5000);
}

}  // namespace
}  // namespace unsprawl
