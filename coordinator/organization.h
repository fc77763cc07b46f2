// From what a person names at a forge to the remote repositories that a run fetches.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/clone_url.h"
#include "coordinator/forges/api_client.h"
#include "coordinator/forges/forge.h"
#include "coordinator/forges/selection.h"
#include "coordinator/report/report.h"
#include "store/ledger.h"

namespace unsprawl {

// How the scopes of a command line, or one scope of a configuration, are asked for.
struct ForgeOptions {
  std::string api_url;                   // empty: the forge's public one
  std::vector<std::string> token_files;  // empty: the environment's token, or anonymous
  std::string app_id, app_key_file;      // GitHub App; instead of tokens
  Selection selection;
  bool inspect = false;                  // also learn what only `doctor` tells (Organization::remarks)
  uint64_t max_wikis = 0, max_gists = 0;  // how many of each, of all scopes together
  // Everything but on_wait is taken over into each client.
  ApiOptions api;
};

// A repository that has to be fetched before it can be scanned.
struct RemoteTarget {
  std::string key;           // identity in the ledger: "github.com/123", "url:host/path"
  std::string name;          // "github.com/owner/name"
  std::string folder;        // of its mirror, relative
  CloneUrl url;
  uint64_t size_kb = 0;      // as the forge says; 0: not known
  int64_t pushed_at = 0;     // seconds since the epoch; 0: not known, or too fresh to be trusted
  std::set<v1::SkipReason> accepted;  // skips that do not make it partial
  bool optional = false;     // a wiki: often there is none, and that is no gap
  // Of a forge's repository.
  ApiClient* client = nullptr;      // gives the token that goes with `url`; null: url has its own
  const Forge* forge = nullptr;
  std::string api_path;             // of the repository in the API: says whether it is gone or withheld
  ForgeScope scope;
  std::string web_url;              // what clone URLs begin with
  std::string full_name, id, parent;
};

// target.url with the token to fetch it with, where a client gives one.
absl::StatusOr<CloneUrl> UrlWithToken(const RemoteTarget& target);

struct Organization {
  std::vector<RemoteTarget> targets;
  // Scopes whose listing failed or is incomplete, repositories that are listed and not served, and those
  // that are gone: with what is known of them.
  std::vector<RepositoryOutcome> outcomes;
  uint64_t listed = 0, not_selected = 0;
  // What a person should know of tokens and installations; with ForgeOptions::inspect.
  struct Remark {
    std::string about, text;
    bool good = true;
  };
  std::vector<Remark> remarks;
  std::vector<std::unique_ptr<ApiClient>> clients;  // what RemoteTarget::client points to
};

// Lists every scope. What goes wrong with one is an outcome, and the others go on. Repositories that an
// earlier, complete listing of the same scope had and this one lacks end as gone.
// InvalidArgument, NotFound, PermissionDenied: what was asked for cannot be done (an unknown address, a
// token file that is not there). Cancelled: `options.api.stop`.
absl::StatusOr<Organization> ListOrganization(const std::vector<ForgeScope>& scopes, const ForgeOptions& options,
                                              Ledger& ledger,
                                              const std::function<void(const std::string&)>& say);

}  // namespace unsprawl
