// From what a person names at a forge to the remote repositories that a run fetches.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "coordinator/forges/api_client.h"
#include "coordinator/forges/forge.h"
#include "coordinator/forges/selection.h"
#include "coordinator/report/report.h"
#include "store/ledger.h"
#include "worker/clone_url.h"

namespace unsprawl {

// How the scopes of a command line, or one scope of a configuration, are asked for.
struct ForgeOptions {
  std::string api_url;                   // empty: the forge's public one
  std::vector<std::string> token_files;  // empty: the environment's token, or anonymous
  std::string app_id, app_key_file;      // GitHub App; instead of tokens
  Selection selection;
  bool inspect = false;                  // also learn what only `doctor` tells (Organization::remarks)
  uint64_t max_wikis = 0;                // how many are scanned, of all scopes together
  uint64_t max_gists = 0;                // the same, of gists and snippets
  // Everything but on_wait is taken over into each client.
  ApiOptions api;
};

// What remote repositories of one scope (or the URLs of a command line) have in common.
struct RemoteSource {
  std::shared_ptr<ApiClient> client;  // null: URLs, which have their own credentials; gists share their scope's
  const Forge* forge = nullptr;       // null with client
  ForgeScope scope;
  std::string web_url;                // what clone URLs begin with
  std::set<v1::SkipReason> accepted;  // skips that do not make a repository partial
};

// A repository that has to be fetched before it can be scanned. Small: there may be a hundred thousand.
struct RemoteTarget {
  std::string key;            // identity in the ledger: "github.com/123", "url:host/path"
  std::string name;           // "github.com/owner/name"
  std::string url;            // without credentials
  std::string authorization;  // that a URL came with
  const RemoteSource* source = nullptr;
  std::string network;        // key of the root of its fork network, listed or not; empty: none that is known
  uint64_t size_kb = 0;       // as the forge says; 0: not known
  int64_t pushed_at = 0;      // seconds since the epoch; 0: not known, or too fresh to be trusted
  bool optional = false;      // a wiki: often there is none, and that is no gap
  bool disabled = false;      // its forge serves it to nobody
  std::string gone;           // why it cannot be fetched any more: only what is kept of it counts; empty: it can

  // Of its mirror, below the mirrors' folder.
  std::string folder() const;
  // The forge's id and full name of it.
  v1::ForgeRepository AtForge() const;
  // Forge::DroppedCommitsPaths of it.
  std::vector<std::string> DroppedCommitsPaths() const;
};

// The one that a clone URL names. `source`: of URLs; it must live as long.
RemoteTarget TargetOfUrl(const CloneUrl& url, const RemoteSource& source);

// Values of the Authorization header that git takes, one for each token that its source has for it (at least one; ""
// for none), beginning with the one whose turn it is. PermissionDenied: all tokens were refused.
absl::StatusOr<std::vector<std::string>> AuthorizationsFor(const RemoteTarget& target);
// The same for another machine: where its forge makes tokens for a single repository, they are that.
absl::StatusOr<std::vector<GivenToken>> AuthorizationsToGive(const RemoteTarget& target);

struct Organization {
  std::vector<RemoteTarget> targets;
  // Scopes whose listing failed or is incomplete, repositories that are listed and not served: with what is
  // known of them. And how many wikis and gists of a scope are beyond their budget.
  std::vector<RepositoryOutcome> outcomes;
  uint64_t listed = 0, not_selected = 0;
  absl::flat_hash_set<std::string> keys;  // of all that the scopes list, selected or not
  // What an earlier listing of a scope had and this one lacks; without `gone` where the listing is incomplete.
  // For AddMissing.
  std::vector<RemoteTarget> missing;
  // What a person should know of tokens and installations; with ForgeOptions::inspect.
  struct Remark {
    std::string about, text;
    bool good = true;
  };
  std::vector<Remark> remarks;
  std::vector<std::unique_ptr<RemoteSource>> sources;  // what RemoteTarget::source points to
};

// InvalidArgument: what is asked for can only be a mistake: an address that is none or would show tokens to others
// (http://), scopes of several kinds of forges with one address or one kind of token.
absl::Status CheckScopes(const std::vector<ForgeScope>& scopes, const ForgeOptions& options);

// Lists every scope. What goes wrong with one (a token file that is not there, too) is an outcome, and the others go
// on. InvalidArgument: CheckScopes. Cancelled: `options.api.stop`. An error of the ledger.
absl::StatusOr<Organization> ListOrganization(const std::vector<ForgeScope>& scopes, const ForgeOptions& options,
                                              Ledger& ledger,
                                              const std::function<void(const std::string&)>& say);

// The source that ListOrganization made for a scope (RemoteSource::scope.text) when it listed it, without listing.
// Errors as ListOrganization's, and those of tokens.
absl::StatusOr<std::unique_ptr<RemoteSource>> OpenSource(const std::string& text, const ForgeOptions& options,
                                                         Ledger& ledger);

// Adds what no organization of a run lists any more: a target that is gone, or, where its listing is incomplete, an
// outcome.
absl::Status AddMissing(Ledger& ledger, std::vector<Organization>* organizations);

}  // namespace unsprawl
