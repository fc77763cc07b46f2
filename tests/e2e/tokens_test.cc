// Tokens at the stand-in forge: spread, parked, renewed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/forges/app_token.h"
#include "coordinator/forges/forge.h"
#include "tests/support/cli.h"
#include "tests/support/forge_server.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr char kPage[] = "/orgs/acme/repos";

class TokensTest : public testing::Test {
 protected:
  // "reader-a" is known as "a".
  static json Token(const std::string& name, json more = json::object()) {
    more["value"] = "reader-" + name;
    return more;
  }
  static json Settings(const json& tokens) {
    return {{"repositories", {{{"id", 1}, {"owner", "acme"}, {"name", "app"}}}}, {"tokens", tokens}};
  }
  static ApiOptions Options(const ForgeServer& forge) {
    ApiOptions options;
    options.network.ca_file = forge.CaFile();
    options.first_pause = absl::Milliseconds(10);
    return options;
  }
  static ApiClient Client(const ForgeServer& forge, const std::vector<std::string>& names) {
    std::vector<std::unique_ptr<TokenSource>> tokens;
    for (const std::string& name : names) tokens.push_back(StaticToken("token " + name, "reader-" + name));
    return ApiClient(forge.ApiUrl(), std::move(tokens), GitHub().Authorize(), Options(forge));
  }
  static void Ask(ApiClient& client, int times) {
    for (int i = 0; i < times; ++i) ASSERT_THAT(client.Get(kPage), IsOk());
  }
};

TEST_F(TokensTest, RequestsAreSpreadOverAllTokens) {
  const ForgeServer forge(Settings({{"a", Token("a")}, {"b", Token("b")}, {"c", Token("c")}}));
  ApiClient client = Client(forge, {"a", "b", "c"});
  Ask(client, 30);
  EXPECT_EQ(forge.Counters()["tokens"]["api"], json({{"a", 10}, {"b", 10}, {"c", 10}}));
  std::set<std::string> first;
  for (int i = 0; i < 3; ++i) first.insert(client.GitTokens()->front());
  EXPECT_THAT(first, UnorderedElementsAre("reader-a", "reader-b", "reader-c"));
}

TEST_F(TokensTest, OneThatIsUsedUpRestsUntilItsResetWhileTheOthersGoOn) {
  const auto limit = [](int requests) -> json { return {{"rate_limit", {{"limit", requests}, {"window_seconds", 4}}}}; };
  const ForgeServer forge(Settings({{"a", Token("a", limit(1))}, {"b", Token("b", limit(10))}}));
  ApiClient client = Client(forge, {"a", "b"});
  const absl::Time start = absl::Now();
  Ask(client, 11);
  EXPECT_EQ(forge.Counters()["tokens"]["api"], json({{"a", 1}, {"b", 10}}));
  // Now both have to rest; then both are asked again.
  Ask(client, 2);
  EXPECT_GE(absl::Now() - start, absl::Seconds(3));
  int asked = 13;  // Which of them is ready first is a matter of milliseconds.
  for (; asked < 40 && forge.Counters()["tokens"]["api"]["a"] < 2; ++asked) Ask(client, 1);
  EXPECT_GE(forge.Counters()["tokens"]["api"]["a"], 2);
  EXPECT_EQ(forge.Counters()["statuses"], json({{"200", asked}}));  // Neither was asked once too often.
}

TEST_F(TokensTest, OneThatIsRefusedIsParkedAndTheOthersGoOn) {
  // Not known to the forge: 401. Hidden by single sign-on: 403.
  const ForgeServer forge(Settings({{"a", Token("a")}, {"c", Token("c", {{"sso_hidden", "required"}})}}));
  ApiClient client = Client(forge, {"b", "c", "a"});
  Ask(client, 10);
  const json counters = forge.Counters();
  EXPECT_EQ(counters["tokens"]["api"], json({{"a", 10}, {"c", 1}, {"unknown", 1}}));
  EXPECT_EQ(*client.GitTokens(), std::vector<std::string>{"reader-a"});
}

TEST_F(TokensTest, WhenAllAreRefusedTheErrorNamesThemAndNotTheirValues) {
  const ForgeServer forge(Settings(json::object()));
  ApiClient client = Client(forge, {"a", "b"});
  const auto response = client.Get(kPage);
  EXPECT_THAT(response, FailsWith(absl::StatusCode::kPermissionDenied, HasSubstr("token a")));
  EXPECT_THAT(response, FailsWith(absl::StatusCode::kPermissionDenied, HasSubstr("token b")));
  EXPECT_THAT(response, FailsWith(absl::StatusCode::kPermissionDenied, Not(HasSubstr("reader-"))));
  EXPECT_THAT(client.GitTokens(), FailsWith(absl::StatusCode::kPermissionDenied, HasSubstr("every token")));
}

TEST_F(TokensTest, WhatIsForbiddenToAllParksNone) {
  const ForgeServer forge(Settings({{"a", Token("a")}, {"b", Token("b")}}));
  ApiClient client = Client(forge, {"a", "b"});
  forge.Fault({{"match", "activity"}, {"times", nullptr}, {"kind", "status"}, {"status", 403}});
  EXPECT_THAT(client.Get("/repos/acme/app/activity"), FailsWith(absl::StatusCode::kPermissionDenied, HasSubstr("403")));
  Ask(client, 4);
  EXPECT_EQ(forge.Counters()["tokens"]["api"], json({{"a", 2}, {"b", 2}, {"none", 2}}));  // "none": faults
  EXPECT_THAT(*client.GitTokens(), SizeIs(2));
}

TEST_F(TokensTest, OneThatMayNotSeeOneThingIsStillAskedForOthers) {
  const ForgeServer forge(Settings({{"a", Token("a")}, {"b", Token("b")}}));
  ApiClient client = Client(forge, {"a", "b"});
  forge.Fault({{"match", "/orgs/acme/members"}, {"kind", "status"}, {"status", 403}});
  EXPECT_THAT(client.Get("/orgs/acme/members"), IsOk());  // with the other
  EXPECT_THAT(*client.GitTokens(), SizeIs(2));
  Ask(client, 4);
  EXPECT_GE(forge.Counters()["tokens"]["api"]["a"], 2);
  EXPECT_GE(forge.Counters()["tokens"]["api"]["b"], 2);
}

TEST_F(TokensTest, AnIpAllowListParksWhomItKeepsOut) {
  const ForgeServer forge(Settings({{"a", Token("a")}, {"b", Token("b")}}));
  ApiClient client = Client(forge, {"a", "b"});
  forge.Fault({{"match", "/orgs/acme/repos"}, {"kind", "status"}, {"status", 403},
               {"body", {{"message", "The organization has an IP allow list enabled, and your IP address is not permitted"}}}});
  Ask(client, 3);
  EXPECT_THAT(*client.GitTokens(), SizeIs(1));
}

TEST_F(TokensTest, WhatGraphQlSaysIsNoWordOnATokenOrItsRest) {
  const ForgeServer forge(Settings({{"a", Token("a")}}));
  ApiClient client = Client(forge, {"a"});
  const std::string graphql = forge.Url() + "/api/graphql";
  // A gateway that lets nobody through.
  forge.Fault({{"match", "/api/graphql"}, {"kind", "status"}, {"status", 401}});
  EXPECT_THAT(client.TryPost(graphql, "{}"), FailsWith(absl::StatusCode::kPermissionDenied, HasSubstr("401")));
  // Its own limit, of an hour.
  forge.Fault({{"match", "/api/graphql"}, {"kind", "status"}, {"status", 403},
               {"headers", {{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Resource", "graphql"},
                            {"X-RateLimit-Reset", std::to_string(absl::ToUnixSeconds(absl::Now()) + 36000)}}},
               {"body", {{"message", "API rate limit exceeded"}}}});
  EXPECT_THAT(client.TryPost(graphql, "{}"), FailsWith(absl::StatusCode::kResourceExhausted, HasSubstr("403")));
  Ask(client, 2);
  EXPECT_THAT(*client.GitTokens(), SizeIs(1));
}

TEST_F(TokensTest, ClientsOfARunShareWhatATokenMayAsk) {
  const json limit = {{"rate_limit", {{"limit", 2}, {"window_seconds", 36000}}}};
  const ForgeServer forge(Settings({{"a", Token("a", limit)}}));
  ApiOptions options = Options(forge);
  options.budgets = std::make_shared<TokenBudgets>();
  const auto client = [&](const char* name) {
    std::vector<std::unique_ptr<TokenSource>> tokens;
    tokens.push_back(StaticToken(name, "reader-a"));
    return ApiClient(forge.ApiUrl(), std::move(tokens), GitHub().Authorize(), options);
  };
  ApiClient one = client("GITHUB_TOKEN"), other = client("token file x");
  Ask(one, 2);
  EXPECT_THAT(other.Get(kPage), FailsWith(absl::StatusCode::kResourceExhausted, HasSubstr("rate limit")));
  EXPECT_EQ(forge.Counters()["requests"]["api"], 2);  // The other knew without asking.
}

TEST_F(TokensTest, ARepositorysFormerNameLeadsToIt) {
  const ForgeServer forge(Settings({{"a", Token("a")}}));
  ApiClient client = Client(forge, {"a"});
  forge.ChangeRepository({{"id", 1}, {"owner", "other"}, {"name", "new"}});
  const auto response = client.Get("/repos/acme/app");
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(json::parse(response->body)["full_name"], "other/new");
  EXPECT_EQ(forge.Counters()["statuses"]["301"], 1);
}

class InstallationTest : public TokensTest {
 protected:
  InstallationTest() {
    settings_ = Settings(json::object());
    settings_["app"] = {{"id", 5}, {"public_pem", MakeAppKey(folder_.path() / "app.pem")}};
    settings_["installations"] = {{{"id", 77}, {"account", "acme"}}, {{"id", 78}, {"account", "acme"}, {"suspended", true}}};
  }
  std::unique_ptr<TokenSource> Source(const ForgeServer& forge, const std::string& id,
                                      const std::atomic<bool>* no_wait = nullptr) const {
    std::vector<std::unique_ptr<TokenSource>> app;
    app.push_back(AppToken({"5", ReadFile(folder_.path() / "app.pem")}));
    ApiOptions options = Options(forge);
    options.no_wait = no_wait;
    return InstallationToken(id, std::make_unique<ApiClient>(forge.ApiUrl(), std::move(app), GitHub().Authorize(),
                                                             options));
  }
  TempDir folder_;
  json settings_;
};

TEST_F(InstallationTest, ATokenIsRenewedAfterThreeQuartersOfItsHourOrWhenItIsRefused) {
  const ForgeServer forge(settings_);
  const auto source = Source(forge, "77");
  const absl::Time now = absl::Now();
  const auto first = source->Value(now, false);
  ASSERT_THAT(first, IsOk());
  EXPECT_LT(absl::AbsDuration(source->expires() - now - absl::Hours(1)), absl::Seconds(5));
  EXPECT_EQ(*source->Value(now + absl::Minutes(44), false), *first);
  const std::string second = *source->Value(now + absl::Minutes(46), false);
  EXPECT_NE(second, *first);
  EXPECT_NE(*source->Value(now + absl::Minutes(46), true), second);
  EXPECT_EQ(forge.Counters()["requests"]["api"], 3);
}

TEST_F(InstallationTest, OneThatEndsAfterAServersFaultIsStillRenewed) {
  const ForgeServer forge(settings_);
  std::vector<std::unique_ptr<TokenSource>> tokens;
  tokens.push_back(Source(forge, "77"));
  ApiClient client(forge.ApiUrl(), std::move(tokens), GitHub().Authorize(), Options(forge));
  const json fault = {{"match", "/installation/repositories"}, {"kind", "status"}};
  json first = fault, second = fault;
  first["status"] = 500;
  second["status"] = 401;
  forge.Set({{"faults", {first, second}}});
  EXPECT_THAT(client.Get("/installation/repositories"), IsOk());
  EXPECT_EQ(forge.Counters()["templates"]["POST /api/v3/app/installations/{id}/access_tokens"], 2);
  EXPECT_THAT(client.GitTokens(), IsOk());
}

TEST_F(InstallationTest, HoweverManyRepositoriesGitIsRefusedTheTokenIsRenewedOnce) {
  const ForgeServer forge(settings_);
  std::vector<std::unique_ptr<TokenSource>> tokens;
  tokens.push_back(Source(forge, "77"));
  ApiClient client(forge.ApiUrl(), std::move(tokens), GitHub().Authorize(), Options(forge));
  const std::vector<std::string> first = *client.GitTokens();
  for (int i = 0; i < 20; ++i) EXPECT_THAT(client.RenewGitTokens(), IsOk());
  EXPECT_NE(*client.GitTokens(), first);
  EXPECT_EQ(forge.Counters()["templates"]["POST /api/v3/app/installations/{id}/access_tokens"], 2);
}

TEST_F(InstallationTest, PassingFaultsOfATokenRequestAreGotOver) {
  const ForgeServer forge(settings_);
  for (const json& fault : std::vector<json>{{{"match", "access_tokens"}, {"kind", "status"}, {"status", 500}, {"times", 2}},
                                             {{"match", "access_tokens"}, {"kind", "secondary"}, {"seconds", 1}},
                                             {{"match", "access_tokens"}, {"kind", "cut"}, {"bytes", 10}}}) {
    forge.Fault(fault);
    EXPECT_THAT(Source(forge, "77")->Value(absl::Now(), false), IsOk()) << fault;
    EXPECT_GE(forge.Counters()["faults"], 1);
  }
}

TEST_F(InstallationTest, WhereNobodyMayWaitATokenThatIsStillGoodOutlivesALimit) {
  const ForgeServer forge(settings_);
  std::atomic<bool> no_wait = true;
  const auto source = Source(forge, "77", &no_wait);
  const absl::Time now = absl::Now();
  const std::string first = *source->Value(now, false);
  forge.Fault({{"match", "access_tokens"}, {"kind", "primary"}, {"seconds", 3}});
  EXPECT_EQ(*source->Value(now + absl::Minutes(46), false), first);
  EXPECT_EQ(source->ValueFor("1", now + absl::Minutes(59))->value, first);
  // It is not, or was refused.
  EXPECT_THAT(source->Value(now + absl::Minutes(61), false),
              FailsWith(absl::StatusCode::kDeadlineExceeded, HasSubstr("rate limit ends only in")));
  EXPECT_THAT(source->Value(now, true), FailsWith(absl::StatusCode::kDeadlineExceeded, HasSubstr("rate limit")));
  no_wait = false;
  EXPECT_NE(*source->Value(now + absl::Minutes(61), false), first);
  EXPECT_EQ(forge.Counters()["faults"], 1);
}

TEST_F(TokensTest, WhereNobodyMayWaitALimitThatIsTooLongIsStillAnAnswer) {
  const ForgeServer forge(Settings({{"a", Token("a")}}));
  const std::atomic<bool> no_wait = true;
  ApiOptions options = Options(forge);
  options.no_wait = &no_wait;
  options.max_limit_wait = absl::Minutes(5);
  const auto client = [&] {
    std::vector<std::unique_ptr<TokenSource>> tokens;
    tokens.push_back(StaticToken("token a", "reader-a"));
    return ApiClient(forge.ApiUrl(), std::move(tokens), GitHub().Authorize(), options);
  };
  forge.Fault({{"match", kPage}, {"kind", "primary"}, {"seconds", 200}});
  EXPECT_THAT(client().Get(kPage), FailsWith(absl::StatusCode::kDeadlineExceeded, HasSubstr("rate limit")));
  forge.Fault({{"match", kPage}, {"kind", "primary"}, {"seconds", 400}});
  EXPECT_THAT(client().Get(kPage), FailsWith(absl::StatusCode::kResourceExhausted, HasSubstr("rate limit")));
  forge.Fault({{"match", kPage}, {"kind", "secondary"}, {"seconds", 0}});
  EXPECT_THAT(client().Get(kPage), IsOk());
}

TEST_F(InstallationTest, WhatIsGivenAwayIsForOneRepositoryAndReadsOnly) {
  settings_["repositories"] = {{{"id", 1}, {"owner", "acme"}, {"name", "app"}, {"private", true}},
                               {{"id", 2}, {"owner", "acme"}, {"name", "other"}, {"private", true}}};
  settings_["installations"][0]["permissions"] = {{"contents", "write"}, {"metadata", "read"}, {"members", "read"}};
  settings_["app"]["rate_limit"] = 5;
  const ForgeServer forge(settings_);
  const auto source = Source(forge, "77");
  const absl::Time now = absl::Now();
  const auto sees = [&](const std::string& token, const std::string& repository) {
    std::vector<std::unique_ptr<TokenSource>> tokens;
    tokens.push_back(StaticToken("given away", token));
    ApiClient client(forge.ApiUrl(), std::move(tokens), GitHub().Authorize(), Options(forge));
    return client.Get("/repos/acme/" + repository).ok();
  };
  const std::string whole = *source->Value(now, false);
  EXPECT_TRUE(sees(whole, "app") && sees(whole, "other"));
  const std::string one = source->ValueFor("1", now)->value, wiki = source->ValueFor("2.wiki", now)->value;
  EXPECT_TRUE(sees(one, "app") && sees(wiki, "other"));
  EXPECT_FALSE(sees(one, "other") || sees(wiki, "app"));
  const auto another = source->ValueFor("1", now);  // Another lease, another token.
  ASSERT_THAT(another, IsOk());
  EXPECT_NE(another->value, one);
  EXPECT_THAT(another->scoped, IsOk());
  const auto expect_whole = [&](const std::string& repository, absl::StatusCode why, const char* words) {
    const auto given = source->ValueFor(repository, now);
    ASSERT_THAT(given, IsOk());
    EXPECT_EQ(given->value, whole);
    EXPECT_THAT(given->scoped, FailsWith(why, HasSubstr(words)));
  };
  // What is not the installation's to give, and what is no number.
  expect_whole("99", absl::StatusCode::kFailedPrecondition, "not accessible to the parent installation");
  expect_whole("a1", absl::StatusCode::kFailedPrecondition, "a1");
  // The App's budget is used up: nobody waits for it.
  expect_whole("1", absl::StatusCode::kResourceExhausted, "rate limit");
  EXPECT_EQ(forge.Counters()["templates"]["POST /api/v3/app/installations/{id}/access_tokens"], 5);
}

TEST_F(InstallationTest, WhatNoTokenIsGivenForIsRefusedInClearWords) {
  const ForgeServer forge(settings_);
  for (const auto& [id, words] : {std::pair("78", "suspended"), std::pair("79", "404"), std::pair("../77", "404")}) {
    const auto value = Source(forge, id)->Value(absl::Now(), false);
    EXPECT_THAT(value, FailsWith(absl::StatusCode::kPermissionDenied, HasSubstr(words)));
    EXPECT_THAT(value, FailsWith(absl::StatusCode::kPermissionDenied,
                                 HasSubstr(absl::StrFormat("a token for installation %s", id))));
  }
  forge.Fault({{"match", "access_tokens"}, {"times", nullptr}, {"kind", "status"}, {"status", 500}});
  EXPECT_THAT(Source(forge, "77")->Value(absl::Now(), false), FailsWith(absl::StatusCode::kUnavailable, HasSubstr("500")));
  forge.Fault({{"match", "access_tokens"}, {"kind", "status"}, {"status", 201}, {"body", {{"token", 5}}}});
  EXPECT_THAT(Source(forge, "77")->Value(absl::Now(), false),
              FailsWith(absl::StatusCode::kUnavailable, HasSubstr("an answer without one")));
}

}  // namespace
}  // namespace unsprawl
