// What strangers send: each odd or hostile repository ends in a counted skip or a clear error, and the
// results of the healthy one beside it stay as they are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;
using testing::Not;

class HostileTest : public testing::Test {
 protected:
  HostileTest() : healthy_(repos_.path() / "healthy") {
    healthy_.Write("s", FakeGithubToken(1) + "\n");
    healthy_.Commit();
  }

  // Scans the folder of all repositories; checks that the healthy one's finding is there.
  CliResult ScanAll(std::vector<std::string> more = {}) {
    more.push_back(repos_.path());
    const CliResult scan = cli_.Scan(more);
    bool healthy_found = false;
    for (const nlohmann::json& row : cli_.Rows("occurrences.jsonl")) {
      healthy_found |= row["repository"] == "healthy" && row["path"] == "s";
    }
    EXPECT_TRUE(healthy_found) << scan.out << scan.err;
    return scan;
  }

  nlohmann::json Repository(const std::string& name) {
    const nlohmann::json manifest = cli_.Json("manifest.json");
    for (const nlohmann::json& row : manifest["repositories"]) {
      if (row["name"] == name) return row;
    }
    ADD_FAILURE() << "no repository " << name << " in the manifest";
    return {};
  }

  // The only pack of a repository after repacking everything into one.
  std::filesystem::path OnePack(GitRepo& repo) {
    repo.Git({"repack", "-adq"});
    repo.Git({"prune-packed"});
    for (const auto& entry : std::filesystem::directory_iterator(repo.objects() / "pack")) {
      if (entry.path().extension() == ".pack") {
        chmod(entry.path().c_str(), 0600);
        return entry.path();
      }
    }
    ADD_FAILURE() << "no pack";
    return {};
  }

  TempDir home_, repos_;
  Cli cli_{home_.path()};
  GitRepo healthy_;
};

TEST_F(HostileTest, AnEmptyRepositoryIsCompleteAndEmpty) {
  GitRepo empty(repos_.path() / "empty");
  EXPECT_EQ(ScanAll().exit_code, 1);
  EXPECT_EQ(Repository("empty")["status"], "empty");
}

TEST_F(HostileTest, ARepositoryWithoutHeadIsScanned) {
  GitRepo repo(repos_.path() / "headless");
  repo.Write("t", FakeGithubToken(2) + "\n");
  repo.Commit();
  std::filesystem::remove(repo.path() / ".git" / "HEAD");
  const CliResult scan = ScanAll();
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 2u) << scan.out << scan.err;
}

TEST_F(HostileTest, ASha256RepositoryIsNotCoveredAndSaysSo) {
  GitRepo repo(repos_.path() / "sha256", {"--object-format=sha256"});
  repo.Write("t", FakeGithubToken(3) + "\n");
  repo.Commit();
  EXPECT_EQ(ScanAll().exit_code, 3);
  EXPECT_EQ(Repository("sha256")["status"], "not-covered");
  EXPECT_THAT(Repository("sha256")["reason"].get<std::string>(), HasSubstr("sha256"));
}

TEST_F(HostileTest, AShallowCloneIsPartialUnlessThePolicyAcceptsIt) {
  GitRepo origin(home_.path() / "origin");
  for (uint32_t i = 0; i < 3; ++i) {
    origin.Write("f", FakeGithubToken(40 + i) + "\n");
    origin.Commit();
  }
  unsprawl::Run(repos_.path(), {"git", "clone", "-q", "--depth=1", "file://" + origin.path().native(), "shallow"});
  EXPECT_EQ(ScanAll().exit_code, 3);
  EXPECT_EQ(Repository("shallow")["status"], "partial");
  WriteFile(home_.path() / "policy.toml", "[accept]\nskips = ['missing']\n");
  EXPECT_EQ(ScanAll({"--policy", home_.path() / "policy.toml"}).exit_code, 1);
}

TEST_F(HostileTest, AbsentObjectsOfAPartialCloneAreCountedAsMissing) {
  GitRepo origin(home_.path() / "origin");
  origin.Git({"config", "uploadpack.allowfilter", "true"});
  for (uint32_t i = 0; i < 5; ++i) {
    origin.Write("f" + std::to_string(i), FakeGithubToken(50 + i) + "\n");
    origin.Commit();
  }
  unsprawl::Run(repos_.path(), {"git", "clone", "-q", "--bare", "--filter=blob:none",
                      "file://" + origin.path().native(), "partial.git"});
  EXPECT_EQ(ScanAll().exit_code, 3);
  EXPECT_EQ(Repository("partial")["status"], "partial");
  EXPECT_THAT(cli_.Json("manifest.json").dump(), HasSubstr("missing"));
}

TEST_F(HostileTest, ATruncatedPackIsReportedAndEverythingElseIsIntact) {
  GitRepo repo(repos_.path() / "cut");
  for (uint32_t i = 0; i < 30; ++i) {
    repo.Write("f" + std::to_string(i), FakeGithubToken(100 + i) + "\n" + std::string(500, 'x') + "\n");
    repo.Commit();
  }
  const std::filesystem::path pack = OnePack(repo);
  const std::string whole = ReadFile(pack);
  std::filesystem::resize_file(pack, std::filesystem::file_size(pack) / 2);
  EXPECT_EQ(ScanAll().exit_code, 3);
  const std::string status = Repository("cut")["status"];
  EXPECT_TRUE(status == "partial" || status == "failed") << status;
  // Repaired, with no ref moved: it is looked at again.
  WriteFile(pack, whole);
  EXPECT_EQ(ScanAll().exit_code, 1);
  EXPECT_EQ(Repository("cut")["status"], "ok");
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 31u);
}

TEST_F(HostileTest, ARepositoryThatCannotBeOpenedIsNamedAndNotLeftOut) {
  WriteFile(repos_.path() / "lost" / ".git", "gitdir: /nowhere/at/all\n");
  const CliResult scan = ScanAll();
  EXPECT_EQ(scan.exit_code, 3);
  EXPECT_THAT(scan.out, HasSubstr("/nowhere/at/all"));
  // The same named itself, beside another target.
  EXPECT_EQ(ScanAll({repos_.path() / "lost"}).exit_code, 3);
}

TEST_F(HostileTest, APipeInPlaceOfAFileStopsNobody) {
  GitRepo repo(repos_.path() / "pipe");
  repo.Write("t", FakeGithubToken(8) + "\n");
  repo.Commit();
  ASSERT_EQ(mkfifo((repo.objects() / "info" / "alternates").c_str(), 0600), 0);
  EXPECT_EQ(ScanAll().exit_code, 3);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 2u);
}

TEST_F(HostileTest, WhatOnlyBeginsAsAnLfsPointerIsScanned) {
  GitRepo repo(repos_.path() / "lfs");
  const std::string start = "version https://git-lfs.github.com/spec/v1\n";
  repo.Write("pointer", start + "oid sha256:" + std::string(64, 'a') + "\nsize 12345\n");
  repo.Write("not", start + FakeGithubToken(9) + "\n");
  repo.Commit();
  EXPECT_EQ(ScanAll().exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 2u);
  EXPECT_THAT(Repository("lfs").dump(), HasSubstr("\"lfs-pointer\""));
}

TEST_F(HostileTest, FlippedBytesNeverCrashTheRunAndNeverReadAsClean) {
  GitRepo repo(repos_.path() / "flipped");
  for (uint32_t i = 0; i < 20; ++i) {
    repo.Write("f" + std::to_string(i), FakeGithubToken(200 + i) + "\n");
    repo.Commit();
  }
  const std::filesystem::path pack = OnePack(repo);
  const std::string good = ReadFile(pack);
  std::mt19937 random(7);
  int noticed = 0;
  for (int round = 0; round < 12; ++round) {
    std::string bad = good;
    for (int flip = 0; flip < 5; ++flip) {
      bad[12 + random() % (bad.size() - 32)] ^= static_cast<char>(1 << (random() % 8));
    }
    WriteFile(pack, bad);
    const CliResult scan = ScanAll({"--store", ":memory:"});
    EXPECT_TRUE(scan.exit_code == 3 || scan.exit_code == 1) << scan.exit_code << scan.err;
    noticed += scan.exit_code == 3;
  }
  EXPECT_GT(noticed, 8);  // A flip may fall into bytes that no object needs.
}

TEST_F(HostileTest, AnObjectAboveTheLimitIsCountedAndNotRead) {
  GitRepo repo(repos_.path() / "bomb");
  repo.Write("zeros", std::string(40 << 20, '\0'));
  repo.Write("t", FakeGithubToken(4) + "\n");
  repo.Commit();
  EXPECT_EQ(ScanAll({"--max-object-size=10MB"}).exit_code, 1);  // a policy skip: banner only
  EXPECT_EQ(Repository("bomb")["status"], "ok");
  EXPECT_THAT(Repository("bomb").dump(), HasSubstr("too-large"));
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 2u);
}

TEST_F(HostileTest, HostileNamesAreEscapedOnTheTerminalAndEverywhereElse) {
  GitRepo repo(repos_.path() / "names");
  const std::string path = "a\x1b[31mred\xE2\x80\xAEtxt.<script>alert(1)</script>\xff.env";
  // git itself takes the name; a path with a newline too.
  const std::string blob = repo.Git({"hash-object", "-w", "--stdin"}, FakeGithubToken(5) + "\n");
  repo.Git({"update-index", "--add", "--cacheinfo", "100644", blob, path});
  repo.Git({"update-index", "--add", "--cacheinfo", "100644", blob, "new\nline"});
  repo.Git({"-c", "user.name=Eve\x1b]0;owned\x07", "commit", "-q", "-m", "x"});
  const CliResult scan = ScanAll();
  EXPECT_EQ(scan.exit_code, 1) << scan.err;
  for (const std::string& text : {scan.out, scan.err, ReadFile(cli_.report() / "summary.txt"),
                                  ReadFile(cli_.report() / "report.html")}) {
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
    EXPECT_THAT(text, Not(HasSubstr("\xE2\x80\xAE")));
  }
  EXPECT_THAT(ReadFile(cli_.report() / "report.html"), Not(HasSubstr("<script>alert")));
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), 3u);
}

TEST_F(HostileTest, ManyRefsAreReadAndCounted) {
  GitRepo repo(repos_.path() / "refs");
  repo.Write("t", "x\n");
  const std::string commit = repo.Commit();
  std::string packed = "# pack-refs with: peeled fully-peeled sorted \n";
  for (int i = 0; i < 100'000; ++i) {
    packed += absl::StrFormat("%s refs/tags/t%06d\n", commit, i);
  }
  WriteFile(repo.path() / ".git" / "packed-refs", packed);
  EXPECT_EQ(ScanAll().exit_code, 1);
  EXPECT_EQ(Repository("refs")["refs"], 100'001);
}

TEST_F(HostileTest, ReplaceRefsGraftsSubmodulesAndSymlinksDoNotHideAnything) {
  GitRepo repo(repos_.path() / "odd");
  repo.Write("t", FakeGithubToken(6) + "\n");
  const std::string first = repo.Commit();
  repo.Write("t", "nothing\n");
  const std::string second = repo.Commit();
  repo.Git({"replace", first, second, "-f"});
  WriteFile(repo.path() / ".git" / "info" / "grafts", second + "\n");
  std::filesystem::create_symlink("/etc/passwd", repo.path() / "link");
  repo.Git({"update-index", "--add", "--cacheinfo", "160000", first, "sub"});
  repo.Git({"add", "link"});
  repo.Git({"commit", "-q", "-m", "odd"});
  EXPECT_EQ(ScanAll().exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 2u);
  EXPECT_EQ(Repository("odd")["submodules"], 1);
}

TEST_F(HostileTest, AnAlternateThatIsGoneIsPartialNotClean) {
  GitRepo origin(home_.path() / "origin");
  origin.Write("t", FakeGithubToken(7) + "\n");
  origin.Commit();
  unsprawl::Run(repos_.path(), {"git", "clone", "-q", "--bare", "--shared", origin.path(), "borrower.git"});
  EXPECT_EQ(ScanAll().exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 2u);
  std::filesystem::remove_all(origin.path());
  EXPECT_EQ(ScanAll({"--store", ":memory:"}).exit_code, 3);
}

TEST_F(HostileTest, NamesThatDifferInCaseOnlyAreTwoFiles) {
  GitRepo repo(repos_.path() / "cases");
  uint32_t seed = 300;
  for (const char* path : {"Config/key", "config/key", "config/KEY"}) {
    const std::string blob = repo.Git({"hash-object", "-w", "--stdin"}, FakeGithubToken(++seed) + "\n");
    repo.Git({"update-index", "--add", "--cacheinfo", "100644", blob, path});
  }
  repo.Git({"commit", "-q", "-m", "x"});
  EXPECT_EQ(ScanAll().exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 4u);
}

TEST_F(HostileTest, AnObjectThatKillsTheScannerIsSkippedAndTheRestIsScanned) {
#if defined(UNSPRAWL_ASAN) || defined(UNSPRAWL_TSAN)
  GTEST_SKIP() << "sanitizers reserve more memory than the limit that kills here";
#endif
  GitRepo repo(repos_.path() / "deadly");
  for (uint32_t i = 0; i < 5; ++i) repo.Write("t" + std::to_string(i), FakeGithubToken(400 + i) + "\n");
  repo.Write("deadly", std::string(400 << 20, '\0'));  // more than a scanner may have
  repo.Commit();
  const CliResult scan = ScanAll({"--max-object-size=1GB", "--memory-limit=300MB"});
  EXPECT_EQ(scan.exit_code, 3) << scan.out << scan.err;
  EXPECT_EQ(Repository("deadly")["status"], "partial");
  EXPECT_THAT(Repository("deadly").dump(), HasSubstr("poison"));
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 6u);
  EXPECT_GE(cli_.Json("run.json")["scanner_deaths"], 2);
  // Known to be deadly is not forgotten: the next run does not read as clean either.
  EXPECT_EQ(ScanAll({"--max-object-size=1GB", "--memory-limit=300MB"}).exit_code, 3);
}

TEST_F(HostileTest, AFileOfTokensEndToEndIsCutAndSaysSo) {
  GitRepo repo(repos_.path() / "tokens");
  std::string tokens;
  for (uint32_t i = 0; i < 20'000; ++i) tokens += FakeAwsKeyId(1000 + i) + "\n";
  tokens += "one of another kind: " + FakeGithubToken(77) + "\n";  // not lost among the others
  repo.Write("tokens", tokens);
  repo.Commit();
  repo.Write("tokens", tokens + "one more line\n");
  repo.Commit();
  for (const char* round : {"first", "again, with nothing to scan"}) {
    EXPECT_EQ(ScanAll().exit_code, 3) << round;
    EXPECT_THAT(Repository("tokens").dump(), HasSubstr("more than 16384 matches")) << round;
    const auto rows = cli_.Rows("incidents.jsonl");
    EXPECT_GT(rows.size(), 10'000u) << round;
    EXPECT_EQ(std::count_if(rows.begin(), rows.end(),
                            [](const nlohmann::json& row) { return row["rule"] == "github-pat"; }), 2) << round;
  }
}

TEST_F(HostileTest, AScanWithoutTheSandboxSaysSo) {
  EXPECT_EQ(ScanAll({"--no-sandbox"}).exit_code, 1);
  EXPECT_THAT(cli_.Json("manifest.json").dump(), HasSubstr("--no-sandbox"));
}

}  // namespace
}  // namespace unsprawl
