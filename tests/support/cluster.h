// A coordinator and its workers as programs of their own, on loopback.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/cli.h"

namespace unsprawl {

// `scan` with `arguments` by a coordinator and `workers` workers that live as long as it: each argument goes to whom
// it is for. nullopt: that cannot do it (local repositories, --list-only).
std::optional<CliResult> ScanInCluster(const Cli& cli, const std::vector<std::string>& arguments, int workers);

// `mirror` below the folder `mirrors` that Cli::Scan was given: of a cluster, that of the worker that has it.
std::filesystem::path FindMirror(const std::filesystem::path& mirrors, const std::filesystem::path& mirror);

// The metrics that a program with --metrics serves, by what it says on stderr; a failure of the test if it does not.
std::string Scrape(const BackgroundProgram& program);
// Their figures by name and labels, as they are written.
std::map<std::string, double> Figures(const std::string& metrics);

class Cluster {
 public:
  // `cli`: in whose home they run. `coordinator`, `worker`: more arguments of theirs.
  Cluster(const Cli& cli, std::vector<std::string> coordinator, std::vector<std::string> worker);

  // Starts the coordinator; again on the same port, whatever became of the one before.
  void StartCoordinator();
  // With others than it had.
  void SetCoordinatorArguments(std::vector<std::string> arguments) { coordinator_arguments_ = std::move(arguments); }
  // The store is <home>/cluster/store, mirrors are below <home>/cluster/NAME.
  void StartWorker(const std::string& name);
  void StartWorker(const std::string& name, const std::string& mirrors);
  BackgroundProgram& coordinator() { return *coordinator_; }
  BackgroundProgram& worker(const std::string& name) { return *workers_.at(name); }

  std::string address() const;  // "127.0.0.1:PORT"
  // `scan --quiet --coordinator` into cli.report().
  CliResult Scan(const std::vector<std::string>& arguments) const;
  // `status --json`.
  nlohmann::json Status() const;

 private:
  const Cli& cli_;
  std::vector<std::string> coordinator_arguments_;
  const std::vector<std::string> worker_arguments_;
  int port_ = 0;
  std::unique_ptr<BackgroundProgram> coordinator_;
  std::map<std::string, std::unique_ptr<BackgroundProgram>> workers_;
};

}  // namespace unsprawl
