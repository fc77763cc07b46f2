// Keyword rules: names, shapes of values, and which value stands beside which name.
#include "engine/match/named.h"

#include <gmock/gmock.h>
#include <re2/re2.h>

#include "engine/match/ruleset_document.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;

std::vector<ValuePattern> Patterns(const std::vector<std::string>& texts) {
  std::vector<ValuePattern> patterns;
  for (const std::string& text : texts) patterns.push_back(ValuePattern::Parse(text).value());
  return patterns;
}

// Whether all of `value` has the shape.
bool Has(const std::string& shape, std::string_view value) { return HasDocumentedShape(value, Patterns({shape})); }

std::optional<size_t> EndOf(const std::string& shape, std::string_view text, size_t start) {
  uint64_t work = 0;
  return ValuePattern::Parse(shape).value().MatchAt(text, start, &work);
}

TEST(ValuePattern, TakesWhatItDescribes) {
  EXPECT_TRUE(Has("key-{hex:8}", "key-0123abcd"));
  EXPECT_FALSE(Has("key-{hex:8}", "key-0123abc"));
  EXPECT_FALSE(Has("key-{hex:8}", "key-0123ABCD"));
  EXPECT_TRUE(Has("{digits:3}:{b62:4-6}", "123:aB3d5"));
  EXPECT_TRUE(Has("{uuid}", "0d2c8e1a-1b2c-4d5e-8f90-a1b2c3d4e5f6"));
  EXPECT_FALSE(Has("{uuid}", "0d2c8e1a1b2c4d5e8f90a1b2c3d4e5f6"));
  EXPECT_TRUE(Has("{b64:6}==", "aB+/c0=="));
  // Pieces that share an alphabet need a second try.
  EXPECT_TRUE(Has("{alnum:2-9}z{digits:2}", "azazaz12"));
}

TEST(ValuePattern, EndsWhereTheWordEnds) {
  EXPECT_EQ(EndOf("{hex:4}", "ab12", 0), 4u);
  EXPECT_EQ(EndOf("{hex:4}", "ab12.", 0), 4u);
  EXPECT_EQ(EndOf("{hex:4}", "ab12c", 0), std::nullopt);
  EXPECT_EQ(EndOf("{hex:4}", "ab12_", 0), std::nullopt);
  EXPECT_EQ(EndOf("{hex:4}", "xab12", 1), std::nullopt);
  EXPECT_EQ(EndOf("{hex:4}", "-ab12", 1), 5u);
  EXPECT_EQ(EndOf("{b64url:4}", "-ab12", 1), std::nullopt);
}

TEST(ValuePattern, AnyIsWhatLooksDrawn) {
  EXPECT_TRUE(ValuePattern::Parse("{any}").value().is_any());
  for (const std::string_view drawn : {"4f9a8c1d77b05e6233aa9d10", "hU7tq0ZpLw3RfK9mXc2v", "Zk3+9fQx/0aLw8sP1Vn7"}) {
    EXPECT_EQ(EndOf("{any}", drawn, 0), drawn.size()) << drawn;
  }
  for (const std::string_view written : {"a_name_of_something_2", "MY2_API_TOKEN_OF_OURS", "short1", "/usr/lib/x86_64/libfoo",
                                         "configuration-value", "11111111111111111111", "aaaaaaaaaaaaaaaaaaaa1"}) {
    EXPECT_EQ(EndOf("{any}", written, 0), std::nullopt) << written;
  }
  EXPECT_EQ(EndOf("{any}", "hU7tq0ZpLw3RfK9mXc2v==\"", 0), 22u);
}

TEST(ValuePattern, RefusesWhatIsNoShape) {
  for (const std::string_view bad : {"", "key", "{hex}", "{hex:0}", "{hex:9-3}", "{what:4}", "{hex:4", "{hex:5000}", "x{any}"}) {
    EXPECT_THAT(ValuePattern::Parse(bad), FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("the value"))) << bad;
  }
}

TEST(NamesExpression, FindsEveryWayToWriteAName) {
  const RE2 re(NamesExpression({"abstract api"}).value(), RE2::Latin1);
  for (const char* text : {"ABSTRACT_API_KEY", "abstractApi", "abstract-api", "Abstract API", "abstract.api", "abstractapi.com"}) {
    EXPECT_TRUE(RE2::PartialMatch(text, re)) << text;
  }
  EXPECT_FALSE(RE2::PartialMatch("abstract the api", re));
}

TEST(NamesExpression, APlusWantsACredentialsWord) {
  const RE2 re(NamesExpression({"line+"}).value(), RE2::Latin1);
  for (const char* text : {"LINE_TOKEN", "lineApiKey", "line-secret", "line access"}) EXPECT_TRUE(RE2::PartialMatch(text, re)) << text;
  for (const char* text : {"line = 3", "line", "line_number", "newline"}) EXPECT_FALSE(RE2::PartialMatch(text, re)) << text;
}

TEST(NamesExpression, RefusesWhatIsNoName) {
  for (const char* bad : {"", "abc", "Abc d", "a  bcd", "a_bcd", " abcd", "a+", "abcd "}) {
    EXPECT_THAT(NamesExpression({bad}), FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("name"))) << bad;
  }
}

TEST(StandsAlone, KnowsWordsFromPartsOfWords) {
  const auto alone = [](std::string_view text, std::string_view name) {
    const size_t at = text.find(name);
    return StandsAlone(text, at, at + name.size());
  };
  EXPECT_TRUE(alone("twilio", "twilio"));
  EXPECT_TRUE(alone("my_twilio_key", "twilio"));
  EXPECT_TRUE(alone("myTwilioKey", "Twilio"));
  EXPECT_TRUE(alone("twiliokey", "twilio"));
  EXPECT_TRUE(alone("TWILIOKEY", "TWILIO"));
  EXPECT_FALSE(alone("mytwilio", "twilio"));
  EXPECT_FALSE(alone("MYTWILIO", "TWILIO"));
  EXPECT_FALSE(alone("coralline", "coral"));
  EXPECT_TRUE(alone("npm_password", "npm_pass"));
}

class NamedValueTest : public testing::Test {
 protected:
  // The value that is found beside "zorg", or "".
  std::string Find(std::string_view content) {
    const size_t at = content.find("zorg");
    uint64_t work = 0;
    found_ = FindNamedValue(content, at, at + 4, target_, &work);
    return found_ ? std::string(content.substr(found_->start, found_->end - found_->start)) : "";
  }
  NamedTarget target_{Patterns({"zk-{hex:6}", "{any}"}), {"api", "key"}};
  std::optional<NamedValue> found_;
};

constexpr std::string_view kDrawn = "hU7tq0ZpLw3RfK9mXc2v";

TEST_F(NamedValueTest, TakesTheFirstOneBehindTheNameInItsLine) {
  EXPECT_EQ(Find("zorg_api_key = \"zk-012abc\", \"zk-999999\""), "zk-012abc");
  EXPECT_TRUE(found_->claim.documented);
  EXPECT_EQ(found_->claim.kind, 2);
  EXPECT_EQ(Find("zorg: " + std::string(kDrawn)), kDrawn);
  EXPECT_FALSE(found_->claim.documented);
}

TEST_F(NamedValueTest, PrefersADocumentedShape) {
  EXPECT_EQ(Find("zorg: " + std::string(kDrawn) + " zk-012abc"), "zk-012abc");
}

TEST_F(NamedValueTest, LooksBeforeTheNameForADocumentedShapeAlone) {
  EXPECT_EQ(Find("curl -u zk-111111:zk-012abc https://zorg.io/v1"), "zk-012abc");
  EXPECT_EQ(Find(std::string(kDrawn) + " is zorg"), "");
}

TEST_F(NamedValueTest, LooksBelowWhereAWordAsksForIt) {
  EXPECT_EQ(Find("zorg:\n  api_key: zk-012abc\n"), "zk-012abc");
  EXPECT_FALSE(found_->claim.same_line);
  EXPECT_EQ(Find("- name: zorg_key\n  value: zk-012abc\n"), "zk-012abc");
  EXPECT_EQ(Find("zorg\nzk-012abc\n"), "");
  EXPECT_EQ(Find("zorg:\na\nb\nc\n  api_key: zk-012abc\n"), "") << "four lines below";
}

TEST_F(NamedValueTest, IsBounded) {
  EXPECT_EQ(Find("zorg" + std::string(kNamedAfterBytes - 5, ' ') + "zk-012abc"), "zk-012abc");
  EXPECT_EQ(Find("zorg" + std::string(kNamedAfterBytes + 5, ' ') + "zk-012abc"), "");
  EXPECT_EQ(Find("zk-012abc" + std::string(kNamedBeforeBytes - 20, ' ') + "zorg"), "zk-012abc");
  EXPECT_EQ(Find("zk-012abc" + std::string(kNamedBeforeBytes + 5, ' ') + "zorg"), "");
}

TEST_F(NamedValueTest, AnyBytesAreFine) {
  for (const std::string& text : {std::string("zorg"), std::string("zorg\0", 5), std::string("zorg\xff\xfe"), std::string("zorg\n"),
                                  std::string("zorg\n\n\n\n"), "zorg" + std::string(5000, 'a'), "zorg " + std::string(5000, '-')}) {
    EXPECT_EQ(Find(text), "");
  }
}

TEST(ServiceTable, ReadsARow) {
  const auto document = ParseServiceTable(
      "# a comment\nacme-api-key\tAcme\tsaas\tAPI key\thigh\tacme app,acme+\tak_{hex:8},{any}\tguess\thttps://acme.org/docs\n", "t.tsv");
  ASSERT_THAT(document, IsOk());
  ASSERT_EQ(document->rules.size(), 1u);
  const Rule& rule = document->rules[0];
  EXPECT_EQ(rule.id, "acme-api-key");
  EXPECT_EQ(rule.rule_class, RuleClass::kKeyword);
  EXPECT_EQ(rule.severity, Severity::kHigh);
  EXPECT_EQ(rule.values.size(), 2u);
  EXPECT_LT(rule.confidence, 0.5);
}

TEST(ServiceTable, NamesLineAndColumnOfWhatIsWrong) {
  const auto refuses = [](const std::string& row, const std::string& words) {
    EXPECT_THAT(ParseServiceTable("\n" + row, "t.tsv"),
                FailsWith(absl::StatusCode::kInvalidArgument, testing::AllOf(HasSubstr("t.tsv:2"), HasSubstr(words))));
  };
  refuses("one\ttwo", "2 columns");
  refuses("a\tA\tsaas\tkey\turgent\tacme\t{any}\tnone\thttps://a", "severity");
  refuses("a\tA\tsaas\tkey\thigh\tab\t{any}\tnone\thttps://a", "names");
  refuses("a\tA\tsaas\tkey\thigh\tacme\t{any}\tmaybe\thttps://a", "source");
  refuses("a\t\tsaas\tkey\thigh\tacme\t{any}\tnone\thttps://a", "provider");
}

}  // namespace
}  // namespace unsprawl
