// Runs the unsprawl program as a user does, and reads what it wrote.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace unsprawl {

struct CliResult {
  int exit_code = -1;  // 128 + signal when it was killed
  std::string out, err;
};

// How many microseconds `run` takes: moments that are drawn from them suit any machine.
int Microseconds(const std::function<void()>& run);

// Whether `done` comes true within `patience`: it is asked again and again.
bool Await(const std::function<bool()>& done, absl::Duration patience = absl::Seconds(60));

// A home of its own (store, cache, key) for one test, and the program run in it.
class Cli {
 public:
  // `home` must outlive this.
  explicit Cli(std::filesystem::path home);

  // One more variable of the program's environment, or another value for one it has.
  void SetVariable(const std::string& name, const std::string& value) { environment_[name] = value; }

  void RemoveVariable(const std::string& name) { environment_.erase(name); }

  // In which network namespace the program is run from now on: a file for setns(2), which takes root.
  void SetNetwork(const std::filesystem::path& network) { network_ = network; }

  // Arguments as typed, without the program's name.
  CliResult Run(const std::vector<std::string>& arguments) const;
  // `scan --quiet --output <home>/report` and more arguments. With UNSPRAWL_TEST_WORKERS=2 in the test's own
  // environment two workers and a coordinator do it, where they can; and the test fails unless one machine, with a store
  // and mirrors of its own beside theirs, reports the same, byte for byte.
  CliResult Scan(const std::vector<std::string>& arguments) const;
  // The same; unless it ended before, after `microseconds` the program is killed (SIGKILL), or it and
  // all of its children get another signal, as from a terminal's Ctrl-C (SIGINT).
  CliResult ScanAndSignal(const std::vector<std::string>& arguments, int microseconds,
                          int signal_number) const;
  // The same; every `microseconds` the processes that parse repositories are killed, `kills` times.
  CliResult ScanKillingScanners(const std::vector<std::string>& arguments, int microseconds,
                                int kills) const;

  // The same; `meanwhile` is called with the program's process id while it runs.
  CliResult ScanMeanwhile(const std::vector<std::string>& arguments,
                          const std::function<void(pid_t)>& meanwhile) const {
    return StartScan(arguments, meanwhile);
  }
  // The same; meanwhile `see` is shown the command lines (arguments joined by spaces) of all processes of
  // this machine, again and again.
  CliResult ScanWatching(const std::vector<std::string>& arguments,
                         const std::function<void(const std::string&)>& see) const;

  const std::filesystem::path& home() const { return home_; }
  std::filesystem::path report() const { return home_ / "report"; }
  // Every file of the report but run.json, by name: equal for two stores that had the same runs.
  std::map<std::string, std::string> WholeReportFiles() const;
  // The same without what it says of earlier runs: equal for two stores that know the same, however they came to know it.
  std::map<std::string, std::string> ReportFiles() const;
  // The rows of a .jsonl file of the report.
  std::vector<nlohmann::json> Rows(const std::string& file) const;
  nlohmann::json Json(const std::string& file) const;

 private:
  // `meanwhile` is called with the program's process id while it runs.
  CliResult Start(const std::vector<std::string>& arguments,
                  const std::function<void(pid_t)>& meanwhile) const;
  CliResult StartScan(const std::vector<std::string>& arguments,
                      const std::function<void(pid_t)>& meanwhile) const;
  void ExpectTheReportOfOneMachine(const CliResult& scanned, std::vector<std::string> arguments) const;
  friend class BackgroundProgram;
  // Starts the program in a process group of its own.
  pid_t Spawn(const std::vector<std::string>& arguments, const std::filesystem::path& out,
              const std::filesystem::path& err, int how_to_open) const;

  std::filesystem::path home_;
  std::filesystem::path network_;  // empty: that of the test
  std::map<std::string, std::string> environment_;
};

// The program running beside a test; what it still runs at the end is killed, with all its children.
class BackgroundProgram {
 public:
  // Output goes to <home>/<name>.out and .err, appended.
  BackgroundProgram(const Cli& cli, std::string name, const std::vector<std::string>& arguments);
  ~BackgroundProgram();
  BackgroundProgram(const BackgroundProgram&) = delete;
  BackgroundProgram& operator=(const BackgroundProgram&) = delete;

  pid_t pid() const { return pid_; }
  bool running() const;
  // To the program alone; SIGTERM once it catches that, having begun.
  void Signal(int number) const;
  void SignalAll(int number) const;       // … and to all of its children
  // The exit code (128 + signal); waits for it.
  int Wait();
  std::string err() const;
  // Waits until `text` is in err() beyond `from`; false: it ended, or half a minute has passed.
  bool WaitFor(const std::string& text, size_t from = 0) const;

 private:
  const std::filesystem::path out_, err_;
  pid_t pid_ = 0;
  int exit_code_ = -1;
};

// A GitHub token with a right checksum, made from `seed`; never a real one.
std::string FakeGithubToken(uint32_t seed);
// An AWS access key id.
std::string FakeAwsKeyId(uint32_t seed);

// Empty where there is none, also for what of /proc ends meanwhile.
std::string ReadFile(const std::filesystem::path& file);
void WriteFile(const std::filesystem::path& file, std::string_view content);

}  // namespace unsprawl
