#include "engine/match/windows.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/scan_cases.h"

namespace unsprawl {
namespace {

std::vector<CopyRun> Keep(std::string_view content, std::vector<CopyRun> copies, uint64_t base_bytes,
                          uint64_t min_bytes = 1) {
  std::vector<CopyRun> kept;
  KeepWholeLines(content, copies, base_bytes, min_bytes, &kept);
  return kept;
}

bool Equal(const CopyRun& a, const CopyRun& b) {
  return a.base_offset == b.base_offset && a.offset == b.offset && a.length == b.length;
}

TEST(KeepWholeLines, CutsARunToTheLinesInsideIt) {
  const auto kept = Keep("xb\ncc\ndd", {{.base_offset = 5, .offset = 1, .length = 6}}, 100);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_TRUE(Equal(kept[0], {.base_offset = 7, .offset = 3, .length = 3}));
}

TEST(KeepWholeLines, KeepsTheFirstLineOnlyIfItIsTheFirstOfBoth) {
  EXPECT_TRUE(Equal(Keep("aa\nbb\nx", {{0, 0, 6}}, 50).at(0), {0, 0, 6}));
  EXPECT_TRUE(Equal(Keep("aa\nbb\nx", {{9, 0, 6}}, 50).at(0), {12, 3, 3}));
  EXPECT_TRUE(Equal(Keep("x\naa\nbb\nx", {{0, 2, 6}}, 50).at(0), {3, 5, 3}));
}

TEST(KeepWholeLines, KeepsALastLineWithoutNewlineOnlyIfItEndsBoth) {
  EXPECT_TRUE(Equal(Keep("xx\naa\nbb", {{1, 2, 6}}, 7).at(0), {2, 3, 5}));
  EXPECT_TRUE(Equal(Keep("xx\naa\nbb", {{1, 2, 6}}, 8).at(0), {2, 3, 3}));   // The base goes on.
  EXPECT_TRUE(Equal(Keep("xx\naa\nbby", {{1, 2, 6}}, 7).at(0), {2, 3, 3}));  // The target goes on.
}

TEST(KeepWholeLines, TakesTheWholeBlobWhenTheWholeBaseIsCopied) {
  EXPECT_TRUE(Equal(Keep("no newline", {{0, 0, 10}}, 10).at(0), {0, 0, 10}));
}

TEST(KeepWholeLines, DropsRunsWithoutALineAndShortOnes) {
  EXPECT_TRUE(Keep("aaaa", {{3, 0, 4}}, 50).empty());
  EXPECT_TRUE(Keep("a\naa", {{3, 0, 4}}, 50).empty());
  EXPECT_TRUE(Keep("a\nbbbb\nc", {{3, 0, 8}}, 50, 6).empty());
  EXPECT_EQ(Keep("a\nbbbb\nc", {{3, 0, 8}}, 50, 5).size(), 1u);
}

TEST(LineWindows, HoldsEveryByteThatIsNotInheritedOnceAndKnowsWhereItWas) {
  Random random(1);
  LineWindows windows;
  for (int round = 0; round < 2000; ++round) {
    const std::string base = RandomText(random, Below(random, 60));
    const EditedText edited = RandomEdit(random, base);
    std::vector<CopyRun> kept;
    KeepWholeLines(edited.content, edited.copies, base.size(), 1 + Below(random, 30), &kept);
    std::vector<int> seen(edited.content.size());
    for (const CopyRun& run : kept) {
      // A kept run is whole lines of both.
      ASSERT_EQ(edited.content.substr(run.offset, run.length), base.substr(run.base_offset, run.length));
      ASSERT_TRUE(run.offset == 0 || edited.content[run.offset - 1] == '\n');
      ASSERT_TRUE(run.base_offset == 0 || base[run.base_offset - 1] == '\n');
      const uint64_t end = run.offset + run.length, base_end = run.base_offset + run.length;
      ASSERT_TRUE(end == edited.content.size() || edited.content[end - 1] == '\n');
      ASSERT_TRUE(base_end == base.size() || base[base_end - 1] == '\n');
      for (uint64_t i = run.offset; i < end; ++i) ++seen[i];
    }
    const std::string_view text = windows.Gather(edited.content, kept);
    for (uint64_t i = 0; i < text.size(); ++i) {
      const uint64_t at = windows.ToContent(i);
      ASSERT_LT(at, edited.content.size());
      ASSERT_EQ(edited.content[at], text[i]);
      ++seen[at];
    }
    ASSERT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
  }
}

}  // namespace
}  // namespace unsprawl
