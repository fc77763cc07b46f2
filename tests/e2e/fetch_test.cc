// Clone URLs over the network: real git programs behind HTTPS with Basic authentication and behind SSH.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kPassword[] = "not-the-token-of-anybody";

class FetchTest : public testing::Test {
 protected:
  FetchTest() {
    GitRepo repo(home_.path() / "origin");
    repo.Write("s.env", "t=" + FakeGithubToken(1) + "\n");
    repo.Commit();
    repo.Git({"tag", "-a", "-m", "x", "v1"});
    std::filesystem::create_directories(served_.path());
    unsprawl::Run(served_.path(), {"git", "clone", "-q", "--bare", repo.path(), "app.git"});
    MakeKeys();
    StartServer();
    cli_.SetVariable("GIT_SSL_CAINFO", home_.path() / "ca.pem");
  }
  ~FetchTest() override {
    if (agent_ > 0) kill(agent_, SIGTERM);
    if (server_ <= 0) return;
    kill(server_, SIGTERM);
    waitpid(server_, nullptr, 0);
  }

  void MakeKeys() {
    const auto run = [&](const std::vector<std::string>& command) { unsprawl::Run(home_.path(), command); };
    MakeTlsCertificate(home_.path());
    for (const char* key : {"host_key", "client_key"}) run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key});
    std::filesystem::copy(home_.path() / "client_key.pub", home_.path() / "authorized_keys");
  }

  void StartServer() {
    int out[2];
    ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
    server_ = fork();
    if (server_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      dup2(out[1], 1);
      setenv("GIT_SERVER_PASSWORD", kPassword, 1);
      execl("/usr/bin/python3", "python3", "-Wignore", UNSPRAWL_SOURCE_DIR "/tests/support/git_server.py",
            served_.path().c_str(), home_.path().c_str(), nullptr);
      _exit(127);
    }
    close(out[1]);
    FILE* answer = fdopen(out[0], "r");
    EXPECT_EQ(fscanf(answer, "%d %d", &https_port_, &ssh_port_), 2)
        << "the server did not start: apt-get install python3-asyncssh";
    fclose(answer);
  }

  // Makes ssh know the server and the client's key: for git through a configuration (an `ssh` on PATH
  // that names it), for libgit2 through an agent and HOME.
  void TrustSsh() {
    const std::string known = absl::StrFormat("[localhost]:%d ", ssh_port_) +
                              ReadFile(home_.path() / "host_key.pub");
    WriteFile(home_.path() / ".ssh" / "known_hosts", known);
    const std::filesystem::path wrapper = home_.path() / "bin" / "ssh";
    WriteFile(wrapper, absl::StrFormat("#!/bin/sh\nexec /usr/bin/ssh -F /dev/null -oUserKnownHostsFile=%s "
                                       "-oIdentityFile=%s \"$@\"\n",
                                       (home_.path() / ".ssh" / "known_hosts").native(),
                                       (home_.path() / "client_key").native()));
    chmod(wrapper.c_str(), 0700);
    cli_.SetVariable("PATH", (home_.path() / "bin").native() + ":/usr/bin:/bin");
    const std::string socket = home_.path() / "agent";
    const std::string started = unsprawl::Run(home_.path(), {"ssh-agent", "-s", "-a", socket});
    agent_ = std::stoi(started.substr(started.find("AGENT_PID=") + 10));
    unsprawl::Run(home_.path(), {"env", "SSH_AUTH_SOCK=" + socket, "ssh-add", "-q", home_.path() / "client_key"});
    cli_.SetVariable("SSH_AUTH_SOCK", socket);
  }

  std::string HttpsUrl(const std::string& password) const {
    return absl::StrFormat("https://someone:%s@localhost:%d/app.git", password, https_port_);
  }

  TempDir home_, served_;
  Cli cli_{home_.path()};
  pid_t server_ = 0, agent_ = 0;
  int https_port_ = 0, ssh_port_ = 0;
};

TEST_F(FetchTest, AnHttpsUrlIsFetchedAndItsPasswordIsKeptNowhere) {
  for (const char* backend : {"git", "libgit2"}) {
    const std::string mirrors = home_.path() / "mirrors" / backend;
    const CliResult scan = cli_.Scan({"--fetch-backend", backend, "--mirrors", mirrors, HttpsUrl(kPassword)});
    EXPECT_EQ(scan.exit_code, 1) << backend << scan.err;
    ASSERT_EQ(cli_.Rows("occurrences.jsonl").size(), 1u) << backend;
    EXPECT_EQ(cli_.Rows("occurrences.jsonl")[0]["presence"], "head");
    EXPECT_EQ(cli_.Json("manifest.json")["repositories"][0]["refs"], 2) << backend;
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(home_.path())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_THAT(ReadFile(entry.path()), Not(HasSubstr(kPassword))) << entry.path();
  }
}

TEST_F(FetchTest, AWrongPasswordFailsThatRepositoryOnlyAndIsNotRepeated) {
  GitRepo other(served_.path() / "other");
  other.Write("o", FakeGithubToken(2) + "\n");
  other.Commit();
  for (const char* backend : {"git", "libgit2"}) {
    const CliResult scan = cli_.Scan({"--fetch-backend", backend, HttpsUrl("mistyped-password"), other.path()});
    EXPECT_EQ(scan.exit_code, 3) << backend;
    EXPECT_THAT(scan.out + scan.err, Not(HasSubstr("mistyped-password"))) << backend;
    EXPECT_THAT(scan.out, HasSubstr("localhost")) << backend;
    EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), 1u) << backend;
  }
}

TEST_F(FetchTest, ARedirectToAnotherHostIsNotFollowed) {
  std::string url = HttpsUrl(kPassword);
  url.insert(url.rfind('/'), "/moved");
  for (const char* backend : {"git", "libgit2"}) {
    const std::string mirrors = home_.path() / "mirrors" / backend;
    EXPECT_EQ(cli_.Scan({"--fetch-backend", backend, "--mirrors", mirrors, url}).exit_code, 3) << backend;
  }
}

TEST_F(FetchTest, WhatIsKnownOfARepositoryStaysWhenItCannotBeFetched) {
  EXPECT_EQ(cli_.Scan({HttpsUrl(kPassword)}).exit_code, 1);
  const auto rows = cli_.Rows("occurrences.jsonl");
  EXPECT_EQ(cli_.Scan({HttpsUrl("expired")}).exit_code, 3);
  EXPECT_EQ(cli_.Rows("occurrences.jsonl"), rows);
}

TEST_F(FetchTest, ACertificateThatNobodyVouchesForIsRefused) {
  cli_.SetVariable("GIT_SSL_CAINFO", "/etc/ssl/certs/ca-certificates.crt");
  for (const char* backend : {"git", "libgit2"}) {
    const CliResult scan = cli_.Scan({"--fetch-backend", backend, HttpsUrl(kPassword)});
    EXPECT_EQ(scan.exit_code, 3) << backend << scan.err;
    EXPECT_THAT(cli_.Json("manifest.json").dump(), HasSubstr("certificate")) << backend << scan.err;
  }
}

TEST_F(FetchTest, AnSshUrlIsFetchedAndAnUnknownHostIsRefused) {
  const std::string url = absl::StrFormat("ssh://git@localhost:%d/app.git", ssh_port_);
  EXPECT_EQ(cli_.Scan({url}).exit_code, 3);
  TrustSsh();
  for (const char* backend : {"git", "libgit2"}) {
    const std::string mirrors = home_.path() / "mirrors" / backend;
    const CliResult scan = cli_.Scan({"--fetch-backend", backend, "--mirrors", mirrors, url});
    EXPECT_EQ(scan.exit_code, 1) << backend << scan.out << scan.err;
    EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), 1u) << backend;
  }
}

// libgit2 asks for credentials as long as the server refuses them.
TEST_F(FetchTest, AnAgentWhoseKeysAreRefusedIsAskedOnce) {
  TrustSsh();
  unsprawl::Run(home_.path(), {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "stranger"});
  unsprawl::Run(home_.path(), {"env", "SSH_AUTH_SOCK=" + (home_.path() / "agent").native(), "ssh-add", "-q", "-D"});
  unsprawl::Run(home_.path(), {"env", "SSH_AUTH_SOCK=" + (home_.path() / "agent").native(), "ssh-add", "-q",
                               home_.path() / "stranger"});
  const CliResult scan = cli_.Scan({"--fetch-backend", "libgit2", "--mirrors", home_.path() / "mirrors",
                                    absl::StrFormat("ssh://git@localhost:%d/app.git", ssh_port_)});
  EXPECT_EQ(scan.exit_code, 3) << scan.out << scan.err;
  EXPECT_EQ(cli_.Json("manifest.json")["repositories"][0]["status"], "refused");
  EXPECT_THAT(cli_.Json("manifest.json")["repositories"].dump(), HasSubstr("no key of the agent"));
}

}  // namespace
}  // namespace unsprawl
