// Killed at any moment, nothing is lost: the run after it reports what an undisturbed one does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/support/cli.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

constexpr int kKills = 50;

class KillTest : public testing::Test {
 protected:
  KillTest() {
    for (const char* name : {"one", "two"}) {
      GitRepo repo(repos_.path() / name);
      std::string text;
      for (uint32_t i = 0; i < 60; ++i) {
        text += std::to_string(i) + (i % 4 == 0 ? " = " + FakeAwsKeyId(i) : "") + "\n";
        repo.Write("f" + std::to_string(i % 7), text);
        repo.Commit();
      }
      repo.Git({"repack", "-adq"});
    }
  }

  TempDir home_, repos_;
  Cli cli_{home_.path()};
};

TEST_F(KillTest, AfterFiftyKillsTheReportIsByteForByteThatOfAnUndisturbedRun) {
  cli_.Scan({"--store", home_.path() / "undisturbed", repos_.path()});
  const auto expected = cli_.ReportFiles();
  const std::string store = home_.path() / "disturbed";
  std::mt19937 random(11);
  int killed = 0, ended = 0;
  while (killed < kKills && ended < 3 * kKills) {
    // A store that is complete has nothing left to lose: begin again now and then.
    if ((killed + ended) % 10 == 0) std::filesystem::remove_all(store);
    const CliResult scan =
        cli_.ScanAndKill({"--store", store, repos_.path()}, static_cast<int>(random() % 250'000));
    ++(scan.exit_code == 128 + 9 ? killed : ended);
    if (killed % 10 == 0) {
      EXPECT_EQ(cli_.Scan({"--store", store, repos_.path()}).exit_code, 1);
      EXPECT_EQ(cli_.ReportFiles(), expected) << "after " << killed << " kills";
    }
  }
  EXPECT_EQ(killed, kKills);
  EXPECT_EQ(cli_.Run({"store", "check", "--store", store}).exit_code, 0);
}

TEST_F(KillTest, AScannerThatDiesIsReplacedAndTheReportIsTheSame) {
  cli_.Scan({"--store", ":memory:", repos_.path()});
  const auto expected = cli_.ReportFiles();
  int deaths = 0;
  for (int round = 0; round < 12; ++round) {
    cli_.ScanKillingScanners({"--store", ":memory:", repos_.path()}, 4000 + 1700 * round, 2);
    EXPECT_EQ(cli_.ReportFiles(), expected) << "round " << round;
    deaths += cli_.Json("run.json")["scanner_deaths"].get<int>();
  }
  EXPECT_GT(deaths, 0);
}

}  // namespace
}  // namespace unsprawl
