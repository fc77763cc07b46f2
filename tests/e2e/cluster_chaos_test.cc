// Whatever is killed, stopped, cut, sent twice, filled up or set wrong while a cluster scans: its report is that of one
// machine, nothing is left leased, no process is left behind, and stores and mirrors are whole.
//
// Each worker has a network of its own, whose only way out leads to the forge and to the coordinator, to which calls of
// all but the first pass a proxy that can hand them on twice.
//
// UNSPRAWL_SEED=7 makes other choices; UNSPRAWL_CHAOS=200 makes as many events as that (bench/chaos), and
// UNSPRAWL_CHAOS_OF_A_RUN=200 has them all befall one run, of as many repositories.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/certs_command.h"
#include "tests/support/cli.h"
#include "tests/support/cluster.h"
#include "tests/support/duplicating_proxy.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"
#include "tests/support/processes.h"
#include "tests/support/python_server.h"
#include "tests/support/report_lines.h"
#include "tests/support/small_disk.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr char kToken[] = "the-token-of-the-reader";
constexpr int kForks = 2, kWorkers = 3;
constexpr char kFaketime[] = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

uint64_t Variable(const char* name, uint64_t otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

void Sleep(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

class ClusterChaosTest : public testing::Test {
 protected:
  // `direct`: so many workers call the coordinator themselves.
  explicit ClusterChaosTest(const std::string& lease_seconds = "2", int direct = 1,
                            const std::string& retry_seconds = "1") {
    for (Cli* const cli : {&alone_, &cli_}) {
      cli->SetVariable("GITHUB_TOKEN", kToken);
      cli->SetVariable("UNSPRAWL_KEY", std::string(64, '7'));  // Fingerprints are to be the same.
    }
    MakeCertificates(absl::Now(), false);
    cli_.SetVariable("UNSPRAWL_TLS_CA", home_.path() / "tls/ca.pem");
    cli_.SetVariable("UNSPRAWL_TLS_CERT", home_.path() / "tls/admin-a.pem");
    cli_.SetVariable("UNSPRAWL_TLS_KEY", home_.path() / "tls/admin-a.key");
    json repositories = json::array();
    for (int i = 0; i < repositories_ + kForks; ++i) {
      repos_.push_back(std::make_unique<GitRepo>(home_.path() / absl::StrFormat("work%d", i)));
      if (i >= repositories_) repos_[i]->Git({"pull", "-q", Bare(0), "main"});
      for (int commit = 0; commit < 6; ++commit) Grow(i);
      unsprawl::Run(home_.path(), {"git", "clone", "-q", "--bare", repos_[i]->path(), Bare(i)});
      json row = {{"id", 100 + i}, {"owner", "acme"}, {"name", absl::StrFormat("app%d", i)}, {"private", true},
                  {"path", Bare(i)}, {"pushed_at", PushedAt()}};
      if (i >= repositories_) row.update({{"fork", true}, {"parent_id", 100}});
      if (i == 1) row["wiki_path"] = Bare(2);
      repositories.push_back(row);
    }
    forge_ = std::make_unique<ForgeServer>(json{{"repositories", repositories},
                                                {"git_latency", of_a_run_ > 8 ? 2 : 0.15},
                                                {"tokens", {{"reader", {{"value", kToken}}}}}});
    coordinator_disk_ = std::make_unique<SmallDisk>(home_.path() / "cluster");
    for (int i = 0; i < kWorkers; ++i) {
      workers_[i].disk = std::make_unique<SmallDisk>(home_.path() / absl::StrFormat("mirrors%d", i));
    }
    if (!coordinator_disk_->mounted()) std::printf("no disk is filled up here: mounting one takes root\n");
    if (!fs::exists(kFaketime)) std::printf("no clock is set here: that takes libfaketime\n");
    std::vector<std::string> coordinator = {"--api-url", forge_->ApiUrl(), "--ca-file", forge_->CaFile(),
                                            "--lease-seconds", lease_seconds, "--retry-seconds", retry_seconds};
    AddTls("coordinator", &coordinator);
    cluster_ = std::make_unique<Cluster>(cli_, coordinator, std::vector<std::string>{});
    groups_.insert(cluster_->coordinator().pid());
    Connect(direct);
    for (int i = 0; i < kWorkers; ++i) StartWorker(i);
  }
  ~ClusterChaosTest() override {
    for (Worker& worker : workers_) worker.program = nullptr;
    cluster_ = nullptr;
  }

  // ---- what is scanned

  fs::path Bare(int i) const { return home_.path() / absl::StrFormat("r%d.git", i); }
  std::string PushedAt() { return absl::StrFormat("2024-05-%02dT12:%02d:00Z", 1 + pushes_ / 60, pushes_ % 60); }

  // One more commit with a secret, some of which are in several repositories, and much that is none.
  void Grow(int i) {
    const uint32_t seed = ++commits_;
    repos_[i]->Write(absl::StrFormat("f%d.env", seed % 5), "t=" + FakeGithubToken(seed % 40) + "\n");
    for (uint32_t file = 0; file < 12; ++file) {
      std::string noise;
      for (uint32_t word = 0; word < 60; ++word) noise += FakeAwsKeyId(word + 100 * file + 10'000 * seed).substr(4) + "\n";
      repos_[i]->Write(absl::StrFormat("src/%d/%d.txt", seed, file), noise);
    }
    repos_[i]->Commit();
  }
  void Push() {
    ++pushes_;
    for (int i = 0; i < repositories_ + kForks; ++i) {
      if (i == 3 && pushes_ >= 2) continue;
      // What loses its files is pushed to: else whoever trusts his clock does not ask for it, and who cannot does.
      const bool loses = i == 4 && pushes_ == 3;
      if (!loses && random_() % 3 == 0) continue;
      if (i >= repositories_ && random_() % 2 == 0) {  // A fork may have what is new in its parent.
        repos_[i]->Git({"pull", "-q", "--no-edit", "--no-rebase", "-X", "ours", Bare(0), "main"});
      }
      Grow(i);
      repos_[i]->Git({"push", "-q", Bare(i), "HEAD:main"});
      forge_->ChangeRepository({{"id", 100 + i}, {"pushed_at", PushedAt()}});
    }
    // One is gone, and of another the forge has lost the files.
    if (pushes_ == 2) forge_->ChangeRepository({{"id", 103}, {"deleted", true}});
    if (pushes_ == 3) forge_->ChangeRepository({{"id", 104}, {"path", (home_.path() / "nowhere.git").native()}});
  }

  using Report = std::map<std::string, std::string>;  // its files by name

  Report ReportOfOneMachine() {
    const CliResult scan = alone_.Scan({"--api-url", forge_->ApiUrl(), "--ca-file", forge_->CaFile(), "github:acme"});
    EXPECT_TRUE(scan.exit_code == 1 || scan.exit_code == 3) << scan.err;
    expected_exit_ = scan.exit_code;
    return alone_.ReportFiles();
  }

  // ---- the cluster

  CertificateFiles Tls(const std::string& who) const {
    const fs::path dir = home_.path() / "tls";
    return {.ca = dir / "ca.pem", .certificate = dir / (who + ".pem"), .key = dir / (who + ".key")};
  }
  void AddTls(const std::string& who, std::vector<std::string>* arguments) const {
    const CertificateFiles files = Tls(who);
    arguments->insert(arguments->end(),
                      {"--tls-ca", files.ca, "--tls-cert", files.certificate, "--tls-key", files.key});
  }
  // Of all, or of the workers once more.
  void MakeCertificates(absl::Time now, bool renew, int days = 30) {
    CertsOptions options;
    options.dir = home_.path() / "tls";
    for (int i = 0; i < kWorkers; ++i) options.worker_names.push_back(absl::StrFormat("w%d", i));
    options.renew = renew;
    options.days = days;  // More than any clock is ahead here.
    if (!renew) {
      options.coordinator_hosts = {"127.0.0.1", "localhost"};
      options.admin_names = {"a"};
    }
    EXPECT_THAT(MakeCerts(options, now), IsOk());
  }

  static std::string PortOf(const std::string& url) { return url.substr(url.rfind(':') + 1); }

  // The ways of the workers to the coordinator and, where they have a network of their own, to the forge.
  void Connect(int direct) {
    std::vector<std::string> arguments = {"--networks", std::to_string(kWorkers)};
    for (int i = 0; i < kWorkers; ++i) {
      if (i >= direct) {
        workers_[i].calls = std::make_unique<DuplicatingProxy>(cluster_->address(), Tls("coordinator"),
                                                               Tls(absl::StrFormat("worker-w%d", i)), random_());
      }
      arguments.push_back(i < direct ? PortOf(cluster_->address()) : std::to_string(workers_[i].calls->port()));
    }
    arguments.push_back(PortOf(forge_->Url()));
    proxies_ = json::parse(proxy_.Start("tcp_proxy.py", arguments), nullptr, false);
    ASSERT_TRUE(proxies_.is_object());
    if (!apart()) std::printf("no worker has a network of its own here: making one takes root\n");
  }
  bool apart() const { return !proxies_["networks"].empty(); }

  void StartWorker(int i) {
    const std::string name = absl::StrFormat("w%d", i);
    std::vector<std::string> arguments = {"worker", "--coordinator",
                                          absl::StrFormat("localhost:%d", proxies_["ports"][i].get<int>()),
                                          "--name", name, "--quiet", "-j", "1", "--fetch-jobs", "2", "--ca-file",
                                          forge_->CaFile(), "--mirrors", home_.path() / absl::StrFormat("mirrors%d/m", i)};
    AddTls("worker-" + name, &arguments);
    Cli cli(cli_);
    if (apart()) cli.SetNetwork(proxies_["networks"][i]);
    workers_[i].program = nullptr;
    workers_[i].program = std::make_unique<BackgroundProgram>(cli, name, arguments);
    groups_.insert(workers_[i].program->pid());
  }

  void StartCoordinator() {
    cluster_->StartCoordinator();
    groups_.insert(cluster_->coordinator().pid());
  }

  void Proxy(const std::string& command) const {
    unsprawl::Run("/", {"python3", "-c",
                        absl::StrFormat("import socket\ns = socket.create_connection(('127.0.0.1', %d))\n"
                                        "s.sendall(b'%s')\ns.recv(9)", proxies_["control"].get<int>(), command)});
  }

  // Kills one of those below a worker whose name begins so.
  bool KillBelow(const BackgroundProgram& worker, const std::string& name) {
    std::vector<pid_t> found;
    for (const Process& process : ProcessesOf(worker.pid())) {
      if (process.id != worker.pid() && process.name.rfind(name, 0) == 0) found.push_back(process.id);
    }
    // The first is the launcher: without it there is no worker.
    if (name == "unsprawl" && !found.empty()) found.erase(std::min_element(found.begin(), found.end()));
    return !found.empty() && kill(found[random_() % found.size()], SIGKILL) == 0;
  }

  // ---- what befalls it; each returns whether it happened

  using Kinds = std::vector<std::pair<std::string, std::function<bool()>>>;

  bool KillCoordinator() {
    cluster_->coordinator().SignalAll(SIGKILL);
    Sleep(random_() % 3 == 0 ? 2500 : static_cast<int>(random_() % 500));
    StartCoordinator();
    return true;
  }
  bool RestartCoordinator() {
    cluster_->coordinator().Signal(SIGTERM);
    EXPECT_EQ(cluster_->coordinator().Wait(), 0);
    StartCoordinator();
    return true;
  }
  bool StopCoordinator() {
    cluster_->coordinator().SignalAll(SIGSTOP);
    Sleep(2500 + static_cast<int>(random_() % 1000));
    cluster_->coordinator().SignalAll(SIGCONT);
    return true;
  }
  bool KillWorker() {
    const int i = AnyWorker();
    workers_[i].program->SignalAll(SIGKILL);
    Sleep(static_cast<int>(random_() % 1000));
    StartWorker(i);
    return true;
  }
  bool KillProgramOfWorker() {
    const int i = AnyWorker();
    std::set<pid_t> groups;  // git has its own
    for (const Process& process : ProcessesOf(workers_[i].program->pid())) groups.insert(process.group);
    workers_[i].program->Signal(SIGKILL);
    EXPECT_TRUE(AwaitNobodyOf(groups)) << "below a worker that was killed";
    StartWorker(i);
    return true;
  }
  bool KillGit() { return KillBelow(*workers_[AnyWorker()].program, "git"); }
  bool KillGitUntilSomethingIsGivenUp() {
    for (int i = 0; i < 1000 && cluster_->Status()["parked"].empty(); ++i) {
      for (const Worker& worker : workers_) KillBelow(*worker.program, "git");
    }
    return true;
  }
  bool KillScanner() { return KillBelow(*workers_[AnyWorker()].program, "unsprawl"); }
  bool StopWorker() {
    const int i = AnyWorker();
    workers_[i].program->SignalAll(SIGSTOP);
    Sleep(2500 + static_cast<int>(random_() % 1000));
    workers_[i].program->SignalAll(SIGCONT);
    return true;
  }
  bool DrainWorker() {
    const int i = AnyWorker();
    workers_[i].program->Signal(SIGTERM);
    EXPECT_EQ(workers_[i].program->Wait(), 0) << "a drained worker: " << workers_[i].program->err();
    StartWorker(i);
    return true;
  }
  bool Cut() {
    Proxy("cut");
    for (const Worker& worker : workers_) {
      if (worker.calls != nullptr) worker.calls->Reconnect();
    }
    return true;
  }
  // For less than a lease, or for more.
  bool Part() {
    if (!apart()) return false;
    Proxy(absl::StrFormat("part %d %d", AnyWorker(), 200 + random_() % 4000));
    return true;
  }
  bool Duplicate(absl::Duration time) {
    for (const Worker& worker : workers_) {
      if (worker.calls != nullptr) worker.calls->DuplicateUntil(absl::Now() + time);
    }
    return true;
  }
  bool Withhold() {
    Proxy(absl::StrFormat("withhold %d", 20 + random_() % 300));
    return true;
  }
  bool Delay() {
    Proxy(absl::StrFormat("delay %d", 20 + random_() % 100));
    Sleep(1000);
    Proxy("delay 0");
    return true;
  }
  bool FillWorker() {
    const SmallDisk& disk = *workers_[AnyWorker()].disk;
    if (!disk.Fill(random_() % 100'000)) return false;
    Sleep(500);
    disk.Empty();
    return true;
  }
  bool FillCoordinator() {
    if (!coordinator_disk_->Fill(random_() % 100'000)) return false;
    Sleep(500);
    coordinator_disk_->Empty();
    return true;
  }
  // Those of the workers expire, and are renewed when that has stopped them for a while.
  bool ExpireCertificates() {
    MakeCertificates(absl::Now() - absl::Hours(24) + absl::Seconds(9), true, 1);
    Sleep(5500);  // Files are looked at every five seconds.
    Cut();
    Sleep(4000);
    MakeCertificates(absl::Now(), true);
    Sleep(5500);
    return Cut();
  }
  // The coordinator's, a day ahead or back again; it has one of its own once it runs.
  bool SetClock() {
    if (!fs::exists(kFaketime)) return false;
    ahead_ = !ahead_;
    if (ahead_) {
      cli_.SetVariable("LD_PRELOAD", kFaketime);
      cli_.SetVariable("FAKETIME", "+1d");
      cli_.SetVariable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    KillCoordinator();
    for (const char* const name : {"LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC"}) cli_.RemoveVariable(name);
    return true;
  }

  int AnyWorker() { return static_cast<int>(random_() % kWorkers); }

  // ---- what must be true

  static bool AwaitNobodyOf(const std::set<pid_t>& groups, const std::set<std::string>& networks = {}) {
    for (int i = 0; i < 100; ++i) {
      const std::vector<Process> all = Processes();
      if (std::none_of(all.begin(), all.end(), [&](const Process& process) {
            return groups.contains(process.group) || networks.contains(process.network);
          })) {
        return true;
      }
      Sleep(100);
    }
    return false;
  }

  std::string AllErrors() const {
    std::string all = "coordinator:\n" + ReadFile(home_.path() / "coordinator.err");
    for (int i = 0; i < kWorkers; ++i) all += absl::StrFormat("w%d:\n", i) + ReadFile(home_.path() / absl::StrFormat("w%d.err", i));
    return all;
  }

  static std::string Text(const json& field) { return field.get<std::string>(); }
  static json Occurrences(const Report& report) {
    json rows = json::array();
    const auto found = report.find("occurrences.jsonl");
    std::istringstream lines(found == report.end() ? "" : found->second);
    for (std::string line; std::getline(lines, line);) rows.push_back(json::parse(line, nullptr, false));
    return rows;
  }
  static json Repositories(const Report& report) {
    return json::parse(report.at("manifest.json"), nullptr, false)["repositories"];
  }

  // A line for each place in the repositories that are, or are not, in `these`.
  static std::vector<std::string> Places(const Report& report, const std::set<std::string>& these, bool in) {
    std::vector<std::string> places;
    for (json row : Occurrences(report)) {
      if (these.contains(Text(row["repository"])) != in) continue;
      for (const char* const of_all_places : {"severity", "score"}) row.erase(of_all_places);
      places.push_back(row.dump());
    }
    std::sort(places.begin(), places.end());
    return places;
  }

  // An incomplete report names what was given up and why, says of it what the last one said, and of everything else
  // what one machine says.
  void ExpectRightAsFarAsItGoes(const Report& report, const Report& expected) const {
    std::set<std::string> given_up, touched;  // repositories; incidents that have places in them
    const json had = Repositories(report), wanted = Repositories(expected);
    ASSERT_EQ(had.size(), wanted.size());
    for (size_t i = 0; i < had.size(); ++i) {
      if (had[i] == wanted[i]) continue;
      given_up.insert(Text(had[i]["name"]));
      EXPECT_EQ(had[i]["name"], wanted[i]["name"]);
      EXPECT_EQ(had[i]["status"], "failed") << had[i] << " instead of " << wanted[i];
      EXPECT_NE(had[i]["reason"], "") << had[i];
    }
    EXPECT_FALSE(given_up.empty());
    EXPECT_THAT(Differences(Places(report, given_up, false), Places(expected, given_up, false)), testing::IsEmpty());
    EXPECT_THAT(Differences(Places(report, given_up, true), Places(last_, given_up, true)), testing::IsEmpty());
    for (const Report* const of : {&report, &expected}) {
      for (const json& row : Occurrences(*of)) {
        if (given_up.contains(Text(row["repository"]))) touched.insert(Text(row["incident"]));
      }
    }
    const auto incidents = [&](const Report& of) {  // lines: what ReportFiles leaves of one is no JSON
      std::vector<std::string> rows;
      std::istringstream lines(of.at("incidents.jsonl"));
      for (std::string line; std::getline(lines, line);) {
        const std::string id = line.substr(line.find("\"id\":\"") + 6, 32);
        if (!touched.contains(id)) rows.push_back(line);
      }
      std::sort(rows.begin(), rows.end());
      return rows;
    };
    EXPECT_THAT(Differences(incidents(report), incidents(expected)), testing::IsEmpty());
    std::printf("incomplete: without %d of %d repositories, %d incidents are as they should be\n",
                static_cast<int>(given_up.size()), static_cast<int>(had.size()), static_cast<int>(incidents(report).size()));
  }

  // Scans with what befalls the cluster meanwhile; then once more in peace, if a shard was given up for it. Each of
  // `kinds` comes before any comes again.
  void ScanAmid(const Kinds& kinds, int events) {
    Push();
    const Report expected = ReportOfOneMachine();
    fs::remove_all(cli_.report());
    fs::remove(home_.path() / "client.err");
    BackgroundProgram client(cli_, "client", {"scan", "--quiet", "--coordinator", cluster_->address(), "--output",
                                              cli_.report(), "github:acme"});
    for (int i = 0; i < events && client.running(); ++i) {
      Sleep(100 + static_cast<int>(random_() % 400));
      if (!client.running()) break;
      if (order_.empty()) {
        for (size_t kind = 0; kind < kinds.size(); ++kind) order_.push_back(kind);
        std::shuffle(order_.begin(), order_.end(), random_);
      }
      const auto& [name, happen] = kinds[order_.back()];
      order_.pop_back();
      std::printf("%s\n", name.c_str());
      std::fflush(stdout);
      if (!happen()) continue;
      ++counts_[name];
      ++events_;
    }
    for (int i = 0; i < kWorkers; ++i) {  // A worker stays, whatever befalls it.
      ASSERT_TRUE(workers_[i].program->running()) << workers_[i].program->err();
    }
    for (int waited = 0; waited < 100 * repositories_ && client.running(); ++waited) Sleep(100);
    ASSERT_FALSE(client.running()) << "it does not end: " << cluster_->Status().dump(1) << AllErrors();
    const int exit_code = client.Wait();
    ++runs_;
    // A report that cannot be written to a full disk is none, and that is said.
    const bool none = client.err().find("No space left on device") != std::string::npos;
    ASSERT_TRUE(none || fs::exists(cli_.report())) << client.err() << AllErrors();
    Report report;
    if (!none) report = cli_.ReportFiles();
    if (exit_code == 3 && report != expected) {
      ++given_up_;  // After four attempts, and said so: the next run has it.
      if (!none) ExpectRightAsFarAsItGoes(report, expected);
      EXPECT_EQ(cluster_->Scan({"github:acme"}).exit_code, expected_exit_);
      report = cli_.ReportFiles();
    } else {
      EXPECT_EQ(exit_code, expected_exit_) << client.err();
    }
    EXPECT_EQ(FirstDifference(report, expected), "") << AllErrors();
    last_ = expected;
    const json status = cluster_->Status();
    ASSERT_FALSE(status.is_null());
    EXPECT_EQ(status["pending"], "0") << status;
    EXPECT_EQ(status["leased"], "0") << status;
    CheckMirrors();
  }

  void CheckMirrors() {
    for (int i = 0; i < kWorkers; ++i) {
      std::error_code error;
      for (const auto& entry : fs::recursive_directory_iterator(home_.path() / absl::StrFormat("mirrors%d", i), error)) {
        if (entry.path().filename() == "HEAD" && fs::exists(entry.path().parent_path() / "objects")) {
          unsprawl::Run(entry.path().parent_path(), {"git", "fsck", "--no-dangling", "--no-progress"});
          ++mirrors_;
        }
      }
    }
  }

  void CheckWhatIsLeft() {
    for (int i = 0; i < kWorkers; ++i) {
      workers_[i].program->Signal(SIGTERM);
      EXPECT_EQ(workers_[i].program->Wait(), 0) << workers_[i].program->err();
    }
    CheckMirrors();  // once more, without those that used them
    cluster_->coordinator().Signal(SIGTERM);
    EXPECT_EQ(cluster_->coordinator().Wait(), 0) << cluster_->coordinator().err();
    std::set<std::string> networks;
    for (const json& network : proxies_["networks"]) networks.insert(NetworkOf(network.get<std::string>()));
    EXPECT_TRUE(AwaitNobodyOf(groups_, networks));
    const CliResult check = cli_.Run({"store", "check", "--store", home_.path() / "cluster/store"});
    EXPECT_EQ(check.exit_code, 0) << check.out << check.err;
    EXPECT_GT(mirrors_, 0);
    std::printf("%d events in %d runs (%d said to be incomplete, and then made up for), %d mirrors checked\n", events_, runs_,
                given_up_, mirrors_);
    for (const auto& [name, count] : counts_) std::printf("%5d %s\n", count, name.c_str());
    const DuplicatingProxy::Duplicates twice = Twice();
    std::printf("calls handed on twice: %d at once, %d one after the other, %d late\n", twice.at_once, twice.in_turn,
                twice.late);
  }

  // Calls that were handed on twice, of all workers.
  DuplicatingProxy::Duplicates Twice() const {
    DuplicatingProxy::Duplicates all;
    for (const Worker& worker : workers_) {
      if (worker.calls == nullptr) continue;
      const DuplicatingProxy::Duplicates some = worker.calls->duplicates();
      all.at_once += some.at_once;
      all.in_turn += some.in_turn;
      all.late += some.late;
    }
    return all;
  }

  struct Worker {
    std::unique_ptr<SmallDisk> disk;
    std::unique_ptr<DuplicatingProxy> calls;  // null: it calls the coordinator itself
    std::unique_ptr<BackgroundProgram> program;
  };

  const uint64_t seed_ = Variable("UNSPRAWL_SEED", 1);
  const int of_a_run_ = static_cast<int>(Variable("UNSPRAWL_CHAOS_OF_A_RUN", 8));  // events
  const int repositories_ = std::max(12, of_a_run_);  // so that it lasts
  std::mt19937 random_{static_cast<uint32_t>(seed_)};
  TempDir home_, home_alone_;
  Cli cli_{home_.path()}, alone_{home_alone_.path()};
  std::vector<std::unique_ptr<GitRepo>> repos_;
  uint32_t commits_ = 0;
  int pushes_ = 0, expected_exit_ = 0;
  std::unique_ptr<ForgeServer> forge_;
  std::unique_ptr<SmallDisk> coordinator_disk_;
  std::unique_ptr<Cluster> cluster_;
  PythonServer proxy_;
  json proxies_;  // what it said
  Worker workers_[kWorkers];
  std::set<pid_t> groups_;  // of all programs that were started
  std::vector<size_t> order_;  // of the kinds that are to come, the next one last
  bool ahead_ = false;
  Report last_;  // of the last run, in the end
  int events_ = 0, runs_ = 0, given_up_ = 0, mirrors_ = 0;
  std::map<std::string, int> counts_;
};

TEST_F(ClusterChaosTest, ItsReportsAreThoseOfOneMachine) {
  const int events = static_cast<int>(Variable("UNSPRAWL_CHAOS", 20));
  Kinds kinds = {
      {"coordinator killed", [&] { return KillCoordinator(); }},
      {"coordinator restarted", [&] { return RestartCoordinator(); }},
      {"coordinator stopped for longer than a lease", [&] { return StopCoordinator(); }},
      {"worker killed, with all its processes", [&] { return KillWorker(); }},
      {"worker killed, its program alone", [&] { return KillProgramOfWorker(); }},
      {"git of a worker killed", [&] { return KillGit(); }},
      {"scanner, or what forks them, killed", [&] { return KillScanner(); }},
      {"worker stopped for longer than a lease", [&] { return StopWorker(); }},
      {"worker drained", [&] { return DrainWorker(); }},
      {"connections cut", [&] { return Cut(); }},
      {"answers withheld, connections cut", [&] { return Withhold(); }},
      {"connections delayed", [&] { return Delay(); }},
      {"network of a worker cut", [&] { return Part(); }},
      {"calls handed on twice", [&] { return Duplicate(absl::Seconds(3)); }},
      {"disk of a worker full", [&] { return FillWorker(); }},
      {"disk of the coordinator full", [&] { return FillCoordinator(); }},
      {"clock of the coordinator set", [&] { return SetClock(); }},
  };
  // It takes a quarter of a minute: not in a short test, which has one of its own.
  if (events >= 100) kinds.emplace_back("certificates expired and renewed", [&] { return ExpireCertificates(); });
  std::printf("UNSPRAWL_SEED=%lu\n", static_cast<unsigned long>(seed_));
  while (events_ < events && !HasFailure()) ScanAmid(kinds, std::min(of_a_run_, events - events_));
  if (!HasFailure()) CheckWhatIsLeft();
}

TEST_F(ClusterChaosTest, CertificatesThatExpireHoldItUpUntilTheyAreRenewed) {
  forge_->Set({{"git_latency", 2}});  // Work for longer than that takes.
  ScanAmid({{"certificates expired and renewed", [&] { return ExpireCertificates(); }}}, 1);
  EXPECT_THAT(AllErrors(), testing::HasSubstr("expired on"));
  if (!HasFailure()) CheckWhatIsLeft();
}

// Four attempts are soon made.
class ClusterGivesUpTest : public ClusterChaosTest {
 protected:
  ClusterGivesUpTest() : ClusterChaosTest("2", 1, "0") {}
};

TEST_F(ClusterGivesUpTest, WhatIsGivenUpIsSaidAndAllElseIsAsOneMachineSays) {
  ScanAmid({}, 0);
  ScanAmid({{"git killed until something is given up", [&] { return KillGitUntilSomethingIsGivenUp(); }}}, 1);
  EXPECT_EQ(given_up_, 1);
  if (!HasFailure()) CheckWhatIsLeft();
}

// Leases outlast the test: one that expires is one that nobody knew of.
class ClusterTwiceTest : public ClusterChaosTest {
 protected:
  ClusterTwiceTest() : ClusterChaosTest("60", 0) {}
};

TEST_F(ClusterTwiceTest, CallsThatComeTwiceCostNothing) {
  Duplicate(absl::InfiniteDuration());
  ScanAmid({}, 0);
  uint64_t passes = 0;
  for (const Worker& worker : workers_) passes += worker.calls->calls("Begin");
  EXPECT_EQ(cluster_->Status()["done"], std::to_string(passes)) << "a repository was scanned twice";
  EXPECT_THAT(cluster_->coordinator().err(), testing::Not(testing::HasSubstr("expired"))) << "a lease got lost";
  EXPECT_TRUE(Twice().at_once > 0 && Twice().in_turn > 0 && Twice().late > 0);
  if (!HasFailure()) CheckWhatIsLeft();
}

}  // namespace
}  // namespace unsprawl
