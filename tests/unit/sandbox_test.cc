#include "worker/sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

// Runs `attempt` in a process that may read below `allowed` only; its exit code.
int InSandbox(const std::filesystem::path& allowed, const std::function<int()>& attempt) {
  const pid_t child = fork();
  if (child == 0) {
    const std::vector<std::filesystem::path> readable = {allowed};
    if (!EnterSandbox(readable, uint64_t{1} << 30).complete) _exit(99);
    _exit(attempt());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class SandboxTest : public testing::Test {
 protected:
  SandboxTest() {
    std::ofstream(inside_.path() / "file") << "x";
    std::ofstream(outside_.path() / "file") << "x";
    if (InSandbox(inside_.path(), [] { return 0; }) == 99) {
      skip_ = true;  // A kernel without Landlock or seccomp: the manifest says so in a real run.
    }
  }
  void SetUp() override {
    if (skip_) GTEST_SKIP() << "this kernel cannot confine a process";
  }

  TempDir inside_, outside_;
  bool skip_ = false;
};

TEST_F(SandboxTest, FilesBelowTheAllowedFolderAreReadable) {
  const std::string file = inside_.path() / "file";
  EXPECT_EQ(InSandbox(inside_.path(), [&] { return open(file.c_str(), O_RDONLY) < 0 ? errno : 0; }), 0);
}

TEST_F(SandboxTest, FilesElsewhereAreNot) {
  const std::string file = outside_.path() / "file";
  EXPECT_EQ(InSandbox(inside_.path(), [&] { return open(file.c_str(), O_RDONLY) < 0 ? errno : 0; }),
            EACCES);
}

TEST_F(SandboxTest, NothingIsWritableNotEvenInside) {
  const std::string file = inside_.path() / "new";
  EXPECT_EQ(InSandbox(inside_.path(),
                      [&] { return open(file.c_str(), O_WRONLY | O_CREAT, 0600) < 0 ? errno : 0; }),
            EACCES);
}

TEST_F(SandboxTest, ThereIsNoNetwork) {
  EXPECT_EQ(InSandbox(inside_.path(), [] { return socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0; }),
            EPERM);
}

TEST_F(SandboxTest, ThereAreNoNewProcessesNorPrograms) {
  EXPECT_EQ(InSandbox(inside_.path(), [] {
              const pid_t child = fork();
              if (child == 0) _exit(0);
              return child < 0 ? errno : 0;
            }),
            EPERM);
  EXPECT_EQ(InSandbox(inside_.path(), [] {
              char program[] = "/bin/true";
              char* arguments[] = {program, nullptr};
              execv(program, arguments);
              return errno;
            }),
            EPERM);
}

TEST_F(SandboxTest, ThreadsStillRun) {
  EXPECT_EQ(InSandbox(inside_.path(), [] {
              int result = 1;
              std::thread([&] { result = 0; }).join();
              return result;
            }),
            0);
}

}  // namespace
}  // namespace unsprawl
