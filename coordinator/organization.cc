#include "coordinator/organization.h"

#include <strings.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "coordinator/forges/app_token.h"
#include "coordinator/forges/fork_parents.h"
#include "coordinator/forges/json_fields.h"
#include "coordinator/forges/listing.h"
#include "coordinator/known_target.h"
#include "engine/base/private_file.h"
#include "engine/base/status.h"
#include "worker/mirror.h"

namespace unsprawl {
namespace {

// A push within this time before the listing may have been followed by one in the same second that the
// listing does not show.
constexpr int64_t kSettledSeconds = 60;
constexpr int kMaxForkDepth = 32;  // of forks of forks; ends circles
constexpr std::string_view kWiki = ".wiki", kGists = ": gists";

absl::StatusOr<std::string> ApiUrl(const ForgeScope& scope, const ForgeOptions& options) {
  std::string url = options.api_url.empty() ? DefaultApiUrl(scope.forge) : options.api_url;
  while (!url.empty() && url.back() == '/') url.pop_back();
  if (url.empty()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: say where its API is with --api-url (https://HOST/api/v1)", scope.text));
  }
  if (OriginOf(url).empty()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: the API's address must begin with https://, not %s", scope.text, url));
  }
  if (url.rfind("http://", 0) == 0 && !IsLoopback(url)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: the API's address must begin with https://: tokens would be read on the way to %s", scope.text, url));
  }
  return url;
}

RepositoryOutcome Outcome(std::string_view name, RepositoryOutcome::Status status, std::string_view reason,
                          const v1::RepositoryRecord& record = {}) {
  RepositoryOutcome outcome = OutcomeOf(record, {});
  outcome.name = name;
  outcome.status = status;
  outcome.reason = reason;
  return outcome;
}

// Lists scopes one after the other into an Organization.
class Organizer {
 public:
  Organizer(const ForgeOptions& options, Ledger& ledger, const std::function<void(const std::string&)>& say)
      : options_(options), ledger_(ledger), say_(say), budgets_(options.api.budgets) {
    if (budgets_ == nullptr) budgets_ = std::make_shared<TokenBudgets>();
  }

  absl::StatusOr<Organization> Run(std::vector<ForgeScope> scopes) {
    RETURN_IF_ERROR(CheckScopes(scopes, options_));
    for (size_t i = 0; i < scopes.size(); ++i) {
      if (scopes[i].kind == ForgeScope::Kind::kApp) {
        ASSIGN_OR_RETURN(std::vector<ForgeScope> installations, AddApp(scopes[i]));
        scopes.insert(scopes.begin() + static_cast<ptrdiff_t>(i) + 1, installations.begin(), installations.end());
        continue;
      }
      RETURN_IF_ERROR(AddScope(scopes[i]));
    }
    NameNetworks();
    return std::move(result_);
  }

  absl::StatusOr<std::unique_ptr<RemoteSource>> Open(std::string text) {
    const bool gists = text.ends_with(kGists);
    if (gists) text.resize(text.size() - kGists.size());
    const std::optional<ForgeScope> scope = ParseForgeScope(text);
    if (!scope) return absl::NotFoundError(absl::StrFormat("%s is no scope of a forge", text));
    ASSIGN_OR_RETURN(const std::string api_url, ApiUrl(*scope, options_));
    ASSIGN_OR_RETURN(RemoteSource* source, OpenScope(*scope, api_url));
    if (gists) {
      const Forge* const forge = source->forge->Gists(api_url);
      if (forge == nullptr) return absl::NotFoundError(absl::StrFormat("%s has no gists", text));
      source = &AddSource(source->scope, *forge, source->client, api_url);
      source->scope.text += kGists;
    }
    return std::move(result_.sources.back());
  }

 private:
  absl::Status ReadAppKey() {
    RETURN_IF_ERROR(CheckPrivate(options_.app_key_file));
    std::ifstream file(options_.app_key_file);
    app_key_ = {options_.app_id, {std::istreambuf_iterator<char>(file), {}}};
    return AppJwt(app_key_, absl::Now()).status();
  }

  ApiOptions ClientOptions(const Forge& forge) const {
    ApiOptions api = options_.api;
    api.budget.per_minute = forge.RequestsPerMinute();
    api.budgets = budgets_;
    api.on_wait = say_;
    return api;
  }

  absl::StatusOr<std::vector<std::unique_ptr<TokenSource>>> Tokens(const ForgeScope& scope,
                                                                   const std::string& api_url) {
    std::vector<std::unique_ptr<TokenSource>> tokens;
    if (!options_.app_id.empty()) {
      RETURN_IF_ERROR(ReadAppKey());
      ASSIGN_OR_RETURN(const std::string installation, InstallationOf(scope, api_url));
      if (options_.inspect) RETURN_IF_ERROR(InspectInstallation(scope, installation, api_url));
      tokens.push_back(InstallationToken(installation, AppClient(GitHub(), api_url)));
      return tokens;
    }
    for (const std::string& file : options_.token_files) {
      ASSIGN_OR_RETURN(std::string token, ReadTokenFile(file));
      tokens.push_back(StaticToken("token file " + file, std::move(token)));
    }
    const char* variable = TokenVariable(scope.forge);
    const char* token = std::getenv(variable);
    if (tokens.empty() && token != nullptr && *token != '\0') tokens.push_back(StaticToken(variable, token));
    return tokens;
  }

  std::unique_ptr<ApiClient> AppClient(const Forge& forge, const std::string& api_url) {
    std::vector<std::unique_ptr<TokenSource>> tokens;
    tokens.push_back(AppToken(app_key_));
    return std::make_unique<ApiClient>(api_url, std::move(tokens), forge.Authorize(), ClientOptions(forge));
  }

  absl::StatusOr<std::string> InstallationOf(const ForgeScope& scope, const std::string& api_url) {
    if (scope.kind == ForgeScope::Kind::kInstallation) return scope.name;
    const char* place = scope.kind == ForgeScope::Kind::kUser ? "users" : "orgs";
    const std::unique_ptr<ApiClient> app = AppClient(GitHub(), api_url);
    ASSIGN_OR_RETURN(const HttpResponse response,
                     app->Get(absl::StrFormat("/%s/%s/installation", place, PercentEncoded(scope.name)),
                              GitHub().Headers()));
    ASSIGN_OR_RETURN(const Json json, ParseBody(response));
    const std::string id = IdField(json, "id");
    if (id.empty()) return absl::NotFoundError(absl::StrFormat("the App is not installed on %s", scope.name));
    return id;
  }

  // One installation of the App, as a scope.
  static ForgeScope InstallationScope(const ForgeScope& app, const std::string& id) {
    ForgeScope scope = app;
    scope.kind = ForgeScope::Kind::kInstallation;
    scope.name = id;
    scope.text = "github:installation/" + id;
    return scope;
  }

  // All installations of the App, by id; whether they are of use.
  absl::StatusOr<std::map<std::string, bool>> Installations(const std::string& api_url) {
    RETURN_IF_ERROR(ReadAppKey());
    const std::unique_ptr<ApiClient> app = AppClient(GitHub(), api_url);
    std::map<std::string, bool> installations;
    for (std::string url = "/app/installations?per_page=100"; !url.empty();) {
      ASSIGN_OR_RETURN(const HttpResponse response, app->Get(url, GitHub().Headers()));
      ASSIGN_OR_RETURN(const Json list, ParseBody(response));
      if (!list.is_array()) return absl::FailedPreconditionError("an answer that lists no installations");
      for (const Json& json : list) {
        const bool suspended = json.is_object() && json.contains("suspended_at") && !json["suspended_at"].is_null();
        const std::string id = IdField(json, "id");
        if (!id.empty()) installations[id] = !suspended;
      }
      url = NextLink(response);
    }
    return installations;
  }

  // The installations to list. Says of the others why not, and what they had.
  absl::StatusOr<std::vector<ForgeScope>> AddApp(const ForgeScope& scope) {
    ASSIGN_OR_RETURN(const std::string api_url, ApiUrl(scope, options_));
    const std::string note_name = absl::StrFormat("installations %s %s", api_url, options_.app_id);
    ASSIGN_OR_RETURN(const v1::ScopeNote before, ReadScope(note_name));  // of ids
    const absl::StatusOr<std::map<std::string, bool>> now = Installations(api_url);
    std::vector<ForgeScope> scopes;
    if (!now.ok()) {
      RETURN_IF_ERROR(AddFailure(scope, api_url, now.status()));
      for (const std::string& id : before.keys()) {
        RETURN_IF_ERROR(AccountForMissing(InstallationScope(scope, id), nullptr, api_url, {}));
      }
      return scopes;
    }
    for (const auto& [id, usable] : *now) {
      const ForgeScope installation = InstallationScope(scope, id);
      if (usable) {
        scopes.push_back(installation);
      } else {
        RETURN_IF_ERROR(
            AddFailure(installation, api_url, absl::PermissionDeniedError("the installation is suspended")));
      }
    }
    std::set<std::string> known;
    for (const auto& [id, usable] : *now) known.insert(id);
    for (const std::string& id : before.keys()) {
      if (!known.insert(id).second) continue;
      const RemoteSource& source =
          AddSource(InstallationScope(scope, id), GitHub(), AppClient(GitHub(), api_url), api_url);
      RETURN_IF_ERROR(AccountForMissing(source.scope, &source, api_url, {}));
    }
    RETURN_IF_ERROR(WriteScope(note_name, known));
    return scopes;
  }

  void Remark(const ForgeScope& scope, bool good, std::string text) {
    result_.remarks.push_back({scope.text, std::move(text), good});
  }

  absl::Status InspectInstallation(const ForgeScope& scope, const std::string& id, const std::string& api_url) {
    const std::unique_ptr<ApiClient> app = AppClient(GitHub(), api_url);
    const absl::StatusOr<HttpResponse> response = app->Get("/app/installations/" + id, GitHub().Headers());
    if (!response.ok()) return response.status();
    ASSIGN_OR_RETURN(const Json json, ParseBody(*response));
    const bool selected = TextField(json, "repository_selection") == "selected";
    Remark(scope, !selected, selected ? "the installation covers only selected repositories: others are not seen"
                                      : "the installation covers all repositories");
    const Json& permissions = Child(json, "permissions");
    for (const char* name : {"contents", "metadata"}) {
      const std::string held = TextField(permissions, name);
      Remark(scope, !held.empty(), absl::StrFormat("permission %s: %s", name, held.empty() ? "missing" : held));
    }
    return absl::OkStatus();
  }

  // What the forge says of each token itself. Of an installation's it says nothing: InspectInstallation asks.
  absl::Status InspectTokens(const ForgeScope& scope, const Forge& forge, const std::string& api_url) {
    Remark(scope, true, absl::StrFormat("wanted: %s", forge.Permissions()));
    if (!options_.app_id.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(std::vector<std::unique_ptr<TokenSource>> tokens, Tokens(scope, api_url));
    if (tokens.empty()) {
      Remark(scope, false, absl::StrFormat("no token (%s, --token-file): only what is public is seen",
                                           TokenVariable(scope.forge)));
    }
    for (std::unique_ptr<TokenSource>& token : tokens) {
      const std::string name = token->name();
      std::vector<std::unique_ptr<TokenSource>> alone;
      alone.push_back(std::move(token));
      ApiClient client(api_url, std::move(alone), forge.Authorize(), ClientOptions(forge));
      RETURN_IF_ERROR(InspectToken(scope, forge, name, client));
    }
    return absl::OkStatus();
  }

  absl::Status InspectToken(const ForgeScope& scope, const Forge& forge, const std::string& name, ApiClient& client) {
    const auto say = [&](bool good, const std::string& text) {
      Remark(scope, good, absl::StrFormat("%s: %s", name, text));
    };
    const std::string path = forge.IdentityPath(scope);
    const absl::StatusOr<HttpResponse> response =
        path.empty() ? absl::NotFoundError("") : client.Get(path, forge.Headers());
    if (absl::IsCancelled(response.status())) return response.status();
    const std::string why(response.status().message());
    // A token that is refused (401) is not one that may not hear about itself (403): those of installations and
    // of repositories may not, and are good all the same.
    if (absl::IsNotFound(response.status()) || why.find(" answered 403") != std::string::npos) {
      say(true, "the forge does not say what it may do: what follows shows whether it is enough");
      return absl::OkStatus();
    }
    if (!response.ok()) {
      say(false, why);
      return absl::OkStatus();
    }
    const absl::StatusOr<Json> parsed = ParseBody(*response);
    if (!parsed.ok()) {
      Remark(scope, false, std::string(parsed.status().message()));
      return absl::OkStatus();
    }
    const Json& json = *parsed;
    std::string who = TextField(json, "login");
    if (who.empty()) who = TextField(json, "name");
    if (!who.empty()) say(true, "speaks for " + who);
    std::string scopes(response->header("x-oauth-scopes"));
    for (const Json& held : Child(json, "scopes")) {
      if (held.is_string()) scopes += (scopes.empty() ? "" : ", ") + held.get<std::string>();
    }
    if (!scopes.empty()) {  // GitHub's fine-grained tokens have none, and it does not say what they have.
      const std::string missing = MissingScopes(scope, scopes);
      say(missing.empty(), absl::StrFormat("scopes: %s%s", scopes, missing));
    }
    if (const std::string_view sso = response->header("x-github-sso"); !sso.empty()) {
      say(false, "single sign-on: it is not authorised for every organization");
    }
    std::string ends(response->header("github-authentication-token-expiration"));
    if (ends.empty()) ends = TextField(json, "expires_at");
    absl::Time end;
    std::string error;
    if (!ends.empty() && absl::ParseTime("%Y-%m-%d", ends.substr(0, 10), &end, &error)) {
      const absl::Duration left = end - absl::Now();
      say(left > absl::Hours(24 * 14), absl::StrFormat("ends on %s", ends));
    }
    const std::string remaining(response->header("x-ratelimit-remaining"));
    if (!remaining.empty()) {
      say(remaining != "0", absl::StrFormat("%s of %s API calls are left in this hour", remaining,
                                            std::string(response->header("x-ratelimit-limit"))));
    }
    return absl::OkStatus();
  }

  // "; missing: …" for what a scan needs and `scopes` ("repo, read:org") do not have.
  std::string MissingScopes(const ForgeScope& scope, const std::string& scopes) const {
    const std::vector<std::string> held = absl::StrSplit(scopes, absl::ByAnyChar(", "), absl::SkipEmpty());
    // One of each is enough: the larger ones include the smaller.
    std::vector<std::vector<std::string>> wanted;
    if (scope.forge == "github") {
      wanted = {{"repo"}};
      const bool members = options_.max_gists > 0 && scope.kind == ForgeScope::Kind::kOrganization;
      if (members) wanted.push_back({"read:org", "write:org", "admin:org"});
    } else if (scope.forge == "gitlab") {
      wanted = {{"read_api", "api"}, {"read_repository", "write_repository", "api"}};
    } else if (scope.forge == "bitbucket") {
      wanted = {{"repository", "repository:write", "repository:admin", "read:repository:bitbucket"}};
    }
    std::string missing;
    for (const std::vector<std::string>& one_of : wanted) {
      if (std::find_first_of(held.begin(), held.end(), one_of.begin(), one_of.end()) != held.end()) continue;
      missing += (missing.empty() ? "; missing: " : ", ") + one_of.front();
    }
    return missing;
  }

  RemoteSource& AddSource(const ForgeScope& scope, const Forge& forge, std::shared_ptr<ApiClient> client,
                          const std::string& api_url) {
    RemoteSource& source = *result_.sources.emplace_back(std::make_unique<RemoteSource>());
    source.client = std::move(client);
    source.forge = &forge;
    source.scope = scope;
    source.web_url = forge.WebUrl(api_url);
    return source;
  }

  // What cannot even be asked for is an outcome, and so is all that it had.
  absl::Status AddFailure(const ForgeScope& scope, const std::string& api_url, const absl::Status& why) {
    if (absl::IsCancelled(why)) return why;
    AddOutcome(scope.text, StatusFor(why), std::string(why.message()));
    RETURN_IF_ERROR(AccountForMissing(scope, nullptr, api_url, {}));
    ForgeScope gists = scope;
    gists.text += kGists;
    return options_.max_gists == 0 ? absl::OkStatus() : AccountForMissing(gists, nullptr, api_url, {});
  }

  // Lists what `source` names (and `further` pages); why it is not all is said in outcomes.
  absl::StatusOr<Listing> List(RemoteSource& source, const std::vector<std::string>& further = {}) {
    const std::string& name = source.scope.text;
    std::string unasked;
    if (source.scope.kind == ForgeScope::Kind::kUser && source.forge->ListsMoreToOwners()) {
      const absl::StatusOr<bool> own = IsOwn(source);
      if (absl::IsCancelled(own.status())) return own.status();
      source.scope.own = own.value_or(false);
      if (!own.ok()) unasked = absl::StrFormat("whose the token is cannot be asked: %s", std::string(own.status().message()));
    }
    if (const char* what = source.forge->NotListed(source.scope)) {
      AddOutcome(name, RepositoryOutcome::Status::kOk, what);
    }
    ASSIGN_OR_RETURN(Listing listing,
                     ListScope(*source.forge, source.scope, *source.client, ledger_, [&](size_t repositories) {
                       say_(absl::StrFormat("listing %s: %d", name, repositories));
                     }, further));
    if (!unasked.empty()) listing.incomplete.push_back(std::move(unasked));
    for (const std::string& why : listing.incomplete) {
      AddOutcome(name, RepositoryOutcome::Status::kFailed, "not all of it could be listed: " + why);
    }
    for (const v1::ForgeRepository& repository : listing.repositories) {
      result_.keys.insert(KeyOf(repository, source));
      if (repository.has_wiki()) result_.keys.insert(KeyOf(repository, source) + std::string(kWiki));
    }
    return listing;
  }

  bool IsSelected(const v1::ForgeRepository& repository) {
    if (WhyNot(options_.selection, repository) != nullptr) {
      ++result_.not_selected;
      return false;
    }
    return true;
  }

  // A client for the scope's forge, with its tokens.
  absl::StatusOr<RemoteSource*> OpenScope(ForgeScope scope, const std::string& api_url) {
    const Forge& forge = ForgeNamed(scope.forge, api_url);
    ASSIGN_OR_RETURN(std::vector<std::unique_ptr<TokenSource>> tokens, Tokens(scope, api_url));
    // An installation on a user is listed as any other: that user's own listings are closed to it.
    if (!options_.app_id.empty() && scope.kind == ForgeScope::Kind::kUser) scope.kind = ForgeScope::Kind::kInstallation;
    return &AddSource(scope, forge,
                      std::make_shared<ApiClient>(api_url, std::move(tokens), forge.Authorize(), ClientOptions(forge)),
                      api_url);
  }

  absl::Status AddScope(const ForgeScope& scope) {
    ASSIGN_OR_RETURN(const std::string api_url, ApiUrl(scope, options_));
    const Forge& forge = ForgeNamed(scope.forge, api_url);
    const absl::StatusOr<RemoteSource*> opened = OpenScope(scope, api_url);
    if (!opened.ok()) return AddFailure(scope, api_url, opened.status());
    RemoteSource& source = **opened;
    ApiClient& client = *source.client;
    if (options_.inspect) RETURN_IF_ERROR(InspectTokens(scope, forge, api_url));
    ASSIGN_OR_RETURN(Listing listing, List(source));
    if (const std::string graphql = forge.GraphQlUrl(api_url); !graphql.empty() && !client.is_anonymous()) {
      RETURN_IF_ERROR(LearnForkParents(graphql, scope.text, client, ledger_, &listing.repositories));
    }
    result_.listed += listing.repositories.size();
    std::set<std::string> selected;
    uint64_t age_unknown = 0;
    std::vector<std::string> gist_pages;
    absl::flat_hash_set<std::string> without_gists;  // names of what is not selected
    const Forge* gists = options_.max_gists == 0 ? nullptr : forge.Gists(api_url);
    for (v1::ForgeRepository& repository : listing.repositories) {
      RemoteTarget target = TargetOf(repository, source);
      if (!repository.parent().empty()) {
        parents_[target.key] = absl::StrFormat("%s/%s", HostOf(source.web_url), repository.parent());
      }
      if (!IsSelected(repository)) {
        if (gists != nullptr) without_gists.insert(target.name);
        continue;
      }
      age_unknown += options_.selection.pushed_since > 0 && LastActive(repository) == 0 ? 1 : 0;
      selected.insert(target.key);
      if (options_.max_wikis > 0 && repository.has_wiki()) selected.insert(target.key + std::string(kWiki));
      if (gists != nullptr) gist_pages.push_back(gists->GistsPath(repository));
      AddRepository(repository, std::move(target));
      repository.Clear();
    }
    const bool complete = listing.incomplete.empty();
    listing = {};
    AddLeftOut(scope.text + ": wikis", std::exchange(wikis_left_out_, 0), "beyond --wikis");
    if (age_unknown > 0) {
      AddOutcome(scope.text, RepositoryOutcome::Status::kOk,
                 absl::StrFormat("%d repositories are scanned whatever --pushed-since says: their forge does not say "
                                 "when they were pushed to", age_unknown));
    }
    if (gists != nullptr) {
      std::erase(gist_pages, "");
      RETURN_IF_ERROR(AddGists(AddSource(scope, *gists, source.client, api_url), api_url, gist_pages, complete,
                               without_gists));
    }
    return AccountForMissing(source.scope, complete ? &source : nullptr, api_url, std::move(selected));
  }

  // Gists of the people of a scope, and snippets of its projects (which `pages` list): repositories like others.
  // `all_projects`: no project is missing but those that are not selected, `without`.
  absl::Status AddGists(RemoteSource& source, const std::string& api_url, const std::vector<std::string>& pages,
                        bool all_projects, const absl::flat_hash_set<std::string>& without) {
    source.scope.text += kGists;
    ASSIGN_OR_RETURN(const Listing listing, List(source, pages));
    std::set<std::string> selected;
    uint64_t left_out = 0;
    for (const v1::ForgeRepository& gist : listing.repositories) {
      RemoteTarget target = TargetOf(gist, source);
      target.pushed_at = 0;  // What a forge calls an update need not be every push.
      if (!IsSelected(gist)) continue;
      if (gists_ == options_.max_gists) {
        ++left_out;
      } else if (keys_.insert(target.key).second) {
        ++gists_;
        selected.insert(target.key);
        result_.targets.push_back(std::move(target));
      }
    }
    AddLeftOut(source.scope.text, left_out, "beyond --gists");
    const bool complete = all_projects && listing.incomplete.empty();
    return AccountForMissing(source.scope, complete ? &source : nullptr, api_url, std::move(selected), without);
  }

  // Whether the token speaks for the user that the scope names; false when the forge does not say, and with several
  // tokens: whichever is asked with, another may be another's.
  static absl::StatusOr<bool> IsOwn(const RemoteSource& source) {
    if (source.client->token_count() != 1) return false;
    const absl::StatusOr<HttpResponse> response =
        source.client->Get(source.forge->IdentityPath(source.scope), source.forge->Headers());
    if (absl::IsPermissionDenied(response.status()) || absl::IsNotFound(response.status())) return false;
    if (!response.ok()) return response.status();
    ASSIGN_OR_RETURN(const Json user, ParseBody(*response));
    const std::string& name = source.scope.name;
    return strcasecmp(TextField(user, "login").c_str(), name.c_str()) == 0 ||
           strcasecmp(TextField(user, "username").c_str(), name.c_str()) == 0;
  }

  // Says how many of something a budget leaves out.
  void AddLeftOut(const std::string& name, uint64_t count, const char* why) {
    if (count == 0) return;
    v1::RepositoryRecord nothing;
    v1::Skip& skip = *nothing.mutable_coverage()->add_skips();
    skip.set_reason(v1::SKIP_REASON_NOT_FETCHED);
    skip.set_count(count);
    skip.set_detail(absl::StrFormat("%s %s", name, why));
    AddOutcome(name, RepositoryOutcome::Status::kOk, absl::StrFormat("%d %s are not scanned", count, why), nothing);
  }

  static std::string KeyOf(const v1::ForgeRepository& repository, const RemoteSource& source) {
    return absl::StrFormat("%s/%s", HostOf(source.web_url), repository.id());
  }

  static RemoteTarget TargetOf(const v1::ForgeRepository& repository, const RemoteSource& source) {
    RemoteTarget target;
    target.key = KeyOf(repository, source);
    target.name = absl::StrFormat("%s/%s", HostOf(source.web_url), repository.full_name());
    target.url = source.web_url + "/" + repository.clone_path();
    target.source = &source;
    target.size_kb = repository.size_kb();
    if (repository.listed_at() - repository.pushed_at() >= kSettledSeconds) target.pushed_at = repository.pushed_at();
    return target;
  }

  void AddRepository(const v1::ForgeRepository& repository, RemoteTarget target) {
    if (!keys_.insert(target.key).second) return;  // Another scope lists it as well.
    target.disabled = repository.disabled();
    if (!target.disabled) AddWiki(repository, target);
    result_.targets.push_back(std::move(target));
  }

  void AddWiki(const v1::ForgeRepository& repository, const RemoteTarget& target) {
    if (options_.max_wikis == 0 || !repository.has_wiki()) return;
    const std::string path = target.source->forge->WikiPath(repository);
    if (path.empty()) return;
    if (wikis_ == options_.max_wikis) {
      ++wikis_left_out_;
      return;
    }
    ++wikis_;
    RemoteTarget& wiki = result_.targets.emplace_back();  // What is known of its size and pushes is not the wiki's.
    wiki.key = target.key + std::string(kWiki);
    wiki.name = target.name + std::string(kWiki);
    wiki.url = target.source->web_url + "/" + path;
    wiki.source = target.source;
    wiki.optional = true;
  }

  // The furthest ancestor that is known of a repository.
  std::string RootOf(std::string key) const {
    for (int depth = 0; depth < kMaxForkDepth; ++depth) {
      const auto parent = parents_.find(key);
      if (parent == parents_.end()) break;
      key = parent->second;
    }
    return key;
  }

  void NameNetworks() {
    absl::flat_hash_set<std::string> roots;
    for (const auto& [key, parent] : parents_) roots.insert(RootOf(parent));
    for (std::vector<RemoteTarget>* some : {&result_.targets, &result_.missing}) {
      for (RemoteTarget& target : *some) {
        std::string root = RootOf(target.key);
        if (roots.contains(root)) target.network = std::move(root);
      }
    }
  }

  absl::StatusOr<v1::ScopeNote> ReadScope(const std::string& note_name) {
    ASSIGN_OR_RETURN(const auto stored, ledger_.ReadNote(note_name));
    v1::ScopeNote note;
    if (stored && !note.ParseFromString(*stored)) note.Clear();
    return note;
  }
  absl::Status WriteScope(const std::string& note_name, const std::set<std::string>& keys, bool own = false) {
    v1::ScopeNote note;
    note.set_own(own);
    note.mutable_keys()->Assign(keys.begin(), keys.end());
    return ledger_.WriteNote(note_name, note.SerializeAsString());
  }

  // What this scope had when it was last listed, and has no longer. `source`: what is missing was its; null: it may
  // still be there, since not all was listed. `selected`: what it has. `without`: names of repositories whose
  // snippets were not asked for.
  absl::Status AccountForMissing(const ForgeScope& scope, const RemoteSource* source, const std::string& api_url,
                                 std::set<std::string> selected,
                                 const absl::flat_hash_set<std::string>& without = {}) {
    const std::string note_name = "scope " + api_url + " " + scope.text;
    ASSIGN_OR_RETURN(const v1::ScopeNote note, ReadScope(note_name));
    if (note.own() && !scope.own) source = nullptr;  // What only its owner may see need not be gone.
    for (const std::string& key : note.keys()) {
      if (result_.keys.contains(key)) continue;
      const bool wiki = key.ends_with(kWiki);
      if (wiki && options_.max_wikis == 0) continue;
      ASSIGN_OR_RETURN(const v1::RepositoryRecord record, ledger_.OpenRepository(key, ""));
      if (without.contains(record.name().substr(0, record.name().rfind("/snippets/")))) continue;
      if (wiki && record.tips_digest().empty()) continue;  // There never was one.
      selected.insert(key);  // It is said every time, until it is purged.
      RemoteTarget& target = result_.missing.emplace_back();
      target.key = key;
      target.name = record.name();
      target.source = source;
      if (source != nullptr) {
        target.gone = "its forge lists it no longer: deleted, moved away, or hidden from this token";
      }
    }
    return WriteScope(note_name, selected, scope.own || note.own());
  }

  static RepositoryOutcome::Status StatusFor(const absl::Status& status) {
    return absl::IsPermissionDenied(status) ? RepositoryOutcome::Status::kRefused
                                            : RepositoryOutcome::Status::kFailed;
  }

  void AddOutcome(std::string_view name, RepositoryOutcome::Status status, std::string_view reason,
                  const v1::RepositoryRecord& record = {}) {
    result_.outcomes.push_back(Outcome(name, status, reason, record));
  }

  const ForgeOptions& options_;
  Ledger& ledger_;
  const std::function<void(const std::string&)>& say_;
  std::shared_ptr<TokenBudgets> budgets_;
  AppKey app_key_;
  Organization result_;
  absl::flat_hash_set<std::string> keys_;  // of what is scanned, of all scopes
  absl::flat_hash_map<std::string, std::string> parents_;  // of all listed forks, by key
  uint64_t wikis_ = 0, gists_ = 0;  // of all scopes
  uint64_t wikis_left_out_ = 0;     // of the scope that is being added
};

}  // namespace

RemoteTarget TargetOfUrl(const CloneUrl& url, const RemoteSource& source) {
  RemoteTarget target;
  target.key = "url:" + url.name;
  target.name = url.name;
  target.url = url.url;
  target.authorization = url.authorization;
  target.source = &source;
  return target;
}

absl::StatusOr<std::vector<GivenToken>> AuthorizationsToGive(const RemoteTarget& target) {
  if (target.source->client == nullptr) {
    return std::vector<GivenToken>{{target.authorization, absl::UnimplementedError("the password of a URL")}};
  }
  ASSIGN_OR_RETURN(std::vector<GivenToken> tokens, target.source->client->GitTokensFor(target.AtForge().id()));
  for (GivenToken& token : tokens) {
    if (!token.value.empty()) token.value = target.source->forge->GitAuthorization(token.value);
  }
  return tokens;
}

absl::StatusOr<std::vector<std::string>> AuthorizationsFor(const RemoteTarget& target) {
  if (target.source->client == nullptr) return std::vector<std::string>{target.authorization};
  ASSIGN_OR_RETURN(std::vector<std::string> tokens, target.source->client->GitTokens());
  for (std::string& token : tokens) {
    if (!token.empty()) token = target.source->forge->GitAuthorization(token);
  }
  return tokens;
}

std::string RemoteTarget::folder() const {
  // No URL's folder begins with "by-id": the first part of theirs is a host.
  return MirrorFolder(source->client == nullptr ? name : "by-id/" + key);
}

std::vector<std::string> RemoteTarget::DroppedCommitsPaths() const {
  if (source->client == nullptr || optional) return {};
  return source->forge->DroppedCommitsPaths(source->forge->RepositoryPath(AtForge()));
}

// A gist's and a snippet's id is without what tells it from a repository's: nobody takes one for renamed, whose
// address is made of its id.
v1::ForgeRepository RemoteTarget::AtForge() const {
  v1::ForgeRepository repository;
  repository.set_id(key.substr(key.rfind('/') + 1));
  repository.set_full_name(name.substr(HostOf(source->web_url).size() + 1));
  return repository;
}

absl::Status CheckScopes(const std::vector<ForgeScope>& scopes, const ForgeOptions& options) {
  const bool credentials = !options.token_files.empty() || !options.app_id.empty();
  if (credentials && scopes.empty()) {
    return absl::InvalidArgumentError(
        "a token file and an App are for the repositories of a forge (github:ORG); a clone URL brings its own "
        "credentials (https://USER:TOKEN@HOST/…)");
  }
  for (const ForgeScope& scope : scopes) {
    RETURN_IF_ERROR(ApiUrl(scope, options).status());
    if ((credentials || !options.api_url.empty()) && scope.forge != scopes.front().forge) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s and %s: an API's address and its tokens are for one kind of forge; scan the others with another "
          "command, or in another [[scope]] of `unsprawl run`", scopes.front().text, scope.text));
    }
    if (!options.app_id.empty() && scope.forge != "github") {
      return absl::InvalidArgumentError(absl::StrFormat("%s: an App is GitHub's", scope.text));
    }
    if (options.app_id.empty() && scope.kind == ForgeScope::Kind::kApp) {
      return absl::InvalidArgumentError("github:app wants an App: --app-id and --app-key-file");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Organization> ListOrganization(const std::vector<ForgeScope>& scopes, const ForgeOptions& options,
                                              Ledger& ledger,
                                              const std::function<void(const std::string&)>& say) {
  return Organizer(options, ledger, say).Run(scopes);
}

absl::StatusOr<std::unique_ptr<RemoteSource>> OpenSource(const std::string& text, const ForgeOptions& options,
                                                         Ledger& ledger) {
  const std::function<void(const std::string&)> say = [](const std::string&) {};
  return Organizer(options, ledger, say).Open(text);
}

absl::Status AddMissing(Ledger& ledger, std::vector<Organization>* organizations) {
  absl::flat_hash_set<std::string> settled;
  for (const Organization& organization : *organizations) {
    settled.insert(organization.keys.begin(), organization.keys.end());
  }
  // What may still be there is not called gone by another scope.
  for (const bool gone : {false, true}) {
    for (Organization& organization : *organizations) {
      for (RemoteTarget& target : organization.missing) {
        if (target.gone.empty() == gone || !settled.insert(target.key).second) continue;
        if (gone) {
          organization.targets.push_back(std::move(target));
          continue;
        }
        ASSIGN_OR_RETURN(const v1::RepositoryRecord record, ledger.OpenRepository(target.key, ""));
        organization.outcomes.push_back(Outcome(record.name(), RepositoryOutcome::Status::kFailed,
                                                "missing from a listing that is incomplete", record));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace unsprawl
