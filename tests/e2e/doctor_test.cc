// What `unsprawl doctor` says before a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <regex>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_format.h"
#include "store/rocksdb_ledger.h"
#include "tests/support/small_organization.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class DoctorTest : public SmallOrganization {
 protected:
  CliResult Doctor(const ForgeServer& forge, const std::vector<std::string>& more, const std::string& api = "/api/v3") {
    std::vector<std::string> arguments = {"doctor", "--api-url", forge.Url() + api, "--ca-file", forge.CaFile()};
    if (std::find(more.begin(), more.end(), "--mirrors") == more.end()) {
      arguments.insert(arguments.end(), {"--mirrors", home_.path() / "mirrors"});
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return cli_.Run(arguments);
  }
  std::string PrivateFile(const std::string& name, const std::string& content) const {
    const std::filesystem::path file = home_.path() / name;
    WriteFile(file, content + "\n");
    std::filesystem::permissions(file, std::filesystem::perms::owner_read);
    return file;
  }
  static json Reader(json more) {
    more["value"] = kToken;
    return {{"tokens", {{"reader", more}}}};
  }
};

TEST_F(DoctorTest, ScopesOfATokenAreComparedWithWhatIsWanted) {
  const ForgeServer forge(Settings());
  forge.Set(Reader({{"scopes", {"read:user", "read:org"}}}));
  const CliResult too_few = Doctor(forge, {"github:acme"});
  EXPECT_EQ(too_few.exit_code, 3);
  EXPECT_THAT(too_few.out, HasSubstr("PROBLEM github:acme: GITHUB_TOKEN: scopes: read:user, read:org; missing: repo\n"));
  EXPECT_THAT(too_few.out, HasSubstr("wanted: a fine-grained token"));
  forge.Set(Reader({{"scopes", {"repo"}}}));
  const CliResult enough = Doctor(forge, {"github:acme"});
  EXPECT_EQ(enough.exit_code, 0) << enough.out;
  EXPECT_THAT(enough.out, HasSubstr("ok      github:acme: GITHUB_TOKEN: scopes: repo\n"));
  EXPECT_THAT(Doctor(forge, {"--gists", "5", "github:acme"}).out, HasSubstr("missing: read:org"));
}

TEST_F(DoctorTest, GitlabSaysWhatATokenHoldsAndWhenItEnds) {
  const ForgeServer forge(Settings());
  cli_.SetVariable("GITLAB_TOKEN", kToken);
  forge.Set(Reader({{"scopes", {"read_api"}}, {"expires_in", 86400}}));
  const CliResult bad = Doctor(forge, {"gitlab:acme"}, "/gitlab/api/v4");
  EXPECT_EQ(bad.exit_code, 3);
  EXPECT_THAT(bad.out, AllOf(HasSubstr("PROBLEM gitlab:acme: GITLAB_TOKEN: scopes: read_api; missing: read_repository"),
                             HasSubstr("PROBLEM gitlab:acme: GITLAB_TOKEN: ends on ")));
  forge.Set(Reader({{"scopes", {"read_api", "read_repository"}}, {"expires_in", 86400 * 100}}));
  const CliResult good = Doctor(forge, {"gitlab:acme"}, "/gitlab/api/v4");
  EXPECT_EQ(good.exit_code, 0) << good.out;
  EXPECT_THAT(good.out, HasSubstr("ok      gitlab:acme: GITLAB_TOKEN: ends on "));
}

TEST_F(DoctorTest, ForgesThatSayNothingOfATokenAreAskedForNothingAndWhatIsWantedIsSaid) {
  const ForgeServer forge(Settings());
  cli_.SetVariable("AZURE_DEVOPS_TOKEN", kToken);
  cli_.SetVariable("BITBUCKET_TOKEN", kToken);
  for (const auto& [scope, api, wanted] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {"azure:acme", "/azure", "wanted: a token with Code (Read)"},
           {"bitbucket:ACME", "/bbdc/rest/api/1.0", "wanted: an HTTP access token with repository read"}}) {
    const CliResult doctor = Doctor(forge, {scope}, api);
    EXPECT_EQ(doctor.exit_code, 0) << doctor.out;
    EXPECT_THAT(doctor.out, HasSubstr(wanted));
    EXPECT_THAT(doctor.out, HasSubstr("does not say what it may do"));
  }
}

TEST_F(DoctorTest, EachOfSeveralTokensIsAsked) {
  const ForgeServer forge(Settings());
  const std::string good = PrivateFile("good", kToken), bad = PrivateFile("bad", "mistyped");
  const CliResult both = Doctor(forge, {"--token-file", good, "--token-file", bad, "github:acme"});
  EXPECT_EQ(both.exit_code, 3) << both.out;
  EXPECT_THAT(both.out, HasSubstr("ok      github:acme: token file " + good + ": speaks for someone"));
  EXPECT_THAT(both.out, HasSubstr("PROBLEM github:acme: token file " + bad + ": "));
  EXPECT_THAT(both.out, HasSubstr("ok      listing: 3 repositories"));
  EXPECT_THAT(both.out, Not(HasSubstr("mistyped")));

  cli_.RemoveVariable("GITHUB_TOKEN");
  const CliResult none = Doctor(forge, {"github:acme"});
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_THAT(none.out, HasSubstr("no token (GITHUB_TOKEN"));
}

TEST_F(DoctorTest, AnAppIsAskedWhatItsInstallationCoversAndItsTokenIsNoProblem) {
  json settings = Settings();
  settings["tokens"] = json::object();
  settings["app"] = {{"id", 5}, {"public_pem", MakeAppKey(home_.path() / "app.pem")}};
  settings["installations"] = {{{"id", 77}, {"account", "acme"}}};
  const ForgeServer forge(settings);
  cli_.RemoveVariable("GITHUB_TOKEN");
  const std::vector<std::string> app = {"--app-id", "5", "--app-key-file", home_.path() / "app.pem", "github:acme"};
  const CliResult all = Doctor(forge, app);
  EXPECT_EQ(all.exit_code, 0) << all.out << all.err;
  EXPECT_THAT(all.out, AllOf(HasSubstr("covers all repositories"), HasSubstr("permission contents: read"),
                             HasSubstr("ok      listing: 3 repositories"), HasSubstr("its refs can be read")));

  forge.Set({{"installations", {{{"id", 77}, {"account", "acme"}, {"repository_selection", "selected"},
                                 {"repository_ids", {100}}, {"permissions", {{"metadata", "read"}}}}}}});
  const CliResult selected = Doctor(forge, app);
  EXPECT_EQ(selected.exit_code, 3);
  EXPECT_THAT(selected.out, AllOf(HasSubstr("PROBLEM github:acme: the installation covers only selected repositories"),
                                  HasSubstr("PROBLEM github:acme: permission contents: missing"),
                                  HasSubstr("ok      github:acme: permission metadata: read")));
}

// A workflow's GITHUB_TOKEN is one.
TEST_F(DoctorTest, ATokenThatMayNotHearAboutItselfIsNoProblem) {
  json settings = Settings();
  settings["app"] = {{"id", 5}, {"public_pem", MakeAppKey(home_.path() / "app.pem")}};
  settings["installations"] = {{{"id", 77}, {"account", "acme"}}};
  settings["tokens"] = {{"reader", {{"value", kToken}, {"kind", "installation"}, {"installation_id", 77},
                                    {"permissions", {{"contents", "read"}, {"metadata", "read"}}}}}};
  const ForgeServer forge(settings);
  const CliResult doctor = Doctor(forge, {"github:acme"});
  EXPECT_EQ(doctor.exit_code, 0) << doctor.out;
  EXPECT_THAT(doctor.out, HasSubstr("does not say what it may do"));
}

TEST_F(DoctorTest, TheConfigurationOfARunIsExaminedAsAWhole) {
  const ForgeServer forge(Settings());
  cli_.RemoveVariable("GITHUB_TOKEN");
  PrivateFile("good", kToken);
  PrivateFile("bad", "mistyped");
  WriteFile(home_.path() / "policy.toml", "[accept]\nskips = [\"no-such-skip\"]\n");
  const std::string file = home_.path() / "nightly.toml";
  const auto configure = [&](const std::string& second) {
    WriteFile(file, absl::StrFormat("store = \"store\"\nmirrors = \"mirrors\"\nca_file = \"%s\"\n"
                                    "[[scope]]\ntargets = [\"github:acme\"]\napi_url = \"%s\"\ntoken_files = [\"good\"]\n%s",
                                    forge.CaFile().native(), forge.ApiUrl(), second));
  };
  configure("");
  const CliResult good = cli_.Run({"doctor", "--config", file});
  EXPECT_EQ(good.exit_code, 0) << good.out << good.err;
  EXPECT_THAT(good.out, HasSubstr("listing: 3 repositories"));
  configure(absl::StrFormat("policy = \"policy.toml\"\n[[scope]]\ntargets = [\"github:acme\"]\napi_url = \"%s\"\n"
                            "token_files = [\"bad\"]\n", forge.ApiUrl()));
  const CliResult bad = cli_.Run({"doctor", "--config", file});
  EXPECT_EQ(bad.exit_code, 3) << bad.out << bad.err;
  EXPECT_THAT(bad.out, AllOf(HasSubstr("PROBLEM policy"), HasSubstr("/bad: "), HasSubstr("listing: 3 repositories")));
  EXPECT_EQ(cli_.Run({"doctor", "--config", file, "github:acme"}).exit_code, 2);
  EXPECT_EQ(cli_.Run({"doctor", "--config", home_.path() / "none.toml"}).exit_code, 2);
}

TEST_F(DoctorTest, TargetsOfAFileAndCloneUrlsAreTried) {
  const ForgeServer forge(Settings());
  const std::string file = home_.path() / "targets";
  WriteFile(file, CloneUrl(forge, 1) + "\n" + (home_.path() / "app0.git").native() + "\n");
  const CliResult good = Doctor(forge, {"--targets-from", file});
  EXPECT_EQ(good.exit_code, 0) << good.out;
  EXPECT_THAT(good.out, AllOf(HasSubstr("acme/app1: its refs can be read"), HasSubstr("here: 1 repositories")));
  const CliResult bad = Doctor(forge, {forge.Url() + "/acme/app2.git", "ssh://someone:the-password@localhost/x.git"});
  EXPECT_EQ(bad.exit_code, 3) << bad.out;
  EXPECT_THAT(bad.out, AllOf(HasSubstr("PROBLEM git "), HasSubstr("PROBLEM URL 2 of 2"), Not(HasSubstr("the-password"))));
}

TEST_F(DoctorTest, RoomIsComparedWithWhatIsStillToBeFetched) {
  json settings = Settings();
  for (json& repository : settings["repositories"]) repository["size_kb"] = 10;
  settings["repositories"][0]["size_kb"] = 2'000'000'000'000;
  const ForgeServer forge(settings);
  EXPECT_THAT(Doctor(forge, {"github:acme"}).out, HasSubstr("PROBLEM disk: "));
  const CliResult bounded = Doctor(forge, {"--mirrors-budget", "1MB", "github:acme"});
  EXPECT_THAT(bounded.out, HasSubstr("ok      disk: "));

  forge.ChangeRepository({{"id", 100}, {"size_kb", 10}});
  const auto disk = [&](const CliResult& doctor) {
    std::smatch found;
    const std::regex line("disk: (.*) free for mirrors in (.*), about (.*) wanted(.*)\n");
    return std::regex_search(doctor.out, found, line) ? std::vector<std::string>(found.begin() + 1, found.end())
                                                      : std::vector<std::string>(4, doctor.out);
  };
  const std::vector<std::string> before = disk(Doctor(forge, {"github:acme"}));
  EXPECT_EQ(before[2], "31 kB");
  EXPECT_EQ(before[3], "");
  // A folder that is not there yet lies on a disk all the same.
  const std::vector<std::string> relative = disk(Doctor(forge, {"--mirrors", "not/there/yet", "github:acme"}));
  EXPECT_EQ(relative[1], "not/there/yet");
  EXPECT_THAT(relative[0], Not(HasSubstr("EB")));
  EXPECT_FALSE(std::filesystem::exists("not"));

  forge.ChangeRepository({{"id", 102}, {"size_kb", 0}});
  EXPECT_EQ(disk(Doctor(forge, {"github:acme"}))[3], ", and what 1 repositories take whose size is not known");
  EXPECT_EQ(cli_.Scan({"--api-url", forge.ApiUrl(), "--ca-file", forge.CaFile(), "--mirrors", home_.path() / "mirrors",
                       "github:acme"}).exit_code, 1);
  const std::vector<std::string> after = disk(Doctor(forge, {"github:acme"}));
  EXPECT_EQ(after[2], "0 bytes");
  EXPECT_EQ(after[3], "");
}

TEST_F(DoctorTest, AStoreThatAnotherRunHoldsIsNamedWithItsHolder) {
  const ForgeServer forge(Settings());
  RocksdbLedger::Options options;
  options.database.command = "unsprawl scan of somebody else";
  const std::string dir = home_.path() / "held";
  const auto held = RocksdbLedger::Open(dir, options);
  ASSERT_THAT(held, IsOk());
  const CliResult doctor = Doctor(forge, {"--store", dir, "github:acme"});
  EXPECT_EQ(doctor.exit_code, 3);
  EXPECT_THAT(doctor.out, AllOf(HasSubstr("PROBLEM store: "), HasSubstr("unsprawl scan of somebody else")));
}

}  // namespace
}  // namespace unsprawl
