// What changed since the last run, `unsprawl runs`, and two runs at once: the program over repositories
// made by real git. Runs that are killed between noting states and finishing: tests/unit/change_tracker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <tuple>

#include "tests/support/cli.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

// (change, first_seen_cause, backlog, day of first_seen).
using Row = std::tuple<std::string, std::string, bool, std::string>;

class ChangesTest : public testing::Test {
 protected:
  // Scan number n starts on the n-th of January 2025. Exits with what `--fail-on new` says.
  CliResult Scan(std::vector<std::string> arguments) {
    cli_.SetVariable("SOURCE_DATE_EPOCH", std::to_string(1735689600 + 86400 * scans_++));
    arguments.insert(arguments.begin(), "--fail-on=new");
    return cli_.Scan(arguments);
  }
  std::vector<Row> Changes() {
    std::vector<Row> rows;
    for (const nlohmann::json& row : cli_.Rows("incidents.jsonl")) {
      rows.emplace_back(row["change"], row["first_seen_cause"], row["backlog"],
                        row["first_seen"].get<std::string>().substr(8, 2));
    }
    return rows;
  }
  // The days of sla_start, "" for null.
  std::multiset<std::string> SlaStarts() {
    std::multiset<std::string> days;
    for (const nlohmann::json& row : cli_.Rows("incidents.jsonl")) {
      days.insert(row["sla_start"].is_null() ? "" : row["sla_start"].get<std::string>().substr(8, 2));
    }
    return days;
  }
  std::string Summary() { return ReadFile(cli_.report() / "summary.txt"); }
  std::vector<nlohmann::json> RunsAsJson() {
    const CliResult listed = cli_.Run({"runs", "--json"});
    EXPECT_EQ(listed.exit_code, 0) << listed.err;
    std::vector<nlohmann::json> rows;
    std::istringstream lines(listed.out);
    for (std::string line; std::getline(lines, line);) rows.push_back(nlohmann::json::parse(line));
    return rows;
  }

  TempDir home_, repos_;
  Cli cli_{home_.path()};
  int scans_ = 0;
};

TEST_F(ChangesTest, ALeakIsNewOnceThenRemovedThenReopened) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("old.env", FakeGithubToken(1) + "\n");
  repo.Commit();
  EXPECT_EQ(Scan({repo.path()}).exit_code, 0) << "what the first run finds is backlog";
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("new", "scope", true, "01")));
  EXPECT_THAT(Summary(), HasSubstr("first finished run"));

  repo.Write("new.env", FakeGithubToken(2) + "\n");
  repo.Commit();
  EXPECT_EQ(Scan({repo.path()}).exit_code, 1);
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("none", "scope", true, "01"), Row("new", "new_commit", false, "02")));
  EXPECT_THAT(Summary(), AllOf(HasSubstr("since the run of 2025-01-01: 1 new, 0 reopened, 0 removed"),
                               HasSubstr("app:new.env")));
  EXPECT_THAT(SlaStarts(), ElementsAre("", "02")) << "the time of backlog begins with its triage";
  EXPECT_EQ(Scan({repo.path()}).exit_code, 0);
  EXPECT_THAT(SlaStarts(), ElementsAre("", "02"));
  EXPECT_THAT(Summary(), HasSubstr("since the run of 2025-01-02: 0 new, 0 reopened, 0 removed"));

  repo.Remove("old.env");
  repo.Remove("new.env");
  repo.Commit();
  EXPECT_EQ(Scan({repo.path()}).exit_code, 0);
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("removed", "scope", true, "01"), Row("removed", "new_commit", false, "02")));
  EXPECT_THAT(SlaStarts(), ElementsAre("", ""));

  repo.Write("again.env", FakeGithubToken(1) + "\n");
  repo.Commit();
  EXPECT_EQ(Scan({repo.path()}).exit_code, 1);
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("reopened", "scope", false, "01"), Row("none", "new_commit", false, "02")));
  EXPECT_THAT(Summary(), HasSubstr("app:again.env")) << "the place where it is open";

  const auto runs = RunsAsJson();
  ASSERT_EQ(runs.size(), 5u);
  EXPECT_EQ(runs[1]["run"], 2);
  EXPECT_EQ(runs[1]["started"], "2025-01-02T00:00:00.000000Z");
  EXPECT_EQ(runs[1]["repositories"], 1);
  EXPECT_EQ(runs[1]["complete"], true);
  EXPECT_EQ(runs[1]["incidents"], 2);
  EXPECT_EQ(runs[1]["new"], 1);
  EXPECT_EQ(runs[3]["removed"], 2);
  EXPECT_EQ(runs[4]["reopened"], 1);
  EXPECT_EQ(runs[4]["open"], 1);
  EXPECT_GT(runs[4]["seconds"], 0);
  for (int more = 0; more < 2; ++more) {
    EXPECT_THAT(SlaStarts(), ElementsAre("", "05")) << "reopened then";
    EXPECT_EQ(Scan({repo.path()}).exit_code, 0);
  }
}

TEST_F(ChangesTest, ARewrittenHistoryRemovesWhatNobodyStoresAnyMore) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("keep", FakeGithubToken(1) + "\n");
  repo.Commit();
  repo.Write("gone", FakeGithubToken(2) + "\n");
  repo.Commit();
  Scan({repo.path()});
  repo.Git({"reset", "-q", "--hard", "HEAD~1"});
  repo.Git({"reflog", "expire", "--expire=now", "--all"});
  repo.Git({"gc", "-q", "--prune=now"});
  EXPECT_EQ(Scan({repo.path()}).exit_code, 0);
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("none", "scope", true, "01")));
  EXPECT_THAT(Summary(), AllOf(HasSubstr("0 new, 0 reopened, 1 removed"), HasSubstr("stored nowhere any more")));
  repo.Write("gone", FakeGithubToken(2) + "\n");
  repo.Commit();
  EXPECT_EQ(Scan({repo.path()}).exit_code, 1);
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("none", "scope", true, "01"), Row("reopened", "scope", false, "01")));
}

TEST_F(ChangesTest, ANewRuleAndANewRepositoryAreBacklog) {
  GitRepo app(repos_.path() / "app");
  app.Write("a", "zzq-0123456789abcdef\nyyq-0123456789abcdef\n");
  app.Commit();
  const std::string one = "[[rules]]\nid = 'zz'\nregex = '''zzq-[0-9a-f]{16}'''\n";
  WriteFile(home_.path() / "one.toml", one);
  WriteFile(home_.path() / "two.toml", one + "[[rules]]\nid = 'yy'\nregex = '''yyq-[0-9a-f]{16}'''\n");
  const std::string old_rules = home_.path() / "one.toml", new_rules = home_.path() / "two.toml";
  Scan({"--min-confidence=0", "-c", old_rules, app.path()});
  EXPECT_EQ(Scan({"--min-confidence=0", "-c", new_rules, app.path()}).exit_code, 0);
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("none", "scope", true, "01"), Row("new", "new_rule", true, "02")));
  EXPECT_THAT(Summary(), HasSubstr("Backlog, not news: 1 by new rules, 0 where no run had looked before"));

  GitRepo other(repos_.path() / "other");
  other.Write("b", "zzq-fedcba9876543210\n");
  other.Commit();
  EXPECT_EQ(Scan({"--min-confidence=0", "-c", new_rules, repos_.path()}).exit_code, 0);
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("none", "scope", true, "01"), Row("none", "new_rule", true, "02"),
                                              Row("new", "scope", true, "03")));
  // From then on it is covered.
  other.Write("c", "yyq-fedcba9876543210\n");
  other.Commit();
  EXPECT_EQ(Scan({"--min-confidence=0", "-c", new_rules, repos_.path()}).exit_code, 1);
  // Going back to fewer rules, or fewer repositories, removes nothing.
  EXPECT_EQ(Scan({"--min-confidence=0", "-c", old_rules, app.path()}).exit_code, 0);
  EXPECT_EQ(RunsAsJson().back()["removed"], 0);
  EXPECT_THAT(Summary(), HasSubstr("Not asked for this time: 1 repository of that run"));
  EXPECT_EQ(Scan({"--min-confidence=0", "-c", new_rules, repos_.path()}).exit_code, 0);
  EXPECT_EQ(RunsAsJson().back()["new"], 0);
}

TEST_F(ChangesTest, ARotatedKeyKeepsTheHistory) {
  GitRepo app(repos_.path() / "app"), late(repos_.path() / "late");
  app.Write("a", FakeGithubToken(1) + "\n");
  app.Write("b", FakeGithubToken(2) + "\n");
  app.Commit();
  app.Remove("b");
  app.Commit();
  late.Write("c", FakeGithubToken(3) + "\n");
  late.Write("shared", FakeGithubToken(1) + "\n");
  late.Commit();
  Scan({repos_.path()});
  const auto before = cli_.Rows("incidents.jsonl");
  ASSERT_EQ(cli_.Run({"key", "rotate"}).exit_code, 0);
  EXPECT_EQ(Scan({app.path()}).exit_code, 0) << "only a part is scanned with the new key";
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("none", "scope", true, "01"), Row("none", "scope", true, "01")));
  EXPECT_NE(cli_.Rows("incidents.jsonl")[0]["id"], before[0]["id"]);
  EXPECT_EQ(Scan({repos_.path()}).exit_code, 0);
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("none", "scope", true, "01"), Row("none", "scope", true, "01"),
                                              Row("none", "scope", true, "01")));
  EXPECT_EQ(RunsAsJson().back()["removed"], 0);
  app.Write("b", FakeGithubToken(2) + "\n");
  app.Commit();
  EXPECT_EQ(Scan({repos_.path()}).exit_code, 1);
  EXPECT_EQ(RunsAsJson().back()["reopened"], 1);
  EXPECT_EQ(cli_.Run({"store", "check"}).exit_code, 0);
}

TEST_F(ChangesTest, ARepositoryThatFailsKeepsItsIncidentsEvenWhenTheKeyIsRotated) {
  GitRepo app(repos_.path() / "app"), remote(repos_.path() / "remote");
  app.Write("a", FakeGithubToken(1) + "\n");
  app.Commit();
  remote.Write("r", FakeGithubToken(2) + "\n");
  remote.Write("shared", FakeGithubToken(1) + "\n");
  remote.Commit();
  const std::vector<std::string> targets = {"--mirrors", home_.path() / "mirrors", app.path(),
                                            "file://" + remote.path().native()};
  Scan(targets);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 2u);
  std::filesystem::rename(remote.path(), repos_.path() / "away");
  EXPECT_EQ(Scan(targets).exit_code, 3);
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("none", "scope", true, "01"), Row("none", "scope", true, "01")));
  EXPECT_THAT(Summary(), HasSubstr("COVERAGE DROPPED:"));
  ASSERT_EQ(cli_.Run({"key", "rotate"}).exit_code, 0);
  EXPECT_EQ(Scan(targets).exit_code, 3);
  // The one that failed still shows the old ids, that of the shared secret beside its new one.
  for (const Row& row : Changes()) EXPECT_EQ(row, Row("none", "scope", true, "01"));
  EXPECT_THAT(Summary(), Not(HasSubstr("COVERAGE DROPPED:"))) << "told once";
  std::filesystem::rename(repos_.path() / "away", remote.path());
  EXPECT_EQ(Scan(targets).exit_code, 0);
  EXPECT_THAT(Changes(), UnorderedElementsAre(Row("none", "scope", true, "01"), Row("none", "scope", true, "01")));
  const auto runs = RunsAsJson();
  EXPECT_EQ(runs[1]["failed"], 1);
  for (size_t i = 1; i < runs.size(); ++i) {
    EXPECT_EQ(runs[i]["new"], 0) << i;
    EXPECT_EQ(runs[i]["removed"], 0) << i;
  }
}

TEST_F(ChangesTest, AKilledOrStoppedRunIsAsIfItHadNotBeen) {
  GitRepo repo(repos_.path() / "app");
  for (uint32_t i = 0; i < 30; ++i) {
    repo.Write("f" + std::to_string(i), FakeGithubToken(i) + "\n");
    repo.Commit();
  }
  const int whole = Microseconds([&] { Scan({repo.path()}); });
  repo.Write("new", FakeGithubToken(100) + "\n");
  repo.Commit();
  const auto count_unfinished = [&] {
    int unfinished = 0;
    for (const nlohmann::json& run : RunsAsJson()) unfinished += run["finished"] == nullptr;
    return unfinished;
  };
  // Moments are drawn from the time that a run takes here, until one comes while a run is on record.
  std::mt19937 random(13);
  int killed = 0;
  for (int tries = 0; tries < 26 || (count_unfinished() == 0 && tries < 1000); ++tries) {
    const int moment = static_cast<int>(random() % static_cast<uint32_t>(whole));
    killed += cli_.ScanAndSignal({repo.path()}, moment, SIGKILL).exit_code == 128 + SIGKILL;
  }
  EXPECT_GT(killed, 0);
  Scan({repo.path()});
  int told = 0;
  for (const nlohmann::json& run : RunsAsJson()) {
    if (run["finished"] != nullptr) told += run["new_by_commit"].get<int>();
  }
  EXPECT_EQ(told, 1) << "neither lost nor doubled";
  EXPECT_GT(count_unfinished(), 0);
  EXPECT_THAT(cli_.Run({"runs"}).out, AllOf(HasSubstr("did not finish"), HasSubstr("complete")));
}

TEST_F(ChangesTest, RunsAreListedForPeople) {
  EXPECT_EQ(cli_.Run({"runs"}).exit_code, 2) << "there is no store";
  GitRepo repo(repos_.path() / "app");
  repo.Write("a", FakeGithubToken(1) + "\n");
  repo.Commit();
  Scan({repo.path()});
  const CliResult listed = cli_.Run({"runs"});
  EXPECT_EQ(listed.exit_code, 0) << listed.err;
  EXPECT_THAT(listed.out, AllOf(HasSubstr("incidents"), HasSubstr("     1  2025-01-01T00:00:00Z"), HasSubstr("complete")));
}

TEST_F(ChangesTest, AReportDoesNotDependOnTheOrderInWhichTheStoreGrew) {
  for (int i = 0; i < 4; ++i) {
    GitRepo repo(repos_.path() / ("r" + std::to_string(i)));
    repo.Write("shared", FakeGithubToken(1) + "\n");
    repo.Write("own" + std::to_string(i), FakeGithubToken(10 + static_cast<uint32_t>(i)) + "\n");
    repo.Commit();
  }
  const auto grow = [&](const std::string& store, const std::vector<int>& order) {
    for (const int i : order) cli_.Scan({"--store", home_.path() / store, repos_.path() / ("r" + std::to_string(i))});
    cli_.Scan({"--store", home_.path() / store, repos_.path()});
    return std::pair(cli_.ReportFiles(), cli_.Rows("occurrences.jsonl").size());
  };
  const auto up = grow("up", {0, 1, 2, 3}), down = grow("down", {3, 2, 1, 0}), mixed = grow("mixed", {2, 0});
  EXPECT_EQ(up.second, 8u);
  EXPECT_EQ(up.first, down.first);
  EXPECT_EQ(up.first, mixed.first);
}

TEST_F(ChangesTest, TwoRunsAtOnceOnOneStoreAreRefusedByNameOfTheHolder) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("a", FakeGithubToken(1) + "\n");
  repo.Commit();
  // The first one waits for a git that never answers, the store in its hands.
  WriteFile(home_.path() / "bin" / "git", "#!/bin/sh\nexec sleep 60\n");
  std::filesystem::permissions(home_.path() / "bin" / "git", std::filesystem::perms::owner_all);
  TempDir first_home;
  Cli first(first_home.path());
  first.SetVariable("PATH", (home_.path() / "bin").native() + ":/usr/bin:/bin");
  const std::string store = home_.path() / "store", key = home_.path() / "key";
  std::jthread holder([&] {
    first.Scan({"--store", store, "--key-file", key, "--mirrors", first_home.path() / "mirrors",
                       "https://robot:hunter2@127.0.0.1:1/org/app.git", "file:///nowhere/app"});
  });
  for (int i = 0; i < 600 && !std::filesystem::exists(store + "/holder"); ++i) usleep(50'000);
  const std::string note = ReadFile(store + "/holder");
  const pid_t pid = static_cast<pid_t>(std::atoi(note.c_str() + std::string("process ").size()));
  ASSERT_GT(pid, 1) << note;
  const CliResult second = cli_.Scan({"--store", store, "--key-file", key, repo.path()});
  const CliResult listed = cli_.Run({"runs", "--store", store});
  kill(-pid, SIGKILL);  // a group of its own
  holder.join();
  EXPECT_EQ(second.exit_code, 2);
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  EXPECT_THAT(second.err, AllOf(HasSubstr("in use by process " + std::to_string(pid) + " of user "),
                                HasSubstr(std::string(" on ") + host + " since 20"),
                                HasSubstr("unsprawl scan"), HasSubstr("https://127.0.0.1:1/org/app.git"),
                                Not(HasSubstr("hunter2"))));
  EXPECT_EQ(listed.exit_code, 0) << "reading goes on beside it: " << listed.err;
  EXPECT_THAT(listed.out, HasSubstr("did not finish"));
  // What the killed one left is no obstacle.
  ASSERT_TRUE(std::filesystem::exists(store + "/holder"));
  EXPECT_EQ(cli_.Scan({"--store", store, "--key-file", key, repo.path()}).exit_code, 1);
  EXPECT_FALSE(std::filesystem::exists(store + "/holder"));
}

}  // namespace
}  // namespace unsprawl
