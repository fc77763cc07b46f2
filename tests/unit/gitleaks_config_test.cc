// gitleaks' configuration, key by key: what is written there means here what it means there. Where it does not,
// docs/rules.md says so ("Differences from gitleaks"). Rules run through detector, examination and judgement; what takes
// a history (paths and commits of places) is in tests/e2e/path_rules_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_format.h"
#include "engine/judge/examine.h"
#include "engine/match/detector.h"
#include "engine/match/ruleset.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<Ruleset> Read(const std::string& toml) { return Ruleset::Parse(toml, "gitleaks.toml"); }

std::string OneRule(const std::string& fields) { return "[[rules]]\nid = 'one'\n" + fields + "\n"; }

// "rule=secret" of what is reported of `text`, in order of rules and places.
std::vector<std::string> FoundBy(const absl::StatusOr<Ruleset>& ruleset, std::string_view text, const Where& where = {}) {
  EXPECT_THAT(ruleset, IsOk());
  if (!ruleset.ok()) return {};
  const auto detector = Detector::Create(*ruleset, {}, {});
  EXPECT_THAT(detector, IsOk());
  BlobMatches matches;
  BlobScanner(**detector).ScanFull(text, &matches);
  const std::vector<MatchFeatures> features = Examine(*ruleset, matches.matches, text, SecretKey{}, 1767225600);
  std::vector<std::string> found;
  for (size_t i = 0; i < features.size(); ++i) {
    const RawMatch& match = matches.matches[i];
    const Rule& rule = ruleset->rules()[match.rule];
    if (!Judge(*ruleset, rule, features[i].flags, features[i].entropy, where).report) continue;
    found.push_back(rule.id + "=" + std::string(text.substr(match.secret_start, match.secret_end - match.secret_start)));
  }
  return found;
}
std::vector<std::string> Found(const std::string& toml, std::string_view text, const Where& where = {}) {
  return FoundBy(Read(toml), text, where);
}

// ---- the file

TEST(GitleaksConfig, TitleDescriptionAndMinVersionAreReadAndMeanNothing) {
  const auto ruleset = Read("title = 't'\ndescription = 'd'\nminVersion = 'v8.25.0'\n" + OneRule("regex = 'abc'"));
  ASSERT_THAT(ruleset, IsOk());
  EXPECT_THAT(ruleset->warnings(), IsEmpty());
  EXPECT_EQ(ruleset->id(), Read(OneRule("regex = 'abc'"))->id());
}

TEST(GitleaksConfig, KeysAreReadWithoutRegardToCase) {
  const auto ruleset = Read(
      "[[Rules]]\nID = 'one'\nREGEX = '(a)(bcd)'\nsecretgroup = 2\nKeyWords = ['A']\nskipreport = false\n"
      "[[rules.AllowLists]]\nregextarget = 'match'\nStopWords = ['zzz']\n");
  ASSERT_THAT(ruleset, IsOk());
  EXPECT_THAT(ruleset->warnings(), IsEmpty());
  EXPECT_THAT(FoundBy(ruleset, "abcd"), ElementsAre("one=bcd"));
}

TEST(GitleaksConfig, WhatIsWrongIsAnErrorThatNamesIt) {
  EXPECT_THAT(Read("[[rules]]\nregex = 'a'"), FailsWith(kInvalid, HasSubstr("id")));
  EXPECT_THAT(Read("[[rules]]\nid = ''\nregex = 'a'"), FailsWith(kInvalid, HasSubstr("id")));
  EXPECT_THAT(Read(OneRule("description = 'x'")), FailsWith(kInvalid, AllOf(HasSubstr("regex"), HasSubstr("path"))));
  EXPECT_THAT(Read(OneRule("regex = '(a)'\nsecretGroup = 2")), FailsWith(kInvalid, HasSubstr("secretGroup")));
  EXPECT_THAT(Read(OneRule("regex = 'a'\n[[rules.required]]\nid = 'two'")), FailsWith(kInvalid, HasSubstr("no rule two")));
  EXPECT_THAT(Read(OneRule("regex = 'a'\n[[rules.required]]\nwithinLines = 1")), FailsWith(kInvalid, HasSubstr("id")));
  EXPECT_THAT(Read(OneRule("regex = 'a'\n[[rules.allowlists]]")), FailsWith(kInvalid, HasSubstr("empty")));
  EXPECT_THAT(Read("[allowlist]\n"), FailsWith(kInvalid, HasSubstr("empty")));
  EXPECT_THAT(Read(OneRule("regex = 'a'\n[[rules.allowlists]]\npaths = ['(']")), FailsWith(kInvalid, HasSubstr("paths")));
  EXPECT_THAT(Read(OneRule("path = '('")), FailsWith(kInvalid, HasSubstr("path")));
  EXPECT_THAT(Read(OneRule("regex = 'a'\n[[rules.allowlists]]\ncondition = 'XOR'\npaths = ['a']")),
      FailsWith(kInvalid, HasSubstr("condition")));
  EXPECT_THAT(Read(OneRule("regex = 'a'\n[[rules.allowlists]]\nregexTarget = 'file'\npaths = ['a']")),
              FailsWith(kInvalid, HasSubstr("regexTarget")));
  EXPECT_THAT(Read("[extend]\nuseDefault = true\npath = 'x'"), FailsWith(kInvalid, HasSubstr("exclude each other")));
}

TEST(GitleaksConfig, AKeyThatMeansNothingIsWarnedOf) {
  EXPECT_THAT(Read("verbose = 1\n" + OneRule("regex = 'a'"))->warnings(), ElementsAre(HasSubstr("verbose")));
  EXPECT_THAT(Read(OneRule("regex = 'a'\n[[rules.allowlists]]\npaths = ['a']\ntargetRules = ['one']"))->warnings(),
              ElementsAre(HasSubstr("targetRules")))
      << "global allowlists only";
}

// ---- rules

TEST(GitleaksConfig, RegexesHaveGosSyntax) {
  EXPECT_THAT(Found(OneRule("regex = '''(?i)key_(?<value>[a-z]{4})\\b'''"), "KEY_ABCD"), ElementsAre("one=ABCD"));
  EXPECT_THAT(Found(OneRule("regex = '''(?P<v>x[[:digit:]]{2})\\z'''"), "x11x22"), ElementsAre("one=x22"));
  EXPECT_THAT(Found(OneRule("regex = '''(?i)clé=([“\"]?[à-ü]{2})x'''"), "CLÉ=“éÈx"), ElementsAre("one=“éÈ"));
}

TEST(GitleaksConfig, WhatHyperscanDoesNotTakeIsFoundAllTheSame) {
  for (const char* regex : {"key=(a?$|b?^|$?)c?d", "key=b{0}c?d", "key=(?:[^\\x00-\\x{10ffff}]|c?d)", "key=c?d|key(^)x", "key=c?d|a\\Ab"}) {
    EXPECT_THAT(Found(OneRule(absl::StrFormat("regex = '%s'", regex)), "key=cd"), ElementsAre("one=key=cd")) << regex;
  }
}

TEST(GitleaksConfig, SecretGroupZeroIsTheFirstGroupThatIsNotEmptyElseTheMatch) {
  EXPECT_THAT(Found(OneRule("regex = 'key=(a{3})?(b{3})?'"), "key=bbb"), ElementsAre("one=bbb"));
  EXPECT_THAT(Found(OneRule("regex = 'key=(a{3})?(b{3})?'"), "key=aaabbb"), ElementsAre("one=aaa"));
  EXPECT_THAT(Found(OneRule("regex = 'key=(a{3})?(b{3})?'\nsecretGroup = 2"), "key=aaabbb"), ElementsAre("one=bbb"));
  EXPECT_THAT(Found(OneRule("regex = 'key=[ab]{3}'"), "key=aba"), ElementsAre("one=key=aba"));
}

TEST(GitleaksConfig, EntropyMustBeMoreThanIsWritten) {
  // Four different characters are two bits each.
  EXPECT_THAT(Found(OneRule("regex = 'k=([a-d]{4})'\nentropy = 1.9"), "k=abcd"), ElementsAre("one=abcd"));
  EXPECT_THAT(Found(OneRule("regex = 'k=([a-d]{4})'\nentropy = 2"), "k=abcd"), IsEmpty());
  EXPECT_THAT(Found(OneRule("regex = 'k=([a-d]{4})'\nentropy = 0"), "k=aaaa"), ElementsAre("one=aaaa")) << "0 asks for nothing";
}

TEST(GitleaksConfig, KeywordsAreLowerCasedAndOneIsEnough) {
  const std::string rule = OneRule("regex = '[0-9]{6}'\nkeywords = ['ACME', 'other']");
  EXPECT_THAT(Found(rule, "AcMe 123456"), ElementsAre("one=123456"));
  EXPECT_THAT(Found(rule, "nothing 123456"), IsEmpty());
  EXPECT_THAT(Found(OneRule("regex = '[0-9]{6}'"), "123456"), ElementsAre("one=123456")) << "none: always";
  EXPECT_THAT(Found(rule, "acme\n123456"), IsEmpty()) << "a difference: in the line, not anywhere in the file";
  EXPECT_THAT(Found(OneRule("regex = '''(?s)[0-9]{6}\\n?'''\nkeywords = ['acme']"), "acme\n123456\n").size(), 1u)
      << "but a regex that goes over lines looks for them in all of it";
}

TEST(GitleaksConfig, PathBesideARegexMustMatchAsWell) {
  const std::string rule = OneRule("regex = 'abc'\npath = '''\\.env$'''");
  EXPECT_THAT(Found(rule, "abc", {.path = "a/b.env"}), ElementsAre("one=abc"));
  EXPECT_THAT(Found(rule, "abc", {.path = "a/b.envx"}), IsEmpty());
}

TEST(GitleaksConfig, APathAloneIsARuleAndLooksIntoNoFile) {
  const auto ruleset = Read(OneRule("path = 'abc'"));
  ASSERT_THAT(ruleset, IsOk());
  EXPECT_TRUE(ruleset->has_path_rules());
  EXPECT_THAT(ruleset->blob_keys(), IsEmpty());
  EXPECT_EQ(ruleset->keys().size(), 1u);
  EXPECT_THAT(FoundBy(ruleset, "abc", {.path = "abc"}), IsEmpty()) << "it is found when locating";
  const Verdict verdict = Judge(*ruleset, ruleset->rules()[0], 0, 0, {.path = "x/abc"});
  EXPECT_TRUE(verdict.report);
  EXPECT_EQ(verdict.confidence, ruleset->rules()[0].confidence);
  EXPECT_FALSE(Judge(*ruleset, ruleset->rules()[0], 0, 0, {.path = "x/ab"}).report);
}

TEST(GitleaksConfig, APathAloneHasNoEntropyNoKeywordsAndRequiresNothing) {
  const auto ruleset = Read(OneRule("path = 'abc'\nentropy = 3\nkeywords = ['k']\n[[rules.required]]\nid = 'two'") +
                            "[[rules]]\nid = 'two'\nregex = 'x'\n");
  ASSERT_THAT(ruleset, IsOk());
  EXPECT_TRUE(Judge(*ruleset, ruleset->rules()[0], 0, 0, {.path = "abc"}).report);
  EXPECT_THAT(ruleset->warnings(), ElementsAre(HasSubstr("keywords"), HasSubstr("required")));
}

TEST(GitleaksConfig, RulesOfPathsAloneHaveKeysOfTheirOwn) {
  const auto key = [](const std::string& fields) { return Read(fields)->rules()[0].key; };
  EXPECT_NE(key(OneRule("path = 'a'")), key(OneRule("path = 'b'")));
  EXPECT_NE(key(OneRule("path = 'a'")), key("[[rules]]\nid = 'two'\npath = 'a'\n"));
  EXPECT_EQ(key(OneRule("path = 'a'")), key(OneRule("path = 'a'\ndescription = 'd'\nconfidence = 0.1")));
  EXPECT_EQ(key(OneRule("regex = 'x'\npath = 'a'")), key(OneRule("regex = 'x'\npath = 'b'")));
}

TEST(GitleaksConfig, TagsAndDescriptionAreKept) {
  const Rule rule = Read(OneRule("regex = 'a'\ndescription = 'words'\ntags = ['x', 'y']"))->rules()[0];
  EXPECT_EQ(rule.description, "words");
  EXPECT_THAT(rule.tags, ElementsAre("x", "y"));
}

TEST(GitleaksConfig, SkipReportIsNotReported) {
  EXPECT_THAT(Found(OneRule("regex = 'abc'\nskipReport = true"), "abc"), IsEmpty());
  EXPECT_THAT(Found(OneRule("regex = 'abc'\nskipReport = false"), "abc"), ElementsAre("one=abc"));
}

// ---- required

std::string Pair(const std::string& within) {
  return OneRule("regex = 'id_[0-9]'\n[[rules.required]]\nid = 'two'\n" + within) +
         "[[rules]]\nid = 'two'\nskipReport = true\nregex = 'key_[0-9]'\n";
}

TEST(GitleaksConfig, WhatIsRequiredMustBeInTheFile) {
  EXPECT_THAT(Found(Pair(""), "id_1\n\n\n\nkey_1"), ElementsAre("one=id_1"));
  EXPECT_THAT(Found(Pair(""), "id_1\n"), IsEmpty());
}

TEST(GitleaksConfig, WithinLinesCountsLinesBetweenBothInEitherDirection) {
  const std::string rules = Pair("withinLines = 2");
  EXPECT_THAT(Found(rules, "id_1\n\nkey_1"), ElementsAre("one=id_1"));
  EXPECT_THAT(Found(rules, "key_1\n\nid_1"), ElementsAre("one=id_1"));
  EXPECT_THAT(Found(rules, "id_1\n\n\nkey_1"), IsEmpty());
  EXPECT_THAT(Found(Pair("withinLines = 0"), "id_1 key_1\nid_2"), ElementsAre("one=id_1"));
}

TEST(GitleaksConfig, WithinColumnsCountsColumnsBetweenBeginnings) {
  const std::string rules = Pair("withinColumns = 5");
  EXPECT_THAT(Found(rules, "id_1 key_1"), ElementsAre("one=id_1"));
  EXPECT_THAT(Found(rules, "id_1  key_1"), IsEmpty());
  EXPECT_THAT(Found(rules, "id_1\n\n\n     key_1"), ElementsAre("one=id_1")) << "whatever the line";
  EXPECT_THAT(Found(Pair("withinLines = 1\nwithinColumns = 5"), "id_1\n\n\n     key_1"), IsEmpty());
}

TEST(GitleaksConfig, EachOfSeveralRequiredIsNeeded) {
  const std::string rules = OneRule("regex = 'id_[0-9]'\n[[rules.required]]\nid = 'two'\n[[rules.required]]\nid = 'three'") +
                            "[[rules]]\nid = 'two'\nregex = 'key_[0-9]'\nskipReport = true\n"
                            "[[rules]]\nid = 'three'\nregex = 'url_[0-9]'\nskipReport = true\n";
  EXPECT_THAT(Found(rules, "id_1 key_1 url_1"), ElementsAre("one=id_1"));
  EXPECT_THAT(Found(rules, "id_1 key_1"), IsEmpty());
}

TEST(GitleaksConfig, WhatIsRequiredIsJudgedAsAFindingIs) {
  const std::string rules = OneRule("regex = 'id_[0-9]'\n[[rules.required]]\nid = 'two'") +
      "[[rules]]\nid = 'two'\nskipReport = true\n";
  EXPECT_THAT(Found(rules + "regex = 'key_[0-9]'\n[[rules.allowlists]]\nstopwords = ['key_1']", "id_1 key_1"), IsEmpty());
  EXPECT_THAT(Found(rules + "regex = 'key_([0-9]{4})'\nentropy = 1", "id_1 key_1111"), IsEmpty());
  EXPECT_THAT(Found(rules + "regex = 'key_[0-9]'\npath = 'env'", "id_1 key_1", {.path = "a.txt"}), IsEmpty());
  EXPECT_THAT(Found(rules + "path = 'env'", "id_1", {.path = "a.env"}), ElementsAre("one=id_1")) << "a path alone";
  EXPECT_THAT(Found(rules + "path = 'env'", "id_1", {.path = "a.txt"}), IsEmpty());
  const std::string allowed = "regex = 'key_[0-9]'\n[[rules.allowlists]]\npaths = ['txt']";
  EXPECT_THAT(Found(rules + allowed, "id_1 key_1", {.path = "a.txt"}), IsEmpty());
  EXPECT_THAT(Found(rules + allowed, "id_1 key_1", {.path = "a.env"}), ElementsAre("one=id_1"));
}

// ---- allowlists

TEST(GitleaksConfig, BothSpellingsOfAllowlistsMeanTheSameAndExcludeEachOther) {
  for (const char* const list : {"[rules.allowlist]", "[[rules.allowlists]]", "[allowlist]", "[[allowlists]]"}) {
    EXPECT_THAT(Found(OneRule("regex = 'abc.'") + list + "\nregexes = ['abcd']\n", "abcd abce"), ElementsAre("one=abce"))
        << list;
  }
  EXPECT_THAT(Read(OneRule("regex = 'a'\n[rules.allowlist]\npaths = ['a']\n[[rules.allowlists]]\npaths = ['a']")),
              FailsWith(kInvalid, HasSubstr("only one")));
  EXPECT_THAT(Read("[allowlist]\npaths = ['a']\n[[allowlists]]\npaths = ['a']"), FailsWith(kInvalid, HasSubstr("only one")));
}

TEST(GitleaksConfig, RegexTargetIsSecretMatchOrLine) {
  const auto with = [](const std::string& target) {
    return Found(OneRule("regex = 'key=([a-z]{4})'\n[[rules.allowlists]]\n" + target), "pre key=abcd post");
  };
  EXPECT_THAT(with("regexes = ['^abcd$']"), IsEmpty());
  EXPECT_THAT(with("regexTarget = 'secret'\nregexes = ['^abcd$']"), IsEmpty());
  EXPECT_THAT(with("regexes = ['key=']").size(), 1u);
  EXPECT_THAT(with("regexTarget = 'match'\nregexes = ['^key=abcd$']"), IsEmpty());
  EXPECT_THAT(with("regexTarget = 'match'\nregexes = ['pre']").size(), 1u);
  EXPECT_THAT(with("regexTarget = 'line'\nregexes = ['^pre .* post$']"), IsEmpty());
}

TEST(GitleaksConfig, StopwordsAreInTheLowerCasedSecret) {
  const std::string rule = OneRule("regex = 'key=([a-zA-Z]{9})'\n[[rules.allowlists]]\nstopwords = ['ExAmple']");
  EXPECT_THAT(Found(rule, "key=myEXAMPLE"), IsEmpty());
  EXPECT_THAT(Found(rule, "key=otherwise example"), ElementsAre("one=otherwise")) << "in the secret alone";
}

TEST(GitleaksConfig, WithOrOneCriterionIsEnough) {
  for (const char* const condition : {"", "condition = ''\n", "condition = 'or'\n", "condition = 'OR'\n",
      "condition = '||'\n"}) {
    const std::string rule = OneRule("regex = 'key=([a-z]{4})'\n[[rules.allowlists]]\n" + std::string(condition) +
                                     "regexes = ['^ab']\nstopwords = ['cd']\npaths = ['^doc/']");
    EXPECT_THAT(Found(rule, "key=abxx key=xxcd key=wxyz", {.path = "a"}), ElementsAre("one=wxyz"));
    EXPECT_THAT(Found(rule, "key=wxyz", {.path = "doc/a"}), IsEmpty());
  }
}

TEST(GitleaksConfig, WithAndAllThatAreDefinedMustHold) {
  const std::string commit(20, '\x11');
  const std::string hex = "1111111111111111111111111111111111111111";
  const std::string rule = OneRule("regex = 'key=([a-z]{4})'\n[[rules.allowlists]]\ncondition = 'AND'\nregexes = ['^ab']\n"
                                   "stopwords = ['cd']\npaths = ['^doc/']\ncommits = ['" + hex + "']");
  const Where all = {.path = "doc/a", .commit = commit};
  EXPECT_THAT(Found(rule, "key=abcd", all), IsEmpty());
  EXPECT_THAT(Found(rule, "key=abxx", all), ElementsAre("one=abxx"));
  EXPECT_THAT(Found(rule, "key=xxcd", all), ElementsAre("one=xxcd"));
  EXPECT_THAT(Found(rule, "key=abcd", {.path = "src/a", .commit = commit}), ElementsAre("one=abcd"));
  EXPECT_THAT(Found(rule, "key=abcd", {.path = "doc/a"}), ElementsAre("one=abcd"));
  const std::string two = OneRule("regex = 'key=([a-z]{4})'\n[[rules.allowlists]]\ncondition = 'AND'\n"
      "regexes = ['^ab']\nstopwords = ['cd']");
  EXPECT_THAT(Found(two, "key=abcd key=abxx"), ElementsAre("one=abxx")) << "what is not defined is not asked for";
}

TEST(GitleaksConfig, CommitsAreComparedWithoutCase) {
  const std::string rule = OneRule("regex = 'abc'\n[[rules.allowlists]]\n"
      "commits = ['ABCDABCDABCDABCDABCDABCDABCDABCDABCDABCD']");
  std::string commit;
  for (int i = 0; i < 10; ++i) commit += "\xab\xcd";
  EXPECT_THAT(Found(rule, "abc", {.path = "a", .commit = commit}), IsEmpty());
  EXPECT_THAT(Found(rule, "abc", {.path = "a", .commit = std::string(20, 'x')}).size(), 1u);
  EXPECT_THAT(Read(OneRule("regex = 'abc'\n[[rules.allowlists]]\ncommits = ['abcd']"))->warnings(),
      ElementsAre(HasSubstr("40")));
}

TEST(GitleaksConfig, SeveralAllowlistsAreAlternatives) {
  const std::string rule = OneRule("regex = 'key=([a-z]{4})'\n[[rules.allowlists]]\nstopwords = ['ab']\n"
      "[[rules.allowlists]]\nstopwords = ['cd']");
  EXPECT_THAT(Found(rule, "key=abxx key=xxcd key=wxyz"), ElementsAre("one=wxyz"));
}

TEST(GitleaksConfig, GlobalAllowlistsHoldForAllRulesOrForThoseTheyName) {
  const std::string rules = OneRule("regex = 'abc1'") + "[[rules]]\nid = 'two'\nregex = 'abc2'\n";
  EXPECT_THAT(Found(rules + "[[allowlists]]\nregexes = ['abc']", "abc1 abc2"), IsEmpty());
  EXPECT_THAT(Found(rules + "[[allowlists]]\ntargetRules = ['two']\nregexes = ['abc']", "abc1 abc2"), ElementsAre("one=abc1"));
  const auto unknown = Read(rules + "[[allowlists]]\ntargetRules = ['three']\nregexes = ['abc']");
  ASSERT_THAT(unknown, IsOk());
  EXPECT_THAT(unknown->warnings(), ElementsAre(HasSubstr("three"))) << "an error there";
}

TEST(GitleaksConfig, ALineMayAllowItsFindings) {
  EXPECT_THAT(Found(OneRule("regex = 'abc.'"), "abcd\n"), ElementsAre("one=abcd"));
  const auto ruleset = Read(OneRule("regex = 'abc.'"));
  BlobMatches matches;
  BlobScanner(**Detector::Create(*ruleset, {}, {})).ScanFull("abcd // gitleaks:allow\n", &matches);
  ASSERT_EQ(matches.matches.size(), 1u);
  EXPECT_NE(Examine(*ruleset, matches.matches, "abcd // gitleaks:allow\n", SecretKey{}, 0)[0].flags & kInlineAllowed, 0u);
}

// ---- extending

class GitleaksExtendTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = dir_.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path.string();
  }
  // What `top` means upon `base`.
  Rule Extended(const std::string& base, const std::string& top) {
    Write("base.toml", base);
    const auto ruleset = Ruleset::Load(Write("top.toml", "[extend]\npath = 'base.toml'\n" + top));
    EXPECT_THAT(ruleset, IsOk());
    return ruleset.ok() ? ruleset->rules()[0] : Rule();
  }
  TempDir dir_;
};

TEST_F(GitleaksExtendTest, DescriptionEntropyGroupRegexAndPathAreOverridden) {
  const std::string base = OneRule("description = 'base'\nregex = '(a)(b)'\npath = 'p'\nentropy = 3\nsecretGroup = 1");
  const Rule kept = Extended(base, OneRule(""));
  EXPECT_EQ(kept.description, "base");
  EXPECT_EQ(kept.regex, "(a)(b)");
  EXPECT_EQ(kept.path, "p");
  EXPECT_EQ(kept.min_entropy, 3);
  EXPECT_EQ(kept.secret_group, 1);
  const Rule changed = Extended(base, OneRule("description = 'top'\nregex = '(c)(d)'\npath = 'q'\nentropy = 4\n"
      "secretGroup = 2"));
  EXPECT_EQ(changed.description, "top");
  EXPECT_EQ(changed.regex, "(c)(d)");
  EXPECT_EQ(changed.path, "q");
  EXPECT_EQ(changed.min_entropy, 4);
  EXPECT_EQ(changed.secret_group, 2);
}

TEST_F(GitleaksExtendTest, TagsKeywordsAndAllowlistsAreConcatenated) {
  const Rule rule = Extended(OneRule("regex = 'a'\ntags = ['t']\nkeywords = ['k']\n[rules.allowlist]\nstopwords = ['x']"),
                             OneRule("tags = ['u']\nkeywords = ['l']\n[[rules.allowlists]]\nstopwords = ['y']"));
  EXPECT_THAT(rule.tags, ElementsAre("t", "u"));
  EXPECT_THAT(rule.keywords, ElementsAre("k", "l"));
  ASSERT_EQ(rule.allowlists.size(), 2u);
  EXPECT_THAT(rule.allowlists[1].stopwords, ElementsAre("y"));
}

TEST_F(GitleaksExtendTest, RequiredIsNotMerged) {
  const std::string two = "[[rules]]\nid = 'two'\nregex = 'b'\n";
  EXPECT_EQ(Extended(OneRule("regex = 'a'\n[[rules.required]]\nid = 'two'") + two, OneRule("")).required.size(), 1u);
  EXPECT_EQ(Extended(OneRule("regex = 'a'") + two, OneRule("[[rules.required]]\nid = 'two'")).required.size(), 0u);
}

TEST_F(GitleaksExtendTest, GlobalAllowlistsOfBothHold) {
  Write("base.toml", OneRule("regex = 'abc.'") + "[[allowlists]]\nregexes = ['abc1']\n");
  const std::string top = Write("top.toml", "[extend]\npath = 'base.toml'\n[[allowlists]]\nregexes = ['abc2']\n");
  EXPECT_THAT(FoundBy(Ruleset::Load(top), "abc1 abc2 abc3"), ElementsAre("one=abc3"));
}

TEST_F(GitleaksExtendTest, DisabledRulesOfTheBaseAreGone) {
  Write("base.toml", OneRule("regex = 'abc'") + "[[rules]]\nid = 'two'\nregex = 'def'\n");
  EXPECT_THAT(FoundBy(Ruleset::Load(Write("top.toml", "[extend]\npath = 'base.toml'\ndisabledRules = ['one']\n")), "abc def"),
              ElementsAre("two=def"));
  const std::string own = Write("own.toml", "[extend]\npath = 'base.toml'\ndisabledRules = ['one']\n" +
      OneRule("regex = 'xyz'"));
  EXPECT_THAT(FoundBy(Ruleset::Load(own), "abc xyz"), ElementsAre("one=xyz")) << "one's own rule of that name is new";
}

TEST_F(GitleaksExtendTest, TwoDeepAndNoDeeper) {
  Write("c.toml", OneRule("regex = 'abc'"));
  Write("b.toml", "[extend]\npath = 'c.toml'\n");
  const std::string a = Write("a.toml", "[extend]\npath = 'b.toml'\n");
  EXPECT_THAT(FoundBy(Ruleset::Load(a), "abc"), ElementsAre("one=abc"));
  EXPECT_THAT(Ruleset::Load(Write("top.toml", "[extend]\npath = 'a.toml'\n")), FailsWith(kInvalid, HasSubstr("deep")));
}

TEST_F(GitleaksExtendTest, PathsAreRelativeToTheFile) {
  Write("sub/base.toml", OneRule("regex = 'abc'"));
  const std::string top = Write("sub/top.toml", "[extend]\npath = 'base.toml'\n");
  EXPECT_THAT(FoundBy(Ruleset::Load(top), "abc"), ElementsAre("one=abc"));
}

TEST_F(GitleaksExtendTest, UseDefaultMeansOurOwnRules) {
  const auto ruleset = Read("[extend]\nuseDefault = true\ndisabledRules = ['github-pat']\n");
  ASSERT_THAT(ruleset, IsOk());
  EXPECT_EQ(ruleset->rules().size() + 1, Ruleset::Builtin()->rules().size());
}

}  // namespace
}  // namespace unsprawl
