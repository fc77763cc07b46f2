// What is said to be ignored, in repositories and by the operator: the program over repositories made by real git.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"
#include "tests/support/small_organization.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Line(uint32_t seed) { return "t = \"" + FakeGithubToken(seed) + "\""; }

// Commits as somebody else.
std::string CommitAs(GitRepo& repo, const std::string& name) {
  repo.Git({"config", "user.name", name});
  repo.Git({"config", "user.email", name + "@example.com"});
  return repo.Commit();
}

// Of each place that is reported, by path: the `suppressed` of its row; null where it has none.
std::map<std::string, json> Places(const Cli& cli) {
  std::map<std::string, json> places;
  for (const json& row : cli.Rows("occurrences.jsonl")) {
    places[row["path"]] = row.contains("suppressed") ? row["suppressed"] : json();
  }
  return places;
}

class IgnoresTest : public testing::Test {
 protected:
  // inline.py says so itself; named.py is named by a line of Bo's; plain.py is not ignored. Line 2 each.
  IgnoresTest() {
    repo_.Write("inline.py", "#\n" + Line(1) + "  # gitleaks:allow\n");
    inline_ = CommitAs(repo_, "ann");
    repo_.Write("named.py", "#\n" + Line(2) + "\n");
    named_ = CommitAs(repo_, "ann");
    repo_.Write("plain.py", "#\n" + Line(3) + "\n");
    repo_.Write(".gitleaksignore", "# mine\nelsewhere.py:github-pat:2\n");
    CommitAs(repo_, "ann");
    repo_.Write(".gitleaksignore", "# mine\nelsewhere.py:github-pat:2\nnamed.py:github-pat:2\n");
    ignored_ = CommitAs(repo_, "bo");
    repo_.Write("README", "later\n");
    CommitAs(repo_, "cy");
  }
  std::string Write(const std::string& name, const std::string& text) {
    WriteFile(home_.path() / name, text);
    return home_.path() / name;
  }
  CliResult Scan(std::vector<std::string> arguments) {
    arguments.push_back(repo_.path());
    return cli_.Scan(arguments);
  }
  std::set<std::string> Paths() {
    std::set<std::string> paths;
    for (const auto& [path, suppressed] : Places(cli_)) paths.insert(path);
    return paths;
  }
  json Finding(const std::string& file, uint32_t line, const std::string& secret, const std::string& commit = "") {
    return {{"RuleID", "github-pat"}, {"Description", ""}, {"StartLine", line}, {"EndLine", line}, {"Match", secret},
            {"Secret", secret}, {"File", file}, {"SymlinkFile", ""}, {"Commit", commit}, {"Entropy", 4.5}};
  }

  TempDir home_, repos_;
  Cli cli_{home_.path()};
  GitRepo repo_{repos_.path() / "app"};
  std::string inline_, named_, ignored_;
};

using Set = std::set<std::string>;

TEST_F(IgnoresTest, WhatARepositorySaysIsReportedWithWhoSaidIt) {
  const CliResult scan = Scan({});
  EXPECT_EQ(scan.exit_code, 1) << scan.err;
  const std::map<std::string, json> places = Places(cli_);
  ASSERT_EQ(Paths(), (Set{"inline.py", "named.py", "plain.py"}));
  EXPECT_TRUE(places.at("plain.py").is_null());
  EXPECT_EQ(places.at("inline.py"), (json{{"by", "gitleaks:allow"}, {"author", "ann"}, {"email", "ann@example.com"},
                                          {"commit", inline_}}));
  EXPECT_EQ(places.at("named.py"), (json{{"by", ".gitleaksignore"}, {"author", "bo"}, {"email", "bo@example.com"},
                                         {"commit", ignored_}}));
  EXPECT_THAT(scan.out, HasSubstr("2 places carry an ignore inside their repository"));
  EXPECT_THAT(ReadFile(cli_.report() / "report.html"), HasSubstr("to be ignored: .gitleaksignore, by bo"));
}

TEST_F(IgnoresTest, FailOnCountsWhatIsAnnotatedAndNotWhatIsHidden) {
  repo_.Remove("plain.py");
  CommitAs(repo_, "cy");
  const std::string plain = Write("ignored", "plain.py:github-pat:2\n");
  EXPECT_EQ(Scan({"-i", plain}).exit_code, 1) << "annotated ones";
  EXPECT_EQ(Scan({"-i", plain, "--trust-repo-ignores"}).exit_code, 0);
  EXPECT_THAT(cli_.Rows("incidents.jsonl"), IsEmpty());
  EXPECT_EQ(cli_.Json("manifest.json")["results"]["places_hidden"],
            (json{{"inline", 1}, {"ignore_file", 1}, {"operator_ignore", 1}, {"baseline", 0}}));
  // Shown again, it is neither new nor reopened.
  const CliResult again = Scan({"--fail-on=new"});
  EXPECT_EQ(again.exit_code, 0) << again.out;
  EXPECT_THAT(again.out, HasSubstr("0 new, 0 reopened, 0 removed"));
}

TEST_F(IgnoresTest, TheOperatorsFileHidesByRulePathLineAndCommit) {
  const std::string file = Write("ignored", absl::StrFormat("%s:plain.py:github-pat:2\n%s:named.py:github-pat:2\n"
                                                            "inline.py:no-such-rule:2\n", named_, named_));
  const std::string more = Write("more", "inline.py:github-pat:2\n");
  for (const char* const option : {"-i", "--ignore-file", "--gitleaks-ignore-path"}) {
    const CliResult scan = Scan({option, file, "--ignore-file", more});
    EXPECT_EQ(Paths(), (Set{"plain.py"})) << "of another commit";
    EXPECT_THAT(scan.out, HasSubstr("2 places hidden by --ignore-file, 0 by --baseline-path"));
    EXPECT_THAT(scan.out, HasSubstr("Warning: 1 entry of --ignore-file names no rule"));
  }
}

TEST_F(IgnoresTest, ABaselineOfGitleaksHidesWithValuesAndWithout) {
  const json values = {Finding("plain.py", 77, FakeGithubToken(3)), Finding("named.py", 2, FakeGithubToken(3))};
  Scan({"--baseline-path", Write("values.json", values.dump(1))});
  EXPECT_EQ(Paths(), (Set{"inline.py", "named.py"}));
  const json redacted = {Finding("plain.py", 2, "REDACTED"), Finding("named.py", 2, "REDACTED", inline_),
                         Finding("inline.py", 2, "ghp_...", inline_)};
  const CliResult scan = Scan({"--baseline-path", Write("redacted.json", redacted.dump(1))});
  EXPECT_EQ(Paths(), (Set{"named.py"}));
  EXPECT_THAT(scan.out, HasSubstr("0 places hidden by --ignore-file, 2 by --baseline-path"));
  for (const auto& [name, text] : cli_.WholeReportFiles()) EXPECT_THAT(text, Not(HasSubstr(FakeGithubToken(3)))) << name;
}

TEST_F(IgnoresTest, AReportOfOursIsABaselineAndOnlyWhatIsNewFails) {
  Scan({});
  std::filesystem::copy(cli_.report(), home_.path() / "before");
  EXPECT_EQ(Scan({"--baseline-path", home_.path() / "before"}).exit_code, 0);
  EXPECT_THAT(Paths(), IsEmpty());
  repo_.Write("new.py", Line(4) + "\n");
  repo_.Write("copy.py", Line(3) + "\n");
  CommitAs(repo_, "cy");
  EXPECT_EQ(Scan({"--baseline-path", home_.path() / "before/incidents.jsonl"}).exit_code, 1);
  EXPECT_EQ(Paths(), (Set{"new.py"})) << "an incident is covered wherever it lies";
}

TEST_F(IgnoresTest, WhatCannotBeReadIsSaidBeforeAnythingIsScanned) {
  const std::vector<std::vector<std::string>> wrong = {
      {"-i", home_.path() / "nothing"}, {"--baseline-path", home_.path() / "nothing"},
      {"-i", Write("bad", "\nno entry\n")}, {"--baseline-path", Write("bad.json", "[\n{]")}};
  for (const std::vector<std::string>& arguments : wrong) {
    const CliResult scan = Scan(arguments);
    EXPECT_EQ(scan.exit_code, 2);
    EXPECT_THAT(scan.err, HasSubstr(arguments[1]));
    EXPECT_FALSE(std::filesystem::exists(cli_.report()));
    EXPECT_FALSE(std::filesystem::exists(home_.path() / ".local/state/unsprawl/store"));
  }
  EXPECT_THAT(Scan(wrong[2]).err, HasSubstr("bad:2: "));
  EXPECT_THAT(Scan(wrong[3]).err, HasSubstr("bad.json:2: "));
  const CliResult there = Scan({"--coordinator", "127.0.0.1:1", "-i", home_.path() / "bad"});
  EXPECT_EQ(there.exit_code, 2);
  EXPECT_THAT(there.err, HasSubstr("--ignore-file is decided where"));
}

// Also with workers: tests/CMakeLists.txt.
class OrganizationIgnoresTest : public SmallOrganization {};

TEST_F(OrganizationIgnoresTest, EachRepositorysIgnoresAreItsOwn) {
  GitRepo repo(home_.path() / "work" / "more");
  repo.Write("s.env", "#\n" + Line(7) + " # unsprawl:allow\n" + Line(8) + "\n");
  CommitAs(repo, "ann");
  repo.Write(".gitleaksignore", "s.env:github-pat:1\ns.env:github-pat:3\n");
  CommitAs(repo, "bo");
  unsprawl::Run(home_.path(), {"git", "clone", "-q", "--bare", repo.path(), home_.path() / "more.git"});
  json settings = Settings();
  settings["repositories"].push_back({{"id", 200}, {"owner", "acme"}, {"name", "more"}, {"private", true},
                                      {"path", home_.path() / "more.git"}});
  const ForgeServer forge(settings);
  const auto scan = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--ca-file", forge.CaFile(), "github:acme"});
    return Scan(forge, arguments);
  };
  const auto rows = [&] {
    std::vector<std::string> text;
    for (const json& row : cli_.Rows("occurrences.jsonl")) {
      const std::string name = row["repository"];
      text.push_back(absl::StrFormat("%s:%d %s %s", name.substr(name.rfind('/') + 1), row["start_line"].get<int>(),
                                     row.contains("suppressed") ? row["suppressed"]["by"].get<std::string>() : "-",
                                     row.contains("suppressed") ? row["suppressed"]["author"].get<std::string>() : "-"));
    }
    std::sort(text.begin(), text.end());
    return text;
  };
  EXPECT_EQ(scan({}).exit_code, 1);
  EXPECT_THAT(rows(), ElementsAre("app0:1 - -", "app1:1 - -", "app2:1 - -", "more:2 gitleaks:allow ann",
                                  "more:3 .gitleaksignore bo"));
  WriteFile(home_.path() / "ignored", "s.env:github-pat:1\n");
  EXPECT_EQ(scan({"--trust-repo-ignores", "-i", home_.path() / "ignored"}).exit_code, 0);
  EXPECT_THAT(rows(), IsEmpty());
  EXPECT_EQ(cli_.Json("manifest.json")["results"]["places_hidden"],
            (json{{"inline", 1}, {"ignore_file", 1}, {"operator_ignore", 3}, {"baseline", 0}}));
}

}  // namespace
}  // namespace unsprawl
