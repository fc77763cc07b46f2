// The rules of the program do what they say: every example found and reported, every negative silent.
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "coordinator/example_text.h"
#include "coordinator/rules_command.h"
#include "engine/judge/judge.h"
#include "engine/match/detector.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

const Ruleset& Builtin() {
  static const Ruleset ruleset = Ruleset::Builtin().value();
  return ruleset;
}

TEST(Rules, EveryExampleIsReportedAndEveryNegativeSilent) {
  std::ostringstream out;
  const auto problems = RulesCheck(Builtin(), out, {.min_confidence = 0.5, .seeds = 3, .confusions = false});
  ASSERT_THAT(problems, IsOk());
  EXPECT_EQ(*problems, 0) << out.str();
}

TEST(Rules, ThereAreEnoughTypesOfEveryClass) {
  int count[4] = {};
  for (const Rule& rule : Builtin().rules()) ++count[static_cast<int>(rule.rule_class)];
  EXPECT_GE(count[1], 120) << "class A";
  EXPECT_GE(count[2], 50) << "class B";
  EXPECT_GE(count[3], 15) << "class C";
}

TEST(Rules, EveryRuleSaysWhatItIs) {
  for (const Rule& rule : Builtin().rules()) {
    EXPECT_FALSE(rule.description.empty()) << rule.id;
    EXPECT_FALSE(rule.provider.empty()) << rule.id;
    EXPECT_FALSE(rule.category.empty()) << rule.id;
    EXPECT_FALSE(rule.references.empty()) << rule.id;
    EXPECT_FALSE(rule.remediation.empty()) << rule.id;
    // Facts that nobody confirmed stay below what a report shows by itself.
    EXPECT_GE(rule.confidence, 0.4) << rule.id;
  }
}

TEST(Rules, ThereAreEnoughOfThemForEnoughServices) {
  std::set<std::string> providers;
  for (const Rule& rule : Builtin().rules()) providers.insert(rule.provider);
  EXPECT_GE(Builtin().rules().size(), 900u);
  EXPECT_GE(providers.size(), 800u);
}

// A check that passes whatever it is given proves nothing: each kind of problem is seen.
TEST(RulesCheck, SeesEachKindOfProblem) {
  const auto problems = [](const std::string& fields) {
    const auto ruleset = Ruleset::Parse("[[rules]]\nid = 'one'\nclass = 'A'\nconfidence = 0.9\n" + fields, "t");
    EXPECT_THAT(ruleset, IsOk());
    std::ostringstream out;
    const auto count = RulesCheck(*ruleset, out);
    EXPECT_THAT(count, IsOk());
    return out.str();
  };
  const std::string good = "regex = '''\\b(acme_[0-9a-z]{20})\\b'''\n";
  const std::string examples = "examples = ['k={pick:acme_}{alnum:20}', 'x: acme_{alnum:20}']\n";
  const std::string negatives = "negatives = ['acme_{alnum:9}', 'acme-{alnum:20}']\n";
  using testing::HasSubstr;
  EXPECT_THAT(problems(good + examples + negatives), HasSubstr(" 0 problems"));
  EXPECT_THAT(problems(good + "examples = ['acme_{alnum:20}']\n" + negatives), HasSubstr("1 examples"));
  EXPECT_THAT(problems(good + "examples = ['acme_{alnum:20}', 'acme_{alnum:9}']\n" + negatives),
              HasSubstr("example not found"));
  EXPECT_THAT(problems(good + "checksum = 'crc32-base62'\n" + examples + negatives),
              HasSubstr("example not reported (its checksum is wrong"));
  EXPECT_THAT(problems(good + examples + "negatives = ['acme_{alnum:20}', 'x']\n"), HasSubstr("negative reported"));
  EXPECT_THAT(problems("regex = '''\\b([0-9a-z]{20})\\b'''\nexamples = ['{alnum:20}', 'a {alnum:20}']\n"
                       "negatives = ['x', 'y']\n"),
              HasSubstr("no literal"));
  EXPECT_THAT(problems("regex = '''(acme[0-9a-z]+)'''\n" + examples + negatives), HasSubstr("no bound"));
  EXPECT_THAT(problems("regex = '''(acme\\s{1,3}[0-9a-z]{20})'''\n" + examples + negatives), HasSubstr("newline"));
  EXPECT_THAT(problems(good + "unknown = 1\n" + examples + negatives), HasSubstr("unknown"));
}

TEST(Rules, ASpecificRuleBeatsAGenericOne) {
  const Rule* specific = Builtin().FindById("github-pat");
  const Rule* keyword = Builtin().FindById("heroku-api-key-legacy");
  const Rule* generic = Builtin().FindById("generic-secret");
  ASSERT_TRUE(specific != nullptr && keyword != nullptr && generic != nullptr);
  EXPECT_TRUE(Beats(*specific, *keyword));
  EXPECT_TRUE(Beats(*keyword, *generic));
  EXPECT_FALSE(Beats(*generic, *specific));
  EXPECT_FALSE(Beats(*generic, *generic));
}

TEST(RulesShow, NamesNearRulesWhenThereIsNone) {
  std::ostringstream out;
  EXPECT_THAT(RulesShow(Builtin(), "github", out),
              FailsWith(absl::StatusCode::kNotFound, testing::HasSubstr("github-pat")));
  EXPECT_THAT(RulesShow(Builtin(), "github-pat", out), IsOk());
  EXPECT_THAT(out.str(), testing::HasSubstr("crc32-base62"));
}

// docs/types.md is `unsprawl rules list --markdown`.
TEST(RulesPage, IsTheOneInDocs) {
  std::ostringstream page;
  RulesPage(Builtin(), page);
  std::ifstream file(UNSPRAWL_SOURCE_DIR "/docs/types.md");
  const std::string kept(std::istreambuf_iterator<char>(file), {});
  EXPECT_TRUE(page.str() == kept) << "run: unsprawl rules list --markdown > docs/types.md";
}

TEST(RulesStats, CountsEveryRuleOnce) {
  std::ostringstream out;
  RulesStats(Builtin(), out);
  EXPECT_THAT(out.str(), testing::StartsWith(std::to_string(Builtin().rules().size()) + " rules of "));
}

TEST(ExampleText, IsDeterministicAndKeepsWhatIsNoPiece) {
  EXPECT_EQ(*ExpandExample("{b62:40}", 1), *ExpandExample("{b62:40}", 1));
  EXPECT_NE(*ExpandExample("{b62:40}", 1), *ExpandExample("{b62:40}", 2));
  EXPECT_EQ(*ExpandExample("{\"a\": ${B}} {{ c }} {", 1), "{\"a\": ${B}} {{ c }} {");
  EXPECT_EQ(ExpandExample("{hex:4-9}", 3)->find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(*ExpandExample("{bytes:0502fF}{raw:9}", 1), "\x05\x02\xff" + ExpandExample("{bytes:0502fF}{raw:9}", 1)->substr(3));
  EXPECT_EQ(ExpandExample("{raw:300}", 1)->size(), 300);
  for (const std::string wrong : {"{bytes:}", "{bytes:050}", "{bytes:0x}"}) EXPECT_FALSE(ExpandExample(wrong, 1).ok()) << wrong;
  EXPECT_THAT(ExpandExample("{hex:x}", 1), FailsWith(absl::StatusCode::kInvalidArgument, testing::HasSubstr("hex")));
}

// Of 32 bytes: 51 characters that begin with 5, or, of a compressed public key, 52 that begin with K or L.
TEST(ExampleText, MakesKeysInBitcoinsWalletImportFormat) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::string plain = *ExpandExample("{wif}", seed), compressed = *ExpandExample("{wif:compressed}", seed);
    EXPECT_EQ(plain.size(), 51);
    EXPECT_EQ(plain[0], '5');
    EXPECT_EQ(compressed.size(), 52);
    EXPECT_TRUE(compressed[0] == 'K' || compressed[0] == 'L') << compressed;
  }
}

}  // namespace
}  // namespace unsprawl
