// Clone URLs of the programs that serve git where people work: nginx, git daemon, sshd. What is fetched from them is
// reported as the folder that they serve.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"
#include "tests/support/git_servers.h"
#include "tests/support/random_history.h"
#include "tests/support/report_lines.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint32_t kRepositories = 3;
constexpr char kUser[] = "someone";
constexpr char kPassword[] = "not-the-token-of-anybody";
constexpr char kRules[] = R"(
[[rules]]
id = "numbered"
regex = '''\bsecret [0-9]\b'''
keywords = ["secret"]
)";

// The parameter: which backend fetches.
class RealServers : public testing::TestWithParam<const char*> {
 protected:
  RealServers() {
    key_ = home_.path() / "key";
    rules_ = home_.path() / "rules.toml";
    WriteFile(rules_, kRules);
    // The same ids of secrets in both.
    EXPECT_EQ(remote_.Run({"key", "init", "--key-file", key_}).exit_code, 0);
  }

  static std::string Name(uint32_t i) { return absl::StrFormat("app%d", i); }
  std::filesystem::path Bare(uint32_t i) const { return served_.path() / (Name(i) + ".git"); }

  // A bare repository that never loses an object, so that a scan in place sees all that was ever pushed.
  void MakeServed(uint32_t i) {
    GitRepo repo(home_.path() / "work" / Name(i));
    MakeRandomHistory({.seed = 40 + i, .commits = 20, .secrets = 8}, repo);
    // As at every forge: HEAD names a branch.
    const std::string branches = repo.Git({"for-each-ref", "--format=%(refname)", "refs/heads"});
    repo.Git({"symbolic-ref", "HEAD", branches.substr(0, branches.find('\n'))});
    const std::string head = repo.Git({"rev-parse", "HEAD"});
    for (const char* branch : {"forced", "dropped"}) {
      repo.Git({"checkout", "-q", "-f", "-B", branch, head});
      repo.Write(absl::StrFormat("%s.txt", branch), absl::StrFormat("secret %d\non %s of %d\n", i, branch, i));
      repo.Commit();
    }
    repo.Git({"checkout", "-q", "-f", "--detach", head});
    unsprawl::Run(home_.path(), {"git", "clone", "-q", "--mirror", "--no-local", repo.path(), Bare(i)});
    for (const char* setting : {"gc.auto", "receive.autogc"}) {
      unsprawl::Run(Bare(i), {"git", "config", setting, "0"});
    }
    WriteFile(Bare(i) / "git-daemon-export-ok", "");
  }

  // What people do: a commit on top, another in place of one, a branch that goes, a new tag.
  void Push(uint32_t i, const std::string& url, const std::vector<std::string>& environment) {
    const std::filesystem::path work = home_.path() / "pushes" / Name(i);
    const auto git = [&](std::vector<std::string> arguments) {
      std::vector<std::string> command = {"env"};
      command.insert(command.end(), environment.begin(), environment.end());
      command.insert(command.end(), {"git", "-c", "user.name=A U Thor", "-c", "user.email=author@example.com"});
      command.insert(command.end(), arguments.begin(), arguments.end());
      unsprawl::Run(std::filesystem::exists(work) ? work : home_.path(), command);
    };
    git({"clone", "-q", url, work});
    git({"checkout", "-q", "-b", "more"});
    WriteFile(work / "more.txt", absl::StrFormat("secret %d\npushed to %d\n", 9 - i, i));
    git({"add", "more.txt"});
    git({"commit", "-q", "-m", "more"});
    git({"tag", "-a", "-m", "x", "later"});
    git({"checkout", "-q", "-B", "forced", "origin/forced"});
    WriteFile(work / "forced.txt", absl::StrFormat("secret %d\nin its place\n", 5 + i));
    git({"commit", "-q", "-a", "--amend", "-m", "forced"});
    git({"push", "-q", "origin", "more", "later", "+forced", ":dropped"});
  }

  void ExpectTheReportOfTheFolder(const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {"--key-file", key_, "--min-confidence", "0", "-c", rules_};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const CliResult scan = remote_.Scan(all);
    EXPECT_EQ(scan.exit_code, 1) << scan.err << scan.out;
    EXPECT_EQ(local_.Scan({"--store", ":memory:", "--key-file", key_, "--min-confidence", "0", "-c", rules_, served_.path()})
                  .exit_code, 1);
    const Names last_word = [](const std::string& name) { return name.substr(name.rfind('/') + 1); };
    EXPECT_EQ(remote_.Json("manifest.json")["repositories"].size(), kRepositories);
    EXPECT_THAT(Differences(Places(remote_, last_word), Places(local_, last_word)), IsEmpty());
    EXPECT_THAT(Differences(Incidents(remote_), Incidents(local_)), IsEmpty());
    EXPECT_GT(remote_.Rows("occurrences.jsonl").size(), 20u);
  }

  // Scans all repositories below `url`, pushes to all of them, scans again. `options` are the scan's, `environment`
  // is the git's that pushes. `log`: the server's, which says what it was asked for.
  void ExpectTheReportsOfTheFolder(const std::string& url, std::vector<std::string> options,
                                   const std::vector<std::string>& environment, const std::filesystem::path& log) {
    for (uint32_t i = 0; i < kRepositories; ++i) MakeServed(i);
    std::vector<std::string> urls;
    for (uint32_t i = 0; i < kRepositories; ++i) urls.push_back(absl::StrFormat("%s/%s.git", url, Name(i)));
    options.insert(options.end(), urls.begin(), urls.end());
    options.insert(options.end(), {"--fetch-backend", GetParam()});
    ExpectTheReportOfTheFolder(options);
    // libgit2 knows version 1 only.
    EXPECT_EQ(ReadFile(log).find("version=2") != std::string::npos, GetParam() == std::string("git")) << ReadFile(log);
    for (uint32_t i = 0; i < kRepositories; ++i) Push(i, urls[i], environment);
    ExpectTheReportOfTheFolder(options);
  }

  // `key`: whose the scans have.
  void Use(const SshServer& server, const std::string& key) {
    remote_.SetVariable("PATH", server.Bin(key).native() + ":/usr/bin:/bin");
    remote_.SetVariable("HOME", server.Home());
    remote_.SetVariable("SSH_AUTH_SOCK", server.Agent(key));
  }

  // A scan of one URL ends so, and says why.
  void ExpectNoReport(const std::string& url, const std::vector<std::string>& options,
                      const testing::Matcher<const std::string&>& status,
                      const testing::Matcher<const std::string&>& why) {
    std::vector<std::string> arguments = {"--fetch-backend", GetParam(), url};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const CliResult scan = remote_.Scan(arguments);
    EXPECT_EQ(scan.exit_code, 3) << scan.err << scan.out;
    const json repository = remote_.Json("manifest.json")["repositories"][0];
    EXPECT_THAT(repository["status"].get<std::string>(), status) << repository;
    EXPECT_THAT(repository["reason"].dump(), why) << scan.out;
  }

  TempDir home_, other_home_, served_;
  Cli remote_{home_.path()}, local_{other_home_.path()};
  std::string key_, rules_;
};

std::string Https(const NginxServer& server, const std::string& password) {
  return absl::StrFormat("https://%s:%s@%s", kUser, password, server.Url().substr(8));
}

TEST_P(RealServers, NginxServesWhatIsInItsFolder) {
  const NginxServer server(served_.path(), kUser, kPassword);
  ExpectTheReportsOfTheFolder(Https(server, kPassword), {"--ca-file", server.CaFile()},
                              {"GIT_SSL_CAINFO=" + server.CaFile().native()}, server.Log());
}

TEST_P(RealServers, NginxRefusesAWrongPasswordAndSaysWhatIsNotThere) {
  const NginxServer server(served_.path(), kUser, kPassword);
  const std::vector<std::string> options = {"--ca-file", server.CaFile()};
  ExpectNoReport(Https(server, "mistyped") + "/app0.git", options, "refused", HasSubstr("uthentication"));
  ExpectNoReport(server.Url() + "/app0.git", options, "refused", AnyOf(HasSubstr("could not read Username"), HasSubstr("uthentication")));
  // Whether it has gone, or never was, a URL alone does not tell.
  ExpectNoReport(Https(server, kPassword) + "/nothing.git", options, "failed", AnyOf(HasSubstr("not found"), HasSubstr("404")));
  ExpectNoReport(Https(server, kPassword) + "/app0.git", {}, "failed", HasSubstr("certificate"));
}

TEST_P(RealServers, GitDaemonServesWhatIsInItsFolder) {
  const GitDaemon server(served_.path());
  ExpectTheReportsOfTheFolder(server.Url(), {}, {"HOME=/nonexistent"}, server.Log());
}

TEST_P(RealServers, GitDaemonSaysWhatIsNotExported) {
  const GitDaemon server(served_.path());
  GitRepo(Bare(0), {"--bare"});
  ExpectNoReport(server.Url() + "/app0.git", {}, "failed", HasSubstr("not exported"));
}

TEST_P(RealServers, SshdServesWhatIsInItsFolder) {
  const SshServer server(served_.path());
  Use(server, "client");
  ExpectTheReportsOfTheFolder(server.Url(), {}, {absl::StrFormat("PATH=%s:/usr/bin:/bin", server.Bin("client").native())},
                              server.Log());
}

TEST_P(RealServers, SshdRefusesAKeyThatItDoesNotKnowAndSaysWhatIsNotThere) {
  const SshServer server(served_.path());
  Use(server, "stranger");
  ExpectNoReport(server.Url() + "/app0.git", {}, "refused", AnyOf(HasSubstr("Permission denied"), HasSubstr("uthentica")));
  Use(server, "client");
  ExpectNoReport(server.Url() + "/nothing.git", {}, "failed", HasSubstr("does not appear to be a git repository"));
  remote_.SetVariable("HOME", home_.path());  // without a known_hosts
  remote_.SetVariable("PATH", "/usr/bin:/bin");
  ExpectNoReport(server.Url() + "/app0.git", {}, AnyOf("refused", "failed"),
                 AnyOf(HasSubstr("Host key verification failed"), HasSubstr("unknown remote ssh hostkey")));
}

INSTANTIATE_TEST_SUITE_P(Backends, RealServers, testing::Values("git", "libgit2"),
                         [](const auto& backend) { return std::string(backend.param); });

}  // namespace
}  // namespace unsprawl
