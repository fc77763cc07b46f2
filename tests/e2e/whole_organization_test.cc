// An organization of many repositories, of all kinds: what is found at the forge is what is found in a folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"
#include "tests/support/random_history.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::IsEmpty;

constexpr char kToken[] = "the-token-of-the-reader";
constexpr uint32_t kRepositories = 60;
constexpr char kRules[] = R"(
[[rules]]
id = "numbered"
regex = '''\bsecret [0-9]\b'''
keywords = ["secret"]
)";

// Bare repositories in one folder, and how a forge lists them.
class Organization {
 public:
  explicit Organization(std::filesystem::path dir) : dir_(std::move(dir)) {
    std::filesystem::create_directories(folder());
    for (uint32_t i = 0; i < kRepositories; ++i) {
      json fields = {{"id", 100 + i}, {"owner", "acme"}, {"name", Name(i)}, {"path", Bare(Name(i))},
                     {"private", i % 3 != 0}, {"archived", i % 10 == 4}, {"pushed_at", "2024-05-01T12:00:00Z"}};
      if (i % 15 == 1) {
        unsprawl::Run(dir_, {"git", "init", "-q", "--bare", Bare(Name(i))});
        fields["empty"] = true;
      } else if (i % 5 == 3) {
        MakeFork(i, i - 1);
        fields["fork"] = true;
        fields["parent_id"] = 100 + i - 1;
      } else {
        Make(Name(i), i);
      }
      if (i % 20 == 2) {
        Make(Name(i) + ".wiki", 1000 + i);
        fields["wiki_path"] = Bare(Name(i) + ".wiki");
        ++wikis_;
      }
      listing_.push_back(fields);
    }
  }

  std::filesystem::path folder() const { return dir_ / "bare"; }
  const json& listing() const { return listing_; }
  uint32_t size() const { return kRepositories + wikis_; }

 private:
  static std::string Name(uint32_t i) { return absl::StrFormat("app%02d", i); }
  std::string Bare(const std::string& name) const { return folder() / (name + ".git"); }

  void Make(const std::string& name, uint32_t seed) {
    GitRepo repo(dir_ / "work" / name);
    MakeRandomHistory({.seed = seed, .commits = 4 + static_cast<int>(seed % 20), .secrets = 8}, repo);
    // As at every forge: HEAD names a branch.
    const std::string branches = repo.Git({"for-each-ref", "--format=%(refname)", "refs/heads"});
    repo.Git({"symbolic-ref", "HEAD", branches.substr(0, branches.find('\n'))});
    unsprawl::Run(dir_, {"git", "clone", "-q", "--mirror", "--no-local", repo.path(), Bare(name)});
    if (seed % 4 == 0) {
      repo.Write("pull.txt", absl::StrFormat("secret 9\nof %s\n", name));
      repo.Git({"add", "pull.txt"});
      repo.Git({"commit", "-q", "-m", "offered"});
      repo.Git({"push", "-q", Bare(name), "HEAD:refs/pull/1/head"});
    }
  }

  void MakeFork(uint32_t i, uint32_t of) {
    unsprawl::Run(dir_, {"git", "clone", "-q", "--mirror", "--no-local", Bare(Name(of)), Bare(Name(i))});
    GitRepo repo(dir_ / "work" / Name(i));
    repo.Write("own.txt", absl::StrFormat("secret %d\nonly here\n", i % 10));
    repo.Commit();
    repo.Git({"push", "-q", Bare(Name(i)), "HEAD:refs/heads/own"});
  }

  const std::filesystem::path dir_;
  json listing_ = json::array();
  uint32_t wikis_ = 0;
};

using Names = std::function<std::string(const std::string&)>;

std::vector<std::string> Sorted(std::vector<std::string> lines) {
  std::sort(lines.begin(), lines.end());
  return lines;
}

// What only one of two sorted lists has: short enough to be read when a test fails.
std::vector<std::string> Differences(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<std::string> lines;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(lines));
  return lines;
}

std::vector<std::string> Places(const Cli& cli, const Names& name) {
  std::vector<std::string> lines;
  for (json row : cli.Rows("occurrences.jsonl")) {
    row["repository"] = name(row["repository"].get<std::string>());
    lines.push_back(row.dump());
  }
  return Sorted(lines);
}

std::vector<std::string> Incidents(const Cli& cli) {
  std::vector<std::string> lines;
  for (const json& row : cli.Rows("incidents.jsonl")) {
    json kept;
    for (const char* field : {"id", "rule", "state", "presence", "repositories", "occurrences", "introductions",
                              "locations", "authors"}) {
      kept[field] = row.at(field);
    }
    lines.push_back(kept.dump());
  }
  return Sorted(lines);
}

std::vector<std::string> Coverage(const Cli& cli, const Names& name) {
  std::vector<std::string> lines;
  for (const json& row : cli.Json("manifest.json")["repositories"]) {
    json kept = {{"name", name(row["name"].get<std::string>())}};
    for (const char* field : {"status", "refs", "commits", "blobs", "blobs_scanned", "bytes", "submodules"}) {
      kept[field] = row.at(field);
    }
    lines.push_back(kept.dump());
  }
  return Sorted(lines);
}

TEST(WholeOrganization, IsReportedFindingForFindingAsTheFolderOfItsRepositories) {
  TempDir world, home, other_home;
  const Organization organization(world.path());
  const ForgeServer forge(json{{"repositories", organization.listing()},
                               {"git_bytes_per_second", 10'000'000},
                               {"tokens", {{"reader", {{"value", kToken}}}}}});
  Cli remote(home.path()), local(other_home.path());
  remote.SetVariable("GITHUB_TOKEN", kToken);
  // The same ids of secrets in both.
  const std::string key = home.path() / "key";
  ASSERT_EQ(remote.Run({"key", "init", "--key-file", key}).exit_code, 0);
  const std::string rules = home.path() / "rules.toml";
  WriteFile(rules, kRules);

  const CliResult at_forge =
      remote.Scan({"--api-url", forge.ApiUrl(), "--ca-file", forge.CaFile(), "--mirrors", home.path() / "mirrors",
                   "--key-file", key, "--min-confidence", "0", "-c", rules, "--wikis", "10", "github:acme"});
  EXPECT_EQ(at_forge.exit_code, 1) << at_forge.err << at_forge.out;
  const CliResult in_folder =
      local.Scan({"--key-file", key, "--min-confidence", "0", "-c", rules, organization.folder()});
  EXPECT_EQ(in_folder.exit_code, 1) << in_folder.err << in_folder.out;

  const std::string prefix = forge.Url().substr(std::string("https://").size()) + "/acme/";
  const Names below_prefix = [&](const std::string& name) { return name.substr(prefix.size()); };
  const Names as_it_is = [](const std::string& name) { return name; };
  EXPECT_EQ(remote.Json("manifest.json")["repositories"].size(), organization.size());
  EXPECT_THAT(Differences(Coverage(remote, below_prefix), Coverage(local, as_it_is)), IsEmpty());
  EXPECT_THAT(Differences(Places(remote, below_prefix), Places(local, as_it_is)), IsEmpty());
  EXPECT_THAT(Differences(Incidents(remote), Incidents(local)), IsEmpty());
  // There was something to find, in most of them, and the same secrets in many.
  std::set<std::string> affected;
  for (const json& row : remote.Rows("occurrences.jsonl")) affected.insert(row["repository"].get<std::string>());
  EXPECT_GT(affected.size(), 50u);
  EXPECT_GT(remote.Rows("occurrences.jsonl").size(), 200u);
}

}  // namespace
}  // namespace unsprawl
