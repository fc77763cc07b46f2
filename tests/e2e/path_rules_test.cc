// Rules of gitleaks' format that speak of paths and commits, from the outside: over histories made by real git.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/support/cli.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr char kKeyStore[] = "[[rules]]\nid = 'key-store'\ndescription = 'A file of keys'\nconfidence = 0.9\n"
    "path = '''\\.p12$'''\n";
// Found at any path by its regex.
constexpr char kValue[] = "[[rules]]\nid = 'value'\nconfidence = 0.9\nregex = '''val_[0-9a-f]{12}'''\n";

class PathRulesTest : public testing::Test {
 protected:
  CliResult Scan(const std::string& rules, std::vector<std::string> targets) {
    WriteFile(home_.path() / "rules.toml", rules);
    targets.insert(targets.begin(), {"--min-confidence=0", "-c", home_.path() / "rules.toml"});
    return cli_.Scan(targets);
  }
  // "rule path presence" of all rows.
  std::vector<std::string> Found() {
    std::vector<std::string> found;
    for (const nlohmann::json& row : cli_.Rows("occurrences.jsonl")) {
      found.push_back(row["rule"].get<std::string>() + " " + row["path"].get<std::string>() + " " +
                      row["presence"].get<std::string>());
    }
    return found;
  }

  TempDir home_, repos_;
  Cli cli_{home_.path()};
};

TEST_F(PathRulesTest, AFileIsFoundByItsPathWhereverItWasAndWhateverBecameOfIt) {
  GitRepo a(repos_.path() / "a"), b(repos_.path() / "b");
  a.Write("README", "hello\n");
  a.Write("certs/old.p12", "the first");
  const std::string added = a.Commit();
  a.Remove("certs/old.p12");
  const std::string removed = a.Commit();
  a.Write("notes.bin", "the second");
  a.Commit();
  a.Git({"mv", "notes.bin", "notes.p12"});
  a.Commit();
  a.Git({"mv", "notes.p12", "notes.txt"});
  a.Commit();
  b.Write("copy.p12", "the first");
  b.Write("p12", "no such file");
  b.Commit();
  const CliResult scan = Scan(kKeyStore, {a.path(), b.path()});
  EXPECT_EQ(scan.exit_code, 1) << scan.err;
  // A file that has such a path for a while is one that was moved there.
  EXPECT_THAT(Found(), UnorderedElementsAre("key-store certs/old.p12 history", "key-store notes.bin head",
      "key-store copy.p12 head"));
  const auto incidents = cli_.Rows("incidents.jsonl");
  ASSERT_EQ(incidents.size(), 2u) << "one file in two repositories is one incident";
  for (const nlohmann::json& row : cli_.Rows("occurrences.jsonl")) {
    EXPECT_EQ(row["start_line"], 1);
    if (row["path"] != "certs/old.p12") continue;
    EXPECT_EQ(row["commit"], added);
    EXPECT_THAT(row.dump(), HasSubstr(removed));
  }
  for (const nlohmann::json& incident : incidents) {
    EXPECT_EQ(incident["confidence"], 0.9) << incident;
    EXPECT_THAT(incident.dump(), HasSubstr("A file of keys"));
  }
  const std::map<std::string, std::string> first = cli_.ReportFiles();
  EXPECT_EQ(Scan(kKeyStore, {a.path(), b.path()}).exit_code, 1);
  EXPECT_EQ(cli_.Json("run.json")["repositories_unchanged"], 2);
  EXPECT_EQ(cli_.ReportFiles(), first);
}

TEST_F(PathRulesTest, ARuleThatCameLaterFindsWhatNothingWasPushedTo) {
  GitRepo repo(repos_.path() / "a");
  repo.Write("a.p12", "x");
  repo.Write("b.txt", "val_7f3c9e10d2ab\n");
  repo.Commit();
  EXPECT_EQ(Scan(kValue, {repo.path()}).exit_code, 1);
  EXPECT_THAT(Found(), ElementsAre("value b.txt head"));
  EXPECT_EQ(Scan(std::string(kValue) + kKeyStore, {repo.path()}).exit_code, 1);
  EXPECT_THAT(Found(), UnorderedElementsAre("value b.txt head", "key-store a.p12 head"));
  EXPECT_EQ(cli_.Json("run.json")["blobs_scanned"], 0) << "no blob has to be read for a path";
  EXPECT_EQ(Scan(std::string(kValue) + "[[rules]]\nid = 'key-store'\npath = '''b\\.'''\n", {repo.path()}).exit_code, 1);
  EXPECT_THAT(Found(), UnorderedElementsAre("value b.txt head", "key-store b.txt head")) << "another path is another rule";
}

TEST_F(PathRulesTest, TwoRulesOfPathsAreToldApartAndAllowlistsHold) {
  GitRepo repo(repos_.path() / "a");
  repo.Write("a.p12", "x");
  repo.Write("vendor/b.p12", "y");
  repo.Commit();
  repo.Write("c.p12", "z");
  const std::string known = repo.Commit();
  const std::string rules = std::string(kKeyStore) + "keywords = []\n[[rules.allowlists]]\npaths = ['^vendor/']\n" +
                            "[[rules.allowlists]]\ncommits = ['" + known + "']\n" +
                            "[[rules]]\nid = 'second'\nconfidence = 0.9\nentropy = 3\npath = '''^[ac]\\.p12$'''\n" +
                            "[[rules]]\nid = 'silent'\nskipReport = true\npath = 'p12'\n";
  EXPECT_EQ(Scan(rules, {repo.path()}).exit_code, 1);
  EXPECT_THAT(Found(), UnorderedElementsAre("key-store a.p12 head", "second a.p12 head", "second c.p12 head"));
}

TEST_F(PathRulesTest, ARuleOfPathsMayBeRequired) {
  GitRepo repo(repos_.path() / "a");
  repo.Write("a.env", "val_7f3c9e10d2ab\n");
  repo.Write("a.txt", "val_7f3c9e10d2ab\n");
  repo.Commit();
  const std::string rules = std::string(kValue) + "[[rules.required]]\nid = 'env'\nwithinLines = 3\n" +
                            "[[rules]]\nid = 'env'\nskipReport = true\npath = '''\\.env$'''\n";
  EXPECT_EQ(Scan(rules, {repo.path()}).exit_code, 1);
  EXPECT_THAT(Found(), ElementsAre("value a.env head"));
}

TEST_F(PathRulesTest, PathsAndCommitsOfAllowlistsAreJudgedPlaceByPlace) {
  GitRepo repo(repos_.path() / "a");
  repo.Write("docs/a.txt", "val_7f3c9e10d2ab\n");
  const std::string first = repo.Commit();
  repo.Write("src/a.txt", "val_7f3c9e10d2ab\n");
  const std::string second = repo.Commit();
  const auto with = [&](const std::string& list) {
    Scan(kValue + list, {repo.path()});
    return Found();
  };
  const std::string both = "value docs/a.txt head", other = "value src/a.txt head";
  EXPECT_THAT(with(""), UnorderedElementsAre(both, other));
  EXPECT_THAT(with("[[allowlists]]\npaths = ['^docs/']\n"), ElementsAre(other));
  EXPECT_THAT(with("[allowlist]\ncommits = ['" + second + "']\n"), ElementsAre(both));
  EXPECT_THAT(with("[[allowlists]]\ncommits = ['" + first + "', '" + second + "']\n"), IsEmpty());
  EXPECT_THAT(with("[[allowlists]]\ncondition = 'AND'\npaths = ['^docs/']\ncommits = ['" + second + "']\n"),
              UnorderedElementsAre(both, other)) << "no place is both";
  EXPECT_THAT(with("[[allowlists]]\ncondition = 'AND'\npaths = ['^docs/']\ncommits = ['" + first +
      "']\nstopwords = ['7f3c']\n"),
              ElementsAre(other));
  EXPECT_THAT(with("[[allowlists]]\ntargetRules = ['another']\npaths = ['^docs/']\n"), UnorderedElementsAre(both, other));
  // Of the rule itself.
  EXPECT_THAT(with("path = '^src/'\n"), ElementsAre(other));
}

// Names that are not text, and one blob under many paths.
TEST_F(PathRulesTest, HostileTreesAreFoundAsTheyAre) {
  GitRepo repo(repos_.path() / "a");
  repo.Write(std::string("\x1b[31m\xff.p12"), "");
  for (int i = 0; i < 300; ++i) repo.Write("many/" + std::to_string(i) + ".p12", "same");
  repo.Commit();
  EXPECT_EQ(Scan(kKeyStore, {repo.path()}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), 301u);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 2u);
  EXPECT_EQ(ReadFile(cli_.report() / "occurrences.jsonl").find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace unsprawl
