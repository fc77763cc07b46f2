#include "coordinator/forges/forge.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "worker/clone_url.h"

namespace unsprawl {
namespace {

struct Known {
  std::string_view name;
  const Forge& (*forge)();
  const char* api_url;       // empty: must be said
  const char* variable;
};

constexpr Known kForges[] = {
    {"github", GitHub, "https://api.github.com", "GITHUB_TOKEN"},
    {"gitlab", GitLab, "https://gitlab.com/api/v4", "GITLAB_TOKEN"},
    {"bitbucket", BitbucketCloud, "https://api.bitbucket.org/2.0", "BITBUCKET_TOKEN"},
    {"gitea", Gitea, "", "GITEA_TOKEN"},
    {"azure", AzureDevOps, "https://dev.azure.com", "AZURE_DEVOPS_TOKEN"},
};

const Known* Find(std::string_view name) {
  const auto found = std::find_if(std::begin(kForges), std::end(kForges),
                                  [name](const Known& known) { return known.name == name; });
  return found == std::end(kForges) ? nullptr : found;
}

bool TakePrefix(std::string_view prefix, std::string* text) {
  if (text->rfind(prefix, 0) != 0) return false;
  text->erase(0, prefix.size());
  return true;
}

}  // namespace

std::string Forge::GitAuthorization(const std::string& token) const {
  return BasicAuthorization(GitUser(), token);
}

absl::StatusOr<v1::ForgePage> Forge::ParsePage(const ForgeScope& scope, const HttpResponse& response) const {
  ASSIGN_OR_RETURN(const Json body, ParseBody(response));
  const Json& list = List(body);
  if (!list.is_array()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s answered with something that lists no repositories", OriginOf(response.url)));
  }
  v1::ForgePage page;
  for (const Json& json : list) *page.add_repositories() = ParseRepository(scope, json);
  page.set_next(Next(scope, body, response));
  return page;
}

std::optional<ForgeScope> ParseForgeScope(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || Find(text.substr(0, colon)) == nullptr) return std::nullopt;
  ForgeScope scope;
  scope.forge = text.substr(0, colon);
  scope.text = text;
  scope.name = text.substr(colon + 1);
  while (!scope.name.empty() && scope.name.back() == '/') scope.name.pop_back();
  if (scope.name.rfind("//", 0) == 0) return std::nullopt;  // A URL of a scheme we do not know.
  if (scope.forge == "github" && scope.name == "app") {
    scope.kind = ForgeScope::Kind::kApp;
    scope.name.clear();
  } else if (scope.forge == "github" && TakePrefix("installation/", &scope.name)) {
    scope.kind = ForgeScope::Kind::kInstallation;
  } else if (TakePrefix("user/", &scope.name)) {
    scope.kind = ForgeScope::Kind::kUser;
  }
  return scope;
}

const Forge& ForgeNamed(std::string_view name, std::string_view api_url) {
  const Known* known = Find(name);
  CHECK(known != nullptr);
  if (name == "bitbucket" && api_url.find("/rest/api/") != std::string_view::npos) return BitbucketDataCenter();
  return known->forge();
}

std::string DefaultApiUrl(std::string_view forge) {
  const Known* known = Find(forge);
  return known == nullptr ? "" : known->api_url;
}

const char* TokenVariable(std::string_view forge) {
  const Known* known = Find(forge);
  return known == nullptr ? "" : known->variable;
}

std::string PathBelow(std::string_view web_url, std::string_view url) {
  const auto path_of = [](std::string_view text) {
    const size_t host = text.find("://");
    const size_t slash = host == std::string_view::npos ? host : text.find('/', host + 3);
    return slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
  };
  std::string above(path_of(web_url));
  if (!above.empty()) above += "/";
  std::string path(path_of(url));
  if (path.starts_with(above)) path.erase(0, above.size());
  return path;
}

}  // namespace unsprawl
