// `unsprawl rules convert`: what it prints means the same when it is read again, whatever is in it.
#include "coordinator/rules_convert.h"

#include <gmock/gmock.h>

#include <fstream>
#include <set>
#include <sstream>

#include "coordinator/example_text.h"
#include "coordinator/rules_cost.h"
#include "engine/match/detector.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSubsetOf;
using testing::Not;

Ruleset Parse(const std::string& toml) {
  auto ruleset = Ruleset::Parse(toml, "test.toml");
  EXPECT_THAT(ruleset, IsOk());
  return *std::move(ruleset);
}

std::string Written(const Ruleset& ruleset, bool gitleaks = false) {
  std::ostringstream out;
  (gitleaks ? WriteGitleaksRules : WriteRules)(ruleset, out);
  return out.str();
}

std::vector<std::string> Secrets(const Ruleset& ruleset, std::string_view text) {
  const auto detector = Detector::Create(ruleset, {}, {});
  EXPECT_THAT(detector, IsOk());
  BlobMatches matches;
  BlobScanner(**detector).ScanFull(text, &matches);
  std::vector<std::string> secrets;
  for (const RawMatch& match : matches.matches) secrets.emplace_back(text.substr(match.secret_start,
      match.secret_end - match.secret_start));
  return secrets;
}

TEST(RulesConvert, TheBuiltinRulesAreTheSameWhenReadAgain) {
  const Ruleset builtin = Ruleset::Builtin().value();
  const std::string text = Written(builtin);
  const Ruleset again = Parse(text);
  EXPECT_EQ(again.id(), builtin.id());
  EXPECT_EQ(again.keys(), builtin.keys());
  EXPECT_THAT(again.warnings(), IsEmpty());
  EXPECT_EQ(Written(again), text);
}

TEST(RulesConvert, WhatIsExtendedIsOneFile) {
  const TempDir dir;
  std::ofstream(dir.path() / "base.toml") << "[[rules]]\nid = 'gone'\nregex = 'x'\n[[rules]]\nid = 'one'\n"
      "regex = '(?<a>y+)'\ntags = ['t']\n"
                                             "[rules.allowlist]\nstopwords = ['S']\n[allowlist]\npaths = ['p']\n";
  std::ofstream(dir.path() / "top.toml")
      << "[extend]\npath = 'base.toml'\ndisabledRules = ['gone']\n[[rules]]\nid = 'one'\nentropy = 0.1\ntags = ['u']\n"
          "skipReport = true\n"
         "[[rules.allowlists]]\ncondition = 'AND'\nregexTarget = 'line'\nregexes = ['r']\ncommits = ['" + std::string(40, 'a') +
             "']\n[[rules]]\nid = 'two'\npath = 'z'\n[[rules]]\nid = 'three'\nregex = 'k'\n[[rules.required]]\n"
                 "id = 'two'\nwithinLines = 0\n"
             "[[allowlists]]\ntargetRules = ['two']\npaths = ['q']\n";
  const auto ruleset = Ruleset::Load(dir.path() / "top.toml");
  ASSERT_THAT(ruleset, IsOk());
  const std::string text = Written(*ruleset);
  EXPECT_EQ(Parse(text).id(), ruleset->id());
  EXPECT_THAT(text, Not(HasSubstr("gone")));
  EXPECT_THAT(text, Not(HasSubstr("extend]")));
  EXPECT_EQ(Parse(text).rules()[1].required[0].within_lines, 0u);
  EXPECT_EQ(Parse(Written(*ruleset, true)).rules().size(), 3u);
}

TEST(RulesConvert, AnyTextIsATomlStringOfOneLine) {
  const std::vector<std::string> texts = {
      "",        "plain",  "it's",     "'''",         "ends with '", "''",           "\"\"\"",       "back\\slash",
      "\\",      "a\nb",   "\r\n",     "tab\there",   "\x1b[31m",    std::string("nul\0nul", 7),       "\x7f",
      "umlaut ä", "𝄞",     "\u202e",   "\ufeff",      "\u0085",      "]]\n[[rules]]", "# no comment", "'\\'\"\n"};
  for (const std::string& text : texts) {
    const std::string written = TomlString(text);
    EXPECT_EQ(written.find_first_of("\n\r\x1b\t"), std::string::npos) << written;
    const Ruleset read = Parse("[[rules]]\nid = 'x'\nregex = 'y'\ndescription = " + written + "\n");
    EXPECT_EQ(read.rules()[0].description, text) << written;
    EXPECT_EQ(Parse(Written(read)).id(), read.id());
  }
  EXPECT_EQ(TomlString("\xff"), "\"\\uFFFD\"");
  EXPECT_EQ(TomlString("\xc3"), "\"\\uFFFD\"");
  EXPECT_EQ(TomlString("\xed\xa0\x80"), "\"\\uFFFD\\uFFFD\\uFFFD\"") << "a surrogate is no character";
}

TEST(RulesConvert, GitleaksGetsTheKeysItKnowsAndNoOthers) {
  const std::string text = Written(Ruleset::Builtin().value(), true);
  std::set<std::string> keys;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#' || line[0] == '[') continue;
    keys.insert(line.substr(0, line.find(' ')));
  }
  EXPECT_THAT(keys, IsSubsetOf({"id", "description", "regex", "secretGroup", "entropy", "path", "keywords", "tags",
      "skipReport", "condition",
                                "regexTarget", "regexes", "stopwords", "paths", "commits", "targetRules", "withinLines",
                                    "withinColumns"}));
  const auto again = Ruleset::Parse(text, "gitleaks.toml");
  ASSERT_THAT(again, IsOk()) << "RE2 takes every expression";
  EXPECT_EQ(again->rules().size(), Ruleset::Builtin()->rules().size());
  EXPECT_THAT(again->warnings(), IsEmpty());
}

TEST(RulesConvert, AKeywordRuleBecomesAnExpressionThatFindsTheSameValues) {
  const Ruleset ours = Parse("[[rules]]\nid = 'acme'\nnames = ['acme forge', 'line+']\n"
      "values = ['{hex:32}', 'ak-{b64url:1500}', '{any}']\n");
  const Ruleset theirs = Parse(Written(ours, true));
  EXPECT_EQ(theirs.rules()[0].secret_group, 1);
  EXPECT_THAT(theirs.rules()[0].keywords, ElementsAre("forge", "line")) << "one word of each name";
  const std::string hex = ExpandExample("{hex:32}", 1).value(), lengthy = "ak-" + ExpandExample("{b64url:1500}", 2).value();
  for (const std::string& text : {"ACME_FORGE_KEY=" + hex, "acmeForge: { key: '" + hex + "' }", "line_api_key = \"" +
      lengthy + "\""}) {
    EXPECT_EQ(Secrets(theirs, text), Secrets(ours, text)) << text;
    EXPECT_EQ(Secrets(theirs, text).size(), 1u) << text;
  }
  EXPECT_THAT(Secrets(theirs, "acme\n" + hex), IsEmpty());
  EXPECT_THAT(Secrets(theirs, "acme_forge=" + hex + "0"), Not(ElementsAre(hex))) << "not a part of a longer word";
}

TEST(RulesConvert, WhatGitleaksHasNotIsAComment) {
  const Ruleset ours = Parse("[[rules]]\nid = 'x'\nregex = '''(?s)begin.*?end'''\nanchor = \"begin\\n"
      "[[rules]]\\nid = 'evil'\"\nspan_bytes = 100\n"
                             "checksum = 'bech32'\nstructure = 'pem'\n");
  const std::string text = Written(ours, true);
  EXPECT_THAT(text, HasSubstr("# checksum, not verified here: 'bech32'"));
  EXPECT_THAT(text, HasSubstr("# structure, not verified here: 'pem'"));
  EXPECT_EQ(Parse(text).rules().size(), 1u) << "nothing leaves a comment";
}

// ---- what rules cost

TEST(RulesCost, CountsAreTheSameAgainAndTellWhichRuleIsDear) {
  const auto sample = CostSample(1 << 18);
  ASSERT_THAT(sample, IsOk());
  EXPECT_EQ(*sample, *CostSample(1 << 18));
  const Ruleset ruleset = Parse("[[rules]]\nid = 'common'\nregex = 'token'\n[[rules]]\nid = 'digits'\nregex = '[0-9]{2}'\n"
                                "[[rules]]\nid = 'rare'\nregex = 'neverwritten[0-9]'\n[[rules]]\nid = 'wide'\n"
                                    "regex = '(?s)token.{1,50}secret'\n");
  const auto detector = Detector::Create(ruleset, {}, {}).value();
  const std::vector<RuleCost> costs = MeasureCosts(*detector, *sample), again = MeasureCosts(*detector, *sample);
  ASSERT_EQ(costs.size(), 4u);
  for (size_t i = 0; i < costs.size(); ++i) {
    EXPECT_EQ(costs[i].candidates, again[i].candidates);
    EXPECT_EQ(costs[i].confirms, again[i].confirms);
  }
  EXPECT_GT(costs[0].candidates, 100u);
  EXPECT_GT(costs[1].confirms, costs[0].confirms);
  EXPECT_EQ(costs[2].candidates, 0u);
  EXPECT_EQ(DearByNature(ruleset.rules()[0], detector->scans()[0]), "");
  EXPECT_THAT(DearByNature(ruleset.rules()[1], detector->scans()[1]), HasSubstr("no literal"));
  EXPECT_THAT(DearByNature(ruleset.rules()[3], detector->scans()[3]), HasSubstr("over lines"));
  std::ostringstream out;
  ASSERT_THAT(RulesCost(ruleset, out), IsOk());
  EXPECT_THAT(out.str(), HasSubstr("wide: dear: "));
  EXPECT_THAT(out.str(), Not(HasSubstr("rare")));
}

TEST(RulesCost, CountingChangesNoResult) {
  const Ruleset builtin = Ruleset::Builtin().value();
  const auto detector = Detector::Create(builtin, {}, {}).value();
  const auto sample = CostSample(1 << 16);
  BlobScanner counting(*detector), plain(*detector);
  counting.CountCosts();
  for (const std::string& file : *sample) {
    BlobMatches a, b;
    counting.ScanFull(file, &a);
    plain.ScanFull(file, &b);
    EXPECT_EQ(a.matches, b.matches);
  }
  EXPECT_EQ(counting.stats().confirms, plain.stats().confirms);
  uint64_t confirms = 0;
  for (const RuleCost& cost : counting.costs()) confirms += cost.confirms;
  EXPECT_EQ(confirms, plain.stats().confirms);
  EXPECT_THAT(plain.costs(), IsEmpty());
}

}  // namespace
}  // namespace unsprawl
