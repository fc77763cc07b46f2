// Who wrote which line of a .gitleaksignore, with git blame as the oracle where it means the same.
#include "engine/history/locate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/strings/str_format.h"
#include "engine/git/repository.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr char kFile[] = ".gitleaksignore";

class IgnoreHistoryTest : public testing::Test {
 protected:
  LocateResult Locate() {
    const absl::StatusOr<RepositoryPaths> paths = FindRepository(repo_.path());
    EXPECT_THAT(paths, IsOk());
    const absl::StatusOr<RepositoryState> state = ReadRepositoryState(*paths);
    EXPECT_THAT(state, IsOk());
    const auto store = ObjectStore::Open(paths->common_dir / "objects", {});
    EXPECT_THAT(store, IsOk());
    absl::StatusOr<LocateResult> result = unsprawl::Locate(**store, *state, {}, {}, [](std::span<const CommitRow>) {});
    EXPECT_THAT(result, IsOk());
    return *std::move(result);
  }
  // The commit that introduced each entry ("" when it is not known), by path.
  std::map<std::string, std::string> By() {
    const LocateResult result = Locate();
    std::map<std::string, std::string> by;
    for (const LocateResult::Ignore& ignore : result.head_ignores) {
      const bool known = ignore.introduced_by < result.head_ignore_commits.size();
      by[ignore.path] = known ? result.head_ignore_commits[ignore.introduced_by].id.ToHex() : "";
    }
    return by;
  }
  void Other() {  // a commit that leaves the file alone
    repo_.Write("other", std::to_string(++others_));
    repo_.Commit();
  }

  TempDir dir_;
  GitRepo repo_{dir_.path() / "repo"};
  int others_ = 0;
};

TEST_F(IgnoreHistoryTest, EachLineIsOfWhoFirstWroteItAsInBlame) {
  std::string text = "# keys\n";
  std::map<std::string, std::string> expected;
  for (int i = 0; i < 5; ++i) {
    const std::string path = absl::StrFormat("f%d", i);
    text = (i % 2 == 0 ? "" : text) + path + ":rule:1\n" + (i % 2 == 0 ? text : "");  // at either end
    repo_.Write(kFile, text);
    expected[path] = repo_.Commit();
    Other();
  }
  EXPECT_EQ(By(), expected);
  const std::string blame = repo_.Git({"blame", "-l", "-s", "--root", kFile});
  for (const auto& [path, commit] : expected) EXPECT_NE(blame.find(commit + " "), std::string::npos) << path;
  repo_.Git({"gc", "-q"});
  EXPECT_EQ(By(), expected) << "packed";
}

TEST_F(IgnoreHistoryTest, WhatComesThroughAMergeIsOfItsBranch) {
  repo_.Write(kFile, "a:r:1\n");
  const std::string first = repo_.Commit();
  repo_.Git({"checkout", "-q", "-b", "side"});
  repo_.Write(kFile, "a:r:1\nside:r:1\n");
  const std::string side = repo_.Commit();
  repo_.Git({"checkout", "-q", "main"});
  repo_.Write(kFile, "main:r:1\na:r:1\n");
  const std::string main = repo_.Commit();
  repo_.Git({"merge", "-q", "--no-commit", "--no-ff", "-s", "ours", "side"});
  repo_.Write(kFile, "main:r:1\na:r:1\nside:r:1\nmerge:r:1\n");
  const std::string merge = repo_.Commit("merge");
  EXPECT_THAT(By(), UnorderedElementsAre(Pair("a", first), Pair("side", side), Pair("main", main), Pair("merge", merge)));
}

TEST_F(IgnoreHistoryTest, ALineThatCameBackIsOfWhoBroughtItBack) {
  repo_.Write(kFile, "a:r:1\nb:r:1\n");
  const std::string first = repo_.Commit();
  repo_.Write(kFile, "a:r:1\n");
  repo_.Commit();
  repo_.Write(kFile, "a:r:1\r\n  b:r:1\r\n");
  const std::string back = repo_.Commit();
  EXPECT_THAT(By(), UnorderedElementsAre(Pair("a", first), Pair("b", back))) << "blanks mean nothing";
}

TEST_F(IgnoreHistoryTest, OnlyAPlainFileAtTheRootOfHeadCounts) {
  repo_.Write("sub/.gitleaksignore", "a:r:1\n");
  repo_.Write("real", "a:r:1\n");
  std::filesystem::create_symlink("real", repo_.path() / kFile);
  repo_.Commit();
  EXPECT_THAT(By(), IsEmpty());
  std::filesystem::remove(repo_.path() / kFile);
  repo_.Write(".gitleaksignore/file", "a:r:1\n");
  repo_.Commit();
  EXPECT_THAT(By(), IsEmpty());
  std::filesystem::remove_all(repo_.path() / kFile);
  repo_.Write(kFile, "b:r:1\n" + std::string(1 << 20, '#'));
  repo_.Commit();
  EXPECT_THAT(By(), IsEmpty()) << "too large";
  repo_.Git({"checkout", "-q", "-b", "side"});
  repo_.Write(kFile, "side:r:1\n");
  repo_.Commit();
  repo_.Git({"checkout", "-q", "main"});
  EXPECT_THAT(By(), IsEmpty()) << "of another branch";
}

TEST_F(IgnoreHistoryTest, NamesAreThoseOfTheMailmapAndEntriesHaveABound) {
  std::string text;
  for (int i = 0; i < 10'005; ++i) text += absl::StrFormat("p%d:r:1\n", i);
  repo_.Write(kFile, text);
  repo_.Write(".mailmap", "Proper Name <proper@x> <" + repo_.Git({"config", "user.email"}) + ">\n");
  repo_.Commit();
  const LocateResult result = Locate();
  EXPECT_THAT(result.head_ignores, SizeIs(10'000));
  ASSERT_THAT(result.head_ignore_commits, SizeIs(1));
  EXPECT_EQ(result.head_ignore_commits[0].author_name, "Proper Name");
  EXPECT_EQ(result.head_ignore_commits[0].author_email, "proper@x");
}

TEST_F(IgnoreHistoryTest, WhoIsTooFarAwayIsNotKnown) {
  repo_.Write(kFile, "a:r:1\n");
  repo_.Commit();
  // 12,000 commits on one, each looked at and looked for: beyond the 20,000.
  std::string stream = absl::StrFormat("feature done\ncommit refs/heads/main\nmark :1\ncommitter A <a@x> 1700000000 +0000\n"
                                       "data 1\nx\nfrom %s\n", repo_.Git({"rev-parse", "HEAD"}));
  for (int i = 2; i <= 12'000; ++i) {
    stream += absl::StrFormat("commit refs/heads/main\nmark :%d\ncommitter A <a@x> %d +0000\ndata 1\nx\n", i, 1700000000 + i);
  }
  repo_.Git({"fast-import", "--quiet"}, stream + "done\n");
  EXPECT_THAT(By(), ElementsAre(Pair("a", "")));
}

}  // namespace
}  // namespace unsprawl
