// Features of a match: flags, place, name, preview, identity.
#include "engine/judge/examine.h"

#include "coordinator/example_text.h"
#include "engine/judge/text_shape.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

constexpr int64_t kNow = 1767225600;

Ruleset OneRule(const std::string& fields) {
  auto ruleset = Ruleset::Parse("[[rules]]\nid = 'one'\nregex = 'x'\n" + fields, "test.toml");
  EXPECT_THAT(ruleset, IsOk());
  return *std::move(ruleset);
}

// The features of `secret` at its first place in `content`, with a match of itself.
MatchFeatures Of(const Ruleset& ruleset, std::string_view content, std::string_view secret) {
  const size_t at = content.find(secret);
  EXPECT_NE(at, std::string_view::npos);
  const RawMatch match{0, at, at + secret.size(), at, at + secret.size()};
  return Examine(ruleset, {&match, 1}, content, SecretKey{}, kNow).front();
}

uint32_t GenericFlags(std::string_view content, std::string_view secret) {
  static const Ruleset ruleset = OneRule("class = 'C'");
  return Of(ruleset, content, secret).flags;
}

std::string NameOf(std::string_view content, std::string_view secret) {
  return IdentifierBefore(content, content.find(secret));
}

TEST(Examine, LinesAndColumnsCountFromOneInBytes) {
  const Ruleset ruleset = OneRule("");
  const MatchFeatures first = Of(ruleset, "abc", "abc");
  EXPECT_EQ(first.start_line, 1u);
  EXPECT_EQ(first.start_column, 1u);
  EXPECT_EQ(first.end_line, 1u);
  EXPECT_EQ(first.end_column, 4u);
  const MatchFeatures later = Of(ruleset, "\xc3\xa4\r\n\n  k=V1\nV2\n", "V1\nV2");
  EXPECT_EQ(later.start_line, 3u);
  EXPECT_EQ(later.start_column, 5u);
  EXPECT_EQ(later.end_line, 4u);
  EXPECT_EQ(later.end_column, 3u);
}

TEST(Examine, LinesAgreeWithCountingWhereverAsked) {
  std::string content;
  for (int i = 0; i < 9000; ++i) content += std::string(static_cast<size_t>(i * 7 % 23), 'x') + "\n";
  content += std::string(50000, 'y');  // one long line over several blocks
  Lines lines(content);
  for (const size_t at : {content.size(), size_t{0}, size_t{70000}, size_t{16384}, size_t{16383}, size_t{40000},
                          content.size() - 1, content.size() - 20000}) {
    uint32_t line = 1, column = 1;
    for (size_t i = 0; i < at; ++i) {
      line += content[i] == '\n' ? 1 : 0;
      column = content[i] == '\n' ? 1 : column + 1;
    }
    EXPECT_EQ(lines.At(at).line, line) << at;
    EXPECT_EQ(lines.At(at).column, column) << at;
  }
}

TEST(Examine, TheNameLeftOfAValueIsFound) {
  EXPECT_EQ(NameOf("password = \"V123\"", "V123"), "password");
  EXPECT_EQ(NameOf("  \"db_password\": \"V123\",", "V123"), "db_password");
  EXPECT_EQ(NameOf("export API_KEY=V123", "V123"), "API_KEY");
  EXPECT_EQ(NameOf("const token: string = 'V123';", "V123"), "token");
  EXPECT_EQ(NameOf("client.setPassword(\"V123\")", "V123"), "client.setPassword");
  EXPECT_EQ(NameOf("conf['secret'] = 'V123'", "V123"), "secret");
  EXPECT_EQ(NameOf("<password>V123</password>", "V123"), "password");
  EXPECT_EQ(NameOf("Authorization: Bearer V123", "V123"), "Authorization");
  EXPECT_EQ(NameOf("url = https://user:V123@host/", "V123"), "url");
  EXPECT_EQ(NameOf("curl 'https://host/?x=1&api_key=V123'", "V123"), "api_key");
  EXPECT_EQ(NameOf("run --db-password V123", "V123"), "db-password");
  EXPECT_EQ(NameOf("password\n= \"V123\"", "V123"), "") << "another line";
  EXPECT_EQ(NameOf("V123", "V123"), "");
  EXPECT_EQ(NameOf("see V123", "V123"), "");
}

TEST(Examine, AValueNeverPassesForANeighboursName) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const std::string other = *ExpandExample("{b62:24}", seed);
    EXPECT_EQ(NameOf(other + ": V123", "V123"), "") << other;
    EXPECT_EQ(NameOf(*ExpandExample("{awskey:AKIA}", seed) + "=V123", "V123"), "");
  }
}

TEST(Examine, ValuesThatAreNoneAreFlagged) {
  for (const char* value : {"changeme", "xxxxxxxx", "<your-token>", "example-key", "your_api_key_here", "foobar",
                            "password123", "12345678", "1234", "abc-123456", "mysql123456", "********", "test", "REDACTED"}) {
    EXPECT_TRUE(GenericFlags(std::string("password = '") + value + "'", value) & kPlaceholder) << value;
  }
  for (const char* value : {"${DB_PASSWORD}", "$PASSWORD", "{{ password }}", "%(password)s", "process.env.TOKEN",
                            "os.environ['X']", "getenv('X')", "settings.PASSWORD", "get_secret()", "None", "null",
                            "true", "#{ENV}", "arn:aws:secretsmanager:x", "/run/secrets/token", "DB_PASSWORD",
                            "https://auth.acme.org/x", "%DB_PASSWORD%", "Config::kPassword", "$DIR/pw.txt", "opts.AwsID",
                            "^1.0.2", ">=2.3-beta", "1.0.*", "localhost:2022", "text/plain", "urn:oasis:names", "iso-8859-1",
                            "AAAAB3NzaC1kc3MAAACBAOeBpgNnfRzr"}) {
    EXPECT_TRUE(GenericFlags(std::string("k = '") + value + "'", value) & kReference) << value;
  }
  for (const char* value : {"correctHorse", "user_name", "Bitte warten", "authentication-required"}) {
    EXPECT_TRUE(GenericFlags(std::string("k = '") + value + "'", value) & kWordLike) << value;
  }
  EXPECT_FALSE(GenericFlags("password = 'wombatia123456'", "wombatia123456") & kPlaceholder) << "more than a sequence";
  for (const char* name : {"token_prefix", "token_regex", "PWD_FILE", "existing_secret", "Passwd.htm"}) {
    EXPECT_TRUE(GenericFlags(std::string(name) + " = 'kd83hdu3'", "kd83hdu3") & kOtherName) << name;
  }
  for (const char* value : {"p455w0rd", "my$3cret!", "rootpwd", "seeekrit"}) {
    EXPECT_TRUE(GenericFlags(std::string("k = '") + value + "'", value) & kPlaceholder) << value;
  }
  EXPECT_FALSE(GenericFlags("k = 'testqmit3okrgutcoyzscveipor3toi3nsmb927v'", "testqmit3okrgutcoyzscveipor3toi3nsmb927v") & kPlaceholder)
      << "four letters of many are chance";
  EXPECT_TRUE(GenericFlags("password_scheme = 'SHA512-CRYPT'", "SHA512-CRYPT") & kReference);
  EXPECT_TRUE(GenericFlags("encrypted_token = 'kd83hdu3'", "kd83hdu3") & kOtherName);
  EXPECT_FALSE(GenericFlags("unencrypted_token = 'kd83hdu3'", "kd83hdu3") & kOtherName);
  EXPECT_FALSE(Of(OneRule("class = 'C'\nprefixes = ['kd']"), "encrypted_token = 'kd83hdu3'", "kd83hdu3").flags & kOtherName);
  const std::string digest = *ExpandExample("{hex:40}", 1);
  EXPECT_TRUE(GenericFlags("commit = '" + digest + "'", digest) & kDigestLike);
  EXPECT_FALSE(GenericFlags("api_key = '" + digest + "'", digest) & kDigestLike);
}

TEST(Examine, DrawnValuesAreFlaggedRarely) {
  // Of what generators draw, some reads as words by chance: few, and none refers or holds a place.
  int words = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    const std::string value = *ExpandExample("{b62:16}", seed);
    const uint32_t flags = GenericFlags("api_key = '" + value + "'", value);
    words += (flags & kWordLike) != 0 ? 1 : 0;
    EXPECT_FALSE(flags & (kReference | kDigestLike | kKnownExample)) << value;
    const std::string password = *ExpandExample("{pw}", seed);
    EXPECT_EQ(GenericFlags("api_key = '" + password + "'", password) & (kReference | kWordLike), 0u) << password;
  }
  EXPECT_LE(words, 8);
}

TEST(Examine, PublishedExamplesAreKnown) {
  const std::string aws = std::string("AKIA") + "IOSFODNN7EXAMPLE";
  EXPECT_TRUE(GenericFlags("id = " + aws, aws) & kKnownExample);
  const std::string stripe = std::string("sk_test_") + "4eC39HqLyjWDarjtT1zdp7dc";
  EXPECT_TRUE(GenericFlags("key = " + stripe, stripe) & kKnownExample);
}

TEST(Examine, ClassAIsNotJudgedByWords) {
  const Ruleset ruleset = OneRule("class = 'A'\nprefixes = ['acme_']");
  const MatchFeatures features = Of(ruleset, "t = acme_getTheTestToken", "acme_getTheTestToken");
  EXPECT_FALSE(features.flags & (kWordLike | kPlaceholder));
  EXPECT_EQ(features.preview, "acme_");
  EXPECT_TRUE(Of(ruleset, "acme_xxxxxxxxxxxx", "acme_xxxxxxxxxxxx").flags & kPlaceholder);
}

TEST(Examine, BytesThatAreNoTextAreJudgedByStructureAloneWhereADistinctiveRuleLooksForThem) {
  const Ruleset distinctive = OneRule("class = 'A'");
  EXPECT_TRUE(Of(distinctive, "k=<a\xf0\x9f>", "<a\xf0\x9f>").flags & kPlaceholder);
  const std::string key("<a\x01\xf0\x9f\x11\xb2>");
  EXPECT_EQ(Of(distinctive, "k=" + key, key).flags, 0U);
  const std::string token = "b03f5f7f11d50a3a\x1fKeywords\x01";
  EXPECT_TRUE(GenericFlags("PublicKeyToken=" + token, token) & kOtherName);
}

TEST(Examine, TheIdDependsOnKeyAndValueOnly) {
  const Ruleset one = OneRule("class = 'A'"), other = OneRule("class = 'C'\nentropy = 3");
  EXPECT_EQ(Of(one, "a = V123", "V123").secret, Of(other, "\n\n'V123'", "V123").secret);
  EXPECT_NE(Of(one, "a = V123", "V123").secret, Of(one, "a = V124", "V124").secret);
  const RawMatch match{0, 0, 4, 0, 4};
  SecretKey key;
  key.bytes[0] = 1;
  EXPECT_NE(Examine(one, {&match, 1}, "V123", key, kNow).front().secret, Of(one, "V123", "V123").secret);
}

TEST(Examine, AKeyBlockIsOneSecretHoweverItIsWritten) {
  const std::string plain = *ExpandExample("{pem:rsa}", 1);
  std::string indented = "    " + plain, escaped, literal = "\"";
  for (size_t at = indented.find('\n'); at != std::string::npos; at = indented.find('\n', at + 1)) {
    indented.insert(at + 1, "    ");
  }
  for (const char c : plain) {
    escaped += c == '\n' ? "\\n" : std::string(1, c);
    literal += c == '\n' ? "\\n\" +\r\n  \"" : std::string(1, c);
  }
  const Rule rule;
  EXPECT_EQ(NormaliseValue(rule, plain), NormaliseValue(rule, indented));
  EXPECT_EQ(NormaliseValue(rule, plain), NormaliseValue(rule, escaped));
  EXPECT_EQ(NormaliseValue(rule, plain), NormaliseValue(rule, literal));
  EXPECT_EQ(NormaliseValue(rule, " a b "), " a b ") << "other values stay as they are";
}

TEST(Examine, AllowlistsOfValuesAreFlagged) {
  const auto flags = [](const std::string& list, std::string_view content) {
    return Of(OneRule("[[rules.allowlists]]\n" + list), content, "VALUE12").flags & kAllowlisted;
  };
  EXPECT_TRUE(flags("regexes = ['^VAL']", "k = VALUE12"));
  EXPECT_FALSE(flags("regexes = ['^ALU']", "k = VALUE12"));
  EXPECT_TRUE(flags("stopwords = ['value']", "k = VALUE12"));
  EXPECT_TRUE(flags("regexTarget = 'line'\nregexes = ['^k =']", "x\nk = VALUE12\ny"));
  EXPECT_FALSE(flags("regexTarget = 'line'\nregexes = ['^y']", "x\nk = VALUE12\ny"));
  EXPECT_FALSE(flags("condition = 'AND'\nregexes = ['^VAL']\nstopwords = ['zzz']", "k = VALUE12"));
  EXPECT_TRUE(flags("condition = 'AND'\nregexes = ['^VAL']\nstopwords = ['lue']", "k = VALUE12"));
  EXPECT_FALSE(flags("paths = ['x']", "k = VALUE12"));
}

// Against looking into the lines of each match.
TEST(Examine, WhoseLinesAskForItIsAllowed) {
  const Ruleset rules = OneRule("class = 'C'");
  const std::string content =
      "a V1 gitleaks:allow V2\nb V3\nunsprawl:allow\nc V4 otherks:allow\n\nd V5 # gitleaks:allowed\ne V6\nf V7 unsprawl:allow";
  std::vector<RawMatch> matches;
  for (uint64_t start = 0; start < content.size(); ++start) {
    for (const uint64_t bytes : {1, 9, 30}) matches.push_back({0, start, std::min(start + bytes, content.size()), start, start + 1, {}});
  }
  const std::vector<MatchFeatures> features = Examine(rules, matches, content, SecretKey{}, kNow);
  Lines lines(content);
  for (size_t i = 0; i < matches.size(); ++i) {
    const std::string_view around = lines.Around(matches[i].start, matches[i].end);
    const bool asked = around.find("gitleaks:allow") != std::string_view::npos || around.find("unsprawl:allow") != std::string_view::npos;
    EXPECT_EQ((features[i].flags & kInlineAllowed) != 0, asked) << matches[i].start << " " << matches[i].end;
  }
}

TEST(TextShape, SomePasswordsArePickedByPeople) {
  for (const char* value : {"sommer2019", "Tr0ub4dor&3", "Wombat!7", "pas4word", "Osprey-ines_91"}) EXPECT_TRUE(IsChosen(value)) << value;
  for (const char* value : {"sha256", "user_name", "server02", "us-east-1", "base64encode", "ab1", "two words1", "a/path/to22"}) {
    EXPECT_FALSE(IsChosen(value)) << value;
  }
}

TEST(TextShape, ShortAndJoinedWordsAreWords) {
  for (const char* value : {"meter", "planet", "us-east-1", "user_session_2019", "max-retries-2"}) EXPECT_TRUE(IsWordLike(value)) << value;
  for (const char* value : {"kkhthc", "bzqvkd", "dtmmqxo", "a1-b2c3d4"}) EXPECT_FALSE(IsWordLike(value)) << value;
}

// A plain word is a password where it is given to what is named for one, and a word anywhere else.
TEST(Examine, APlainWordIsAPasswordOnlyWhereItIsAssigned) {
  const Ruleset rules = OneRule("class = 'C'\nkind = 'password'");
  const auto flags = [&rules](std::string_view content) {
    const size_t at = content.find("citrus");
    const RawMatch match{0, 0, content.size(), at, at + 11, {}};
    return Examine(rules, {&match, 1}, content, SecretKey{}, 0).front().flags & (kPlainWord | kWordLike);
  };
  EXPECT_EQ(flags("password = \"citrusblend\""), kPlainWord);
  EXPECT_EQ(flags("password: \"citrusblend\""), kPlainWord);
  EXPECT_EQ(flags("password == \"citrusblend\""), kWordLike);
  EXPECT_EQ(flags("(\"password\", \"citrusblend\""), kWordLike);
  EXPECT_EQ(flags("title = \"citrusblend\""), kWordLike);
}

// Random letters are no name, though they are joined like one, and what stands in an address for a password is one.
TEST(Examine, DrawnLettersArePasswordsWhereTheyAreAssigned) {
  const Ruleset rules = OneRule("class = 'C'\nkind = 'password'");
  const auto flags = [&rules](std::string_view content, std::string_view value) {
    const size_t at = content.find(value);
    const RawMatch match{0, 0, content.size(), at, at + value.size(), {}};
    return Examine(rules, {&match, 1}, content, SecretKey{}, 0).front().flags & (kPlainWord | kWordLike);
  };
  EXPECT_EQ(flags("MYSQL_PASSWORD: bblvafkuy_hlcz", "bblvafkuy_hlcz"), 0U);
  EXPECT_EQ(flags("MYSQL_PASSWORD: the_user_password", "the_user_password"), kWordLike);
  EXPECT_EQ(flags("title: bblvafkuy_hlcz", "bblvafkuy_hlcz"), kWordLike);
  EXPECT_EQ(flags("password = citrusblend", "citrusblend"), kWordLike) << "rather a variable";
  EXPECT_EQ(flags("http://ann:citrusblend@", "citrusblend"), kPlainWord);
}

TEST(TextShape, EntropyIsShannons) {
  EXPECT_EQ(Entropy(""), 0);
  EXPECT_EQ(Entropy("aaaa"), 0);
  EXPECT_DOUBLE_EQ(Entropy("abcd"), 2);
  EXPECT_DOUBLE_EQ(Entropy("aabb"), 1);
}

// A list of installed files has a digest for each, beside the names of whatever they are of.
TEST(Examine, WhatIsCalledADigestIsNoKey) {
  const Ruleset rules = Ruleset::Builtin().value();
  const auto detector = Detector::Create(rules, {}, {}).value();
  BlobScanner scanner(*detector);
  const std::string text = "pas/cyberark-conjur/README.md,sha256=" + ExpandExample("{b64url:43}", 3).value() + ",512\n";
  BlobMatches matches;
  scanner.ScanFull(text, &matches);
  ASSERT_FALSE(matches.matches.empty());
  const std::vector<MatchFeatures> features = Examine(rules, matches.matches, text, SecretKey{}, 0);
  for (size_t i = 0; i < features.size(); ++i) {
    const Rule& rule = rules.rules()[matches.matches[i].rule];
    EXPECT_TRUE(features[i].flags & kDigestLike) << rule.id;
    EXPECT_LT(Judge(rules, rule, features[i].flags, features[i].entropy, {}).confidence, 0.5);
  }
}

}  // namespace
}  // namespace unsprawl
