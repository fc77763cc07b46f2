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
  const EncodedPlaces places(encoded, Embedding::kBase64);
  for (uint64_t begin = 0; begin < text.size(); ++begin) {
    for (uint64_t end = begin + 1; end <= text.size(); ++end) {
      const EncodedRange range = places.From(begin, end);
      // Whole groups around it decode to something that holds it.
      const uint64_t first = range.begin / 4 * 4, last = std::min<uint64_t>((range.end + 3) / 4 * 4, encoded.size());
      const std::string part = DecodeEmbedded(std::string_view(encoded).substr(first, last - first), Embedding::kBase64);
      EXPECT_NE(part.find(text.substr(begin, end - begin)), std::string::npos) << begin << " " << end;
    }
  }
}

// Base64 in lines of `width`, as `head` + line + `tail`.
std::string Wrapped(std::string_view bytes, size_t width, std::string_view head = "", std::string_view tail = "\n") {
  const std::string encoded = Base64(bytes);
  std::string text;
  for (size_t at = 0; at < encoded.size(); at += width) {
    text += head;
    text += encoded.substr(at, width);
    text += tail;
  }
  return text;
}

constexpr std::string_view kLongText =
    "user = ann, and what else there is to say of her: that she\nwrote this text, \"quoted\" and 100% plain & simple,\n"
    "so that it is longer than two lines of what it is encoded in, whichever width they have.\n";

TEST(FindWrapped, GoesOnOverLinesOfAnyLayout) {
  struct Layout {
    std::string_view head, tail;
  };
  for (const Layout& layout : {Layout{"", "\n"}, {"", "\r\n"}, {"    ", "\n"}, {"  \"", "\" +\n"}, {"\t'", "',\n"}, {"# ", "\n"},
                               {"  . \"", "\"\n"}, {"", "\\\n"}, {" * ", "\n"}, {"\"", "\\n\"\n"}}) {
    for (const size_t width : {40u, 41u, 42u, 43u, 64u, 76u}) {
      const std::string text = "before\n" + Wrapped(kLongText, width, layout.head, layout.tail) + "behind it\n";
      std::vector<uint64_t> starts;
      for (auto at = FindEmbedded(text, 0); at; at = FindEmbedded(text, at->end)) {
        EXPECT_EQ(at->embedding, Embedding::kBase64Lines);
        starts.push_back(at->start);
      }
      ASSERT_FALSE(starts.empty());
      size_t lines = 0;
      const EmbeddedText found = FindWrapped(text, starts, &lines);
      EXPECT_EQ(found.decoded, kLongText) << text;
      EXPECT_EQ(lines, starts.size());
      EXPECT_EQ(DecodeEmbedded(std::string_view(text).substr(found.start, found.end - found.start), found.embedding), kLongText);
    }
  }
}

// The way back: what a part is decoded to is what it is said to be decoded to.
TEST(EncodedPlaces, APartIsDecodedToItsBytes) {
  const std::string text(kLongText);
  std::string escaped;
  for (size_t i = 0; i < text.size(); ++i) {
    static constexpr std::string_view kForms[] = {"%7e", "\\u20ac", "\\\"", "&amp;", "&#233;", "\"", "\\x41"};
    escaped += i % 3 == 0 ? std::string(kForms[i % 7]) : std::string(1, text[i]);
  }
  struct Case {
    std::string encoded;
    Embedding embedding;
  };
  for (const Case& one : {Case{Base64(text), Embedding::kBase64}, {Base64(text, false), Embedding::kBase64Lines},
                          {Wrapped(text, 41, "  \"", "\" +\n"), Embedding::kBase64Lines}, {Hex(text), Embedding::kHex},
                          {Wrapped(text, 64, "// "), Embedding::kBase64Lines}, {escaped, Embedding::kEscapes}}) {
    const size_t skip = one.encoded.find_first_not_of(" \"/");  // it begins with the first run
    const std::string_view encoded = one.embedding == Embedding::kBase64Lines ? std::string_view(one.encoded).substr(skip) : one.encoded;
    const EncodedPlaces places(encoded, one.embedding);
    const std::string decoded = DecodeEmbedded(encoded, one.embedding);
    ASSERT_GE(decoded.size(), text.size());
    for (uint64_t begin = 0; begin < decoded.size(); ++begin) {
      for (uint64_t end = begin + 1; end <= decoded.size(); end += 1 + (end - begin) / 4) {
        const EncodedPlaces::Part part = places.Around(begin, end);
        const EncodedRange range = places.From(begin, end);
        ASSERT_LE(part.begin, range.begin);
        ASSERT_LT(range.begin, range.end);
        ASSERT_LE(range.end, part.end);
        ASSERT_LE(part.end, encoded.size());
        ASSERT_LE(part.decoded_begin, begin);
        const std::string again = DecodeEmbedded(encoded.substr(part.begin, part.end - part.begin), one.embedding);
        ASSERT_LE(end - part.decoded_begin, again.size());
        ASSERT_EQ(again.substr(begin - part.decoded_begin, end - begin), decoded.substr(begin, end - begin));
      }
    }
  }
}

struct Found {
  std::string rule;
  SecretId secret;
  uint32_t line = 0, column = 0;
  std::string identifier;
  bool embedded = false;
};

class EmbeddedScan : public testing::Test {
 protected:
  static const Ruleset& Rules() {
    static const Ruleset* const ruleset = new Ruleset(Ruleset::Builtin().value());
    return *ruleset;
  }
  static BlobScanner& Scanner() {
    static const Detector* const detector = Detector::Create(Rules(), {}, {}).value().release();
    static BlobScanner* const scanner = new BlobScanner(*detector);
    return *scanner;
  }

  // What would be reported, by place.
  std::vector<Found> Find(std::string_view content) {
    BlobMatches matches;
    Scanner().ScanFull(content, &matches);
    const std::vector<MatchFeatures> all = Examine(Rules(), matches.matches, content, SecretKey{}, 0);
    std::vector<Found> found;
    for (size_t i = 0; i < all.size(); ++i) {
      const RawMatch& match = matches.matches[i];
      const MatchFeatures& features = all[i];
      const Rule& rule = Rules().rules()[match.rule];
      const Verdict verdict = Judge(Rules(), rule, features.flags, features.entropy, {});
      if (!verdict.report || verdict.confidence < 0.5) continue;
      found.push_back({rule.id, features.secret, features.start_line, features.start_column, features.identifier,
                       match.inner.embedding != Embedding::kNone});
    }
    return found;
  }
  // The id of the one secret in a text.
  SecretId IdIn(std::string_view content) {
    const std::vector<Found> found = Find(content);
    EXPECT_FALSE(found.empty()) << content;
    return found.empty() ? SecretId{} : found[0].secret;
  }
  // The rules that find this secret, sorted: one that finds it twice is there twice.
  std::vector<std::string> RulesThatFind(std::string_view content, const SecretId& secret) {
    std::vector<std::string> rules;
    for (const Found& one : Find(content)) {
      if (one.secret == secret) rules.push_back(one.rule);
    }
    std::sort(rules.begin(), rules.end());
    return rules;
  }

  const std::string token_ = ExpandExample("{crc62:ghp_,30}", 5).value();
  const std::string password_ = ExpandExample("{pw}", 5).value();
  const std::string file_ = "machine: web1 and a longer line before it\nGITHUB_TOKEN=" + token_ + "\nlevel: info, and so on\n";
};

// The same secret, whether it is written out or encoded: it has one id.
TEST_F(EmbeddedScan, FindsWhatIsInItUnderTheSameId) {
  const SecretId id = IdIn("token: " + token_ + "\n");
  for (const std::string& encoded : {Base64(file_), Base64(file_, false, true), Hex(file_)}) {
    EXPECT_FALSE(RulesThatFind("data:\n  config: " + encoded + "\n", id).empty()) << encoded;
    EXPECT_FALSE(RulesThatFind("data: {\"config\": \"" + encoded + "\", \"x\": 1}\n", id).empty()) << encoded;
  }
}

TEST_F(EmbeddedScan, FindsWhatIsEncodedThreeTimes) {
  const SecretId id = IdIn("token: " + token_ + "\n");
  const std::string json = "{\"config\": \"" + Base64(file_) + "\", \"x\": 1}";
  std::string percent = "q=";
  for (const char c : file_) percent += c == '=' ? "%3D" : c == '\n' ? "%0A" : std::string(1, c);
  for (const std::string& twice : {Base64(json), Hex(json), Base64(Hex(file_)), Base64(percent), Hex(Base64(file_)), Base64(Wrapped(file_, 76))}) {
    EXPECT_FALSE(RulesThatFind("x: " + twice + "\n", id).empty()) << twice;
    EXPECT_FALSE(RulesThatFind("x: " + Base64("<" + twice + ">") + "\n", id).empty()) << twice;
    const std::vector<Found> found = Find("one\ntwo " + Base64("<" + twice + ">") + " x\n");
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found[0].line, 2u);
  }
  const std::string fourth = Base64(Base64(Base64(Base64(file_))));
  EXPECT_TRUE(RulesThatFind("x: " + fourth + "\n", id).empty()) << "it has an end";
}

// What is cut by the line's end, whatever the layout; and once.
TEST_F(EmbeddedScan, FindsWhatIsWrapped) {
  const SecretId id = IdIn("token: " + token_ + "\n");
  const std::vector<std::string> once = RulesThatFind("x: \"" + Base64(file_) + "\"\n", id);
  ASSERT_FALSE(once.empty());
  for (const size_t width : {40u, 41u, 64u, 76u}) {
    EXPECT_EQ(RulesThatFind("data: |\n" + Wrapped(file_, width, "  "), id), once) << width;
    EXPECT_EQ(RulesThatFind("data =\n" + Wrapped(file_, width, "  \"", "\" +\n") + ";\n", id), once) << width;
    EXPECT_EQ(RulesThatFind("{\"data\": \"" + Wrapped(file_, width, "", "\\n") + "\"}\n", id), once) << width;
    EXPECT_EQ(RulesThatFind("data = " + Wrapped(file_, width), id), once) << width;
  }
  // Lines that are texts of their own.
  const std::string list = "- " + Base64("GITHUB_TOKEN=" + token_ + "\n\n") + "\n";
  EXPECT_EQ(RulesThatFind(list + list + list, id).size() % 3, 0u);
  EXPECT_EQ(RulesThatFind("- " + Base64("a list whose first line is no secret.....") + "\n" + list, id), RulesThatFind(list, id));
}

TEST_F(EmbeddedScan, AKeyBlockIsNoWrappedText) {
  const std::string key = ExpandExample("{pem:rsa}", 5).value();
  ASSERT_FALSE(Find(key).empty());
  for (const Found& found : Find(key)) EXPECT_FALSE(found.embedded);
  EXPECT_EQ(Find(Wrapped(key, 76)).size(), 1u);
}

TEST_F(EmbeddedScan, AnAddressHidesNothing) {
  const SecretId id = IdIn("password = \"p@ss:w0rd-9Kx\"\n");
  for (const std::string_view line : {"https://user:p%40ss%3Aw0rd-9Kx@db.acme.io/x\n", "https://db.acme.io/?user=ann&password=p%40ss%3Aw0rd-9Kx&x=1\n",
                                      "go=https%3A%2F%2Fdb.acme.io%2F%3Fuser%3Dann%26password%3Dp%2540ss%253Aw0rd-9Kx%26x%3D1\n"}) {
    EXPECT_FALSE(RulesThatFind(line, id).empty()) << line;
    for (const Found& found : Find(line)) EXPECT_EQ(found.secret, id) << line << found.rule;
  }
}

TEST_F(EmbeddedScan, QuotesThatAreEscapedHideNothing) {
  const SecretId id = IdIn("password = \"" + password_ + "\"\n");
  for (const std::string& line :
       {"\"{\\\"password\\\":\\\"" + password_ + "\\\"}\"\n", "x = \"{\\\"body\\\": \\\"{\\\\\\\"password\\\\\\\": \\\\\\\"" + password_ + "\\\\\\\"}\\\"}\";\n",
       "<a data-x=\"{&quot;password&quot;:&quot;" + password_ + "&quot;}\">\n", "<a data-x=\"{&#34;password&#34;: &#x22;" + password_ + "&#34;}\">\n",
       "{\"env\": \"USER=ann\\nDB_PASSWORD=" + password_ + "\\nX=1\"}\n", "echo \"password = \\\"" + password_ + "\\\"\"\n",
       "&lt;password&gt;" + password_ + "&lt;/password&gt;\n", "{\"url\": \"https:\\/\\/ann:" + password_ + "@db.acme.io\\/x\"}\n"}) {
    const std::vector<std::string> rules = RulesThatFind(line, id);
    EXPECT_FALSE(rules.empty()) << line;
    EXPECT_EQ(std::adjacent_find(rules.begin(), rules.end()), rules.end()) << "twice: " << line;
    for (const Found& found : Find(line)) EXPECT_EQ(found.secret, id) << line << found.rule;
  }
}

TEST_F(EmbeddedScan, LettersThatAreEscapedHideNothing) {
  const SecretId id = IdIn("token: " + token_ + "\n");
  for (const std::string& line : {"x = \"\\u0067hp_" + token_.substr(4) + "\"\n", "x = \"\\x67\\x68\\x70_" + token_.substr(4) + "\"\n",
                                  "<b>&#103;hp_" + token_.substr(4) + "</b>\n", "x = \"ghp\\u005f" + token_.substr(4) + "\"\n"}) {
    EXPECT_FALSE(RulesThatFind(line, id).empty()) << line;
  }
}

TEST_F(EmbeddedScan, ANotebooksCellsAreRead) {
  const SecretId id = IdIn("password = \"" + password_ + "\"\n");
  const std::string notebook = "{\n \"cells\": [{\"cell_type\": \"code\",\n   \"source\": [\n    \"import os\\n\",\n    \"password = \\\"" +
                               password_ + "\\\"\\n\",\n    \"print(1)\"\n   ]}]}\n";
  bool seen = false;
  for (const Found& found : Find(notebook)) {
    EXPECT_EQ(found.secret, id);
    EXPECT_EQ(found.line, 5u);
    EXPECT_EQ(found.column, 19u);
    EXPECT_EQ(found.identifier, "password");
    seen = true;
  }
  EXPECT_TRUE(seen);
}

// However a text is made: what is decoded of it is a multiple of it, and what is scanned, too.
// Wherever a text ends, in the midst of an escape or of a run, it is scanned.
TEST_F(EmbeddedScan, ATextMayEndAnywhere) {
  const std::string text =
      "password=%41%3D%2 \\x41\\x42\\x \\u0041\\u00 key\\\": \\\"v\\\" a\\nb=1 :\\/\\/ &quot;:&#x41;&#65;&amp;x=1&lt;/ " +
      Base64("password = \"x\" and more of it, for two lines of it") + "=\n" + Base64("what goes on in a line of its own, and ends");
  BlobMatches matches;
  for (size_t begin = 0; begin < text.size(); ++begin) {
    Scanner().ScanFull(std::string_view(text).substr(begin), &matches);
    Scanner().ScanFull(std::string_view(text).substr(0, begin), &matches);
  }
}

TEST_F(EmbeddedScan, HostileTextsCostNoMoreThanTheirSizeAllows) {
  std::string nested = file_;
  while (nested.size() < 1 << 18) nested = Base64(nested + nested);
  std::string escapes, mixed, quotes;
  for (int i = 0; i < 100'000; ++i) escapes += i % 8 == 0 ? "%3a" : "%41";
  while (mixed.size() < 1 << 18) mixed += "%3a" + Base64("\\\":%3a" + Base64("a%3Ab \\u0041=1 in it")) + "\\\": ";
  while (quotes.size() < 1 << 18) quotes += "\\\\\\\\\\\\\":\\n&amp;&quot;=%25253a";
  const std::string lines = Wrapped(Wrapped(std::string(1 << 18, 'a'), 76), 76);
  std::string secrets = "x: \"";
  while (secrets.size() < 1 << 18) secrets += "\\\"password\\\":\\\"" + password_ + "\\\",";
  for (const std::string& text : {nested, "x: " + nested + " y", escapes, mixed, quotes, lines, secrets, Base64(secrets)}) {
    BlobMatches matches;
    const uint64_t before = Scanner().stats().bytes_scanned;
    Scanner().ScanFull(text, &matches);
    EXPECT_LT(Scanner().stats().bytes_scanned - before, 40 * text.size()) << text.substr(0, 80);
    EXPECT_EQ(Examine(Rules(), matches.matches, text, SecretKey{}, 0).size(), matches.matches.size());
  }
}

TEST_F(EmbeddedScan, FindsKeysOfSeveralLines) {
  const std::string key = ExpandExample("{pem:rsa}", 5).value();
  const std::vector<Found> found = Find("tls.key: " + Base64(key) + "\n");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].rule, "private-key-rsa");
}

}  // namespace
}  // namespace unsprawl
