// Damaged and hostile packs: whatever is in them, an object is either right or a skip.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>
#include <random>

#include "absl/strings/str_format.h"
#include "engine/git/inflater.h"
#include "tests/support/git_objects.h"
#include "tests/support/git_repo.h"
#include "tests/support/pack_writer.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PackTest : public testing::Test {
 protected:
  std::unique_ptr<ObjectStore> Open(const ObjectStore::Options& options = {}) {
    auto opened = ObjectStore::Open(dir_.path(), options);
    EXPECT_THAT(opened, IsOk());
    return std::move(opened).value();
  }
  WalkRecord OpenAndWalk() {
    const auto store = Open();
    return WalkAndCheck(*store, AllNumbers(*store), {});
  }
  // A new blob id, of a content that is nowhere.
  ObjectId Id(std::string_view name) { return HashObject(ObjectType::kBlob, name); }

  TempDir dir_;
  PackWriter pack_;
};

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A pack of git's with trees, commits, blobs and deltas of both kinds, and the files it lies in.
class GitPackTest : public PackTest {
 protected:
  GitPackTest() {
    GitRepo repo(source_.path() / "repo");
    std::string text;
    for (int i = 0; i < 12; ++i) {
      for (int line = 0; line < 20; ++line) text += absl::StrFormat("%d: line %d\n", i, line * 7919 * i);
      repo.Write("growing", text);
      repo.Write(absl::StrFormat("dir/file%d", i % 3), text.substr(text.size() / 2));
      repo.Commit();
    }
    repo.Git({"repack", "-adfq", "--depth=50"});
    expected_ = ReadAllWithGit(repo.path());
    for (const auto& file : std::filesystem::directory_iterator(repo.objects() / "pack")) {
      if (file.path().extension() == ".pack") pack_bytes_ = ReadFile(file.path());
      if (file.path().extension() == ".idx") idx_bytes_ = ReadFile(file.path());
    }
    std::filesystem::create_directories(dir_.path() / "pack");
  }
  // Opens and walks these bytes; every object shown must be git's. Returns how many were shown.
  size_t ExpectRightOrSkipped(std::string_view pack, std::string_view idx) {
    PackWriter::WriteFile(dir_.path() / "pack/pack-x.pack", pack);
    PackWriter::WriteFile(dir_.path() / "pack/pack-x.idx", idx);
    const auto store = Open();
    const WalkRecord record = WalkAndCheck(*store, AllNumbers(*store), {});
    for (const auto& [id, object] : record.visited) {
      const auto expected = expected_.find(id);
      EXPECT_TRUE(expected != expected_.end() && expected->second == object) << id.ToHex();
    }
    if (record.visited.size() < expected_.size()) {
      EXPECT_FALSE(record.skips.empty() && store->broken_files().empty()) << "lost in silence";
    }
    return record.visited.size();
  }

  TempDir source_;
  GitObjects expected_;
  std::string pack_bytes_, idx_bytes_;
};

TEST_F(GitPackTest, WhereverABitOfThePackIsFlippedObjectsAreRightOrSkipped) {
  ASSERT_EQ(ExpectRightOrSkipped(pack_bytes_, idx_bytes_), expected_.size());
  std::mt19937 random(1);
  size_t changed = 0;
  for (size_t at = 0; at < pack_bytes_.size(); at += 1 + random() % 9) {
    std::string bad = pack_bytes_;
    bad[at] ^= static_cast<char>(1 << random() % 8);
    changed += ExpectRightOrSkipped(bad, idx_bytes_) < expected_.size();
  }
  EXPECT_GT(changed, 100u);
}

TEST_F(GitPackTest, WhereverABitOfTheIndexIsFlippedItIsReported) {
  std::mt19937 random(2);
  for (size_t at = 0; at < idx_bytes_.size(); at += 1 + random() % 9) {
    std::string bad = idx_bytes_;
    bad[at] ^= static_cast<char>(1 << random() % 8);
    EXPECT_EQ(ExpectRightOrSkipped(pack_bytes_, bad), 0u) << at;
  }
}

TEST_F(GitPackTest, WhereverTheFilesAreTruncatedItIsReported) {
  for (size_t bytes = 0; bytes < pack_bytes_.size(); bytes += 37) {
    EXPECT_EQ(ExpectRightOrSkipped(pack_bytes_.substr(0, bytes), idx_bytes_), 0u) << bytes;
  }
  for (size_t bytes = 0; bytes < idx_bytes_.size(); bytes += 29) {
    EXPECT_EQ(ExpectRightOrSkipped(pack_bytes_, idx_bytes_.substr(0, bytes)), 0u) << bytes;
  }
}

// An index that lies with a right checksum: ids and contents need not match, but nothing may crash, and
// every object must be shown or skipped once.
TEST_F(GitPackTest, AnIndexThatLiesIsSurvived) {
  std::mt19937 random(3);
  for (int round = 0; round < 400; ++round) {
    std::string bad = idx_bytes_.substr(0, idx_bytes_.size() - 20);
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
      // The offsets are what is most worth lying about.
      const size_t tables = 8 + 1024, count = expected_.size();
      const size_t at = random() % 2 ? tables + count * 24 + random() % (count * 4) : random() % bad.size();
      bad[at] = static_cast<char>(random());
    }
    PackWriter::WriteFile(dir_.path() / "pack/pack-x.pack", pack_bytes_);
    PackWriter::WriteFile(dir_.path() / "pack/pack-x.idx", bad + Sha1(bad));
    OpenAndWalk();
  }
}

// A pack that lies, with an index whose CRCs and checksums agree with it.
TEST_F(GitPackTest, APackThatLiesIsSurvived) {
  std::mt19937 random(4);
  const size_t count = expected_.size(), crcs = 8 + 1024 + count * 20, offsets = crcs + count * 4;
  for (int round = 0; round < 600; ++round) {
    std::string pack = pack_bytes_, idx = idx_bytes_;
    std::vector<size_t> starts;
    for (size_t i = 0; i < count; ++i) {
      size_t start = 0;
      for (size_t b = 0; b < 4; ++b) start = start << 8 | static_cast<uint8_t>(idx[offsets + 4 * i + b]);
      starts.push_back(start);
    }
    for (int lies = 1 + static_cast<int>(random() % 3); lies > 0; --lies) {
      pack[starts[random() % count] + random() % 6] ^= static_cast<char>(1 << random() % 8);
    }
    std::vector<size_t> sorted = starts;
    sorted.push_back(pack.size() - 20);
    std::sort(sorted.begin(), sorted.end());
    for (size_t i = 0; i < count; ++i) {
      const size_t end = *std::upper_bound(sorted.begin(), sorted.end(), starts[i]);
      const uint32_t crc = libdeflate_crc32(0, pack.data() + starts[i], end - starts[i]);
      idx.replace(crcs + 4 * i, 4, BigEndian(crc, 4));
    }
    idx.replace(idx.size() - 20, 20, Sha1(std::string_view(idx).substr(0, idx.size() - 20)));
    PackWriter::WriteFile(dir_.path() / "pack/pack-x.pack", pack);
    PackWriter::WriteFile(dir_.path() / "pack/pack-x.idx", idx);
    OpenAndWalk();
  }
}

TEST_F(PackTest, DeltaCyclesAreSkipped) {
  const std::string delta = DeltaSize(3) + DeltaSize(3) + DeltaCopy(0, 3);
  pack_.AddIdDelta(Id("self"), delta, Id("self"));
  pack_.AddIdDelta(Id("two b"), delta, Id("two a"));
  pack_.AddIdDelta(Id("two a"), delta, Id("two b"));
  pack_.AddIdDelta(Id("two b"), delta, Id("hangs on the cycle"));
  constexpr int kLong = 1000;
  for (int i = 0; i < kLong; ++i) {
    pack_.AddIdDelta(Id(std::to_string((i + 1) % kLong)), delta, Id(std::to_string(i)));
  }
  const size_t good = pack_.AddWhole(ObjectType::kBlob, "abc");
  pack_.AddIdDelta(pack_.entries()[good].id, delta, Id("good delta"));
  pack_.Write(dir_.path());
  const auto store = Open();
  EXPECT_EQ(store->skips().size(), 4u + kLong);
  for (const ObjectSkip& skip : store->skips()) EXPECT_EQ(skip.fault, ObjectFault::kDamaged);
  const WalkRecord record = WalkAndCheck(*store, AllNumbers(*store), {});
  EXPECT_EQ(record.visited.size(), 2u);
  EXPECT_EQ(record.skips.size(), 4u + kLong);
  EXPECT_THAT(store->Read(*store->Find(Id("self"))),
              FailsWith(absl::StatusCode::kDataLoss, HasSubstr("cycle")));
}

TEST_F(PackTest, ACycleOverTwoPacksIsSkipped) {
  const std::string delta = DeltaSize(3) + DeltaSize(3) + DeltaCopy(0, 3);
  PackWriter other;
  pack_.AddIdDelta(Id("b"), delta, Id("a"));
  other.AddIdDelta(Id("a"), delta, Id("b"));
  pack_.Write(dir_.path(), "pack-one");
  other.Write(dir_.path(), "pack-two");
  EXPECT_EQ(OpenAndWalk().skips.size(), 2u);
}

TEST_F(PackTest, ABaseInAnotherPackOrALooseFileIsFound) {
  PackWriter bases;
  const size_t base = bases.AddWhole(ObjectType::kBlob, "abc");
  bases.Write(dir_.path(), "pack-bases");
  const std::string loose = std::string("blob 3\0xyz", 10);
  const ObjectId loose_id = HashObject(ObjectType::kBlob, "xyz");
  std::filesystem::create_directories(dir_.path() / loose_id.ToHex().substr(0, 2));
  PackWriter::WriteFile(dir_.path() / loose_id.ToHex().substr(0, 2) / loose_id.ToHex().substr(2),
                        Deflate(loose));
  const std::string delta = DeltaSize(3) + DeltaSize(4) + DeltaCopy(0, 3) + DeltaInsert("!");
  const ObjectId first = HashObject(ObjectType::kBlob, "abc!"), second = Id("xyz!");
  pack_.AddIdDelta(bases.entries()[base].id, delta, first);
  const size_t upon_loose = pack_.AddIdDelta(loose_id, delta, second);
  const ObjectId third = Id("xyz!?");
  pack_.AddOffsetDelta(upon_loose, DeltaSize(4) + DeltaSize(5) + DeltaCopy(0, 4) + DeltaInsert("?"), third);
  pack_.Write(dir_.path(), "pack-deltas");
  const WalkRecord record = OpenAndWalk();
  EXPECT_THAT(record.skips, IsEmpty());
  EXPECT_EQ(record.visited.at(first).content, "abc!");
  EXPECT_EQ(record.visited.at(second).content, "xyz!");
  EXPECT_EQ(record.visited.at(third).content, "xyz!?");
  const auto store = Open();
  EXPECT_EQ(*store->Read(*store->Find(third)), "xyz!?");
}

TEST_F(PackTest, AMissingBaseIsNamedAsSuch) {
  const std::string delta = DeltaSize(3) + DeltaSize(3) + DeltaCopy(0, 3);
  const size_t child = pack_.AddIdDelta(Id("nowhere"), delta, Id("child"));
  pack_.AddOffsetDelta(child, delta, Id("grandchild"));
  pack_.AddWhole(ObjectType::kBlob, "good");
  pack_.Write(dir_.path());
  const auto store = Open();
  ASSERT_EQ(store->skips().size(), 2u);
  for (const ObjectSkip& skip : store->skips()) EXPECT_EQ(skip.fault, ObjectFault::kBaseMissing);
  EXPECT_EQ(WalkAndCheck(*store, AllNumbers(*store), {}).visited.size(), 1u);
}

TEST_F(PackTest, AnIndexThatPutsAllObjectsAtOnePlaceIsSkipped) {
  for (int i = 0; i < 100; ++i) pack_.AddWhole(ObjectType::kBlob, std::to_string(i));
  for (auto& entry : pack_.entries()) entry.offset = 12;
  pack_.Write(dir_.path());
  const WalkRecord record = OpenAndWalk();
  EXPECT_EQ(record.skips.size(), 100u);
}

TEST_F(PackTest, OffsetsOutsideThePackAreSkipped) {
  const uint64_t bad[] = {0, 11, 1000000, 0x7fffffff, uint64_t{1} << 40, UINT64_MAX};
  for (int i = 0; i < 8; ++i) pack_.AddWhole(ObjectType::kBlob, std::to_string(i));
  for (size_t i = 0; i < 6; ++i) pack_.entries()[i].offset = bad[i];
  pack_.Write(dir_.path());
  const WalkRecord record = OpenAndWalk();
  EXPECT_EQ(record.visited.size(), 2u);
  EXPECT_EQ(record.skips.size(), 6u);
}

TEST_F(PackTest, AFalseObjectCountIsReported) {
  pack_.AddWhole(ObjectType::kBlob, "one");
  for (const uint64_t count : {0u, 2u, 0xffffffffu}) {
    const std::string bytes = pack_.Pack(count);
    std::filesystem::create_directories(dir_.path() / "pack");
    PackWriter::WriteFile(dir_.path() / "pack/pack-x.pack", bytes);
    PackWriter::WriteFile(dir_.path() / "pack/pack-x.idx", pack_.Index(bytes.substr(bytes.size() - 20)));
    EXPECT_THAT(Open()->broken_files(), ElementsAre(HasSubstr("entries")));
  }
}

TEST_F(PackTest, AnIndexOfFourBillionObjectsIsRefused) {
  std::string idx = "\377tOc" + BigEndian(2, 4);
  for (int i = 0; i < 256; ++i) idx += BigEndian(0xffffffff, 4);
  idx += std::string(4096, 'x');
  std::filesystem::create_directories(dir_.path() / "pack");
  PackWriter::WriteFile(dir_.path() / "pack/pack-x.pack", pack_.Pack(0xffffffff));
  PackWriter::WriteFile(dir_.path() / "pack/pack-x.idx", idx + Sha1(idx));
  EXPECT_THAT(Open()->broken_files(), ElementsAre(HasSubstr("do not fit")));
}

TEST_F(PackTest, AnObjectTwiceInOnePackCountsOnce) {
  pack_.AddWhole(ObjectType::kBlob, "twice");
  pack_.AddWhole(ObjectType::kBlob, "once");
  const size_t second = pack_.AddWhole(ObjectType::kBlob, "twice");
  pack_.AddOffsetDelta(second, DeltaSize(5) + DeltaSize(4) + DeltaCopy(0, 4), Id("twic"));
  pack_.Write(dir_.path());
  const WalkRecord record = OpenAndWalk();
  EXPECT_EQ(record.visited.size(), 3u);
  EXPECT_EQ(record.visited.at(Id("twic")).content, "twic");
}

// ---- bombs

uint64_t AnonymousBytes() {
  std::ifstream status("/proc/self/smaps_rollup");
  uint64_t kilobytes = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("Anonymous:")) kilobytes = std::stoull(line.substr(10));
  }
  return kilobytes << 10;
}

// A zlib stream of `megabytes` MiB of zeros: one MiB is deflated, and what comes out repeated.
std::string DeflateZeros(uint64_t megabytes) {
  std::vector<unsigned char> zeros(1 << 20), out(1 << 16);
  z_stream stream{};
  CHECK(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  stream.next_in = zeros.data();
  stream.avail_in = static_cast<uInt>(zeros.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(deflate(&stream, Z_FULL_FLUSH) == Z_OK);
  const std::string piece(reinterpret_cast<char*>(out.data()), out.size() - stream.avail_out);
  deflateEnd(&stream);
  std::string result = "\x78\x9c";
  for (uint64_t i = 0; i < megabytes; ++i) result += piece;
  result += std::string("\x03\x00", 2);  // an empty last block; then the Adler-32 of zeros
  return result + BigEndian((megabytes << 20) % 65521, 2) + BigEndian(1, 2);
}

// Watches memory while a walk goes on.
class MemoryVisitor : public WalkVisitor {
 public:
  void Visit(const WalkedObject&) override { ++visits; Look(); }
  void Skip(ObjectNumber, const ObjectSkip& skip) override {
    too_large += skip.fault == ObjectFault::kTooLarge;
    Look();
  }
  uint64_t visits = 0, too_large = 0, peak = 0;

 private:
  void Look() { peak = std::max(peak, AnonymousBytes()); }
};

TEST_F(PackTest, AGigabyteInAMegabyteCostsNothing) {
  constexpr uint64_t kBytes = 1 << 30;
  std::vector<char> one(1 << 20);  // the stream is what it claims to be
  const std::string small = DeflateZeros(1);
  ASSERT_TRUE(Inflater().Inflate({reinterpret_cast<const uint8_t*>(small.data()), small.size()}, one));
  const size_t bomb = pack_.AddRaw(3, kBytes, "", DeflateZeros(1024), Id("bomb"));
  EXPECT_LT(pack_.next_offset(), 1100000u);
  pack_.AddOffsetDelta(bomb, DeltaSize(kBytes) + DeltaSize(3) + DeltaCopy(0, 3), Id("upon the bomb"));
  pack_.AddWhole(ObjectType::kBlob, "good");
  pack_.Write(dir_.path());
  const auto store = Open();
  const uint64_t before = AnonymousBytes();
  std::vector<std::unique_ptr<WalkVisitor>> visitors;
  visitors.push_back(std::make_unique<MemoryVisitor>());
  WalkOptions options;
  options.threads = 1;
  Walk(*store, AllNumbers(*store), {}, options, visitors);
  const auto& seen = static_cast<const MemoryVisitor&>(*visitors[0]);
  EXPECT_EQ(seen.visits, 1u);
  EXPECT_EQ(seen.too_large, 2u);
  EXPECT_LT(seen.peak, before + (8 << 20));
}

// Every delta copies its base twice: 2^40 bytes after 24 of them.
TEST_F(PackTest, ADeltaBombStopsAtTheLimit) {
  uint64_t bytes = 1 << 16;
  size_t entry = pack_.AddWhole(ObjectType::kBlob, std::string(bytes, 'b'));
  for (int i = 0; i < 24; ++i) {
    std::string delta = DeltaSize(bytes) + DeltaSize(bytes * 2);
    for (int copy = 0; copy < 2; ++copy) {
      for (uint64_t at = 0; at < bytes; at += 1 << 23) {
        delta += DeltaCopy(static_cast<uint32_t>(at), static_cast<uint32_t>(std::min<uint64_t>(bytes - at, 1 << 23)));
      }
      if (bytes > 1 << 28) break;  // too large by far already
    }
    entry = pack_.AddOffsetDelta(entry, delta, Id(std::to_string(i)));
    bytes *= 2;
  }
  pack_.Write(dir_.path());
  const auto store = Open();
  const uint64_t before = AnonymousBytes();
  std::vector<std::unique_ptr<WalkVisitor>> visitors;
  visitors.push_back(std::make_unique<MemoryVisitor>());
  WalkOptions options;
  options.threads = 1;
  Walk(*store, AllNumbers(*store), {}, options, visitors);
  const auto& seen = static_cast<const MemoryVisitor&>(*visitors[0]);
  EXPECT_EQ(seen.visits, 11u);  // 64 KB to 64 MB
  EXPECT_EQ(seen.too_large, 14u);
#if !defined(UNSPRAWL_TSAN)  // which keeps several bytes for each of ours
  EXPECT_LT(seen.peak, before + (uint64_t{3} * 64 << 20));
#else
  (void)before;
#endif
}

// Sizes claimed in headers are not believed before the stream could hold them.
TEST_F(PackTest, AClaimThatTheStreamCannotHoldIsDamaged) {
  pack_.AddRaw(3, 60 << 20, "", Deflate("tiny"), Id("claims 60 MB"));
  pack_.Write(dir_.path());
  const auto store = Open();
  const uint64_t before = AnonymousBytes();
  const WalkRecord record = WalkAndCheck(*store, AllNumbers(*store), {});
  EXPECT_EQ(record.skips.at(Id("claims 60 MB")).fault, ObjectFault::kDamaged);
  EXPECT_LT(AnonymousBytes(), before + (4 << 20));
}

// ---- memory

// Bytes of anonymous memory that an opened store of `objects` objects takes.
uint64_t MemoryOf(int objects) {
  TempDir dir;
  {
    PackWriter pack;
    const std::string stream = Deflate("x");
    for (int i = 0; i < objects; ++i) {
      uint8_t raw[20] = {};
      const uint32_t mixed = static_cast<uint32_t>(i) * 2654435761u;
      std::memcpy(raw, &mixed, sizeof(mixed));
      pack.AddRaw(3, 1, "", stream, ObjectId::FromRaw(raw));
    }
    pack.Write(dir.path());
  }
  const uint64_t before = AnonymousBytes();
  const auto store = ObjectStore::Open(dir.path(), {});
  EXPECT_THAT(store, IsOk());
  EXPECT_EQ((*store)->size(), static_cast<uint32_t>(objects));
  return AnonymousBytes() - before;
}

TEST(MemoryTest, BytesPerObjectAreFewAndDoNotGrow) {
#if defined(UNSPRAWL_ASAN) || defined(UNSPRAWL_TSAN)
  GTEST_SKIP() << "sanitizers use memory of their own";
#endif
  const double small = static_cast<double>(MemoryOf(500000)) / 500000;
  const double large = static_cast<double>(MemoryOf(2000000)) / 2000000;
  RecordProperty("bytes_per_object", absl::StrFormat("%.1f", large));
  EXPECT_LT(small, 36);
  EXPECT_LT(large, 36);
}

}  // namespace
}  // namespace unsprawl
