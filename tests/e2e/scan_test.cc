// The main job from the outside: the program over repositories made by real git.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;
using testing::Not;

class ScanTest : public testing::Test {
 protected:
  // Rows of occurrences.jsonl for one path.
  std::vector<nlohmann::json> At(const std::string& path) {
    std::vector<nlohmann::json> found;
    for (const nlohmann::json& row : cli_.Rows("occurrences.jsonl")) {
      if (row["path"] == path) found.push_back(row);
    }
    return found;
  }

  // The report of a scan of the same targets with an empty store.
  std::map<std::string, std::string> FreshReport(const std::vector<std::string>& targets) {
    TempDir home;
    // The same key, so that ids are the same.
    std::filesystem::create_directories(home.path() / ".config");
    std::filesystem::copy(cli_.home() / ".config", home.path() / ".config",
                          std::filesystem::copy_options::recursive |
                              std::filesystem::copy_options::overwrite_existing);
    const Cli fresh(home.path());
    fresh.Scan(targets);
    return fresh.ReportFiles();
  }

  TempDir home_, repos_;
  Cli cli_{home_.path()};
};

TEST_F(ScanTest, ASecretIsReportedWithItsPlaceCommitAuthorAndPresence) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("README", "hello\n");
  repo.Commit();
  repo.Write("src/config.py", "import os\n\nTOKEN = \"" + FakeGithubToken(1) + "\"\n");
  const std::string introduced = repo.Commit();
  const CliResult scan = cli_.Scan({repo.path()});
  EXPECT_EQ(scan.exit_code, 1) << scan.err;
  const auto rows = At("src/config.py");
  ASSERT_EQ(rows.size(), 1u) << scan.out;
  EXPECT_EQ(rows[0]["rule"], "github-pat");
  EXPECT_EQ(rows[0]["provider"], "GitHub");
  EXPECT_EQ(rows[0]["repository"], "app");
  EXPECT_EQ(rows[0]["commit"], introduced);
  EXPECT_EQ(rows[0]["start_line"], 3);
  EXPECT_EQ(rows[0]["start_column"], 10);
  EXPECT_EQ(rows[0]["end_column"], 50);
  EXPECT_EQ(rows[0]["presence"], "head");
  EXPECT_EQ(rows[0]["date"], "2023-11-14T22:15:20Z");
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 1u);
}

TEST_F(ScanTest, ASecretDeletedInTheNextCommitIsStillReportedAsHistory) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("a.env", "key=" + FakeAwsKeyId(2) + "\n");
  repo.Commit();
  repo.Remove("a.env");
  repo.Commit();
  EXPECT_EQ(cli_.Scan({repo.path()}).exit_code, 1);
  const auto rows = At("a.env");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0]["presence"], "history");
}

TEST_F(ScanTest, ASecretThatExistsOnlyInAMergeCommitIsFound) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("f", "one\n");
  repo.Commit();
  repo.Git({"checkout", "-q", "-b", "side"});
  repo.Write("g", "two\n");
  repo.Commit();
  repo.Git({"checkout", "-q", "main"});
  repo.Write("h", "three\n");
  repo.Commit();
  repo.Git({"merge", "-q", "--no-commit", "--no-ff", "side"});
  repo.Write("evil", "t = '" + FakeGithubToken(3) + "'\n");
  const std::string merge = repo.Commit("merge");
  EXPECT_EQ(repo.Git({"rev-list", "--count", "--merges", "--all"}), "1");
  EXPECT_EQ(cli_.Scan({repo.path()}).exit_code, 1);
  ASSERT_EQ(At("evil").size(), 1u);
  EXPECT_EQ(At("evil")[0]["commit"], merge);
}

// Texts of Windows tools and packed logs; each version is a delta of the one before, which says nothing of the text.
TEST_F(ScanTest, WhatIsInUtf16OrGzipIsFoundInEveryVersion) {
  const auto utf16 = [](std::string_view text) {
    std::string wide = "\xff\xfe";
    for (const char c : text) wide += {c, '\0'};
    return wide;
  };
  GitRepo repo(repos_.path() / "app");
  std::string log;
  for (int i = 0; i < 300; ++i) log += absl::StrFormat("line %d of a log that is long enough for a delta\n", i);
  for (uint32_t version = 0; version < 4; ++version) {
    log += "token = " + FakeGithubToken(version) + "\n";
    repo.Write("wide.txt", utf16(log));
    repo.Write("log.gz", unsprawl::Run(repos_.path(), {"gzip", "-nc"}, log));
    repo.Write("turns.txt", version % 2 == 0 ? utf16(log) : log);
    repo.Commit();
  }
  repo.Write("bomb.gz", unsprawl::Run(repos_.path(), {"gzip", "-nc"}, std::string(3 << 20, 'a')));
  repo.Commit();
  repo.Git({"repack", "-adfq", "--depth=50"});
  const CliResult scan = cli_.Scan({"--max-object-size=2MB", repo.path()});
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 4u) << scan.out;
  for (const char* const path : {"wide.txt", "log.gz", "turns.txt"}) {
    std::set<int> lines;
    for (const nlohmann::json& row : At(path)) lines.insert(row["start_line"].get<int>());
    EXPECT_EQ(lines, (std::set<int>{301, 302, 303, 304})) << path;
  }
  const nlohmann::json skips = cli_.Json("manifest.json")["repositories"][0]["skips"];
  ASSERT_EQ(skips.size(), 1u) << "what is too large once unpacked";
  EXPECT_EQ(skips[0]["reason"], "too-large");
  const std::map<std::string, std::string> delta = cli_.ReportFiles();
  cli_.Scan({"--max-object-size=2MB", "--scan-mode=full", "--store=:memory:", repo.path()});
  EXPECT_EQ(cli_.ReportFiles(), delta);
}

// Names beside long runs of what their values are made of: to compare them all takes as long as a stranger likes.
TEST_F(ScanTest, WhatTakesTooLongIsSaidInEveryRunAndNeverClean) {
  std::string names, values, hostile;
  for (int i = 0; i < 12; ++i) names += "hubspot ";
  for (int i = 0; i < 230; ++i) values += "C-";
  for (int i = 0; i < 6000; ++i) hostile += names + values + "\n";
  GitRepo repo(repos_.path() / "app");
  repo.Write("hostile.txt", hostile);
  repo.Write("ordinary.env", "key=" + FakeAwsKeyId(2) + "\n");
  repo.Commit();
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(cli_.Scan({repo.path()}).exit_code, 3) << run;
    const nlohmann::json skips = cli_.Json("manifest.json")["repositories"][0]["skips"];
    ASSERT_EQ(skips.size(), 1u) << run;
    EXPECT_EQ(skips[0]["reason"], "truncated");
    EXPECT_EQ(At("ordinary.env").size(), 1u);
  }
}

// More matches than one pass over history locates.
TEST_F(ScanTest, EveryPlaceOfAHundredThousandIsReportedOnce) {
  constexpr size_t kFiles = 21, kSecrets = 5'000;  // each found by three rules
  std::string lines;
  for (uint32_t i = 0; i < kSecrets; ++i) lines += "token = " + FakeGithubToken(i) + "\n";
  GitRepo repo(repos_.path() / "app");
  for (size_t file = 0; file < kFiles; ++file) {
    repo.Write(absl::StrFormat("f%d.env", file), absl::StrFormat("# %d\n", file) + lines);
  }
  repo.Commit();
  EXPECT_EQ(cli_.Scan({repo.path()}).exit_code, 1);
  const std::string rows = cli_.ReportFiles().at("occurrences.jsonl");
  std::map<std::string, size_t> places;  // by path
  std::set<std::pair<std::string, std::string>> distinct;
  const auto value = [&](const std::string& name, size_t from) {
    const size_t begin = rows.find("\"" + name + "\":\"", from) + name.size() + 4;
    return rows.substr(begin, rows.find('"', begin) - begin);
  };
  for (size_t at = 0; at < rows.size(); at = rows.find('\n', at) + 1) {
    ++places[value("path", at)];
    distinct.emplace(value("incident", at), value("path", at));
  }
  EXPECT_EQ(places.size(), kFiles);
  for (const auto& [path, count] : places) EXPECT_EQ(count, kSecrets) << path;
  EXPECT_EQ(distinct.size(), kFiles * kSecrets);
}

TEST_F(ScanTest, ACleanRepositoryExitsWithZeroAndSaysSo) {
  GitRepo repo(repos_.path() / "clean");
  repo.Write("main.c", "int main(void) { return 0; }\n");
  repo.Commit();
  const CliResult scan = cli_.Scan({repo.path()});
  EXPECT_EQ(scan.exit_code, 0) << scan.out << scan.err;
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 0u);
}

TEST_F(ScanTest, NothingChangedMeansNothingIsScannedAndTheReportStays) {
  GitRepo repo(repos_.path() / "app");
  for (int i = 0; i < 20; ++i) {
    repo.Write("f" + std::to_string(i % 3), "x = " + FakeGithubToken(static_cast<uint32_t>(i)) + "\n");
    repo.Commit();
  }
  cli_.Scan({repo.path()});
  const auto first = cli_.ReportFiles();
  EXPECT_EQ(cli_.Json("run.json")["repositories_unchanged"], 0);
  cli_.Scan({repo.path()});
  EXPECT_EQ(cli_.ReportFiles(), first);
  EXPECT_EQ(cli_.Json("run.json")["repositories_unchanged"], 1);
  EXPECT_EQ(cli_.Json("run.json")["blobs_scanned"], 0);
}

TEST_F(ScanTest, AForkShowsItsOwnOccurrencesWithoutBeingScannedAgain) {
  GitRepo repo(repos_.path() / "origin");
  repo.Write("secret.txt", "t " + FakeGithubToken(5) + "\n");
  repo.Commit();
  cli_.Scan({repo.path()});
  unsprawl::Run(repos_.path(), {"git", "clone", "-q", "--bare", "origin", "fork.git"});
  EXPECT_EQ(cli_.Scan({repos_.path()}).exit_code, 1);
  EXPECT_EQ(cli_.Json("run.json")["blobs_scanned"], 0);
  const auto rows = At("secret.txt");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_NE(rows[0]["repository"], rows[1]["repository"]);
  ASSERT_EQ(cli_.Rows("incidents.jsonl").size(), 1u);
  EXPECT_EQ(cli_.Rows("incidents.jsonl")[0]["repositories"], 2);
}

TEST_F(ScanTest, AfterMoreCommitsTheReportEqualsThatOfAFreshScan) {
  GitRepo repo(repos_.path() / "app");
  for (uint32_t i = 0; i < 12; ++i) {
    repo.Write("dir/f" + std::to_string(i % 4), std::string(i * 10, '\n') + FakeGithubToken(i / 2) + "\n");
    repo.Commit();
    if (i % 4 == 3) {
      cli_.Scan({repo.path()});
      EXPECT_EQ(cli_.ReportFiles(), FreshReport({repo.path()})) << "after commit " << i;
    }
  }
}

TEST_F(ScanTest, OfManyBlobsOnlyNewOnesAreScannedTheNextTime) {
  GitRepo repo(repos_.path() / "app");
  constexpr int kBlobs = 40'000;  // several times what a scanner sends, and the store takes, at once
  std::string stream = "commit refs/heads/main\ncommitter A <a@b.c> 1700000000 +0000\ndata 0\n";
  for (int i = 0; i < kBlobs; ++i) {
    const std::string content = absl::StrFormat("%d of many\n", i);
    absl::StrAppendFormat(&stream, "M 100644 inline d%d/f%d\ndata %d\n%s\n", i % 100, i, content.size(), content);
  }
  repo.Git({"fast-import", "--quiet"}, stream);
  repo.Git({"reset", "-q", "--hard"});
  ASSERT_EQ(cli_.Scan({repo.path()}).exit_code, 0);
  EXPECT_EQ(cli_.Json("run.json")["blobs_scanned"], kBlobs);
  repo.Write("one", "more\n");
  repo.Commit();
  ASSERT_EQ(cli_.Scan({repo.path()}).exit_code, 0);
  EXPECT_EQ(cli_.Json("run.json")["blobs_scanned"], 1);
  EXPECT_EQ(cli_.Json("run.json")["blobs_known"], kBlobs);
  EXPECT_EQ(cli_.ReportFiles(), FreshReport({repo.path()}));
}

TEST_F(ScanTest, DeltaAndFullModeReportTheSame) {
  GitRepo repo(repos_.path() / "app");
  std::string text;
  for (uint32_t i = 0; i < 40; ++i) {
    text += "line " + std::to_string(i) + (i % 5 == 0 ? " " + FakeAwsKeyId(i) : "") + "\n";
    repo.Write("big.txt", text + std::string(2000, 'x') + "\n");
    repo.Commit();
  }
  repo.Git({"repack", "-adfq", "--depth=50", "--window=50"});
  cli_.Scan({repo.path()});
  const auto delta = cli_.ReportFiles();
  cli_.Scan({"--store", ":memory:", "--scan-mode=full", repo.path()});
  EXPECT_EQ(cli_.ReportFiles(), delta);
}

TEST_F(ScanTest, ANewRuleFindsWhatOldBlobsHold) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("a", "zzq-0123456789abcdef\nyyq-0123456789abcdef\n");
  repo.Commit();
  const std::string one = "[[rules]]\nid = 'zz'\nregex = '''zzq-[0-9a-f]{16}'''\n";
  const std::string two = one + "[[rules]]\nid = 'yy'\nregex = '''yyq-[0-9a-f]{16}'''\n";
  WriteFile(home_.path() / "one.toml", one);
  WriteFile(home_.path() / "two.toml", two);
  auto with = [&](const char* config) {
    return std::vector<std::string>{"--min-confidence=0", "-c", home_.path() / config, repo.path()};
  };
  cli_.Scan(with("one.toml"));
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), 1u);
  cli_.Scan(with("two.toml"));
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), 2u);
  // The rule that was there before is not run again: going back needs no scan at all.
  cli_.Scan(with("one.toml"));
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), 1u);
  EXPECT_EQ(cli_.Json("run.json")["blobs_scanned"], 0);
}

TEST_F(ScanTest, WorktreesAndLinkedWorktreesAndBareOnesAreTheSameRepository) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("s", FakeGithubToken(9) + "\n");
  repo.Commit();
  repo.Git({"worktree", "add", "-q", "-b", "other", repos_.path() / "linked"});
  EXPECT_EQ(cli_.Scan({repo.path(), repos_.path() / "linked"}).exit_code, 1);
  EXPECT_EQ(At("s").size(), 1u);
  EXPECT_EQ(cli_.Json("manifest.json")["repositories"].size(), 1u);
}

TEST_F(ScanTest, AFolderWithoutARepositoryIsAnErrorThatSaysWhatToDo) {
  std::filesystem::create_directories(repos_.path() / "nothing" / "here");
  const CliResult scan = cli_.Scan({repos_.path() / "nothing"});
  EXPECT_EQ(scan.exit_code, 2);
  EXPECT_THAT(scan.err, HasSubstr("neither a git repository nor a folder that contains one"));
  EXPECT_THAT(scan.err, HasSubstr("clone URL"));
}

TEST_F(ScanTest, AFileUrlIsFetchedAndScannedAndTheNextFetchBringsWhatIsNew) {
  GitRepo repo(repos_.path() / "remote");
  repo.Write("s", FakeGithubToken(10) + "\n");
  repo.Commit();
  const std::string url = "file://" + repo.path().native();
  const std::string mirrors = home_.path() / "mirrors";
  for (const char* backend : {"git", "libgit2"}) {
    const CliResult scan = cli_.Scan({"--fetch-backend", backend, "--mirrors", mirrors, url});
    EXPECT_EQ(scan.exit_code, 1) << backend << scan.err;
    EXPECT_EQ(At("s").size(), 1u) << backend;
    EXPECT_EQ(At("s")[0]["presence"], "head") << backend;
  }
  repo.Write("t", FakeGithubToken(11) + "\n");
  repo.Commit();
  EXPECT_EQ(cli_.Scan({"--mirrors", mirrors, url}).exit_code, 1);
  EXPECT_EQ(At("t").size(), 1u);
}

TEST_F(ScanTest, TargetsComeFromAFileToo) {
  GitRepo one(repos_.path() / "one"), two(repos_.path() / "two");
  one.Write("a", FakeGithubToken(12) + "\n"), one.Commit();
  two.Write("b", FakeGithubToken(13) + "\n"), two.Commit();
  WriteFile(home_.path() / "targets",
            "# two of them\n\n" + one.path().native() + "\n" + two.path().native() + "\n");
  EXPECT_EQ(cli_.Scan({"--targets-from", home_.path() / "targets"}).exit_code, 1);
  EXPECT_EQ(At("a").size() + At("b").size(), 2u);
}

TEST_F(ScanTest, FailOnNoneAndHighThresholdsDecideTheExitCode) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("s", FakeGithubToken(14) + "\n");
  repo.Commit();
  EXPECT_EQ(cli_.Scan({"--fail-on=none", repo.path()}).exit_code, 0);
  EXPECT_EQ(cli_.Scan({repo.path()}).exit_code, 1);
  EXPECT_EQ(cli_.Scan({"--fail-on=nonsense", repo.path()}).exit_code, 2);
}

TEST_F(ScanTest, NoRawByteOfASecretIsInAnythingThatIsWritten) {
  GitRepo repo(repos_.path() / "app");
  const std::string token = FakeGithubToken(15);
  const std::string password = "Xq7" "vNzR2" "kLp9wTs";
  repo.Write("s.py", "token = \"" + token + "\"\npassword = \"" + password + "\"\n");
  repo.Commit();
  cli_.Scan({"--min-confidence=0", repo.path()});
  const std::string blob = repo.Git({"rev-parse", "HEAD:s.py"});
  for (const auto& entry : std::filesystem::recursive_directory_iterator(home_.path())) {
    if (!entry.is_regular_file()) continue;
    const std::string bytes = ReadFile(entry.path());
    EXPECT_THAT(bytes, Not(HasSubstr(token.substr(6, 8)))) << entry.path();
    EXPECT_THAT(bytes, Not(HasSubstr(password.substr(0, 8)))) << entry.path();
    EXPECT_THAT(bytes, Not(HasSubstr(blob))) << entry.path();
  }
  struct stat status = {};
  ASSERT_EQ(stat((cli_.report() / "incidents.jsonl").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

}  // namespace
}  // namespace unsprawl
