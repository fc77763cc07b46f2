// A coordinator and workers report what one machine does, byte for byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/python_server.h"
#include "tests/support/report_lines.h"
#include "tests/support/small_organization.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;

class ClusterTest : public SmallOrganization {
 protected:
  // Of the coordinator, and of workers, beside what Cluster gives.
  std::vector<std::string> AtForge(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::vector<std::string> Fetching() const { return {"--ca-file", forge_.CaFile()}; }
  // By one machine, whose store and mirrors are the same each time.
  CliResult ScanAlone() const {
    return cli_.Scan(AtForge({"--store", home_.path() / "alone", "--mirrors", home_.path() / "mirrors", "github:acme"}));
  }

  ForgeServer forge_{Settings()};
};

TEST_F(ClusterTest, ReportsWhatOneMachineDoes) {
  ASSERT_EQ(ScanAlone().exit_code, 1);
  const auto first = cli_.WholeReportFiles();
  ASSERT_EQ(ScanAlone().exit_code, 1);
  const auto second = cli_.WholeReportFiles();
  EXPECT_NE(FirstDifference(second, first), "") << "the second knows of the first";
  for (const int workers : {1, 2, 4}) {
    SCOPED_TRACE(workers);
    std::filesystem::remove_all(home_.path() / "cluster");
    Cluster cluster(cli_, AtForge(), Fetching());
    for (int i = 0; i < workers; ++i) cluster.StartWorker(absl::StrFormat("w%d", i));
    const CliResult together = cluster.Scan({"github:acme"});
    ASSERT_EQ(together.exit_code, 1) << together.err << cluster.coordinator().err() << cluster.worker("w0").err();
    EXPECT_EQ(FirstDifference(cli_.WholeReportFiles(), first), "");
    ASSERT_EQ(cluster.Scan({"github:acme"}).exit_code, 1);
    EXPECT_EQ(FirstDifference(cli_.WholeReportFiles(), second), "");
  }
}

// Adds a repository of many commits to the forge; its id is 200.
void AddLarge(const ForgeServer& forge, const std::filesystem::path& folder) {
  GitRepo repo(folder / "work" / "large");
  for (uint32_t i = 0; i < 60; ++i) {
    std::string noise;
    for (uint32_t word = 0; word < 300; ++word) noise += FakeAwsKeyId(word + 1'000 * i).substr(4) + "\n";
    repo.Write(absl::StrFormat("f%d.txt", i), noise + "t=" + (i % 7 == 0 ? FakeGithubToken(100 + i) : "") + "\n");
    repo.Commit();
  }
  unsprawl::Run(folder, {"git", "clone", "-q", "--bare", repo.path(), folder / "large.git"});
  unsprawl::Run(folder, {"git", "-C", folder / "large.git", "gc", "-q"});
  forge.ChangeRepository({{"id", 200}, {"owner", "acme"}, {"name", "large"}, {"private", true},
                          {"path", folder / "large.git"}, {"size_kb", 1000}});
}

TEST_F(ClusterTest, AGiantRepositoryIsDividedAmongWorkers) {
  AddLarge(forge_, home_.path());
  ASSERT_EQ(SmallOrganization::Scan(forge_, {"github:acme", "--ca-file", forge_.CaFile()}).exit_code, 1);
  const auto report = cli_.ReportFiles();
  Cluster cluster(cli_, AtForge({"--cut-size", "20000"}), Fetching());
  for (const char* name : {"w0", "w1", "w2"}) cluster.StartWorker(name);
  // Who has joined and asked for nothing yet does not count.
  ASSERT_TRUE(Await([&] { return cluster.Status()["workers"].size() == 3; }));
  const CliResult together = cluster.Scan({"github:acme"});
  ASSERT_EQ(together.exit_code, 1) << together.err << cluster.coordinator().err();
  EXPECT_EQ(cli_.ReportFiles(), report);
  EXPECT_THAT(cluster.coordinator().err(), HasSubstr("event=cut "));
}

TEST_F(ClusterTest, WhatCannotBeFetchedReadsAsOnOneMachine) {
  Cluster cluster(cli_, AtForge({"--retry-seconds", "0"}), Fetching());
  cluster.StartWorker("w0");
  ASSERT_EQ(ScanAlone().exit_code, 1);
  ASSERT_EQ(cluster.Scan({"github:acme"}).exit_code, 1);
  // One that was scanned before, and a new one.
  const nlohmann::json app1 = Settings()["repositories"][1];
  forge_.ChangeRepository({{"id", app1["id"]}, {"pushed_at", "2031-01-01T00:00:00Z"}});
  nlohmann::json added = app1;
  added.update({{"id", 300}, {"name", "app1-new"}});
  forge_.ChangeRepository(added);
  forge_.Fault({{"match", "app1.*info/refs"}, {"times", nullptr}, {"kind", "status"}, {"status", 500}});
  ASSERT_EQ(ScanAlone().exit_code, 3);
  const auto report = cli_.ReportFiles();
  EXPECT_EQ(Outcome("app1")["status"], "failed");
  EXPECT_EQ(Outcome("app1-new")["status"], "failed");
  const CliResult together = cluster.Scan({"github:acme"});
  ASSERT_EQ(together.exit_code, 3) << together.err << cluster.coordinator().err();
  EXPECT_EQ(cli_.ReportFiles(), report);
}

TEST_F(ClusterTest, WhatAForcePushDropsOfOneWorkersMirrorIsFoundThoughAnotherTakesTheRepository) {
  ASSERT_EQ(ScanAlone().exit_code, 1);
  Cluster cluster(cli_, AtForge(), Fetching());
  cluster.StartWorker("w0");
  ASSERT_EQ(cluster.Scan({"github:acme"}).exit_code, 1);
  // The forge has no more of it than the mirrors.
  const std::filesystem::path bare = home_.path() / "app1.git", work = home_.path() / "work/1";
  WriteFile(work / "s.env", "nothing\n");
  unsprawl::Run(work, {"git", "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-q", "-a", "--amend", "-m", "x"});
  unsprawl::Run(work, {"git", "push", "-q", "-f", bare, "HEAD"});
  unsprawl::Run(bare, {"git", "reflog", "expire", "--all", "--expire=now"});
  unsprawl::Run(bare, {"git", "gc", "-q", "--prune=now"});
  forge_.ChangeRepository({{"id", 101}, {"pushed_at", "2024-05-02T12:00:00Z"}});
  ASSERT_EQ(ScanAlone().exit_code, 1);
  const auto report = cli_.WholeReportFiles();
  // It lives, and asks for nothing for now.
  cluster.worker("w0").SignalAll(SIGSTOP);
  cluster.StartWorker("w1");
  BackgroundProgram client(cli_, "client", {"scan", "--quiet", "--coordinator", cluster.address(), "--output",
                                            cli_.report(), "github:acme"});
  EXPECT_TRUE(cluster.coordinator().WaitFor("event=sent_home ")) << cluster.coordinator().err();
  cluster.worker("w0").SignalAll(SIGCONT);
  EXPECT_EQ(client.Wait(), 1) << client.err();
  EXPECT_EQ(FirstDifference(cli_.WholeReportFiles(), report), "");
}

TEST_F(ClusterTest, StatusSaysWhatBecameOfEachRunsRepositories) {
  Cluster cluster(cli_, AtForge(), Fetching());
  cluster.StartWorker("w0");
  const auto said = [&] { return cli_.Run({"status", "--coordinator", cluster.address()}).out; };
  EXPECT_THAT(said(), testing::StartsWith("no run yet\n"));
  ASSERT_EQ(cluster.Scan({"github:acme"}).exit_code, 1);
  EXPECT_THAT(said(), HasSubstr("  repositories: 3, of them 0 unchanged, 3 done, 0 to do\n"));
  ASSERT_EQ(cluster.Scan({"github:acme"}).exit_code, 1);
  EXPECT_THAT(said(), HasSubstr("  repositories: 3, of them 3 unchanged, 0 done, 0 to do\n"));
  EXPECT_THAT(said(), testing::ContainsRegex("\n       1  done       [-0-9]{10}T[:0-9]{8}Z  yes                 3 of 3   "));
  const nlohmann::json status = cluster.Status();
  EXPECT_EQ(status["run"]["repositories"]["unchanged"], "3");
  ASSERT_EQ(status["last"].size(), 1U);
  EXPECT_EQ(status["last"][0]["repositories"]["done"], "3");
}

TEST_F(ClusterTest, WhoAsksACoordinatorThatHangsIsToldSoSoon) {
  Cluster cluster(cli_, AtForge(), Fetching());
  cluster.coordinator().Signal(SIGSTOP);
  const CliResult status = cli_.Run({"status", "--coordinator", cluster.address()});
  EXPECT_EQ(status.exit_code, 2);
  EXPECT_THAT(status.err, HasSubstr("does not answer"));
}

TEST_F(ClusterTest, ALocalRepositoryIsRefusedInClearWords) {
  Cluster cluster(cli_, AtForge(), Fetching());
  const CliResult refused = cluster.Scan({home_.path() / "app0.git"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("without a coordinator"));
}

TEST_F(ClusterTest, FetchesTheReportOfARunThatNobodyFollowed) {
  Cluster cluster(cli_, AtForge(), Fetching());
  const std::vector<std::string> ask = {"report", "--coordinator", cluster.address(), "-o", home_.path() / "fetched"};
  const CliResult none = cli_.Run(ask);
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("no run is done yet"));
  cluster.StartWorker("w0");
  ASSERT_EQ(cluster.Scan({"github:acme"}).exit_code, 1);
  const CliResult fetched = cli_.Run(ask);
  ASSERT_EQ(fetched.exit_code, 1) << fetched.err;
  EXPECT_THAT(fetched.out, HasSubstr("secret"));
  for (const char* name : {"incidents.jsonl", "occurrences.jsonl", "manifest.json", "run.json", "report.html"}) {
    EXPECT_TRUE(ReadFile(home_.path() / "fetched" / name) == ReadFile(cli_.report() / name)) << name;
  }
  std::filesystem::remove_all(home_.path() / "cluster" / "reports");
  EXPECT_THAT(cli_.Run(ask).err, HasSubstr("is kept no longer: those of the last 10 are"));
}

TEST_F(ClusterTest, WhoFetchesAReportIsToldWhatItsScanWas) {
  Cluster cluster(cli_, AtForge({"--retry-seconds", "0"}), Fetching());
  cluster.StartWorker("w0");
  const auto report = [&](const std::vector<std::string>& more) {
    std::vector<std::string> ask = {"report", "--coordinator", cluster.address(), "-o", home_.path() / "fetched"};
    ask.insert(ask.end(), more.begin(), more.end());
    return cli_.Run(ask).exit_code;
  };
  std::set<int> seen;
  const auto expect_same = [&](const std::string& fail_on) {
    SCOPED_TRACE(fail_on);
    const CliResult scan = cluster.Scan({"--fail-on", fail_on, "github:acme"});
    seen.insert(scan.exit_code);
    EXPECT_EQ(report({"--fail-on", fail_on}), scan.exit_code) << scan.err;
  };
  for (const char* fail_on : {"none", "low", "critical", "new"}) expect_same(fail_on);
  EXPECT_EQ(seen, std::set<int>({0, 1}));
  forge_.Fault({{"match", "app0.git"}, {"kind", "status"}, {"status", 403}, {"times", nullptr}});
  forge_.ChangeRepository({{"id", 100}, {"pushed_at", "2031-01-01T00:00:00Z"}});
  for (const char* fail_on : {"none", "low"}) expect_same(fail_on);
  EXPECT_EQ(seen, std::set<int>({0, 1, 3}));
  EXPECT_EQ(report({"--run", "1"}), 1);  // That of a run of before, which was complete.
}

// A coordinator with a report of 40 MB, which takes 6 s to fetch, and what stands between.
class LargeReportTest : public ClusterTest {
 protected:
  LargeReportTest() : cluster_(cli_, AtForge(), Fetching()) {
    cluster_.StartWorker("w");
    EXPECT_EQ(cluster_.Scan({"github:acme"}).exit_code, 1);
    std::string noise;
    while (noise.size() < size_t{40} << 20) noise += FakeAwsKeyId(static_cast<uint32_t>(noise.size()));
    WriteFile(report_ / "large", noise);
    const std::string port = cluster_.address().substr(cluster_.address().find(':') + 1);
    const nlohmann::json listens = nlohmann::json::parse(proxy_.Start("tcp_proxy.py", {port}));
    const int proxy = listens["ports"][0];
    control_ = listens["control"];
    Proxy("delay 10");  // of every 64 kB
    client_ = std::make_unique<BackgroundProgram>(
        cli_, "client", std::vector<std::string>{"report", "--coordinator", absl::StrFormat("127.0.0.1:%d", proxy), "-o",
                                                 fetched_});
  }
  void Proxy(const std::string& command) const {
    unsprawl::Run("/", {"python3", "-c",
                        absl::StrFormat("import socket\ns = socket.create_connection(('127.0.0.1', %d))\n"
                                        "s.sendall(b'%s')\ns.recv(9)", control_, command)});
  }
  bool AwaitEnd(absl::Duration patience) const {
    for (const absl::Time until = absl::Now() + patience; client_->running(); absl::SleepFor(absl::Milliseconds(50))) {
      if (absl::Now() > until) return false;
    }
    return true;
  }

  Cluster cluster_;
  const std::filesystem::path report_ = home_.path() / "cluster" / "reports" / "run-1", fetched_ = home_.path() / "fetched";
  PythonServer proxy_;
  int control_ = 0;
  std::unique_ptr<BackgroundProgram> client_;
};

TEST_F(LargeReportTest, ArrivesHoweverOftenItsConnectionBreaks) {
  int cuts = 0;
  for (; cuts < 40 && !AwaitEnd(absl::Seconds(1)); ++cuts) Proxy("cut");
  EXPECT_GE(cuts, 4);
  ASSERT_LT(cuts, 40) << client_->err();
  EXPECT_EQ(client_->Wait(), 1) << client_->err();
  for (const auto& file : std::filesystem::directory_iterator(report_)) {
    EXPECT_TRUE(ReadFile(file) == ReadFile(fetched_ / file.path().filename())) << file.path();
  }
}

TEST_F(LargeReportTest, IsGivenUpInClearWordsWhenNoMoreOfItComes) {
  ASSERT_FALSE(AwaitEnd(absl::Seconds(2)));
  cluster_.coordinator().SignalAll(SIGKILL);
  ASSERT_TRUE(AwaitEnd(absl::Seconds(90)));
  EXPECT_EQ(client_->Wait(), 2);
  EXPECT_THAT(client_->err(), HasSubstr("bytes of the report have come, and no more"));
  EXPECT_TRUE(std::filesystem::is_empty(fetched_));
}

TEST_F(ClusterTest, AWorkerThatIsStoppedWhileNobodyAnswersHasNotFailed) {
  BackgroundProgram worker(cli_, "alone", {"worker", "--coordinator", "127.0.0.1:9"});
  ASSERT_TRUE(worker.WaitFor("event=waiting ")) << worker.err();
  worker.Signal(SIGTERM);
  EXPECT_EQ(worker.Wait(), 0) << worker.err();
}

}  // namespace
}  // namespace unsprawl
