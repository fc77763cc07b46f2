#include "engine/match/ruleset.h"

#include <fstream>

#include "engine/match/builtin_rules.h"
#include "engine/match/ruleset_document.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<Ruleset> Parse(const std::string& toml) { return Ruleset::Parse(toml, "test.toml"); }

std::string OneRule(const std::string& fields) {
  return "[[rules]]\nid = \"one\"\n" + fields + "\n";
}

TEST(Ruleset, BuiltinRulesParseHaveDistinctIdsAndKeysAndNoWarnings) {
  const auto ruleset = Ruleset::Builtin();
  ASSERT_THAT(ruleset, IsOk());
  EXPECT_THAT(ruleset->warnings(), IsEmpty());
  EXPECT_EQ(ruleset->keys().size(), ruleset->rules().size());
  size_t written = 0;
  for (size_t i = 0; i < kBuiltinRuleFileCount; ++i) {
    const std::string_view name = kBuiltinRuleFiles[i].name, text(kBuiltinRuleFiles[i].text, kBuiltinRuleFiles[i].bytes);
    const auto document = name.ends_with(".tsv") ? ParseServiceTable(text, name) : ParseRuleDocument(text, name);
    ASSERT_THAT(document, IsOk());
    written += document->rules.size();
  }
  EXPECT_EQ(written, ruleset->rules().size()) << "an id is used in two files";
  for (const Rule& rule : ruleset->rules()) {
    EXPECT_EQ(ruleset->FindByKey(rule.key), &rule);
    EXPECT_EQ(ruleset->FindById(rule.id), &rule);
  }
}

TEST(Ruleset, AllFieldsAreRead) {
  const auto ruleset = Parse(OneRule(R"(
description = "words"
provider = "Acme"
category = "cloud"
class = "A"
severity = "high"
confidence = 0.75
references = ["https://acme.example/docs"]
tags = ["t"]
remediation = "acme"
regex = '''(acme)_([a-z]{8})'''
secretGroup = 2
path = '''\.env$'''
keywords = ["ACME"]
entropy = 2.5
checksum = "crc32-base62"
structure = "jwt"
prefixes = ["acme_"]
examples = ["x"]
negatives = ["y"])"));
  ASSERT_THAT(ruleset, IsOk());
  EXPECT_THAT(ruleset->warnings(), IsEmpty());
  const Rule& rule = ruleset->rules()[0];
  EXPECT_EQ(rule.provider, "Acme");
  EXPECT_EQ(rule.rule_class, RuleClass::kDistinctive);
  EXPECT_EQ(rule.severity, Severity::kHigh);
  EXPECT_EQ(rule.confidence, 0.75);
  EXPECT_EQ(rule.secret_group, 2);
  EXPECT_EQ(rule.min_entropy, 2.5);
  EXPECT_THAT(rule.keywords, ElementsAre("acme"));
  EXPECT_THAT(rule.examples, ElementsAre("x"));
  EXPECT_NE(rule.key, 0u);
  EXPECT_EQ(ruleset->id().size(), 16u);
}

TEST(Ruleset, ErrorsNameFileRuleAndKey) {
  EXPECT_THAT(Parse("[[rules]]\nregex = 'a'"), FailsWith(kInvalid, AllOf(HasSubstr("test.toml"), HasSubstr("rule 1"), HasSubstr("id"))));
  EXPECT_THAT(Parse(OneRule("description = 'x'")), FailsWith(kInvalid, AllOf(HasSubstr("rule one"), HasSubstr("regex"), HasSubstr("path"))));
  EXPECT_THAT(Parse(OneRule("regex = '(a)'\nsecretGroup = 2")), FailsWith(kInvalid, HasSubstr("secretGroup")));
  EXPECT_THAT(Parse(OneRule("regex = '(a'")), FailsWith(kInvalid, AllOf(HasSubstr("rule one"), HasSubstr("regex"))));
  EXPECT_THAT(Parse(OneRule("regex = 1")), FailsWith(kInvalid, AllOf(HasSubstr("regex"), HasSubstr("string"))));
  EXPECT_THAT(Parse(OneRule("regex = 'a'\nclass = 'D'")), FailsWith(kInvalid, AllOf(HasSubstr("class"), HasSubstr("A, B, C"))));
  EXPECT_THAT(Parse(OneRule("regex = 'a'\nconfidence = 2")), FailsWith(kInvalid, HasSubstr("from 0 to 1")));
  EXPECT_THAT(Parse(OneRule("regex = 'a'\nchecksum = 'none'")), FailsWith(kInvalid, HasSubstr("checksum")));
  EXPECT_THAT(Parse(OneRule("regex = 'a'\nanchor = 'a'")), FailsWith(kInvalid, HasSubstr("span_bytes")));
  EXPECT_THAT(Parse(OneRule("regex = 'a'\n[[rules.allowlists]]\ndescription = 'empty'")), FailsWith(kInvalid, HasSubstr("allowlist")));
  EXPECT_THAT(Parse(OneRule("regex = 'a'") + OneRule("regex = 'b'")), FailsWith(kInvalid, HasSubstr("twice")));
  EXPECT_THAT(Parse("[[rules]\n"), FailsWith(kInvalid, HasSubstr("test.toml:1:")));
  EXPECT_THAT(Parse("[extend]\npath = 'other.toml'"), FailsWith(kInvalid, HasSubstr("extend")));
}

TEST(Ruleset, UnknownKeysAreWarnedOf) {
  const auto ruleset = Parse(OneRule("regex = 'a'\nentropie = 3"));
  ASSERT_THAT(ruleset, IsOk());
  EXPECT_THAT(ruleset->warnings(), ElementsAre(AllOf(HasSubstr("rule one"), HasSubstr("entropie"))));
}

TEST(Ruleset, GoNamedGroupsAreRewritten) {
  const auto ruleset = Parse(OneRule(R"(regex = '''\(?<a(?<name>b)''')"));
  ASSERT_THAT(ruleset, IsOk());
  EXPECT_EQ(ruleset->rules()[0].regex, R"(\(?<a(?P<name>b))");
}

TEST(Ruleset, FragmentsStandForPiecesOfExpressions) {
  const auto ruleset = Parse(
      "[fragments]\nname = 'pass%{end}'\nend = 'word|wd'\n[[rules]]\nid = \"one\"\nregex = '(?:%{name})=([a-z]{4})'\n");
  ASSERT_THAT(ruleset, IsOk());
  EXPECT_EQ(ruleset->rules()[0].regex, "(?:password|wd)=([a-z]{4})");
  EXPECT_THAT(ruleset->warnings(), IsEmpty());
  // Without fragments it is an expression like any other.
  EXPECT_EQ(Parse(OneRule("regex = 'a%{b}c'"))->rules()[0].regex, "a%{b}c");
  EXPECT_THAT(Parse("[fragments]\na = 'x'\n" + OneRule("regex = '%{b}ccc'")),
              FailsWith(kInvalid, HasSubstr("regex: there is no fragment b")));
  EXPECT_THAT(Parse("[fragments]\na = '%{b}'\nb = '%{a}'\n"), FailsWith(kInvalid, HasSubstr("fragments: a names one")));
  EXPECT_THAT(Parse("[fragments]\na = 1\n"), FailsWith(kInvalid, HasSubstr("must be strings")));
  std::string bomb = "[fragments]\na0 = '" + std::string(4096, 'x') + "'\n";
  for (int i = 1; i < 30; ++i) {
    const std::string before = "%{a" + std::to_string(i - 1) + "}";
    bomb += "a" + std::to_string(i) + " = '" + before + before + "'\n";
  }
  EXPECT_THAT(Parse(bomb), FailsWith(kInvalid, HasSubstr("is too long")));
}

TEST(Ruleset, TheKeyChangesWithWhatAScanFindsAndWithNothingElse) {
  const auto key = [](const std::string& fields) {
    const auto ruleset = Parse(OneRule(fields));
    EXPECT_THAT(ruleset, IsOk());
    return ruleset->rules()[0].key;
  };
  const uint64_t base = key("regex = '(abc)'");
  EXPECT_NE(base, key("regex = '(abd)'"));
  EXPECT_NE(base, key("regex = '(abc)'\nkeywords = ['k']"));
  EXPECT_NE(base, key("regex = '(abc)'\nsecretGroup = 1"));
  EXPECT_NE(base, key("regex = '(abc)'\nchecksum = 'bech32'"));
  EXPECT_NE(base, key("regex = '(abc)'\nstructure = 'jwt'"));
  EXPECT_NE(base, key("regex = '(abc)'\nanchor = 'a'\nspan_bytes = 10"));
  EXPECT_NE(base, key("regex = '(abc)'\n[[rules.allowlists]]\nstopwords = ['x']"));
  EXPECT_EQ(base, key("regex = '(abc)'\nentropy = 3\nconfidence = 0.1\nseverity = 'low'\ndescription = 'd'"));
  EXPECT_EQ(base, key("regex = '(abc)'\npath = 'x'\n[[rules.allowlists]]\npaths = ['y']"));
}

TEST(Ruleset, TheIdChangesWithWhatAReportShows) {
  const auto id = [](const std::string& fields) { return Parse(OneRule(fields))->id(); };
  EXPECT_EQ(id("regex = 'a'"), id("regex = 'a'\nexamples = ['x']"));
  EXPECT_NE(id("regex = 'a'"), id("regex = 'a'\nentropy = 3"));
  EXPECT_NE(id("regex = 'a'"), id("regex = 'a'\nseverity = 'low'"));
  EXPECT_NE(id("regex = 'a'"), id("regex = 'a'\n[[rules.allowlists]]\npaths = ['y']"));
}

class ExtendTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = dir_.path() / name;
    std::ofstream(path) << text;
    return path.string();
  }
  TempDir dir_;
};

TEST_F(ExtendTest, OverridesAndConcatenatesAsGitleaksDoes) {
  Write("base.toml", OneRule("regex = '(a)(b)'\nkeywords = ['k']\ntags = ['t']\nentropy = 3") +
                         "[[rules]]\nid = 'two'\nregex = 'b'\n");
  const std::string top = Write("top.toml",
                                "[extend]\npath = 'base.toml'\ndisabledRules = ['two']\n" +
                                    OneRule("secretGroup = 2\nkeywords = ['l']\nentropy = 4"));
  const auto ruleset = Ruleset::Load(top);
  ASSERT_THAT(ruleset, IsOk());
  ASSERT_EQ(ruleset->rules().size(), 1u);
  const Rule& rule = ruleset->rules()[0];
  EXPECT_EQ(rule.regex, "(a)(b)");
  EXPECT_EQ(rule.secret_group, 2);
  EXPECT_EQ(rule.min_entropy, 4);
  EXPECT_THAT(rule.keywords, ElementsAre("k", "l"));
  EXPECT_THAT(rule.tags, ElementsAre("t"));
}

TEST_F(ExtendTest, UseDefaultMeansTheBuiltinRules) {
  const std::string top = Write("top.toml", "[extend]\nuseDefault = true\n" + OneRule("regex = 'zzz'"));
  const auto ruleset = Ruleset::Load(top);
  ASSERT_THAT(ruleset, IsOk());
  EXPECT_EQ(ruleset->rules().size(), Ruleset::Builtin()->rules().size() + 1);
}

TEST_F(ExtendTest, DepthIsLimitedAndCyclesEnd) {
  const std::string self = Write("self.toml", "[extend]\npath = 'self.toml'\n");
  EXPECT_THAT(Ruleset::Load(self), FailsWith(kInvalid, HasSubstr("deep")));
  EXPECT_THAT(Ruleset::Load((dir_.path() / "absent.toml").string()),
              FailsWith(absl::StatusCode::kNotFound, HasSubstr("absent.toml")));
}

// Whoever extends the program's rules under an id that is a keyword rule's there means what is written, and nothing else.
TEST(Ruleset, AnExpressionTakesThePlaceOfNamesAndNamesThatOfAnExpression) {
  const auto by_expression = Ruleset::Parse(
      "[extend]\nuseDefault = true\n[[rules]]\nid = 'abstract-api-key'\nregex = 'abs_([0-9]{9})'\n", "t");
  ASSERT_THAT(by_expression, IsOk());
  const Rule* rule = by_expression->FindById("abstract-api-key");
  EXPECT_EQ(rule->regex, "abs_([0-9]{9})");
  EXPECT_THAT(rule->names, IsEmpty());
  EXPECT_THAT(rule->values, IsEmpty());
  const auto by_name = Ruleset::Parse(
      "[extend]\nuseDefault = true\n[[rules]]\nid = 'github-pat'\nnames = ['acme forge']\nvalues = ['{hex:9}']\n", "t");
  ASSERT_THAT(by_name, IsOk());
  rule = by_name->FindById("github-pat");
  EXPECT_THAT(rule->names, testing::ElementsAre("acme forge"));
  EXPECT_THAT(rule->values, testing::ElementsAre("{hex:9}"));
  EXPECT_THAT(Ruleset::Parse("[[rules]]\nid = 'x'\nnames = ['acme forge']\n", "t"),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("go together")));
  EXPECT_THAT(Ruleset::Parse("[[rules]]\nid = 'x'\nregex = 'abc'\nnames = ['acme forge']\nvalues = ['{hex:9}']\n", "t"),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("in place of regex")));
}

}  // namespace
}  // namespace unsprawl
