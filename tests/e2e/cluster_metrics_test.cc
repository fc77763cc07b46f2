// What coordinator and workers say of themselves: figures that are right, and nothing of what was found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <map>
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

using testing::HasSubstr;
using testing::Not;

class ClusterMetricsTest : public SmallOrganization {
 protected:
  ForgeServer forge_{Settings()};
};

TEST_F(ClusterMetricsTest, TheyAreWhatTheRunDidAndHoldNothingOfIt) {
  Cluster cluster(cli_,
                  {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile(), "--metrics", "0", "--log-level", "debug"},
                  {"--ca-file", forge_.CaFile(), "--metrics", "127.0.0.1:0"});
  cluster.StartWorker("w0");
  ASSERT_EQ(cluster.Scan({"github:acme"}).exit_code, 1) << cluster.coordinator().err();
  EXPECT_THAT(CallWithBytes(PlainChannel(cluster.address()), "unsprawl.v1.WorkerService", "Unheard", ""),
              FailsWith(absl::StatusCode::kUnimplemented, testing::_));
  const std::string coordinator = Scrape(cluster.coordinator()), worker = Scrape(cluster.worker("w0"));
  std::map<std::string, double> of = Figures(coordinator), by = Figures(worker);

  uint64_t blobs = 0, bytes = 0, commits = 0;
  const nlohmann::json manifest = cli_.Json("manifest.json");
  for (const nlohmann::json& repository : manifest["repositories"]) {
    blobs += repository["blobs"].get<uint64_t>();
    bytes += repository["bytes"].get<uint64_t>();
    commits += repository["commits"].get<uint64_t>();
  }
  ASSERT_EQ(blobs, 2 * kRepositories);
  EXPECT_EQ(of["unsprawl_runs{state=\"DONE\"}"], 1);
  EXPECT_EQ(of["unsprawl_runs{state=\"SCANNING\"}"], 0);
  EXPECT_EQ(of["unsprawl_shards_lent_total"], kRepositories);
  EXPECT_EQ(of["unsprawl_lease_seconds_count"], kRepositories);
  EXPECT_EQ(of["unsprawl_shards_completed_total"], kRepositories);
  EXPECT_EQ(of["unsprawl_leases"], 0);
  EXPECT_EQ(of["unsprawl_workers"], 1);
  EXPECT_EQ(of["unsprawl_blobs_recorded_total"], blobs);
  EXPECT_EQ(of["unsprawl_bytes_recorded_total"], bytes);
  EXPECT_EQ(of["unsprawl_commits_recorded_total"], commits);
  EXPECT_EQ(of["unsprawl_places_recorded_total"], cli_.Rows("occurrences.jsonl").size());
  EXPECT_LE(of["unsprawl_blobs_known_total"], of["unsprawl_blobs_asked_total"]);
  EXPECT_EQ(of["unsprawl_tokens_given_total{code=\"UNIMPLEMENTED\"}"], kRepositories);  // a personal one
  EXPECT_GT(of["unsprawl_store_bytes"], 0);
  EXPECT_EQ(of["unsprawl_coordinator_rpc_seconds_count{code=\"OK\",method=\"Join\"}"], 1);
  EXPECT_EQ(of["unsprawl_coordinator_rpc_seconds_count{code=\"OK\",method=\"End\"}"], kRepositories);
  EXPECT_THAT(coordinator, Not(HasSubstr("Unheard")));

  EXPECT_EQ(by["unsprawl_worker_blobs_scanned_total"], blobs);
  EXPECT_EQ(by["unsprawl_worker_bytes_resolved_total"], bytes);
  EXPECT_EQ(by["unsprawl_worker_scan_seconds_count"], kRepositories);
  EXPECT_EQ(by["unsprawl_worker_fetch_seconds_count"], kRepositories);
  EXPECT_EQ(by["unsprawl_worker_ended_total{code=\"OK\",how=\"SCANNED\"}"], kRepositories);
  EXPECT_EQ(by["unsprawl_worker_leases{stage=\"fetching\"}"], 0);
  EXPECT_EQ(by["unsprawl_worker_scanner_deaths_total"], 0);
  EXPECT_EQ(by["unsprawl_worker_rpc_seconds_count{code=\"OK\",method=\"End\"}"],
            of["unsprawl_coordinator_rpc_seconds_count{code=\"OK\",method=\"End\"}"]);

  const std::string said = coordinator + worker + cluster.coordinator().err() + cluster.worker("w0").err();
  EXPECT_THAT(said, HasSubstr("event=lent "));
  for (const std::string& secret : Secrets()) EXPECT_THAT(said, Not(HasSubstr(secret)));
  EXPECT_THAT(coordinator + worker, Not(HasSubstr("acme")));
  EXPECT_THAT(coordinator + worker, Not(HasSubstr("w0")));
}

// However many threads it has: one of them asks, and when the coordinator said (each 100 ms for so few workers).
TEST_F(ClusterMetricsTest, WorkersWithNothingToDoAskSeldom) {
  Cluster cluster(cli_, {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile(), "--metrics", "0"},
                  {"--ca-file", forge_.CaFile(), "-j", "3", "--fetch-jobs", "8"});
  for (const char* name : {"w0", "w1"}) cluster.StartWorker(name);
  ASSERT_EQ(cluster.Scan({"github:acme"}).exit_code, 1) << cluster.coordinator().err();
  const auto asked = [&] {
    return Figures(Scrape(cluster.coordinator()))["unsprawl_coordinator_rpc_seconds_count{code=\"OK\",method=\"Acquire\"}"];
  };
  const absl::Time start = absl::Now();
  const double before = asked();
  absl::SleepFor(absl::Seconds(2));
  const double calls = asked() - before, intervals = (absl::Now() - start) / absl::Milliseconds(100);
  EXPECT_GT(calls, 0);
  EXPECT_LE(calls, 2 * (intervals + 1));
}

TEST_F(ClusterMetricsTest, FailuresAndALostWorkerAreCounted) {
  Cluster cluster(cli_,
                  {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile(), "--metrics", "0", "--lease-seconds", "2",
                   "--retry-seconds", "0"},
                  {"--ca-file", forge_.CaFile(), "--metrics", "0"});
  const auto channel = PlainChannel(cluster.address());
  const RawWorker raw("raw", channel);
  ASSERT_THAT(raw.Join(), IsOk());
  ASSERT_THAT(SubmitRun(channel, {"github:acme"}), IsOk());
  const auto lent = raw.Acquire();  // … and is never heard of again.
  ASSERT_THAT(lent, IsOk());
  EXPECT_EQ(Figures(Scrape(cluster.coordinator()))["unsprawl_leases"], 1);
  EXPECT_TRUE(cluster.coordinator().WaitFor(absl::StrFormat("event=expired run=1 shard=%d worker=raw ", lent->lease().shard())));
  forge_.Fault({{"match", "app1.git/info/refs"}, {"times", nullptr}, {"kind", "status"}, {"status", 500}});
  cluster.StartWorker("w0");
  EXPECT_TRUE(cluster.coordinator().WaitFor("event=parked ")) << cluster.coordinator().err();
  EXPECT_THAT(cluster.coordinator().err(), HasSubstr("class=RETRY attempts=4 "));
  EXPECT_TRUE(cluster.coordinator().WaitFor("state=RUN_STATE_DONE"));
  std::map<std::string, double> of = Figures(Scrape(cluster.coordinator()));
  EXPECT_GE(of["unsprawl_shards_failed_total{class=\"LOST\"}"], 1);
  EXPECT_GE(of["unsprawl_shards_failed_total{class=\"RETRY\"}"], 3);
  EXPECT_EQ(of["unsprawl_shards_parked_total{class=\"RETRY\"}"], 1);
  std::map<std::string, double> by = Figures(Scrape(cluster.worker("w0")));
  EXPECT_GE(by["unsprawl_worker_ended_total{code=\"UNAVAILABLE\",how=\"FAILED\"}"], 3);

  // The coordinator goes and comes back: the worker says that it went on.
  cluster.coordinator().Signal(SIGKILL);
  cluster.coordinator().Wait();
  ASSERT_TRUE(cluster.worker("w0").WaitFor("event=waiting "));
  cluster.StartCoordinator();
  ASSERT_TRUE(cluster.worker("w0").WaitFor("event=answered "));
  by = Figures(Scrape(cluster.worker("w0")));
  EXPECT_EQ(by["unsprawl_worker_reconnects_total"], 1);
  EXPECT_GE(by["unsprawl_worker_rpc_seconds_count{code=\"UNAVAILABLE\",method=\"Acquire\"}"] +
                by["unsprawl_worker_rpc_seconds_count{code=\"UNAVAILABLE\",method=\"Renew\"}"],
            1);
}

TEST_F(ClusterMetricsTest, WhereTheyCannotBeServedIsSaid) {
  for (const char* address : {"127.0.0.1:99999", "192.0.2.1:9", "a b"}) {
    const CliResult refused = cli_.Run({"coordinator", "--listen", "127.0.0.1:0", "--metrics", address});
    EXPECT_EQ(refused.exit_code, 2) << address;
    EXPECT_THAT(refused.err, HasSubstr("cannot serve metrics on")) << address;
  }
}

}  // namespace
}  // namespace unsprawl
