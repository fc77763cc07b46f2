// ObjectStore agrees with git on every object, however git stores it.
#include "engine/git/object_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "absl/strings/str_format.h"
#include "tests/support/git_objects.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Lines of text that deltas find something to copy in.
std::string RandomText(std::mt19937& random, int lines) {
  std::string text;
  for (int i = 0; i < lines; ++i) text += absl::StrFormat("line %d of %d\n", random() % 97, random());
  return text;
}

std::string Edit(std::mt19937& random, std::string text) {
  for (int edits = 1 + static_cast<int>(random() % 3); edits > 0; --edits) {
    const size_t at = text.empty() ? 0 : random() % text.size();
    if (random() % 2) text.insert(at, RandomText(random, 1 + static_cast<int>(random() % 4)));
    else text.erase(at, random() % 200);
  }
  return text;
}

// A history of `commits` commits in which files are edited, copied, removed; with a tag object.
void MakeHistory(GitRepo& repo, int commits, uint32_t seed) {
  std::mt19937 random(seed);
  std::map<std::string, std::string> files;
  for (int i = 0; i < commits; ++i) {
    for (int change = 0; change < 3; ++change) {
      const std::string name = absl::StrFormat("dir%d/file%d", random() % 4, random() % 6);
      std::string& text = files[name];
      text = text.empty() ? RandomText(random, 50 + static_cast<int>(random() % 200)) : Edit(random, text);
      repo.Write(name, text);
    }
    repo.Write("empty", "");
    repo.Commit(absl::StrFormat("commit %d", i));
  }
  repo.Git({"tag", "-a", "-m", "a tag", absl::StrFormat("v%d", seed)});
}

class ObjectStoreTest : public testing::Test {
 protected:
  std::unique_ptr<ObjectStore> MustOpen(const std::filesystem::path& objects) {
    auto opened = ObjectStore::Open(objects, {});
    EXPECT_THAT(opened, IsOk());
    return std::move(opened).value();
  }

  TempDir dir_;
  GitRepo repo_{dir_.path() / "repo"};
};

TEST_F(ObjectStoreTest, LooseObjectsAreThoseOfGit) {
  MakeHistory(repo_, 10, 1);
  ExpectSameAsGit(repo_.objects(), repo_.path());
}

TEST_F(ObjectStoreTest, PacksWithDeepOffsetDeltasAreThoseOfGit) {
  MakeHistory(repo_, 120, 2);
  repo_.Git({"repack", "-adfq", "--depth=250", "--window=50"});
  for (const int threads : {1, 2, 5}) ExpectSameAsGit(repo_.objects(), repo_.path(), threads);
}

TEST_F(ObjectStoreTest, PacksWithDeltasUponIdsAreThoseOfGit) {
  MakeHistory(repo_, 60, 3);
  repo_.Git({"-c", "repack.usedeltabaseoffset=false", "repack", "-adfq", "--depth=50"});
  ExpectSameAsGit(repo_.objects(), repo_.path());
}

TEST_F(ObjectStoreTest, SeveralPacksAndLooseObjectsAreThoseOfGit) {
  for (uint32_t part = 0; part < 4; ++part) {
    MakeHistory(repo_, 15, 10 + part);
    if (part < 3) repo_.Git({"repack", "-dq"});
  }
  ExpectSameAsGit(repo_.objects(), repo_.path());
}

TEST_F(ObjectStoreTest, AnObjectInSeveralPacksCountsOnce) {
  MakeHistory(repo_, 30, 20);
  repo_.Git({"repack", "-dq"});
  repo_.Git({"repack", "-aq", "--no-write-bitmap-index", "--window=3"});  // keeps the first pack
  MakeHistory(repo_, 10, 21);
  repo_.Git({"repack", "-aq", "--depth=3"});  // a third one, with all of it; loose ones stay as well
  ASSERT_GE(std::distance(std::filesystem::directory_iterator(repo_.objects() / "pack"), {}), 6);
  ExpectSameAsGit(repo_.objects(), repo_.path());
}

TEST_F(ObjectStoreTest, AlternatesAreFollowed) {
  MakeHistory(repo_, 20, 30);
  repo_.Git({"repack", "-adq"});
  unsprawl::Run(dir_.path(), {"git", "clone", "-q", "--shared", "repo", "second"});
  unsprawl::Run(dir_.path(), {"git", "clone", "-q", "--shared", "second", "third"});
  const auto third = dir_.path() / "third";
  ExpectSameAsGit(third / ".git/objects", third);
  // The same by a relative path, with a comment, a quoted line, and a cycle.
  std::ofstream(third / ".git/objects/info/alternates")
      << "# comment\n\n\"../../../rep\\157/.git/objects\"\n";
  std::ofstream(repo_.objects() / "info/alternates") << "../../../third/.git/objects\n";
  ExpectSameAsGit(third / ".git/objects", third);
}

TEST_F(ObjectStoreTest, AnAlternateThatLeadsNowhereIsReported) {
  MakeHistory(repo_, 3, 31);
  std::ofstream(repo_.objects() / "info/alternates") << "/nowhere/at/all\n";
  const auto store = MustOpen(repo_.objects());
  EXPECT_THAT(store->broken_files(), ElementsAre(HasSubstr("/nowhere/at/all")));
  EXPECT_GT(store->size(), 0u);
}

TEST_F(ObjectStoreTest, AbsentObjectsOfAPartialCloneAreNotFound) {
  MakeHistory(repo_, 10, 40);
  repo_.Git({"config", "uploadpack.allowfilter", "true"});
  unsprawl::Run(dir_.path(), {"git", "clone", "-q", "--bare", "--filter=blob:none",
                    "file://" + repo_.path().string(), "partial"});
  const auto partial = dir_.path() / "partial";
  const auto store = MustOpen(partial / "objects");
  EXPECT_TRUE(store->has_promisor_packs());
  uint64_t present = 0, blobs = 0;
  for (const auto& [id, object] : ReadAllWithGit(repo_.path())) {
    const auto number = store->Find(id);
    EXPECT_EQ(number.has_value(), object.type != ObjectType::kBlob) << id.ToHex();
    present += number.has_value();
    blobs += object.type == ObjectType::kBlob;
  }
  EXPECT_EQ(store->size(), present);
  EXPECT_GT(blobs, 0u);
  EXPECT_FALSE(MustOpen(repo_.objects())->has_promisor_packs());
}

TEST_F(ObjectStoreTest, AnEmptyRepositoryHasNoObjects) {
  const auto store = MustOpen(repo_.objects());
  EXPECT_EQ(store->size(), 0u);
  EXPECT_THAT(store->broken_files(), IsEmpty());
  EXPECT_EQ(store->Find(ObjectId{}), std::nullopt);
}

TEST_F(ObjectStoreTest, AMissingDirectoryIsNotFound) {
  EXPECT_THAT(ObjectStore::Open(dir_.path() / "absent", {}),
              FailsWith(absl::StatusCode::kNotFound, HasSubstr("absent")));
}

}  // namespace
}  // namespace unsprawl
