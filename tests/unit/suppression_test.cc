// What is to be left out of a report, by whose word, and what the report says of it.
#include "coordinator/report/suppression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "engine/history/ignore_file.h"
#include "tests/support/cli.h"
#include "tests/unit/report_world.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr std::string_view kCommit = "0123456789abcdef0123456789abcdef01234567";

std::vector<std::string> Parsed(std::string_view text, size_t most = 100) {
  std::vector<std::string> rows;
  for (const IgnoreEntry& entry : ParseIgnoreFile(text, most).entries) {
    rows.push_back(absl::StrFormat("%s|%s|%s|%d", entry.commit ? entry.commit->ToHex() : "", std::string(entry.path),
                                   std::string(entry.rule), entry.line));
  }
  return rows;
}

TEST(IgnoreFileTest, IsReadFromTheRight) {
  const std::string hex(kCommit);
  EXPECT_THAT(Parsed("# why\n\na/b.env:github-pat:3\r\n  " + hex + ":c:d.txt:aws-key:12 \t\nx.zip!y:z:r:0"),
              ElementsAre("|a/b.env|github-pat|3", hex + "|c:d.txt|aws-key|12", "|x.zip!y:z|r|0"));
  EXPECT_THAT(Parsed(hex + ":r:1"), ElementsAre("|" + hex + "|r|1")) << "a path that looks like a commit";
  EXPECT_THAT(Parsed(hex.substr(1) + "g:p:r:1"), ElementsAre("|" + hex.substr(1) + "g:p|r|1"));
}

TEST(IgnoreFileTest, WhatIsNoEntryIsPassedOverAndTheFirstOfItNamed) {
  const IgnoreFile file = ParseIgnoreFile("a:r:1\na:r\n:r:1\na::1\na:r:\na:r:x\na:r:-1\na:r:4294967296\na:r:1x\nb:r:2", 100);
  EXPECT_THAT(file.entries, SizeIs(2));
  EXPECT_EQ(file.bad_line, 2u);
  EXPECT_THAT(Parsed(std::string("a\0b:r:1\nc:r:2", 13)), ElementsAre("|c|r|2"));
  EXPECT_THAT(Parsed("a:r:1\nb:r:1\nc:r:1", 2), SizeIs(2));
  EXPECT_THAT(Parsed(""), IsEmpty());
}

TEST(IgnoreFileTest, HostileTextIsReadInNoTime) {
  EXPECT_THAT(Parsed(std::string(1 << 20, ':')), IsEmpty());
  EXPECT_THAT(Parsed(std::string(1 << 20, '\n')), IsEmpty());
  EXPECT_THAT(Parsed(std::string(1 << 20, '\0')), IsEmpty());
  EXPECT_THAT(Parsed(std::string(1 << 20, 'a') + ":r:1"), SizeIs(1));
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "a:r:1\n";
  EXPECT_THAT(Parsed(many, 10'000), SizeIs(10'000));
}

class SuppressionTest : public testing::Test {
 protected:
  SuppressionTest() { keys_.current.bytes.fill(7); }

  v1::Occurrence At(std::string_view path, uint32_t secret = 1, std::string_view rule = "forge-pat") {
    return RowOf(world_.RuleOf(rule), secret, path, CommitRowOf("c1", 1), v1::PRESENCE_HEAD);
  }
  std::string File(std::string_view name, std::string_view text) {
    const std::filesystem::path file = world_.temp.path() / name;
    WriteFile(file, text);
    return file;
  }
  absl::StatusOr<OperatorIgnores> Load(const IgnoreFiles& files) {
    return OperatorIgnores::Load(files, *world_.ruleset, keys_);
  }
  OperatorIgnores Baseline(const std::vector<json>& findings) {
    const std::string file = File("baseline.json", json(findings).dump(1));
    absl::StatusOr<OperatorIgnores> loaded = Load({.ignore_files = {}, .baselines = {file}});
    EXPECT_THAT(loaded, IsOk());
    return *std::move(loaded);
  }
  // As gitleaks writes it.
  static json Finding(const char* rule, const char* file, uint32_t line, const char* secret, const std::string& commit = "") {
    return {{"RuleID", rule}, {"Description", "d"}, {"StartLine", line}, {"Match", "m"}, {"Secret", secret},
            {"File", file}, {"Commit", commit}, {"Tags", json::array()}};
  }
  std::vector<json> Rows(const char* file) {
    std::vector<json> rows;
    for (const std::string& line : LinesOf(world_.File(file))) rows.push_back(json::parse(line));
    return rows;
  }
  // Paths of the places that are reported, and what their rows say of ignores.
  std::map<std::string, std::string> Reported() {
    world_.Write();
    std::map<std::string, std::string> reported;
    for (const json& row : Rows("occurrences.jsonl")) {
      const std::string by = row.contains("suppressed") ? row["suppressed"]["by"].get<std::string>() : "";
      reported[row["path"]] = by;
    }
    return reported;
  }
  json Results() { return json::parse(world_.File("manifest.json"))["results"]; }

  ReportWorld world_;
  KeyRing keys_;
};

using Paths = std::map<std::string, std::string>;

TEST_F(SuppressionTest, WhatARepositoryIgnoresIsReportedWithWhoSaidSo) {
  v1::Occurrence allowed = At("inline");
  allowed.mutable_match()->set_flags(kInlineAllowed);
  v1::Occurrence nowhere = At("dangling");
  nowhere.mutable_match()->set_flags(kInlineAllowed);
  nowhere.clear_commit();
  world_.Repository("a", {allowed, nowhere, At("named"), At("free")},
                    IgnoringAt("named", "forge-pat", 7, CommitRowOf("g1", 3, "Bo Ng", "bo@example.org")));
  EXPECT_EQ(Reported(), (Paths{{"inline", "gitleaks:allow"}, {"dangling", "gitleaks:allow"},
                               {"named", ".gitleaksignore"}, {"free", ""}}));
  for (const json& row : Rows("occurrences.jsonl")) {
    if (row["path"] == "named") {
      EXPECT_EQ(row["suppressed"]["author"], "Bo Ng");
      EXPECT_EQ(row["suppressed"]["email"], "bo@example.org");
      EXPECT_EQ(row["suppressed"]["commit"], ToHex(CommitRowOf("g1", 3).id()));
    } else if (row["path"] == "inline") {
      EXPECT_EQ(row["suppressed"]["author"], "Ann Lee");
    } else if (row["path"] == "dangling") {
      EXPECT_TRUE(row["suppressed"]["author"].is_null());
    }
  }
  EXPECT_EQ(Rows("incidents.jsonl")[0]["suppressed_places"], 3);
  EXPECT_EQ(Results()["suppressed_places"], 3);
  EXPECT_THAT(world_.File("summary.txt"), HasSubstr("3 places carry an ignore inside their repository"));
  EXPECT_THAT(world_.File("report.html"), HasSubstr("to be ignored: .gitleaksignore, by Bo Ng"));
  EXPECT_THAT(world_.File("report.html"), HasSubstr("3 of 4 places, reported all the same"));

  world_.input.trust_repo_ignores = true;
  EXPECT_EQ(Reported(), (Paths{{"free", ""}}));
  EXPECT_EQ(Results()["places_hidden"]["inline"], 2);
  EXPECT_EQ(Results()["places_hidden"]["ignore_file"], 1);
  EXPECT_EQ(Rows("incidents.jsonl")[0]["suppressed_places"], 0);
  EXPECT_THAT(world_.File("summary.txt"), HasSubstr("3 places hidden by ignores inside repositories"));
}

TEST_F(SuppressionTest, AnEntryIsOfOneRuleLineCommitAndRepository) {
  const std::string commit = CommitRowOf("c1", 1).id();
  v1::HeadFacts head = IgnoringAt("other-rule", "mailer-api-key", 7, CommitRowOf("g1", 3));
  const auto ignore = [&](const char* path, uint32_t line, const std::string& of) {
    v1::Ignore& added = *head.add_ignores();
    added.set_path(path), added.set_rule("forge-pat"), added.set_line(line), added.set_commit(of);
  };
  ignore("other-line", 8, "");
  ignore("other-commit", 7, std::string(20, 'x'));
  ignore("commit", 7, commit);
  ignore("moved", 7, "");
  v1::Occurrence moved = At("before");
  moved.add_paths("moved");
  world_.Repository("a", {At("other-rule"), At("other-line"), At("other-commit"), At("commit"), moved}, head);
  world_.Repository("b", {At("elsewhere/commit")}, IgnoringAt("commit", "forge-pat", 7, CommitRowOf("g1", 3)));
  EXPECT_EQ(Reported(), (Paths{{"other-rule", ""}, {"other-line", ""}, {"other-commit", ""},
                               {"commit", ".gitleaksignore"}, {"before", ".gitleaksignore"}, {"elsewhere/commit", ""}}));
  for (const json& row : Rows("occurrences.jsonl")) {
    if (row["path"] == "commit") {
      EXPECT_TRUE(row["suppressed"]["commit"].is_null()) << "not known";
    }
  }
}

TEST_F(SuppressionTest, TheOperatorsFilesHideAndAreCounted) {
  world_.Repository("a", {At("x"), At("y"), At("z", 2)});
  const auto ignores = Load({.ignore_files = {File("one", "x:forge-pat:7\nx:no-such-rule:7\n"), File("two", "# none\n")},
                             .baselines = {}});
  ASSERT_THAT(ignores, IsOk());
  world_.input.ignores = &*ignores;
  EXPECT_EQ(Reported(), (Paths{{"y", ""}, {"z", ""}}));
  EXPECT_EQ(Results()["places_hidden"]["operator_ignore"], 1);
  const std::string summary = world_.File("summary.txt");
  EXPECT_THAT(summary, HasSubstr("1 place hidden by --ignore-file, 0 by --baseline-path"));
  EXPECT_THAT(summary, HasSubstr("Warning: 1 entry of --ignore-file names no rule of this ruleset"));

  const auto both = Load({.ignore_files = {File("one", "x:forge-pat:7\ny:forge-pat:7")}, .baselines = {}});
  ASSERT_THAT(both, IsOk());
  world_.input.ignores = &*both;
  EXPECT_EQ(Reported(), (Paths{{"z", ""}})) << "an incident whose places are all hidden is none";
  EXPECT_THAT(Rows("incidents.jsonl"), SizeIs(1));
}

TEST_F(SuppressionTest, AGitleaksBaselineHidesTheSameValueInTheSameFileWhereverItMoved) {
  v1::Occurrence row = At("app/.env");
  row.set_secret(std::string(Fingerprint(keys_.current, SecretView("the value")).raw()));
  v1::Occurrence elsewhere = row;
  elsewhere.set_paths(0, "elsewhere");
  world_.Repository("a", {elsewhere, row});
  OperatorIgnores ignores = Baseline({Finding("generic-api-key", "app/.env", 99, "the value")});
  world_.input.ignores = &ignores;
  EXPECT_EQ(Reported(), (Paths{{"elsewhere", ""}}));
  EXPECT_EQ(Results()["places_hidden"]["baseline"], 1);
  ignores = Baseline({Finding("forge-pat", "app/.env", 7, "another value")});
  EXPECT_THAT(Reported(), SizeIs(2)) << "another value in the same place is a new secret";
  // An id of a key that was replaced since.
  KeyRing rotated;
  rotated.current.bytes.fill(8);
  rotated.previous = {keys_.current};
  keys_ = rotated;
  ignores = Baseline({Finding("generic-api-key", "app/.env", 99, "the value")});
  EXPECT_EQ(Reported(), (Paths{{"elsewhere", ""}}));
}

TEST_F(SuppressionTest, ARedactedBaselineHidesByPlace) {
  world_.Repository("a", {At("x")});
  const std::string commit = ToHex(CommitRowOf("c1", 1).id());
  const auto hides = [&](const json& finding) {
    const OperatorIgnores ignores = Baseline({finding});
    world_.input.ignores = &ignores;
    const bool hidden = Reported().empty();
    world_.input.ignores = nullptr;
    return hidden;
  };
  EXPECT_TRUE(hides(Finding("forge-pat", "x", 7, "REDACTED")));
  EXPECT_TRUE(hides(Finding("forge-pat", "x", 7, "fgp_A...", commit)));
  EXPECT_TRUE(hides(Finding("forge-pat", "x", 7, "*****")));
  EXPECT_TRUE(hides(Finding("forge-pat", "x", 7, "")));
  EXPECT_TRUE(hides(Finding("of-another-ruleset", "x", 7, "REDACTED")));
  EXPECT_FALSE(hides(Finding("mailer-api-key", "x", 7, "REDACTED")));
  EXPECT_FALSE(hides(Finding("forge-pat", "x", 8, "REDACTED")));
  EXPECT_FALSE(hides(Finding("forge-pat", "y", 7, "REDACTED")));
  EXPECT_FALSE(hides(Finding("forge-pat", "x", 7, "REDACTED", std::string(kCommit))));
}

TEST_F(SuppressionTest, OurOwnBaselineHidesItsIncidentsWhereverTheyLie) {
  world_.Repository("a", {At("x", 1), At("y", 2)});
  world_.Write();
  std::filesystem::create_directories(world_.temp.path() / "before");
  const std::string first = LinesOf(world_.File("incidents.jsonl"))[0];
  WriteFile(world_.temp.path() / "before/incidents.jsonl", first + "\n");
  for (const char* path : {"before", "before/incidents.jsonl"}) {
    const auto ignores = Load({.ignore_files = {}, .baselines = {world_.temp.path() / path}});
    ASSERT_THAT(ignores, IsOk());
    world_.input.ignores = &*ignores;
    EXPECT_EQ(Reported(), (Paths{{"y", ""}})) << path;
    world_.input.ignores = nullptr;
  }
  const auto nothing = Load({.ignore_files = {}, .baselines = {File("empty.jsonl", "")}});
  EXPECT_THAT(nothing, IsOk()) << "a report without incidents";
}

TEST_F(SuppressionTest, WhatCannotBeReadIsNamedWithItsLineAndNothingOfItsContent) {
  const auto error = [&](const IgnoreFiles& files) { return std::string(Load(files).status().message()); };
  const auto baseline = [&](std::string_view text) { return error({.ignore_files = {}, .baselines = {File("b", text)}}); };
  EXPECT_THAT(error({.ignore_files = {"/no/such"}, .baselines = {}}), HasSubstr("/no/such: cannot be read"));
  EXPECT_THAT(error({.ignore_files = {}, .baselines = {"/no/such"}}), HasSubstr("/no/such: cannot be read"));
  EXPECT_THAT(error({.ignore_files = {File("i", "a:b:1\n\na:b\n")}, .baselines = {}}), HasSubstr("/i:3: neither"));
  EXPECT_THAT(baseline("[\n {\"Secret\": \"hush\"},\n {\"Secret\": hush}\n]"),
              testing::AllOf(HasSubstr("/b:3: is no JSON"), Not(HasSubstr("hush"))));
  EXPECT_THAT(error({.ignore_files = {world_.temp.path()}, .baselines = {}}), HasSubstr(": cannot be read"));
  EXPECT_THAT(baseline("[1e999]"), HasSubstr("is no JSON"));
  EXPECT_THAT(baseline("[\n1]"), HasSubstr("finding 1"));
  EXPECT_THAT(baseline(R"([{"RuleID": "a", "File": "b", "Secret": "x"}, {"RuleID": "a"}])"),
              HasSubstr("finding 2 of the array has no File"));
  EXPECT_THAT(baseline(R"([{"RuleID": "a", "File": "b", "StartLine": -1}])"), HasSubstr("StartLine"));
  EXPECT_THAT(baseline(R"([{"RuleID": "a", "File": "b", "StartLine": 1, "Commit": "x"}])"), HasSubstr("Commit"));
  EXPECT_THAT(baseline("{\"id\": \"00112233445566778899aabbccddeeff\"}\n\n{\"id\": \"12\"}\n"),
              HasSubstr("/b:3: neither a row"));
  EXPECT_THAT(baseline("{\n \"runs\": []\n}"), HasSubstr("/b:1: is no JSON"));
  EXPECT_THAT(baseline("gibberish"), HasSubstr("/b:1: "));
}

TEST_F(SuppressionTest, ASpecificRulesPlaceThatIsHiddenRevivesNoLesserRule) {
  v1::Occurrence pat = At("x"), generic = At("x", 3, "password-assignment");
  pat.add_overlapping(world_.RuleOf("password-assignment").key);
  generic.add_overlapping(world_.RuleOf("forge-pat").key);
  world_.Repository("a", {pat, generic});
  const auto ignores = Load({.ignore_files = {File("i", "x:forge-pat:7")}, .baselines = {}});
  ASSERT_THAT(ignores, IsOk());
  world_.input.ignores = &*ignores;
  EXPECT_THAT(Reported(), IsEmpty());
}

}  // namespace
}  // namespace unsprawl
