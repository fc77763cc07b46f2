#include "engine/match/hs_database.h"

#include <gtest/gtest.h>
#include <re2/re2.h>

#include <fstream>

#include "engine/match/hs_pattern.h"
#include "engine/match/literal.h"
#include "engine/match/patterns.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

HsPattern Translate(std::string_view regex, bool lines = true) {
  ByteSets sets;
  auto pattern = TranslateForHyperscan(regex, lines, sets);
  EXPECT_THAT(pattern, IsOk()) << regex;
  return pattern.ok() ? *std::move(pattern) : HsPattern();
}

// One translated regex, compiled on its own.
class Compiled {
 public:
  explicit Compiled(const HsPattern& pattern) {
    std::optional<size_t> refused;
    const unsigned flags = pattern.line_anchors ? HS_FLAG_MULTILINE : 0;
    const HsExpression expression{pattern.expression, flags, 0};
    auto database = CompileDatabase({&expression, 1}, &refused);
    // Hyperscan refuses what has become of "a\\n" when its newline is taken out: it finds nothing.
    if (!database.ok() && std::string(database.status().message()).ends_with("never match.")) return;
    EXPECT_THAT(database, IsOk()) << pattern.expression;
    database_ = *std::move(database);
    GrowScratch(database_.get(), &scratch_);
  }

  bool Finds(std::string_view text) const {
    bool found = false;
    const auto on_match = [](unsigned, unsigned long long, unsigned long long, unsigned, void* flag) {
      *static_cast<bool*>(flag) = true;
      return 0;
    };
    if (database_ == nullptr) return false;
    EXPECT_EQ(hs_scan(database_.get(), text.data(), static_cast<unsigned>(text.size()), 0,
                      scratch_.get(), on_match, &found), HS_SUCCESS);
    return found;
  }

 private:
  HsDatabase database_;
  HsScratch scratch_;
};

bool Finds(const HsPattern& pattern, std::string_view text) { return Compiled(pattern).Finds(text); }

TEST(TranslateForHyperscan, GivesEveryAtomTheBytesThatRe2GivesIt) {
  for (const char* atom :
       {"a", "\\.", "\\d", "\\D", "\\w", "\\W", "\\s", "\\S", ".", "(?s).", "[abc]", "[^abc]", "[]a]",
        "[^]a]", "[a\\]b]", "[\\s\\S]", "[^\\s]", "[[:alpha:]_]", "[[:^digit:]]", "[\\x00-\\x1f]", "\\x41",
        "\\x{e9}", "\\101", "\\t", "\\v", "\\pL", "\\p{Lu}", "\\PN", "\\p{^Greek}", "[\\pL\\d]", "(?i)k",
        "(?i)[^k]", "(?i)\\xe9", "(?i)[\xc0-\xc8]", "\xe9", "\\C", "{", "}", "]", "a{1}", "(?P<n>a)",
        "(?:a|b)", "(?i:a)", "(?-i)a", "\\Qa\\E", "(?U)a+", "a??b", "-", "[a-]", "[\\-a]", "[a^]", "#", "/", "~"}) {
    RE2::Options options(RE2::Latin1);
    const RE2 re(atom, options);
    ASSERT_TRUE(re.ok()) << atom;
    const HsPattern pattern = Translate(std::string(atom), false);
    const Compiled compiled(pattern);
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      EXPECT_EQ(compiled.Finds({&c, 1}), RE2::PartialMatch(re2::StringPiece(&c, 1), re))
          << atom << " as " << pattern.expression << ", byte " << byte;
    }
  }
}

TEST(TranslateForHyperscan, TakesTheNewlineOutOfEveryAtomOfALine) {
  for (const char* regex : {"a[^x]", "a\\s", "a\\W", "a\\D", "a[\\s;]", "a(?s).", "a\\n", "a[\\s\\S]"}) {
    EXPECT_TRUE(Finds(Translate(regex, false), "a\n")) << regex;
    EXPECT_FALSE(Finds(Translate(regex, true), "a\n")) << regex;
  }
}

TEST(TranslateForHyperscan, TellsANewlineThatIsNamedFromOneThatIsMerelyAmongOthers) {
  for (const char* regex : {"[^x]", "\\s", "\\W", "\\D", "[\\s;]", "[\\W_]", "[[:space:]]", ".", "a{2}", "[^ -~]"}) {
    EXPECT_FALSE(Translate(regex).names_newline) << regex;
  }
  for (const char* regex : {"\\n", "\n", "[\\r\\n]", "[\n]", "(?s).", "[\\s\\S]", "[\\x00-\\x7f]", "\\x0a", "\\x{A}",
                            "\\012", "[\\012]", "\\C", "(?s:a.)", "(?i)(?s).", "\\Q\n\\E", "[\\s\\n]"}) {
    EXPECT_TRUE(Translate(regex).names_newline) << regex;
  }
  EXPECT_FALSE(Translate("(?s:a).").names_newline);
}

TEST(TranslateForHyperscan, TellsAnchorsOfLinesFromAnchorsOfTheText) {
  for (const char* regex : {"(?m)^a", "(?m)a$", "(?im)^a", "(?m:^)a"}) {
    EXPECT_TRUE(Translate(regex).line_anchors) << regex;
    EXPECT_FALSE(Translate(regex).text_anchors) << regex;
  }
  for (const char* regex : {"^a", "a$", "\\Aa", "a\\z", "(?m)a\\z", "(?m:b)^", "(?m)(?-m)a$"}) {
    EXPECT_TRUE(Translate(regex).text_anchors) << regex;
  }
  EXPECT_FALSE(Finds(Translate("a$"), "a\n"));  // As in RE2, unlike PCRE.
  EXPECT_TRUE(Finds(Translate("a$"), "a"));
  EXPECT_TRUE(Finds(Translate("(?m)a$"), "a\nb"));
  EXPECT_TRUE(Finds(Translate("(?m)^b"), "a\nb"));
}

TEST(TranslateForHyperscan, ReadsBracesAsRe2Does) {
  for (const char* literal : {"a{01}", "a{1,02}", "a{,2}", "a{}", "a{1"}) {
    EXPECT_TRUE(Finds(Translate(literal), literal)) << literal;
    EXPECT_FALSE(Finds(Translate(literal), "aa")) << literal;
  }
}

TEST(TranslateForHyperscan, TakesARepeatBehindFlagsForOneOfTheRepeated) {
  EXPECT_TRUE(Finds(Translate("xa+(?i)?y"), "xy"));
  EXPECT_TRUE(Finds(Translate("x(?:ab){2}(?s){2}y"), "xababababy"));
  EXPECT_FALSE(Finds(Translate("x(?:ab){2}(?s){2}y"), "xababy"));
}

TEST(RequiredLiterals, ProvesALiteralWhereEveryMatchHasOne) {
  EXPECT_TRUE(RuleHasLiteral("\\b(ghp_[0-9A-Za-z]{36})\\b"));
  EXPECT_TRUE(RuleHasLiteral("(?i)(?:heroku|salesforce).{0,20}[0-9a-f]{8}"));
  EXPECT_TRUE(RuleHasLiteral("[A-Z]{3}secret"));
  EXPECT_FALSE(RuleHasLiteral("\\b[0-9a-f]{40}\\b"));
  EXPECT_FALSE(RuleHasLiteral("(?:secret|[0-9a-f]{40})"));
  EXPECT_FALSE(RuleHasLiteral("sk_[0-9]?a{0,9}|pk"));
  EXPECT_FALSE(RuleHasLiteral("(?:secret)?[0-9]{4}"));
  EXPECT_FALSE(RuleHasLiteral("(unbalanced"));
  EXPECT_EQ(RequiredLiterals("(?i)AKIA[A-Z]{4}"), std::vector<std::string>{"akia"});
}

Rule MakeRule(std::string id, std::string regex, std::string anchor = "") {
  Rule rule;
  rule.id = std::move(id), rule.regex = std::move(regex), rule.anchor = std::move(anchor);
  return rule;
}

TEST(CompilePatterns, SortsRulesByWhatTheySee) {
  const std::vector<Rule> rules = {
      MakeRule("line", "key=([^\"]{4,8})"), MakeRule("wide", "a\\nb"), MakeRule("end", "abc$"),
      MakeRule("span", "BEGIN[^#]+#", "BEG[A-Z]{2}"), MakeRule("open", "key=[a-z]+")};
  std::vector<const Rule*> list;
  for (const Rule& rule : rules) list.push_back(&rule);
  const auto patterns = CompilePatterns(list);
  ASSERT_THAT(patterns, IsOk());
  using Kind = RuleScan::Kind;
  const Kind kinds[] = {Kind::kLine, Kind::kWide, Kind::kWide, Kind::kSpan, Kind::kLine};
  const uint32_t widths[][2] = {{8, 12}, {3, 3}, {3, 3}, {5, 5}, {5, UINT32_MAX}};
  for (size_t i = 0; i < rules.size(); ++i) {
    EXPECT_EQ(patterns->scans[i].kind, kinds[i]) << rules[i].id;
    EXPECT_EQ(patterns->scans[i].min_bytes, widths[i][0]) << rules[i].id;
    EXPECT_EQ(patterns->scans[i].max_bytes, widths[i][1]) << rules[i].id;
  }
}

TEST(CompilePatterns, NamesTheRuleItRefuses) {
  using absl::StatusCode;
  using testing::AllOf;
  using testing::HasSubstr;
  const auto refuse = [](Rule rule) { return CompilePatterns({&rule}).status(); };
  EXPECT_THAT(refuse(MakeRule("r1", "a(")), FailsWith(StatusCode::kInvalidArgument, HasSubstr("rule r1")));
  EXPECT_THAT(refuse(MakeRule("r2", "a*")),
              FailsWith(StatusCode::kInvalidArgument, AllOf(HasSubstr("rule r2"), HasSubstr("empty string"))));
  EXPECT_THAT(refuse(MakeRule("r3", "ab", "a\\n")),
              FailsWith(StatusCode::kInvalidArgument, AllOf(HasSubstr("rule r3: anchor"), HasSubstr("line"))));
  EXPECT_THAT(refuse(MakeRule("r4", "a(", "abc")), FailsWith(StatusCode::kInvalidArgument, HasSubstr("rule r4")));
}

class PatternsFile : public testing::Test {
 protected:
  PatternsFile() : rules_({MakeRule("line", "key=([^\"]{4,8})"), MakeRule("wide", "a\\nb")}) {
    for (const Rule& rule : rules_) list_.push_back(&rule);
    key_ = PatternsKey(list_);
  }
  std::filesystem::path File() const { return dir_.path() / "cache" / (key_ + ".hs"); }
  std::string Read() const {
    std::ifstream in(File(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void Write(std::string_view bytes) const {
    std::ofstream(File(), std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  bool Loads() const { return LoadPatterns(dir_.path() / "cache", key_, 2).has_value(); }

  const std::vector<Rule> rules_;
  std::vector<const Rule*> list_;
  std::string key_;
  TempDir dir_;
};

TEST_F(PatternsFile, ReadsBackWhatWasSavedAndNothingElse) {
  EXPECT_FALSE(Loads());
  auto patterns = CompilePatterns(list_);
  ASSERT_THAT(patterns, IsOk());
  SavePatterns(*patterns, dir_.path() / "cache", key_);
  ASSERT_TRUE(Loads());
  EXPECT_FALSE(LoadPatterns(dir_.path() / "cache", key_, 3).has_value());
  const auto loaded = LoadPatterns(dir_.path() / "cache", key_, 2);
  EXPECT_EQ(SerializeDatabase(*loaded->lines), SerializeDatabase(*patterns->lines));
  EXPECT_EQ(SerializeDatabase(*loaded->wide), SerializeDatabase(*patterns->wide));
  EXPECT_EQ(loaded->scans[0].max_bytes, patterns->scans[0].max_bytes);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_.path() / "cache"), {}), 1);
}

TEST_F(PatternsFile, RefusesEveryTruncationAndFlippedBit) {
  auto patterns = CompilePatterns(list_);
  ASSERT_THAT(patterns, IsOk());
  SavePatterns(*patterns, dir_.path() / "cache", key_);
  const std::string whole = Read();
  ASSERT_GT(whole.size(), 100u);
  for (size_t length = 0; length < whole.size(); length += 1 + length / 16) {
    Write(std::string_view(whole).substr(0, length));
    EXPECT_FALSE(Loads()) << length;
  }
  for (size_t at = 0; at < whole.size(); at += 1 + at / 16) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
    Write(flipped);
    EXPECT_FALSE(Loads()) << at;
  }
  Write(whole + "x");
  EXPECT_FALSE(Loads());
  Write(whole);
  EXPECT_TRUE(Loads());
}

TEST_F(PatternsFile, HasAnotherKeyForOtherRegexesOrAnotherOrder) {
  EXPECT_EQ(PatternsKey(list_), key_);
  EXPECT_NE(PatternsKey({list_[0]}), key_);
  EXPECT_NE(PatternsKey({list_[1], list_[0]}), key_);
  const Rule moved = MakeRule("line", "", "key=([^\"]{4,8})");
  EXPECT_NE(PatternsKey({&moved, list_[1]}), key_);
}

}  // namespace
}  // namespace unsprawl
