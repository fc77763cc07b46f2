// A forge's limits, which are longer than a lease: its holder waits, and nobody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_calls.h"
#include "tests/support/small_organization.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using nlohmann::literals::operator""_json_pointer;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kTokenRequest[] = "access_tokens";
constexpr int kTokenSeconds = 4;

class ClusterLimitsTest : public SmallOrganization {
 protected:
  static json Limit(const std::string& match, int seconds) {
    return {{"match", match}, {"kind", "primary"}, {"seconds", seconds}};
  }
  // Of an App whose tokens end soon.
  json ShortAppSettings() const {
    json settings = AppSettings();
    settings["installation_token_seconds"] = kTokenSeconds;
    return settings;
  }

  // What one machine reports.
  std::map<std::string, std::string> Alone(const ForgeServer& forge, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"github:acme", "--ca-file", forge.CaFile()});
    EXPECT_EQ(SmallOrganization::Scan(forge, arguments).exit_code, 1);
    const auto report = cli_.ReportFiles();
    std::filesystem::remove_all(cli_.report());
    return report;
  }
  std::unique_ptr<Cluster> Start(const ForgeServer& forge, std::vector<std::string> arguments,
                                 const std::string& lease_seconds = "2") const {
    arguments.insert(arguments.end(), {"--api-url", forge.ApiUrl(), "--ca-file", forge.CaFile(), "--lease-seconds",
                                       lease_seconds, "--retry-seconds", "0"});
    return std::make_unique<Cluster>(cli_, arguments, std::vector<std::string>{"--ca-file", forge.CaFile()});
  }
  std::unique_ptr<BackgroundProgram> StartClient(const Cluster& cluster) const {
    return std::make_unique<BackgroundProgram>(
        cli_, "client", std::vector<std::string>{"scan", "--quiet", "--coordinator", cluster.address(), "--output",
                                                 cli_.report(), "github:acme"});
  }
  static bool AwaitScanning(const Cluster& cluster) {
    return Await([&] { return cluster.Status().value("/run/state"_json_pointer, "") == "RUN_STATE_SCANNING"; });
  }
  // The run ends as one machine's does, and no shard of it was tried twice.
  void ExpectReport(BackgroundProgram& client, Cluster& cluster, const std::map<std::string, std::string>& report) const {
    ASSERT_TRUE(Await([&] { return !client.running(); })) << client.err() << cluster.coordinator().err();
    EXPECT_EQ(client.Wait(), 1) << client.err() << cluster.coordinator().err();
    EXPECT_EQ(cli_.ReportFiles(), report);
    EXPECT_THAT(cluster.coordinator().err(), Not(AnyOf(HasSubstr("event=failed"), HasSubstr("event=expired"))));
  }
};

TEST_F(ClusterLimitsTest, WhileAnAppGetsNoTokensItsShardsWait) {
  const ForgeServer forge(ShortAppSettings());
  cli_.RemoveVariable("GITHUB_TOKEN");
  const auto report = Alone(forge, AsApp());
  const auto cluster = Start(forge, AsApp());
  const auto client = StartClient(*cluster);
  ASSERT_TRUE(AwaitScanning(*cluster)) << cluster->coordinator().err();
  absl::SleepFor(absl::Seconds(kTokenSeconds));
  forge.Fault(Limit(kTokenRequest, 6));
  cluster->StartWorker("w");
  ExpectReport(*client, *cluster, report);
  EXPECT_EQ(forge.Counters()["faults"], 1);
  EXPECT_THAT(cluster->coordinator().err(), HasSubstr("event=limited"));
}

TEST_F(ClusterLimitsTest, ACoordinatorThatIsStartedAgainAmidALimitGoesOnAfterIt) {
  const ForgeServer forge(ShortAppSettings());
  cli_.RemoveVariable("GITHUB_TOKEN");
  const auto report = Alone(forge, AsApp());
  const auto cluster = Start(forge, AsApp());
  const auto client = StartClient(*cluster);
  ASSERT_TRUE(AwaitScanning(*cluster)) << cluster->coordinator().err();
  cluster->coordinator().SignalAll(SIGKILL);
  forge.Fault(Limit("/orgs/acme/installation", 6));
  cluster->StartCoordinator();
  cluster->StartWorker("w");
  ExpectReport(*client, *cluster, report);
  EXPECT_EQ(forge.Counters()["faults"], 1);
}

TEST_F(ClusterLimitsTest, NoCallWaitsForALimitAndWhatWasNotAnsweredCountsForNothing) {
  const ForgeServer forge(Settings());
  const auto cluster = Start(forge, {}, "60");
  const auto channel = PlainChannel(cluster->address());
  const RawWorker raw("raw", channel);
  ASSERT_THAT(SubmitRun(channel, {"github:acme"}), IsOk());
  const auto lent = raw.Acquire();
  ASSERT_THAT(lent, IsOk());
  const auto keep = [&] { EXPECT_TRUE(*raw.Renew(lent->lease().shard(), lent->lease().epoch())); };
  // Through several limits, more often than a lease may ask.
  int not_yet = 0, limits = 0;
  for (const absl::Time until = absl::Now() + absl::Seconds(60); limits < 3 && absl::Now() < until; keep()) {
    const absl::Status asked = raw.AskForge(lent->lease()).status(), listed = raw.ListDropped(lent->lease()).status();
    if (asked.ok() && listed.ok()) {
      ++limits;
      forge.Fault(Limit("/api/v3/repositories/", 2));
    }
    not_yet += absl::IsDeadlineExceeded(asked) + absl::IsDeadlineExceeded(listed);
    absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_EQ(limits, 3);
  EXPECT_GT(not_yet, 40) << "calls wait for the limit's end";
  forge.Set({{"faults", json::array()}});
  absl::StatusOr<v1::ForgeReply> asked = absl::UnknownError("not asked");
  EXPECT_TRUE(Await([&] { return keep(), (asked = raw.AskForge(lent->lease())).ok(); })) << asked.status();
  ASSERT_THAT(asked, IsOk());
  EXPECT_EQ(asked->failure().code(), 0) << asked->DebugString();
}

TEST_F(ClusterLimitsTest, ACoordinatorEndsAtOnceWhoeverWaitsForAForge) {
  const ForgeServer forge(Settings());
  const auto report = Alone(forge, {});
  const json stall = {{"match", "/activity"}, {"kind", "stall"}, {"times", nullptr}};
  for (const json& fault : {Limit("/activity", 600), stall}) {
    SCOPED_TRACE(fault.dump());
    std::filesystem::remove_all(home_.path() / "cluster");
    std::filesystem::remove_all(cli_.report());
    std::filesystem::remove(home_.path() / "coordinator.err");
    forge.Fault(fault);
    const auto cluster = Start(forge, {}, "10");  // A connection takes seconds to be made again.
    cluster->StartWorker("w");
    const auto client = StartClient(*cluster);
    forge.ResetCounters();
    ASSERT_TRUE(Await([&] { return forge.Counters()["faults"] > 0; })) << cluster->coordinator().err();
    absl::SleepFor(absl::Milliseconds(500));
    cluster->coordinator().Signal(SIGTERM);
    ASSERT_TRUE(Await([&] { return !cluster->coordinator().running(); })) << cluster->coordinator().err();
    EXPECT_EQ(cluster->coordinator().Wait(), 0) << cluster->coordinator().err();
    forge.Set({{"faults", json::array()}});
    cluster->StartCoordinator();
    ExpectReport(*client, *cluster, report);
  }
}

}  // namespace
}  // namespace unsprawl
