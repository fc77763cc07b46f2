// The stand-in forge as the other tests see it: through its fixture, with the real git as the
// client.
#include "tests/support/forge_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class ForgeServerTest : public testing::Test {
 protected:
  ForgeServerTest() {
    GitRepo repo(folder_.path() / "work");
    repo.Write("a", "one\n");
    tip_ = repo.Commit();
    // What does not compress, so that it takes time.
    std::string noise;
    for (uint32_t i = 0; i < 8000; ++i) noise += FakeAwsKeyId(i) + FakeGithubToken(i);
    repo.Write("noise", noise);
    repo.Commit();
    unsprawl::Run(folder_.path(), {"git", "clone", "-q", "--bare", repo.path(), "app.git"});
  }

  json Settings() const {
    return {
        {"repositories",
         {{{"id", 7},
           {"owner", "acme"},
           {"name", "app"},
           {"private", true},
           {"path", folder_.path() / "app.git"}},
          {{"id", 8}, {"owner", "acme"}, {"name", "open"}, {"path", folder_.path() / "app.git"}}}},
        {"tokens", {{"reader", {{"value", kToken}}}}}};
  }

  // Runs git with the token (or without, for "") against the server, its output in a file; returns
  // its exit code.
  int Git(const ForgeServer& forge, const std::string& arguments, std::string_view token = kToken,
          std::string_view output = "git.out") const {
    std::string helper = "-c credential.helper= ";
    if (!token.empty()) {
      helper += absl::StrFormat(
          "-c credential.helper='!f() { echo username=x; echo password=%s; }; f'", token);
    }
    const std::string command = absl::StrFormat("GIT_SSL_CAINFO=%s git %s %s >%s 2>&1; echo $?",
                                                forge.CaFile().native(), helper, arguments, output);
    return std::stoi(unsprawl::Run(folder_.path(), {"sh", "-c", command}));
  }
  std::string GitOutput() const { return ReadFile(folder_.path() / "git.out"); }

  static constexpr char kToken[] = "the-token-of-the-reader";
  TempDir folder_;
  std::string tip_;
};

TEST_F(ForgeServerTest, GitClonesFromEveryForgesAddressWhatTheBareRepositoryHolds) {
  const ForgeServer forge(Settings());
  const std::string want =
      unsprawl::Run(folder_.path(), {"git", "-C", "app.git", "rev-parse", "HEAD"});
  int clones = 0;
  for (const char* address :
       {"/acme/app.git", "/acme/app", "/gitlab/acme/app.git", "/bitbucket/acme/app.git",
        "/bbdc/scm/ACME/app.git", "/gitea/acme/app.git", "/azure/acme/main/_git/app"}) {
    const std::string clone = absl::StrFormat("clone%d", ++clones);
    EXPECT_EQ(Git(forge, "clone -q " + forge.Url() + address + " " + clone), 0)
        << address << GitOutput();
    EXPECT_EQ(unsprawl::Run(folder_.path(), {"git", "-C", clone, "rev-parse", "HEAD"}), want)
        << address;
    EXPECT_EQ(unsprawl::Run(folder_.path(), {"git", "-C", clone, "fsck", "--full"}), "") << address;
  }
  const json counters = forge.Counters();
  EXPECT_EQ(counters["git_repositories"]["git-info-refs acme/app"], clones);
  EXPECT_GT(counters["git_bytes"],
            clones * std::filesystem::file_size(folder_.path() / "clone1/noise") / 2);
  EXPECT_EQ(counters["tokens"]["git-upload-pack"]["reader"],
            counters["requests"]["git-upload-pack"]);
  EXPECT_THAT(counters.dump(), Not(HasSubstr(kToken)));
}

TEST_F(ForgeServerTest, WhoMayNotReadGetsNothing) {
  const ForgeServer forge(Settings());
  EXPECT_NE(Git(forge, "ls-remote " + forge.Url() + "/acme/app.git", "mistyped"), 0);
  EXPECT_NE(Git(forge, "ls-remote " + forge.Url() + "/acme/open.git", ""), 0);
  forge.Set({{"anonymous_git", true}});
  EXPECT_EQ(Git(forge, "ls-remote " + forge.Url() + "/acme/open.git", ""), 0) << GitOutput();
  EXPECT_NE(Git(forge, "ls-remote " + forge.Url() + "/acme/app.git", ""), 0);
  // Nobody may push.
  EXPECT_EQ(Git(forge, "clone -q " + forge.Url() + "/acme/app.git clone"), 0) << GitOutput();
  EXPECT_NE(Git(forge, "-C clone push origin HEAD:refs/heads/new"), 0);
  EXPECT_THAT(GitOutput(), HasSubstr("403"));
}

TEST_F(ForgeServerTest, AnObjectThatNoRefReachesIsFetchedByItsId) {
  const ForgeServer forge(Settings());
  unsprawl::Run(folder_.path(), {"git", "-C", "app.git", "update-ref", "-d", "HEAD"});
  unsprawl::Run(folder_.path(), {"git", "init", "-q", "mirror"});
  const std::string fetch = "-C mirror fetch -q " + forge.Url() + "/acme/app.git " + tip_;
  EXPECT_EQ(Git(forge, fetch), 0) << GitOutput();
  EXPECT_EQ(unsprawl::Run(folder_.path(), {"git", "-C", "mirror", "cat-file", "-t", tip_}),
            "commit\n");
}

TEST_F(ForgeServerTest, ARenamedRepositoryIsFollowedAndARemovedOneIsGone) {
  const ForgeServer forge(Settings());
  forge.ChangeRepository({{"id", 7}, {"owner", "other"}, {"name", "renamed"}});
  EXPECT_EQ(Git(forge, "clone -q " + forge.Url() + "/acme/app.git clone"), 0) << GitOutput();
  EXPECT_EQ(forge.Counters()["statuses"]["301"], 1);
  forge.ChangeRepository({{"id", 7}, {"deleted", true}});
  EXPECT_NE(Git(forge, "ls-remote " + forge.Url() + "/other/renamed.git"), 0);
  EXPECT_THAT(GitOutput(), HasSubstr("not found"));
}

TEST_F(ForgeServerTest, AGitAnswerIsCutSlowedAndShared) {
  const ForgeServer forge(Settings());
  const std::string clone = "clone -q --bare " + forge.Url() + "/acme/open.git ";
  // The first POST asks for the refs, the second for the objects.
  forge.Fault(
      {{"match", "POST .*/git-upload-pack"}, {"after", 1}, {"kind", "cut"}, {"bytes", 50000}});
  EXPECT_NE(Git(forge, clone + "cut"), 0);
  EXPECT_EQ(forge.Counters()["faults"], 1);

  forge.Set({{"faults", json::array()}, {"git_bytes_per_second", 1'000'000}});
  forge.ResetCounters();
  EXPECT_TRUE(forge.Counters()["git_ended"].is_null());
  const auto start = std::chrono::steady_clock::now();
  const std::chrono::duration<double> since_1970 = std::chrono::system_clock::now().time_since_epoch();
  std::thread other([&] { EXPECT_EQ(Git(forge, clone + "second", kToken, "other.out"), 0); });
  EXPECT_EQ(Git(forge, clone + "first"), 0) << GitOutput();
  other.join();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  const json counters = forge.Counters();
  EXPECT_GE(passed.count(), counters["git_bytes"].get<double>() / 1e6);
  EXPECT_NEAR(counters["git_ended"].get<double>(), since_1970.count() + passed.count(), passed.count() / 2);
  EXPECT_EQ(counters["max_concurrent_git"], 2);
}

TEST_F(ForgeServerTest, ARepositoryVanishesBetweenItsListingAndItsClone) {
  const ForgeServer forge(Settings());
  forge.Fault({{"match", "GET /acme/open.git"}, {"kind", "vanish"}});
  EXPECT_EQ(Git(forge, "ls-remote " + forge.Url() + "/acme/app.git"), 0) << GitOutput();
  EXPECT_NE(Git(forge, "ls-remote " + forge.Url() + "/acme/open.git"), 0);
  EXPECT_NE(Git(forge, "ls-remote " + forge.Url() + "/acme/open.git"), 0);
  EXPECT_EQ(forge.Counters()["faults"], 1);
}

}  // namespace
}  // namespace unsprawl
