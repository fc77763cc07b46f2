// Locate on what no honest git writes: it ends, in bounded time and memory, and what is sound is found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <fstream>

#include "absl/strings/str_format.h"
#include "engine/history/locate.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

std::string Entry(const std::string& mode, const std::string& name, const std::string& hex) {
  return mode + " " + name + '\0' + std::string(ObjectId::FromHex(hex)->raw());
}

class LocateHostileTest : public testing::Test {
 protected:
  LocateHostileTest() {
    secret_ = Object("blob", "secret");
    other_ = Object("blob", "other");
    nothing_ = Object("blob", "");
  }

  std::string Object(const std::string& type, const std::string& content) {
    return repo_.Git({"hash-object", "-t", type, "-w", "--literally", "--stdin"}, content);
  }
  std::string CommitOf(const std::string& tree, const std::vector<std::string>& parents = {}) {
    std::string text = "tree " + tree + "\n";
    for (const std::string& parent : parents) text += "parent " + parent + "\n";
    ++time_;
    return Object("commit", text + absl::StrFormat("author A <a> %d +0000\ncommitter A <a> %d +0000\n\nm\n",
                                                   time_, time_));
  }
  void Branch(const std::string& name, const std::string& id) {
    repo_.Write(".git/refs/heads/" + name, id + "\n");
  }
  std::filesystem::path LoosePath(const std::string& id) const {
    return repo_.objects() / id.substr(0, 2) / id.substr(2);
  }
  // Stores `content` under the id of something else.
  void Forge(const std::string& id, const std::string& type, const std::string& content) {
    const std::string real = Object(type, content);
    std::filesystem::create_directories(LoosePath(id).parent_path());
    std::filesystem::rename(LoosePath(real), LoosePath(id));
  }

  LocateResult Find(LocateOptions options = {}) {
    const std::vector<LocateTarget> targets = {{*ObjectId::FromHex(secret_), {0}},
                                               {*ObjectId::FromHex(other_), {1}}};
    const absl::StatusOr<RepositoryPaths> paths = FindRepository(repo_.path());
    const absl::StatusOr<RepositoryState> state = ReadRepositoryState(*paths);
    const auto store = ObjectStore::Open(repo_.objects(), {});
    rows_ = 0;
    absl::StatusOr<LocateResult> result =
        Locate(**store, *state, targets, options, [&](std::span<const CommitRow> rows) { rows_ += rows.size(); });
    EXPECT_THAT(result, IsOk());
    return result.ok() ? *std::move(result) : LocateResult{};
  }
  static std::vector<std::string> PathsOf(const LocateResult& result, uint32_t secret) {
    std::vector<std::string> paths;
    for (const Place& place : result.places) {
      if (place.secret == secret && !place.paths.empty()) paths.push_back(place.paths[0]);
    }
    return paths;
  }

  TempDir dir_;
  GitRepo repo_{dir_.path() / "r"};
  std::string secret_, other_, nothing_;
  int64_t time_ = 1'700'000'000;
  uint64_t rows_ = 0;
};

TEST_F(LocateHostileTest, MalformedCommitsDoNotHideTheOthers) {
  const std::string tree = Object("tree", Entry("100644", "s", secret_));
  const std::string good = CommitOf(tree);
  Branch("good", good);
  Branch("no-author", Object("commit", "tree " + tree + "\nparent " + good + "\nparent " + good + "\n\n"));
  Branch("no-tree", Object("commit", "author \xff\xfe\x1b <> nonsense\n\n"));
  Branch("empty", Object("commit", ""));
  Branch("huge", Object("commit", "tree " + tree + "\nparent " + good + "\nx-header " +
                                      std::string(1 << 20, 'x') + "\n\nm"));
  Branch("absent-tree", CommitOf(std::string(40, '7')));
  Branch("absent-parent", CommitOf(tree, {std::string(40, '8')}));
  Branch("tree-is-blob", CommitOf(nothing_, {good}));
  Branch("parent-is-tree", CommitOf(tree, {tree}));
  Branch("absent-tip", std::string(40, '9'));
  const LocateResult result = Find();
  EXPECT_EQ(result.commits_reachable, 9u);
  EXPECT_EQ(rows_, 9u);
  // Introduced by the three whose parents are none; the child of `good` with no valid tree removes it.
  EXPECT_THAT(PathsOf(result, 0), ElementsAre("s", "s", "s"));
  size_t removals = 0;
  for (const Place& place : result.places) {
    if (place.commit != UINT32_MAX) removals += place.removals.size();
  }
  EXPECT_EQ(removals, 1u);
  std::vector<std::string> skipped;
  for (const ObjectSkip& skip : result.skips) skipped.push_back(skip.id.ToHex());
  EXPECT_THAT(skipped, UnorderedElementsAre(repo_.Git({"rev-parse", "no-tree"}), repo_.Git({"rev-parse", "empty"}),
                                            std::string(40, '7'), std::string(40, '8'), std::string(40, '9'),
                                            nothing_, tree));
  EXPECT_EQ(result.skips_total, skipped.size());
}

TEST_F(LocateHostileTest, OddTreesShowEverySecretInThem) {
  const std::string below = Object("tree", Entry("100644", "x", secret_));
  Branch("duplicates", CommitOf(Object("tree", Entry("100644", "a", nothing_) + Entry("100644", "a", secret_) +
                                                   Entry("100644", "a", other_) + Entry("100644", "a", secret_))));
  Branch("unsorted", CommitOf(Object("tree", Entry("100644", "z", other_) + Entry("40000", "d", below) +
                                                 Entry("100644", "b", nothing_) + Entry("40000", "d", below))));
  Branch("names", CommitOf(Object("tree", Entry("100644", "", other_) + Entry("100644", "p/q", other_) +
                                              Entry("100644", "r\x1b\xff", other_))));
  Branch("modes", CommitOf(Object("tree", Entry("0", "m0", other_) + Entry("100777", "m1", other_) +
                                              Entry("120000", "m2", other_) + Entry("40000", "m3", other_) +
                                              Entry("100644", "m4", below))));
  Branch("cut", CommitOf(Object("tree", Entry("100644", "c", other_) + "100644 no-id")));
  const LocateResult result = Find();
  EXPECT_THAT(PathsOf(result, 0), UnorderedElementsAre("a", "a", "d/x", "d/x"));
  EXPECT_THAT(PathsOf(result, 1),
              UnorderedElementsAre("a", "z", "", "p/q", "r\x1b\xff", "m0", "m1", "m2", "c"));
  EXPECT_THAT(result.places, Each(Field(&Place::presence, Presence::kBranch)));
  std::vector<std::string> details;
  for (const ObjectSkip& skip : result.skips) details.push_back(skip.detail);
  EXPECT_THAT(details, UnorderedElementsAre("named as a folder, but it is none", "named as a file, but it is none",
                                            HasSubstr("no valid tree entry at byte 29 of 41")));
}

TEST_F(LocateHostileTest, TheSameHoldsForOddTreesStoredAsDeltas) {
  // Versions of a large tree whose duplicates and order change: bases of each other in a pack.
  std::string entries;
  for (int i = 0; i < 200; ++i) entries += Entry("100644", absl::StrFormat("file%03d", i), nothing_);
  const std::string below = Object("tree", Entry("100644", "x", secret_));
  std::vector<std::string> trees = {entries + Entry("40000", "sub", below),
                                    Entry("40000", "sub", below) + entries,
                                    entries + Entry("40000", "sub", below) + Entry("40000", "sub", below),
                                    entries + Entry("100644", "sub", other_) + Entry("40000", "sub", below),
                                    entries.substr(35 * 50) + entries.substr(0, 35 * 50) + Entry("40000", "sub", below)};
  for (size_t i = 0; i < trees.size(); ++i) Branch(absl::StrFormat("t%d", i), CommitOf(Object("tree", trees[i])));
  const auto places = [&] {
    std::vector<std::string> all;
    for (const Place& place : Find().places) {
      all.push_back(absl::StrFormat("%d %d %s %d", place.secret, place.commit, place.paths[0],
                                    static_cast<int>(place.presence)));
    }
    return all;
  };
  const std::vector<std::string> loose = places();
  EXPECT_THAT(loose, SizeIs(7));
  repo_.Git({"repack", "-q", "-a", "-d", "-f", "--window=20", "--depth=20"});
  EXPECT_EQ(places(), loose);
}

TEST_F(LocateHostileTest, FoldersThatNestInThemselvesEnd) {
  const std::string loop(40, '5');
  Forge(loop, "tree", Entry("100644", "s", secret_) + Entry("40000", "self", loop));
  Branch("tree-loop", CommitOf(loop));
  const std::string first(40, '3'), second(40, '4');  // commits that are each other's parents
  const std::string tree = Object("tree", Entry("100644", "o", other_));
  Forge(first, "commit", "tree " + tree + "\nparent " + second + "\ncommitter A <a> 5 +0000\n\n");
  Forge(second, "commit", "tree " + tree + "\nparent " + first + "\ncommitter A <a> 6 +0000\n\n");
  Branch("commit-loop", first);
  const LocateResult result = Find();
  EXPECT_THAT(PathsOf(result, 0), Contains("self/self/s"));
  EXPECT_THAT(PathsOf(result, 1), ElementsAre("o"));
  EXPECT_EQ(result.commits_reachable, 3u);
  std::vector<std::string> details;
  for (const ObjectSkip& skip : result.skips) details.push_back(skip.detail);
  EXPECT_THAT(details, ElementsAre(HasSubstr("longer than 4096 bytes"), HasSubstr("presence is not complete")));
}

TEST_F(LocateHostileTest, TreesThatNameOneBlobUnderTenBillionPathsAreCut) {
  std::string tree = Object("tree", Entry("100644", "s", secret_));
  for (int level = 0; level < 10; ++level) {
    std::string entries;
    for (int i = 0; i < 10; ++i) entries += Entry("40000", absl::StrFormat("d%d", i), tree);
    tree = Object("tree", entries);
  }
  Branch("main", CommitOf(tree));
  LocateOptions options;
  options.max_events_per_commit = 1000;
  options.max_places = 500;
  const LocateResult result = Find(options);
  EXPECT_THAT(PathsOf(result, 0), SizeIs(500));
  EXPECT_THAT(result.skips, SizeIs(3));
  EXPECT_THAT(result.skips, Each(Field(&ObjectSkip::fault, ObjectFault::kTruncated)));
}

TEST_F(LocateHostileTest, NoSecretCanBeHiddenBehindAFloodOfPaths) {
  std::string flood;
  for (int i = 0; i < 1000; ++i) flood += Entry("100644", absl::StrFormat("f%04d", i), secret_);
  Branch("flood", CommitOf(Object("tree", flood)));
  Branch("hidden", CommitOf(Object("tree", flood + Entry("100644", "z", other_))));
  for (const uint64_t limit : {1, 10, 100, 1500}) {
    LocateOptions options;
    options.max_events_per_commit = limit;
    options.max_places = limit;
    const LocateResult result = Find(options);
    EXPECT_THAT(result.places, Contains(Field(&Place::secret, 1u))) << limit;
    EXPECT_THAT(result.skips, Contains(Field(&ObjectSkip::fault, ObjectFault::kTruncated))) << limit;
  }
}

TEST_F(LocateHostileTest, OnlyPlacesThatAreKeptCountForTheBounds) {
  std::string flood;
  for (int i = 0; i < 1000; ++i) flood += Entry("100644", absl::StrFormat("f%04d", i), secret_);
  Branch("main", CommitOf(Object("tree", flood + Entry("100644", "z.p12", other_))));
  LocateOptions options;
  options.max_places = 10;
  options.keep = [](std::span<const std::string> paths) { return !paths.empty() && paths[0].ends_with(".p12"); };
  const LocateResult kept = Find(options);
  ASSERT_THAT(kept.places, SizeIs(1));
  EXPECT_THAT(kept.places[0].paths, ElementsAre("z.p12"));
  EXPECT_EQ(kept.places[0].secret, 1u);
  EXPECT_EQ(kept.places[0].target, 1u);
  ASSERT_THAT(kept.commits, SizeIs(1));
  options.keep = [](std::span<const std::string> paths) { return !paths.empty() && paths[0][0] == 'f'; };
  const LocateResult cut = Find(options);
  EXPECT_THAT(cut.places, SizeIs(10));
  EXPECT_THAT(cut.skips, Contains(Field(&ObjectSkip::detail, HasSubstr("990 places beyond the first 10"))));
}

TEST_F(LocateHostileTest, OfWhatMovesOrIsRemovedWithoutEndThePlaceIsBounded) {
  std::string moving;
  for (int i = 0; i < 50; ++i) {
    const std::string tree = Object("tree", Entry("100644", absl::StrFormat("p%02d", i), secret_));
    moving = CommitOf(tree, moving.empty() ? std::vector<std::string>{} : std::vector<std::string>{moving});
  }
  Branch("moving", moving);
  const std::string base = CommitOf(Object("tree", Entry("100644", "o", other_)));
  const std::string without = Object("tree", Entry("100644", "x", nothing_));
  for (int i = 0; i < 50; ++i) Branch(absl::StrFormat("without%d", i), CommitOf(without, {base}));

  const LocateResult whole = Find();
  ASSERT_THAT(whole.places, SizeIs(2));
  EXPECT_THAT(whole.places[0].paths, SizeIs(50));
  EXPECT_THAT(whole.places[1].removals, SizeIs(50));
  EXPECT_THAT(whole.skips, IsEmpty());
  LocateOptions options;
  options.max_place_bytes = 60;  // a path is 3, a commit with its author 22
  const LocateResult cut = Find(options);
  ASSERT_THAT(cut.places, SizeIs(2));
  EXPECT_THAT(cut.places[0].paths, SizeIs(21));
  EXPECT_EQ(cut.places[0].paths[0], "p00");
  ASSERT_THAT(cut.places[1].removals, SizeIs(2));
  EXPECT_EQ(cut.commits[cut.places[1].removals[1]].id, whole.commits[whole.places[1].removals[49]].id);
  ASSERT_THAT(cut.skips, SizeIs(1));
  EXPECT_EQ(cut.skips[0].fault, ObjectFault::kTruncated);
  EXPECT_THAT(cut.skips[0].detail, HasSubstr("2 places have moved"));
}

TEST_F(LocateHostileTest, FoldersNestedTenThousandDeepNeitherOverflowNorHideTheRest) {
  // Ids are computed here, so that git writes all trees in one process.
  const auto id_of = [](const std::string& content) {
    const std::string object = absl::StrFormat("tree %d%c", content.size(), '\0') + content;
    unsigned char digest[20];
    EVP_Digest(object.data(), object.size(), digest, nullptr, EVP_sha1(), nullptr);
    return ObjectId::FromRaw(digest).ToHex();
  };
  std::string input = "100644 blob " + secret_ + "\ts\n\n";
  std::string id = id_of(Entry("100644", "s", secret_));
  const std::string bottom = id;
  std::string middle;
  for (int level = 1; level <= 10'000; ++level) {
    input += "040000 tree " + id + "\td\n\n";
    id = id_of(Entry("40000", "d", id));
    if (level == 2'000) middle = id;
  }
  repo_.Git({"mktree", "--batch", "--missing"}, input);
  Branch("deep", CommitOf(id));
  Branch("middle", CommitOf(middle));
  Branch("shallow", CommitOf(Object("tree", Entry("100644", "o", other_))));
  const LocateResult result = Find();
  ASSERT_THAT(PathsOf(result, 0), SizeIs(1));
  EXPECT_EQ(PathsOf(result, 0)[0].size(), 2u * 2'000 + 1);
  EXPECT_THAT(PathsOf(result, 1), ElementsAre("o"));
  EXPECT_THAT(result.skips, Contains(Field(&ObjectSkip::detail, HasSubstr("longer than 4096 bytes"))));
}

TEST_F(LocateHostileTest, ADamagedTreeIsASkipAndTheOthersAreRead) {
  const std::string below = Object("tree", Entry("100644", "x", secret_));
  Branch("main", CommitOf(Object("tree", Entry("40000", "bad", below) + Entry("100644", "o", other_))));
  std::filesystem::permissions(LoosePath(below), std::filesystem::perms::owner_all);
  std::fstream file(LoosePath(below), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(12);
  file.write("\xff\xff\xff\xff", 4);
  file.close();
  const LocateResult result = Find();
  EXPECT_THAT(PathsOf(result, 0), IsEmpty());
  EXPECT_THAT(PathsOf(result, 1), ElementsAre("o"));
  ASSERT_THAT(result.skips, SizeIs(1));
  EXPECT_EQ(result.skips[0].id.ToHex(), below);
  EXPECT_EQ(result.skips[0].fault, ObjectFault::kDamaged);
}

}  // namespace
}  // namespace unsprawl
