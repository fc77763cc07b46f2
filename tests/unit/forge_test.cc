// What tells one forge from another: addresses, and what is read out of answers.
#include "coordinator/forges/forge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/forges/listing.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

HttpResponse Answer(const std::string& url, const Json& body) {
  HttpResponse response;
  response.status = 200;
  response.url = url;
  response.body = body.dump();
  return response;
}

ForgeScope Scope(const std::string& text) { return *ParseForgeScope(text); }

TEST(ForgeTest, WebAddressesAreMadeFromTheApis) {
  struct Case {
    const char *forge, *api, *web, *gists;  // empty: it has none
  };
  for (const Case& one : std::initializer_list<Case>{
           {"github", "https://api.github.com", "https://github.com", "https://gist.github.com"},
           {"github", "https://api.octo.ghe.com", "https://octo.ghe.com", "https://gist.octo.ghe.com"},
           {"github", "https://git.example.com/api/v3", "https://git.example.com", "https://git.example.com"},
           {"github", "https://localhost:8443/api/v3", "https://localhost:8443", "https://localhost:8443"},
           {"gitlab", "https://gitlab.com/api/v4", "https://gitlab.com", "https://gitlab.com"},
           {"gitlab", "https://example.com/git/lab/api/v4", "https://example.com/git/lab", "https://example.com/git/lab"},
           {"bitbucket", "https://api.bitbucket.org/2.0", "https://bitbucket.org", "https://bitbucket.org"},
           {"bitbucket", "https://example.com/rest/api/1.0", "https://example.com/scm", ""},
           {"gitea", "https://example.com/api/v1", "https://example.com", ""},
           {"azure", "https://dev.azure.com", "https://dev.azure.com", ""}}) {
    const Forge& forge = ForgeNamed(one.forge, one.api);
    EXPECT_EQ(forge.WebUrl(one.api), one.web);
    const Forge* gists = forge.Gists(one.api);
    EXPECT_EQ(gists == nullptr ? "" : gists->WebUrl(one.api), one.gists) << one.api;
  }
}

TEST(ForgeTest, ClonePathsAreBuiltFromNamesAndWikisBesideThem) {
  struct Case {
    const Forge& forge;
    Json row;
    const char *id, *name, *path, *wiki;
  };
  const Json elsewhere = "https://evil.example.com/x.git";
  for (const Case& one : std::initializer_list<Case>{
           {GitHub(), {{"id", 7}, {"full_name", "a/b"}, {"clone_url", elsewhere}}, "7", "a/b", "a/b.git", "a/b.wiki.git"},
           {GitLab(), {{"id", 7}, {"path_with_namespace", "a/s/b"}, {"http_url_to_repo", elsewhere}}, "7", "a/s/b",
            "a/s/b.git", "a/s/b.wiki.git"},
           {BitbucketCloud(), {{"uuid", "{u}"}, {"full_name", "a/b"}, {"links", {{"clone", elsewhere}}}}, "{u}", "a/b",
            "a/b.git", "a/b.git/wiki"},
           {BitbucketDataCenter(), {{"id", 7}, {"slug", "b"}, {"project", {{"key", "A"}}}}, "7", "A/b", "A/b.git", ""},
           {Gitea(), {{"id", 7}, {"full_name", "a/b"}, {"clone_url", elsewhere}}, "7", "a/b", "a/b.git", "a/b.wiki.git"},
           {AzureDevOps(), {{"id", "u-1"}, {"name", "b c"}, {"project", {{"name", "p"}}}, {"remoteUrl", elsewhere}},
            "u-1", "a/p/b c", "a/p/_git/b%20c", ""}}) {
    const v1::ForgeRepository repository = one.forge.ParseRepository(Scope("azure:a"), one.row);
    EXPECT_EQ(repository.id(), one.id);
    EXPECT_EQ(repository.full_name(), one.name);
    EXPECT_EQ(repository.clone_path(), one.path);
    EXPECT_EQ(one.forge.WikiPath(repository), one.wiki);
    EXPECT_FALSE(repository.has_wiki());
  }
}

TEST(ForgeTest, ARepositoryIsAskedForByItsIdWhereThatIsPossible) {
  v1::ForgeRepository repository;
  repository.set_id("{u-1}");
  repository.set_full_name("a/p/b");
  EXPECT_EQ(BitbucketCloud().RepositoryPath(repository), "/repositories/%7B%7D/%7Bu-1%7D");
  EXPECT_EQ(AzureDevOps().RepositoryPath(repository), "/a/_apis/git/repositories/%7Bu-1%7D?api-version=7.0");
  repository.set_id("7");
  for (const Forge* forge : {&GitHub(), &Gitea()}) EXPECT_EQ(forge->RepositoryPath(repository), "/repositories/7");
  EXPECT_EQ(GitLab().RepositoryPath(repository), "/projects/7");
  repository.set_id("gist/7");
  EXPECT_EQ(GitHub().Gists("https://api.github.com")->RepositoryPath(repository), "/gists/7");
}

TEST(ForgeTest, GitTakesATokenAsItsForgeWantsIt) {
  EXPECT_EQ(GitHub().GitAuthorization("t"), "Basic eC1hY2Nlc3MtdG9rZW46dA==");  // x-access-token:t
  for (const Forge* forge : {&BitbucketCloud(), &BitbucketDataCenter()}) {
    EXPECT_EQ(forge->GitAuthorization("t"), "Basic eC10b2tlbi1hdXRoOnQ=");  // x-token-auth:t
    EXPECT_EQ(forge->GitAuthorization("u:p:q"), "Basic dTpwOnE=");          // u:p:q
  }
}

TEST(ForgeTest, GitLabSaysByLevelOrByFlagWhatAProjectHas) {
  const auto parsed = [](const Json& row) { return GitLab().ParseRepository({}, row); };
  EXPECT_TRUE(parsed({{"wiki_enabled", true}}).has_wiki());
  EXPECT_TRUE(parsed({{"wiki_access_level", "private"}}).has_wiki());
  EXPECT_FALSE(parsed({{"wiki_enabled", true}, {"wiki_access_level", "disabled"}}).has_wiki());
  EXPECT_TRUE(parsed({{"snippets_access_level", "enabled"}}).has_snippets());
  EXPECT_FALSE(parsed({{"snippets_enabled", false}}).has_snippets());
}

TEST(ForgeTest, GistsAreThoseOfAUserOrOfMembersAndNeverOfARepository) {
  const std::string api = "https://api.github.com";
  const Forge& gists = *GitHub().Gists(api);
  EXPECT_EQ(*gists.FirstPage(Scope("github:acme")), "/orgs/acme/members?per_page=100");
  EXPECT_EQ(*gists.FirstPage(Scope("github:user/me")), "/users/me/gists?per_page=100");
  ForgeScope own = Scope("github:user/me");
  own.own = true;
  EXPECT_EQ(*gists.FirstPage(own), "/gists?per_page=100");
  EXPECT_THAT(gists.FirstPage(Scope("github:installation/7")),
              FailsWith(absl::StatusCode::kPermissionDenied, HasSubstr("to no App")));
  EXPECT_EQ(gists.GistsPath({}), "");

  const auto members = gists.ParsePage({}, Answer(api + "/orgs/acme/members?page=2", {{{"login", "a/b"}}, {{"login", "c"}}}));
  ASSERT_THAT(members, IsOk());
  EXPECT_THAT(members->further(), ElementsAre("/users/a%2Fb/gists?per_page=100", "/users/c/gists?per_page=100"));

  const Json row = {{"id", "12ab"}, {"owner", {{"login", "me"}}}, {"public", false}, {"git_pull_url", "https://evil/x"},
                    {"files", {{"a", {{"size", 3000}}}}}, {"updated_at", "2024-05-01T12:00:00Z"}};
  const auto listed = gists.ParsePage({}, Answer(api + "/users/members/gists", Json::array({row})));
  ASSERT_THAT(listed, IsOk());
  const v1::ForgeRepository& gist = listed->repositories(0);
  EXPECT_EQ(gist.id(), "gist/12ab");
  EXPECT_EQ(gist.full_name(), "me/12ab");
  EXPECT_EQ(gist.clone_path(), "12ab.git");
  EXPECT_EQ(gist.visibility(), "private");
  EXPECT_EQ(gist.size_kb(), 3u);
  const v1::ForgeRepository enterprise = GitHub().Gists("https://git.example.com/api/v3")->ParseRepository({}, row);
  EXPECT_EQ(enterprise.full_name(), "gist/me/12ab");
  EXPECT_EQ(enterprise.clone_path(), "gist/12ab.git");
}

TEST(ForgeTest, SnippetsAreClonedBelowTheForgesOwnAddressWhateverTheAnswerNames) {
  const Forge& snippets = *GitLab().Gists("");
  v1::ForgeRepository project;
  project.set_id("7");
  EXPECT_EQ(snippets.GistsPath(project), "");
  project.set_has_snippets(true);
  EXPECT_EQ(snippets.GistsPath(project), "/projects/7/snippets?per_page=100");
  EXPECT_EQ(*snippets.FirstPage(Scope("gitlab:acme/sub")), "");
  EXPECT_FALSE(snippets.FirstPage(Scope("gitlab:user/other")).ok());

  const auto path = [&](const std::string& api, const std::string& url) {
    const auto page = snippets.ParsePage({}, Answer(api + "/projects/7/snippets", {{{"id", 5}, {"http_url_to_repo", url}}}));
    return page->repositories(0).clone_path();
  };
  EXPECT_EQ(path("https://gitlab.com/api/v4", "https://gitlab.com/a/b/snippets/5.git"), "a/b/snippets/5.git");
  EXPECT_EQ(path("https://x.org/git/api/v4", "https://x.org/git/a/b/snippets/5.git"), "a/b/snippets/5.git");
  EXPECT_EQ(path("https://10.0.0.1/api/v4", "https://evil.example.com/a/b/snippets/5.git"), "a/b/snippets/5.git");
  for (const char* bad : {"", "nothing", "https://x.org", "https://x.org/../../etc/passwd"}) {
    EXPECT_FALSE(IsCleanPath(path("https://x.org/api/v4", bad))) << bad;
  }
  v1::ForgeRepository snippet;
  snippet.set_id("5");
  snippet.set_full_name("a/b/snippets/5");
  EXPECT_EQ(snippets.RepositoryPath(snippet), "/projects/a%2Fb/snippets/5");
  snippet.set_full_name("snippets/5");
  EXPECT_EQ(snippets.RepositoryPath(snippet), "/snippets/5");
  snippet.set_id("snippet/5");
  EXPECT_EQ(snippets.RepositoryPath(snippet), "/snippets/5");
}

TEST(ForgeTest, ASnippetOfAWorkspaceIsNamedWithoutItsTitle) {
  const Forge& snippets = *BitbucketCloud().Gists("");
  const auto page = snippets.ParsePage({}, Answer("https://api.bitbucket.org/2.0/snippets/acme", {{"values", {{
      {"id", "Xy12"}, {"links", {{"clone", {
          {{"name", "ssh"}, {"href", "git@evil.example.com:snippets/acme/Xy12/title.git"}},
          {{"name", "https"}, {"href", "https://evil.example.com/snippets/acme/Xy12/title.git"}}}}}}}}}}));
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->repositories(0).id(), "snippet/Xy12");
  EXPECT_EQ(page->repositories(0).clone_path(), "snippets/acme/Xy12/title.git");
  EXPECT_EQ(page->repositories(0).full_name(), "snippets/acme/Xy12");
  EXPECT_EQ(snippets.RepositoryPath(page->repositories(0)), "/snippets/acme/Xy12");
}

TEST(ForgeTest, AnswersThatAreNoListingsAreSaidToBeNone) {
  for (const Forge* forge : {&GitHub(), &GitLab(), &BitbucketCloud(), &BitbucketDataCenter(), &Gitea(), &AzureDevOps()}) {
    for (const Json& body : {Json("text"), Json(7), Json(nullptr), Json({{"values", 3}})}) {
      EXPECT_FALSE(forge->ParsePage(Scope("azure:a/p"), Answer("https://x/a", body)).ok()) << body;
    }
  }
}

TEST(ForgeTest, CleanPathsMeanTheSameToEveryClient) {
  for (const char* clean : {"a/b.git", "a/b.git/wiki", "~user/x", "a/p/_git/b%20c", "%7Bu%7D", "{u}", "gr\xc3\xbc/x", "a+b",
                            "..a/b", "a..b"}) {
    EXPECT_TRUE(IsCleanPath(clean)) << clean;
  }
  for (const char* unclean : {"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "-x", "a/-x", "a?b", "a#b", "a b",
                              "a\nb", "a\\b", "a:b", "a@b", "a'b", "a\"b", "a;b", "a$b", "a*b", "a\x7f", "a<b"}) {
    EXPECT_FALSE(IsCleanPath(unclean)) << unclean;
  }
  EXPECT_FALSE(IsCleanPath(std::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace unsprawl
