// Bitbucket Cloud (https://api.bitbucket.org/2.0) and Data Center (https://HOST/rest/api/1.0): two APIs.
// https://developer.atlassian.com/cloud/bitbucket/rest/api-group-repositories
// https://developer.atlassian.com/server/bitbucket/rest (projects/{key}/repos)
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "coordinator/forges/forge.h"
#include "coordinator/forges/json_fields.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

// "user:app-password" goes as Basic, anything else as a bearer token.
HttpHeaders AuthorizeEither(const std::string& token) {
  if (token.find(':') == std::string::npos) return {{"Authorization", "Bearer " + token}};
  return {{"Authorization", "Basic " + std::string(absl::Base64Escape(token))}};
}

class CloudForge final : public Forge {
 public:
  std::string WebUrl(std::string_view api_url) const override {
    // The web address of a stand-in is its API's without the version.
    if (OriginOf(api_url) == "https://api.bitbucket.org") return "https://bitbucket.org";
    return std::string(api_url.substr(0, api_url.rfind("/2.0")));
  }
  ApiClient::Authorize Authorize() const override { return AuthorizeEither; }
  std::string_view GitUser() const override { return "x-token-auth"; }

  std::string IdentityPath(const ForgeScope&) const override { return "/user"; }
  const char* Permissions() const override { return "an access token with repository:read"; }

  absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const override {
    return absl::StrFormat("/repositories/%s?pagelen=100&sort=created_on", PercentEncoded(scope.name));
  }

  std::string RepositoryPath(const v1::ForgeRepository& repository) const override {
    return "/repositories/" + repository.full_name();
  }

  // The address that Bitbucket's "Clone wiki" gives.
  std::string WikiPath(const v1::ForgeRepository& repository) const override {
    return repository.clone_path() + "/wiki";
  }

  v1::ForgeRepository ParseRepository(const ForgeScope&, const Json& json) const override {
    v1::ForgeRepository repository;
    repository.set_id(IdField(json, "uuid"));
    repository.set_full_name(TextField(json, "full_name"));
    repository.set_clone_path(repository.full_name() + ".git");
    repository.set_default_branch(TextField(Child(json, "mainbranch"), "name"));
    repository.set_visibility(FlagField(json, "is_private") ? "private" : "public");
    repository.set_fork(Child(json, "parent").size() > 0);
    repository.set_parent(IdField(Child(json, "parent"), "uuid"));
    repository.set_has_wiki(FlagField(json, "has_wiki"));
    repository.set_size_kb(NumberField(json, "size") / 1024);
    return repository;
  }

 protected:
  const Json& List(const Json& body) const override { return Child(body, "values"); }
  std::string Next(const ForgeScope&, const Json& body, const HttpResponse&) const override {
    return TextField(body, "next");
  }
};

class DataCenterForge final : public Forge {
 public:
  std::string WebUrl(std::string_view api_url) const override {
    return std::string(api_url.substr(0, api_url.rfind("/rest/"))) + "/scm";
  }
  ApiClient::Authorize Authorize() const override { return AuthorizeEither; }
  std::string_view GitUser() const override { return "x-token-auth"; }

  const char* Permissions() const override { return "an HTTP access token with repository read"; }

  absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const override {
    // A user's own project has the key ~name.
    return absl::StrFormat("/projects/%s%s/repos?limit=100",
                           scope.kind == ForgeScope::Kind::kUser ? "~" : "", PercentEncoded(scope.name));
  }

  std::string RepositoryPath(const v1::ForgeRepository& repository) const override {
    const size_t slash = repository.full_name().find('/');
    return absl::StrFormat("/projects/%s/repos/%s", repository.full_name().substr(0, slash),
                           repository.full_name().substr(slash + 1));
  }

  v1::ForgeRepository ParseRepository(const ForgeScope&, const Json& json) const override {
    v1::ForgeRepository repository;
    repository.set_id(IdField(json, "id"));
    repository.set_full_name(TextField(Child(json, "project"), "key") + "/" + TextField(json, "slug"));
    repository.set_clone_path(repository.full_name() + ".git");
    repository.set_default_branch(TextField(json, "defaultBranch"));
    repository.set_visibility(FlagField(json, "public") ? "public" : "private");
    repository.set_fork(Child(json, "origin").size() > 0);
    repository.set_parent(IdField(Child(json, "origin"), "id"));
    repository.set_archived(FlagField(json, "archived"));
    repository.set_disabled(TextField(json, "state") == "OFFLINE");
    return repository;
  }

 protected:
  const Json& List(const Json& body) const override { return Child(body, "values"); }
  std::string Next(const ForgeScope& scope, const Json& body, const HttpResponse&) const override {
    if (FlagField(body, "isLastPage") || !body.contains("nextPageStart")) return "";
    return absl::StrFormat("%s&start=%d", FirstPage(scope).value(), NumberField(body, "nextPageStart"));
  }
};

}  // namespace

const Forge& BitbucketCloud() {
  static const CloudForge forge;
  return forge;
}

const Forge& BitbucketDataCenter() {
  static const DataCenterForge forge;
  return forge;
}

}  // namespace unsprawl
