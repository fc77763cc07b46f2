#include "coordinator/forges/app_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::HasSubstr;

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Key NewKey(int type) {
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new_id(type, nullptr), EVP_PKEY_CTX_free);
  EVP_PKEY* key = nullptr;
  EVP_PKEY_keygen_init(context.get());
  if (type == EVP_PKEY_RSA) EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), 2048);
  EVP_PKEY_keygen(context.get(), &key);
  return Key(key, EVP_PKEY_free);
}

std::string Pem(const Key& key) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  char* text = nullptr;
  const long bytes = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(bytes));
}

std::string Decoded(const std::string& part) {
  std::string bytes;
  EXPECT_TRUE(absl::WebSafeBase64Unescape(part, &bytes)) << part;
  return bytes;
}

TEST(AppTokenTest, AJwtIsSignedByTheKeyAndLivesForLessThanTenMinutes) {
  const Key key = NewKey(EVP_PKEY_RSA);
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  const auto jwt = AppJwt({"4242", Pem(key)}, now);
  ASSERT_THAT(jwt, IsOk());
  const size_t first = jwt->find('.'), second = jwt->rfind('.');
  const std::string text = jwt->substr(0, second), signature = Decoded(jwt->substr(second + 1));
  EXPECT_EQ(jwt->find('='), std::string::npos);
  EXPECT_EQ(json::parse(Decoded(jwt->substr(0, first))), json({{"alg", "RS256"}, {"typ", "JWT"}}));
  const json claims = json::parse(Decoded(text.substr(first + 1)));
  EXPECT_EQ(claims["iss"], "4242");
  EXPECT_EQ(claims["iat"], 1'700'000'000 - 60);
  EXPECT_GT(claims["exp"], 1'700'000'000 + 60);
  EXPECT_LE(claims["exp"].get<int64_t>() - claims["iat"].get<int64_t>(), 600);

  const auto verifies = [&](const std::string& message) {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get());
    return EVP_DigestVerify(context.get(), reinterpret_cast<const uint8_t*>(signature.data()), signature.size(),
                            reinterpret_cast<const uint8_t*>(message.data()), message.size()) == 1;
  };
  EXPECT_TRUE(verifies(text));
  EXPECT_FALSE(verifies(text + "x"));
}

TEST(AppTokenTest, WhatIsNoRsaKeyIsRefusedWithoutRepeatingIt) {
  for (const std::string& pem : {std::string("hunter7"), std::string(), Pem(NewKey(EVP_PKEY_ED25519))}) {
    EXPECT_THAT(AppJwt({"1", pem}, absl::Now()),
                FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("not an RSA private key")));
  }
}

TEST(TokenSourceTest, AStaticTokenStaysWhatItIsAndIsNotGivenAgainOnceRefused) {
  const auto token = StaticToken("token file a", "val" "ue");
  EXPECT_EQ(*token->Value(absl::Now(), false), "value");
  EXPECT_EQ(*token->Value(absl::Now() + absl::Hours(10'000), false), "value");
  EXPECT_THAT(token->Value(absl::Now(), true), FailsWith(absl::StatusCode::kPermissionDenied, "token file a was refused"));
}

TEST(TokenSourceTest, ATokenFileIsItsFirstLineAndNobodyElsesToRead) {
  using std::filesystem::perms;
  const TempDir dir;
  const std::string file = dir.path() / "token";
  const auto read = [&](std::string_view content, perms mode = perms::owner_read | perms::owner_write) {
    WriteFile(file, content);
    std::filesystem::permissions(file, mode);
    return ReadTokenFile(file);
  };
  EXPECT_EQ(*read("abc \t\r\nsecond\n"), "abc");
  EXPECT_EQ(*read("abc"), "abc");
  for (const char* bad : {"", "\n", "two words\n", "\x01\x02\n", "caf\xc3\xa9\n"}) {
    EXPECT_THAT(read(bad), FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("not a token"))) << bad;
  }
  EXPECT_THAT(read("abc\n", perms::owner_read | perms::owner_write | perms::others_read),
              FailsWith(absl::StatusCode::kPermissionDenied, HasSubstr("chmod 600")));
  EXPECT_THAT(ReadTokenFile(dir.path() / "none"), FailsWith(absl::StatusCode::kNotFound, HasSubstr("none")));
}

}  // namespace
}  // namespace unsprawl
