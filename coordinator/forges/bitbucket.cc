// Bitbucket Cloud (https://api.bitbucket.org/2.0) and Data Center (https://HOST/rest/api/1.0): two APIs.
// https://developer.atlassian.com/cloud/bitbucket/rest/api-group-repositories
// https://developer.atlassian.com/server/bitbucket/rest (projects/{key}/repos)
#include <optional>

#include "absl/strings/str_format.h"
#include "coordinator/forges/forge.h"
#include "coordinator/forges/json_fields.h"
#include "engine/base/status.h"
#include "worker/clone_url.h"

namespace unsprawl {
namespace {

// "user:app-password" goes as Basic, to the API and to git; nullopt: it is an access token.
std::optional<std::string> Basic(const std::string& token) {
  const size_t colon = token.find(':');
  if (colon == std::string::npos) return std::nullopt;
  return BasicAuthorization(token.substr(0, colon), token.substr(colon + 1));
}

// What both have in common.
class BitbucketForge : public Forge {
 public:
  ApiClient::Authorize Authorize() const override {
    return [](const std::string& token) {
      return HttpHeaders{{"Authorization", Basic(token).value_or("Bearer " + token)}};
    };
  }
  std::string GitAuthorization(const std::string& token) const override {
    return Basic(token).value_or(Forge::GitAuthorization(token));
  }

 protected:
  std::string_view GitUser() const override { return "x-token-auth"; }
  const Json& List(const Json& body) const override { return Child(body, "values"); }
};

class CloudForge : public BitbucketForge {
 public:
  std::string WebUrl(std::string_view api_url) const override {
    // The web address of a stand-in is its API's without the version.
    if (OriginOf(api_url) == "https://api.bitbucket.org") return "https://bitbucket.org";
    return std::string(api_url.substr(0, api_url.rfind("/2.0")));
  }

  std::string IdentityPath(const ForgeScope&) const override { return "/user"; }
  const char* Permissions() const override { return "an access token with repository:read"; }
  const Forge* Gists(std::string_view) const override;

  absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const override {
    return absl::StrFormat("/repositories/%s?pagelen=100&sort=created_on", PercentEncoded(scope.name));
  }

  std::string RepositoryPath(const v1::ForgeRepository& repository) const override {
    // "{}" stands for whichever workspace has it by now (Atlassian, "Use the Bitbucket Cloud REST APIs", UUID).
    return "/repositories/%7B%7D/" + PercentEncoded(repository.id());
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
    repository.set_updated_at(TimeField(json, "updated_on"));
    return repository;
  }

 protected:
  std::string Next(const ForgeScope&, const Json& body, const HttpResponse&) const override {
    return TextField(body, "next");
  }
};

// The snippets of a workspace (snippets/WORKSPACE/ID/….git).
// https://developer.atlassian.com/cloud/bitbucket/rest/api-group-snippets
class SnippetForge final : public CloudForge {
 public:
  std::string WikiPath(const v1::ForgeRepository&) const override { return ""; }
  const Forge* Gists(std::string_view) const override { return nullptr; }

  absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const override {
    return absl::StrFormat("/snippets/%s?pagelen=100", PercentEncoded(scope.name));
  }
  std::string RepositoryPath(const v1::ForgeRepository& snippet) const override { return "/" + snippet.full_name(); }

  // With a whole clone URL: ParsePage takes its path. Which host it names does not matter.
  v1::ForgeRepository ParseRepository(const ForgeScope&, const Json& json) const override {
    v1::ForgeRepository snippet;
    const std::string id = IdField(json, "id");
    if (!id.empty()) snippet.set_id("snippet/" + id);
    for (const Json& link : Child(Child(json, "links"), "clone")) {
      if (TextField(link, "name") == "https") snippet.set_clone_path(TextField(link, "href"));
    }
    snippet.set_visibility(FlagField(json, "is_private") ? "private" : "public");
    snippet.set_updated_at(TimeField(json, "updated_on"));
    return snippet;
  }

  absl::StatusOr<v1::ForgePage> ParsePage(const ForgeScope& scope, const HttpResponse& response) const override {
    ASSIGN_OR_RETURN(v1::ForgePage page, CloudForge::ParsePage(scope, response));
    for (v1::ForgeRepository& snippet : *page.mutable_repositories()) {
      const std::string path = PathBelow(WebUrl(response.url), snippet.clone_path());
      snippet.set_clone_path(path);
      snippet.set_full_name(path.substr(0, path.rfind('/')));  // without the title
    }
    return page;
  }
};

const Forge* CloudForge::Gists(std::string_view) const {
  static const SnippetForge snippets;
  return &snippets;
}

class DataCenterForge final : public BitbucketForge {
 public:
  std::string WebUrl(std::string_view api_url) const override {
    return std::string(api_url.substr(0, api_url.rfind("/rest/"))) + "/scm";
  }

  const char* Permissions() const override { return "an HTTP access token with repository read"; }

  absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const override {
    // A user's own project has the key ~name.
    return absl::StrFormat("/projects/%s%s/repos?limit=100",
                           scope.kind == ForgeScope::Kind::kUser ? "~" : "", PercentEncoded(scope.name));
  }

  std::string RepositoryPath(const v1::ForgeRepository& repository) const override {
    const size_t slash = repository.full_name().find('/');
    // By its name: nothing in this API finds it by its id.
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
