// Killed at any moment, nothing is lost: the run after it reports what an undisturbed one does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <map>
#include <random>
#include <string>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"
#include "tests/support/report_lines.h"

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

  void ExpectReport(const std::map<std::string, std::string>& expected, const std::string& when) {
    EXPECT_EQ(FirstDifference(cli_.ReportFiles(), expected), "") << when;
  }

  // Of a scan into a store of its own, after another: the first fills the rule cache.
  int WholeRunMicroseconds() {
    cli_.Scan({"--store", home_.path() / "first", repos_.path()});
    return Microseconds([&] { cli_.Scan({"--store", home_.path() / "second", repos_.path()}); });
  }

  TempDir home_, repos_;
  Cli cli_{home_.path()};
};

TEST_F(KillTest, AfterFiftyKillsTheReportIsByteForByteThatOfAnUndisturbedRun) {
  const int whole = WholeRunMicroseconds();
  const auto expected = cli_.ReportFiles();
  const std::string store = home_.path() / "disturbed";
  std::mt19937 random(11);
  for (int killed = 0; killed < kKills;) {
    const CliResult scan = cli_.ScanAndSignal({"--store", store, repos_.path()},
                                              static_cast<int>(random() % static_cast<uint32_t>(whole)), SIGKILL);
    if (scan.exit_code != 128 + SIGKILL) {  // It was faster: nothing is left to lose, so begin again.
      std::filesystem::remove_all(store);
      continue;
    }
    if (++killed % 10 != 0) continue;
    EXPECT_EQ(cli_.Scan({"--store", store, repos_.path()}).exit_code, 1);
    ExpectReport(expected, absl::StrFormat("after %d kills", killed));
    EXPECT_EQ(cli_.Run({"store", "check", "--store", store}).exit_code, 0);
    std::filesystem::remove_all(store);
  }
}

TEST_F(KillTest, CtrlCStopsCleanlyAndTheNextRunGoesOn) {
  const int whole = WholeRunMicroseconds();
  const auto expected = cli_.ReportFiles();
  const std::string store = home_.path() / "stopped";
  std::mt19937 random(12);
  for (int stopped = 0; stopped < 10;) {
    std::filesystem::remove_all(cli_.report());
    // Not before the program listens: until then Ctrl-C just ends it.
    const int moment = whole / 4 + static_cast<int>(random() % static_cast<uint32_t>(whole));
    const CliResult scan = cli_.ScanAndSignal({"--store", store, repos_.path()}, moment, SIGINT);
    if (scan.exit_code == 3) {
      ++stopped;
      EXPECT_THAT(scan.err, testing::HasSubstr("stopped"));
      EXPECT_FALSE(std::filesystem::exists(cli_.report() / "incidents.jsonl"));
      if (std::filesystem::exists(store)) {  // Else it was stopped while it looked for repositories.
        const CliResult check = cli_.Run({"store", "check", "--store", store});
        EXPECT_EQ(check.exit_code, 0) << check.err;
      }
      continue;
    }
    if (scan.exit_code != 128 + SIGINT) {  // It had ended, or was about to: the report is whole.
      EXPECT_EQ(scan.exit_code, 1) << scan.err;
      ExpectReport(expected, "at the end");
    }
    std::filesystem::remove_all(store);
  }
  EXPECT_EQ(cli_.Scan({"--store", store, repos_.path()}).exit_code, 1);
  ExpectReport(expected, "after ten stops");
}

TEST_F(KillTest, AScannerThatDiesIsReplacedAndTheReportIsTheSame) {
  cli_.Scan({"--store", ":memory:", repos_.path()});
  const auto expected = cli_.ReportFiles();
  int deaths = 0;
  for (int round = 0; round < 12; ++round) {
    cli_.ScanKillingScanners({"--store", ":memory:", repos_.path()}, 4000 + 1700 * round, 2);
    ExpectReport(expected, absl::StrFormat("round %d", round));
    deaths += cli_.Json("run.json")["scanner_deaths"].get<int>();
  }
  EXPECT_GT(deaths, 0);
}

}  // namespace
}  // namespace unsprawl
