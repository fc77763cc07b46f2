#include "worker/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(HttpClientTest, AnAddressThatIsTooLongIsAnErrorAndNothingMore) {
  HttpClient http({}, nullptr);
  for (const size_t bytes : {size_t{100} << 10, size_t{9} << 20}) {  // libcurl takes 8 MB
    HttpRequest request;
    request.url = "http://127.0.0.1:1/?cursor=" + std::string(bytes, 'x');
    const auto response = http.Send(request);
    EXPECT_THAT(response, FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("http://127.0.0.1:1")));
    EXPECT_LT(response.status().message().size(), 100u);
  }
}

TEST(HttpClientTest, AProxyIsNamedWithoutItsPassword) {
  for (const char* address : {"http://someone:pass-word@proxy.example.com:3128", "someone:pass/word@proxy.example.com:3128",
                              "http://someone:pass@word/word@proxy.example.com:3128/path"}) {
    setenv("https_proxy", address, 1);
    const std::string hint = NetworkHint("https://example.com/", "the proxy refused");
    EXPECT_THAT(hint, HasSubstr("the proxy is proxy.example.com:3128, by https_proxy"));
    EXPECT_THAT(hint, Not(HasSubstr("word")));
  }
  unsetenv("https_proxy");
}

}  // namespace
}  // namespace unsprawl
