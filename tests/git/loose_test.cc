// Loose objects: odd and damaged files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/git_objects.h"
#include "tests/support/git_repo.h"
#include "tests/support/pack_writer.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class LooseTest : public testing::Test {
 protected:
  // Writes a file under the name of `id` with these bytes.
  void WriteFile(const ObjectId& id, std::string_view bytes) {
    const auto dir = dir_.path() / id.ToHex().substr(0, 2);
    std::filesystem::create_directories(dir);
    PackWriter::WriteFile(dir / id.ToHex().substr(2), bytes);
  }
  ObjectId WriteBlob(std::string_view content, int level = 6) {
    const ObjectId id = HashObject(ObjectType::kBlob, content);
    std::string bytes = "blob " + std::to_string(content.size()) + '\0';
    bytes += content;
    WriteFile(id, Deflate(bytes, level));
    return id;
  }
  std::unique_ptr<ObjectStore> Open(const ObjectStore::Options& options = {}) {
    auto opened = ObjectStore::Open(dir_.path(), options);
    EXPECT_THAT(opened, IsOk());
    return std::move(opened).value();
  }

  TempDir dir_;
};

TEST_F(LooseTest, UncompressedFilesAreRead) {
  const std::string content(100000, 'u');
  const ObjectId stored = WriteBlob(content, 0), empty = WriteBlob("", 0);
  const auto store = Open();
  EXPECT_EQ(store->type(*store->Find(stored)), ObjectType::kBlob);
  EXPECT_EQ(*store->Read(*store->Find(stored)), content);
  EXPECT_EQ(*store->Read(*store->Find(empty)), "");
}

TEST_F(LooseTest, DamagedFilesAreSkipsAndOthersAreRead) {
  const ObjectId good = WriteBlob("good");
  const std::string_view header("blob 100\0", 9);
  struct Case { const char* name; std::string bytes; };
  const std::vector<Case> cases = {
      {"empty file", ""},
      {"no zlib stream", "not zlib at all"},
      {"no header", Deflate("blob without size")},
      {"unknown type", Deflate(std::string("blub 1\0a", 8))},
      {"size not a number", Deflate(std::string("blob 1x\0a", 9))},
      {"size negative", Deflate(std::string("blob -1\0a", 9))},
      {"size above 64 bits", Deflate(std::string("blob 99999999999999999999\0a", 27))},
      {"longer than it says", Deflate(std::string("blob 1\0ab", 9))},
      {"shorter than it says", Deflate(std::string(header))},
      {"bad checksum", [] { std::string s = Deflate(std::string("blob 1\0a", 8)); s.back() ^= 1; return s; }()},
      {"cut off", Deflate(std::string(header) + std::string(100, 'a')).substr(0, 14)},
      {"trailing garbage", Deflate(std::string("blob 1\0a", 8)) + std::string(10000, 'g')},
  };
  std::vector<ObjectId> ids;
  for (const Case& one : cases) {
    ids.push_back(HashObject(ObjectType::kBlob, one.name));
    WriteFile(ids.back(), one.bytes);
  }
  const auto store = Open();
  EXPECT_EQ(store->size(), cases.size() + 1);
  const WalkRecord record = WalkAndCheck(*store, AllNumbers(*store), {});
  EXPECT_EQ(record.visited.size(), 1u);
  EXPECT_TRUE(record.visited.count(good));
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto skip = record.skips.find(ids[i]);
    ASSERT_NE(skip, record.skips.end()) << cases[i].name;
    EXPECT_EQ(skip->second.fault, ObjectFault::kDamaged) << cases[i].name;
    EXPECT_THAT(store->Read(*store->Find(ids[i])),
                FailsWith(absl::StatusCode::kDataLoss, HasSubstr("loose object")));
  }
}

TEST_F(LooseTest, AnObjectWhoseTypeCannotBeReadIsListedWhenOpening) {
  const ObjectId bad = HashObject(ObjectType::kBlob, "bad");
  WriteFile(bad, "garbage");
  const auto store = Open();
  EXPECT_EQ(store->type(0), ObjectType::kUnknown);
  ASSERT_THAT(store->skips(), SizeIs(1));
  EXPECT_EQ(store->skips()[0].id, bad);
}

TEST_F(LooseTest, ALargeObjectIsRefusedByItsHeader) {
  const ObjectId large = WriteBlob(std::string(1001, 'l')), fits = WriteBlob(std::string(1000, 'f'));
  ObjectStore::Options options;
  options.max_object_bytes = 1000;
  const auto store = Open(options);
  const WalkRecord record = WalkAndCheck(*store, AllNumbers(*store), {});
  EXPECT_TRUE(record.visited.count(fits));
  ASSERT_TRUE(record.skips.count(large));
  EXPECT_EQ(record.skips.at(large).fault, ObjectFault::kTooLarge);
  EXPECT_EQ(record.skips.at(large).object_bytes, 1001u);
}

TEST_F(LooseTest, FilesThatAreNotObjectsAreIgnored) {
  WriteBlob("good");
  std::filesystem::create_directories(dir_.path() / "ab");
  PackWriter::WriteFile(dir_.path() / "ab" / "tmp_obj_x1y2z3", "unfinished");
  PackWriter::WriteFile(dir_.path() / "ab" / std::string(38, 'g'), "not hexadecimal");
  EXPECT_EQ(Open()->size(), 1u);
}

TEST_F(LooseTest, AFifoUnderAnObjectsNameDoesNotHang) {
  const ObjectId id = HashObject(ObjectType::kBlob, "fifo");
  std::filesystem::create_directories(dir_.path() / id.ToHex().substr(0, 2));
  ASSERT_EQ(mkfifo((dir_.path() / id.ToHex().substr(0, 2) / id.ToHex().substr(2)).c_str(), 0600), 0);
  const auto store = Open();
  EXPECT_THAT(WalkAndCheck(*store, AllNumbers(*store), {}).skips, SizeIs(1));
}

TEST_F(LooseTest, AFileThatVanishesAfterOpeningIsMissing) {
  const ObjectId id = WriteBlob("soon gone");
  const auto store = Open();
  std::filesystem::remove_all(dir_.path() / id.ToHex().substr(0, 2));
  const WalkRecord record = WalkAndCheck(*store, AllNumbers(*store), {});
  EXPECT_THAT(record.visited, IsEmpty());
  EXPECT_EQ(record.skips.at(id).fault, ObjectFault::kMissing);
}

TEST_F(LooseTest, ALooseCopyServesWhereThePackedOneIsDamaged) {
  PackWriter pack;
  const std::string content = "stored twice";
  const ObjectId id = HashObject(ObjectType::kBlob, content);
  pack.AddRaw(3, content.size(), "", "not a zlib stream", id);
  pack.Write(dir_.path());
  {
    const auto store = Open();
    EXPECT_THAT(WalkAndCheck(*store, AllNumbers(*store), {}).skips, SizeIs(1));
  }
  WriteBlob(content);
  const auto store = Open();
  EXPECT_EQ(store->size(), 1u);
  EXPECT_EQ(*store->Read(0), content);
  const WalkRecord record = WalkAndCheck(*store, AllNumbers(*store), {});
  EXPECT_EQ(record.visited.at(id).content, content);
}

}  // namespace
}  // namespace unsprawl
