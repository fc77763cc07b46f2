// Which mirrors stay when there is not room for all, that scanning does not wait for all of them, and targets of all
// kinds in one command.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/small_organization.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

class MirrorBudgetTest : public SmallOrganization {
 protected:
  // All scans of a test have the same store and mirrors.
  std::vector<std::string> Arguments(std::vector<std::string> more) const {
    more.insert(more.begin(), {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile(), "--mirrors", mirrors_});
    return more;
  }
  CliResult ScanKept(const std::vector<std::string>& more) { return cli_.Scan(Arguments(more)); }
  std::filesystem::path MirrorOf(uint32_t i) const {
    std::string host = forge_.Url().substr(8);
    host.replace(host.find(':'), 1, "%3A");
    return mirrors_ / "by-id" / host / absl::StrFormat("%d.git", 100 + i);
  }
  // Those that are mirrored now.
  std::vector<uint32_t> Mirrored() const {
    std::vector<uint32_t> all;
    for (uint32_t i = 0; i < kRepositories; ++i) {
      if (std::filesystem::exists(MirrorOf(i) / "HEAD")) all.push_back(i);
    }
    return all;
  }
  uint64_t ObjectBytes() const {
    uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(mirrors_)) {
      const bool of_objects = entry.path().native().find("/objects/") != std::string::npos;
      if (entry.is_regular_file() && of_objects) bytes += entry.file_size();
    }
    return bytes;
  }
  // Pushes one commit, with some 10 kB that do not compress, and scans that repository alone.
  CliResult PushAndScan(uint32_t i, const std::string& budget) {
    const std::string work = home_.path() / absl::StrFormat("push%d", ++pushes_);
    unsprawl::Run(home_.path(), {"git", "clone", "-q", home_.path() / absl::StrFormat("app%d.git", i), work});
    std::string noise;
    const uint32_t seed = 100'000 * static_cast<uint32_t>(pushes_);
    for (uint32_t word = 0; word < 800; ++word) noise += FakeAwsKeyId(word + seed).substr(4);
    WriteFile(std::filesystem::path(work) / "more", noise);
    unsprawl::Run(work, {"git", "add", "-A"});
    unsprawl::Run(work, {"git", "-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-q", "-m", "x"});
    unsprawl::Run(work, {"git", "push", "-q", "origin", "HEAD"});
    forge_.ChangeRepository({{"id", 100 + i}, {"pushed_at", absl::StrFormat("2024-06-01T12:%02d:00Z", pushes_)}});
    return ScanKept({"github:acme", "--mirrors-budget", budget, "--include-repos", absl::StrFormat("app%d", i)});
  }
  const ForgeServer forge_{Settings()};
  const std::filesystem::path mirrors_ = home_.path() / "mirrors";
  int pushes_ = 0;
};

TEST_F(MirrorBudgetTest, TheLongestUnusedGoesFirst) {
  for (const uint32_t i : {1u, 2u, 0u, 2u}) {
    const CliResult scan = PushAndScan(i, "1GB");
    EXPECT_EQ(scan.exit_code, 1) << i << scan.err << scan.out;
  }
  ASSERT_THAT(Mirrored(), ElementsAre(0, 1, 2));
  // An update brings some 10 kB: one of the others has to make room for it, and one is enough.
  const uint64_t all = ObjectBytes();
  EXPECT_EQ(PushAndScan(0, absl::StrFormat("%d", all)).exit_code, 1);
  EXPECT_THAT(Mirrored(), ElementsAre(0, 2));
  EXPECT_LE(ObjectBytes(), all);
  // What was evicted is fetched again when it is wanted; now 2 was used longest ago.
  EXPECT_EQ(PushAndScan(1, absl::StrFormat("%d", ObjectBytes())).exit_code, 1);
  EXPECT_THAT(Mirrored(), ElementsAre(0, 1));
}

TEST_F(MirrorBudgetTest, WhatIsFetchedIsScannedWhileAnotherIsStillFetched) {
  // The last of the three never comes.
  forge_.Fault({{"match", "POST /acme/app2.git/git-upload-pack"}, {"match_body", "fetch"}, {"kind", "stall"},
                {"times", nullptr}});
  bool scanned = false;
  const CliResult scan = cli_.ScanMeanwhile(Arguments({"github:acme"}), [&](pid_t program) {
    // A mirror notes when it was used when its scan gives it back.
    const auto is_given_back = [&](uint32_t i) { return std::filesystem::exists(MirrorOf(i) / "unsprawl-used"); };
    const auto patience = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    while (!scanned && std::chrono::steady_clock::now() < patience) {
      scanned = is_given_back(0) && is_given_back(1);
      usleep(10'000);
    }
    EXPECT_FALSE(is_given_back(2));
    kill(program, SIGINT);
  });
  EXPECT_TRUE(scanned);
  EXPECT_EQ(scan.exit_code, 3) << scan.err;
  // What was scanned by then is known: the next run need not.
  forge_.Set({{"faults", json::array()}});
  EXPECT_EQ(ScanKept({"github:acme"}).exit_code, 1);
  EXPECT_EQ(cli_.Json("run.json")["repositories_unchanged"], 2);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
}

TEST_F(MirrorBudgetTest, AnOrganizationAUrlAFolderAndAFileOfUrlsAreOneReport) {
  std::vector<std::filesystem::path> bare;
  for (uint32_t i = 0; i < 4; ++i) {
    GitRepo repo(home_.path() / "other" / std::to_string(i));
    repo.Write("s.env", "t=" + FakeGithubToken(50 + i) + "\n");
    repo.Commit();
    bare.push_back(home_.path() / absl::StrFormat("other%d.git", i));
    unsprawl::Run(home_.path(), {"git", "clone", "-q", "--bare", repo.path(), bare.back()});
    forge_.ChangeRepository({{"id", 200 + i}, {"owner", "else"}, {"name", absl::StrFormat("other%d", i)},
                             {"path", bare.back()}});
  }
  const auto url = [&](int i) {
    return absl::StrFormat("https://x:%s@%s/else/other%d.git", kToken, forge_.Url().substr(8), i);
  };
  std::filesystem::create_directories(home_.path() / "folder");
  std::filesystem::rename(bare[1], home_.path() / "folder" / "clone.git");
  const std::filesystem::path file = home_.path() / "targets";
  WriteFile(file, absl::StrFormat("# two of them\n%s\nfile://%s\n", url(2), bare[3].native()));

  const CliResult scan = ScanKept({"github:acme", url(0), home_.path() / "folder", "--targets-from", file});
  EXPECT_EQ(scan.exit_code, 1) << scan.err << scan.out;
  std::vector<std::string> names;
  const json manifest = cli_.Json("manifest.json");
  for (const json& repository : manifest["repositories"]) {
    const std::string name = repository["name"];
    names.push_back(name.substr(name.rfind('/') + 1));
    EXPECT_EQ(repository["status"], "ok") << repository;
  }
  EXPECT_THAT(names, UnorderedElementsAre("app0", "app1", "app2", "other0", "clone", "other2", "other3"));
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 7u);
}

}  // namespace
}  // namespace unsprawl
