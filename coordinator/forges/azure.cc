// Azure DevOps (https://dev.azure.com). Projects first, then the repositories of each.
// https://learn.microsoft.com/rest/api/azure/devops/core/projects/list, …/git/repositories/list
#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "coordinator/forges/forge.h"
#include "coordinator/forges/json_fields.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr char kVersion[] = "api-version=7.0";

std::string RepositoriesUrl(std::string_view organization, std::string_view project) {
  return absl::StrFormat("/%s/%s/_apis/git/repositories?includeHidden=true&%s", PercentEncoded(organization),
                         PercentEncoded(project), kVersion);
}

class AzureForge final : public Forge {
 public:
  std::string WebUrl(std::string_view api_url) const override { return std::string(api_url); }
  ApiClient::Authorize Authorize() const override {
    return [](const std::string& token) {
      return HttpHeaders{{"Authorization", "Basic " + std::string(absl::Base64Escape(":" + token))}};
    };
  }

  const char* Permissions() const override { return "a token with Code (Read) and Project and Team (Read)"; }

  absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const override {
    const size_t slash = scope.name.find('/');
    if (slash != std::string::npos) {
      return RepositoriesUrl(scope.name.substr(0, slash), scope.name.substr(slash + 1));
    }
    return absl::StrFormat("/%s/_apis/projects?$top=100&%s", PercentEncoded(scope.name), kVersion);
  }

  std::string RepositoryPath(const v1::ForgeRepository& repository) const override {
    // Without a project: it may be in another by now.
    const std::string organization = repository.full_name().substr(0, repository.full_name().find('/'));
    return absl::StrFormat("/%s/_apis/git/repositories/%s?%s", PercentEncoded(organization),
                           PercentEncoded(repository.id()), kVersion);
  }

  v1::ForgeRepository ParseRepository(const ForgeScope& scope, const Json& json) const override {
    const std::string organization = scope.name.substr(0, scope.name.find('/'));
    const std::string project = TextField(Child(json, "project"), "name");
    const std::string name = TextField(json, "name");
    v1::ForgeRepository repository;
    repository.set_id(IdField(json, "id"));
    repository.set_full_name(absl::StrFormat("%s/%s/%s", organization, project, name));
    repository.set_clone_path(absl::StrFormat("%s/%s/_git/%s", PercentEncoded(organization),
                                              PercentEncoded(project), PercentEncoded(name)));
    std::string branch = TextField(json, "defaultBranch");
    if (branch.rfind("refs/heads/", 0) == 0) branch.erase(0, 11);
    repository.set_default_branch(branch);
    repository.set_visibility(TextField(Child(json, "project"), "visibility"));
    repository.set_fork(FlagField(json, "isFork"));
    repository.set_parent(IdField(Child(json, "parentRepository"), "id"));
    repository.set_disabled(FlagField(json, "isDisabled"));
    repository.set_size_kb(NumberField(json, "size") / 1024);
    return repository;
  }

  absl::StatusOr<v1::ForgePage> ParsePage(const ForgeScope& scope, const HttpResponse& response) const override {
    ASSIGN_OR_RETURN(const Json body, ParseBody(response));
    const Json& list = Child(body, "value");
    if (!list.is_array()) return absl::FailedPreconditionError("an answer that lists nothing");
    const std::string organization = scope.name.substr(0, scope.name.find('/'));
    const bool projects = response.url.find("/_apis/projects") != std::string::npos;
    v1::ForgePage page;
    for (const Json& json : list) {
      if (projects) {
        page.add_further(RepositoriesUrl(organization, TextField(json, "name")));
      } else {
        *page.add_repositories() = ParseRepository(scope, json);
      }
    }
    const std::string_view more = response.header("x-ms-continuationtoken");
    if (projects && !more.empty()) {
      page.set_next(absl::StrFormat("/%s/_apis/projects?$top=100&%s&continuationToken=%s",
                                    PercentEncoded(organization), kVersion, PercentEncoded(more)));
    }
    return page;
  }

 protected:
  std::string_view GitUser() const override { return "unsprawl"; }  // any name does
};

}  // namespace

const Forge& AzureDevOps() {
  static const AzureForge forge;
  return forge;
}

}  // namespace unsprawl
