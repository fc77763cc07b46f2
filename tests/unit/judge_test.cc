#include "engine/judge/judge.h"

#include "engine/judge/path_class.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

Ruleset Parse(const std::string& fields, const std::string& global = "") {
  auto ruleset = Ruleset::Parse(global + "[[rules]]\nid = 'one'\nregex = 'x'\n" + fields, "test.toml");
  EXPECT_THAT(ruleset, IsOk());
  return *std::move(ruleset);
}

Verdict Of(const Ruleset& ruleset, uint32_t flags, std::string_view path = "", float entropy = 4) {
  return Judge(ruleset, ruleset.rules()[0], flags, entropy, {.path = path});
}

TEST(Judge, AnUnremarkableMatchHasTheRulesConfidence) {
  const Verdict verdict = Of(Parse("confidence = 0.7"), 0, "src/main.c");
  EXPECT_TRUE(verdict.report);
  EXPECT_EQ(verdict.confidence, 0.7);
  EXPECT_EQ(verdict.reason, "");
}

TEST(Judge, ChecksumsDecide) {
  const Ruleset ruleset = Parse("class = 'A'\nconfidence = 0.7");
  EXPECT_LT(Of(ruleset, kChecksumBad).confidence, 0.1);
  EXPECT_GE(Of(ruleset, kChecksumOk).confidence, 0.95);
  EXPECT_GE(Of(ruleset, kChecksumOk | kPlaceholder, "tests/x.py").confidence, 0.95) << "it outweighs all else";
}

TEST(Judge, EachDoubtLowersAndNamesItself) {
  const Ruleset ruleset = Parse("class = 'C'\nconfidence = 0.6");
  for (const uint32_t flag : {kPlaceholder, kReference, kStructureBad, kDigestLike, kWordLike, kChecksumBad, kKnownExample}) {
    const Verdict verdict = Of(ruleset, flag);
    EXPECT_LT(verdict.confidence, 0.5) << flag;
    EXPECT_GT(verdict.confidence, 0) << flag;
    EXPECT_TRUE(verdict.report) << "a doubt lowers, it does not hide";
    EXPECT_FALSE(verdict.reason.empty()) << flag;
  }
  EXPECT_FALSE(Of(ruleset, kAllowlisted).report);
}

TEST(Judge, TestPathsLowerAndDoNotHide) {
  const Ruleset generic = Parse("class = 'C'\nconfidence = 0.6"), distinctive = Parse("class = 'A'\nconfidence = 0.9");
  EXPECT_LT(Of(generic, 0, "tests/login_test.py").confidence, 0.6);
  EXPECT_GE(Of(generic, 0, "tests/login_test.py").confidence, 0.5) << "what looks like a password is shown wherever it is";
  const Ruleset key = Parse("class = 'A'\nconfidence = 0.9\ncategory = 'keys'\nanchor = 'key'\nspan_bytes = 100");
  EXPECT_LT(Of(key, 0, "tests/server.pem").confidence, 0.6) << "a key made for a test";
  EXPECT_GE(Of(key, 0, "tests/server.pem").confidence, 0.5);
  EXPECT_LT(Of(key, 0, "tests/fixtures/server.pem").confidence, 0.5);
  const Verdict verdict = Of(distinctive, 0, "tests/login_test.py");
  EXPECT_LT(verdict.confidence, 0.9);
  EXPECT_GE(verdict.confidence, 0.5) << "a provider's token in a test is still a token";
}

TEST(Judge, EntropyMustBeMoreThanTheRules) {
  const Ruleset ruleset = Parse("entropy = 3.0");
  EXPECT_FALSE(Of(ruleset, 0, "", 3.0f).report);
  EXPECT_TRUE(Of(ruleset, 0, "", 3.1f).report);
}

TEST(Judge, PathsOfRulesAndAllowlists) {
  EXPECT_TRUE(Of(Parse("path = '\\.env$'"), 0, "a/.env").report);
  EXPECT_FALSE(Of(Parse("path = '\\.env$'"), 0, "a/env.c").report);
  const Ruleset own = Parse("[[rules.allowlists]]\npaths = ['^vendor/']");
  EXPECT_FALSE(Of(own, 0, "vendor/x.c").report);
  EXPECT_TRUE(Of(own, 0, "src/vendor/x.c").report);
  const Ruleset global = Parse("", "[[allowlists]]\ntargetRules = ['one']\npaths = ['^gen/']\n");
  EXPECT_FALSE(Of(global, 0, "gen/x.c").report);
  const Ruleset others = Parse("", "[[allowlists]]\ntargetRules = ['two']\npaths = ['^gen/']\n");
  EXPECT_TRUE(Of(others, 0, "gen/x.c").report);
}

// Values are known when scanning, paths when reporting: what the scan noted must meet the right list.
TEST(Judge, AnAllowlistOfPathsAndValuesNeedsBoth) {
  const Ruleset ruleset = Parse(
      "[[rules.allowlists]]\ncondition = 'AND'\npaths = ['^a/']\nregexes = ['^AAA']\n"
      "[[rules.allowlists]]\npaths = ['^c/']\n"
      "[[rules.allowlists]]\ncondition = 'AND'\npaths = ['^b/']\nstopwords = ['bbb']\n");
  const auto verdict = [&ruleset](std::string_view value, std::string_view path) {
    const RawMatch match{0, 0, value.size(), 0, value.size()};
    const MatchFeatures features = Examine(ruleset, {&match, 1}, value, SecretKey{}, 0).front();
    return Judge(ruleset, ruleset.rules()[0], features.flags, 4, {.path = path}).report;
  };
  EXPECT_FALSE(verdict("AAAxyz", "a/f"));
  EXPECT_TRUE(verdict("AAAxyz", "b/f"));
  EXPECT_TRUE(verdict("xyzBBB", "a/f"));
  EXPECT_FALSE(verdict("xyzBBB", "b/f"));
  EXPECT_FALSE(verdict("xyz", "c/f"));
  EXPECT_TRUE(verdict("xyz", "a/f"));
}

TEST(Judge, ExpiredIsSaidAndNotHidden) {
  const Verdict verdict = Of(Parse("confidence = 0.7"), kStructurallyDead);
  EXPECT_TRUE(verdict.report);
  EXPECT_EQ(verdict.confidence, 0.7);
  EXPECT_FALSE(verdict.reason.empty());
}

TEST(PathClass, IsReadFromFoldersAndFileName) {
  for (const char* path : {"tests/a.py", "src/test/java/A.java", "pkg/a_test.go", "a/FooTest.java", "spec/models/a.rb",
                           "__tests__/a.js", "x/test_a.py", "lib/a.spec.ts"}) {
    EXPECT_EQ(ClassifyPath(path), PathClass::kTest) << path;
  }
  for (const char* path : {"a/fixtures/k.pem", "tests/testdata/a/b.json", "testdata/tests/x"}) {
    EXPECT_EQ(ClassifyPath(path), PathClass::kFixture) << path;
  }
  for (const char* path : {"docs/setup.md", "examples/a.c", ".env.example", "config.sample.yml", "config.yml.dist"}) {
    EXPECT_EQ(ClassifyPath(path), PathClass::kExample) << path;
  }
  for (const char* path : {"package-lock.json", "web/app.min.js", "po/de.po", "go.sum"}) {
    EXPECT_EQ(ClassifyPath(path), PathClass::kGenerated) << path;
  }
  for (const char* path : {"", "src/main.c", "latest/contest.py", "attestation.c", "src/protest/x.c", ".env"}) {
    EXPECT_EQ(ClassifyPath(path), PathClass::kOrdinary) << path;
  }
}

}  // namespace
}  // namespace unsprawl
