// `unsprawl explain` and `unsprawl rules test`: what they say, and that they never say a value.
#include "coordinator/explain.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "coordinator/example_text.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;
using testing::Not;

class ExplainTest : public testing::Test {
 protected:
  std::string Explain(const std::string& text, const ExplainOptions& options = {}) {
    std::ostringstream out;
    shown_ = ExplainText(Rules(), "src/app.py", text, options, out);
    return out.str();
  }
  static const Detector& Rules() {
    static const Ruleset* const ruleset = new Ruleset(Ruleset::Builtin().value());
    static const Detector* const detector = Detector::Create(*ruleset, {}, {}).value().release();
    return *detector;
  }
  int shown_ = 0;
};

TEST_F(ExplainTest, SaysWhatCountedAndNeverTheValue) {
  const std::string value = ExpandExample("{b62:32}", 7).value();
  const std::string said = Explain("x = 1\napi_key = \"" + value + "\"\n");
  EXPECT_EQ(shown_, 1);
  EXPECT_THAT(said, HasSubstr("src/app.py:2:12  generic-secret  0.60  reported"));
  EXPECT_THAT(said, HasSubstr("assigned to api_key"));
  EXPECT_THAT(said, HasSubstr("0.60  the rule"));
  EXPECT_THAT(said, Not(HasSubstr(value)));
}

TEST_F(ExplainTest, SaysWhySomethingIsNotReported) {
  EXPECT_THAT(Explain("password = \"changeme\"\n"), HasSubstr("a placeholder"));
  EXPECT_EQ(shown_, 0);
  EXPECT_THAT(Explain("password = os.environ['X']; token = \"${TOKEN_VALUE}\"\n"), HasSubstr("names a variable"));
  const std::string value = ExpandExample("ghp_{b62:36}", 3).value();
  EXPECT_THAT(Explain("t = '" + value + "'\n"), HasSubstr("its checksum is wrong"));
}

TEST_F(ExplainTest, NamesTheRuleThatIsBetter) {
  const std::string value = ExpandExample("{hex:32}", 7).value();
  const std::string said = Explain("abstract_api_key = \"" + value + "\"\n");
  EXPECT_THAT(said, HasSubstr("abstract-api-key"));
  EXPECT_THAT(said, HasSubstr("generic-secret  0.60  not reported: abstract-api-key names it better"));
  EXPECT_EQ(shown_, 1);
}

TEST_F(ExplainTest, OneLineAloneAndInShort) {
  const std::string text = ExpandExample("password = \"{pw}\"\nsecret = \"{b62:30}\"\n", 5).value();
  const std::string second = Explain(text, {.line = 2});
  EXPECT_THAT(second, HasSubstr(":2:"));
  EXPECT_THAT(second, Not(HasSubstr(":1:")));
  const std::string brief = Explain(text, {.steps = false});
  EXPECT_EQ(std::count(brief.begin(), brief.end(), '\n'), 2);
}

TEST_F(ExplainTest, WalksFoldersAndLeavesOutGit) {
  const std::filesystem::path dir = std::filesystem::path(testing::TempDir()) / "explain_test";
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir / "a/.git");
  const std::string text = ExpandExample("password = \"{pw}\"\n", 5).value();
  for (const char* name : {"a/.git/config", "a/x.py", "b.py"}) std::ofstream(dir / name) << text;
  std::ostringstream out;
  const auto shown = ExplainFiles(Rules(), {dir.string()}, {.steps = false}, out);
  ASSERT_THAT(shown, IsOk());
  EXPECT_EQ(*shown, 2);
  EXPECT_THAT(out.str(), Not(HasSubstr(".git")));
  EXPECT_THAT(ExplainFiles(Rules(), {(dir / "none").string()}, {}, out),
              FailsWith(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST_F(ExplainTest, AnyBytesAreFine) {
  EXPECT_EQ(Explain(""), "");
  EXPECT_EQ(Explain(std::string("\0\xff\x1b[2J", 6)), "");
}

TEST(ExplainPaths, ARuleOfPathsAloneFindsTheFileWhateverIsInIt) {
  const Ruleset ruleset = Ruleset::Parse("[[rules]]\nid = 'file'\nconfidence = 0.9\npath = '\\.p12$'\n", "test").value();
  const auto detector = Detector::Create(ruleset, {}, {}).value();
  std::ostringstream out, none;
  EXPECT_EQ(ExplainText(*detector, "certs/a.p12", "", {}, out), 1);
  EXPECT_THAT(out.str(), HasSubstr("certs/a.p12:1:1  file  0.90  reported"));
  EXPECT_THAT(out.str(), HasSubstr("by its path alone"));
  EXPECT_EQ(ExplainText(*detector, "certs/a.p13", "certs/a.p12", {}, none), 0);
  EXPECT_EQ(none.str(), "");
}

}  // namespace
}  // namespace unsprawl
