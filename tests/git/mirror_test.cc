// Mirrors, fetched from a folder by the real git.
#include "worker/mirror.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

class MirrorTest : public testing::Test {
 protected:
  MirrorTest() {
    origin_.Write("a", "1\n");
    origin_.Commit();
  }

  absl::Status Fetch() {
    const absl::StatusOr<CloneUrl> url = ParseCloneUrl("file://" + origin_.path().native());
    if (!url.ok()) return url.status();
    const absl::StatusOr<Mirror::Refs> refs = Mirror::List(*url, options_);
    if (!refs.ok()) return refs.status();
    return mirror_.Fetch(*url, *refs, options_);
  }
  absl::StatusOr<std::vector<std::string>> FetchLost(const std::vector<std::string>& ids) {
    const absl::StatusOr<CloneUrl> url = ParseCloneUrl("file://" + origin_.path().native());
    if (!url.ok()) return url.status();
    return mirror_.FetchLost(&*url, ids, options_);
  }
  // A commit of origin_ that no ref names any more.
  std::string DropACommit(const std::string& content) {
    origin_.Write("dropped", content);
    const std::string id = origin_.Commit();
    origin_.Git({"reset", "-q", "--hard", "HEAD~1"});
    return id;
  }
  // "<id> <ref>" of every ref.
  std::string MirroredRefs() const {
    return unsprawl::Run(mirror_.dir(), {"git", "for-each-ref", "--format=%(objectname) %(refname)"});
  }
  std::string Refs() { return origin_.Git({"for-each-ref", "--format=%(objectname) %(refname)"}) + "\n"; }

  TempDir home_;
  GitRepo origin_{home_.path() / "origin"};
  Mirror mirror_{home_.path() / "mirrors" / "m.git"};
  FetchOptions options_;
};

TEST_F(MirrorTest, AFetchThatTakesTheLastOfTheDiskIsGivenUp) {
  options_.disk_reserve_bytes = UINT64_MAX;
  const absl::Status fetched = Fetch();
  EXPECT_TRUE(absl::IsResourceExhausted(fetched)) << fetched;
  EXPECT_THAT(std::string(fetched.message()), testing::HasSubstr("the disk has"));
  options_ = {};
  EXPECT_THAT(Fetch(), IsOk());
  // A bound below what is there: nothing more is fetched, and what is there stays.
  const uint64_t bytes = mirror_.bytes();
  options_.max_mirror_bytes = bytes - 1;
  EXPECT_TRUE(absl::IsResourceExhausted(Fetch()));
  EXPECT_EQ(mirror_.bytes(), bytes);
}

TEST_F(MirrorTest, WhatAKilledGitLeavesStopsNobody) {
  ASSERT_THAT(Fetch(), IsOk());
  origin_.Write("a", "2\n");
  origin_.Commit();
  origin_.Git({"branch", "other"});
  const std::filesystem::path lock[] = {
      mirror_.dir() / "packed-refs.lock", mirror_.dir() / "config.lock", mirror_.dir() / "HEAD.lock",
      mirror_.dir() / "refs/heads/main.lock", mirror_.dir() / "refs/heads/other.lock"};
  for (const auto& file : lock) WriteFile(file, "");
  WriteFile(mirror_.dir() / "objects/pack/tmp_pack_Kx3", std::string(1000, 'x'));
  WriteFile(mirror_.dir() / "objects/tmp_objdir-incoming-1/pack/x", "x");
  EXPECT_THAT(Fetch(), IsOk());
  EXPECT_EQ(MirroredRefs(), Refs());
  for (const auto& file : lock) EXPECT_FALSE(std::filesystem::exists(file)) << file;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mirror_.dir() / "objects")) {
    EXPECT_EQ(entry.path().filename().native().find("tmp_"), std::string::npos) << entry.path();
  }
}

TEST_F(MirrorTest, AFirstFetchWritesManyRefsIntoOneFileAndTakesUpAnInterruptedOne) {
  std::string updates;
  const std::string tip = origin_.Git({"rev-parse", "HEAD"});
  for (int i = 0; i < 300; ++i) updates += absl::StrFormat("create refs/pull/%d/head %s\n", i, tip);
  origin_.Git({"update-ref", "--stdin"}, updates);
  // As an earlier one left it that was killed while its clone moved up.
  WriteFile(mirror_.dir() / "tmp_clone/HEAD", "ref: refs/heads/main\n");
  WriteFile(mirror_.dir() / "packed-refs", "junk");
  WriteFile(mirror_.dir() / "objects/pack/tmp_pack_abc", "junk");
  ASSERT_THAT(Fetch(), IsOk());
  EXPECT_EQ(MirroredRefs(), Refs());
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mirror_.dir())) files += entry.is_regular_file();
  EXPECT_LT(files, 20);
  EXPECT_FALSE(std::filesystem::exists(mirror_.dir() / "tmp_clone"));
}

TEST_F(MirrorTest, ADetachedHeadIsFetchedAndFollowed) {
  for (int i = 0; i < 3; ++i) {
    if (i < 2) {
      origin_.Git({"checkout", "-q", "--detach"});
      origin_.Write("a", absl::StrFormat("detached %d\n", i));
      origin_.Commit();
    } else {
      origin_.Git({"checkout", "-q", "main"});
    }
    ASSERT_THAT(Fetch(), IsOk());
    EXPECT_EQ(MirroredRefs(), Refs());
    EXPECT_EQ(unsprawl::Run(mirror_.dir(), {"git", "rev-parse", "HEAD"}), origin_.Git({"rev-parse", "HEAD"}) + "\n");
    EXPECT_EQ(unsprawl::Run(mirror_.dir(), {"git", "show", "HEAD:a"}), origin_.Git({"show", "HEAD:a"}) + "\n");
  }
  EXPECT_EQ(ReadFile(mirror_.dir() / "HEAD"), "ref: refs/heads/main\n");
}

TEST_F(MirrorTest, WhatIsBorrowedIsNotFetchedAndAMovedFolderStillLends) {
  ASSERT_THAT(Fetch(), IsOk());
  const Mirror lender = std::exchange(mirror_, Mirror(home_.path() / "mirrors" / "by-id" / "borrower.git"));
  ASSERT_THAT(mirror_.Borrow(lender), IsOk());
  ASSERT_THAT(Fetch(), IsOk());
  EXPECT_EQ(MirroredRefs(), Refs());
  EXPECT_EQ(mirror_.lender(), lender.dir());
  EXPECT_EQ(mirror_.bytes(), std::filesystem::file_size(mirror_.dir() / "objects/info/alternates"));
  std::filesystem::rename(home_.path() / "mirrors", home_.path() / "elsewhere");
  mirror_ = Mirror(home_.path() / "elsewhere" / "by-id" / "borrower.git");
  EXPECT_EQ(unsprawl::Run(mirror_.dir(), {"git", "show", "main:a"}), "1\n");
}

TEST_F(MirrorTest, LostTipsAreFetchedByIdAndPinTheMirrorUnlessTheyAreServed) {
  const std::string dropped = DropACommit("1"), other = DropACommit("2");
  const std::string reached = origin_.Git({"rev-parse", "HEAD"});
  ASSERT_THAT(Fetch(), IsOk());
  std::vector<std::string> ids = {dropped, "--all", reached, other}, unknowns;
  for (int i = 0; i < 30; ++i) unknowns.push_back(absl::StrFormat("%040x", 1 + 8 * i));
  ids.insert(ids.end(), unknowns.begin(), unknowns.end());
  // Each of them makes the server refuse all; one is no id.
  EXPECT_THAT(*FetchLost(ids), testing::ElementsAreArray(unknowns));
  EXPECT_THAT(mirror_.lost_tips(), testing::UnorderedElementsAre(dropped, other));
  EXPECT_FALSE(mirror_.is_irreplaceable());
  EXPECT_THAT(*FetchLost({dropped, other}), testing::IsEmpty());
  EXPECT_FALSE(mirror_.is_irreplaceable());
  // Of one that a ref named when it was fetched nobody knows.
  origin_.Write("a", "2\n");
  const std::string seen = origin_.Commit();
  ASSERT_THAT(Fetch(), IsOk());
  origin_.Git({"reset", "-q", "--hard", "HEAD~1"});
  ASSERT_THAT(Fetch(), IsOk());
  EXPECT_THAT(mirror_.lost_tips(), testing::UnorderedElementsAre(dropped, other, seen));
  EXPECT_TRUE(mirror_.is_irreplaceable());
}

TEST_F(MirrorTest, WhatMovedOnIsNotLost) {
  origin_.Git({"tag", "-a", "-m", "x", "blob", "HEAD:a"});
  origin_.Git({"tag", "-a", "-m", "x", "nested", "blob"});
  ASSERT_THAT(Fetch(), IsOk());
  for (int i = 0; i < 3; ++i) {
    origin_.Write("a", absl::StrFormat("on %d\n", i));
    origin_.Commit();
    ASSERT_THAT(Fetch(), IsOk());
  }
  EXPECT_THAT(mirror_.lost_tips(), testing::IsEmpty());
  const std::string tag = origin_.Git({"rev-parse", "nested"}), inner = origin_.Git({"rev-parse", "blob"});
  origin_.Git({"tag", "-d", "blob", "nested"});
  ASSERT_THAT(Fetch(), IsOk());
  EXPECT_THAT(mirror_.lost_tips(), testing::Contains(inner));
  EXPECT_TRUE(mirror_.is_irreplaceable());
}

TEST_F(MirrorTest, ACommitWithoutItsHistoryIsFetchedOrMissingAndStopsNothing) {
  origin_.Write("dropped", "1");
  origin_.Commit();
  const std::string dropped = DropACommit("2");
  origin_.Git({"reset", "-q", "--hard", "HEAD~1"});
  ASSERT_THAT(Fetch(), IsOk());
  // It comes alone, as from what a lender that is there no longer had of it.
  WriteFile(home_.path() / "commit", origin_.Git({"cat-file", "commit", dropped}) + "\n");
  const std::string written = unsprawl::Run(
      mirror_.dir(), {"git", "hash-object", "-w", "-t", "commit", home_.path() / "commit"});
  ASSERT_EQ(written, dropped + "\n");
  EXPECT_THAT(*mirror_.FetchLost(nullptr, {dropped}, options_), testing::ElementsAre(dropped));
  EXPECT_THAT(mirror_.lost_tips(), testing::IsEmpty());
  EXPECT_THAT(*FetchLost({dropped}), testing::IsEmpty());
  EXPECT_THAT(mirror_.lost_tips(), testing::ElementsAre(dropped));
}

TEST_F(MirrorTest, AServerThatCannotBeReachedHasNotRefusedALostTip) {
  const std::string dropped = DropACommit("1");
  ASSERT_THAT(Fetch(), IsOk());
  options_.attempts = 1;
  std::filesystem::rename(origin_.path() / ".git/objects", origin_.path() / ".git/elsewhere");
  EXPECT_FALSE(FetchLost({dropped}).ok());
  std::filesystem::rename(origin_.path() / ".git/elsewhere", origin_.path() / ".git/objects");
  EXPECT_THAT(*FetchLost({dropped}), testing::IsEmpty());
}

TEST_F(MirrorTest, NamesOfSha256AreRefused) {
  GitRepo other(home_.path() / "other", {"--object-format=sha256"});
  other.Write("a", "1\n");
  other.Commit();
  const absl::StatusOr<CloneUrl> url = ParseCloneUrl("file://" + other.path().native());
  ASSERT_THAT(url, IsOk());
  EXPECT_TRUE(absl::IsUnimplemented(Mirror::List(*url, options_).status()));
}

TEST_F(MirrorTest, AFetchWaitsForTheGitOfARunThatWasKilled) {
  ASSERT_THAT(Fetch(), IsOk());
  origin_.Write("a", "2\n");
  origin_.Commit();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t other = fork();
  if (other == 0) {
    const int fd = open((mirror_.dir() / "unsprawl-lock").c_str(), O_RDWR);
    const bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    (void)!write(ready[1], locked ? "y" : "n", 1);
    usleep(300'000);
    const bool alone = std::filesystem::exists(mirror_.dir() / "packed-refs.lock");
    _exit(alone ? 0 : 1);  // Nobody removed its lock while it lived.
  }
  char locked = 'n';
  ASSERT_EQ(read(ready[0], &locked, 1), 1);
  EXPECT_EQ(locked, 'y');
  WriteFile(mirror_.dir() / "packed-refs.lock", "");
  EXPECT_THAT(Fetch(), IsOk());
  EXPECT_EQ(MirroredRefs(), Refs());
  int status = -1;
  ASSERT_EQ(waitpid(other, &status, 0), other);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace unsprawl
