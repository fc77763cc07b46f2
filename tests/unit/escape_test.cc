#include "engine/base/escape.h"

#include <gtest/gtest.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "coordinator/report/json_writer.h"
#include "coordinator/report/report.h"

namespace unsprawl {
namespace {

// Random bytes that often come close to being UTF-8.
std::string AlmostText(std::mt19937& random) {
  static const std::string_view kPieces[] = {
      "a",  "\\",  "\"", "<",  "&",  "\n", "\x1b[31m", "\x7f", "\x80", "\xC3", "\xC3\xA9", "\xE2\x80\xAE",
      "\xE2\x80", "\xED\xA0\x80", "\xF0\x9F\x98\x80", "\xF4\x90\x80\x80", "\xC0\x80", "\xE3\x81\x82",
      "\xF3\xA0\x81\x81", "\xEF\xBB\xBF", "\xFF"};
  std::string text;
  for (int i = std::uniform_int_distribution<int>(0, 12)(random); i > 0; --i) {
    if (random() % 4 == 0) {
      text.push_back(static_cast<char>(random()));
    } else {
      text += kPieces[random() % std::size(kPieces)];
    }
  }
  return text;
}

bool HasInvisible(std::string_view text) {
  for (; !text.empty(); text.remove_prefix(DecodeFront(text).bytes)) {
    if (IsInvisible(DecodeFront(text).value)) return true;
  }
  return false;
}

TEST(EscapeTest, PrintableTextIsUnchanged) {
  for (const char* text : {"", "src/main.cc:12", "Zoë Müller <z@x>", "日本語", "emoji 😀", "back\\slash"}) {
    EXPECT_EQ(EscapeForTerminal(text), text);
  }
}

TEST(EscapeTest, WhatATerminalWouldActUponIsSpelledOut) {
  EXPECT_EQ(EscapeForTerminal("\x1b[2J\x07"), "\\x1b[2J\\x07");
  EXPECT_EQ(EscapeForTerminal("a\nb\tc\r"), "a\\x0ab\\x09c\\x0d");
  EXPECT_EQ(EscapeForTerminal(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(EscapeForTerminal("\x7f"), "\\x7f");
  EXPECT_EQ(EscapeForTerminal("\xC2\x9B" "31m"), "\\u{9b}31m");     // C1: CSI in one code point
  EXPECT_EQ(EscapeForTerminal("\x9B" "31m"), "\\x9b31m");           // the same as a raw byte
  EXPECT_EQ(EscapeForTerminal("a\xE2\x80\xAE" "b"), "a\\u{202e}b");  // right-to-left override
  EXPECT_EQ(EscapeForTerminal("a\xE2\x81\xA6" "b"), "a\\u{2066}b");  // isolate
  EXPECT_EQ(EscapeForTerminal("a\xE2\x80\x8B" "b"), "a\\u{200b}b");  // zero-width space
  EXPECT_EQ(EscapeForTerminal("\xF3\xA0\x81\x81"), "\\u{e0041}");    // a tag character
}

TEST(EscapeTest, EachByteOfBrokenUtf8IsSpelledOut) {
  EXPECT_EQ(EscapeForTerminal("\xC3"), "\\xc3");
  EXPECT_EQ(EscapeForTerminal("\xC3("), "\\xc3(");
  EXPECT_EQ(EscapeForTerminal("\xC0\xAF"), "\\xc0\\xaf");                  // overlong '/'
  EXPECT_EQ(EscapeForTerminal("\xED\xA0\x80"), "\\xed\\xa0\\x80");         // a surrogate
  EXPECT_EQ(EscapeForTerminal("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
  EXPECT_EQ(EscapeForTerminal("\xF0\x9F\x98"), "\\xf0\\x9f\\x98");         // cut off
}

TEST(EscapeTest, AnyBytesBecomeValidVisibleTextAndStayThatWay) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::string safe = EscapeForTerminal(AlmostText(random));
    ASSERT_TRUE(IsValidUtf8(safe)) << safe;
    ASSERT_FALSE(HasInvisible(safe)) << safe;
    ASSERT_EQ(EscapeForTerminal(safe), safe);
  }
}

TEST(EscapeTest, HtmlHoldsNoMarkupOfAStranger) {
  EXPECT_EQ(EscapeForHtml("<b a=\"'&\">"), "&lt;b a=&quot;&#39;&amp;&quot;&gt;");
  std::mt19937 random(2);
  for (int i = 0; i < 20000; ++i) {
    ASSERT_EQ(EscapeForHtml(AlmostText(random)).find_first_of("<>\"'"), std::string::npos);
  }
}

TEST(EscapeTest, JsonStringsReadBackAsTheTextWithBrokenBytesReplaced) {
  std::mt19937 random(3);
  for (int i = 0; i < 20000; ++i) {
    const std::string text = AlmostText(random);
    std::string expected;
    for (std::string_view rest = text; !rest.empty();) {
      const CodePoint point = DecodeFront(rest);
      expected += point.valid ? std::string(rest.substr(0, point.bytes)) : "\xEF\xBF\xBD";
      rest.remove_prefix(point.bytes);
    }
    std::string json = "\"";
    AppendJsonEscaped(text, &json);
    json += '"';
    ASSERT_FALSE(HasInvisible(json)) << json;
    const nlohmann::json parsed = nlohmann::json::parse(json, nullptr, false);
    ASSERT_TRUE(parsed.is_string()) << json;
    ASSERT_EQ(parsed.get<std::string>(), expected);
  }
}

TEST(EscapeTest, BytesThatAreNotUtf8CanBeTakenFromTheirHexMember) {
  std::string row;
  JsonWriter json(JsonWriter::Style::kOneLine, &row);
  json.BeginObject();
  json.Bytes("path", "caf\xE9.env");
  json.Bytes("author", "café");
  json.EndObject();
  EXPECT_EQ(row, "{\"path\":\"caf\xEF\xBF\xBD.env\",\"path_hex\":\"636166e92e656e76\",\"author\":\"café\"}");
}

TEST(EscapeTest, ShortenedTextFitsAndKeepsBothEnds) {
  EXPECT_EQ(ShortenMiddle("abcdefghij", 10), "abcdefghij");
  EXPECT_EQ(ShortenMiddle("abcdefghijk", 10), "abcde…hijk");
  EXPECT_EQ(ShortenEnd("abcdefghijk", 10), "abcdefghi…");
  EXPECT_EQ(DisplayColumns("日本"), 4u);
  std::mt19937 random(4);
  for (int i = 0; i < 20000; ++i) {
    const std::string text = EscapeForTerminal(AlmostText(random));
    const size_t columns = 3 + random() % 20;
    for (const std::string& cut : {ShortenMiddle(text, columns), ShortenEnd(text, columns)}) {
      ASSERT_TRUE(IsValidUtf8(cut));
      ASSERT_LE(DisplayColumns(cut), columns);
      if (DisplayColumns(text) <= columns) {
        ASSERT_EQ(cut, text);
      }
    }
  }
}

TEST(EscapeTest, TimesAgreeWithTheSystem) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 20000; ++i) {
    const int64_t seconds =
        std::uniform_int_distribution<int64_t>(-62167219200, 253402300799)(random);
    const time_t time = static_cast<time_t>(seconds);
    std::tm parts;
    gmtime_r(&time, &parts);
    char expected[40];
    std::snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02dZ", parts.tm_year + 1900,
                  parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
    ASSERT_EQ(FormatUtc(seconds), expected);
  }
  EXPECT_EQ(FormatUtc(-62167219201), "");
  EXPECT_EQ(FormatUtc(253402300800), "");
  EXPECT_EQ(FormatUtc(INT64_MIN), "");
  EXPECT_EQ(FormatDay(INT64_MAX), "unknown");
  EXPECT_EQ(FormatUtcMicros(-1), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(FormatUtcMicros(1'700'000'000'000'123), "2023-11-14T22:13:20.000123Z");
}

TEST(EscapeTest, NumbersReadWell) {
  EXPECT_EQ(WithThousands(0), "0");
  EXPECT_EQ(WithThousands(999), "999");
  EXPECT_EQ(WithThousands(1000), "1,000");
  EXPECT_EQ(WithThousands(18446744073709551615u), "18,446,744,073,709,551,615");
  EXPECT_EQ(HumanBytes(999), "999 bytes");
  EXPECT_EQ(HumanBytes(1000), "1 kB");
  EXPECT_EQ(HumanBytes(999'499), "999 kB");
  EXPECT_EQ(HumanBytes(999'949), "1.0 MB");
  EXPECT_EQ(HumanBytes(5'600'000'000), "5.6 GB");
  EXPECT_EQ(HumanBytes(18446744073709551615u), "18.4 EB");
}

}  // namespace
}  // namespace unsprawl
