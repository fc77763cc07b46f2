// Delta scan against full scan along the deltas that git itself makes.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <ostream>

#include "engine/git/walk.h"
#include "engine/match/detector.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/scan_cases.h"

namespace unsprawl {
namespace {

// Scans every blob in both modes and compares them; trees, commits and tags as well, since their bytes
// are as good as any.
class BothModes : public WalkVisitor {
 public:
  explicit BothModes(const Detector& detector) : full_(detector), delta_(detector) {}

  void Visit(const WalkedObject& object) override {
    if (object.slot >= known_.size()) known_.resize(object.slot + 1);
    BlobMatches full, delta;
    full_.ScanFull(object.content, &full);
    if (object.base_slot >= 0) {
      ++deltas;
      const uint64_t before = delta_.stats().bytes_scanned;
      delta_.ScanDelta(object.content, object.copies, object.base_bytes,
                       known_[static_cast<size_t>(object.base_slot)], &delta);
      delta_bytes += object.content.size();
      delta_scanned += delta_.stats().bytes_scanned - before;
      EXPECT_EQ(delta.matches, full.matches);
      EXPECT_EQ(delta.anchors, full.anchors);
      matches_in_deltas += delta.matches.size();
    }
    known_[object.slot] = std::move(full);
  }
  void Skip(ObjectNumber, const ObjectSkip& skip) override { ADD_FAILURE() << skip.detail; }

  uint64_t deltas = 0, matches_in_deltas = 0, delta_bytes = 0, delta_scanned = 0;

 private:
  BlobScanner full_, delta_;
  std::vector<BlobMatches> known_;
};

struct Totals {
  uint64_t deltas = 0, matches_in_deltas = 0, delta_bytes = 0, delta_scanned = 0;
};

Totals ScanInBothModes(const std::filesystem::path& objects, const Detector& detector) {
  Totals totals;
  auto store = ObjectStore::Open(objects, {});
  EXPECT_THAT(store, IsOk());
  if (!store.ok()) return totals;
  std::vector<ObjectNumber> all((*store)->size());
  for (ObjectNumber i = 0; i < all.size(); ++i) all[i] = i;
  std::vector<std::unique_ptr<WalkVisitor>> visitors;
  for (int i = 0; i < 2; ++i) visitors.push_back(std::make_unique<BothModes>(detector));
  Walk(**store, all, {}, {.threads = 2}, visitors);
  for (const auto& visitor : visitors) {
    const auto& both = static_cast<const BothModes&>(*visitor);
    totals.deltas += both.deltas, totals.matches_in_deltas += both.matches_in_deltas;
    totals.delta_bytes += both.delta_bytes, totals.delta_scanned += both.delta_scanned;
  }
  return totals;
}

// Commits of random edits of a few files; small files, large files, binary noise, no final newlines.
void MakeHistory(GitRepo& repo, uint32_t seed, int commits) {
  Random random(seed);
  std::vector<std::string> files(8);
  for (int commit = 0; commit < commits; ++commit) {
    for (int edits = 1 + static_cast<int>(Below(random, 3)); edits > 0; --edits) {
      const uint32_t file = Below(random, 8);
      std::string& content = files[file];
      if (content.size() < 200 || content.size() > 200'000) content = RandomText(random, 40 << file % 6);
      content = RandomEdit(random, content).content;
      repo.Write("file" + std::to_string(file), content);
    }
    repo.Commit();
  }
  repo.Git({"repack", "-adfq", "--depth=50", "--window=20"});
}

TEST(DeltaScan, FindsInEveryBlobOfARepositoryWhatAFullScanFinds) {
  auto ruleset = Ruleset::Parse(kScanRules, "test");
  ASSERT_THAT(ruleset, IsOk());
  auto detector = Detector::Create(*ruleset, {}, {});
  ASSERT_THAT(detector, IsOk());
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    TempDir dir;
    GitRepo repo(dir.path() / "repo");
    MakeHistory(repo, seed, 60);
    const Totals totals = ScanInBothModes(repo.objects(), **detector);
    EXPECT_GT(totals.deltas, 30u);
    EXPECT_GT(totals.matches_in_deltas, 300u);
  }
}

TEST(DeltaScan, FindsWithTheBuiltinRulesWhatAFullScanFinds) {
  auto ruleset = Ruleset::Builtin();
  ASSERT_THAT(ruleset, IsOk());
  auto detector = Detector::Create(*ruleset, {}, {});
  ASSERT_THAT(detector, IsOk());
  // Real text with real deltas: our own history, or the objects folder of any other repository.
  TempDir dir;
  std::filesystem::path objects = dir.path() / "own" / "objects";
  if (const char* named = std::getenv("UNSPRAWL_REAL_REPOSITORY")) {
    objects = named;
  } else if (std::filesystem::exists(UNSPRAWL_SOURCE_DIR "/.git")) {
    unsprawl::Run(dir.path(), {"git", "clone", "-q", "--bare", "--no-local", UNSPRAWL_SOURCE_DIR, "own"});
    unsprawl::Run(dir.path() / "own", {"git", "repack", "-adfq", "--depth=50"});
  } else {
    GTEST_SKIP() << "this source tree has no history; name one in UNSPRAWL_REAL_REPOSITORY";
  }
  const Totals totals = ScanInBothModes(objects, **detector);
  EXPECT_GT(totals.deltas, 0u);
  std::printf("%llu deltas, %llu matches in them, %llu of %llu bytes scanned\n",
              static_cast<unsigned long long>(totals.deltas),
              static_cast<unsigned long long>(totals.matches_in_deltas),
              static_cast<unsigned long long>(totals.delta_scanned),
              static_cast<unsigned long long>(totals.delta_bytes));
}

TEST(DeltaScan, FindsWhatIsTooLargeForHyperscanByAnApproximation) {
  std::string regex = "start";
  for (int i = 0; i < 10; ++i) regex += "[a-m]{1,900}[n-z]{1,900}";
  auto ruleset = Ruleset::Parse("[[rules]]\nid = 'large'\nregex = '" + regex + "'\n", "test");
  ASSERT_THAT(ruleset, IsOk());
  auto detector = Detector::Create(*ruleset, {}, {});
  ASSERT_THAT(detector, IsOk());
  EXPECT_TRUE((*detector)->scans()[0].prefiltered);
  std::string base = "one line\nstart";
  for (int i = 0; i < 9; ++i) base += "abcxyz";
  base += "\n" + std::string(200, 'a') + "\n";
  EditedText edited;
  edited.AddCopy(base, 0, base.size() - 202);
  edited.AddNew("mz");  // the tenth
  edited.AddCopy(base, base.size() - 202, 202);
  BlobScanner scanner(**detector);
  BlobMatches of_base, delta, full;
  scanner.ScanFull(base, &of_base);
  EXPECT_TRUE(of_base.matches.empty());
  scanner.ScanDelta(edited.content, edited.copies, base.size(), of_base, &delta);
  scanner.ScanFull(edited.content, &full);
  ASSERT_EQ(full.matches.size(), 1u);
  EXPECT_EQ(full.matches[0].start, 9u);
  EXPECT_EQ(delta.matches, full.matches);
}

}  // namespace
}  // namespace unsprawl
