#include "engine/judge/structure.h"

#include <string>

#include "coordinator/example_text.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

constexpr int64_t kNow = 1767225600;  // 1 January 2026

Check Verify(std::string_view name, std::string_view secret, std::string_view match = "") {
  const StructureFunction function = FindStructure(name);
  EXPECT_NE(function, nullptr) << std::string(name);
  return function == nullptr ? Check::kNone : function(secret, match.empty() ? secret : match, kNow);
}

std::string Made(std::string_view text, uint64_t seed = 0) { return *ExpandExample(text, seed); }

TEST(Structure, Base64DecodesAsTheStandardSays) {
  // RFC 4648, section 10.
  EXPECT_EQ(DecodeBase64(""), "");
  EXPECT_EQ(DecodeBase64("Zg=="), "f");
  EXPECT_EQ(DecodeBase64("Zm8="), "fo");
  EXPECT_EQ(DecodeBase64("Zm8"), "fo");
  EXPECT_EQ(DecodeBase64("Zm9vYmFy"), "foobar");
  EXPECT_EQ(DecodeBase64("_-8"), DecodeBase64("/+8="));
  EXPECT_EQ(DecodeBase64("Z"), std::nullopt);
  EXPECT_EQ(DecodeBase64("Zg==="), std::nullopt);
  EXPECT_EQ(DecodeBase64("Zm9v="), std::nullopt);
  EXPECT_EQ(DecodeBase64("Zm 9v"), std::nullopt);
}

TEST(Structure, AJwtIsReadAndItsExpiryCompared) {
  EXPECT_EQ(Verify("jwt", Made("{jwt}")), Check::kOk);
  EXPECT_EQ(Verify("jwt", Made("{jwt:expired}")), Check::kDead);
  EXPECT_EQ(Verify("jwt", "eyJhbGciOiJIUzI1NiJ9.bm90IGpzb24.c2ln"), Check::kBad);
  EXPECT_EQ(Verify("jwt", "eyJ.eyJ.x"), Check::kBad);
  EXPECT_EQ(Verify("jwt", "ghs_123_" + Made("{jwt}")), Check::kOk);
}

TEST(Structure, AnAwsKeyIdIsBase32AndHoldsAnAccount) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    EXPECT_EQ(Verify("aws-key-id", Made("{awskey:AKIA}", seed)), Check::kOk) << seed;
  }
  EXPECT_EQ(Verify("aws-key-id", "AKIA" "0123456789ABCDEF"), Check::kBad);   // 0, 1, 8, 9 are not base 32
  EXPECT_EQ(Verify("aws-key-id", "AKIA" "ABC"), Check::kBad);
  EXPECT_EQ(Verify("aws-key-id", "AKIA" "IOSFODNN7EXAMPLE"), Check::kNone);  // older than the layout
}

TEST(Structure, KeyBlocksParseInOutline) {
  for (const char* kind : {"rsa", "dsa", "ec", "openssh", "pkcs8", "encrypted"}) {
    EXPECT_EQ(Verify("pem", Made(std::string("{pem:") + kind + "}")), Check::kOk) << kind;
    EXPECT_EQ(Verify("pem", Made(std::string("{pemindent:") + kind + "}")), Check::kOk) << kind;
    EXPECT_EQ(Verify("pem", Made(std::string("{pemescaped:") + kind + "}")), Check::kOk) << kind;
    std::string cut = Made(std::string("{pem:") + kind + "}");
    cut.erase(200, 65);  // a line is missing: the stated length no longer fits
    const Check of_cut = Verify("pem", cut);
    EXPECT_EQ(of_cut == Check::kOk, std::string(kind) == "openssh") << kind;
  }
  EXPECT_EQ(Verify("pem", "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----"), Check::kBad);
}

// A whole body of a key's size that is no DER may yet be a key; a short one, or one that repeats itself, is none.
TEST(Structure, OfAKeyBlockThatSaysNothingNothingIsSaid) {
  const auto block = [](const std::string& body) {
    return "-----BEGIN RSA PRIVATE KEY-----\n" + body + "\n-----END RSA PRIVATE KEY-----";
  };
  EXPECT_EQ(Verify("pem", block(Made("{b64of:600}"))), Check::kNone);
  EXPECT_EQ(Verify("pem", block(Made("{b64of:60}"))), Check::kBad);
  EXPECT_EQ(Verify("pem", block(std::string(800, 'A'))), Check::kBad);
}

TEST(Structure, PasswordsAreMixedChosenOrNoWords) {
  for (const char* value : {"x7Gk2pQ", "sommer2019", "tr0ub4dor", "Wombat!7", "qzvkdhxq", "Osprey-ines_91"}) {
    EXPECT_NE(Verify("password", value), Check::kBad) << value;
  }
  for (const char* value : {"required", "connection", "user_name", "max-retries-2", "the", "Authorization"}) {
    EXPECT_EQ(Verify("password", value), Check::kBad) << value;
  }
}

TEST(Structure, KeysAreNoIdsAndNoNames) {
  for (const char* piece : {"{hex:32}", "{b64of:32}", "{b62:40}"}) EXPECT_EQ(Verify("key", Made(piece)), Check::kOk) << piece;
  EXPECT_EQ(Verify("key", Made("{uuid}")), Check::kBad);
  EXPECT_EQ(Verify("key", "heightOfGeoidAboveWGS84Units"), Check::kBad);
  EXPECT_EQ(Verify("key", "user_session_2019"), Check::kBad);
}

TEST(Structure, BytesAreCounted) {
  EXPECT_EQ(Verify("base64-32-bytes", Made("{b64of:32}")), Check::kOk);
  EXPECT_EQ(Verify("base64-32-bytes", Made("{b64of:31}")), Check::kBad);
  EXPECT_EQ(Verify("base64-64-bytes", Made("{b64of:64}")), Check::kOk);
  EXPECT_EQ(Verify("basic-auth", "dXNlcjpwYXNz"), Check::kOk);
  EXPECT_EQ(Verify("basic-auth", "dXNlcjo="), Check::kBad);  // "user:"
  EXPECT_EQ(Verify("discord", Made("{discord}")), Check::kOk);
  EXPECT_EQ(Verify("discord", "bm90LWRpZ2l0cy1hdC1hbGw.abcdef.x"), Check::kBad);
  EXPECT_EQ(Verify("uuid", Made("{uuid}")), Check::kOk);
  EXPECT_EQ(Verify("uuid", "00000000-0000-0000-0000-000000000000"), Check::kBad);
}

TEST(Structure, DatesOfExpiryAreCompared) {
  EXPECT_EQ(Verify("azure-sas", "x", "sv=2022-11-02&se=2026-01-02T00:00:00Z&sig=x"), Check::kOk);
  EXPECT_EQ(Verify("azure-sas", "x", "sv=2022-11-02&se=2025-12-30T00:00:00Z&sig=x"), Check::kDead);
  EXPECT_EQ(Verify("azure-sas", "x", "sv=2022-11-02&sig=x"), Check::kNone);
  EXPECT_EQ(Verify("aws-presigned", "x", "X-Amz-Date=20251231T000000Z&X-Amz-Expires=604800"), Check::kOk);
  EXPECT_EQ(Verify("aws-presigned", "x", "X-Amz-Date=20240229T000000Z&X-Amz-Expires=3600"), Check::kDead);
}

TEST(Structure, AnyBytesAreTaken) {
  for (const std::string_view name : StructureNames()) {
    for (const size_t length : {0, 1, 4, 19, 20, 36, 500}) {
      for (const char fill : {'\0', '\xff', '=', '.', '-', '\\'}) Verify(name, std::string(length, fill));
    }
    for (const std::string_view odd : {"-----BEGIN ", "-----BEGIN -----", "-----BEGIN A----------END ", "se=", "X-Amz-Date=",
                                       "X-Amz-Expires=X-Amz-Date=", "eyJ", "eyJ.", "\"exp\""}) {
      Verify(name, odd);
    }
  }
}

}  // namespace
}  // namespace unsprawl
