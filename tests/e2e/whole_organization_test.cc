// An organization of many repositories, of all kinds: what is found at the forge is what is found in a folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/archives.h"
#include "tests/support/cli.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"
#include "tests/support/git_servers.h"
#include "tests/support/random_history.h"
#include "tests/support/report_lines.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::HasSubstr;
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
    repo.Write("own.zip", Packed("zip", "", {{"in/zip.txt", absl::StrFormat("secret %d\n", i % 7)}, {"cut", "x"}}));
    repo.Commit();
    repo.Git({"push", "-q", Bare(Name(i)), "HEAD:refs/heads/own"});
  }

  const std::filesystem::path dir_;
  json listing_ = json::array();
  uint32_t wikis_ = 0;
};

class WholeOrganization : public testing::Test {
 protected:
  // `url`: of a forge that has `organization`; `ca_file` vouches for it.
  void ExpectTheReportOfTheFolder(const Organization& organization, const std::string& url,
                                  const std::filesystem::path& ca_file) {
    remote_.SetVariable("GITHUB_TOKEN", kToken);
    // The same ids of secrets in both.
    const std::string key = home_.path() / "key";
    ASSERT_EQ(remote_.Run({"key", "init", "--key-file", key}).exit_code, 0);
    const std::string rules = home_.path() / "rules.toml";
    WriteFile(rules, kRules);

    const CliResult at_forge =
        remote_.Scan({"--api-url", url + "/api/v3", "--ca-file", ca_file, "--mirrors", home_.path() / "mirrors",
                      "--key-file", key, "--min-confidence", "0", "-c", rules, "--wikis", "10", "--archives", "github:acme"});
    EXPECT_EQ(at_forge.exit_code, 1) << at_forge.err << at_forge.out;
    const CliResult in_folder =
        local_.Scan({"--archives", "--key-file", key, "--min-confidence", "0", "-c", rules, organization.folder()});
    EXPECT_EQ(in_folder.exit_code, 1) << in_folder.err << in_folder.out;

    const std::string prefix = url.substr(std::string("https://").size()) + "/acme/";
    const Names below_prefix = [&](const std::string& name) { return name.substr(prefix.size()); };
    const Names as_it_is = [](const std::string& name) { return name; };
    EXPECT_EQ(remote_.Json("manifest.json")["repositories"].size(), organization.size());
    EXPECT_THAT(Differences(Coverage(remote_, below_prefix), Coverage(local_, as_it_is)), IsEmpty());
    EXPECT_THAT(Differences(Places(remote_, below_prefix), Places(local_, as_it_is)), IsEmpty());
    EXPECT_THAT(Differences(Incidents(remote_), Incidents(local_)), IsEmpty());
    // There was something to find, in most of them, and the same secrets in many.
    std::set<std::string> affected;
    EXPECT_THAT(remote_.ReportFiles()["occurrences.jsonl"], HasSubstr("own.zip!in/zip.txt"));
    for (const json& row : remote_.Rows("occurrences.jsonl")) affected.insert(row["repository"].get<std::string>());
    EXPECT_GT(affected.size(), 50u);
    EXPECT_GT(remote_.Rows("occurrences.jsonl").size(), 200u);
  }

  static json Settings(const Organization& organization) {
    return {{"repositories", organization.listing()}, {"tokens", {{"reader", {{"value", kToken}}}}}};
  }

  TempDir world_, home_, other_home_;
  Cli remote_{home_.path()}, local_{other_home_.path()};
};

TEST_F(WholeOrganization, IsReportedFindingForFindingAsTheFolderOfItsRepositories) {
  const Organization organization(world_.path());
  json settings = Settings(organization);
  settings["git_bytes_per_second"] = 10'000'000;
  const ForgeServer forge(settings);
  ExpectTheReportOfTheFolder(organization, forge.Url(), forge.CaFile());
}

// As a forge of one's own is set up: nginx in front, which serves git itself.
TEST_F(WholeOrganization, IsReportedAsThatWhereNginxServesItsRepositories) {
  const Organization organization(world_.path());
  const ForgeServer forge(Settings(organization));
  const std::filesystem::path root = world_.path() / "root";
  std::filesystem::create_directories(root);
  std::filesystem::create_directory_symlink(organization.folder(), root / "acme");
  const NginxServer server(root, "x-access-token", kToken, forge.Url());
  ExpectTheReportOfTheFolder(organization, server.Url(), server.CaFile());
  EXPECT_EQ(forge.Counters()["git_repositories"], json::object());  // It was asked for none of them.
}

}  // namespace
}  // namespace unsprawl
