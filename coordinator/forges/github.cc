// GitHub: github.com, GitHub Enterprise Server (https://HOST/api/v3), ghe.com (https://api.SUB.ghe.com).
// https://docs.github.com/en/rest/repos/repos, /en/rest/apps/installations, /en/rest/gists/gists
#include "absl/strings/str_format.h"
#include "coordinator/forges/forge.h"
#include "coordinator/forges/json_fields.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

class GitHubForge : public Forge {
 public:
  std::string WebUrl(std::string_view api_url) const override {
    std::string origin = OriginOf(api_url);
    if (const size_t api = origin.find("://api."); api != std::string::npos) origin.erase(api + 3, 4);
    return origin;
  }
  std::string GraphQlUrl(std::string_view api_url) const override {
    return OriginOf(api_url) + (api_url.ends_with("/api/v3") ? "/api/graphql" : "/graphql");
  }
  HttpHeaders Headers() const override {
    return {{"Accept", "application/vnd.github+json"}, {"X-GitHub-Api-Version", "2022-11-28"}};
  }
  ApiClient::Authorize Authorize() const override {
    return [](const std::string& token) { return HttpHeaders{{"Authorization", "Bearer " + token}}; };
  }
  // Secondary limits: 900 points a minute, a GET is one.
  uint32_t RequestsPerMinute() const override { return 900; }

  std::string IdentityPath(const ForgeScope& scope) const override { return scope.kind == ForgeScope::Kind::kInstallation ? "" : "/user"; }
  const char* Permissions() const override {
    return "a fine-grained token or an App with Contents: read and Metadata: read; a classic token with repo";
  }

  absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const override {
    constexpr char kOrder[] = "sort=created&direction=asc&per_page=100";
    switch (scope.kind) {
      case ForgeScope::Kind::kUser:
        if (scope.own) return absl::StrFormat("/user/repos?affiliation=owner&%s", kOrder);
        return absl::StrFormat("/users/%s/repos?type=owner&%s", PercentEncoded(scope.name), kOrder);
      case ForgeScope::Kind::kInstallation: return std::string("/installation/repositories?per_page=100");
      case ForgeScope::Kind::kApp: break;
      case ForgeScope::Kind::kOrganization:
        return absl::StrFormat("/orgs/%s/repos?type=all&%s", PercentEncoded(scope.name), kOrder);
    }
    return absl::InvalidArgumentError("an App is scanned installation by installation");
  }

  bool ListsMoreToOwners() const override { return true; }
  const char* NotListed(const ForgeScope& scope) const override {
    if (scope.kind != ForgeScope::Kind::kUser || scope.own) return nullptr;
    return "private repositories of a user are listed only to that user's own token, or to an App that is "
           "installed there: only public ones are scanned";
  }

  std::string RepositoryPath(const v1::ForgeRepository& repository) const override {
    return "/repositories/" + repository.id();
  }

  std::string WikiPath(const v1::ForgeRepository& repository) const override {
    return repository.full_name() + ".wiki.git";
  }

  const Forge* Gists(std::string_view api_url) const override;

  std::vector<std::string> DroppedCommitsPaths(const std::string& repository) const override {
    std::vector<std::string> paths;
    for (const char* type : {"force_push", "branch_deletion"}) {
      paths.push_back(absl::StrFormat("%s/activity?activity_type=%s&per_page=100", repository, type));
    }
    return paths;
  }

  v1::ForgeRepository ParseRepository(const ForgeScope&, const Json& json) const override {
    v1::ForgeRepository repository;
    repository.set_id(IdField(json, "id"));
    repository.set_full_name(TextField(json, "full_name"));
    repository.set_clone_path(repository.full_name() + ".git");
    repository.set_default_branch(TextField(json, "default_branch"));
    repository.set_visibility(TextField(json, "visibility"));
    if (repository.visibility().empty()) repository.set_visibility(FlagField(json, "private") ? "private" : "public");
    repository.set_fork(FlagField(json, "fork"));
    repository.set_parent(IdField(Child(json, "parent"), "id"));
    repository.set_archived(FlagField(json, "archived"));
    repository.set_disabled(FlagField(json, "disabled"));
    repository.set_has_wiki(FlagField(json, "has_wiki"));
    repository.set_size_kb(NumberField(json, "size"));
    repository.set_pushed_at(TimeField(json, "pushed_at"));
    AddTexts(json, "topics", repository.mutable_topics());
    return repository;
  }

  absl::StatusOr<v1::ForgePage> ParsePage(const ForgeScope& scope, const HttpResponse& response) const override {
    ASSIGN_OR_RETURN(v1::ForgePage page, Forge::ParsePage(scope, response));
    // Organizations behind single sign-on that this token was not authorised for are left out in silence. What a
    // user owns is no organization's.
    const std::string_view sso = response.header("x-github-sso");
    if (!sso.empty() && scope.kind != ForgeScope::Kind::kUser) {
      page.set_incomplete(absl::StrFormat(
          "single sign-on hides repositories from this token: authorise it for the organization (X-GitHub-SSO: %s)",
          sso.substr(0, 200)));
    }
    return page;
  }

 protected:
  std::string_view GitUser() const override { return "x-access-token"; }
  const Json& List(const Json& body) const override {
    return body.is_array() ? body : Child(body, "repositories");  // of an installation
  }
};

// Gists: gist.github.com/ID.git, gist.SUB.ghe.com/ID.git, and HOST/gist/ID.git on Enterprise Server (so does
// GitHub's own cli, internal/ghinstance; with subdomain isolation git is redirected [mem], which ends in its
// error). An organization's are those of its members; nobody lists another's secret ones.
class GistForge final : public GitHubForge {
 public:
  // `own_host`: they have a host of their own.
  explicit GistForge(bool own_host) : below_(own_host ? "" : "gist/"), prefix_(own_host ? "gist." : "") {}

  std::string WebUrl(std::string_view api_url) const override {
    return GitHubForge::WebUrl(api_url).insert(std::string_view("https://").size(), prefix_);
  }
  std::string WikiPath(const v1::ForgeRepository&) const override { return ""; }
  const char* NotListed(const ForgeScope& scope) const override {
    if (scope.kind != ForgeScope::Kind::kUser || scope.own) return nullptr;
    return "secret gists are listed only to whom they belong: only public ones are scanned";
  }
  const Forge* Gists(std::string_view) const override { return nullptr; }
  std::vector<std::string> DroppedCommitsPaths(const std::string&) const override { return {}; }

  absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const override {
    switch (scope.kind) {
      case ForgeScope::Kind::kUser: return scope.own ? std::string("/gists?per_page=100") : Of(scope.name);
      case ForgeScope::Kind::kOrganization:
        return absl::StrFormat("/orgs/%s/members?per_page=100", PercentEncoded(scope.name));
      default:  // https://github.com/orgs/community/discussions/126039
        return absl::PermissionDeniedError("GitHub lists gists to no App: they want a person's token");
    }
  }

  std::string RepositoryPath(const v1::ForgeRepository& gist) const override {
    return "/gists/" + gist.id().substr(gist.id().rfind('/') + 1);
  }

  v1::ForgeRepository ParseRepository(const ForgeScope&, const Json& json) const override {
    const std::string id = TextField(json, "id");
    v1::ForgeRepository gist;
    if (!id.empty()) gist.set_id("gist/" + id);  // No repository has such an id.
    gist.set_full_name(absl::StrFormat("%s%s/%s", below_, TextField(Child(json, "owner"), "login"), id));
    gist.set_clone_path(absl::StrFormat("%s%s.git", below_, id));
    gist.set_visibility(FlagField(json, "public") ? "public" : "private");
    gist.set_pushed_at(TimeField(json, "updated_at"));
    uint64_t bytes = 0;
    for (const Json& file : Child(json, "files")) bytes += NumberField(file, "size");
    gist.set_size_kb(bytes / 1024 + 1);
    return gist;
  }

  absl::StatusOr<v1::ForgePage> ParsePage(const ForgeScope& scope, const HttpResponse& response) const override {
    if (!std::string_view(response.url).substr(0, response.url.find('?')).ends_with("/members")) {
      return GitHubForge::ParsePage(scope, response);
    }
    ASSIGN_OR_RETURN(const Json members, ParseBody(response));
    if (!members.is_array()) return absl::FailedPreconditionError("an answer that lists no members");
    v1::ForgePage page;
    for (const Json& member : members) page.add_further(Of(TextField(member, "login")));
    page.set_next(NextLink(response));
    return page;
  }

 private:
  static std::string Of(std::string_view user) {
    return absl::StrFormat("/users/%s/gists?per_page=100", PercentEncoded(user));
  }

  const std::string below_, prefix_;
};

const Forge* GitHubForge::Gists(std::string_view api_url) const {
  static const GistForge on_own_host(true), below(false);
  return OriginOf(api_url).find("://api.") != std::string::npos ? &on_own_host : &below;
}

}  // namespace

const Forge& GitHub() {
  static const GitHubForge forge;
  return forge;
}

}  // namespace unsprawl
