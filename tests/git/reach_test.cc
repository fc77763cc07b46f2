#include "engine/history/reach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <sstream>

#include "absl/strings/str_format.h"
#include "engine/history/path_table.h"
#include "tests/support/git_repo.h"
#include "tests/support/random_history.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

std::set<std::string> Reached(const std::filesystem::path& path, const std::vector<ObjectId>& more, int threads = 2) {
  const auto paths = FindRepository(path);
  EXPECT_THAT(paths, IsOk());
  const auto state = ReadRepositoryState(*paths);
  EXPECT_THAT(state, IsOk());
  const auto store = ObjectStore::Open(paths->common_dir / "objects", {});
  EXPECT_THAT(store, IsOk());
  const auto reached = ReachedObjects(**store, *state, more, {}, {.threads = threads});
  EXPECT_THAT(reached, IsOk());
  std::set<std::string> ids;
  (*store)->KeepOnly(*reached);
  for (ObjectNumber object = 0; object < (*store)->size(); ++object) {
    const ObjectId id = (*store)->id(object);
    EXPECT_EQ((*store)->Find(id).has_value(), (*reached)[object]);
    if ((*reached)[object]) ids.insert(id.ToHex());
  }
  return ids;
}

// What git reaches from all refs, HEAD and `more`, that is stored.
std::set<std::string> ReachedByGit(GitRepo& repo, const std::string& more) {
  std::istringstream stream(
      repo.Git({"rev-list", "--objects", "--no-object-names", "--all", "HEAD", "--stdin"}, more));
  std::set<std::string> ids;
  for (std::string id; stream >> id;) ids.insert(id);
  std::istringstream refs(repo.Git({"for-each-ref", "--format=%(objectname)"}));
  for (std::string id; refs >> id;) ids.insert(id);  // rev-list does not list tags of what it was given
  return ids;
}

class ReachTest : public testing::TestWithParam<uint32_t> {};

TEST_P(ReachTest, IsWhatGitReachesInEveryPacking) {
  const TempDir dir;
  GitRepo repo(dir.path() / "r");
  MakeRandomHistory({.seed = GetParam(), .lines = GetParam() % 2 == 0 ? 40 : 0}, repo);
  std::mt19937 random(GetParam());
  std::istringstream list(repo.Git({"for-each-ref", "--format=%(HEAD)%(refname) %(objectname)"}));
  std::string more;
  std::vector<ObjectId> lost;
  size_t deleted = 0;
  for (std::string ref, id; list >> ref >> id;) {
    if (ref[0] == '*' || random() % 2 == 0) continue;  // HEAD stays
    repo.Git({"update-ref", "-d", ref});
    if (++deleted % 2 == 0) continue;  // lost for good
    more += id + "\n";
    lost.push_back(*ObjectId::FromHex(id));
  }
  std::istringstream all(repo.Git({"cat-file", "--batch-all-objects", "--batch-check=%(objectname)"}));
  size_t stored = 0;
  for (std::string id; all >> id;) ++stored;
  std::set<std::string> expected = ReachedByGit(repo, more);
  for (const ObjectId& id : lost) expected.insert(id.ToHex());
  ASSERT_LT(expected.size(), stored);
  EXPECT_EQ(Reached(repo.path(), lost), expected) << "as imported";
  // As deltas upon what is not reached, too: everything in one pack.
  for (const char* depth : {"--depth=1", "--depth=200"}) {
    repo.Git({"repack", "-q", "-a", "-d", "-f", "--keep-unreachable", "--window=100", depth});
    for (const int threads : {1, 3}) EXPECT_EQ(Reached(repo.path(), lost, threads), expected) << depth;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ReachTest, testing::Range(1u, 13u));

// No file system has such a name; and what cannot be followed must not be taken for another's.
TEST(ReachHostileTest, WhereANameIsTooLongEveryFileCounts) {
  const TempDir dir;
  GitRepo repo(dir.path() / "r");
  const std::string dangling = repo.Git({"hash-object", "-w", "--stdin"}, "of nobody");
  repo.Write("a", "1");
  repo.Commit();
  EXPECT_FALSE(Reached(repo.path(), {}).contains(dangling));
  const std::string blob = repo.Git({"hash-object", "-w", "--stdin"}, "of a long name");
  const std::string tree =
      repo.Git({"mktree"}, absl::StrFormat("100644 blob %s\t%s\n", blob, std::string(PathTable::kMaxPathBytes + 1, 'n')));
  repo.Git({"update-ref", "refs/heads/long", repo.Git({"commit-tree", "-m", "x", tree})});
  const std::set<std::string> reached = Reached(repo.path(), {});
  EXPECT_TRUE(reached.contains(blob));
  EXPECT_TRUE(reached.contains(dangling));
}

}  // namespace
}  // namespace unsprawl
