// Every night the cost of what changed, and the report of a scan of everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using nlohmann::json;

constexpr char kToken[] = "the-token-of-the-reader";
constexpr char kFirstRule[] = R"(
[[rules]]
id = "first"
regex = '''\bfst_[a-z0-9]{12}\b'''
keywords = ["fst_"]
)";
constexpr char kSecondRule[] = R"(
[[rules]]
id = "second"
regex = '''\bsnd_[a-z0-9]{12}\b'''
keywords = ["snd_"]
)";
// The second rule again, wider: a rule that changed.
constexpr char kChangedRule[] = R"(
[[rules]]
id = "second"
regex = '''\b(?:snd|trd)_[a-z0-9]{12}\b'''
keywords = ["snd_", "trd_"]
)";

// An organization that changes at random. The forge serves bare repositories that never lose an object, so
// that a fresh scan of them in place sees all that was ever pushed: the oracle.
class World {
 public:
  World(std::filesystem::path dir, uint32_t seed) : dir_(std::move(dir)), random_(seed) {
    for (int i = 0; i < 3; ++i) AddRepository(-1);
    forge_ = std::make_unique<ForgeServer>(
        json{{"repositories", listing_}, {"tokens", {{"reader", {{"value", kToken}}}}}});
    WriteFile(dir_ / "rules0.toml", kFirstRule);
    WriteFile(dir_ / "rules1.toml", std::string(kFirstRule) + kSecondRule);
    WriteFile(dir_ / "rules2.toml", std::string(kFirstRule) + kChangedRule);
  }

  const ForgeServer& forge() const { return *forge_; }
  std::string rules() const { return dir_ / absl::StrFormat("rules%d.toml", rules_); }
  std::filesystem::path bare() const { return dir_ / "bare"; }
  // What the repository at the bare folder `name` is called at the forge.
  std::string NameAtForge(const std::string& name) const { return names_.at(name); }

  // One thing happens; what.
  std::string Step() {
    const uint32_t what = Below(100);
    const int at = static_cast<int>(Below(static_cast<uint32_t>(listing_.size())));
    if (what < 45) return Push(at, false);
    if (what < 60) return Push(at, true);
    if (what < 72) return DeleteBranch(at);
    if (what < 80) return Rename(at);
    if (what < 85 && listing_.size() < 8) return Fork(at);
    if (what < 95) {
      rules_ = static_cast<int>(Below(3));
      return absl::StrFormat("rules %d", rules_);
    }
    return "nothing";
  }

 private:
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  std::string Bare(int at) const { return bare() / absl::StrFormat("r%d.git", at); }

  std::string Secret() {
    constexpr const char* kPrefixes[] = {"fst_", "snd_", "trd_"};
    // From a few: the same secret in many places.
    return kPrefixes[Below(3)] + absl::StrFormat("%012d", Below(40));
  }

  void AddRepository(int fork_of) {
    const int at = static_cast<int>(listing_.size());
    if (fork_of < 0) {
      unsprawl::Run(dir_, {"git", "init", "-q", "--bare", "-b", "main", Bare(at)});
      unsprawl::Run(dir_, {"git", "clone", "-q", Bare(at), Work(at)});
      CommitSomething(at, false);
      unsprawl::Run(Work(at), {"git", "push", "-q", "origin", "HEAD:refs/heads/main"});
    } else {
      unsprawl::Run(dir_, {"git", "clone", "-q", "--mirror", "--no-local", Bare(fork_of), Bare(at)});
      unsprawl::Run(dir_, {"git", "clone", "-q", Bare(at), Work(at)});
    }
    unsprawl::Run(dir_, {"git", "-C", Bare(at), "config", "gc.auto", "0"});
    names_[absl::StrFormat("r%d", at)] = absl::StrFormat("acme/app%d", at);
    json repository = {{"id", 100 + at}, {"owner", "acme"}, {"name", absl::StrFormat("app%d", at)},
                       {"private", true}, {"path", Bare(at)}, {"pushed_at", Now()}};
    if (fork_of >= 0) repository["fork"] = true, repository["parent_id"] = 100 + fork_of;
    listing_.push_back(repository);
  }
  std::string Work(int at) const { return dir_ / "work" / absl::StrFormat("r%d", at); }
  std::string Now() {
    ++clock_;
    return absl::StrFormat("2024-05-%02dT%02d:%02d:00Z", 1 + clock_ / 1440, clock_ / 60 % 24, clock_ % 60);
  }

  std::string Git(int at, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"git", "-C", Work(at), "-c", "user.name=A U Thor", "-c",
                                         "user.email=author@example.com"});
    return unsprawl::Run(dir_, arguments);
  }

  void CommitSomething(int at, bool amend) {
    const std::string file = absl::StrFormat("f%d.txt", Below(3));
    std::string content = absl::StrFormat("a line %d\n", random_());
    for (uint32_t lines = Below(4); lines > 0; --lines) content += "key = " + Secret() + "\n";
    WriteFile(std::filesystem::path(Work(at)) / file, content);
    Git(at, {"add", "-A"});
    std::vector<std::string> commit = {"commit", "-q", "--allow-empty", "-m", "a commit"};
    if (amend) commit.insert(commit.begin() + 1, "--amend");
    Git(at, commit);
  }

  void Pushed(int at) { forge_->ChangeRepository({{"id", 100 + at}, {"pushed_at", Now()}}); }

  std::string Push(int at, bool force) {
    const std::string branch = Below(3) == 0 ? absl::StrFormat("b%d", Below(3)) : "main";
    Git(at, {"checkout", "-q", "-B", "now", Below(4) == 0 || branch == "main" ? "origin/main" : "HEAD"});
    CommitSomething(at, force);
    if (Below(5) == 0) Git(at, {"tag", "-f", "-a", "-m", "x", absl::StrFormat("t%d", Below(3))});
    Git(at, {"push", "-q", "-f", "origin", "now:refs/heads/" + branch});
    Git(at, {"push", "-q", "-f", "--tags", "origin"});
    Git(at, {"fetch", "-q", "--prune", "origin"});
    Pushed(at);
    return absl::StrFormat("%s to %s of r%d", force ? "force" : "push", branch, at);
  }

  std::string DeleteBranch(int at) {
    const std::string branch = absl::StrFormat("b%d", Below(3));
    if (unsprawl::Run(dir_, {"git", "-C", Bare(at), "for-each-ref", "refs/heads/" + branch}).empty()) {
      return "nothing";
    }
    unsprawl::Run(dir_, {"git", "-C", Bare(at), "update-ref", "-d", "refs/heads/" + branch});
    Git(at, {"fetch", "-q", "--prune", "origin"});
    Pushed(at);
    return absl::StrFormat("delete %s of r%d", branch, at);
  }

  std::string Rename(int at) {
    const std::string name = absl::StrFormat("app%d-%d", at, Below(100));
    names_[absl::StrFormat("r%d", at)] = "acme/" + name;
    forge_->ChangeRepository({{"id", 100 + at}, {"name", name}});
    return "rename to " + name;
  }

  std::string Fork(int of) {
    AddRepository(of);
    forge_->ChangeRepository(listing_.back());
    return absl::StrFormat("fork of r%d", of);
  }

  const std::filesystem::path dir_;
  std::mt19937 random_;
  json listing_ = json::array();
  std::map<std::string, std::string> names_;  // bare folder → name at the forge
  std::unique_ptr<ForgeServer> forge_;
  int rules_ = 0;
  int clock_ = 0;
};

// The places of a report, one a line, without the order and with each repository under one name.
std::vector<std::string> Places(const Cli& cli, const std::function<std::string(const std::string&)>& name) {
  std::vector<std::string> places;
  for (json row : cli.Rows("occurrences.jsonl")) {
    row["repository"] = name(row["repository"].get<std::string>());
    places.push_back(row.dump());
  }
  std::sort(places.begin(), places.end());
  return places;
}

TEST(Nightly, AfterWhateverHappensTheReportIsThatOfAFreshScanOfEverything) {
  const char* asked = std::getenv("UNSPRAWL_NIGHTLY_STEPS");
  const int steps = asked != nullptr ? std::atoi(asked) : 200;
  TempDir home, world_dir, fresh_home;
  World world(world_dir.path(), 7);
  Cli nightly(home.path()), fresh(fresh_home.path());
  nightly.SetVariable("GITHUB_TOKEN", kToken);
  // The same ids of secrets in both.
  const std::string key = home.path() / "key";
  EXPECT_EQ(nightly.Run({"key", "init", "--key-file", key}).exit_code, 0);
  std::string told;
  for (int step = 0; step < steps; ++step) {
    if (step > 0) told += absl::StrFormat("%d: %s\n", step, world.Step());
    const CliResult scan =
        nightly.Scan({"--api-url", world.forge().ApiUrl(), "--ca-file", world.forge().CaFile(), "--mirrors",
                      home.path() / "mirrors", "--key-file", key, "--min-confidence", "0", "-c", world.rules(),
                      "github:acme"});
    ASSERT_LE(scan.exit_code, 1) << scan.err << told;
    const CliResult full = fresh.Scan({"--store", ":memory:", "--key-file", key, "--min-confidence", "0", "-c",
                                       world.rules(), world.bare()});
    ASSERT_LE(full.exit_code, 1) << full.err << told;
    const std::string host = world.forge().Url().substr(8) + "/";
    ASSERT_EQ(Places(nightly, [&](const std::string& name) { return name.substr(host.size()); }),
              Places(fresh, [&](const std::string& name) { return world.NameAtForge(name); }))
        << told;
  }
  EXPECT_GT(nightly.Rows("occurrences.jsonl").size(), 20u);
}

}  // namespace
}  // namespace unsprawl
