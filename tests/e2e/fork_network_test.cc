// Forks of one network share the objects of one mirror, and each has only what is its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/cluster.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::IsEmpty;

namespace fs = std::filesystem;

constexpr char kToken[] = "the-token-of-the-reader";
constexpr char kKey[] = "7777777777777777777777777777777777777777777777777777777777777777";  // fingerprints are the same
constexpr size_t kAssetBytes = 1 << 20;  // of a file that nothing compresses

// root ← fork ← fork2, and two forks of a repository of somebody else.
class ForkNetworkTest : public testing::Test {
 protected:
  ForkNetworkTest() {
    Make(100, "root", -1);
    Write(100, "root.env", 1);
    Make(101, "fork", 100);
    Write(101, "fork.env", 2);
    Make(102, "fork2", 101);
    Write(102, "fork2.env", 3);
    Make(103, "theirs", -1);
    Write(103, "theirs.env", 5);
    Make(104, "theirs2", 103);
    Write(104, "theirs2.env", 4);
    listing_[3]["fork"] = listing_[4]["fork"] = true;
    listing_[3]["parent_id"] = listing_[4]["parent_id"] = 999;
    listing_.push_back({{"id", 999}, {"owner", "somebody"}, {"name", "else"}, {"private", false}});
    forge_ = std::make_unique<ForgeServer>(
        json{{"repositories", listing_}, {"tokens", {{"reader", {{"value", kToken}}}}}});
    cli_.SetVariable("GITHUB_TOKEN", kToken);
    cli_.SetVariable("UNSPRAWL_KEY", kKey);
  }

  fs::path Bare(int id) const { return home_.path() / "bare" / absl::StrFormat("r%d.git", id); }
  fs::path Work(int id) const { return home_.path() / "work" / absl::StrFormat("r%d", id); }
  fs::path Mirror(int id) const {
    return FindMirror(home_.path() / "mirrors", absl::StrFormat("by-id/%s/%d.git", Folder(), id));
  }
  std::string Folder() const {  // of the host
    const std::string host = forge_->Url().substr(8);
    return host.substr(0, host.find(':')) + "%3A" + host.substr(host.find(':') + 1);
  }
  std::string Git(int id, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"git", "-C", Work(id), "-c", "user.name=A", "-c", "user.email=a@b.c"});
    return unsprawl::Run(home_.path(), arguments);
  }

  void Make(int id, const std::string& name, int fork_of) {
    if (fork_of < 0) {
      unsprawl::Run(home_.path(), {"git", "init", "-q", "--bare", "-b", "main", Bare(id)});
    } else {
      unsprawl::Run(home_.path(), {"git", "clone", "-q", "--mirror", "--no-local", Bare(fork_of), Bare(id)});
    }
    unsprawl::Run(home_.path(), {"git", "clone", "-q", Bare(id), Work(id)});
    json repository = {{"id", id}, {"owner", "acme"}, {"name", name}, {"private", true}, {"path", Bare(id)},
                       {"pushed_at", "2024-05-01T12:00:00Z"}};
    if (fork_of >= 0) {
      repository["fork"] = true;
      repository["parent_id"] = fork_of;
    } else {
      std::mt19937_64 random(static_cast<uint64_t>(id));
      std::string asset;
      while (asset.size() < kAssetBytes) asset += absl::StrFormat("%016x", random());
      WriteFile(Work(id) / "asset", asset);
    }
    listing_.push_back(std::move(repository));
  }
  // A commit with a secret of its own, pushed.
  void Write(int id, const std::string& file, uint32_t secret, const std::string& branch = "main") {
    Git(id, {"checkout", "-q", "-B", branch});
    WriteFile(Work(id) / file, "t=" + FakeGithubToken(secret) + "\n");
    Git(id, {"add", "-A"});
    Git(id, {"commit", "-q", "-m", file});
    Push(id, branch);
  }
  void Push(int id, const std::string& branch) { Git(id, {"push", "-q", "-f", "origin", "HEAD:" + branch}); }
  void SayPushed(int id) {
    forge_->ChangeRepository({{"id", id}, {"pushed_at", absl::StrFormat("2024-06-01T12:00:%02dZ", ++pushes_)}});
  }

  void Scan(std::vector<std::string> more = {}, int exit_code = 1) {
    std::vector<std::string> arguments = {"--api-url", forge_->ApiUrl(), "--ca-file", forge_->CaFile(), "github:acme"};
    if (std::find(more.begin(), more.end(), "--mirrors") == more.end()) {
      arguments.insert(arguments.end(), {"--mirrors", home_.path() / "mirrors"});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CliResult scan = cli_.Scan(arguments);
    EXPECT_EQ(scan.exit_code, exit_code) << scan.err << scan.out;
  }
  static std::string Place(const std::string& repository, const json& row) {
    return absl::StrFormat("%s %s %s", repository, row["path"].get<std::string>(), row["presence"].get<std::string>());
  }
  // Of every place.
  std::multiset<std::string> Places() const {
    std::multiset<std::string> places;
    for (const json& row : cli_.Rows("occurrences.jsonl")) {
      const std::string repository = row["repository"];
      places.insert(Place(repository.substr(repository.rfind('/') + 1), row));
    }
    return places;
  }
  // What a scan of the bare repositories in place says.
  std::multiset<std::string> PlacesInPlace() {
    Cli fresh(home_.path() / "fresh");
    EXPECT_EQ(fresh.Scan({"--store", ":memory:", home_.path() / "bare"}).exit_code, 1);
    std::map<std::string, std::string> names;
    for (const json& repository : listing_) {
      names[absl::StrFormat("r%d", repository["id"].get<int>())] = repository["name"];
    }
    std::multiset<std::string> places;
    for (const json& row : fresh.Rows("occurrences.jsonl")) {
      const std::string repository = row["repository"];
      places.insert(Place(names[repository.substr(repository.rfind('/') + 1)], row));
    }
    return places;
  }

  uint64_t MirrorBytes() const {
    uint64_t bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(home_.path() / "mirrors")) {
      if (entry.path().extension() == ".pack") bytes += entry.file_size();
    }
    return bytes;
  }
  // Mirrors that borrow from one that is not there.
  std::vector<fs::path> Orphans() const {
    std::vector<fs::path> orphans;
    for (const auto& entry : fs::recursive_directory_iterator(home_.path())) {
      if (entry.path().filename() != "alternates") continue;
      std::string lender = ReadFile(entry.path());
      lender.pop_back();
      if (!fs::exists(entry.path().parent_path().parent_path() / lender)) orphans.push_back(entry.path());
    }
    return orphans;
  }

  TempDir home_;
  json listing_ = json::array();
  std::unique_ptr<ForgeServer> forge_;
  Cli cli_{home_.path()};
  int pushes_ = 0;
};

TEST_F(ForkNetworkTest, ForksFetchOnlyWhatTheirNetworkLacks) {
  Scan();
  EXPECT_EQ(Places(), PlacesInPlace());
  EXPECT_EQ(Places().size(), 1u + 2u + 3u + 1u + 2u);
  // Of five repositories with a large file each there are two such files.
  EXPECT_LT(MirrorBytes(), 2 * kAssetBytes * 6 / 10 + (1 << 17));
  EXPECT_GT(MirrorBytes(), 2 * kAssetBytes * 4 / 10);
  for (const int fork : {101, 102}) {
    EXPECT_EQ(ReadFile(Mirror(fork) / "objects/info/alternates"), "../../100.git/objects\n");
  }
  EXPECT_EQ(forge_->Counters()["requests"]["graphql"], 1);
  // No fork's parent is asked for twice.
  forge_->ResetCounters();
  Scan();
  EXPECT_EQ(forge_->Counters()["requests"].value("graphql", 0), 0);
  EXPECT_EQ(Places(), PlacesInPlace());
}

TEST_F(ForkNetworkTest, ALenderThatIsThereAgainWithLessIsNoLender) {
  // A branch that only the root's first mirror still has when the fork is fetched again.
  Write(100, "dev.env", 10, "dev");
  Git(101, {"fetch", "-q", Bare(100), "dev:dev"});
  Git(101, {"push", "-q", "origin", "dev"});
  Write(100, "early.env", 13, "early");
  Git(101, {"fetch", "-q", Bare(100), "early:early"});
  Git(101, {"push", "-q", "origin", "early"});
  Scan();
  // The fork drops one of them, and keeps the other.
  Git(101, {"push", "-q", "origin", ":early"});
  SayPushed(101);
  Scan();
  EXPECT_EQ(Places(), PlacesInPlace());
  Git(100, {"push", "-q", "origin", ":dev", ":early"});
  unsprawl::Run(Bare(100), {"git", "reflog", "expire", "--all", "--expire=now"});
  unsprawl::Run(Bare(100), {"git", "gc", "-q", "--prune=now"});
  fs::remove_all(Mirror(100));
  SayPushed(100);
  SayPushed(101);
  Scan({}, 3);  // The root's own two commits nobody has any more, and it says so.
  EXPECT_EQ(Places(), PlacesInPlace());
  Write(101, "more.env", 11);
  SayPushed(101);
  Scan({}, 3);
  EXPECT_EQ(Places(), PlacesInPlace());
  const json manifest = cli_.Json("manifest.json");
  for (const json& repository : manifest["repositories"]) {
    const bool is_root = repository["name"].get<std::string>().ends_with("/root");
    EXPECT_EQ(repository["status"], is_root ? "partial" : "ok") << repository;
  }
}

TEST_F(ForkNetworkTest, TheMirrorsFolderMayBeNamedInAnyWay) {
  Scan();
  Write(102, "more.env", 11);
  SayPushed(102);
  Scan({"--mirrors", home_.path() / "x/.." / "mirrors/", "--mirrors-budget", "1KB"});
  EXPECT_THAT(Orphans(), IsEmpty());
  EXPECT_EQ(Places(), PlacesInPlace());
}

// The root has what no fork has: commits, blobs, one of them too large to scan, a submodule, a fork's own files.
TEST_F(ForkNetworkTest, WhatIsSaidOfAForkDoesNotDependOnWhereItsObjectsLie) {
  Write(100, "dev.env", 10, "dev");
  WriteFile(Work(100) / "large", std::string(30'000, 'l'));
  Git(100, {"update-index", "--add", "--cacheinfo", "160000," + std::string(40, 'a') + ",lib"});
  Write(100, "more.env", 11, "dev");
  SayPushed(100);
  Scan({"--max-object-size", "20KB"});
  EXPECT_TRUE(fs::exists(Mirror(101) / "objects/info/alternates"));
  const auto together = cli_.ReportFiles();
  forge_->Fault({{"match", "graphql"}, {"kind", "status"}, {"status", 404}, {"times", nullptr}});
  fs::remove_all(home_.path() / "mirrors");
  fs::remove_all(home_.path() / "store");
  Cli alone(home_.path() / "alone");
  for (const char* const name : {"UNSPRAWL_KEY", "GITHUB_TOKEN"}) alone.SetVariable(name, name[0] == 'U' ? kKey : kToken);
  EXPECT_EQ(alone.Scan({"--api-url", forge_->ApiUrl(), "--ca-file", forge_->CaFile(), "--mirrors",
                        home_.path() / "mirrors", "--max-object-size", "20KB", "github:acme"}).exit_code, 1);
  EXPECT_FALSE(fs::exists(Mirror(101) / "objects/info/alternates"));
  const auto apart = alone.ReportFiles();
  ASSERT_EQ(together.size(), apart.size());
  for (const auto& [name, text] : together) EXPECT_EQ(text, apart.at(name)) << name;
}

TEST_F(ForkNetworkTest, WithoutTheParentsEachIsFetchedAlone) {
  forge_->Fault({{"match", "graphql"}, {"kind", "status"}, {"status", 404}, {"times", nullptr}});
  Scan();
  EXPECT_EQ(Places(), PlacesInPlace());
  EXPECT_GT(MirrorBytes(), 5 * kAssetBytes * 4 / 10);
}

TEST_F(ForkNetworkTest, WhatAnotherLostIsNotItsOwnAndWhatItLostItselfStays) {
  // What the root forces away before and after the fork is fetched, the fork never had; a branch of the fork
  // at a commit that is in the root's mirror alone it had.
  Write(100, "forced.env", 10, "forced");
  Git(101, {"fetch", "-q", Bare(100), "forced:from-root"});
  Git(101, {"push", "-q", "origin", "from-root"});
  Scan();
  Write(100, "later.env", 11, "later");
  SayPushed(100);
  Scan();
  Git(100, {"push", "-q", "origin", ":forced", ":later"});
  Git(101, {"push", "-q", "origin", ":from-root"});
  Write(101, "more.env", 12);
  SayPushed(100);
  SayPushed(101);
  Scan();
  const auto places = Places();
  EXPECT_EQ(places, PlacesInPlace());
  for (const char* lost : {"root forced.env unreachable", "root later.env unreachable", "fork forced.env unreachable"}) {
    EXPECT_EQ(places.count(lost), 1u) << lost;
  }
  for (const char* foreign : {"fork later.env unreachable", "fork2 forced.env unreachable"}) {
    EXPECT_EQ(places.count(foreign), 0u) << foreign;
  }
  // The fork's own packs never had that commit: it lies in its network's mirror.
  EXPECT_TRUE(fs::exists(Mirror(101) / "unsprawl-lost"));
}

TEST_F(ForkNetworkTest, AMirrorThatLostItsLenderIsFetchedAgain) {
  Scan();
  fs::remove_all(Mirror(100));
  Write(101, "more.env", 12);
  SayPushed(101);
  Scan();
  EXPECT_EQ(Places(), PlacesInPlace());
  EXPECT_FALSE(fs::exists(Mirror(101) / "objects/info/alternates"));
  const json manifest = cli_.Json("manifest.json");
  EXPECT_EQ(manifest["coverage"]["ok"], 5) << manifest["coverage"];
}

TEST_F(ForkNetworkTest, ALenderIsNotEvictedBeforeItsBorrowers) {
  for (const char* budget : {"1KB", "300KB", "700KB", "1200KB", "2MB"}) {
    Scan({"--mirrors-budget", budget});
    EXPECT_THAT(Orphans(), IsEmpty()) << budget;
    Write(102, "more.env", 20 + static_cast<uint32_t>(pushes_));
    SayPushed(102);
    Write(104, "more.env", 40 + static_cast<uint32_t>(pushes_));
    SayPushed(104);
  }
  Scan();
  EXPECT_THAT(Orphans(), IsEmpty());
  EXPECT_EQ(Places(), PlacesInPlace());
}

}  // namespace
}  // namespace unsprawl
