// Texts whose bytes are not the text: UTF-16, UTF-32, gzip.
#include "engine/match/decode.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include <random>

namespace unsprawl {
namespace {

constexpr uint64_t kMost = 1 << 20;

std::string Gzip(std::string_view text) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(text.size() + text.size() / 100 + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(packed.size() - stream.avail_out);
  deflateEnd(&stream);
  return packed;
}

// ASCII in units of `unit` bytes.
std::string Wide(std::string_view text, size_t unit, bool big, std::string_view mark = "") {
  std::string wide(mark);
  for (const char c : text) {
    std::string one(unit, '\0');
    one[big ? unit - 1 : 0] = c;
    wide += one;
  }
  return wide;
}

std::string Decoded(std::string_view content) {
  std::string text;
  if (DecodeText(content, kMost, &text) != Decoding::kDecoded) return "none";
  EXPECT_TRUE(text.ends_with("\n" + std::string(content))) << "the bytes themselves are looked at, too";
  return text.substr(0, text.size() - content.size() - 1);
}

constexpr std::string_view kText = "password = \"of somebody\"\r\nand another line\r\n";

TEST(DecodeText, ReadsWideTextOfEitherByteOrder) {
  EXPECT_EQ(Decoded(Wide(kText, 2, false, "\xff\xfe")), kText);
  EXPECT_EQ(Decoded(Wide(kText, 2, true, "\xfe\xff")), kText);
  EXPECT_EQ(Decoded(Wide(kText, 4, false, std::string_view("\xff\xfe\0\0", 4))), kText);
  EXPECT_EQ(Decoded(Wide(kText, 4, true, std::string_view("\0\0\xfe\xff", 4))), kText);
  for (const size_t unit : {2, 4}) {
    for (const bool big : {false, true}) EXPECT_EQ(Decoded(Wide(kText, unit, big)), kText) << unit << big;
  }
}

TEST(DecodeText, WritesLettersBeyondAsciiAsUtf8) {
  const std::string_view wide("\xff\xfe\xe9\x00\xac\x20\x3d\xd8\x11\xdd\x00\xd8\x41\x00", 14);
  EXPECT_EQ(Decoded(wide), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91\xef\xbf\xbd" "A");
}

TEST(DecodeText, LeavesAloneWhatIsNoWideText) {
  EXPECT_EQ(Decoded(kText), "none");
  EXPECT_EQ(Decoded(""), "none");
  EXPECT_EQ(Decoded("\xff"), "none");
  EXPECT_EQ(Decoded(std::string(64, '\0')), "none");
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string noise(16 + random() % 400, '\0');
    for (char& c : noise) c = static_cast<char>(random() % 5 == 0 ? 0 : random());
    noise[0] = 'x';
    EXPECT_EQ(Decoded(noise), "none");
  }
}

TEST(DecodeText, UnpacksGzipAndWhatIsInIt) {
  EXPECT_EQ(Decoded(Gzip(kText)), kText);
  EXPECT_EQ(Decoded(Gzip(Gzip(kText))), kText);
  EXPECT_EQ(Decoded(Gzip(Wide(kText, 2, false, "\xff\xfe"))), kText);
  EXPECT_EQ(Decoded(Gzip(kText) + Gzip("more")), std::string(kText) + "more");
  EXPECT_EQ(Decoded(Gzip(kText) + "padding"), kText);
  EXPECT_EQ(Decoded(Gzip("")), "");
}

TEST(DecodeText, DamagedGzipIsNoText) {
  const std::string packed = Gzip(kText);
  EXPECT_EQ(Decoded(packed.substr(0, packed.size() / 2)), "none");
  for (size_t at = 10; at < packed.size(); ++at) {
    std::string damaged = packed;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    std::string text;
    (void)DecodeText(damaged, kMost, &text);  // any answer, no harm
  }
}

TEST(DecodeText, HasAnEnd) {
  const std::string bomb = Gzip(std::string(8 << 20, 'a'));
  std::string text;
  EXPECT_EQ(DecodeText(bomb, kMost, &text), Decoding::kTooLarge);
  EXPECT_LE(text.size(), 2 * kMost);
  EXPECT_EQ(DecodeText(Gzip(bomb), kMost, &text), Decoding::kTooLarge);
}

}  // namespace
}  // namespace unsprawl
