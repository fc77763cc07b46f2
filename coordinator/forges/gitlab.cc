// GitLab: gitlab.com and self-managed (https://HOST/api/v4).
// https://docs.gitlab.com/ee/api/groups.html#list-a-groups-projects, /ee/api/projects.html
#include "absl/strings/str_format.h"
#include "coordinator/forges/forge.h"
#include "coordinator/forges/json_fields.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

class GitLabForge final : public Forge {
 public:
  std::string WebUrl(std::string_view api_url) const override {
    return std::string(api_url.substr(0, api_url.rfind("/api/")));
  }
  ApiClient::Authorize Authorize() const override {
    return [](const std::string& token) { return HttpHeaders{{"PRIVATE-TOKEN", token}}; };
  }
  std::string_view GitUser() const override { return "oauth2"; }

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
    repository.set_empty(FlagField(json, "empty_repo"));
    // Absent in answers that say no access level: then it may be there.
    repository.set_disabled(TextField(json, "repository_access_level") == "disabled");
    repository.set_has_wiki(FlagField(json, "wiki_enabled"));
    repository.set_size_kb(NumberField(Child(json, "statistics"), "repository_size") / 1024);
    AddTexts(json, "topics", repository.mutable_topics());
    return repository;  // last_activity_at is not the time of a push, and lags: never taken for one.
  }
};

}  // namespace

const Forge& GitLab() {
  static const GitLabForge forge;
  return forge;
}

}  // namespace unsprawl
