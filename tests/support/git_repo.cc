#include "tests/support/git_repo.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

constexpr int64_t kFirstCommitTime = 1'700'000'000;

void SetEnvironment() {
  static const bool done = [] {
    setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
    setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
    setenv("GIT_TERMINAL_PROMPT", "0", 1);
    setenv("LC_ALL", "C", 1);
    return true;
  }();
  (void)done;
}

}  // namespace

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "unsprawl-XXXXXX").string();
  EXPECT_NE(mkdtemp(pattern.data()), nullptr) << "cannot make " << pattern;
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Run(const std::filesystem::path& dir, const std::vector<std::string>& command,
                std::string_view stdin_bytes) {
  SetEnvironment();
  int in[2], out[2];
  EXPECT_EQ(pipe(in), 0);
  EXPECT_EQ(pipe(out), 0);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    for (const int fd : {in[0], in[1], out[0], out[1]}) close(fd);
    if (chdir(dir.c_str()) != 0) _exit(126);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  std::thread writer([&] {
    size_t done = 0;
    while (done < stdin_bytes.size()) {
      const ssize_t n = write(in[1], stdin_bytes.data() + done, stdin_bytes.size() - done);
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    close(in[1]);
  });
  std::string output;
  char buffer[65536];
  for (ssize_t n; (n = read(out[0], buffer, sizeof(buffer))) > 0;) {
    output.append(buffer, static_cast<size_t>(n));
  }
  writer.join();
  close(out[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << "failed in " << dir << ": " << testing::PrintToString(command);
  return output;
}

GitRepo::GitRepo(std::filesystem::path path, const std::vector<std::string>& init_options)
    : path_(std::move(path)) {
  std::filesystem::create_directories(path_);
  std::vector<std::string> command = {"git", "init", "-q", "-b", "main"};
  command.insert(command.end(), init_options.begin(), init_options.end());
  Run(path_, command);
  Git({"config", "user.name", "A U Thor"});
  Git({"config", "user.email", "author@example.com"});
  Git({"config", "gc.auto", "0"});
  Git({"config", "commit.gpgsign", "false"});
}

std::string GitRepo::Git(const std::vector<std::string>& arguments, std::string_view stdin_bytes) {
  const std::string date = absl::StrFormat("%d +0000", kFirstCommitTime + 60 * commits_);
  std::vector<std::string> command = {"env", "GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date,
                                      "git"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  std::string output = Run(path_, command, stdin_bytes);
  if (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

void GitRepo::Write(const std::string& file, std::string_view content) {
  const std::filesystem::path full = path_ / file;
  std::filesystem::create_directories(full.parent_path());
  std::ofstream(full, std::ios::binary).write(content.data(),
                                              static_cast<std::streamsize>(content.size()));
}

void GitRepo::Remove(const std::string& file) { std::filesystem::remove(path_ / file); }

std::string GitRepo::Commit(const std::string& message) {
  ++commits_;
  Git({"add", "-A"});
  Git({"commit", "-q", "--allow-empty", "-m", message});
  return Git({"rev-parse", "HEAD"});
}

}  // namespace unsprawl
