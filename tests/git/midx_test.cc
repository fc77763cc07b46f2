// Packs that only a multi-pack-index knows.
#include "engine/git/multi_pack_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/str_format.h"
#include "tests/support/git_objects.h"
#include "tests/support/git_repo.h"
#include "tests/support/pack_writer.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

// Three packs that overlap, with deltas, and an index over all of them.
class MultiPackIndexTest : public testing::Test {
 protected:
  MultiPackIndexTest() {
    // A file grows and later shrinks: git makes the smaller versions deltas upon the larger ones, so
    // that the second pack has deltas whose bases are in the first one too.
    std::string text;
    for (int i = 0; i < 45; ++i) {
      for (int line = 0; i < 25 && line < 30; ++line) {
        text += absl::StrFormat("commit %d line %d\n", i, line * i);
      }
      if (i >= 25) text.resize(text.size() * 9 / 10);
      repo_.Write("changing", text);
      repo_.Write(absl::StrFormat("file%d", i % 7), text.substr(text.size() / 2));
      repo_.Commit();
      if (i != 24 && i != 39) continue;
      repo_.Git({"repack", "-adfq", "--depth=50", "--no-write-bitmap-index"});
      KeepPacks();
    }
    repo_.Git({"repack", "-dq"});
    repo_.Git({"multi-pack-index", "write", "--preferred-pack=" + first_pack_});
    expected_ = ReadAllWithGit(repo_.path());
  }
  // The next repack packs the same objects again and removes these packs; put them back afterwards.
  void KeepPacks() {
    if (first_pack_.empty()) first_pack_ = Files(".idx")[0].filename();
    for (const auto& path : Files(".pack")) {
      std::filesystem::copy(path, kept_.path(), std::filesystem::copy_options::skip_existing);
      std::filesystem::copy(std::filesystem::path(path).replace_extension(".idx"), kept_.path(),
                            std::filesystem::copy_options::skip_existing);
    }
    for (const auto& file : std::filesystem::directory_iterator(kept_.path())) {
      std::filesystem::copy(file.path(), packs(), std::filesystem::copy_options::skip_existing);
    }
  }
  std::filesystem::path packs() const { return repo_.objects() / "pack"; }
  std::vector<std::filesystem::path> Files(std::string_view extension) const {
    std::vector<std::filesystem::path> found;
    for (const auto& file : std::filesystem::directory_iterator(packs())) {
      if (file.path().extension() == extension) found.push_back(file.path());
    }
    return found;
  }

  TempDir dir_, kept_;
  GitRepo repo_{dir_.path() / "repo"};
  GitObjects expected_;
  std::string first_pack_;
};

WalkRecord ExpectObjects(const std::filesystem::path& objects, const GitObjects& expected) {
  const auto store = ObjectStore::Open(objects, {});
  EXPECT_THAT(store, IsOk());
  EXPECT_THAT((*store)->broken_files(), testing::IsEmpty());
  EXPECT_EQ((*store)->size(), expected.size());
  const WalkRecord record = WalkAndCheck(**store, AllNumbers(**store), {});
  EXPECT_TRUE(record.visited == expected);
  EXPECT_GT(record.deltas, 0u);
  return record;
}

TEST_F(MultiPackIndexTest, ItServesAllPacksWhenNoneHasAnIdx) {
  ASSERT_GE(Files(".pack").size(), 3u);
  for (const auto& path : Files(".idx")) std::filesystem::remove(path);
  // Some bases must be entries that are listed for another pack, or this shows too little.
  EXPECT_GT(ExpectObjects(repo_.objects(), expected_).unwanted, 0u);
}

TEST_F(MultiPackIndexTest, ItServesThePacksWithoutIdxOnly) {
  const auto indexes = Files(".idx");
  for (const auto& removed : indexes) {
    const auto aside = dir_.path() / "aside";
    std::filesystem::rename(removed, aside);
    ExpectObjects(repo_.objects(), expected_);
    std::filesystem::rename(aside, removed);
  }
}

TEST_F(MultiPackIndexTest, ItServesAPackWhoseIdxIsDamaged) {
  const auto damaged = Files(".idx")[0];
  std::filesystem::permissions(damaged, std::filesystem::perms::owner_all);
  std::filesystem::resize_file(damaged, std::filesystem::file_size(damaged) - 4);
  const auto store = ObjectStore::Open(repo_.objects(), {});
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->broken_files(), SizeIs(1));
  EXPECT_TRUE(WalkAndCheck(**store, AllNumbers(**store), {}).visited == expected_);
}

TEST_F(MultiPackIndexTest, APackWithoutAnyIndexIsReported) {
  std::filesystem::remove(packs() / "multi-pack-index");
  const auto removed = Files(".idx")[0];
  std::filesystem::remove(removed);
  const auto store = ObjectStore::Open(repo_.objects(), {});
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->broken_files(), testing::ElementsAre(HasSubstr(removed.stem().string())));
}

TEST_F(MultiPackIndexTest, EveryTruncationAndBitFlipIsRefused) {
  const auto path = packs() / "multi-pack-index";
  std::ifstream file(path, std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(file), {}};
  ASSERT_THAT(MultiPackIndex::Open(path), IsOk());
  const auto copy = dir_.path() / "damaged";
  for (size_t bytes = 0; bytes < good.size(); bytes += 1 + bytes / 64) {
    PackWriter::WriteFile(copy, good.substr(0, bytes));
    EXPECT_FALSE(MultiPackIndex::Open(copy).ok()) << bytes;
  }
  for (size_t at = 0; at < good.size(); at += 1 + at / 64) {
    std::string bad = good;
    bad[at] ^= 0x10;
    PackWriter::WriteFile(copy, bad);
    EXPECT_FALSE(MultiPackIndex::Open(copy).ok()) << at;
    // With the checksum made right again it may be accepted, and must then be safe to ask.
    bad.replace(bad.size() - 20, 20, Sha1(std::string_view(bad).substr(0, bad.size() - 20)));
    PackWriter::WriteFile(copy, bad);
    const auto index = MultiPackIndex::Open(copy);
    if (!index.ok()) continue;
    for (uint32_t pack = 0; pack < index->index_names().size(); ++pack) {
      const PackIndex part = PackIndex::FromMultiPack(*index, pack);
      for (uint32_t i = 0; i < part.size(); ++i) {
        EXPECT_EQ(part.Find(part.id(i)), i);
        part.offset(i);
      }
    }
  }
}

}  // namespace
}  // namespace unsprawl
