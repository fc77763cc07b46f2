// What is inside archives: every kind, within one another, and what strangers make of them.
#include "engine/archive/archive.h"

#include <gmock/gmock.h>

#include <map>
#include <random>

#include "tests/support/archives.h"

namespace unsprawl {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

constexpr std::string_view kText = "key = of somebody\nand another line\n";

struct Seen {
  std::vector<std::pair<std::string, std::string>> files;  // paths and texts, but archives
  std::vector<std::string> archives;
  uint32_t gaps = 0;
  uint64_t bytes = 0;
};

Seen Look(std::string_view content, const ArchiveLimits& limits = {}) {
  PrepareArchives();
  Seen seen;
  EXPECT_TRUE(IsArchive(KindOfArchive(content)));
  seen.gaps = VisitMembers(content, limits, [&](const ArchiveMember& member) {
    seen.bytes += member.content.size();
    if (member.is_archive) {
      seen.archives.emplace_back(member.path);
    } else {
      seen.files.emplace_back(member.path, member.content);
    }
  });
  return seen;
}

TEST(ArchiveTest, EveryKindIsLookedInto) {
  const Files files = {{"a/b.env", std::string(kText)}, {"c.txt", "c"}};
  const auto same = ElementsAre(Pair("a/b.env", kText), Pair("c.txt", "c"));
  for (const char* const format : {"zip", "7zip", "ustar", "gnutar", "pax"}) {
    const Seen seen = Look(Packed(format, "", files));
    EXPECT_THAT(seen.files, same) << format;
    EXPECT_EQ(seen.gaps, 0u) << format;
  }
  for (const char* const filter : {"gzip", "bzip2", "xz", "zstd"}) {
    EXPECT_THAT(Look(Packed("pax", filter, files)).files, same) << filter;
    const Seen alone = Look(Packed("raw", filter, {{"x", std::string(kText)}}));
    EXPECT_THAT(alone.files, ElementsAre(Pair("", kText))) << filter;
    EXPECT_EQ(alone.gaps, 0u) << filter;
  }
  EXPECT_THAT(Look(Packed("zip", "", files, "zip:compression=store")).files, same);
  EXPECT_THAT(Look(Packed("zip", "", {})).files, IsEmpty());
}

TEST(ArchiveTest, WhatIsNoArchiveIsNone) {
  for (const std::string& text : {std::string(), std::string("PK"), std::string(kText), std::string("BZh and so on, text"),
                                  std::string("x^2 + y^2"), std::string(1024, '\0'), std::string("Rar!"),
                                  std::string(257, 'a') + "ustar" + std::string(400, 'b')}) {
    EXPECT_EQ(KindOfArchive(text), ArchiveKind::kNone) << text.substr(0, 20);
  }
}

TEST(ArchiveTest, AGzipFileOfTextIsNoArchiveAndOneOfAnArchiveIs) {
  const std::string text = Packed("raw", "gzip", {{"x", std::string(kText)}});
  EXPECT_EQ(KindOfArchive(text, kText), ArchiveKind::kNone);
  const std::string tar = Packed("ustar", "", {{"a", "b"}});
  EXPECT_EQ(KindOfArchive(Packed("ustar", "gzip", {{"a", "b"}}), tar), ArchiveKind::kStream);
  EXPECT_EQ(KindOfArchive(text, std::string_view("PACK\0\0\0\2", 8)), ArchiveKind::kGitData);
}

TEST(ArchiveTest, GitsOwnDataIsTold) {
  EXPECT_EQ(KindOfArchive(std::string_view("PACK\0\0\0\2....", 12)), ArchiveKind::kGitData);
  EXPECT_EQ(KindOfArchive(std::string_view("PACK\0\0\0\3....", 12)), ArchiveKind::kGitData);
  EXPECT_EQ(KindOfArchive("# v2 git bundle\n"), ArchiveKind::kGitData);
  EXPECT_EQ(KindOfArchive("\xfftOc...."), ArchiveKind::kGitData);
  const std::string loose("\x78\x01\x4b\xca\xc9\x4f\x52\x30\x65\xc8\x48\xcd\xc9\xc9\x07\x00\x19\xaa\x04\x09", 20);  // "hello"
  EXPECT_EQ(KindOfArchive(loose), ArchiveKind::kGitData);
  const Seen seen = Look(Packed("zip", "", {{"objects/pack/p.pack", std::string("PACK\0\0\0\2....", 12)}}));
  EXPECT_EQ(seen.gaps, static_cast<uint32_t>(kGapGitData));
}

TEST(ArchiveTest, ArchivesWithinArchivesAreEnteredThreeDeep) {
  std::string packed(kText);
  std::string name = "c.env";
  std::string path;
  const char* const kinds[][2] = {{"zip", ""}, {"pax", "xz"}, {"7zip", ""}, {"ustar", ""}};
  for (int depth = 0; depth < 4; ++depth) {
    packed = Packed(kinds[depth][0], kinds[depth][1], {{name, packed}, {"beside", "x"}});
    path = path.empty() ? name : name + "!" + path;
    name = "inner" + std::to_string(depth);
    const Seen seen = Look(packed);
    std::vector<std::string> paths;
    for (const auto& [at, text] : seen.files) paths.push_back(at);
    if (depth < 3) {
      EXPECT_THAT(paths, testing::Contains(path)) << depth;
      EXPECT_EQ(seen.gaps, 0u) << depth;
    } else {
      EXPECT_THAT(paths, testing::Not(testing::Contains(path)));
      EXPECT_EQ(seen.gaps, static_cast<uint32_t>(kGapBeyond));
      EXPECT_THAT(seen.archives, testing::Contains("inner2!inner1!inner0"));
    }
  }
  EXPECT_EQ(path, "inner2!inner1!inner0!c.env");
}

TEST(ArchiveTest, StreamsWithinStreamsHaveAnEnd) {
  std::string packed(kText);
  for (int layer = 0; layer < 40; ++layer) packed = Packed("raw", "gzip", {{"x", packed}});
  EXPECT_NE(Look(packed).gaps, 0u);
  const std::string tar_in_zip = Packed("zip", "", {{"a.tar.gz", Packed("pax", "gzip", {{"b", std::string(kText)}})}});
  EXPECT_THAT(Look(tar_in_zip).files, ElementsAre(Pair("a.tar.gz!b", kText)));
  const std::string zip_in_xz = Packed("raw", "xz", {{"x", Packed("zip", "", {{"b", std::string(kText)}})}});
  EXPECT_THAT(Look(zip_in_xz).files, ElementsAre(Pair("b", kText)));
}

TEST(ArchiveTest, ABombEndsAtTheBoundAndTheRestIsRead) {
  const std::string zeros(24 << 20, '\0');
  const ArchiveLimits limits = {.max_bytes = 8 << 20};
  for (const char* const format : {"zip", "ustar"}) {
    const Seen seen = Look(Packed(format, "", {{"first", "1"}, {"bomb", zeros}, {"last", "2"}}), limits);
    EXPECT_EQ(seen.gaps, static_cast<uint32_t>(kGapBeyond)) << format;
    EXPECT_THAT(seen.files, ElementsAre(Pair("first", "1"), Pair("last", "2"))) << format;
  }
  for (const char* const filter : {"gzip", "bzip2", "xz", "zstd"}) {
    const std::string bomb = Packed("raw", filter, {{"x", zeros}});
    const Seen alone = Look(bomb, limits);
    EXPECT_EQ(alone.gaps, static_cast<uint32_t>(kGapBeyond)) << filter;
    EXPECT_LE(alone.bytes, limits.max_bytes) << filter;
    Files many;
    for (int i = 0; i < 20; ++i) many.emplace_back("b" + std::to_string(i), bomb);
    const Seen together = Look(Packed("zip", "", many), limits);
    EXPECT_NE(together.gaps & kGapBeyond, 0u) << filter;
    EXPECT_LE(together.bytes, 2 * limits.max_bytes) << filter;
  }
  // What is behind the end of a tar archive, or looks like an empty one at first, is in the bytes.
  const std::string behind = Packed("ustar", "", {{"a", "1"}}) + std::string(2048, '\0') + std::string(kText);
  EXPECT_THAT(Look(Packed("raw", "xz", {{"x", behind}})).archives, ElementsAre(""));
  EXPECT_THAT(Look(Packed("raw", "xz", {{"x", std::string(2048, '\0') + "text"}})).files.size(), 1u);
  // What lies behind too much that must be unpacked to be passed over is not reached.
  const Seen solid = Look(Packed("ustar", "gzip", {{"first", "1"}, {"bomb", zeros}, {"last", "2"}}), limits);
  EXPECT_THAT(solid.files, ElementsAre(Pair("first", "1")));
}

TEST(ArchiveTest, MembersAreCountedToABound) {
  Files many;
  for (int i = 0; i < 50; ++i) many.emplace_back(std::to_string(i), "x");
  const Seen seen = Look(Packed("zip", "", many), {.max_members = 20});
  EXPECT_EQ(seen.files.size(), 20u);
  EXPECT_EQ(seen.gaps, static_cast<uint32_t>(kGapBeyond));
}

TEST(ArchiveTest, WhatIsEncryptedIsSaidAndTheRestIsRead) {
  const std::string locked = Packed("zip", "", {{"a", std::string(kText)}}, "zip:encryption=traditional", "word");
  ASSERT_FALSE(locked.empty());
  const Seen seen = Look(locked);
  EXPECT_EQ(seen.gaps, static_cast<uint32_t>(kGapEncrypted));
  EXPECT_THAT(seen.files, IsEmpty());
  const Seen beside = Look(Packed("ustar", "", {{"l.zip", locked}, {"open", "x"}}));
  EXPECT_EQ(beside.gaps, static_cast<uint32_t>(kGapEncrypted));
  EXPECT_THAT(beside.files, ElementsAre(Pair("open", "x")));
}

TEST(ArchiveTest, WhatIsDamagedIsSaidAndTheRestIsRead) {
  const Files files = {{"a", std::string(kText)}, {"b", std::string(1 << 16, 'b')}, {"c", std::string(kText)}};
  for (const char* const format : {"zip", "ustar"}) {
    std::string packed = Packed(format, "", files, format == std::string("zip") ? "zip:compression=store" : "");
    const Seen cut = Look(std::string_view(packed).substr(0, packed.size() / 2));
    EXPECT_NE(cut.gaps & kGapDamaged, 0u) << format;
    ASSERT_GE(cut.files.size(), 1u) << format;
    EXPECT_EQ(cut.files[0].second, kText) << format;
  }
  std::string wrong_sum = Packed("zip", "", files, "zip:compression=store");
  wrong_sum[wrong_sum.size() / 2] ^= 1;
  const Seen seen = Look(wrong_sum);
  EXPECT_EQ(seen.gaps, static_cast<uint32_t>(kGapDamaged));
  EXPECT_EQ(seen.files.size(), 3u);
  EXPECT_EQ(Look("\x1f\x8b\x08 and then some text").gaps, static_cast<uint32_t>(kGapDamaged));
  EXPECT_EQ(Look("PK\3\4 and then some text").gaps, static_cast<uint32_t>(kGapDamaged));
  EXPECT_EQ(Look("Rar!\x1a\x07\x01 and then some").gaps, static_cast<uint32_t>(kGapUnread));
}

TEST(ArchiveTest, NamesAreBytesAndHaveAnEnd) {
  const std::string letters = "dir/\xc3\xa9-\xd0\xba\xd0\xbb.env";
  for (const char* const format : {"zip", "7zip", "gnutar"}) {
    EXPECT_THAT(Look(Packed(format, "", {{"./../a b\n\x1b[31m!c", "x"}})).files, ElementsAre(Pair("../a b\n\x1b[31m!c", "x")))
        << format;
  }
  EXPECT_THAT(Look(Packed("gnutar", "", {{letters, "x"}})).files, ElementsAre(Pair(letters, "x")));
  EXPECT_THAT(Look(Packed("gnutar", "", {{"\xff\xfe", "x"}})).files, ElementsAre(Pair("\xff\xfe", "x")));
  const Seen lengthy = Look(Packed("gnutar", "", {{std::string(5000, 'n'), "x"}}));
  ASSERT_EQ(lengthy.files.size(), 1u);
  EXPECT_EQ(lengthy.files[0].first, std::string(1024, 'n'));
}

// Every cut and many flips of every kind: a result, whatever it is, within the bounds.
TEST(ArchiveTest, AnyBytesEndWithinTheBounds) {
  const Files files = {{"a", std::string(kText)}, {"b.zip", Packed("zip", "", {{"c", std::string(kText)}})}};
  std::mt19937 random(11);
  const ArchiveLimits limits = {.max_bytes = 1 << 20};
  const std::pair<const char*, const char*> kinds[] = {{"zip", ""},    {"7zip", ""},    {"pax", ""},    {"pax", "gzip"},
                                                       {"pax", "bzip2"}, {"gnutar", "xz"}, {"ustar", "zstd"}};
  for (const auto& [format, filter] : kinds) {
    const std::string right = Packed(format, filter, files);
    for (int round = 0; round < 300; ++round) {
      std::string wrong = right;
      for (int flip = 0; flip <= round % 4; ++flip) wrong[random() % wrong.size()] = static_cast<char>(random());
      if (round % 3 == 0) wrong.resize(random() % wrong.size());
      if (!IsArchive(KindOfArchive(wrong))) continue;
      EXPECT_LE(Look(wrong, limits).bytes, 2 * limits.max_bytes);
    }
  }
}

}  // namespace
}  // namespace unsprawl
