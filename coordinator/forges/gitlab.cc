// GitLab: gitlab.com and self-managed (https://HOST/api/v4).
// https://docs.gitlab.com/ee/api/groups.html#list-a-groups-projects, /ee/api/projects.html, /ee/api/snippets.html
#include "absl/strings/str_format.h"
#include "coordinator/forges/forge.h"
#include "coordinator/forges/json_fields.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

// Whether a project has a feature: its access level (disabled, private, enabled), or, before there were levels
// and where the token may not see them, a flag.
bool IsOn(const Json& project, const std::string& feature) {
  const std::string level = TextField(project, feature + "_access_level");
  return level.empty() ? FlagField(project, feature + "_enabled") : level != "disabled";
}

class GitLabForge : public Forge {
 public:
  std::string WebUrl(std::string_view api_url) const override {
    return std::string(api_url.substr(0, api_url.rfind("/api/")));
  }
  ApiClient::Authorize Authorize() const override {
    return [](const std::string& token) { return HttpHeaders{{"PRIVATE-TOKEN", token}}; };
  }

  std::string IdentityPath(const ForgeScope&) const override { return "/personal_access_tokens/self"; }
  const char* Permissions() const override {
    return "a token with read_api and read_repository";
  }

  absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const override {
    constexpr char kOrder[] = "order_by=id&sort=asc&per_page=100&pagination=keyset&statistics=true";
    if (scope.kind == ForgeScope::Kind::kUser) {
      return absl::StrFormat("/users/%s/projects?%s", PercentEncoded(scope.name), kOrder);
    }
    return absl::StrFormat("/groups/%s/projects?include_subgroups=true&with_shared=false&%s",
                           PercentEncoded(scope.name), kOrder);
  }

  std::string RepositoryPath(const v1::ForgeRepository& repository) const override {
    return "/projects/" + repository.id();
  }

  std::string WikiPath(const v1::ForgeRepository& repository) const override {
    return repository.full_name() + ".wiki.git";
  }

  const Forge* Gists(std::string_view api_url) const override;

  v1::ForgeRepository ParseRepository(const ForgeScope&, const Json& json) const override {
    v1::ForgeRepository repository;
    repository.set_id(IdField(json, "id"));
    repository.set_full_name(TextField(json, "path_with_namespace"));
    repository.set_clone_path(repository.full_name() + ".git");
    repository.set_default_branch(TextField(json, "default_branch"));
    repository.set_visibility(TextField(json, "visibility"));
    repository.set_fork(Child(json, "forked_from_project").size() > 0);
    repository.set_parent(IdField(Child(json, "forked_from_project"), "id"));
    repository.set_archived(FlagField(json, "archived"));
    // Absent in answers that say no access level: then it may be there.
    repository.set_disabled(TextField(json, "repository_access_level") == "disabled");
    repository.set_has_wiki(IsOn(json, "wiki"));
    repository.set_has_snippets(IsOn(json, "snippets"));
    repository.set_size_kb(NumberField(Child(json, "statistics"), "repository_size") / 1024);
    // Not the time of a push, and an hour late: never taken for one.
    const int64_t active = TimeField(json, "last_activity_at");
    if (active > 0) repository.set_updated_at(active + 3600);
    AddTexts(json, "topics", repository.mutable_topics());
    return repository;
  }

 protected:
  std::string_view GitUser() const override { return "oauth2"; }
};

// Snippets, of projects (GROUP/PROJECT/snippets/ID.git) and of people (snippets/ID.git).
class SnippetForge final : public GitLabForge {
 public:
  std::string IdentityPath(const ForgeScope&) const override { return "/user"; }
  std::string WikiPath(const v1::ForgeRepository&) const override { return ""; }
  const Forge* Gists(std::string_view) const override { return nullptr; }
  bool ListsMoreToOwners() const override { return true; }

  absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const override {
    if (scope.kind != ForgeScope::Kind::kUser) return std::string();  // A group has none of its own.
    if (scope.own) return std::string("/snippets?per_page=100");
    return absl::PermissionDeniedError("GitLab lists personal snippets only to whom they belong");
  }
  std::string GistsPath(const v1::ForgeRepository& project) const override {
    return project.has_snippets() ? absl::StrFormat("/projects/%s/snippets?per_page=100", project.id()) : "";
  }

  std::string RepositoryPath(const v1::ForgeRepository& snippet) const override {
    const std::string name = snippet.full_name();
    const size_t project = name.rfind("/snippets/");
    const std::string id = snippet.id().substr(snippet.id().rfind('/') + 1);
    if (project == std::string::npos) return "/snippets/" + id;
    return absl::StrFormat("/projects/%s/snippets/%s", PercentEncoded(name.substr(0, project)), id);
  }

  // With a whole clone URL: ParsePage takes its path. Which host it names does not matter.
  v1::ForgeRepository ParseRepository(const ForgeScope&, const Json& json) const override {
    v1::ForgeRepository snippet;
    const std::string id = IdField(json, "id");
    if (!id.empty()) snippet.set_id("snippet/" + id);  // No project has such an id.
    snippet.set_clone_path(TextField(json, "http_url_to_repo"));  // Nothing else names the project.
    snippet.set_visibility(TextField(json, "visibility"));
    snippet.set_pushed_at(TimeField(json, "updated_at"));
    return snippet;
  }

  absl::StatusOr<v1::ForgePage> ParsePage(const ForgeScope& scope, const HttpResponse& response) const override {
    ASSIGN_OR_RETURN(v1::ForgePage page, GitLabForge::ParsePage(scope, response));
    for (v1::ForgeRepository& snippet : *page.mutable_repositories()) {
      const std::string path = PathBelow(WebUrl(response.url), snippet.clone_path());
      snippet.set_clone_path(path);
      if (path.ends_with(".git")) snippet.set_full_name(path.substr(0, path.size() - 4));
    }
    return page;
  }
};

const Forge* GitLabForge::Gists(std::string_view) const {
  static const SnippetForge forge;
  return &forge;
}

}  // namespace

const Forge& GitLab() {
  static const GitLabForge forge;
  return forge;
}

}  // namespace unsprawl
