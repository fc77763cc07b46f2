#include "tests/support/cli.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <sstream>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/report_lines.h"

namespace unsprawl {
namespace {

constexpr char kBase62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

uint32_t Crc32(std::string_view text) {
  uint32_t crc = ~0U;
  for (const char c : text) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320U : 0);
  }
  return ~crc;
}

std::string RandomFrom(std::string_view alphabet, size_t length, uint32_t seed) {
  std::mt19937 random(seed * 2654435761U + 1);
  std::string text;
  for (size_t i = 0; i < length; ++i) text += alphabet[random() % alphabet.size()];
  return text;
}

std::vector<pid_t> ChildrenOf(pid_t process) {
  std::ifstream list(absl::StrFormat("/proc/%d/task/%d/children", process, process));
  return {std::istream_iterator<pid_t>(list), {}};
}

bool Catches(pid_t process, int number) {
  const std::string status = ReadFile(absl::StrFormat("/proc/%d/status", process));
  const size_t caught = status.find("SigCgt:");
  return caught != std::string::npos && (std::strtoull(status.c_str() + caught + 7, nullptr, 16) >> (number - 1) & 1) != 0;
}

// A zombie: it is our child and we have not waited for it yet.
bool HasEnded(pid_t process) {
  std::ifstream stat(absl::StrFormat("/proc/%d/stat", process));
  std::string id, name, state;
  stat >> id >> name >> state;
  return state == "Z";
}

// Cuts every piece of `text` from `begin` to `end`.
void Cut(std::string_view begin, std::string_view end, std::string* text) {
  for (size_t from = text->find(begin); from != std::string::npos; from = text->find(begin, from)) {
    const size_t to = text->find(end, from);
    if (to == std::string::npos) return;
    text->erase(from, to + end.size() - from);
  }
}

std::string WithoutChanges(const std::string& name, std::string text) {
  if (name == "incidents.jsonl") {
    Cut(",\"first_seen\":", ",\"repositories\"", &text);
  } else if (name == "report.html") {
    Cut("<section id=\"changes\">", "</section>\n", &text);
    Cut("<span class=\"chip change\">", "</span> ", &text);
    Cut("<div><dt>First reported</dt>", "</div>", &text);
  } else if (name == "summary.txt") {
    const size_t from = text.find("Changes");
    size_t to = text.find('\n', from) + 1;
    while (from != std::string::npos && text.compare(to, 2, "  ") == 0) to = text.find('\n', to) + 1;
    if (from != std::string::npos) text.erase(from, to - from);
  }
  return text;
}

int ExitCode(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

std::string Program() {
  const char* binary = std::getenv("UNSPRAWL_BINARY");  // ctest sets it
  if (binary != nullptr) return binary;
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "unsprawl";
}

}  // namespace

int Microseconds(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  const auto whole = std::chrono::steady_clock::now() - start;
  return static_cast<int>(std::chrono::duration_cast<std::chrono::microseconds>(whole).count());
}

bool Await(const std::function<bool()>& done, absl::Duration patience) {
  for (const absl::Time until = absl::Now() + patience; absl::Now() < until; absl::SleepFor(absl::Milliseconds(20))) {
    if (done()) return true;
  }
  return false;
}

Cli::Cli(std::filesystem::path home) : home_(std::move(home)) {
  environment_ = {{"HOME", home_},
                  {"XDG_STATE_HOME", ""},
                  {"XDG_CONFIG_HOME", ""},
                  // Compiling all rules takes seconds: tests share one cache of them.
                  {"XDG_CACHE_HOME", std::filesystem::absolute(Program()).replace_filename("test-cache")},
                  {"PATH", "/usr/bin:/bin"},
                  {"LC_ALL", "C"},
                  {"SOURCE_DATE_EPOCH", "1750000000"},
                  {"GIT_CONFIG_GLOBAL", "/dev/null"}};
  for (const char* kept : {"ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"}) {
    if (const char* value = std::getenv(kept)) environment_[kept] = value;
  }
}

pid_t Cli::Spawn(const std::vector<std::string>& arguments, const std::filesystem::path& out,
                 const std::filesystem::path& err, int how_to_open) const {
  std::vector<std::string> environment;
  for (const auto& [name, value] : environment_) {
    environment.push_back(absl::StrFormat("%s=%s", name, value));
  }
  std::vector<std::string> words = arguments;
  words.insert(words.begin(), Program());
  std::vector<char*> argv, envp;
  for (std::string& word : words) argv.push_back(word.data());
  for (std::string& variable : environment) envp.push_back(variable.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);  // a group of its own, as a shell gives it
    if (!network_.empty() && setns(open(network_.c_str(), O_RDONLY | O_CLOEXEC), CLONE_NEWNET) != 0) _exit(127);
    dup2(open("/dev/null", O_RDONLY), 0);
    dup2(open(out.c_str(), O_WRONLY | O_CREAT | how_to_open, 0600), 1);
    dup2(open(err.c_str(), O_WRONLY | O_CREAT | how_to_open, 0600), 2);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  setpgid(child, child);  // whichever of the two comes first
  return child;
}

CliResult Cli::Start(const std::vector<std::string>& arguments,
                     const std::function<void(pid_t)>& meanwhile) const {
  const std::filesystem::path out = home_ / "stdout", err = home_ / "stderr";
  const pid_t child = Spawn(arguments, out, err, O_TRUNC);
  if (meanwhile) meanwhile(child);
  int status = 0;
  waitpid(child, &status, 0);
  CliResult result;
  result.exit_code = ExitCode(status);
  result.out = ReadFile(out);
  result.err = ReadFile(err);
  return result;
}

BackgroundProgram::BackgroundProgram(const Cli& cli, std::string name, const std::vector<std::string>& arguments)
    : out_(cli.home() / (name + ".out")), err_(cli.home() / (name + ".err")) {
  pid_ = cli.Spawn(arguments, out_, err_, O_APPEND);
}

BackgroundProgram::~BackgroundProgram() {
  if (pid_ == 0) return;
  SignalAll(SIGKILL);
  (void)Wait();
}

bool BackgroundProgram::running() const { return pid_ != 0 && !HasEnded(pid_); }
void BackgroundProgram::Signal(int number) const {
  if (pid_ == 0) return;
  for (int i = 0; number == SIGTERM && i < 1000 && running() && !Catches(pid_, number); ++i) usleep(10'000);
  kill(pid_, number);
}
void BackgroundProgram::SignalAll(int number) const {
  if (pid_ != 0) kill(-pid_, number);
}

int BackgroundProgram::Wait() {
  if (pid_ == 0) return exit_code_;
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = 0;
  return exit_code_ = ExitCode(status);
}

std::string BackgroundProgram::err() const { return ReadFile(err_); }

bool BackgroundProgram::WaitFor(const std::string& text, size_t from) const {
  for (int i = 0; i < 600; ++i) {
    const std::string said = err();
    if (said.size() > from && said.find(text, from) != std::string::npos) return true;
    if (!running()) return false;
    usleep(50'000);
  }
  return false;
}

CliResult Cli::StartScan(const std::vector<std::string>& arguments,
                         const std::function<void(pid_t)>& meanwhile) const {
  std::vector<std::string> words = {"scan", "--quiet", "--output", report().native()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return Start(words, meanwhile);
}

CliResult Cli::Run(const std::vector<std::string>& arguments) const {
  return Start(arguments, nullptr);
}

CliResult Cli::Scan(const std::vector<std::string>& arguments) const {
  const char* workers = std::getenv("UNSPRAWL_TEST_WORKERS");
  const bool in_cluster = std::find(arguments.begin(), arguments.end(), "--coordinator") != arguments.end();
  if (workers != nullptr && !in_cluster) {
    if (std::optional<CliResult> scanned = ScanInCluster(*this, arguments, std::atoi(workers))) {
      ExpectTheReportOfOneMachine(*scanned, arguments);
      return *scanned;
    }
  }
  return StartScan(arguments, nullptr);
}

void Cli::ExpectTheReportOfOneMachine(const CliResult& scanned, std::vector<std::string> arguments) const {
  Cli alone(*this);
  alone.home_ = home_ / "beside";
  std::filesystem::create_directories(alone.home_);
  for (size_t i = 1; i < arguments.size(); ++i) {
    const bool place = arguments[i - 1] == "--store" || arguments[i - 1] == "--mirrors";
    if (place && arguments[i].starts_with('/')) arguments[i] = alone.home_.native() + arguments[i];
  }
  const CliResult scan = alone.StartScan(arguments, nullptr);
  EXPECT_EQ(scanned.exit_code, scan.exit_code) << scanned.err << scan.err;
  if (scan.exit_code == 2 || scanned.exit_code == 2) return;
  EXPECT_EQ(FirstDifference(WholeReportFiles(), alone.WholeReportFiles()), "");
}

CliResult Cli::ScanAndSignal(const std::vector<std::string>& arguments, int microseconds,
                             int signal_number) const {
  return StartScan(arguments, [&](pid_t program) {
    usleep(static_cast<useconds_t>(microseconds));
    kill(signal_number == SIGKILL ? program : -program, signal_number);
  });
}

CliResult Cli::ScanKillingScanners(const std::vector<std::string>& arguments, int microseconds,
                                   int kills) const {
  return StartScan(arguments, [&](pid_t program) {
    for (int killed = 0; killed < kills && !HasEnded(program);) {
      usleep(static_cast<useconds_t>(microseconds));
      // The program's child is the nursery; its children are the scanners.
      for (const pid_t nursery : ChildrenOf(program)) {
        for (const pid_t scanner : ChildrenOf(nursery)) killed += kill(scanner, SIGKILL) == 0;
      }
    }
  });
}

CliResult Cli::ScanWatching(const std::vector<std::string>& arguments,
                            const std::function<void(const std::string&)>& see) const {
  return StartScan(arguments, [&](pid_t program) {
    while (!HasEnded(program)) {
      std::error_code error;
      for (std::filesystem::directory_iterator processes("/proc", error);
           !error && processes != std::filesystem::directory_iterator(); processes.increment(error)) {
        std::string command(1 << 16, '\0');
        const int file = open((processes->path() / "cmdline").c_str(), O_RDONLY | O_CLOEXEC);
        const ssize_t n = file < 0 ? 0 : read(file, command.data(), command.size());  // It may end meanwhile.
        if (file >= 0) close(file);
        command.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
        std::replace(command.begin(), command.end(), '\0', ' ');
        if (!command.empty()) see(command);
      }
      usleep(2000);
    }
  });
}

std::map<std::string, std::string> Cli::WholeReportFiles() const {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(report())) {
    const std::string name = entry.path().filename().native();
    if (name != "run.json") files[name] = ReadFile(entry.path());
  }
  return files;
}

std::map<std::string, std::string> Cli::ReportFiles() const {
  std::map<std::string, std::string> files = WholeReportFiles();
  for (auto& [name, text] : files) text = WithoutChanges(name, std::move(text));
  return files;
}

std::vector<nlohmann::json> Cli::Rows(const std::string& file) const {
  std::vector<nlohmann::json> rows;
  std::ifstream lines(report() / file);
  EXPECT_TRUE(lines) << file;
  for (std::string line; std::getline(lines, line);) {
    rows.push_back(nlohmann::json::parse(line, nullptr, false));
    EXPECT_FALSE(rows.back().is_discarded()) << file << ": " << line;
  }
  return rows;
}

nlohmann::json Cli::Json(const std::string& file) const {
  nlohmann::json parsed = nlohmann::json::parse(ReadFile(report() / file), nullptr, false);
  EXPECT_FALSE(parsed.is_discarded()) << file;
  return parsed;
}

std::string FakeGithubToken(uint32_t seed) {
  const std::string body = RandomFrom(std::string_view(kBase62, 62), 30, seed);
  std::string checksum;
  for (uint32_t crc = Crc32(body); checksum.size() < 6; crc /= 62) {
    checksum.insert(checksum.begin(), kBase62[crc % 62]);
  }
  return std::string("gh") + "p_" + body + checksum;
}

std::string FakeAwsKeyId(uint32_t seed) {
  return std::string("AK") + "IA" + RandomFrom("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16, seed);
}

std::string ReadFile(const std::filesystem::path& file) {
  std::ostringstream content;
  content << std::ifstream(file, std::ios::binary).rdbuf();  // an iterator would throw at what ends while it is read
  return content.str();
}

void WriteFile(const std::filesystem::path& file, std::string_view content) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

}  // namespace unsprawl
