// What scopes list and how they go together: paging, people, renames, several forges, several groups of a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr char kToken[] = "the-token-of-the-reader";

struct ForgeCase {
  std::string scope, api, variable;
};
const std::vector<ForgeCase>& AllForges() {
  static const std::vector<ForgeCase> cases = {{"github:acme", "/api/v3", "GITHUB_TOKEN"},
                                               {"gitlab:acme", "/gitlab/api/v4", "GITLAB_TOKEN"},
                                               {"bitbucket:acme", "/bitbucket/2.0", "BITBUCKET_TOKEN"},
                                               {"bitbucket:ACME", "/bbdc/rest/api/1.0", "BITBUCKET_TOKEN"},
                                               {"gitea:acme", "/gitea/api/v1", "GITEA_TOKEN"},
                                               {"azure:acme", "/azure", "AZURE_DEVOPS_TOKEN"}};
  return cases;
}

class ScopesTest : public testing::Test {
 protected:
  ScopesTest() {
    for (const char* variable :
         {"GITHUB_TOKEN", "GITLAB_TOKEN", "BITBUCKET_TOKEN", "GITEA_TOKEN", "AZURE_DEVOPS_TOKEN"}) {
      cli_.SetVariable(variable, kToken);
    }
    WriteFile(home_.path() / "token", std::string(kToken) + "\n");
    std::filesystem::permissions(home_.path() / "token", std::filesystem::perms::owner_read);
  }

  // A bare repository with a secret of its own; its path.
  std::string MakeBare(const std::string& name, uint32_t secret) const {
    GitRepo repo(home_.path() / "work" / name);
    repo.Write("s.env", "t=" + FakeGithubToken(secret) + "\n");
    repo.Commit();
    unsprawl::Run(home_.path(), {"git", "clone", "-q", "--bare", repo.path(), name + ".git"});
    return home_.path() / (name + ".git");
  }
  // Another commit with another secret.
  void Push(const std::string& name, uint32_t secret) const {
    unsprawl::Run(home_.path(), {"git", "clone", "-q", name + ".git", "push-" + name});
    WriteFile(home_.path() / ("push-" + name) / "more.env", "t=" + FakeGithubToken(secret) + "\n");
    for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
             {"add", "-A"},
             {"-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "more"},
             {"push", "-q"}}) {
      std::vector<std::string> command = {"git", "-C", "push-" + name};
      command.insert(command.end(), arguments.begin(), arguments.end());
      unsprawl::Run(home_.path(), command);
    }
  }
  // `count` private repositories acme/app0, … with ids from 100, each with a secret.
  json Repositories(uint32_t count) const {
    json repositories = json::array();
    for (uint32_t i = 0; i < count; ++i) {
      const std::string name = absl::StrFormat("app%d", i);
      repositories.push_back({{"id", 100 + i}, {"owner", "acme"}, {"name", name}, {"private", true},
                              {"path", MakeBare(name, i)}, {"pushed_at", "2024-05-01T12:00:00Z"}});
    }
    return repositories;
  }
  static json Settings(json repositories) {
    return {{"repositories", std::move(repositories)}, {"tokens", {{"reader", {{"value", kToken}}}}}};
  }

  CliResult Scan(const ForgeServer& forge, const std::string& api, const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"--api-url", forge.Url() + api, "--ca-file", forge.CaFile(), "--mirrors",
                                          home_.path() / "mirrors"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return cli_.Scan(arguments);
  }
  // With a store and mirrors of its own.
  CliResult ScanAnew(const ForgeServer& forge, const std::string& api, std::vector<std::string> more) {
    const std::string mirrors = home_.path() / absl::StrFormat("mirrors%d", ++scans_);
    more.insert(more.end(), {"--store", ":memory:"});
    std::vector<std::string> arguments = {"--api-url", forge.Url() + api, "--ca-file", forge.CaFile(), "--mirrors",
                                          mirrors};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return cli_.Scan(arguments);
  }
  // `unsprawl run` of scopes that are the text of [[scope]]s, each with the API and the token file of the forge.
  CliResult RunScopes(const ForgeServer& forge, const std::vector<std::string>& scopes) const {
    std::string text = "store = \"store\"\noutput = \"report\"\nmirrors = \"mirrors\"\n";
    text += absl::StrFormat("ca_file = \"%s\"\n", forge.CaFile().native());
    for (const std::string& scope : scopes) {
      text += absl::StrFormat("[[scope]]\napi_url = \"%s\"\n%s\n", forge.ApiUrl(), scope);
    }
    WriteFile(home_.path() / "run.toml", text);
    return cli_.Run({"run", "-q", home_.path() / "run.toml"});
  }

  // What manifest.json says of the repository whose name ends so; null: nothing.
  json Outcome(const std::string& name) const {
    const json manifest = cli_.Json("manifest.json");
    for (const json& repository : manifest["repositories"]) {
      if (repository["name"].get<std::string>().ends_with(name)) return repository;
    }
    return {};
  }
  // How often the report has a repository with this status.
  int64_t Count(const std::string& status) const { return cli_.Json("manifest.json")["coverage"].value(status, 0); }
  uint64_t Incidents() const { return cli_.Rows("incidents.jsonl").size(); }

  TempDir home_;
  Cli cli_{home_.path()};
  int scans_ = 0;
};

// The last words of the lines of --list-only that name repositories.
std::multiset<std::string> Listed(const std::string& plan) {
  std::multiset<std::string> names;
  std::istringstream lines(plan);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("fetch, scan") == std::string::npos) continue;
    names.insert(line.substr(line.rfind('/') + 1));
  }
  return names;
}

TEST_F(ScopesTest, ListingsOfManyPagesAreWholeAtEveryForgeAndUnchangedOnesAreAskedForConditionally) {
  json repositories = json::array();
  std::multiset<std::string> names;
  for (int i = 0; i < 247; ++i) {
    names.insert(absl::StrFormat("x%03d", i));
    repositories.push_back({{"id", 100 + i}, {"owner", "acme"}, {"name", absl::StrFormat("x%03d", i)},
                            {"project", absl::StrFormat("p%03d", i)}});
  }
  const ForgeServer forge(Settings(repositories));
  const auto check = [&](const ForgeCase& one, int pages) {
    forge.ResetCounters();
    const CliResult first = Scan(forge, one.api, {"--list-only", one.scope});
    EXPECT_EQ(first.exit_code, 0) << one.scope << first.err;
    EXPECT_EQ(Listed(first.out), names) << one.scope << one.api;
    // Listed twice, since pages shift; the second time nothing had changed.
    EXPECT_EQ(forge.Counters()["requests"]["api"], 2 * pages) << one.scope << one.api;
    EXPECT_EQ(forge.Counters()["not_modified"], pages) << one.scope << one.api;
    forge.ResetCounters();
    const CliResult second = Scan(forge, one.api, {"--list-only", one.scope});
    EXPECT_EQ(Listed(second.out), names) << one.scope << one.api;
    EXPECT_EQ(forge.Counters()["requests"]["api"], pages) << one.scope << one.api;
    EXPECT_EQ(forge.Counters()["not_modified"], pages) << one.scope << one.api;
  };
  for (const ForgeCase& one : AllForges()) {
    // Gitea's pages are of 50; Azure's are of projects, and then of the repositories of each.
    check(one, one.api.starts_with("/gitea") ? 5 : one.api == "/azure" ? 3 + 247 : 3);
  }
  forge.Set({{"gitlab_group_keyset", true}});
  std::filesystem::remove_all(home_.path() / ".local");
  check(AllForges()[1], 3);
}

TEST_F(ScopesTest, APageThatFollowsOneThatIsUnchangedIsFound) {
  json repositories = json::array();
  for (int i = 0; i < 100; ++i) {
    repositories.push_back({{"id", 100 + i}, {"owner", "acme"}, {"name", absl::StrFormat("x%d", i)}});
  }
  const ForgeServer forge(Settings(repositories));
  forge.Set({{"etag_of_content", true}});
  EXPECT_EQ(Listed(Scan(forge, "/api/v3", {"--list-only", "github:acme"}).out).size(), 100u);
  forge.ChangeRepository({{"id", 300}, {"owner", "acme"}, {"name", "late"}});
  EXPECT_EQ(Listed(Scan(forge, "/api/v3", {"--list-only", "github:acme"}).out).count("late"), 1u);
  // What follows a page may be said with a 304 as well.
  for (int i = 1; i < 100; ++i) {
    forge.ChangeRepository({{"id", 300 + i}, {"owner", "acme"}, {"name", absl::StrFormat("y%d", i)}});
  }
  EXPECT_EQ(Listed(Scan(forge, "/api/v3", {"--list-only", "github:acme"}).out).size(), 200u);
  forge.ChangeRepository({{"id", 400}, {"owner", "acme"}, {"name", "last"}});
  forge.Set({{"link_on_304", true}});
  EXPECT_EQ(Listed(Scan(forge, "/api/v3", {"--list-only", "github:acme"}).out).size(), 201u);
}

TEST_F(ScopesTest, MembersThatArePagedTwiceAreAskedOnce) {
  json settings = Settings(json::array());
  settings["organizations"] = {"acme"};
  json members = json::array();
  for (int i = 0; i < 110; ++i) members.push_back(absl::StrFormat("u%d", i));
  settings["users"] = members;
  // The last of the first page is the first of the second, too, as when a member joins meanwhile.
  members.insert(members.begin() + 100, members[99]);
  settings["members"] = {{"acme", members}};
  settings["gists"] = {{{"id", "ab"}, {"owner", "u109"}, {"path", MakeBare("gist", 400)}}};
  const ForgeServer forge(settings);
  const CliResult scan = ScanAnew(forge, "/api/v3", {"--gists", "9", "github:acme"});
  EXPECT_EQ(scan.exit_code, 1) << scan.out << scan.err;
  EXPECT_EQ(Incidents(), 1u);
}

TEST_F(ScopesTest, OneThatIsRenamedOrMovedBetweenListingAndFetchIsFollowedWhereItCanBeAskedForById) {
  const json repositories = Repositories(2);
  const ForgeServer forge(Settings(repositories));
  for (const ForgeCase& one : AllForges()) {
    for (const json& change : std::vector<json>{{{"id", 101}, {"name", "other-name"}},
                                                {{"id", 101}, {"owner", "other"}, {"name", "moved"}}}) {
      const bool moved = change.contains("owner");
      if (moved && one.api == "/azure") continue;  // Azure moves nothing to another organization.
      forge.Set({{"repositories", repositories}});
      forge.Fault({{"match", "GET .*(repos|projects|repositories/acme)"}, {"after", one.api == "/azure" ? 1 : 0},
                   {"kind", "change"}, {"repository", change}});
      const CliResult scan = ScanAnew(forge, one.api, {one.scope});
      EXPECT_EQ(forge.Counters()["faults"], 1) << one.api;
      forge.ResetCounters();
      if (one.api.starts_with("/bbdc")) {  // It finds nothing by its id: the next listing has it.
        EXPECT_EQ(scan.exit_code, 3) << scan.out;
        EXPECT_EQ(Count("failed"), 1);
        continue;
      }
      EXPECT_EQ(scan.exit_code, 1) << one.api << change << scan.out << scan.err;
      EXPECT_EQ(Incidents(), 2u) << one.api << change;
    }
  }
}

TEST_F(ScopesTest, WhatAForgeHasDisabledIsRefused) {
  json repositories = Repositories(2);
  repositories[1]["disabled"] = true;
  const ForgeServer forge(Settings(repositories));
  for (const ForgeCase& one : AllForges()) {
    if (one.api.starts_with("/bitbucket") || one.api.starts_with("/gitea")) continue;  // They have no such thing.
    const CliResult scan = ScanAnew(forge, one.api, {one.scope});
    EXPECT_EQ(scan.exit_code, 3) << one.api << scan.out;
    EXPECT_EQ(Outcome("app1")["status"], "refused") << one.api;
    EXPECT_EQ(Incidents(), 1u) << one.api;
  }
}

TEST_F(ScopesTest, AUsersPrivateRepositoriesAreListedToThatUserAndTheirAbsenceIsSaidToOthers) {
  json repositories = Repositories(3);
  for (json& repository : repositories) repository["owner"] = "ann";
  repositories[0]["private"] = false;
  repositories[2]["owner"] = "acme";
  json settings = Settings(repositories);
  settings["users"] = {"ann"};
  settings["tokens"]["reader"]["login"] = "ann";
  settings["tokens"]["second"] = {{"value", "the-token-of-another"}, {"login", "bob"}};
  settings["app"] = {{"id", 5}, {"public_pem", MakeAppKey(home_.path() / "app.pem")}};
  std::filesystem::permissions(home_.path() / "app.pem", std::filesystem::perms::owner_read);
  settings["installations"] = {{{"id", 77}, {"account", "ann"}}};
  const ForgeServer forge(settings);
  WriteFile(home_.path() / "second", "the-token-of-another\n");
  std::filesystem::permissions(home_.path() / "second", std::filesystem::perms::owner_read);

  CliResult scan = ScanAnew(forge, "/api/v3", {"github:user/Ann"});
  EXPECT_EQ(scan.exit_code, 1) << scan.out << scan.err;
  EXPECT_EQ(Incidents(), 2u);
  EXPECT_EQ(Outcome("github:user/Ann"), json());
  scan = ScanAnew(forge, "/api/v3", {"github:user/ann", "--app-id", "5", "--app-key-file", home_.path() / "app.pem"});
  EXPECT_EQ(scan.exit_code, 1) << scan.out << scan.err;
  EXPECT_EQ(Incidents(), 2u);
  EXPECT_EQ(Outcome("github:user/ann"), json());
  // Of two tokens one is another's, whichever is asked with.
  for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{
           {"--token-file", home_.path() / "second"},
           {"--token-file", home_.path() / "token", "--token-file", home_.path() / "second"}}) {
    std::vector<std::string> arguments = {"github:user/ann"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    scan = ScanAnew(forge, "/api/v3", arguments);
    EXPECT_EQ(scan.exit_code, 1) << scan.out << scan.err;
    EXPECT_EQ(Incidents(), 1u);
    EXPECT_THAT(Outcome("github:user/ann")["reason"].dump(), HasSubstr("only public ones"));
  }
  // GitLab's and Gitea's listings of a user are of what the token may see.
  EXPECT_EQ(ScanAnew(forge, "/gitlab/api/v4", {"gitlab:user/ann"}).exit_code, 1);
  EXPECT_EQ(Incidents(), 2u);
  EXPECT_EQ(ScanAnew(forge, "/gitea/api/v1", {"gitea:user/ann"}).exit_code, 1);
  EXPECT_EQ(Incidents(), 2u);
}

TEST_F(ScopesTest, AUsersPrivateRepositoriesAreNotGoneBecauseNobodySaidWhoseTheTokenIs) {
  json repositories = Repositories(2);
  for (json& repository : repositories) repository["owner"] = "ann";
  repositories[0]["private"] = false;
  json settings = Settings(repositories);
  settings["users"] = {"ann"};
  settings["tokens"]["reader"]["login"] = "ann";
  const ForgeServer forge(settings);
  EXPECT_EQ(Scan(forge, "/api/v3", {"github:user/ann"}).exit_code, 1);
  EXPECT_EQ(Count("ok"), 2);
  forge.Fault({{"match", "/user$"}, {"times", nullptr}, {"kind", "html"}});
  EXPECT_EQ(Scan(forge, "/api/v3", {"github:user/ann"}).exit_code, 3);
  EXPECT_EQ(Count("gone"), 0);
  EXPECT_EQ(Outcome("ann/app1")["status"], "failed");
  // With another's token beside it only what is public is listed, and what was is not gone either.
  forge.Set({{"faults", json::array()}});
  WriteFile(home_.path() / "second", "the-token-of-another\n");
  std::filesystem::permissions(home_.path() / "second", std::filesystem::perms::owner_read);
  forge.Set({{"tokens", {{"reader", {{"value", kToken}, {"login", "ann"}}},
                         {"second", {{"value", "the-token-of-another"}, {"login", "bob"}}}}}});
  EXPECT_EQ(Scan(forge, "/api/v3", {"github:user/ann", "--token-file", home_.path() / "second"}).exit_code, 3);
  EXPECT_EQ(Count("gone"), 0);
  EXPECT_EQ(Outcome("ann/app1")["status"], "failed");
  EXPECT_EQ(Scan(forge, "/api/v3", {"github:user/ann"}).exit_code, 1);
  EXPECT_EQ(Count("ok"), 2);
}

TEST_F(ScopesTest, BitbucketTakesAUserAndAnAppPasswordForItsApiAndForGit) {
  const ForgeServer forge(Settings(Repositories(1)));
  cli_.SetVariable("BITBUCKET_TOKEN", std::string("me:") + kToken);
  for (const char* api : {"/bitbucket/2.0", "/bbdc/rest/api/1.0"}) {
    const CliResult scan = ScanAnew(forge, api, {"bitbucket:acme"});
    EXPECT_EQ(scan.exit_code, 1) << api << scan.out << scan.err;
    EXPECT_EQ(Incidents(), 1u) << api;
  }
}

TEST_F(ScopesTest, PushedSinceGoesByWhatAForgeSaysOfItsRepositoriesAgeOrSaysThatItSaysNothing) {
  json repositories = Repositories(2);
  repositories[1]["pushed_at"] = "2019-01-01T00:00:00Z";
  const ForgeServer forge(Settings(repositories));
  for (const ForgeCase& one : AllForges()) {
    const CliResult list = ScanAnew(forge, one.api, {"--list-only", "--pushed-since", "2020-01-01", one.scope});
    EXPECT_EQ(list.exit_code, 0) << one.api << list.err;
    const bool says = !one.api.starts_with("/bbdc") && one.api != "/azure";
    std::multiset<std::string> names = {"app0"};
    if (!says) names.insert("app1");
    EXPECT_EQ(Listed(list.out), names) << one.api;
    EXPECT_EQ(list.out.find("2 repositories are scanned whatever --pushed-since says") == std::string::npos, says)
        << one.api << list.out;
  }
  // It is no time of a push that lets a repository be skipped.
  for (const ForgeCase& one : AllForges()) {
    if (one.scope != "gitlab:acme") continue;
    EXPECT_EQ(Scan(forge, one.api, {one.scope}).exit_code, 1);
    Push("app0", 500);
    EXPECT_EQ(Scan(forge, one.api, {one.scope}).exit_code, 1);
    EXPECT_EQ(Incidents(), 3u);
  }
}

TEST_F(ScopesTest, ATokenAndAnAddressAreForOneKindOfForgeAndNeverInTheClear) {
  const ForgeServer forge(Settings(Repositories(1)));
  const std::string token = home_.path() / "token";
  const std::string key = home_.path() / "app.pem";
  for (const auto& [arguments, words] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--api-url", forge.ApiUrl(), "github:acme", "gitea:acme"}, "one kind of forge"},
           {{"github:acme", "gitlab:acme", "--token-file", token}, "one kind of forge"},
           {{"https://localhost:1/acme/app.git", "--token-file", token}, "brings its own"},
           {{"--app-id", "5", "--app-key-file", key, "gitlab:acme"}, "GitHub's"},
           {{"github:app"}, "--app-id"},
           {{"gitea:acme"}, "--api-url"},
           {{"--api-url", "http://git.example.com/api/v3", "github:acme"}, "must begin with https"},
           {{"--api-url", "http://127.example.com/api/v3", "github:acme"}, "must begin with https"}}) {
    std::vector<std::string> all = {"--ca-file", forge.CaFile(), "--store", ":memory:"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const CliResult scan = cli_.Scan(all);
    EXPECT_EQ(scan.exit_code, 2) << words << scan.err;
    EXPECT_THAT(scan.err, HasSubstr(words));
  }
  EXPECT_EQ(forge.Counters()["requests"]["api"], 0);
  // On this machine nobody reads along. (Here it ends at the token.)
  for (const char* api : {"http://localhost:1/api/v3", "http://127.0.0.1:1/api/v3", "http://[::1]:1/api/v3"}) {
    EXPECT_EQ(cli_.Scan({"--api-url", api, "--store", ":memory:", "github:acme", "--token-file", home_.path() / "none"})
                  .exit_code, 3) << api;
  }
}

TEST_F(ScopesTest, OneScopeThatCannotBeHadStopsNoOther) {
  json settings = Settings(Repositories(2));
  settings["repositories"][1]["owner"] = "other";
  settings["app"] = {{"id", 5}, {"public_pem", MakeAppKey(home_.path() / "app.pem")}};
  settings["installations"] = {{{"id", 77}, {"account", "acme"}}};
  std::filesystem::permissions(home_.path() / "app.pem", std::filesystem::perms::owner_read);
  const ForgeServer forge(settings);
  const std::string good = "targets = [\"github:other\"]\ntoken_files = [\"token\"]";
  const std::string app = "app_key_file = \"app.pem\"\ntargets = [\"github:app\"]\napp_id = ";
  forge.Fault({{"match", "/app/installations\\?"}, {"after", 3}, {"times", 1}, {"kind", "status"}, {"status", 404}});
  // Once all is well.
  EXPECT_EQ(RunScopes(forge, {app + "\"5\"", good}).exit_code, 0);
  EXPECT_EQ(Incidents(), 2u);
  for (const auto& [scope, name] : std::vector<std::pair<std::string, std::string>>{
           {app + "\"6\"", "github:app"},  // no such App
           {app + "\"5\"", ""},            // well again, before its listing is no more
           {app + "\"5\"", "github:app"},
           {"app_id = \"5\"\napp_key_file = \"none.pem\"\ntargets = [\"github:app\"]", "github:app"},
           {"targets = [\"github:acme\"]\ntoken_files = [\"none\"]", "github:acme"},
           {"targets = [\"github:acme\"]\ntoken_files = [\"run.toml\"]", "github:acme"}}) {
    const CliResult run = RunScopes(forge, {scope, good});
    EXPECT_EQ(run.exit_code, name.empty() ? 0 : 3) << scope << run.err;
    EXPECT_EQ(Outcome("other/app1")["status"], "ok") << scope;
    if (name.empty()) continue;
    EXPECT_THAT(Outcome(name)["status"].dump(), testing::AnyOf(HasSubstr("failed"), HasSubstr("refused"))) << scope;
  }
}

TEST_F(ScopesTest, AnAppsInstallationsAreListedEachAndThoseThatAreOfNoUseAreSaid) {
  json settings = Settings(Repositories(3));
  settings["repositories"][1]["owner"] = "other";
  settings["repositories"][2]["owner"] = "third";
  settings["app"] = {{"id", 5}, {"public_pem", MakeAppKey(home_.path() / "app.pem")}};
  std::filesystem::permissions(home_.path() / "app.pem", std::filesystem::perms::owner_read);
  settings["installations"] = {{{"id", 77}, {"account", "acme"}}, {{"id", 78}, {"account", "other"}},
                               {{"id", 79}, {"account", "third"}}};
  const ForgeServer forge(settings);
  const std::vector<std::string> arguments = {"--app-id", "5", "--app-key-file", home_.path() / "app.pem",
                                              "github:app"};
  EXPECT_EQ(Scan(forge, "/api/v3", arguments).exit_code, 1);
  EXPECT_EQ(Incidents(), 3u);
  // One is suspended, and one is no more: what they had stays in the report.
  settings["installations"].erase(2);
  settings["installations"][1]["suspended"] = true;
  forge.Set({{"installations", settings["installations"]}});
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(Scan(forge, "/api/v3", arguments).exit_code, 3);
    EXPECT_EQ(Outcome("github:installation/78")["status"], "refused");
    EXPECT_EQ(Outcome("other/app1")["status"], "failed");
    EXPECT_EQ(Outcome("third/app2")["status"], "gone");
    EXPECT_EQ(Outcome("acme/app0")["status"], "ok");
    EXPECT_EQ(Incidents(), 3u);
  }
  // The listing of installations fails: nothing of what they had is lost.
  forge.Fault({{"match", "/app/installations\\?"}, {"kind", "status"}, {"status", 404}});
  EXPECT_EQ(Scan(forge, "/api/v3", arguments).exit_code, 3);
  EXPECT_EQ(Outcome("acme/app0")["status"], "failed");
  EXPECT_EQ(Incidents(), 3u);
}

TEST_F(ScopesTest, ARepositoryThatMovedToAnotherScopeIsScannedThereAndNotGone) {
  const std::string acme = "targets = [\"github:acme\"]\ntoken_files = [\"token\"]";
  const std::string other = "targets = [\"github:other\"]\ntoken_files = [\"token\"]";
  json repositories = Repositories(2);
  repositories[0]["wiki_path"] = MakeBare("wiki", 300);
  const ForgeServer forge(Settings(repositories));
  forge.Set({{"organizations", {"acme", "other"}}});
  EXPECT_EQ(RunScopes(forge, {acme, other}).exit_code, 0);
  EXPECT_EQ(Incidents(), 2u);
  forge.ChangeRepository({{"id", 101}, {"owner", "other"}, {"pushed_at", "2024-05-02T12:00:00Z"}});
  Push("app1", 500);
  for (const std::vector<std::string>& scopes : {std::vector{acme, other}, std::vector{other, acme}}) {
    EXPECT_EQ(RunScopes(forge, scopes).exit_code, 0);
    EXPECT_EQ(Outcome("other/app1")["status"], "ok");
    EXPECT_EQ(Outcome("acme/app1"), json());
    EXPECT_EQ(Count("gone"), 0);
    EXPECT_EQ(Incidents(), 3u);
  }
  // Where the scope that had it cannot be listed, it is not missing.
  forge.Fault({{"match", "/orgs/acme/repos"}, {"kind", "status"}, {"status", 404}});
  EXPECT_EQ(RunScopes(forge, {acme, other}).exit_code, 3);
  EXPECT_EQ(Outcome("other/app1")["status"], "ok");
  EXPECT_EQ(Outcome("acme/app0")["status"], "failed");
  EXPECT_EQ(Incidents(), 3u);
  // Where the one that has it now cannot, it is not gone.
  forge.Fault({{"match", "/orgs/other/repos"}, {"kind", "status"}, {"status", 404}});
  EXPECT_EQ(RunScopes(forge, {acme, other}).exit_code, 3);
  EXPECT_EQ(Outcome("/app1")["status"], "failed");
  EXPECT_EQ(Incidents(), 3u);
  // Where it is not selected, it is not in the report.
  EXPECT_EQ(RunScopes(forge, {acme, other + "\nexclude_repos = [\"app1\"]"}).exit_code, 0);
  EXPECT_EQ(Outcome("/app1"), json());
  EXPECT_EQ(Incidents(), 1u);
}

TEST_F(ScopesTest, AWikiThatWasScannedStaysInTheReportWhenItIsOffOrItsRepositoryIsGone) {
  json repositories = Repositories(3);
  for (uint32_t i = 0; i < 2; ++i) repositories[i]["wiki_path"] = MakeBare(absl::StrFormat("wiki%d", i), 300 + i);
  repositories[2]["has_wiki"] = true;  // and there is none
  const ForgeServer forge(Settings(repositories));
  EXPECT_EQ(Scan(forge, "/api/v3", {"--wikis", "9", "github:acme"}).exit_code, 1);
  EXPECT_EQ(Incidents(), 5u);
  forge.ChangeRepository({{"id", 100}, {"has_wiki", false}});
  forge.ChangeRepository({{"id", 101}, {"deleted", true}});
  forge.ChangeRepository({{"id", 102}, {"has_wiki", false}});
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(Scan(forge, "/api/v3", {"--wikis", "9", "github:acme"}).exit_code, 1);
    EXPECT_EQ(Outcome("app0.wiki")["status"], "gone");
    EXPECT_EQ(Outcome("app1.wiki")["status"], "gone");
    EXPECT_EQ(Outcome("app2.wiki"), json());
    EXPECT_EQ(Incidents(), 5u);
  }
}

TEST_F(ScopesTest, SnippetsOfProjectsThatWereNotListedAreNotGone) {
  json settings = Settings(Repositories(2));
  settings["users"] = {"ann"};
  settings["snippets"] = {{{"id", 7}, {"owner", "ann"}, {"project_id", 101}, {"path", MakeBare("snippet", 400)}}};
  const ForgeServer forge(settings);
  const auto scan = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--gists", "9", "gitlab:acme"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Scan(forge, "/gitlab/api/v4", arguments).exit_code;
  };
  EXPECT_EQ(scan({}), 1);
  EXPECT_EQ(Incidents(), 3u);
  forge.Fault({{"match", "/groups/acme/projects"}, {"kind", "status"}, {"status", 404}});
  EXPECT_EQ(scan({}), 3);
  EXPECT_EQ(Outcome("snippets/7")["status"], "failed");
  EXPECT_EQ(Count("gone"), 0);
  EXPECT_EQ(Incidents(), 3u);
  // Of a project that is not selected they are not selected either.
  EXPECT_EQ(scan({"--exclude-repos", "app1"}), 1);
  EXPECT_EQ(Count("gone"), 0);
  EXPECT_EQ(Incidents(), 1u);
  // And what is no more is gone.
  EXPECT_EQ(scan({}), 1);
  forge.Set({{"snippets", json::array()}});
  EXPECT_EQ(scan({}), 1);
  EXPECT_EQ(Outcome("snippets/7")["status"], "gone");
  EXPECT_EQ(Incidents(), 3u);
}

}  // namespace
}  // namespace unsprawl
