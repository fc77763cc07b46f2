#include "coordinator/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/cli.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RunConfigTest : public testing::Test {
 protected:
  absl::StatusOr<ScanOptions> Load(const std::string& text) {
    WriteFile(file_, text);
    return LoadRunConfig(file_, {});
  }
  TempDir dir_;
  const std::string file_ = dir_.path() / "nightly.toml";
};

TEST_F(RunConfigTest, EachScopeHasItsOwnCredentialsAndSelection) {
  setenv("RUN_CONFIG_TEST", "/run/credentials", 1);
  const auto options = Load(R"(
store = "store"
mirrors_budget = "2GiB"
max_mirror_size = "3GB"
stall_timeout = 7
audit_days = 3
fail_on = "high"
scan_mode = "full"
archives = true
sandbox = false
ignore_files = ["ignored", "/etc/ignored"]
baselines = ["last"]
trust_repo_ignores = true
[[scope]]
targets = ["github:acme", "/srv/git"]
token_files = ["${RUN_CONFIG_TEST}/one", "two"]
forks = false
[[scope]]
targets = ["gitlab:team"]
api_url = "https://gitlab.example.com/api/v4"
max_repo_size = "1MB"
wikis = 10
gists = 20
visibility = ["private", "internal"]
pushed_since = "2025-01-31"
)");
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->store_dir, (dir_.path() / "store").native());
  EXPECT_EQ(options->pipeline.mirrors_budget_bytes, uint64_t{2} << 30);
  EXPECT_EQ(options->pipeline.fetch.max_mirror_bytes, 3'000'000'000u);
  EXPECT_EQ(options->network.stall_timeout, absl::Seconds(7));
  EXPECT_EQ(options->audit_every, absl::Hours(72));
  EXPECT_EQ(options->fail_on.severity, Severity::kHigh);
  ASSERT_EQ(options->groups.size(), 2u);
  const TargetGroup& first = options->groups[0];
  EXPECT_THAT(first.targets, ElementsAre("github:acme", "/srv/git"));
  EXPECT_THAT(first.forge.token_files, ElementsAre("/run/credentials/one", (dir_.path() / "two").native()));
  EXPECT_FALSE(first.forge.selection.forks);
  EXPECT_TRUE(options->groups[1].forge.selection.forks);
  EXPECT_EQ(options->groups[1].forge.selection.max_size_kb, 976u);
  EXPECT_EQ(options->groups[1].forge.max_wikis, 10u);
  EXPECT_EQ(options->groups[1].forge.max_gists, 20u);
  EXPECT_THAT(options->groups[1].forge.selection.visibilities, ElementsAre("internal", "private"));
  EXPECT_EQ(options->groups[1].forge.selection.pushed_since, 1738281600);  // date -u -d 2025-01-31 +%s
  EXPECT_TRUE(options->full_mode);
  EXPECT_TRUE(options->archives);
  EXPECT_FALSE(options->sandbox);
  EXPECT_THAT(options->ignores.ignore_files, ElementsAre((dir_.path() / "ignored").native(), "/etc/ignored"));
  EXPECT_THAT(options->ignores.baselines, ElementsAre((dir_.path() / "last").native()));
  EXPECT_TRUE(options->trust_repo_ignores);
}

TEST_F(RunConfigTest, MistakesAreNamedWithTheirLine) {
  const auto says = [&](const std::string& text, const std::string& words) {
    EXPECT_THAT(Load(text), FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr(words))) << text;
  };
  says("x = [", ":1:");
  says("", "no [[scope]]");
  says("\nstorage = 1\n", ":2: unknown key storage");
  says("[[scope]]\ntarget = [\"a\"]\n", ":2: unknown key target");
  says("[[scope]]\ntargets = \"a\"\n", ":2: targets must be a list");
  says("jobs = 0\n", ":1: jobs must be a number from 1");
  says("mirrors_budget = \"5 apples\"\n", "must be a size");
  says("mirrors_budget = \"99999999999TB\"\n", "must be a size");
  says("store = \"${RUN_CONFIG_NOT_SET}/x\"\n", "RUN_CONFIG_NOT_SET is not set");
  says("fail_on = \"never\"\n", "one of critical, high");
  says("max_object_size = 5\n", ":1: max_object_size must be from 1024 to 2147483648 bytes");
  says("[[scope]]\nvisibility = [\"privat\"]\n", ":2: visibility is public, private or internal, not privat");
  says("[[scope]]\npushed_since = \"yesterday\"\n", ":2: pushed_since must be a day");
  EXPECT_THAT(LoadRunConfig(dir_.path() / "none", {}), FailsWith(absl::StatusCode::kNotFound, HasSubstr("none")));
}

}  // namespace
}  // namespace unsprawl
