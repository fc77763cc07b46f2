// What is typed on the command line, or written into the configuration of a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/small_organization.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;
using testing::Not;

class CommandLineTest : public SmallOrganization {
 protected:
  std::string TokenFile() const {
    const std::filesystem::path file = home_.path() / "token";
    WriteFile(file, std::string(kToken) + "\n");
    std::filesystem::permissions(file, std::filesystem::perms::owner_read);
    return file;
  }
  // A command with a target at its end.
  CliResult Run(const ForgeServer& forge, std::vector<std::string> command, const std::vector<std::string>& options) {
    command.insert(command.end(), {"--api-url", forge.ApiUrl(), "--ca-file", forge.CaFile(), "--mirrors",
                                   home_.path() / "mirrors"});
    command.insert(command.end(), options.begin(), options.end());
    command.push_back("github:acme");
    return cli_.Run(command);
  }
};

TEST_F(CommandLineTest, AnOptionThatMayBeRepeatedTakesOneValueAndLeavesTheTarget) {
  const ForgeServer forge(Settings());
  cli_.RemoveVariable("GITHUB_TOKEN");
  const std::string token = TokenFile();
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--token-file", token}, "012"},
      {{"--include-repos", "app0", "--token-file", token, "--include-repos", "app2"}, "02"},
      {{"--token-file", token, "--exclude-repos", "app0", "--exclude-repos", "app1"}, "2"},
      {{"--token-file", token, "--visibility", "private"}, "012"},
      {{"--token-file", token, "--visibility", "public,internal"}, ""},
      {{"--token-file", token, "--topics", "payments"}, ""}};
  for (const auto& [options, wanted] : cases) {
    const CliResult scan = Run(forge, {"scan", "-q", "--list-only"}, options);
    EXPECT_EQ(scan.exit_code, 0) << options.back() << scan.err << scan.out;
    std::string apps;
    for (uint32_t i = 0; i < kRepositories; ++i) {
      if (scan.out.find(absl::StrFormat("acme/app%d\n", i)) != std::string::npos) apps += std::to_string(i);
    }
    EXPECT_EQ(apps, wanted) << options.back() << scan.out;
    const CliResult doctor = Run(forge, {"doctor"}, options);
    EXPECT_EQ(doctor.exit_code, 0) << options.back() << doctor.err << doctor.out;
    EXPECT_THAT(doctor.out, HasSubstr("listing: 3 repositories")) << options.back();
  }
}

TEST_F(CommandLineTest, WhoNamesNothingIsToldSo) {
  for (const char* command : {"scan", "doctor"}) {
    const CliResult nothing = cli_.Run({command});
    EXPECT_EQ(nothing.exit_code, 2) << nothing.out;
    EXPECT_THAT(nothing.err, HasSubstr("nothing to scan"));
    EXPECT_THAT(nothing.out, Not(HasSubstr("Nothing stands in the way")));
  }
}

TEST_F(CommandLineTest, WhatARunKeepsOfItsCommandHoldsNoSecret) {
  const ForgeServer forge(Settings());
  cli_.SetVariable("UNSPRAWL_WEBHOOK_SECRET", "signed-with-this");
  for (const std::vector<std::string>& webhook :
       std::vector<std::vector<std::string>>{{"--webhook", "https://hooks.example.com/services/PATH-SECRET?k=QUERY-SECRET"},
                                             {"--webhook=https://u:USER-SECRET@hooks.example.com/PATH-SECRET"}}) {
    std::vector<std::string> arguments = webhook;
    arguments.insert(arguments.end(), {"--store", home_.path() / "store", "--mirrors", home_.path() / "mirrors",
                                       "--ca-file", forge.CaFile(), CloneUrl(forge, 0),
                                       "https://someone:URL/SECRET@" + forge.Url().substr(8) + "/acme/app1.git"});
    std::string holder;
    cli_.ScanMeanwhile(arguments, [&](pid_t) {
      for (int tries = 0; tries < 2000 && holder.empty(); ++tries) {
        usleep(5000);
        holder = ReadFile(home_.path() / "store" / "holder");
      }
    });
    const std::string kept = cli_.Json("run.json").dump() + holder;
    EXPECT_THAT(holder, HasSubstr("unsprawl scan"));
    EXPECT_THAT(kept, HasSubstr("https://hooks.example.com/…"));
    for (const char* secret : {"PATH-SECRET", "QUERY-SECRET", "USER-SECRET", "URL/SECRET", "SECRET", kToken}) {
      EXPECT_THAT(kept, Not(HasSubstr(secret)));
    }
    std::filesystem::remove(home_.path() / "store" / "holder");
  }
}

// Whatever `scan` can be told, the configuration of `run` can be told, and its page says so.
TEST_F(CommandLineTest, EveryOptionOfAScanIsAKeyOfTheConfiguration) {
  const std::map<std::string, std::string> other_names = {
      {"config", "rules"},          {"token_file", "token_files"}, {"exclude_forks", "forks"},
      {"exclude_archived", "archived"}, {"no_sandbox", "sandbox"},     {"target", "targets"},
      {"ignore_file", "ignore_files"},  {"gitleaks_ignore_path", "ignore_files"}, {"baseline_path", "baselines"}};
  const std::set<std::string> not_there = {"help",        "list_only", "quiet",  // the latter two are options of `run`
                                           "coordinator", "tls_ca",    "tls_cert", "tls_key"};  // for another machine's
  const std::string page = ReadFile(UNSPRAWL_SOURCE_DIR "/docs/run-config.md");
  const std::string help = cli_.Run({"scan", "--help"}).out;
  const std::regex option("--([a-z][a-z-]+)");
  std::set<std::string> keys;
  for (std::sregex_iterator found(help.begin(), help.end(), option), end; found != end; ++found) {
    const size_t line = help.rfind('\n', static_cast<size_t>(found->position())) + 1;
    if (help.find_first_not_of(' ', line) > line + 4) continue;  // named in a description
    std::string key = (*found)[1];
    std::replace(key.begin(), key.end(), '-', '_');
    if (not_there.count(key) > 0) continue;
    const auto other = other_names.find(key);
    keys.insert(other == other_names.end() ? key : other->second);
  }
  EXPECT_GT(keys.size(), 35u);
  const std::filesystem::path file = home_.path() / "run.toml";
  for (const std::string& key : keys) {
    EXPECT_THAT(page, HasSubstr("`" + key + "`"));
    // Of a type that no key has: the key is known when that is what is wrong.
    int known = 0;
    for (const char* place : {"", "[[scope]]\n"}) {
      WriteFile(file, absl::StrFormat("%s%s = 1979-05-27T07:32:00Z\n", place, key));
      const CliResult run = cli_.Run({"run", file});
      EXPECT_EQ(run.exit_code, 2) << key;
      known += run.err.find("unknown key") == std::string::npos;
    }
    EXPECT_EQ(known, 1) << key;
  }
}

}  // namespace
}  // namespace unsprawl
