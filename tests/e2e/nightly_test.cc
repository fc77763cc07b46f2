// Every night the cost of what changed, and the report of a scan of everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/support/cli.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"
#include "tests/support/report_lines.h"

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

// Rules of paths alone, one and another under the same id.
constexpr char kFileRule[] = R"(
[[rules]]
id = "file"
path = '''f1\.txt$'''
)";
constexpr char kChangedFileRule[] = R"(
[[rules]]
id = "file"
path = '''f[02]\.txt$'''
)";

struct Kind {
  const char* name;
  const char* target;
  const char* api;  // below the stand-in's URL
  const char* token_variable;
  bool tells_dropped_commits;  // an API says what a push or a deletion took from a branch
  int steps;
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

// An organization that changes at random. The forge serves bare repositories that never lose an object, so
// that a fresh scan of them in place sees all that was ever pushed: the oracle.
class World {
 public:
  World(std::filesystem::path dir, const Kind& kind, uint32_t seed) : dir_(std::move(dir)), kind_(kind), random_(seed) {
    for (int i = 0; i < 3; ++i) AddRepository(-1);
    forge_ = std::make_unique<ForgeServer>(
        json{{"repositories", listing_}, {"tokens", {{"reader", {{"value", kToken}}}}}});
    WriteFile(dir_ / "rules0.toml", kFirstRule);
    WriteFile(dir_ / "rules1.toml", std::string(kFirstRule) + kSecondRule + kFileRule);
    WriteFile(dir_ / "rules2.toml", std::string(kFirstRule) + kChangedRule + kChangedFileRule);
  }

  const ForgeServer& forge() const { return *forge_; }
  std::string rules() const { return dir_ / absl::StrFormat("rules%d.toml", rules_); }
  std::filesystem::path bare() const { return dir_ / "bare"; }
  // What the repository at the bare folder `name` is called at the forge.
  std::string NameAtForge(const std::string& name) const { return names_.at(name); }

  // One, two or three things happen before the next run; what. `has_mirror`: whether a repository, by its id, is
  // mirrored now: one that is deleted without is gone for good, and rules that come later cannot be asked of it.
  std::string Step(const std::function<bool(int)>& has_mirror) {
    pushed_.clear();
    renamed_.clear();
    std::string told;
    for (uint32_t events = 1 + Below(3); events > 0; --events) told += Event(has_mirror) + "; ";
    return told;
  }
  // What the next run may take for mirrors: sometimes next to nothing.
  const char* Budget() { return Below(4) == 0 ? "1" : "500GB"; }

 private:
  std::string Event(const std::function<bool(int)>& has_mirror) {
    const uint32_t what = Below(100);
    const int at = static_cast<int>(Below(static_cast<uint32_t>(listing_.size())));
    if (what >= 95) return "nothing";
    if (what >= 85) {
      rules_ = static_cast<int>(Below(3));
      return absl::StrFormat("rules %d", rules_);
    }
    const bool deleted = deleted_.count(at) > 0;
    if (deleted) return what < 40 ? Restore(at) : "nothing";
    if (what < 40) return Push(at, false);
    if (what < 55) return Push(at, true);
    if (what < 67) return DeleteBranch(at);
    if (what < 74) return Rename(at);
    if (what < 79) return listing_.size() < 8 ? Fork(at) : "nothing";
    // What happened to it since the last run nobody would ever see.
    const bool as_seen = pushed_.count(at) == 0 && renamed_.count(at) == 0;
    return as_seen && has_mirror(100 + at) ? Delete(at) : "nothing";
  }

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

  void Change(int at, const json& fields) {
    listing_[static_cast<size_t>(at)].update(fields);
    json change = fields;
    change["id"] = 100 + at;
    forge_->ChangeRepository(change);
  }

  // What `ref` names; empty: it is not there.
  std::string Tip(int at, const std::string& ref) {
    const std::string id = unsprawl::Run(dir_, {"git", "-C", Bare(at), "for-each-ref", "--format=%(objectname)", ref});
    return id.substr(0, id.find('\n'));
  }

  // To be called when `ref` was moved or deleted, or other refs came; `before`: its tip until then.
  void Pushed(int at, const std::string& ref, const std::string& before) {
    pushed_.insert(at);
    const std::string after = Tip(at, ref);
    json fields = {{"pushed_at", Now()}};
    const bool forward = before.empty() || (!after.empty() && unsprawl::Run(dir_, {"git", "-C", Bare(at), "rev-list",
                                                                                  before, "--not", after}).empty());
    if (!forward) {
      json activity = {{{"activity_type", after.empty() ? "branch_deletion" : "force_push"},
                        {"before", before},
                        {"after", after.empty() ? std::string(40, '0') : after},
                        {"ref", ref},
                        {"timestamp", absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone())}}};
      for (const json& earlier : listing_[static_cast<size_t>(at)].value("activity", json::array())) {
        activity.push_back(earlier);
      }
      fields["activity"] = activity;
    }
    Change(at, fields);
  }

  // Whether a branch may lose its tip now: where the forge does not tell what it lost, only what a run has seen.
  bool MayLose(int at) const { return kind_.tells_dropped_commits || pushed_.count(at) == 0; }

  std::string Push(int at, bool force) {
    if (!MayLose(at)) return "nothing";
    const std::string branch = Below(3) == 0 ? absl::StrFormat("b%d", Below(3)) : "main";
    const std::string ref = "refs/heads/" + branch, before = Tip(at, ref);
    Git(at, {"checkout", "-q", "-B", "now", Below(4) == 0 || branch == "main" ? "origin/main" : "HEAD"});
    CommitSomething(at, force);
    if (Below(5) == 0) Git(at, {"tag", "-f", "-a", "-m", "x", absl::StrFormat("t%d", Below(3))});
    Git(at, {"push", "-q", "-f", "origin", "now:" + ref});
    Git(at, {"push", "-q", "-f", "--tags", "origin"});
    Git(at, {"fetch", "-q", "--prune", "origin"});
    Pushed(at, ref, before);
    return absl::StrFormat("%s to %s of r%d", force ? "force" : "push", branch, at);
  }

  std::string DeleteBranch(int at) {
    const std::string ref = absl::StrFormat("refs/heads/b%d", Below(3)), before = Tip(at, ref);
    if (before.empty() || !MayLose(at)) return "nothing";
    unsprawl::Run(dir_, {"git", "-C", Bare(at), "update-ref", "-d", ref});
    Git(at, {"fetch", "-q", "--prune", "origin"});
    Pushed(at, ref, before);
    return absl::StrFormat("delete %s of r%d", ref, at);
  }

  std::string Delete(int at) {
    deleted_.insert(at);
    forge_->ChangeRepository({{"id", 100 + at}, {"deleted", true}});
    return absl::StrFormat("delete r%d", at);
  }
  std::string Restore(int at) {
    deleted_.erase(at);
    Change(at, listing_[static_cast<size_t>(at)]);
    return absl::StrFormat("restore r%d", at);
  }

  std::string Rename(int at) {
    const std::string name = absl::StrFormat("app%d-%d", at, Below(100));
    names_[absl::StrFormat("r%d", at)] = "acme/" + name;
    renamed_.insert(at);
    Change(at, {{"name", name}});
    return "rename to " + name;
  }

  std::string Fork(int of) {
    const int at = static_cast<int>(listing_.size());
    AddRepository(of);
    pushed_.insert(at);
    Change(at, listing_.back());
    return absl::StrFormat("fork of r%d", of);
  }

  const std::filesystem::path dir_;
  const Kind kind_;
  std::mt19937 random_;
  json listing_ = json::array();
  std::map<std::string, std::string> names_;  // bare folder → name at the forge
  std::set<int> deleted_, pushed_, renamed_;  // the last two: since the last run
  std::unique_ptr<ForgeServer> forge_;
  int rules_ = 0;
  int clock_ = 0;
};

class Nightly : public testing::TestWithParam<Kind> {};

TEST_P(Nightly, AfterWhateverHappensTheReportIsThatOfAFreshScanOfEverything) {
  const Kind& kind = GetParam();
  const char* asked = std::getenv("UNSPRAWL_NIGHTLY_STEPS");
  const char* seed = std::getenv("UNSPRAWL_NIGHTLY_SEED");
  const bool in_cluster = std::getenv("UNSPRAWL_TEST_WORKERS") != nullptr;  // It takes longer there.
  const int steps = asked != nullptr ? std::atoi(asked) : in_cluster ? 15 : kind.steps;
  TempDir home, world_dir, fresh_home;
  World world(world_dir.path(), kind, seed != nullptr ? static_cast<uint32_t>(std::atoi(seed)) : 7);
  Cli nightly(home.path()), fresh(fresh_home.path());
  nightly.SetVariable(kind.token_variable, kToken);
  // The same ids of secrets in both.
  const std::string key = home.path() / "key";
  EXPECT_EQ(nightly.Run({"key", "init", "--key-file", key}).exit_code, 0);
  const std::string host = world.forge().Url().substr(8);
  // Everybody who scans has one: of a cluster one of the workers, and the machine beside it (tests/support/cli.h).
  const auto has_mirror = [&](int id) {
    std::set<bool> found;  // beside it?
    for (const auto& entry : std::filesystem::recursive_directory_iterator(home.path())) {
      if (entry.path().filename() != absl::StrFormat("%d.git", id) || !std::filesystem::exists(entry.path() / "HEAD")) continue;
      found.insert(entry.path().native().starts_with((home.path() / "beside").native()));
    }
    return found.size() == (std::filesystem::exists(home.path() / "beside") ? 2u : 1u);
  };
  const Names at_forge = [&](const std::string& name) { return name.substr(host.size() + 1); };
  const Names in_folder = [&](const std::string& name) { return world.NameAtForge(name); };
  std::string told;
  for (int step = 0; step < steps; ++step) {
    if (step > 0) told += absl::StrFormat("%d: %s", step, world.Step(has_mirror));
    const std::string budget = world.Budget();
    told += absl::StrFormat("budget %s\n", budget);
    const CliResult scan =
        nightly.Scan({"--api-url", world.forge().Url() + kind.api, "--ca-file", world.forge().CaFile(), "--mirrors",
                      home.path() / "mirrors", "--mirrors-budget", budget, "--key-file", key, "--min-confidence", "0",
                      "-c", world.rules(), kind.target});
    ASSERT_LE(scan.exit_code, 1) << scan.err << scan.out << told;
    const CliResult full = fresh.Scan({"--store", ":memory:", "--key-file", key, "--min-confidence", "0", "-c",
                                       world.rules(), world.bare()});
    ASSERT_LE(full.exit_code, 1) << full.err << told;
    ASSERT_THAT(Differences(Places(nightly, at_forge), Places(fresh, in_folder)), testing::IsEmpty()) << told;
    ASSERT_THAT(Differences(Incidents(nightly), Incidents(fresh)), testing::IsEmpty()) << told;
  }
  EXPECT_GT(nightly.Rows("occurrences.jsonl").size(), 20u);
}

INSTANTIATE_TEST_SUITE_P(
    Forges, Nightly,
    testing::Values(Kind{"github", "github:acme", "/api/v3", "GITHUB_TOKEN", true, 200},
                    Kind{"gitlab", "gitlab:acme", "/gitlab/api/v4", "GITLAB_TOKEN", false, 60}),
    [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace unsprawl
