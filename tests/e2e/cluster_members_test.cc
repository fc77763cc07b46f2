// Workers and coordinators that come, go, come late, or are not quite who they were.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <thread>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/support/cluster.h"
#include "tests/support/small_organization.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr char kFaketime[] = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

class ClusterMembersTest : public SmallOrganization {
 protected:
  ClusterMembersTest() {
    EXPECT_EQ(SmallOrganization::Scan(forge_, {"github:acme", "--ca-file", forge_.CaFile()}).exit_code, 1);
    expected_ = cli_.ReportFiles();
    std::filesystem::remove_all(cli_.report());
  }

  std::vector<std::string> Coordinator(const std::string& lease_seconds) const {
    return {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile(), "--lease-seconds", lease_seconds,
            "--retry-seconds", "0"};
  }
  std::unique_ptr<Cluster> Start(const std::string& lease_seconds) const {
    return std::make_unique<Cluster>(cli_, Coordinator(lease_seconds),
                                     std::vector<std::string>{"--ca-file", forge_.CaFile()});
  }
  std::unique_ptr<BackgroundProgram> StartClient(const Cluster& cluster) const {
    return std::make_unique<BackgroundProgram>(
        cli_, "client", std::vector<std::string>{"scan", "--quiet", "--coordinator", cluster.address(), "--output",
                                                 cli_.report(), "github:acme"});
  }

  // Variables of a program whose clock is `by` ahead ("+1h", "-2d"), or as far as a file says that "@FILE" names.
  static std::map<std::string, std::string> FakeClock(const std::string& by) {
    EXPECT_TRUE(std::filesystem::exists(kFaketime)) << "deploy/bootstrap installs libfaketime";
    const bool file = by.starts_with('@');
    return {{"LD_PRELOAD", kFaketime},
            {file ? "FAKETIME_TIMESTAMP_FILE" : "FAKETIME", file ? by.substr(1) : by},
            {"FAKETIME_CACHE_DURATION", "1"},
            {"FAKETIME_DONT_FAKE_MONOTONIC", "1"}};
  }
  BackgroundProgram StartWorkerWithClock(const Cluster& cluster, const std::string& by) const {
    Cli aside(cli_);
    for (const auto& [name, value] : FakeClock(by)) aside.SetVariable(name, value);
    return BackgroundProgram(aside, "w", {"worker", "--coordinator", cluster.address(), "--name", "w", "--quiet",
                                          "--no-sandbox", "--ca-file", forge_.CaFile(), "--mirrors",
                                          home_.path() / "cluster" / "w"});
  }

  // No fetch comes to an end.
  void Stall() const { forge_.Fault({{"match", "POST .*git-upload-pack"}, {"kind", "stall"}, {"times", nullptr}}); }
  void GoOn() const { forge_.Set({{"faults", json::array()}}); }

  static json LeasesOf(const Cluster& cluster, const std::string& worker) {
    const json status = cluster.Status();
    if (status.is_object()) {
      for (const json& row : status["workers"]) {
        if (row["name"] == worker) return row["leases"];
      }
    }
    return json::array();
  }
  static bool AwaitLeases(const Cluster& cluster, const std::string& worker) {
    return Await([&] { return !LeasesOf(cluster, worker).empty(); });
  }

  void ExpectReport(BackgroundProgram& client) const {
    ASSERT_TRUE(Await([&] { return !client.running(); })) << client.err();
    EXPECT_EQ(client.Wait(), 1) << client.err();
    EXPECT_EQ(cli_.ReportFiles(), expected_);
  }

  ForgeServer forge_{Settings()};
  std::map<std::string, std::string> expected_;
};

TEST_F(ClusterMembersTest, WhatALostWorkerHeldIsDoneByAnother) {
  Stall();
  const auto cluster = Start("2");
  cluster->StartWorker("lost");
  const auto client = StartClient(*cluster);
  ASSERT_TRUE(AwaitLeases(*cluster, "lost"));
  cluster->worker("lost").SignalAll(SIGKILL);
  GoOn();
  cluster->StartWorker("other");
  ExpectReport(*client);
}

TEST_F(ClusterMembersTest, WhatADrainedWorkerHeldIsLentAtOnce) {
  Stall();
  const auto cluster = Start("3600");  // Longer than anybody waits here.
  cluster->StartWorker("drained");
  const auto client = StartClient(*cluster);
  ASSERT_TRUE(AwaitLeases(*cluster, "drained"));
  cluster->StartWorker("other");
  cluster->worker("drained").Signal(SIGTERM);
  EXPECT_EQ(cluster->worker("drained").Wait(), 0);
  GoOn();
  cluster->worker("other").Signal(SIGTERM);  // What stalls under it goes on under a third.
  EXPECT_EQ(cluster->worker("other").Wait(), 0);
  cluster->StartWorker("third");
  ExpectReport(*client);
}

TEST_F(ClusterMembersTest, ACoordinatorThatWasAwayForLongerThanALeaseGoesOn) {
  forge_.Set({{"git_latency", 1.5}});
  const auto cluster = Start("2");
  cluster->StartWorker("w");
  const auto client = StartClient(*cluster);
  ASSERT_TRUE(AwaitLeases(*cluster, "w"));
  cluster->coordinator().SignalAll(SIGKILL);
  std::this_thread::sleep_for(std::chrono::seconds(3));
  cluster->StartCoordinator();
  ExpectReport(*client);
  EXPECT_TRUE(cluster->worker("w").running());
}

TEST_F(ClusterMembersTest, FromACoordinatorThatLendsForAShorterTimeItsWorkersLearnThat) {
  Stall();
  const auto cluster = Start("3600");
  cluster->StartWorker("w");
  const auto client = StartClient(*cluster);
  ASSERT_TRUE(AwaitLeases(*cluster, "w"));
  cluster->coordinator().SignalAll(SIGKILL);
  cluster->SetCoordinatorArguments(Coordinator("2"));
  cluster->StartCoordinator();
  ASSERT_TRUE(Await([&] {
    const json status = cluster->Status();
    return status.is_object() && !status["workers"].empty() && status["workers"][0].value("threads", 0) > 0;
  }));
  std::this_thread::sleep_for(std::chrono::seconds(5));
  EXPECT_FALSE(LeasesOf(*cluster, "w").empty());
  EXPECT_THAT(cluster->coordinator().err(), testing::Not(HasSubstr("event=expired")));
  GoOn();
  cluster->worker("w").Signal(SIGTERM);  // What stalls under it goes on under another.
  EXPECT_EQ(cluster->worker("w").Wait(), 0);
  cluster->StartWorker("other");
  ExpectReport(*client);
}

TEST_F(ClusterMembersTest, AWorkerWaitsForItsCoordinator) {
  const auto cluster = Start("60");
  cluster->coordinator().SignalAll(SIGKILL);
  cluster->coordinator().Wait();
  cluster->StartWorker("early");
  ASSERT_TRUE(cluster->worker("early").WaitFor("event=waiting "));
  cluster->StartCoordinator();
  ExpectReport(*StartClient(*cluster));
}

// As with a certificate that was copied: the coordinator takes them for one with more threads.
TEST_F(ClusterMembersTest, TwoWorkersOfOneNameDoNoHarm) {
  for (const bool one_folder : {false, true}) {
    std::filesystem::remove_all(home_.path() / "cluster");
    const auto cluster = Start("2");
    std::unique_ptr<BackgroundProgram> twins[2];
    for (int i = 0; i < 2; ++i) {
      twins[i] = std::make_unique<BackgroundProgram>(
          cli_, absl::StrFormat("twin%d", i),
          std::vector<std::string>{"worker", "--coordinator", cluster->address(), "--name", "twin", "--quiet",
                                   "--ca-file", forge_.CaFile(), "--mirrors",
                                   home_.path() / "cluster" / (one_folder ? "m" : absl::StrFormat("m%d", i))});
    }
    for (const auto& twin : twins) ASSERT_TRUE(twin->WaitFor("event=joined worker=twin ")) << twin->err();
    ExpectReport(*StartClient(*cluster));
    ExpectReport(*StartClient(*cluster));
    for (const auto& twin : twins) EXPECT_TRUE(twin->running()) << twin->err();
  }
}

TEST_F(ClusterMembersTest, OtherRulesOfARestartedCoordinatorAreThoseOfTheRun) {
  const std::filesystem::path rules = home_.path() / "rules.toml";
  const auto rule = [](const std::string& id, const std::string& pattern) {
    return absl::StrFormat("[[rules]]\nid = \"%s\"\ndescription = \"of this test\"\nregex = '''%s'''\n", id, pattern);
  };
  const std::string before = rule("of-yesterday", "t=gh[a-z]_[A-Za-z0-9]{4}"), after = rule("of-today", "gh[a-z]_[A-Za-z0-9]{6}");
  WriteFile(rules, after);
  ASSERT_EQ(SmallOrganization::Scan(forge_, {"github:acme", "--ca-file", forge_.CaFile(), "--config", rules}).exit_code, 1);
  expected_ = cli_.ReportFiles();
  WriteFile(rules, before);
  forge_.Set({{"git_latency", 1}});
  Cluster cluster(cli_,
                  {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile(), "--lease-seconds", "2", "--rules", rules},
                  {"--ca-file", forge_.CaFile()});
  cluster.StartWorker("w");
  const auto client = StartClient(cluster);
  ASSERT_TRUE(AwaitLeases(cluster, "w"));
  WriteFile(rules, after);
  cluster.coordinator().SignalAll(SIGKILL);
  cluster.StartCoordinator();
  ExpectReport(*client);
  EXPECT_TRUE(cluster.worker("w").running()) << cluster.worker("w").err();
}

TEST_F(ClusterMembersTest, AWorkerOutlivesTheProcessThatForksItsScanners) {
  const auto cluster = Start("3600");
  cluster->StartWorker("w");
  ASSERT_TRUE(cluster->worker("w").WaitFor("event=joined worker=w "));
  const auto child_of = [](pid_t process) {
    return std::atoi(ReadFile(absl::StrFormat("/proc/%d/task/%d/children", process, process)).c_str());
  };
  const pid_t nursery = child_of(child_of(cluster->worker("w").pid()));
  ASSERT_GT(nursery, 1);
  forge_.Set({{"git_latency", 1}});  // What is being fetched then is scanned later.
  const auto client = StartClient(*cluster);
  ASSERT_TRUE(AwaitLeases(*cluster, "w"));
  ASSERT_EQ(kill(nursery, SIGKILL), 0);
  ExpectReport(*client);
  EXPECT_TRUE(cluster->worker("w").running()) << cluster->worker("w").err();
}

TEST_F(ClusterMembersTest, ARunOutlivesACoordinatorThatIsStopped) {
  forge_.Set({{"git_latency", 1}});
  const auto cluster = Start("60");
  cluster->StartWorker("w");
  const auto client = StartClient(*cluster);
  ASSERT_TRUE(AwaitLeases(*cluster, "w"));
  for (int i = 0; i < 4; ++i) {
    cluster->coordinator().Signal(SIGTERM);
    EXPECT_EQ(cluster->coordinator().Wait(), 0);
    cluster->StartCoordinator();
  }
  ExpectReport(*client);
  EXPECT_TRUE(cluster->worker("w").running()) << cluster->worker("w").err();
}

TEST_F(ClusterMembersTest, AWorkerWhoseClockIsSetBackKeepsItsLeases) {
  Stall();
  const auto cluster = Start("2");
  const std::filesystem::path clock = home_.path() / "clock";
  WriteFile(clock, "+0\n");
  const BackgroundProgram worker = StartWorkerWithClock(*cluster, "@" + clock.native());
  const auto client = StartClient(*cluster);
  ASSERT_TRUE(AwaitLeases(*cluster, "w")) << worker.err();
  WriteFile(clock, "-1h\n");
  std::this_thread::sleep_for(std::chrono::seconds(6));
  EXPECT_FALSE(LeasesOf(*cluster, "w").empty());
}

TEST_F(ClusterMembersTest, AWorkerWhoseClockIsAheadLosesNoForcePush) {
  const auto cluster = Start("60");
  const auto scan = [&] {
    const BackgroundProgram worker = StartWorkerWithClock(*cluster, "+30h");
    EXPECT_EQ(cluster->Scan({"github:acme"}).exit_code, 1) << worker.err();
  };
  scan();
  const std::filesystem::path work = home_.path() / "work" / "1";
  const auto git = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"git", "-C", work});
    return unsprawl::Run(home_.path(), arguments);
  };
  for (const uint32_t round : {1, 2}) {
    WriteFile(work / "x.env", "t=" + FakeGithubToken(500 + round) + "\n");
    git({"add", "-A"});
    git({"commit", "-q", "-m", "a secret"});
    const std::string dropped = git({"rev-parse", "HEAD"}).substr(0, 40);
    git({"push", "-q", home_.path() / "app1.git", "HEAD:main"});
    git({"reset", "-q", "--hard", "HEAD~1"});
    // The refs are as they were, or not.
    if (round == 2) git({"commit", "-q", "--allow-empty", "-m", "none"});
    git({"push", "-q", "-f", home_.path() / "app1.git", "HEAD:main"});
    if (round == 2) {  // As if it was the night after next: by now the worker may have said so.
      cluster->coordinator().Signal(SIGTERM);
      EXPECT_EQ(cluster->coordinator().Wait(), 0);
      for (const auto& [name, value] : FakeClock("+40h")) cli_.SetVariable(name, value);
      cluster->StartCoordinator();
      for (const auto& [name, value] : FakeClock("+40h")) cli_.RemoveVariable(name);
    }
    const std::string now = absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone());
    forge_.ChangeRepository({{"id", 101},
                             {"pushed_at", absl::StrFormat("2024-05-%02dT12:00:00Z", round)},
                             {"activity", {{{"activity_type", "force_push"}, {"before", dropped}, {"after", dropped},
                                            {"ref", "refs/heads/main"}, {"timestamp", now}}}}});
    scan();
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + round);
  }
}

}  // namespace
}  // namespace unsprawl
