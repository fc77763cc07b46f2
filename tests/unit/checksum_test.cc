#include "engine/judge/checksum.h"

#include <libdeflate.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

Check Verify(std::string_view name, std::string_view secret) {
  const ChecksumFunction function = FindChecksum(name);
  EXPECT_NE(function, nullptr) << std::string(name);
  return function == nullptr ? Check::kNone : function(secret);
}

// Changes one character of a token's random part.
std::string Spoil(std::string token, size_t at) {
  token[at] = token[at] == 'a' ? 'b' : 'a';
  return token;
}

TEST(Checksum, Crc32IsTheOneOfZipAndPng) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(Crc32(bytes), libdeflate_crc32(0, bytes.data(), bytes.size()));
    bytes.push_back(static_cast<char>(i * 31));
  }
}

TEST(Checksum, Crc24IsTheOneOfTheStandard) {
  EXPECT_EQ(Crc24(""), 0xB704CEu);
  EXPECT_EQ(Crc24("123456789"), 0x21CF02u);  // catalogue of CRCs: CRC-24/OPENPGP, check value
}

TEST(Checksum, BasesArePaddedAndOrdered) {
  EXPECT_EQ(Base62(0, 6), "000000");
  EXPECT_EQ(Base62(61, 1), "z");
  EXPECT_EQ(Base62(62, 2), "10");
  EXPECT_EQ(Base62(UINT32_MAX, 6), "4gfFC3");
  EXPECT_EQ(Base36(35, 2), "0z");
}

TEST(Checksum, GithubsPublishedExampleHolds) {
  // Printed on GitHub's own blog; put together here so that no scanner trips over it.
  const std::string token = std::string("ghp_") + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ" + "0mLq17";
  EXPECT_EQ(Verify("crc32-base62", token), Check::kOk);
  for (size_t at = 4; at < token.size(); ++at) {
    EXPECT_EQ(Verify("crc32-base62", Spoil(token, at)), Check::kBad) << at;
  }
}

TEST(Checksum, AtlassianCoversEverythingBeforeTheSum) {
  const std::string body = std::string("ATATT3") + "xFfGF0T5JNjBJAb-c_d" + "=";
  char sum[9];
  std::snprintf(sum, sizeof(sum), "%08X", Crc32(body));
  EXPECT_EQ(Verify("atlassian-crc32", body + sum), Check::kOk);
  EXPECT_EQ(Verify("atlassian-crc32", Spoil(body, 10) + sum), Check::kBad);
  EXPECT_EQ(Verify("atlassian-crc32-maybe", Spoil(body, 10) + sum), Check::kNone);
}

TEST(Checksum, Bech32OfTheStandardHolds) {
  // Test vectors of BIP 173.
  EXPECT_EQ(Verify("bech32", "A12UEL5L"), Check::kOk);
  EXPECT_EQ(Verify("bech32", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"), Check::kOk);
  EXPECT_EQ(Verify("bech32", "A12UEL5M"), Check::kBad);
  EXPECT_EQ(Verify("bech32", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxx"), Check::kBad);
}

TEST(Checksum, Base58CheckOfTheStandardHolds) {
  // The master key of BIP 32's test vector 1, in pieces.
  const std::string key = std::string("xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPP") +
                          "qjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi";
  EXPECT_EQ(Verify("base58check", key), Check::kOk);
  EXPECT_EQ(Verify("base58check", Spoil(key, 50)), Check::kBad);
}

TEST(Checksum, Base58CheckOfTheWalletImportFormatHolds) {
  // The example of the Bitcoin wiki, "Wallet import format", in pieces.
  const std::string key = std::string("5HueCGU8rMjxEXxiPuD5BDk") + "u4MkFqeZyd4dZ1jvhTVqvbTLvyTJ";
  EXPECT_EQ(Verify("base58check", key), Check::kOk);
  EXPECT_EQ(Verify("base58check", Spoil(key, 30)), Check::kBad);
}

TEST(Checksum, AnyBytesAreTaken) {
  for (const std::string_view name : ChecksumNames()) {
    for (const size_t length : {size_t{0}, size_t{1}, size_t{6}, size_t{8}, size_t{9}, size_t{300}}) {
      for (const char fill : {'\0', '\xff', '=', '1', '_'}) {
        const std::string bytes(length, fill);
        EXPECT_NE(Verify(name, bytes), Check::kDead);
      }
    }
  }
  EXPECT_EQ(FindChecksum("no such"), nullptr);
}

}  // namespace
}  // namespace unsprawl
