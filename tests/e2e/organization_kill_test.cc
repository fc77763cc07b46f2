// Whatever is killed while an organization is scanned: nothing is lost, nothing doubled.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"
#include "tests/support/processes.h"

namespace unsprawl {
namespace {

using nlohmann::json;

constexpr char kToken[] = "the-token-of-the-reader";
constexpr int kRepositories = 4;
constexpr int kForks = 2;

// Every git that runs below this process: those of the scan, and those that serve it.
std::vector<pid_t> GitsBelowUs() {
  std::vector<pid_t> gits;
  for (const Process& process : ProcessesOf(getpid())) {
    if (process.name.rfind("git", 0) == 0) gits.push_back(process.id);
  }
  return gits;
}

class OrganizationKillTest : public testing::Test {
 protected:
  OrganizationKillTest() {
    json repositories = json::array();
    for (int i = 0; i < kRepositories; ++i) {
      GitRepo repo(home_.path() / absl::StrFormat("work%d", i));
      for (uint32_t commit = 0; commit < 12; ++commit) {
        // Some secrets are in several repositories.
        repo.Write(absl::StrFormat("f%d.env", commit % 4),
                   "t=" + FakeGithubToken(commit * 7 + static_cast<uint32_t>(i) % 3) + "\n");
        repo.Commit();
      }
      AddTo(&repositories, i, repo.path());
    }
    // Forks: what they have of the first is borrowed from its mirror.
    for (int i = kRepositories; i < kRepositories + kForks; ++i) {
      GitRepo repo(home_.path() / absl::StrFormat("work%d", i));
      repo.Git({"pull", "-q", home_.path() / "r0.git", "main"});
      repo.Write("own.env", "t=" + FakeGithubToken(500 + static_cast<uint32_t>(i)) + "\n");
      repo.Commit();
      AddTo(&repositories, i, repo.path());
      repositories.back().update({{"fork", true}, {"parent_id", 100}});
    }
    forge_ = std::make_unique<ForgeServer>(
        json{{"repositories", repositories}, {"tokens", {{"reader", {{"value", kToken}}}}}});
    cli_.SetVariable("GITHUB_TOKEN", kToken);
  }

  void AddTo(json* repositories, int i, const std::filesystem::path& work) {
    const std::string bare = home_.path() / absl::StrFormat("r%d.git", i);
    unsprawl::Run(home_.path(), {"git", "clone", "-q", "--bare", work, bare});
    repositories->push_back({{"id", 100 + i}, {"owner", "acme"}, {"name", absl::StrFormat("app%d", i)},
                             {"private", true}, {"path", bare}, {"pushed_at", "2024-05-01T12:00:00Z"}});
  }

  // Each interrupts one scan at a moment (in microseconds) and returns how many kills that were.
  int KillScanner(const std::string& place, int moment) {
    return cli_.ScanAndSignal(Arguments(place), moment, SIGKILL).exit_code == 128 + SIGKILL;
  }
  int KillGits(const std::string& place, int moment) {
    int kills = 0;
    CheckSurvivor(cli_.ScanMeanwhile(Arguments(place), [&](pid_t) {
      usleep(static_cast<useconds_t>(moment));
      for (const pid_t git : GitsBelowUs()) kills += kill(git, SIGKILL) == 0;
    }));
    return kills;
  }
  int KillServer(const std::string& place, int moment) {
    int kills = 0;
    CheckSurvivor(cli_.ScanMeanwhile(Arguments(place), [&](pid_t scan) {
      usleep(static_cast<useconds_t>(moment));
      siginfo_t ended = {};
      waitid(P_PID, static_cast<id_t>(scan), &ended, WEXITED | WNOWAIT | WNOHANG);
      if (ended.si_pid != 0) return;  // It was too quick.
      ++kills;
      forge_->Kill();
      forge_->Restart();
    }));
    return kills;
  }
  // A scan that was not killed itself may say that it is incomplete; it says nothing that is wrong.
  void CheckSurvivor(const CliResult& scan) {
    EXPECT_TRUE(scan.exit_code == 1 || scan.exit_code == 3) << scan.exit_code << scan.err;
    if (scan.exit_code == 1) {
      EXPECT_EQ(cli_.ReportFiles(), expected_);
    }
  }

  // In half of the places there is room for next to no mirror.
  std::vector<std::string> Arguments(const std::string& place) const {
    const bool narrow = std::hash<std::string>()(place) % 2 == 0;
    return {"--api-url", forge_->ApiUrl(), "--ca-file", forge_->CaFile(), "--mirrors", home_.path() / place / "mirrors",
            "--mirrors-budget", narrow ? "1KB" : "500GB", "--store", home_.path() / place / "store", "github:acme"};
  }

  TempDir home_;
  Cli cli_{home_.path()};
  std::map<std::string, std::string> expected_;  // of an undisturbed run
  std::unique_ptr<ForgeServer> forge_;
};

TEST_F(OrganizationKillTest, AfterAHundredKillsTheReportIsThatOfAnUndisturbedRun) {
  EXPECT_EQ(cli_.Scan(Arguments("first")).exit_code, 1);  // Compiles the rules where nobody has yet.
  const int whole = Microseconds([&] { EXPECT_EQ(cli_.Scan(Arguments("undisturbed")).exit_code, 1); });
  expected_ = cli_.ReportFiles();
  std::mt19937 random(3);
  int scanners = 0, gits = 0, servers = 0, places = 0;
  while (scanners + gits + servers < 100 || scanners < 10 || gits < 10 || servers < 10) {
    const std::string place = absl::StrFormat("place%d", places++);
    // A few interruptions of one store, each in its own way, then its end.
    const auto moment = [&] { return static_cast<int>(random() % static_cast<uint32_t>(whole)); };
    std::vector<std::function<void()>> interruptions = {
        [&] { scanners += KillScanner(place, moment()); },
        [&] { gits += KillGits(place, moment()); },
        [&] { servers += KillServer(place, moment()); }};
    std::shuffle(interruptions.begin(), interruptions.end(), random);
    for (const std::function<void()>& interrupt : interruptions) interrupt();
    const CliResult last = cli_.Scan(Arguments(place));
    ASSERT_EQ(last.exit_code, 1) << last.err << last.out;
    ASSERT_EQ(cli_.ReportFiles(), expected_) << place;
    EXPECT_EQ(cli_.Run({"store", "check", "--store", home_.path() / place / "store"}).exit_code, 0);
  }
  std::printf("killed: %d scanners, %d gits, %d servers in %d places\n", scanners, gits, servers, places);
}

}  // namespace
}  // namespace unsprawl
