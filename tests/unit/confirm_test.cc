#include "engine/match/confirm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace unsprawl {
namespace {

std::vector<std::string> AllMatches(const RE2& re, std::string_view text, uint64_t begin, uint64_t end) {
  std::vector<std::string> matches;
  MatchGroups groups(1);
  FindAll(re, text, begin, end, &groups, [&] { matches.push_back(std::string(groups[0])); });
  return matches;
}

TEST(EndCollector, MergesEndsThatOneMatchMayCoverAndKeepsOthersApart) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const std::vector<uint32_t> reach = {1, 20, 300};
    EndCollector ends(reach);
    std::set<std::pair<uint32_t, uint32_t>> reported;
    const uint32_t span = 1u << (4 + random() % 16);
    ends.Start();
    for (int i = 0; i < 200; ++i) {
      const uint32_t pattern = random() % 3, end = 1 + random() % span;
      ends.Add(pattern, end);
      reported.insert({pattern, end});
    }
    // The same by definition: ends in order, a new range where the gap is wider than the reach.
    std::vector<EndRange> expected;
    for (const auto& [pattern, end] : reported) {
      if (!expected.empty() && expected.back().pattern == pattern &&
          end - expected.back().last <= reach[pattern]) {
        expected.back().last = end;
      } else {
        expected.push_back({pattern, end, end});
      }
    }
    const std::span<const EndRange> found = ends.Finish({});
    ASSERT_TRUE(std::equal(found.begin(), found.end(), expected.begin(), expected.end()));
  }
}

TEST(EndCollector, StaysShortWhereEndsAreDense) {
  EndCollector ends({1000});
  ends.Start();
  for (uint32_t end = 1; end < 2'000'000; end += 17) ends.Add(0, end);
  EXPECT_EQ(ends.Finish({}).size(), 1u);
}

TEST(EndCollector, TakesALineAsOneWhereMatchesHaveNoGreatestWidth) {
  EndCollector ends({kUnbounded});
  ends.Start();
  const std::string text = std::string(50, 'a') + "\n" + std::string(5000, 'b') + "\n" + std::string(50, 'c');
  for (const uint32_t end : {40u, 60u, 5000u, 5040u, 5080u}) ends.Add(0, end);
  const std::span<const EndRange> found = ends.Finish(text);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[1], (EndRange{0, 60, 5040}));
  EXPECT_EQ(ends.EarliestStart(found[0], text), 0u);
  EXPECT_EQ(ends.EarliestStart(found[1], text), 51u);
}

TEST(FindAll, SeesWhatIsBesideTheRangeButMatchesInsideOnly) {
  const RE2 word(R"(\bab\b)"), line("(?m)^ab$");
  EXPECT_EQ(AllMatches(word, "xab", 1, 3).size(), 0u);
  EXPECT_EQ(AllMatches(word, " ab ", 1, 3).size(), 1u);
  EXPECT_EQ(AllMatches(word, "abx", 0, 2).size(), 0u);
  EXPECT_EQ(AllMatches(line, "x\nab\n", 2, 4).size(), 1u);
  EXPECT_EQ(AllMatches(line, "xxab\n", 2, 4).size(), 0u);
  EXPECT_EQ(AllMatches(line, "\nabx", 1, 3).size(), 0u);
}

TEST(FindAll, TakesMatchesFromLeftToRightWithoutOverlapAndNeverAnEmptyOne) {
  EXPECT_EQ(AllMatches(RE2("aba"), "ababa aba", 0, 9).size(), 2u);
  EXPECT_EQ(AllMatches(RE2("a*"), "baac", 0, 4), std::vector<std::string>{"aa"});
}

TEST(LazyRegex, NeverLeavesALineWhenItIsForLines) {
  const LazyRegex lines("a[^x]*b|(?s)c.d|\\ne", true), text("a[^x]*b|(?s)c.d|\\ne", false);
  const std::string content = "a\nb c\nd \ne a1b";
  EXPECT_EQ(AllMatches(lines.Get(), content, 0, content.size()), std::vector<std::string>{"a1b"});
  EXPECT_EQ(AllMatches(text.Get(), content, 0, content.size()).at(0), content);
}

TEST(LazyRegex, MatchesBytes) {
  const LazyRegex regex("^[\\x80-\\xff]{2}$", false);
  EXPECT_TRUE(RE2::FullMatch("\xc3\xa9", regex.Get()));
  EXPECT_TRUE(RE2::FullMatch("\xff\xfe", regex.Get()));
}

TEST(SecretOf, IsTheGroupAskedForOrTheFirstThatIsNotEmpty) {
  const auto secret = [](const char* regex, int group) {
    const RE2 re(regex);
    MatchGroups groups(1 + static_cast<size_t>(re.NumberOfCapturingGroups()));
    EXPECT_TRUE(re.Match("key=value", 0, 9, RE2::UNANCHORED, groups.data(),
                         static_cast<int>(groups.size())));
    return std::string(SecretOf(groups, group));
  };
  EXPECT_EQ(secret("(key)=(value)", 2), "value");
  EXPECT_EQ(secret("(key)=(value)", 0), "key");
  EXPECT_EQ(secret("(x)?key=(value)", 0), "value");
  EXPECT_EQ(secret("key=value", 0), "key=value");
  EXPECT_EQ(secret("(x)?key=value", 1), "key=value");
}

TEST(Keywords, AreFoundWithoutRegardToCaseAcrossAnyLength) {
  std::string lower;
  const std::vector<std::string> keywords = {"acme", "zz-top"};
  EXPECT_TRUE(HasKeyword("x", {}, &lower));
  EXPECT_FALSE(HasKeyword("", keywords, &lower));
  EXPECT_FALSE(HasKeyword("acm e zztop", keywords, &lower));
  for (size_t before = (64 << 10) - 8; before < (64 << 10) + 8; ++before) {
    EXPECT_TRUE(HasKeyword(std::string(before, 'x') + "ZZ-Top", keywords, &lower)) << before;
    EXPECT_TRUE(HasKeyword(std::string(before, 'x') + "aCMe" + std::string(9, 'x'), keywords, &lower));
  }
}

TEST(Keywords, AreLookedForInTheLineAndNotTooFarAway) {
  EXPECT_EQ(KeywordRegion("a\nbXc\nd", 3, 4), "bXc");
  EXPECT_EQ(KeywordRegion("bXc", 1, 2), "bXc");
  const std::string longline = std::string(9000, 'a') + "X" + std::string(9000, 'b');
  EXPECT_EQ(KeywordRegion(longline, 9000, 9001).size(), 2 * kKeywordReachBytes + 1);
}

}  // namespace
}  // namespace unsprawl
