// Whole organizations: the program against the stand-in forge, over real HTTPS and real git.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/support/cli.h"
#include "tests/support/cluster.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr char kToken[] = "the-token-of-the-reader";
constexpr char kFaketime[] = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

class OrganizationTest : public testing::Test {
 protected:
  OrganizationTest() {
    for (uint32_t i = 0; i < kRepositories; ++i) {
      GitRepo& repo = repos_.emplace_back(home_.path() / "work" / absl::StrFormat("r%d", i));
      repo.Write("s.env", "t=" + FakeGithubToken(i) + "\n");
      repo.Commit();
      unsprawl::Run(home_.path(), {"git", "clone", "-q", "--bare", repo.path(), Bare(i)});
    }
    cli_.SetVariable("GITHUB_TOKEN", kToken);
  }

  static constexpr uint32_t kRepositories = 4;
  std::string Bare(uint32_t i) const { return home_.path() / absl::StrFormat("r%d.git", i); }

  json Repository(uint32_t i) const {
    return {{"id", 100 + i},      {"owner", "acme"},   {"name", absl::StrFormat("app%d", i)},
            {"private", true},    {"path", Bare(i)},   {"pushed_at", "2024-05-01T12:00:00Z"},
            {"size_kb", 1 + i}};
  }
  json Settings() const {
    json repositories = json::array();
    for (uint32_t i = 0; i < kRepositories; ++i) repositories.push_back(Repository(i));
    return {{"repositories", repositories}, {"tokens", {{"reader", {{"value", kToken}}}}}};
  }

  // A new commit with another secret, pushed to the forge; and the forge says so.
  void Push(const ForgeServer& forge, uint32_t i, uint32_t secret, const std::string& when) {
    repos_[i].Write("more.env", "t=" + FakeGithubToken(secret) + "\n");
    repos_[i].Commit();
    repos_[i].Git({"push", "-q", "-f", Bare(i), "HEAD"});
    forge.ChangeRepository({{"id", 100 + i}, {"pushed_at", when}});
  }

  CliResult Scan(const ForgeServer& forge, std::vector<std::string> more = {"github:acme"}) const {
    std::vector<std::string> arguments = {"--api-url", forge.ApiUrl(), "--ca-file", forge.CaFile()};
    if (std::find(more.begin(), more.end(), "--mirrors") == more.end()) {
      arguments.insert(arguments.end(), {"--mirrors", home_.path() / "mirrors"});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return cli_.Scan(arguments);
  }
  // The program's own words about a repository in manifest.json.
  json Outcome(const std::string& name) const {
    const json manifest = cli_.Json("manifest.json");
    for (const json& repository : manifest["repositories"]) {
      if (repository["name"].get<std::string>().ends_with(name)) return repository;
    }
    return {};
  }
  std::filesystem::path MirrorOf(const ForgeServer& forge, int id) const {
    std::string host = forge.Url().substr(8);
    host.replace(host.find(':'), 1, "%3A");
    return FindMirror(home_.path() / "mirrors", absl::StrFormat("by-id/%s/%d.git", host, id));
  }
  // A file of the program's rules and one more, for xyzzy_ and nine digits.
  std::string MoreRules() const {
    const std::filesystem::path file = home_.path() / "more.toml";
    WriteFile(file, "[extend]\nuseDefault = true\n[[rules]]\nid = \"x\"\nregex = \"xyzzy_[0-9]{9}\"\n"
                    "keywords = [\"xyzzy_\"]\n");
    return file;
  }
  // A bare repository `name`.git with a secret, for a wiki or a gist.
  void MakeBare(const std::string& name, uint32_t secret) const {
    GitRepo repo(home_.path() / name);
    repo.Write("page", "t=" + FakeGithubToken(secret) + "\n");
    repo.Commit();
    unsprawl::Run(home_.path(), {"git", "clone", "-q", "--bare", repo.path(), name + ".git"});
  }
  static uint64_t GitRequests(const json& counters) {
    return counters["requests"].value("git-info-refs", 0) + counters["requests"].value("git-upload-pack", 0);
  }

  TempDir home_;
  std::deque<GitRepo> repos_;
  Cli cli_{home_.path()};
};

TEST_F(OrganizationTest, AnOrganizationIsListedFetchedScannedAndReportedAsOne) {
  const ForgeServer forge(Settings());
  const CliResult scan = Scan(forge);
  EXPECT_EQ(scan.exit_code, 1) << scan.err;
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
  const json manifest = cli_.Json("manifest.json");
  EXPECT_EQ(manifest["coverage"]["ok"], kRepositories);
  EXPECT_THAT(Outcome("acme/app2")["name"].get<std::string>(), HasSubstr("localhost:"));
  EXPECT_EQ(Outcome("acme/app2")["status"], "ok");
}

TEST_F(OrganizationTest, WhatNothingWasPushedToCostsTheListingAndNoMore) {
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge).exit_code, 1);
  const auto first = cli_.ReportFiles();
  forge.ResetCounters();
  EXPECT_EQ(Scan(forge).exit_code, 1);
  json counters = forge.Counters();
  EXPECT_EQ(GitRequests(counters), 0u) << counters.dump();
  EXPECT_EQ(counters["requests"]["api"], 1) << counters.dump();
  EXPECT_EQ(cli_.Json("run.json")["repositories_unchanged"], kRepositories);
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), kRepositories);

  Push(forge, 1, 77, "2024-05-02T12:00:00Z");
  forge.ResetCounters();
  EXPECT_EQ(Scan(forge).exit_code, 1);
  counters = forge.Counters();
  EXPECT_EQ(counters["git_repositories"].size(), 2u) << counters.dump();  // refs and objects of one
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 1);
  EXPECT_EQ(cli_.Json("run.json")["repositories_unchanged"], kRepositories - 1);

  // What a forge says is not believed for ever.
  forge.ResetCounters();
  EXPECT_EQ(Scan(forge, {"github:acme", "--audit-days", "0"}).exit_code, 1);
  EXPECT_EQ(forge.Counters()["requests"]["git-upload-pack"], kRepositories);  // ls-refs; nothing is fetched
  EXPECT_EQ(cli_.Json("run.json")["repositories_unchanged"], kRepositories);
}

TEST_F(OrganizationTest, EveryForgeIsListedAndFetched) {
  const ForgeServer forge(Settings());
  int round = 0;
  for (const auto& [scope, api, variable] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {"github:acme", "/api/v3", "GITHUB_TOKEN"},
           {"gitlab:acme", "/gitlab/api/v4", "GITLAB_TOKEN"},
           {"bitbucket:acme", "/bitbucket/2.0", "BITBUCKET_TOKEN"},
           {"bitbucket:ACME", "/bbdc/rest/api/1.0", "BITBUCKET_TOKEN"},
           {"gitea:acme", "/gitea/api/v1", "GITEA_TOKEN"},
           {"azure:acme", "/azure", "AZURE_DEVOPS_TOKEN"},
           {"azure:acme/main", "/azure", "AZURE_DEVOPS_TOKEN"}}) {
    cli_.SetVariable(variable, kToken);
    const std::string place = home_.path() / std::to_string(round++);
    const CliResult scan = cli_.Scan({"--api-url", forge.Url() + api, "--ca-file", forge.CaFile(), "--store",
                                      place + "/store", "--mirrors", place + "/mirrors", scope});
    EXPECT_EQ(scan.exit_code, 1) << scope << api << scan.err << scan.out;
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories) << scope << api;
    EXPECT_EQ(cli_.Json("manifest.json")["coverage"]["ok"], kRepositories) << scope << api;
  }
}

TEST_F(OrganizationTest, ListOnlySaysWhatWouldBeDoneAndDoesNothing) {
  const ForgeServer forge(Settings());
  const CliResult list = Scan(forge, {"--list-only", "github:acme"});
  EXPECT_EQ(list.exit_code, 0) << list.err;
  EXPECT_THAT(list.out, HasSubstr("acme/app3"));
  EXPECT_THAT(list.out, HasSubstr("fetch, scan"));
  EXPECT_THAT(list.out, HasSubstr("core-hours"));
  EXPECT_EQ(GitRequests(forge.Counters()), 0u);
  EXPECT_FALSE(std::filesystem::exists(cli_.report()));
  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_THAT(Scan(forge, {"--list-only", "github:acme"}).out, HasSubstr("4 unchanged"));
}

TEST_F(OrganizationTest, WhatIsNotWantedIsNotFetched) {
  json settings = Settings();
  settings["repositories"][0]["fork"] = true;
  settings["repositories"][1]["archived"] = true;
  settings["repositories"][2]["topics"] = {"payments"};
  settings["repositories"][2]["private"] = false;
  settings["repositories"][3]["size_kb"] = 5'000'000;
  settings["repositories"][3]["pushed_at"] = "2019-01-01T00:00:00Z";
  const ForgeServer forge(settings);
  const auto listed = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"--list-only", "github:acme"});
    const std::string out = Scan(forge, flags).out;
    std::string apps;
    for (uint32_t i = 0; i < kRepositories; ++i) {
      if (out.find(absl::StrFormat("acme/app%d\n", i)) != std::string::npos) apps += std::to_string(i);
    }
    return apps;
  };
  EXPECT_EQ(listed({}), "0123");
  EXPECT_EQ(listed({"--exclude-forks"}), "123");
  EXPECT_EQ(listed({"--exclude-archived"}), "023");
  EXPECT_EQ(listed({"--topics", "payments,billing"}), "2");
  EXPECT_EQ(listed({"--visibility", "public"}), "2");
  EXPECT_EQ(listed({"--max-repo-size", "1GB"}), "012");
  EXPECT_EQ(listed({"--pushed-since", "2020-01-01"}), "012");
  EXPECT_EQ(listed({"--include-repos", "APP[12]"}), "12");
  EXPECT_EQ(listed({"--include-repos", "acme/*", "--exclude-repos", "app0", "--exclude-repos", "*3"}), "12");
}

// Each fault is got over: the run is complete and finds everything.
TEST_F(OrganizationTest, LimitsAndPassingFaultsAreGotOver) {
  json many = Settings();
  const std::vector<json> faults = {
      {{"match", "/orgs/acme/repos"}, {"kind", "secondary"}, {"seconds", 1}},
      {{"match", "/orgs/acme/repos"}, {"kind", "primary"}, {"seconds", 1}},
      {{"match", "/orgs/acme/repos"}, {"kind", "status"}, {"status", 429}, {"headers", {{"Retry-After", "1"}}}},
      {{"match", "/orgs/acme/repos"}, {"kind", "status"}, {"status", 500}, {"times", 2}},
      {{"match", "/orgs/acme/repos"}, {"kind", "status"}, {"status", 502}},
      {{"match", "/orgs/acme/repos"}, {"kind", "cut"}, {"bytes", 100}},
      {{"match", "/orgs/acme/repos"}, {"kind", "redirect"}, {"location", "{path}&page=1"}},
      {{"match", "GET /acme/app1.git"}, {"kind", "status"}, {"status", 503}},
      {{"match", "POST /acme/app1.git/git-upload-pack"}, {"after", 1}, {"kind", "cut"}, {"bytes", 40}},
  };
  const ForgeServer forge(many);
  int round = 0;
  for (const json& fault : faults) {
    forge.Fault(fault);
    const std::string place = home_.path() / std::to_string(round++);
    const CliResult scan = Scan(forge, {"github:acme", "--store", place + "/store", "--mirrors", place + "/mirrors"});
    EXPECT_EQ(scan.exit_code, 1) << fault.dump() << scan.err << scan.out;
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories) << fault.dump();
    EXPECT_GE(forge.Counters()["faults"], 1) << fault.dump();
  }
}

// Names of 70 MB, which is more than one message of a cluster may hold.
TEST_F(OrganizationTest, AHistoryOfManyAndLongNamesIsScanned) {
  constexpr int kCommits = 2'100, kCoAuthors = 32;
  std::string message = "m\n\n", commands;
  for (int i = 0; i < kCoAuthors; ++i) {
    message += absl::StrFormat("Co-authored-by: %s%d <%s%d>\n", std::string(500, 'n'), i, std::string(500, 'm'), i);
  }
  for (int i = 0; i < kCommits; ++i) {
    commands += absl::StrFormat("commit refs/heads/main\ncommitter A <a@b> %d +0000\ndata %d\n%s\n", 1'700'000'000 + i,
                                message.size(), message);
    if (i > 0) continue;
    const std::string map = std::string(100'000, 'N') + " <" + std::string(100'000, 'm') + "> <a@b>\n";
    commands += absl::StrFormat("M 644 inline .mailmap\ndata %d\n%s\nM 644 inline s\ndata 43\nt=%s\n\n", map.size(), map,
                                FakeGithubToken(77));
  }
  GitRepo repo(home_.path() / "names");
  repo.Git({"fast-import", "--quiet"}, commands);
  unsprawl::Run(home_.path(), {"git", "clone", "-q", "--bare", repo.path(), "names.git"});
  json settings = Settings();
  json row = Repository(kRepositories);
  row["path"] = home_.path() / "names.git";
  settings["repositories"].push_back(row);
  const ForgeServer forge(settings);
  const CliResult scan = Scan(forge);
  EXPECT_EQ(scan.exit_code, 1) << scan.err;
  const json outcome = Outcome(row["name"]);
  EXPECT_EQ(outcome["status"], "ok") << outcome;
  EXPECT_EQ(outcome["commits"], kCommits) << outcome;
}

// Each fault ends in a clear word for what it hits, and the rest is scanned.
TEST_F(OrganizationTest, WhatStaysBrokenIsSaidAndStopsNobodyElse) {
  struct Case {
    json fault;
    std::string status, words;
    int exit_code;
  };
  const std::vector<Case> cases = {
      {{{"match", "GET /acme/app1.git"}, {"kind", "vanish"}}, "gone", "", 1},
      {{{"match", "GET /acme/app1.git"}, {"times", nullptr}, {"kind", "status"}, {"status", 404}}, "refused", "not found", 3},
      {{{"match", "GET /acme/app1.git"}, {"times", nullptr}, {"kind", "status"}, {"status", 403}}, "refused", "403", 3},
      {{{"match", "GET /acme/app1.git"}, {"times", nullptr}, {"kind", "status"}, {"status", 451}}, "refused", "451", 3},
      {{{"match", "GET /acme/app1.git"}, {"times", nullptr}, {"kind", "status"}, {"status", 500}}, "failed", "500", 3},
      {{{"match", "GET /acme/app1.git"}, {"times", nullptr}, {"kind", "redirect"}, {"location", "https://127.0.0.1:1/x.git"}},
       "failed", "", 3},
      {{{"match", "/acme/app1.git/git-upload-pack"}, {"times", nullptr}, {"kind", "html"}}, "failed", "", 3},
  };
  const ForgeServer forge(Settings());
  int round = 0;
  for (const Case& one : cases) {
    forge.ChangeRepository(Repository(1));
    forge.Fault(one.fault);
    const std::string place = home_.path() / std::to_string(round++);
    const CliResult scan = Scan(forge, {"github:acme", "--store", place + "/store", "--mirrors", place + "/mirrors"});
    EXPECT_EQ(scan.exit_code, one.exit_code) << one.fault.dump() << scan.err << scan.out;
    EXPECT_EQ(Outcome("acme/app1")["status"], one.status) << one.fault.dump() << Outcome("acme/app1").dump();
    EXPECT_THAT(Outcome("acme/app1").dump(), HasSubstr(one.words));
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories - 1) << one.fault.dump();
  }
}

TEST_F(OrganizationTest, AListingThatFailsIsNeverClean) {
  const ForgeServer forge(Settings());
  for (const json& fault : std::vector<json>{
           {{"match", "/orgs/acme/repos"}, {"times", nullptr}, {"kind", "garbage"}},
           {{"match", "/orgs/acme/repos"}, {"times", nullptr}, {"kind", "html"}},
           {{"match", "/orgs/acme/repos"}, {"times", nullptr}, {"kind", "huge"}, {"bytes", 80 << 20}},
           {{"match", "/orgs/acme/repos"}, {"times", nullptr}, {"kind", "status"}, {"status", 404}},
           {{"match", "/orgs/acme/repos"}, {"times", nullptr}, {"kind", "status"}, {"status", 401}},
           {{"match", "/orgs/acme/repos"}, {"times", nullptr}, {"kind", "redirect"}, {"location", "https://127.0.0.1:1/"}}}) {
    forge.Fault(fault);
    const CliResult scan = Scan(forge, {"github:acme", "--store", ":memory:"});
    EXPECT_EQ(scan.exit_code, 3) << fault.dump() << scan.err;
    EXPECT_THAT(scan.out, HasSubstr("github:acme")) << fault.dump();
    EXPECT_THAT(scan.out, HasSubstr("INCOMPLETE")) << fault.dump();
  }
}

TEST_F(OrganizationTest, PagesThatShiftWhileTheyAreReadLoseNothing) {
  json settings = Settings();
  for (uint32_t i = 0; i < 250; ++i) {
    settings["repositories"].push_back({{"id", 1000 + i}, {"owner", "acme"}, {"name", absl::StrFormat("x%d", i)}});
  }
  const ForgeServer forge(settings);
  forge.Fault({{"match", "repos.*page=1|/orgs/acme/repos"}, {"kind", "shift_page"}, {"repository", {{"id", 1}, {"name", "late"}}}});
  const CliResult list = Scan(forge, {"--list-only", "github:acme"});
  EXPECT_EQ(list.exit_code, 0) << list.err << list.out.substr(0, 500);
  EXPECT_THAT(list.out, HasSubstr("255 repositories"));
}

TEST_F(OrganizationTest, ARepositoryThatIsRenamedIsTheSameRepository) {
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge).exit_code, 1);
  forge.ChangeRepository({{"id", 101}, {"name", "other-name"}});
  forge.ResetCounters();
  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_EQ(GitRequests(forge.Counters()), 0u);
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), kRepositories);
  EXPECT_EQ(Outcome("acme/other-name")["status"], "ok");
  EXPECT_EQ(Outcome("acme/app1"), json());
}

TEST_F(OrganizationTest, OneThatIsRenamedBetweenListingAndFetchIsFollowed) {
  const ForgeServer forge(Settings());
  // The listing still has the old name, which redirects; git follows no redirect.
  json listing = json::array();
  for (uint32_t i = 0; i < kRepositories; ++i) {
    listing.push_back({{"id", 100 + i}, {"full_name", absl::StrFormat("acme/app%d", i)}});
  }
  forge.ChangeRepository({{"id", 101}, {"name", "other-name"}});
  forge.Fault({{"match", "/orgs/acme/repos"}, {"kind", "status"}, {"status", 200}, {"body", listing}});
  const CliResult scan = Scan(forge);
  EXPECT_EQ(scan.exit_code, 1) << scan.out << scan.err;
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
}

TEST_F(OrganizationTest, OneThatIsDeletedIsGoneAndWhatIsKnownOfItStays) {
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge).exit_code, 1);
  forge.ChangeRepository({{"id", 101}, {"deleted", true}});
  for (int run = 0; run < 2; ++run) {
    const CliResult scan = Scan(forge);
    EXPECT_EQ(scan.exit_code, 1) << scan.out;
    EXPECT_EQ(Outcome("acme/app1")["status"], "gone");
    EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), kRepositories);
  }
  // A mirror that alone has it is not given up.
  EXPECT_EQ(Scan(forge, {"github:acme", "--mirrors-budget", "1KB", "--audit-days", "0"}).exit_code, 1);
  const std::filesystem::path mirror = MirrorOf(forge, 101);
  EXPECT_TRUE(std::filesystem::exists(mirror));
}

TEST_F(OrganizationTest, NewRulesGoOverTheMirrorOfWhatIsGoneAsLongAsThereIsOne) {
  repos_[1].Write("x", "key = xyzzy_739218465\n");
  repos_[1].Commit();
  repos_[1].Git({"push", "-q", Bare(1), "HEAD"});
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge).exit_code, 1);
  forge.ChangeRepository({{"id", 101}, {"deleted", true}});
  const std::string rules = MoreRules();
  EXPECT_EQ(Scan(forge, {"github:acme", "-c", rules}).exit_code, 1);
  EXPECT_EQ(Outcome("acme/app1")["status"], "gone");
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), kRepositories + 1);
  EXPECT_THAT(Outcome("acme/app1").dump(), Not(HasSubstr("unobtainable")));
  // As of now nothing of it can be looked at again.
  std::filesystem::remove_all(MirrorOf(forge, 101));
  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_THAT(Outcome("acme/app1").dump(), Not(HasSubstr("unobtainable")));
  WriteFile(rules, ReadFile(rules) + "[[rules]]\nid = \"y\"\nregex = \"plugh_[0-9]{9}\"\nkeywords = [\"plugh_\"]\n");
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(Scan(forge, {"github:acme", "-c", rules}).exit_code, 3);
    EXPECT_EQ(Outcome("acme/app1")["status"], "partial");
    EXPECT_EQ(Outcome("acme/app1")["skips"][0]["reason"], "unobtainable");
    EXPECT_EQ(Outcome("acme/app1")["skips"][0]["count"], 2);
    EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), kRepositories + 1);
  }
}

TEST_F(OrganizationTest, LostTipsOfADeletedMirrorAreAskedForByIdOrCountedAsNotCovered) {
  const ForgeServer forge(Settings());
  const auto force = [&](uint32_t secret) {
    repos_[2].Write("s.env", "t=" + FakeGithubToken(secret) + "\n");
    repos_[2].Git({"add", "-A"});
    repos_[2].Git({"commit", "-q", "--amend", "-m", "nothing happened"});
    repos_[2].Git({"push", "-q", "-f", Bare(2), "HEAD"});
    forge.ChangeRepository({{"id", 102}, {"pushed_at", absl::StrFormat("2024-06-%02dT12:00:00Z", secret - 600)}});
  };
  EXPECT_EQ(Scan(forge).exit_code, 1);
  force(601);
  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), kRepositories + 1);
  std::filesystem::remove_all(MirrorOf(forge, 102));
  force(602);
  EXPECT_EQ(Scan(forge).exit_code, 1);
  // Of the first two commits one was known to be lost, the other was where the branch was: the forge has both.
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), kRepositories + 2);
  std::filesystem::remove_all(MirrorOf(forge, 102));
  unsprawl::Run(home_.path(), {"git", "-C", Bare(2), "reflog", "expire", "--all", "--expire=now"});
  unsprawl::Run(home_.path(), {"git", "-C", Bare(2), "gc", "-q", "--prune=now"});
  force(603);
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(Scan(forge).exit_code, 3);
    EXPECT_EQ(Outcome("acme/app2")["status"], "partial");
    EXPECT_EQ(Outcome("acme/app2")["skips"][0]["reason"], "unobtainable");
    EXPECT_EQ(Outcome("acme/app2")["skips"][0]["count"], 2);  // The third was dropped after that.
    EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), kRepositories + 1);
  }
}

TEST_F(OrganizationTest, WhatAForcePushDropsStaysAndIsUnreachable) {
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge).exit_code, 1);
  repos_[2].Write("s.env", "nothing\n");
  repos_[2].Git({"add", "-A"});
  repos_[2].Git({"commit", "-q", "--amend", "-m", "nothing happened"});
  repos_[2].Git({"push", "-q", "-f", Bare(2), "HEAD"});
  unsprawl::Run(home_.path(), {"git", "-C", Bare(2), "reflog", "expire", "--all", "--expire=now"});
  unsprawl::Run(home_.path(), {"git", "-C", Bare(2), "gc", "-q", "--prune=now"});
  forge.ChangeRepository({{"id", 102}, {"pushed_at", "2024-05-02T12:00:00Z"}});
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(Scan(forge).exit_code, 1);
    const auto rows = cli_.Rows("occurrences.jsonl");
    EXPECT_EQ(rows.size(), kRepositories);
    int unreachable = 0;
    for (const json& row : rows) unreachable += row["presence"] == "unreachable";
    EXPECT_EQ(unreachable, 1);
  }
  // A mirror that alone has them is not given up, however small the budget.
  EXPECT_EQ(Scan(forge, {"github:acme", "--mirrors-budget", "1KB", "--audit-days", "0"}).exit_code, 1);
  int kept = 0;
  for (const auto& folder : std::filesystem::directory_iterator(home_.path())) {  // In a cluster, each worker's.
    if (!folder.path().filename().native().starts_with("mirrors")) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      // A worker that was lent it and has them not, notes that they are missing there.
      kept += entry.path().filename() == "unsprawl-lost" && !absl::StrContains(ReadFile(entry.path()), "missing");
    }
  }
  EXPECT_EQ(kept, 1);
}

TEST_F(OrganizationTest, CommitsThatOnlyAForcePushKnowsAreFetchedByTheirIds) {
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge).exit_code, 1);
  // Pushed and forced away between two runs: only the forge's activity names it.
  repos_[3].Write("x.env", "t=" + FakeGithubToken(500) + "\n");
  const std::string lost = repos_[3].Commit();
  repos_[3].Git({"push", "-q", Bare(3), "HEAD"});
  repos_[3].Git({"reset", "-q", "--hard", "HEAD~1"});
  repos_[3].Write("y", "y\n");
  repos_[3].Commit();
  repos_[3].Git({"push", "-q", "-f", Bare(3), "HEAD"});
  forge.ChangeRepository({{"id", 103},
                          {"pushed_at", "2024-05-02T12:00:00Z"},
                          {"activity", {{{"activity_type", "force_push"}, {"before", lost}, {"after", lost},
                                         {"ref", "refs/heads/main"}, {"timestamp", "2099-05-02T11:00:00Z"}}}}});
  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 1);
}

TEST_F(OrganizationTest, WhatTheForgeDidNotAnswerOfDroppedCommitsIsAskedForTheNextTime) {
  repos_[3].Write("x.env", "t=" + FakeGithubToken(500) + "\n");
  const std::string dropped = repos_[3].Commit();
  repos_[3].Git({"push", "-q", Bare(3), "HEAD"});
  repos_[3].Git({"reset", "-q", "--hard", "HEAD~1"});
  repos_[3].Git({"push", "-q", "-f", Bare(3), "HEAD"});
  json settings = Settings();
  settings["repositories"][3]["activity"] = {{{"activity_type", "force_push"}, {"before", dropped}, {"after", dropped},
                                              {"ref", "refs/heads/main"}, {"timestamp", "2024-04-01T11:00:00Z"}}};
  const ForgeServer forge(settings);
  forge.Fault({{"match", "activity"}, {"times", nullptr}, {"kind", "html"}});
  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
  EXPECT_EQ(Outcome("acme/app3")["skips"][0]["reason"], "not-fetched");
  forge.Set({{"faults", json::array()}});
  Push(forge, 3, 501, "2024-05-02T12:00:00Z");
  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 2);
  EXPECT_EQ(Outcome("acme/app3")["skips"].size(), 0);

  // Without a token nobody asks: there are 60 calls an hour.
  for (json& repository : settings["repositories"]) repository["private"] = false;
  forge.Set({{"repositories", settings["repositories"]}, {"anonymous_git", true}});
  forge.ResetCounters();
  cli_.SetVariable("GITHUB_TOKEN", "");
  const CliResult scan = Scan(forge, {"github:acme", "--store", ":memory:", "--mirrors", home_.path() / "others"});
  EXPECT_EQ(scan.exit_code, 1) << scan.err;
  EXPECT_EQ(forge.Counters()["requests"]["api"], 1);
  EXPECT_EQ(Outcome("acme/app3")["skips"][0]["reason"], "not-fetched");
}

TEST_F(OrganizationTest, ATagOfWhatIsNoCommitIsNotLostAndPinsNoMirror) {
  repos_[1].Git({"tag", "-a", "-m", "x", "blob", "HEAD:s.env"});
  repos_[1].Git({"tag", "tree", "HEAD^{tree}"});
  repos_[1].Git({"push", "-q", "--tags", Bare(1)});
  const ForgeServer forge(Settings());
  const std::vector<std::string> scan = {"github:acme", "--mirrors-budget", "1KB"};
  EXPECT_EQ(Scan(forge, scan).exit_code, 1);
  for (const char* when : {"2024-05-02T12:00:00Z", "2024-05-03T12:00:00Z"}) {
    Push(forge, 1, 500, when);
    repos_[1].Write("other", when);
    EXPECT_EQ(Scan(forge, scan).exit_code, 1);
    EXPECT_FALSE(std::filesystem::exists(MirrorOf(forge, 101))) << when;
  }
}

// One store's mirror, evicted, and fetched again by a run with another store.
TEST_F(OrganizationTest, WhatAnotherStoresMirrorDoesNotHaveIsRecalled) {
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge).exit_code, 1);
  repos_[2].Write("s.env", "t=" + FakeGithubToken(601) + "\n");
  repos_[2].Git({"add", "-A"});
  repos_[2].Git({"commit", "-q", "--amend", "-m", "nothing happened"});
  Push(forge, 2, 700, "2024-05-02T12:00:00Z");
  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 2);
  std::filesystem::remove_all(MirrorOf(forge, 102));
  EXPECT_EQ(Scan(forge, {"github:acme", "--store", ":memory:", "--dropped-commits", "0"}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 1);
  EXPECT_EQ(Scan(forge, {"github:acme", "-c", MoreRules()}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 2);
}

// The refs are as they were.
TEST_F(OrganizationTest, WhatCameAndWentBetweenTwoRunsIsFetchedWithAMirrorAndWithout) {
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge).exit_code, 1);
  for (int round = 0; round < 2; ++round) {
    repos_[1].Git({"checkout", "-q", "-b", "short-lived"});
    repos_[1].Write("x.env", "t=" + FakeGithubToken(static_cast<uint32_t>(800 + round)) + "\n");
    const std::string dropped = repos_[1].Commit();
    repos_[1].Git({"push", "-q", Bare(1), "short-lived"});
    repos_[1].Git({"push", "-q", Bare(1), ":short-lived"});
    repos_[1].Git({"checkout", "-q", "main"});
    repos_[1].Git({"branch", "-q", "-D", "short-lived"});
    forge.ChangeRepository({{"id", 101},
                            {"pushed_at", absl::StrFormat("2024-05-%02dT12:00:00Z", round + 2)},
                            {"activity", {{{"activity_type", "branch_deletion"}, {"before", dropped}, {"after", dropped},
                                           {"ref", "refs/heads/short-lived"}, {"timestamp", "2099-05-02T11:00:00Z"}}}}});
    EXPECT_EQ(Scan(forge).exit_code, 1);
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 1u + static_cast<uint32_t>(round));
    std::filesystem::remove_all(MirrorOf(forge, 101));
  }
}

TEST_F(OrganizationTest, WhenTheClockWasAheadOnceNoForcePushIsLost) {
  ASSERT_TRUE(std::filesystem::exists(kFaketime)) << "deploy/bootstrap installs libfaketime";
  const ForgeServer forge(Settings());
  const std::vector<std::pair<std::string, std::string>> ahead = {
      {"LD_PRELOAD", kFaketime}, {"FAKETIME", "+36h"}, {"FAKETIME_DONT_FAKE_MONOTONIC", "1"}};
  for (const auto& [name, value] : ahead) cli_.SetVariable(name, value);
  const CliResult scan = Scan(forge, {"github:acme", "--no-sandbox"});
  EXPECT_EQ(scan.exit_code, 1) << scan.err << scan.out;
  for (const auto& [name, value] : ahead) cli_.RemoveVariable(name);
  const std::string now = absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone());
  repos_[1].Write("x.env", "t=" + FakeGithubToken(800) + "\n");
  const std::string dropped = repos_[1].Commit();
  repos_[1].Git({"push", "-q", Bare(1), "HEAD"});
  repos_[1].Git({"reset", "-q", "--hard", "HEAD~1"});
  repos_[1].Git({"push", "-q", "-f", Bare(1), "HEAD"});
  forge.ChangeRepository({{"id", 101},
                          {"pushed_at", "2024-05-02T12:00:00Z"},
                          {"activity", {{{"activity_type", "force_push"}, {"before", dropped}, {"after", dropped},
                                         {"ref", "refs/heads/main"}, {"timestamp", now}}}}});
  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 1);
}

TEST_F(OrganizationTest, WhatWasDroppedBeforeTheFirstScanIsFetchedWithinItsBudgetAndMayBeEvicted) {
  const auto event = [](const char* type, const std::string& before) -> json {
    return {{"activity_type", type}, {"before", before}, {"after", before}, {"ref", "refs/heads/main"},
            {"timestamp", "2024-04-01T11:00:00Z"}};
  };
  repos_[3].Write("x.env", "t=" + FakeGithubToken(500) + "\n");
  const std::string forced = repos_[3].Commit();
  repos_[3].Git({"push", "-q", Bare(3), "HEAD"});
  repos_[3].Git({"reset", "-q", "--hard", "HEAD~1"});
  repos_[3].Git({"push", "-q", "-f", Bare(3), "HEAD"});
  repos_[2].Git({"checkout", "-q", "-b", "side"});
  repos_[2].Write("x.env", "t=" + FakeGithubToken(501) + "\n");
  const std::string deleted = repos_[2].Commit();
  repos_[2].Git({"push", "-q", Bare(2), "side"});
  repos_[2].Git({"push", "-q", Bare(2), ":side"});
  json settings = Settings();
  // What the forge itself no longer has stands before it, and on the second page of the listing.
  json& forcings = settings["repositories"][3]["activity"];
  for (int i = 0; i < 100; ++i) forcings.push_back(event("force_push", std::string(40, 'b')));
  forcings.push_back(event("force_push", forced));
  settings["repositories"][2]["activity"] = {event("branch_deletion", deleted)};
  const ForgeServer forge(settings);

  EXPECT_EQ(Scan(forge, {"github:acme", "--dropped-commits", "0", "--store", ":memory:", "--mirrors",
                         home_.path() / "others"}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
  EXPECT_EQ(Outcome("app3")["skips"][0]["reason"], "not-fetched");
  const CliResult plan = Scan(forge, {"github:acme", "--list-only"});
  EXPECT_THAT(plan.out, HasSubstr("8 more"));

  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 2);
  EXPECT_EQ(Outcome("app3")["skips"].size(), 0);
  // The forge serves them by their ids: their mirrors may go, and they are asked for again.
  EXPECT_EQ(Scan(forge, {"github:acme", "--mirrors-budget", "1KB", "--audit-days", "0"}).exit_code, 1);
  Push(forge, 3, 600, "2024-05-02T12:00:00Z");
  EXPECT_EQ(Scan(forge, {"github:acme", "--mirrors-budget", "1KB"}).exit_code, 1);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(home_.path() / "mirrors")) {
    EXPECT_NE(entry.path().extension(), ".pack") << entry.path();
  }
  EXPECT_EQ(Scan(forge, {"github:acme", "-c", MoreRules()}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 3);
  int unreachable = 0;
  for (const json& row : cli_.Rows("occurrences.jsonl")) unreachable += row["presence"] == "unreachable";
  EXPECT_EQ(unreachable, 2);
}

TEST_F(OrganizationTest, MirrorsStayBelowTheirBudgetAndNothingIsScannedAgainForIt) {
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge, {"github:acme", "--mirrors-budget", "1KB"}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(home_.path() / "mirrors")) {
    EXPECT_FALSE(entry.path().extension() == ".pack") << entry.path();
  }
  forge.ResetCounters();
  EXPECT_EQ(Scan(forge, {"github:acme", "--audit-days", "0"}).exit_code, 1);
  EXPECT_EQ(cli_.Json("run.json")["repositories_unchanged"], kRepositories);
  EXPECT_EQ(forge.Counters()["requests"]["git-upload-pack"], kRepositories);  // the refs alone
}

TEST_F(OrganizationTest, AMirrorThatWasPushedToMayBeEvicted) {
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge).exit_code, 1);
  Push(forge, 1, 500, "2024-05-02T12:00:00Z");
  EXPECT_EQ(Scan(forge).exit_code, 1);
  Push(forge, 2, 501, "2024-05-02T12:00:00Z");
  EXPECT_EQ(Scan(forge, {"github:acme", "--mirrors-budget", "1KB"}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 2);
  for (int id = 100; id < 104; ++id) EXPECT_FALSE(std::filesystem::exists(MirrorOf(forge, id))) << id;
}

TEST_F(OrganizationTest, WhatAForcePushDropsStaysThoughTheMirrorWasEvicted) {
  const ForgeServer forge(Settings());
  const std::vector<std::string> scan = {"github:acme", "--mirrors-budget", "1KB", "--dropped-commits", "0"};
  EXPECT_EQ(Scan(forge, scan).exit_code, 1);
  for (uint32_t round = 1; round <= 2; ++round) {
    repos_[2].Write("s.env", "t=" + FakeGithubToken(600 + round) + "\n");
    repos_[2].Git({"add", "-A"});
    repos_[2].Git({"commit", "-q", "--amend", "-m", "nothing happened"});
    Push(forge, 2, 700, absl::StrFormat("2024-05-%02dT12:00:00Z", 2 * round));
    repos_[2].Git({"reset", "-q", "--hard", "HEAD~1"});
    EXPECT_EQ(Scan(forge, scan).exit_code, 1);
    EXPECT_FALSE(std::filesystem::exists(MirrorOf(forge, 102)));
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 1 + round);
    uint32_t unreachable = 0;
    for (const json& row : cli_.Rows("occurrences.jsonl")) unreachable += row["presence"] == "unreachable";
    EXPECT_EQ(unreachable, round);
  }
}

TEST_F(OrganizationTest, WhatIsFoundGoneOrRefusedKeepsItsMirror) {
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge).exit_code, 1);
  const json legal = {{"match", "GET /acme/app2.git"}, {"times", nullptr}, {"kind", "status"}, {"status", 451}};
  forge.Fault(legal);
  Push(forge, 2, 500, "2024-05-02T12:00:00Z");
  EXPECT_EQ(Scan(forge).exit_code, 3);
  forge.ChangeRepository({{"id", 101}, {"deleted", true}});
  forge.Fault(legal);
  Push(forge, 3, 501, "2024-05-03T12:00:00Z");
  EXPECT_EQ(Scan(forge, {"github:acme", "--mirrors-budget", "1KB", "--fetch-jobs", "1"}).exit_code, 3);
  EXPECT_EQ(Outcome("acme/app1")["status"], "gone");
  EXPECT_EQ(Outcome("acme/app2")["status"], "refused");
  EXPECT_TRUE(std::filesystem::exists(MirrorOf(forge, 101)));
  EXPECT_TRUE(std::filesystem::exists(MirrorOf(forge, 102)));
  EXPECT_FALSE(std::filesystem::exists(MirrorOf(forge, 100)));
  forge.ChangeRepository({{"id", 102}, {"disabled", true}});
  EXPECT_EQ(Scan(forge, {"github:acme", "--mirrors-budget", "1KB"}).exit_code, 3);
  EXPECT_EQ(Outcome("acme/app2")["reason"], "its forge has disabled it");
  EXPECT_TRUE(std::filesystem::exists(MirrorOf(forge, 102)));
  forge.ChangeRepository({{"id", 102}, {"disabled", false}});
  // Served again, it is like any other.
  forge.Set({{"faults", json::array()}});
  EXPECT_EQ(Scan(forge, {"github:acme", "--mirrors-budget", "1KB"}).exit_code, 1);
  EXPECT_FALSE(std::filesystem::exists(MirrorOf(forge, 102)));
}

TEST_F(OrganizationTest, AMirrorWithoutContentIsNotTakenForWhatIsKeptOfARepositoryThatIsGone) {
  const ForgeServer forge(Settings());
  EXPECT_EQ(Scan(forge).exit_code, 1);
  const std::filesystem::path mirror = MirrorOf(forge, 101);
  std::filesystem::remove_all(mirror);
  unsprawl::Run(home_.path(), {"git", "init", "-q", "--bare", mirror});  // as an interrupted fetch leaves it
  forge.ChangeRepository({{"id", 101}, {"deleted", true}});
  EXPECT_EQ(Scan(forge, {"github:acme", "-c", MoreRules()}).exit_code, 3);
  EXPECT_EQ(Outcome("acme/app1")["skips"][0]["reason"], "unobtainable");
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), kRepositories);
}

TEST_F(OrganizationTest, Libgit2LosesNothingOfAForcePushEither) {
  const ForgeServer forge(Settings());
  const std::vector<std::string> scan = {"github:acme", "--fetch-backend", "libgit2", "--mirrors-budget", "1MB"};
  EXPECT_EQ(Scan(forge, scan).exit_code, 1);
  repos_[2].Git({"commit", "-q", "--amend", "-m", "again"});
  repos_[2].Write("s.env", "nothing\n");
  repos_[2].Git({"commit", "-q", "-a", "--amend", "-m", "nothing"});
  Push(forge, 2, 700, "2024-05-02T12:00:00Z");
  for (int run = 0; run < 2; ++run) {
    EXPECT_EQ(Scan(forge, scan).exit_code, 1);
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 1);
    EXPECT_TRUE(std::filesystem::exists(MirrorOf(forge, 102) / "unsprawl-lost"));
  }
}

// URLs, of which nobody says how large they are.
TEST_F(OrganizationTest, TheBudgetHoldsForRepositoriesOfUnknownSize) {
  constexpr int kUrls = 6;
  constexpr uint64_t kBytes = 1 << 20;
  std::vector<std::string> arguments = {"--mirrors", home_.path() / "mirrors", "--mirrors-budget", "2MB"};
  std::mt19937_64 random(7);
  for (int i = 0; i < kUrls; ++i) {
    GitRepo repo(home_.path() / absl::StrFormat("u%d", i));
    std::string noise;
    while (noise.size() < kBytes) noise += static_cast<char>(random());
    repo.Write("noise", noise);
    repo.Commit();
    arguments.push_back("file://" + repo.path().native());
  }
  std::atomic<bool> done = false;
  uint64_t peak = 0;
  std::thread watch([&] {
    while (!done) {
      uint64_t bytes = 0;
      std::error_code error;
      for (std::filesystem::recursive_directory_iterator it(home_.path() / "mirrors", error), end;
           !error && it != end; it.increment(error)) {
        std::error_code vanished;
        if (it->path().extension() == ".pack") bytes += std::filesystem::file_size(it->path(), vanished);
        if (vanished) bytes = 0;
      }
      peak = std::max(peak, bytes);
    }
  });
  EXPECT_EQ(cli_.Scan(arguments).exit_code, 0);
  done = true;
  watch.join();
  EXPECT_EQ(cli_.Json("manifest.json")["coverage"]["ok"], kUrls);
  EXPECT_GT(peak, kBytes / 2);
  EXPECT_LT(peak, 3 * kBytes);
}

TEST_F(OrganizationTest, AnAppsTokenThatGitIsRefusedWithIsRenewedOnTheWay) {
  json settings = Settings();
  settings["app"] = {{"id", 5}, {"public_pem", MakeAppKey(home_.path() / "app.pem")}};
  settings["installations"] = {{{"id", 77}, {"account", "acme"}}};
  std::filesystem::permissions(home_.path() / "app.pem", std::filesystem::perms::owner_read);
  const ForgeServer forge(settings);
  const std::vector<std::string> app = {"--app-id", "5", "--app-key-file", home_.path() / "app.pem"};
  // (With 403: after 401 git asks once more by itself.) One that is refused between the questions for the refs and for the objects of the second repository.
  constexpr int kTokensOfARun = 2;
  for (const char* scope : {"github:installation/77", "github:acme", "github:app"}) {
    forge.ResetCounters();
    forge.Fault({{"match", "POST .*/git-upload-pack"}, {"after", 3}, {"kind", "status"}, {"status", 403}});
    std::vector<std::string> arguments = {scope, "--store", ":memory:", "--fetch-jobs", "1", "--mirrors",
                                          home_.path() / "m" / scope};
    arguments.insert(arguments.end(), app.begin(), app.end());
    const CliResult scan = Scan(forge, arguments);
    EXPECT_EQ(scan.exit_code, 1) << scope << scan.err << scan.out;
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories) << scope;
    const json counters = forge.Counters();
    EXPECT_EQ(counters["faults"], 1) << scope;
    EXPECT_EQ(counters["templates"]["POST /api/v3/app/installations/{id}/access_tokens"], kTokensOfARun)
        << counters.dump();
  }
}

TEST_F(OrganizationTest, CloneUrlsOfAnAnswerAreNotBelieved) {
  json settings = Settings();
  settings["repositories"][1]["clone_url"] = "http://169.254.169.254/latest/meta-data";
  settings["repositories"][2]["clone_url"] = "file:///etc";
  const ForgeServer forge(settings);
  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
}

TEST_F(OrganizationTest, WikisAreScannedWhenAskedForAndOftenThereIsNone) {
  GitRepo wiki(home_.path() / "wiki");
  wiki.Write("Home.md", "t=" + FakeGithubToken(300) + "\n");
  wiki.Commit();
  unsprawl::Run(home_.path(), {"git", "clone", "-q", "--bare", wiki.path(), "wiki.git"});
  json settings = Settings();
  settings["repositories"][0]["has_wiki"] = true;
  settings["repositories"][0]["wiki_path"] = home_.path() / "wiki.git";
  settings["repositories"][1]["has_wiki"] = true;
  const ForgeServer forge(settings);
  EXPECT_EQ(Scan(forge).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
  const CliResult scan = Scan(forge, {"github:acme", "--wikis", "10"});
  EXPECT_EQ(scan.exit_code, 1) << scan.out;
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 1);
  EXPECT_EQ(Outcome("acme/app0.wiki")["status"], "ok");
  EXPECT_EQ(Outcome("acme/app1.wiki"), json());
  // One that was there is missed.
  forge.ChangeRepository({{"id", 100}, {"wiki_path", nullptr}});
  EXPECT_EQ(Scan(forge, {"github:acme", "--wikis", "10"}).exit_code, 1);
  EXPECT_EQ(Outcome("acme/app0.wiki")["status"], "gone");
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 1);
}

TEST_F(OrganizationTest, WikisOfEveryForgeAreFoundAndThoseBeyondTheirBudgetAreCounted) {
  json settings = Settings();
  for (uint32_t i = 0; i < kRepositories; ++i) {
    MakeBare(absl::StrFormat("wiki%d", i), 300 + i);
    settings["repositories"][i]["wiki_path"] = home_.path() / absl::StrFormat("wiki%d.git", i);
    settings["repositories"][i]["has_wiki"] = true;
  }
  const ForgeServer forge(settings);
  int round = 0;
  for (const auto& [scope, api, variable] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {"github:acme", "/api/v3", "GITHUB_TOKEN"},
           {"gitlab:acme", "/gitlab/api/v4", "GITLAB_TOKEN"},
           {"bitbucket:acme", "/bitbucket/2.0", "BITBUCKET_TOKEN"},
           {"gitea:acme", "/gitea/api/v1", "GITEA_TOKEN"}}) {
    cli_.SetVariable(variable, kToken);
    for (const uint32_t budget : {kRepositories, kRepositories - 1}) {
      const std::string place = home_.path() / std::to_string(round++);
      const CliResult scan = cli_.Scan({"--api-url", forge.Url() + api, "--ca-file", forge.CaFile(), "--store",
                                        place + "/store", "--mirrors", place + "/mirrors", "--wikis",
                                        std::to_string(budget), scope});
      EXPECT_EQ(scan.exit_code, 1) << scope << scan.err << scan.out;
      EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + budget) << scope;
      EXPECT_EQ(Outcome("app0.wiki")["status"], "ok") << scope;
      const json left_out = Outcome(scope + ": wikis");
      if (budget == kRepositories) {
        EXPECT_EQ(left_out, json());
      } else {
        EXPECT_THAT(left_out["skips"].dump(), HasSubstr("not-fetched"));
        EXPECT_EQ(left_out["skips"][0]["count"], 1);
      }
    }
  }
}

TEST_F(OrganizationTest, GistsOfMembersAreScannedWhenAskedForUpToTheirBudget) {
  json settings = Settings();
  settings["users"] = {"ann", "bob"};
  settings["members"] = {{"acme", {"ann", "bob"}}};
  settings["gists"] = json::array();
  for (const auto& [id, owner, is_public] : {std::tuple("100", "ann", true), std::tuple("ab2", "ann", false),
                                             std::tuple("ab3", "bob", true), std::tuple("ab4", "eve", true)}) {
    MakeBare(std::string("gist") + id, 400 + static_cast<uint32_t>(settings["gists"].size()));
    settings["gists"].push_back({{"id", id}, {"owner", owner}, {"public", is_public},
                                 {"path", home_.path() / absl::StrFormat("gist%s.git", id)}});
  }
  settings["tokens"]["reader"]["login"] = "ann";
  const ForgeServer forge(settings);
  EXPECT_EQ(Scan(forge, {"github:acme", "--dropped-commits", "0"}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
  EXPECT_EQ(forge.Counters()["requests"]["api"], 1);

  const CliResult all = Scan(forge, {"github:acme", "--gists", "9"});
  EXPECT_EQ(all.exit_code, 1) << all.out << all.err;
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 2);  // the public ones of members
  // A gist's id may be the number of a repository.
  EXPECT_EQ(Outcome("/gist/ann/100")["status"], "ok");
  EXPECT_EQ(Outcome("acme/app0")["status"], "ok");
  EXPECT_EQ(Outcome(": gists"), json());

  // The token's own user has secret ones, too.
  EXPECT_EQ(Scan(forge, {"github:user/Ann", "--gists", "9", "--store", ":memory:"}).exit_code, 1);
  EXPECT_EQ(Outcome("/gist/ann/ab2")["status"], "ok");
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 2u);
  EXPECT_EQ(Scan(forge, {"github:user/bob", "--gists", "9", "--store", ":memory:"}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 1u);
  EXPECT_EQ(Scan(forge, {"github:user/ann", "--gists", "9", "--visibility", "public", "--store", ":memory:"}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 1u);

  const CliResult few = Scan(forge, {"github:user/ann", "--gists", "1", "--store", ":memory:"});
  EXPECT_EQ(few.exit_code, 1) << few.out;
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 1u);
  EXPECT_EQ(Outcome("github:user/ann: gists")["skips"][0]["count"], 1);

  // One that is deleted is gone, as a repository is.
  settings["gists"].erase(0);
  forge.Set({{"gists", settings["gists"]}});
  EXPECT_EQ(Scan(forge, {"github:acme", "--gists", "9"}).exit_code, 1);
  EXPECT_EQ(Outcome("/gist/ann/100")["status"], "gone");

  // What of one member cannot be listed is said, and stops nobody else's.
  forge.Fault({{"match", "/users/ann/gists"}, {"kind", "status"}, {"status", 404}});
  EXPECT_EQ(Scan(forge, {"github:acme", "--gists", "9", "--store", ":memory:"}).exit_code, 3);
  EXPECT_EQ(Outcome("/gist/bob/ab3")["status"], "ok");
  EXPECT_THAT(Outcome("github:acme: gists")["reason"].get<std::string>(), HasSubstr("/users/ann/gists"));

  // Members that cannot be listed are no small thing.
  forge.Fault({{"match", "/orgs/acme/members"}, {"kind", "status"}, {"status", 403}});
  EXPECT_EQ(Scan(forge, {"github:acme", "--gists", "9"}).exit_code, 3);
  EXPECT_EQ(Outcome("github:acme: gists")["status"], "failed");
}

TEST_F(OrganizationTest, SnippetsOfProjectsAreScannedWhenAskedForUpToTheirBudget) {
  json settings = Settings();
  settings["users"] = {"ann"};
  settings["tokens"]["reader"]["login"] = "ann";
  settings["snippets"] = json::array();
  for (const int id : {101, 102, 103, 104}) {  // The first is the number of a project, too.
    MakeBare(absl::StrFormat("snippet%d", id), static_cast<uint32_t>(400 + id));
    json snippet = {{"id", id}, {"owner", "ann"}, {"visibility", id == 102 ? "private" : "public"},
                    {"path", home_.path() / absl::StrFormat("snippet%d.git", id)}};
    if (id != 104) snippet["project_id"] = id == 103 ? 102 : 101;
    settings["snippets"].push_back(snippet);
  }
  settings["snippets"][1]["http_url_to_repo"] = "http://169.254.169.254/acme/app1/snippets/102.git";
  const ForgeServer forge(settings);
  cli_.SetVariable("GITLAB_TOKEN", kToken);
  const auto scan = [&](const std::string& scope, const char* budget) {
    return cli_.Scan({"--api-url", forge.Url() + "/gitlab/api/v4", "--ca-file", forge.CaFile(), "--store", ":memory:",
                      "--mirrors", home_.path() / "mirrors", "--gists", budget, scope});
  };
  const CliResult all = scan("gitlab:acme", "9");
  EXPECT_EQ(all.exit_code, 1) << all.out << all.err;
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 3);
  EXPECT_EQ(Outcome("acme/app1/snippets/101")["status"], "ok");
  // Projects without any are not asked.
  EXPECT_EQ(forge.Counters()["templates"]["GET /gitlab/api/v4/projects/{id}/snippets"], 2);
  EXPECT_EQ(scan("gitlab:acme", "2").exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 2);
  EXPECT_EQ(Outcome("gitlab:acme: gists")["skips"][0]["count"], 1);
  EXPECT_EQ(scan("gitlab:user/ann", "9").exit_code, 1);
  EXPECT_EQ(Outcome("snippets/104")["status"], "ok");
}

TEST_F(OrganizationTest, SnippetsOfAWorkspaceAreScannedWhenAskedForUpToTheirBudget) {
  json settings = Settings();
  settings["snippets"] = json::array();
  for (const int id : {101, 102, 103}) {
    MakeBare(absl::StrFormat("snippet%d", id), static_cast<uint32_t>(400 + id));
    settings["snippets"].push_back({{"id", id}, {"owner", "ann"}, {"workspace", id == 103 ? "others" : "acme"},
                                    {"path", home_.path() / absl::StrFormat("snippet%d.git", id)}});
  }
  const ForgeServer forge(settings);
  cli_.SetVariable("BITBUCKET_TOKEN", kToken);
  const auto scan = [&](const char* budget) {
    return cli_.Scan({"--api-url", forge.Url() + "/bitbucket/2.0", "--ca-file", forge.CaFile(), "--store", ":memory:",
                      "--mirrors", home_.path() / "mirrors", "--gists", budget, "bitbucket:acme"});
  };
  const CliResult all = scan("9");
  EXPECT_EQ(all.exit_code, 1) << all.out << all.err;
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 2);
  EXPECT_EQ(Outcome("snippets/acme/101")["status"], "ok");
  EXPECT_EQ(scan("1").exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 1);
  EXPECT_EQ(Outcome("bitbucket:acme: gists")["skips"][0]["count"], 1);
}

TEST_F(OrganizationTest, ARunIsWholeAsLongAsOneOfItsTokensIsGood) {
  json settings = Settings();
  settings["tokens"]["poor"] = {{"value", "the-token-of-the-poor"}, {"rate_limit", {{"limit", 1}, {"window_seconds", 600}}}};
  settings["tokens"]["hidden"] = {{"value", "the-token-of-the-hidden"}, {"sso_hidden", "required"}};
  for (uint32_t i = 0; i < 300; ++i) {
    settings["repositories"].push_back({{"id", 1000 + i}, {"owner", "acme"}, {"name", absl::StrFormat("x%d", i)}});
  }
  const ForgeServer forge(settings);
  std::vector<std::string> arguments = {"github:acme", "--include-repos", "app*"};
  for (const std::string name : {"revoked", "poor", "hidden", "reader"}) {
    WriteFile(home_.path() / name, "the-token-of-the-" + name + "\n");
    std::filesystem::permissions(home_.path() / name, std::filesystem::perms::owner_read);
    arguments.insert(arguments.end(), {"--token-file", home_.path() / name});
  }
  const CliResult scan = Scan(forge, arguments);
  EXPECT_EQ(scan.exit_code, 1) << scan.out << scan.err;
  EXPECT_EQ(cli_.Json("manifest.json")["coverage"]["ok"], kRepositories);
  const json asked = forge.Counters()["tokens"];
  EXPECT_EQ(asked["api"]["unknown"], 1) << asked;
  EXPECT_EQ(asked["api"]["poor"], 1) << asked;
  EXPECT_EQ(asked["api"]["hidden"], 1) << asked;
  EXPECT_GE(asked["api"]["reader"], 6) << asked;  // 4 pages, twice, but for what the poor one got
  EXPECT_GE(asked["git-upload-pack"]["poor"], 1) << asked;

  // git finds out by itself where the API was not asked with the token: one page takes one.
  forge.Set({{"repositories", Settings()["repositories"]}});
  forge.ResetCounters();
  const std::string reader = home_.path() / "reader", revoked = home_.path() / "revoked";
  const CliResult small = Scan(forge, {"github:acme", "--store", ":memory:", "--mirrors", home_.path() / "more",
                                       "--dropped-commits", "0", "--token-file", reader, "--token-file", revoked});
  EXPECT_EQ(small.exit_code, 1) << small.out << small.err;
  EXPECT_EQ(cli_.Json("manifest.json")["coverage"]["ok"], kRepositories);
  EXPECT_EQ(forge.Counters()["tokens"]["api"], json({{"reader", 1}}));
  EXPECT_GE(forge.Counters()["tokens"]["git-info-refs"]["unknown"], 1);
}

TEST_F(OrganizationTest, PullRequestsBeyondTheirBudgetAreLeftOutAndCounted) {
  const ForgeServer forge(Settings());
  repos_[0].Write("pull.env", "t=" + FakeGithubToken(301) + "\n");
  repos_[0].Commit();
  for (const char* ref : {"refs/pull/1/head", "refs/pull/2/head"}) {
    repos_[0].Git({"push", "-q", Bare(0), absl::StrFormat("HEAD:%s", ref)});
  }
  EXPECT_EQ(Scan(forge, {"github:acme", "--max-pull-requests", "1"}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
  EXPECT_THAT(Outcome("acme/app0")["skips"].dump(), HasSubstr("not-fetched"));
  // Other rules, nothing pushed: the mirror is scanned again, and what it lacks is still said.
  EXPECT_EQ(Scan(forge, {"github:acme", "--max-pull-requests", "1", "-c", MoreRules()}).exit_code, 1);
  EXPECT_EQ(cli_.Json("run.json")["repositories_unchanged"], 0);
  EXPECT_THAT(Outcome("acme/app0")["skips"].dump(), HasSubstr("not-fetched"));
  // A larger budget is another set of refs.
  EXPECT_EQ(Scan(forge, {"github:acme", "--audit-days", "0"}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories + 1);
}

TEST_F(OrganizationTest, TheDoctorSaysWhatWouldStandInTheWay) {
  const ForgeServer forge(Settings());
  const auto doctor = [&](std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"doctor", "--api-url", forge.ApiUrl(), "--ca-file", forge.CaFile(),
                                          "--mirrors", home_.path() / "mirrors", "github:acme"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return cli_.Run(arguments);
  };
  const CliResult healthy = doctor();
  EXPECT_EQ(healthy.exit_code, 0) << healthy.out << healthy.err;
  EXPECT_THAT(healthy.out, HasSubstr("4 repositories"));
  EXPECT_THAT(healthy.out, HasSubstr("acme/app3: its refs can be read"));
  EXPECT_THAT(healthy.out, HasSubstr("API calls are left"));

  // A token that may list and not read.
  forge.Fault({{"match", "GET /acme/app3.git"}, {"kind", "status"}, {"status", 403}});
  const CliResult unreadable = doctor();
  EXPECT_EQ(unreadable.exit_code, 3) << unreadable.out;
  EXPECT_THAT(unreadable.out, HasSubstr("PROBLEM git"));

  forge.Set({{"faults", json::array()},
             {"tokens", {{"reader", {{"value", kToken}, {"sso_hidden", true}, {"expires_in", 86400}}}}}});
  const CliResult sso = doctor();
  EXPECT_EQ(sso.exit_code, 3) << sso.out;
  EXPECT_THAT(sso.out, HasSubstr("single sign-on"));
  EXPECT_THAT(sso.out, HasSubstr("PROBLEM github:acme: GITHUB_TOKEN: ends on"));
  EXPECT_EQ(Scan(forge).exit_code, 3);

  cli_.SetVariable("GITHUB_TOKEN", "mistyped");
  const CliResult mistyped = doctor();
  EXPECT_EQ(mistyped.exit_code, 3) << mistyped.out;
  EXPECT_THAT(mistyped.out, HasSubstr("Contents: read"));
  EXPECT_THAT(mistyped.out, Not(HasSubstr("mistyped")));
}

TEST_F(OrganizationTest, AConfigurationScansManyOrganizationsEachWithItsCredential) {
  json settings = Settings();
  settings["repositories"][2]["owner"] = "other";
  settings["repositories"][3]["owner"] = "other";
  settings["tokens"]["second"] = {{"value", "the-token-of-another"}, {"repositories", {102, 103}}};
  settings["tokens"]["reader"]["repositories"] = {100, 101};
  const ForgeServer forge(settings);
  for (const auto& [file, token] : {std::pair("one", kToken), std::pair("two", "the-token-of-another")}) {
    WriteFile(home_.path() / file, std::string(token) + "\n");
    std::filesystem::permissions(home_.path() / file, std::filesystem::perms::owner_read);
  }
  WriteFile(home_.path() / "nightly.toml", absl::StrFormat(R"(
store = "store"
output = "report"
mirrors = "mirrors"
ca_file = "%s"
[[scope]]
targets = ["github:acme"]
api_url = "%s"
token_files = ["one"]
[[scope]]
targets = ["github:other"]
api_url = "%s"
token_files = ["two"]
exclude_repos = ["app3"]
)", forge.CaFile().native(), forge.ApiUrl(), forge.ApiUrl()));
  const CliResult run = cli_.Run({"run", home_.path() / "nightly.toml"});
  EXPECT_EQ(run.exit_code, 0) << run.err << run.out;  // What it finds is no failure of the night.
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 3u);
  EXPECT_EQ(Outcome("other/app2")["status"], "ok");
  EXPECT_EQ(cli_.Run({"run", home_.path() / "none.toml"}).exit_code, 2);
}

TEST_F(OrganizationTest, CredentialsAreSeenNowhereWhileItRuns) {
  json settings = Settings();
  settings["git_bytes_per_second"] = 2000;
  const ForgeServer forge(settings);
  std::set<std::string> commands;
  cli_.ScanWatching({"--api-url", forge.ApiUrl(), "--ca-file", forge.CaFile(), "--mirrors", home_.path() / "mirrors",
                     "github:acme"},
                    [&](const std::string& command) { commands.insert(command); });
  bool saw_fetch = false;
  for (const std::string& command : commands) {
    saw_fetch |= command.find("upload-pack") != std::string::npos || command.find("fetch") != std::string::npos;
    EXPECT_THAT(command, Not(HasSubstr(kToken)));
    EXPECT_THAT(command, Not(HasSubstr("Authorization")));
  }
  EXPECT_TRUE(saw_fetch);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(home_.path())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_THAT(ReadFile(entry.path()), Not(HasSubstr(kToken))) << entry.path();
  }
}

}  // namespace
}  // namespace unsprawl
