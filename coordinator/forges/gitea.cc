// Gitea and Forgejo (https://HOST/api/v1). https://docs.gitea.com/api (organization, user)
#include "absl/strings/str_format.h"
#include "coordinator/forges/forge.h"
#include "coordinator/forges/json_fields.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

class GiteaForge final : public Forge {
 public:
  std::string WebUrl(std::string_view api_url) const override {
    return std::string(api_url.substr(0, api_url.rfind("/api/")));
  }
  ApiClient::Authorize Authorize() const override {
    return [](const std::string& token) { return HttpHeaders{{"Authorization", "token " + token}}; };
  }

  std::string IdentityPath(const ForgeScope&) const override { return "/user"; }
  const char* Permissions() const override {
    return "a token with read:organization, read:repository and read:user";
  }

  absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const override {
    return absl::StrFormat("/%s/%s/repos?limit=50&page=1",
                           scope.kind == ForgeScope::Kind::kUser ? "users" : "orgs", PercentEncoded(scope.name));
  }

  std::string RepositoryPath(const v1::ForgeRepository& repository) const override {
    return "/repositories/" + repository.id();
  }

  std::string WikiPath(const v1::ForgeRepository& repository) const override {
    return repository.full_name() + ".wiki.git";
  }

  v1::ForgeRepository ParseRepository(const ForgeScope&, const Json& json) const override {
    v1::ForgeRepository repository;
    repository.set_id(IdField(json, "id"));
    repository.set_full_name(TextField(json, "full_name"));
    repository.set_clone_path(repository.full_name() + ".git");
    repository.set_default_branch(TextField(json, "default_branch"));
    repository.set_visibility(FlagField(json, "internal") ? "internal"
                              : FlagField(json, "private") ? "private" : "public");
    repository.set_fork(FlagField(json, "fork"));
    repository.set_parent(IdField(Child(json, "parent"), "id"));
    repository.set_archived(FlagField(json, "archived"));
    repository.set_has_wiki(FlagField(json, "has_wiki"));
    repository.set_size_kb(NumberField(json, "size"));
    repository.set_updated_at(TimeField(json, "updated_at"));
    AddTexts(json, "topics", repository.mutable_topics());
    return repository;
  }

 protected:
  std::string_view GitUser() const override { return "x-access-token"; }
};

}  // namespace

const Forge& Gitea() {
  static const GiteaForge forge;
  return forge;
}

}  // namespace unsprawl
