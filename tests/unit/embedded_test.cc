// Texts that stand encoded in a line: base64 and hexadecimal digits.
#include "engine/match/embedded.h"

#include <gmock/gmock.h>

#include <random>

#include "coordinator/example_text.h"
#include "engine/judge/examine.h"
#include "engine/judge/judge.h"
#include "engine/match/detector.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string Base64(std::string_view bytes, bool pad = true, bool url = false) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; ++j) bits = bits << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (size_t j = 0; j <= count; ++j) {
      const char c = kAlphabet[(bits >> (18 - 6 * j)) & 63];
      text.push_back(url && c == '+' ? '-' : url && c == '/' ? '_' : c);
    }
    if (pad) text.append(3 - count, '=');
  }
  return text;
}

std::string Hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    text.push_back("0123456789abcdef"[static_cast<unsigned char>(c) >> 4]);
    text.push_back("0123456789abcdef"[static_cast<unsigned char>(c) & 15]);
  }
  return text;
}

TEST(FindEmbedded, FindsReadableTextWhereverItStands) {
  const std::string text = "user = ann, and what else there is to say";
  for (const std::string& encoded : {Base64(text), Base64(text, false), Base64(text, false, true), Hex(text)}) {
    for (size_t before = 0; before < 70; ++before) {
      const std::string line = std::string(before, ' ') + "x: \"" + encoded + "\", y";
      const auto found = FindEmbedded(line, 0);
      ASSERT_TRUE(found.has_value()) << line;
      EXPECT_EQ(found->decoded, text);
      EXPECT_EQ(line.substr(found->start, found->end - found->start), encoded);
      EXPECT_EQ(DecodeEmbedded(encoded, found->embedding), text);
      EXPECT_FALSE(FindEmbedded(line, found->end).has_value());
    }
  }
}

TEST(FindEmbedded, LeavesAloneWhatIsNoText) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    std::string bytes(24 + random() % 60, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    EXPECT_FALSE(FindEmbedded(Base64(bytes), 0).has_value());
    EXPECT_FALSE(FindEmbedded(Hex(bytes), 0).has_value());
  }
  EXPECT_FALSE(FindEmbedded("", 0).has_value());
  EXPECT_FALSE(FindEmbedded(Base64("short text"), 0).has_value());
  EXPECT_FALSE(FindEmbedded("an_identifier_that_is_quite_long_and_has_no_end_at_all_to_it", 0).has_value());
}

TEST(EncodedFrom, CoversTheCharactersThatTheBytesComeFrom) {
  const std::string text = "0123456789abcdefghijklmnop";
  const std::string encoded = Base64(text);
  for (uint64_t begin = 0; begin < text.size(); ++begin) {
    for (uint64_t end = begin + 1; end <= text.size(); ++end) {
      const EncodedRange range = EncodedFrom(begin, end, Embedding::kBase64);
      // Whole groups around it decode to something that holds it.
      const uint64_t first = range.begin / 4 * 4, last = std::min<uint64_t>((range.end + 3) / 4 * 4, encoded.size());
      const std::string part = DecodeEmbedded(std::string_view(encoded).substr(first, last - first), Embedding::kBase64);
      EXPECT_NE(part.find(text.substr(begin, end - begin)), std::string::npos) << begin << " " << end;
    }
  }
}

class EmbeddedScan : public testing::Test {
 protected:
  // Ids of rules that report something, and the secrets' fingerprints.
  std::vector<std::pair<std::string, SecretId>> Find(std::string_view content) {
    static const Ruleset* const ruleset = new Ruleset(Ruleset::Builtin().value());
    static const Detector* const detector = Detector::Create(*ruleset, {}, {}).value().release();
    BlobScanner scanner(*detector);
    BlobMatches matches;
    scanner.ScanFull(content, &matches);
    const std::vector<MatchFeatures> all = Examine(*ruleset, matches.matches, content, SecretKey{}, 0);
    std::vector<std::pair<std::string, SecretId>> found;
    for (size_t i = 0; i < all.size(); ++i) {
      const Rule& rule = ruleset->rules()[matches.matches[i].rule];
      const MatchFeatures& features = all[i];
      const Verdict verdict = Judge(*ruleset, rule, features.flags, features.entropy, {});
      if (verdict.report && verdict.confidence >= 0.5) found.emplace_back(rule.id, features.secret);
    }
    return found;
  }
};

// The same secret, whether it is written out or encoded: it has one id.
TEST_F(EmbeddedScan, FindsWhatIsInItUnderTheSameId) {
  const std::string token = ExpandExample("{crc62:ghp_,30}", 5).value();
  const auto plain = Find("token: " + token + "\n");
  ASSERT_FALSE(plain.empty());
  const std::string file = "machine: web1\nGITHUB_TOKEN=" + token + "\nlevel: info\n";
  for (const std::string& encoded : {Base64(file), Base64(file, false, true), Hex(file)}) {
    const auto found = Find("data:\n  config: " + encoded + "\n");
    ASSERT_FALSE(found.empty()) << encoded;
    EXPECT_THAT(found, testing::Contains(plain[0]));
  }
}

TEST_F(EmbeddedScan, FindsKeysOfSeveralLines) {
  const std::string key = ExpandExample("{pem:rsa}", 5).value();
  EXPECT_THAT(Find("tls.key: " + Base64(key) + "\n"),
              testing::Contains(testing::Pair("private-key-rsa", testing::_)));
}

}  // namespace
}  // namespace unsprawl
