#include "engine/match/go_syntax.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/match/confirm.h"

namespace unsprawl {
namespace {

TEST(FromGoSyntax, WritesOutWhatTakesCharactersBeyondAscii) {
  const std::pair<const char*, const char*> rewritten[] = {
      {"é", "(?:)é"},
      {"[nñ]?", "(?:)(?-i:n|ñ)?"},
      {"é{2}", "(?:)(?-i:é){2}"},
      {"(?i)clé", "(?:)(?i)cl(?-i:É|é)"},
      {"(?i:é)é", "(?:)(?i:(?-i:É|é))é"},
      {R"(\xe9\x{2014})", "(?:)(?-i:é)(?-i:—)"},
      {R"(\Q.é\E+)", R"((?:)\.(?-i:é)+)"},
      {R"([\sé])", R"((?:)(?-i:\s|é))"},
      {R"([\né])", R"((?:)(?-i:\x0a|é))"},
      {R"([^\x{80}-\x{10ffff}])", R"((?-i:\s|[\x00-\x08\x0b\x0e-\x1f\x21-\x7f]))"},
      {R"([^\x00-\x{10ffff}])", R"((?-i:[^\s\S]))"},
      {R"([\x{e9}-\x{2014}])", "(?:)[é-—]"},
      {R"([\x{f0000}é])", "(?:)(?-i:é|\U000f0000)"},
      {R"((?P<n>[“”"']))", R"((?:)(?P<n>(?-i:[\x22\x27]|“|”)))"},
  };
  for (const auto& [expression, expected] : rewritten) {
    EXPECT_EQ(FromGoSyntax(expression), expected);
    EXPECT_EQ(FromGoSyntax(expected), expected) << "rewritten again";
  }
}

TEST(FromGoSyntax, KnowsNamedGroupsAndLeavesEverythingElse) {
  EXPECT_EQ(FromGoSyntax("(?<n>a)(?P<m>b)"), "(?P<n>a)(?P<m>b)");
  for (const char* same : {"", "[(?<n>]", R"(\(?<n>)", R"(\Q(?<n>\E)", R"([^“]*.\W\pL[\x41\]])", R"((?i)k\x7f[[:alpha:]])", "a)é", "{2}é",
                           "[é", R"(\)", R"(\p{None}é)", "(?=é)"}) {
    const std::string guarded = std::string("(?:)") + same;
    const std::string ours = FromGoSyntax(same);
    EXPECT_TRUE(ours == same || ours == guarded) << ours;
  }
}

// All matches, as where they begin and end.
std::vector<std::pair<size_t, size_t>> Matches(const RE2& re, const std::string& text) {
  std::vector<std::pair<size_t, size_t>> matches;
  MatchGroups groups(1);
  FindAll(re, text, 0, text.size(), &groups, [&] {
    matches.emplace_back(groups[0].begin() - text.data(), groups[0].end() - text.data());
  });
  return matches;
}

TEST(FromGoSyntax, MeansInBytesWhatItMeansInCharacters) {
  std::mt19937 random(1);
  const std::vector<std::string> pieces = {"a", "n", "N", "ñ", "Ñ", "é", "É", "“", "”", "—", "ß", "ẞ", "中", "😀", "ſ", " ", "\n", "\""};
  for (const char* expression :
       {"ñ+", "[nñ]+a?", "(?i)ñ[é—]?a", "(?i)[é-ñ]{2,3}", "“|”|—", "^(?:“|”)", R"([\s“”"]+n)", "(?i)ß", R"(\x{e9}|中|[😀-😂])", "(?i)(?:é|n)+?a",
        R"(\p{Sc}|\p{Pd})", "é*a", R"((?U)é+[ñ]*)", R"(\Qñé\E?)", R"(\bñ\B|a\b)", R"((?m)^é|ñ$)"}) {
    const RE2 characters(expression);
    const LazyRegex bytes(FromGoSyntax(expression), false);
    ASSERT_TRUE(bytes.Get().ok()) << expression;
    for (int i = 0; i < 200; ++i) {
      std::string text;
      for (size_t n = random() % 12; n > 0; --n) text += pieces[random() % pieces.size()];
      EXPECT_EQ(Matches(bytes.Get(), text), Matches(characters, text)) << expression << " in " << text;
    }
  }
}

}  // namespace
}  // namespace unsprawl
