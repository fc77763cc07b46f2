#include "tests/support/cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "absl/strings/str_format.h"
#include "worker/http_client.h"

namespace unsprawl {

std::filesystem::path FindMirror(const std::filesystem::path& mirrors, const std::filesystem::path& mirror) {
  for (const char* const other : {"1", "2", "3"}) {
    const std::filesystem::path found = (mirrors.native() + other) / mirror;
    if (std::filesystem::exists(found)) return found;
  }
  return mirrors / mirror;
}

std::string Scrape(const BackgroundProgram& program) {
  const std::string said = "event=metrics url=http://127.0.0.1:";
  EXPECT_TRUE(program.WaitFor(said)) << program.err();
  const std::string err = program.err();
  HttpRequest request;
  request.url = absl::StrFormat("http://127.0.0.1:%d/metrics", std::atoi(err.c_str() + err.find(said) + said.size()));
  const auto answer = HttpClient({}, nullptr).Send(request);
  EXPECT_TRUE(answer.ok()) << answer.status();
  return answer.ok() ? answer->body : "";
}

std::map<std::string, double> Figures(const std::string& metrics) {
  std::map<std::string, double> figures;
  for (size_t begin = 0; begin < metrics.size();) {
    const size_t end = std::min(metrics.find('\n', begin), metrics.size());
    const std::string line = metrics.substr(begin, end - begin);
    begin = end + 1;
    if (line.empty() || line[0] == '#') continue;
    figures[line.substr(0, line.rfind(' '))] = std::strtod(line.c_str() + line.rfind(' '), nullptr);
  }
  return figures;
}

Cluster::Cluster(const Cli& cli, std::vector<std::string> coordinator, std::vector<std::string> worker)
    : cli_(cli), coordinator_arguments_(std::move(coordinator)), worker_arguments_(std::move(worker)) {
  std::filesystem::create_directories(cli_.home() / "cluster");
  StartCoordinator();
}

std::string Cluster::address() const { return absl::StrFormat("127.0.0.1:%d", port_); }

void Cluster::StartCoordinator() {
  std::vector<std::string> arguments = {"coordinator", "--listen", address(), "--output",
                                        cli_.home() / "cluster" / "reports"};
  arguments.insert(arguments.end(), coordinator_arguments_.begin(), coordinator_arguments_.end());
  if (std::find(arguments.begin(), arguments.end(), "--store") == arguments.end()) {
    arguments.insert(arguments.end(), {"--store", cli_.home() / "cluster" / "store"});
  }
  coordinator_ = nullptr;
  const size_t said = ReadFile(cli_.home() / "coordinator.err").size();
  coordinator_ = std::make_unique<BackgroundProgram>(cli_, "coordinator", arguments);
  ASSERT_TRUE(coordinator_->WaitFor("event=serving", said)) << coordinator_->err();
  const std::string serving = "event=serving address=127.0.0.1:";
  const std::string err = coordinator_->err();
  port_ = std::atoi(err.c_str() + err.find(serving, said) + serving.size());
}

void Cluster::StartWorker(const std::string& name) { StartWorker(name, cli_.home() / "cluster" / name); }

void Cluster::StartWorker(const std::string& name, const std::string& mirrors) {
  std::vector<std::string> arguments = {"worker", "--coordinator", address(), "--name", name, "--quiet",
                                        "--mirrors", mirrors};
  arguments.insert(arguments.end(), worker_arguments_.begin(), worker_arguments_.end());
  workers_[name] = nullptr;
  workers_[name] = std::make_unique<BackgroundProgram>(cli_, name, arguments);
}

CliResult Cluster::Scan(const std::vector<std::string>& arguments) const {
  std::vector<std::string> words = {"--coordinator", address()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return cli_.Scan(words);
}

nlohmann::json Cluster::Status() const {
  const CliResult status = cli_.Run({"status", "--coordinator", address(), "--json"});
  return status.exit_code == 0 ? nlohmann::json::parse(status.out) : nlohmann::json();
}

std::optional<CliResult> ScanInCluster(const Cli& cli, const std::vector<std::string>& arguments, int workers) {
  const std::set<std::string> coordinators = {
      "--store", "--key-file", "-c", "--config", "--policy", "--max-object-size", "--api-url", "--token-file",
      "--app-id", "--app-key-file", "--client-cert", "--client-key", "--ca-file", "--stall-timeout", "--fetch-jobs",
      "--max-pull-requests", "--dropped-commits", "--audit-days", "--webhook", "--webhook-secret-file", "-i",
      "--ignore-file", "--gitleaks-ignore-path", "--baseline-path"};
  const std::set<std::string> workers_own = {
      "--mirrors", "--mirrors-budget", "--max-mirror-size", "--memory-limit", "--fetch-backend", "--ca-file",
      "--client-cert", "--client-key", "--stall-timeout", "-j", "--jobs"};
  std::vector<std::string> coordinator, worker, client;
  std::string mirrors = cli.home() / "cluster" / "mirrors";
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = arguments[i];
    if (name == "--archives" || name == "--trust-repo-ignores") {
      coordinator.push_back(name);
      continue;
    }
    const bool for_coordinator = coordinators.count(name) > 0, for_worker = workers_own.count(name) > 0;
    if (!for_coordinator && !for_worker) {
      if (name.starts_with('/') || name == "--list-only") return std::nullopt;
      client.push_back(name);
      continue;
    }
    const std::string& value = arguments.at(++i);
    if (name == "--mirrors") {
      mirrors = value;
    } else if (for_worker) {
      worker.insert(worker.end(), {name, value});
    }
    if (for_coordinator) {
      coordinator.insert(coordinator.end(), {name == "-c" || name == "--config" ? "--rules" : name, value});
    }
  }
  coordinator.insert(coordinator.end(), {"--retry-seconds", "0"});
  Cluster cluster(cli, coordinator, worker);
  for (int i = 0; i < workers; ++i) cluster.StartWorker(absl::StrFormat("w%d", i), i == 0 ? mirrors : mirrors + std::to_string(i));
  for (int i = 0; i < workers; ++i) {  // All of them have a share.
    EXPECT_TRUE(cluster.coordinator().WaitFor(absl::StrFormat("event=joined worker=w%d ", i))) << cluster.coordinator().err();
  }
  return cluster.Scan(client);
}

}  // namespace unsprawl
