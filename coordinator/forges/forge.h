// A forge: what tells GitHub from GitLab from the others. One file a forge; coordinator/forges/listing.h
// does what is common to all.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/forges/api_client.h"
#include "coordinator/forges/json_fields.h"
#include "unsprawl/v1/forge.pb.h"
#include "worker/http_client.h"

namespace unsprawl {

// What a person names: "github:ORG", "github:user/NAME", "github:installation/ID", "gitlab:GROUP/SUB",
// "gitlab:user/NAME", "bitbucket:WORKSPACE", "gitea:ORG", "gitea:user/NAME", "azure:ORG", "azure:ORG/PROJECT".
struct ForgeScope {
  std::string forge;  // "github"
  enum class Kind : uint8_t { kOrganization, kUser, kInstallation, kApp } kind = Kind::kOrganization;
  std::string name;   // "ORG", "GROUP/SUB", "77"; empty for kApp
  std::string text;   // as it was written
  bool own = false;   // kUser: the token speaks for that user, and may see what others may not
};

// nullopt: not of this form (no known forge before a colon).
std::optional<ForgeScope> ParseForgeScope(std::string_view text);

// What distinguishes one kind of forge. Stateless and thread-safe.
class Forge {
 public:
  virtual ~Forge() = default;

  // The web address that clone URLs are built on, for an API's base URL: "https://github.com" for
  // "https://api.github.com". Clone URLs of an API's answers are never used.
  virtual std::string WebUrl(std::string_view api_url) const = 0;
  virtual HttpHeaders Headers() const { return {{"Accept", "application/json"}}; }
  // Adds a token to an API request.
  virtual ApiClient::Authorize Authorize() const = 0;
  // The value of the Authorization header that git takes a token in, over HTTPS.
  virtual std::string GitAuthorization(const std::string& token) const;
  // How many requests a minute it wants at most; 0: it states no such rate.
  virtual uint32_t RequestsPerMinute() const { return 0; }

  // The listing to begin with, a path below the API's base URL; empty: there is none.
  virtual absl::StatusOr<std::string> FirstPage(const ForgeScope& scope) const = 0;
  // Whether ForgeScope::own matters.
  virtual bool ListsMoreToOwners() const { return false; }
  // What is left out of a listing because the token is not its owner's, for a person; nullptr: nothing.
  virtual const char* NotListed(const ForgeScope&) const { return nullptr; }
  // One repository as this forge's answers describe it.
  virtual v1::ForgeRepository ParseRepository(const ForgeScope& scope, const Json& json) const = 0;
  // The repositories of one answer and where it goes on: by default the body itself, and the Link header.
  // FailedPrecondition: not an answer of this forge.
  virtual absl::StatusOr<v1::ForgePage> ParsePage(const ForgeScope& scope, const HttpResponse& response) const;
  // The clone path of a repository's wiki, below the web address; empty: this forge has no such thing.
  virtual std::string WikiPath(const v1::ForgeRepository&) const { return ""; }
  // What reads this forge's gists or snippets as if they were a forge's repositories, through the same client;
  // null: it has none. Of the result, FirstPage is for those of a scope's people.
  virtual const Forge* Gists(std::string_view /*api_url*/) const { return nullptr; }
  // The listing of those that belong to one repository; empty: there is none.
  virtual std::string GistsPath(const v1::ForgeRepository&) const { return ""; }
  // Of one repository, below the API's base URL: to ask whether it is gone, has another name by now (where the forge
  // can be asked by id), or is only withheld from git.
  virtual std::string RepositoryPath(const v1::ForgeRepository& repository) const = 0;
  // Where a token hears about itself: who it is, its scopes, its end; empty: nowhere.
  virtual std::string IdentityPath(const ForgeScope&) const { return ""; }
  // The least permissions that a scan needs, for a person.
  virtual const char* Permissions() const = 0;
  // Where the forge lists, newest first, what force pushes and deleted branches dropped of a repository (objects
  // with "before", a commit that no ref may reach any more, and "timestamp"), given its RepositoryPath.
  virtual std::vector<std::string> DroppedCommitsPaths(const std::string&) const { return {}; }
  // Where to ask for the parents of forks, which its listings leave out (fork_parents.h); empty: they do not.
  virtual std::string GraphQlUrl(std::string_view) const { return ""; }

 protected:
  // The user name that goes with a token when git fetches.
  virtual std::string_view GitUser() const = 0;
  // The list of repositories in an answer, and the page that follows it.
  virtual const Json& List(const Json& body) const { return body; }
  virtual std::string Next(const ForgeScope&, const Json&, const HttpResponse& response) const {
    return NextLink(response);
  }
};

// The forge for a name in ForgeScope::forge. `api_url` decides between Bitbucket's two kinds.
const Forge& ForgeNamed(std::string_view name, std::string_view api_url);

// Where its API is when nobody says: "https://api.github.com"; empty when one must say (gitea).
std::string DefaultApiUrl(std::string_view forge);
// The environment variable that its token is taken from when nobody says: "GITHUB_TOKEN".
const char* TokenVariable(std::string_view forge);

// The path of `url` below `web_url`, whichever host it names; all of its path if it is not below.
std::string PathBelow(std::string_view web_url, std::string_view url);

// One of each kind, made once (each in its own file).
const Forge& GitHub();
const Forge& GitLab();
const Forge& BitbucketCloud();
const Forge& BitbucketDataCenter();
const Forge& Gitea();
const Forge& AzureDevOps();

}  // namespace unsprawl
