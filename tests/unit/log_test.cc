#include "worker/log.h"

#include <gtest/gtest.h>

namespace unsprawl {
namespace {

TEST(LogTest, AValueIsAWordOrStandsInQuotesThatItCannotEnd) {
  EXPECT_EQ(LogValue("github.com/acme/app-1"), "github.com/acme/app-1");
  EXPECT_EQ(LogValue("http://127.0.0.1:80/metrics"), "http://127.0.0.1:80/metrics");
  EXPECT_EQ(LogValue(""), "\"\"");
  EXPECT_EQ(LogValue("two words"), "\"two words\"");
  EXPECT_EQ(LogValue("a=b"), "\"a=b\"");
  EXPECT_EQ(LogValue("say \"x\""), "\"say \\\"x\\\"\"");
  EXPECT_EQ(LogValue("\\"), "\"\\\\\"");
  EXPECT_EQ(LogValue("a\nb"), "\"a\\\\x0ab\"");
  EXPECT_EQ(LogValue("\xff"), "\"\\\\xff\"");
  EXPECT_EQ(LogValue("ä"), "\"ä\"");
}

TEST(LogTest, NumbersAndTimesAreWords) {
  EXPECT_EQ(LogField("a", uint64_t{1} << 63).value, "9223372036854775808");
  EXPECT_EQ(LogField("a", -1).value, "-1");
  EXPECT_EQ(LogField("a", 1.23456).value, "1.235");
  EXPECT_EQ(LogField("a", absl::NotFoundError("no such thing")).value, "no such thing");
}

}  // namespace
}  // namespace unsprawl
