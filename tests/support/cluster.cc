#include "tests/support/cluster.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/str_format.h"

namespace unsprawl {

Cluster::Cluster(const Cli& cli, std::vector<std::string> coordinator, std::vector<std::string> worker)
    : cli_(cli), coordinator_arguments_(std::move(coordinator)), worker_arguments_(std::move(worker)) {
  std::filesystem::create_directories(cli_.home() / "cluster");
  StartCoordinator();
}

std::string Cluster::address() const { return absl::StrFormat("127.0.0.1:%d", port_); }

void Cluster::StartCoordinator() {
  std::vector<std::string> arguments = {"coordinator", "--listen", address(), "--store",
                                        cli_.home() / "cluster" / "store", "--output",
                                        cli_.home() / "cluster" / "reports"};
  arguments.insert(arguments.end(), coordinator_arguments_.begin(), coordinator_arguments_.end());
  coordinator_ = nullptr;
  const size_t said = ReadFile(cli_.home() / "coordinator.err").size();
  coordinator_ = std::make_unique<BackgroundProgram>(cli_, "coordinator", arguments);
  ASSERT_TRUE(coordinator_->WaitFor("serving on", said)) << coordinator_->err();
  const std::string serving = "serving on 127.0.0.1:";
  const std::string err = coordinator_->err();
  port_ = std::atoi(err.c_str() + err.find(serving, said) + serving.size());
}

void Cluster::StartWorker(const std::string& name) {
  std::vector<std::string> arguments = {"worker", "--coordinator", address(), "--name", name, "--quiet",
                                        "--mirrors", cli_.home() / "cluster" / name};
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

}  // namespace unsprawl
