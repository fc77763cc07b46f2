// Locate against an oracle that asks git about every commit, on random histories in every packing.
#include "engine/history/locate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "absl/strings/str_format.h"
#include "engine/history/reach.h"
#include "tests/support/git_repo.h"
#include "tests/support/random_history.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

// `lost`: of a repository that borrows, what is its own besides what refs reach.
LocateResult LocateIn(const std::filesystem::path& path, const std::vector<LocateTarget>& targets,
                      LocateOptions options = {}, std::vector<CommitRow>* rows = nullptr,
                      const std::vector<ObjectId>* lost = nullptr) {
  const absl::StatusOr<RepositoryPaths> paths = FindRepository(path);
  EXPECT_THAT(paths, IsOk());
  const absl::StatusOr<RepositoryState> state = ReadRepositoryState(*paths);
  EXPECT_THAT(state, IsOk());
  const auto store = ObjectStore::Open(paths->common_dir / "objects", {.threads = options.walk.threads});
  EXPECT_THAT(store, IsOk());
  if (lost != nullptr) (*store)->KeepOnly(*ReachedObjects(**store, *state, *lost, {}, options.walk));
  absl::StatusOr<LocateResult> result =
      Locate(**store, *state, targets, options, [&](std::span<const CommitRow> some) {
        if (rows != nullptr) rows->insert(rows->end(), some.begin(), some.end());
      });
  EXPECT_THAT(result, IsOk());
  return result.ok() ? *std::move(result) : LocateResult{};
}

std::vector<std::string> AllObjects(GitRepo& repo) {
  std::istringstream stream(repo.Git({"cat-file", "--batch-all-objects", "--batch-check=%(objectname)"}));
  std::vector<std::string> ids;
  for (std::string id; stream >> id;) ids.push_back(id);
  return ids;
}

void RemovePacks(const std::filesystem::path& objects, const std::vector<std::filesystem::path>& packs) {
  for (std::filesystem::path pack : packs) {
    for (const char* extension : {".pack", ".idx", ".rev"}) {
      std::filesystem::remove(pack.replace_extension(extension));
    }
  }
  std::filesystem::remove(objects / "pack" / "multi-pack-index");
}

std::vector<std::filesystem::path> PacksOf(GitRepo& repo) {
  std::vector<std::filesystem::path> packs;
  for (const auto& file : std::filesystem::directory_iterator(repo.objects() / "pack")) {
    if (file.path().extension() == ".pack") packs.push_back(file.path());
  }
  return packs;
}

// Unpacks everything into loose objects.
void MakeLoose(GitRepo& repo) {
  const TempDir aside;
  for (const std::filesystem::path& pack : PacksOf(repo)) {
    std::filesystem::copy(pack, aside.path() / pack.filename());
  }
  RemovePacks(repo.objects(), PacksOf(repo));
  for (const auto& pack : std::filesystem::directory_iterator(aside.path())) {
    std::ifstream file(pack.path(), std::ios::binary);
    repo.Git({"unpack-objects", "-q"}, std::string(std::istreambuf_iterator<char>(file), {}));
  }
}

// Divides all objects at random between three packs.
void MakeThreePacks(GitRepo& repo, uint32_t seed) {
  const std::vector<std::filesystem::path> before = PacksOf(repo);
  std::mt19937 random(seed);
  std::string lists[3];
  for (const std::string& id : AllObjects(repo)) lists[random() % 3] += id + "\n";
  for (const std::string& list : lists) {
    repo.Git({"pack-objects", "-q", "--window=20", (repo.objects() / "pack" / "pack").string()}, list);
  }
  RemovePacks(repo.objects(), before);
  repo.Git({"prune-packed", "-q"});
}

class RandomHistoryTest : public testing::TestWithParam<uint32_t> {};

TEST_P(RandomHistoryTest, PlacesAreThoseOfTheOracleInEveryPackingOnAnyNumberOfThreads) {
  const TempDir dir;
  GitRepo repo(dir.path() / "r");
  RandomHistoryOptions options{.seed = GetParam()};
  if (GetParam() % 4 == 0) options = {.seed = GetParam(), .commits = 160, .secrets = 2, .paths = 3, .folders = 1};
  MakeRandomHistory(options, repo);
  const std::vector<LocateTarget> targets = TargetsOf(repo);
  const std::vector<std::string> expected = OraclePlaces(repo, targets);
  ASSERT_GT(expected.size(), 20u);
  const auto check = [&](const char* packing) {
    for (const int threads : {1, 2, 4}) {
      LocateOptions locate;
      locate.walk.threads = threads;
      const LocateResult result = LocateIn(repo.path(), targets, locate);
      EXPECT_EQ(Describe(result, targets), expected) << packing << ", threads: " << threads;
      EXPECT_THAT(result.skips, IsEmpty());
      EXPECT_EQ(result.skips_total, 0u);
      EXPECT_EQ(result.submodules, 3u);
      EXPECT_EQ(absl::StrFormat("%d", result.commits_reachable), repo.Git({"rev-list", "--count", "--all", "HEAD"}));
    }
  };
  check("as imported");
  MakeLoose(repo);
  check("loose");
  MakeThreePacks(repo, GetParam());
  check("three packs");
  repo.Git({"repack", "-q", "-a", "-d", "-f", "-k", "--window=50", "--depth=50"});
  check("one pack");
  LocateOptions starved;
  starved.walk.max_live_bytes = 2000;  // bases are dropped and resolved again
  EXPECT_EQ(Describe(LocateIn(repo.path(), targets, starved), targets), expected);
}

// A clone that borrows from a repository with much that it does not reach, and one that stands alone.
TEST_P(RandomHistoryTest, WhatIsBorrowedAndNotReachedIsAsIfItWereNotThere) {
  const TempDir dir;
  GitRepo lender(dir.path() / "r");
  MakeRandomHistory({.seed = GetParam()}, lender);
  unsprawl::Run(dir.path(), {"git", "clone", "-q", "--mirror", "--no-local", lender.path(), "alone"});
  unsprawl::Run(dir.path(), {"git", "clone", "-q", "--mirror", "--shared", lender.path(), "borrower"});
  std::istringstream list(lender.Git({"for-each-ref", "--format=%(refname) %(objectname)"}));
  std::vector<ObjectId> lost;
  std::mt19937 random(GetParam());
  for (std::string ref, id; list >> ref >> id;) {
    if (random() % 3 > 0) continue;
    lost.push_back(*ObjectId::FromHex(id));
    for (const char* clone : {"alone", "borrower"}) unsprawl::Run(dir.path(), {"git", "-C", clone, "update-ref", "-d", ref});
  }
  ASSERT_FALSE(lost.empty());
  const std::vector<LocateTarget> targets = TargetsOf(lender);
  const LocateResult alone = LocateIn(dir.path() / "alone", targets);
  // What the lender has besides shows as long as nobody says that it is borrowed.
  EXPECT_GT(LocateIn(dir.path() / "borrower", targets).places.size(), alone.places.size());
  const LocateResult borrower = LocateIn(dir.path() / "borrower", targets, {}, nullptr, &lost);
  EXPECT_EQ(Describe(borrower, targets), Describe(alone, targets));
  EXPECT_EQ(borrower.submodules, alone.submodules);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomHistoryTest, testing::Range(1u, 9u));

class LocateTest : public testing::Test {
 protected:
  LocateTarget Target(const std::string& id, std::vector<uint32_t> secrets = {0}) {
    return {*ObjectId::FromHex(id), std::move(secrets)};
  }
  TempDir dir_;
  GitRepo repo_{dir_.path() / "r"};
};

TEST_F(LocateTest, CommitRowsAreThoseOfGitLogWithMailmapAndCoAuthors) {
  repo_.Write(".mailmap", "Proper Name <proper@x> <old@x>\nOnly Name <a2@x>\n# comment\nbroken\n");
  repo_.Write("file", "1");
  repo_.Commit("subject\n\nbody\n\nCo-authored-by: Old <old@x>\nco-authored-BY:  Zoë <z@x>");
  for (int i = 0; i < 4; ++i) {
    repo_.Git({"-c", absl::StrFormat("user.name=N%d", i), "-c", i == 3 ? "user.email=OLD@x" : absl::StrFormat("user.email=a%d@x", i),
               "commit", "-q", "--allow-empty", "-m", "more", "--date", absl::StrFormat("170000%d000 %s", i, i % 2 ? "-0930" : "+0545")});
  }
  std::vector<CommitRow> rows;
  LocateIn(repo_.path(), {}, {}, &rows);
  std::set<std::string> ours;
  for (const CommitRow& row : rows) {
    std::string line = absl::StrFormat("%s|%s|%s|%d|%d|", row.id.ToHex(), row.author_name, row.author_email,
                                       row.author_time, row.committer_time);
    for (const std::string& who : row.co_authors) line += who + ";";
    ours.insert(line);
  }
  std::set<std::string> gits;
  std::istringstream log(repo_.Git({"log", "--format=%H|%aN|%aE|%at|%ct|%(trailers:key=Co-authored-by,valueonly,separator=;)"}));
  for (std::string line; std::getline(log, line);) {
    const size_t trailers = line.rfind('|') + 1;
    if (trailers < line.size()) line = line.substr(0, trailers) + "Proper Name <proper@x>;Zoë <z@x>;";
    gits.insert(line);
  }
  EXPECT_EQ(ours, gits);
  EXPECT_EQ(rows.size(), 5u);
  for (const CommitRow& row : rows) {
    EXPECT_TRUE(row.reachable);
    const std::string zone = repo_.Git({"log", "-1", "--format=%ad", "--date=format:%z", row.id.ToHex()});
    EXPECT_EQ(absl::StrFormat("%c%02d%02d", row.author_offset < 0 ? '-' : '+', std::abs(row.author_offset) / 60,
                              std::abs(row.author_offset) % 60), zone);
  }
}

TEST_F(LocateTest, FactsAtHeadCountFilesByExtensionAndNameTheOwnersFile) {
  for (const std::string path : {"a.c", "b.C", "deep/er/c.c", "Makefile", ".env", "x.tar.gz", "odd.\xff\xfe",
                                 "dot.", "docs/CODEOWNERS", "CODEOWNERS", "sub/.github/CODEOWNERS"}) {
    repo_.Write(path, path);
  }
  repo_.Commit();
  LocateResult result = LocateIn(repo_.path(), {});
  EXPECT_THAT(result.head_extensions, ElementsAre(Pair("", 6), Pair("c", 3), Pair("gz", 1), Pair("other", 1)));
  EXPECT_EQ(result.head_codeowners_path, "CODEOWNERS");
  repo_.Write(".github/CODEOWNERS", "* @team");
  repo_.Commit();
  EXPECT_EQ(LocateIn(repo_.path(), {}).head_codeowners_path, ".github/CODEOWNERS");
}

TEST_F(LocateTest, ShallowBoundariesAreRootsAndNoSkips) {
  repo_.Write("s", "secret");
  repo_.Commit();
  for (int i = 0; i < 4; ++i) {
    repo_.Write("other", std::to_string(i));
    repo_.Commit();
  }
  const std::vector<LocateTarget> targets = {Target(repo_.Git({"rev-parse", "HEAD:s"}))};
  unsprawl::Run(dir_.path(), {"git", "clone", "-q", "--depth=2", "file://" + repo_.path().string(), "shallow"});
  const LocateResult result = LocateIn(dir_.path() / "shallow", targets);
  ASSERT_EQ(result.places.size(), 1u);
  EXPECT_EQ(result.commits[result.places[0].commit].id.ToHex(), repo_.Git({"rev-parse", "HEAD~1"}));
  EXPECT_EQ(result.places[0].presence, Presence::kHead);
  EXPECT_EQ(result.commits_reachable, 2u);
  EXPECT_EQ(result.skips_total, 0u);
}

TEST_F(LocateTest, MissingBlobsOfAPartialCloneAreCountedEachOnceAndAtMostAThousandListed) {
  for (int i = 0; i < 1500; ++i) repo_.Write(absl::StrFormat("d%d/f%d", i % 7, i), std::to_string(i));
  repo_.Commit();
  repo_.Write("d1/f1", "changed");
  repo_.Commit();
  repo_.Git({"config", "uploadpack.allowFilter", "true"});
  unsprawl::Run(dir_.path(), {"git", "clone", "-q", "--bare", "--filter=blob:none", "file://" + repo_.path().string(), "partial.git"});
  const LocateResult result = LocateIn(dir_.path() / "partial.git", {});
  EXPECT_EQ(result.skips_total, 1501u);
  ASSERT_EQ(result.skips.size(), 1000u);
  std::vector<std::string> blobs;
  std::istringstream all(repo_.Git(
      {"cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"}));
  for (std::string type, id; all >> type >> id;) {
    if (type == "blob") blobs.push_back(id);
  }
  for (size_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(result.skips[i].id.ToHex(), blobs[i]);
    ASSERT_EQ(result.skips[i].fault, ObjectFault::kMissing);
    ASSERT_EQ(result.skips[i].type, ObjectType::kBlob);
  }
}

TEST_F(LocateTest, AStopEndsItAsCancelled) {
  repo_.Write("s", "secret");
  repo_.Commit();
  const std::atomic<bool> stop{true};
  LocateOptions options;
  options.walk.stop = &stop;
  const absl::StatusOr<RepositoryPaths> paths = FindRepository(repo_.path());
  const auto store = ObjectStore::Open(repo_.objects(), {});
  EXPECT_THAT(Locate(**store, *ReadRepositoryState(*paths), {}, options, [](std::span<const CommitRow>) {}),
              FailsWith(absl::StatusCode::kCancelled, HasSubstr("stopped")));
}

}  // namespace
}  // namespace unsprawl
