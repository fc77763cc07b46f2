// Where credentials are seen while a run goes on, and what is left of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "tests/support/small_organization.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class CredentialsTest : public SmallOrganization {
 protected:
  CredentialsTest() {
    cli_.RemoveVariable("GITHUB_TOKEN");
    settings_ = Settings();
    settings_["git_bytes_per_second"] = 10'000;  // so that its programs are seen
  }

  // Scans, and looks meanwhile at the program and at whatever it starts.
  void ScanAndWatch(const ForgeServer& forge, std::vector<std::string> options) {
    options.insert(options.end(), {"--api-url", forge.ApiUrl(), "--ca-file", forge.CaFile(), "--mirrors",
                                   home_.path() / "mirrors", "github:acme"});
    const CliResult scan = cli_.ScanMeanwhile(options, [&](pid_t program) {
      const std::filesystem::path own = "/proc/" + std::to_string(program);
      while (ReadFile(own / "stat").find(") Z ") == std::string::npos) {
        LookAtTree(program);
        usleep(2000);
      }
    });
    EXPECT_EQ(scan.exit_code, 1) << scan.out << scan.err;
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
  }

  // No file of a run holds `secret`: logs, report, store, mirrors.
  void ExpectNotKept(const std::string& secret, const std::set<std::string>& but) const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(home_.path())) {
      if (!entry.is_regular_file() || but.count(entry.path().filename()) > 0) continue;
      EXPECT_THAT(ReadFile(entry.path()), Not(HasSubstr(secret))) << entry.path();
    }
  }

  json settings_;
  std::set<std::string> commands_, environments_;  // of all processes; the latter of git's only

 private:
  void LookAtTree(pid_t program) {
    std::vector<std::string> open = {std::to_string(program)};
    while (!open.empty()) {
      const std::filesystem::path process = "/proc/" + open.back();
      open.pop_back();
      const std::string command = ReadFile(process / "cmdline");
      commands_.insert(command);
      if (command.rfind("git", 0) == 0 || command.find("/git") != std::string::npos) {
        environments_.insert(ReadFile(process / "environ"));
      }
      std::error_code error;
      for (std::filesystem::directory_iterator tasks(process / "task", error);
           !error && tasks != std::filesystem::directory_iterator(); tasks.increment(error)) {
        std::istringstream children(ReadFile(tasks->path() / "children"));
        for (std::string child; children >> child;) open.push_back(child);
      }
    }
  }
};

TEST_F(CredentialsTest, ATokenOfAFileIsInNoArgumentAndNoFile) {
  const ForgeServer forge(settings_);
  WriteFile(home_.path() / "token", std::string(kToken) + "\n");
  std::filesystem::permissions(home_.path() / "token", std::filesystem::perms::owner_read);
  ScanAndWatch(forge, {"--token-file", home_.path() / "token"});
  const std::string basic = absl::Base64Escape(std::string("x-access-token:") + kToken);
  bool saw_fetch = false, saw_header = false;
  for (const std::string& command : commands_) {
    saw_fetch |= command.find("upload-pack") != std::string::npos || command.find("fetch") != std::string::npos ||
                 command.find("clone") != std::string::npos;
    for (const std::string& secret : {std::string(kToken), basic, std::string("Authorization")}) {
      EXPECT_THAT(command, Not(HasSubstr(secret)));
    }
  }
  for (const std::string& environment : environments_) {
    saw_header |= environment.find(basic) != std::string::npos;  // the one way to git
    EXPECT_THAT(environment, Not(HasSubstr(kToken)));
  }
  EXPECT_TRUE(saw_fetch && saw_header);
  ExpectNotKept(kToken, {"token"});
  ExpectNotKept(basic, {});
}

TEST_F(CredentialsTest, AnAppsKeyItsJwtAndItsInstallationsTokensAreInNoArgumentAndNoFile) {
  settings_.update(AppSettings());
  const ForgeServer forge(settings_);
  ScanAndWatch(forge, AsApp());
  const std::string pem = ReadFile(AppKey());
  const std::string key = pem.substr(pem.find('\n') + 1, 60);
  const std::string jwt = absl::Base64Escape("{\"alg\":").substr(0, 9);  // what the stand-in's JWTs begin with
  const std::string basic = absl::Base64Escape("x-access-token:"), token = std::string("gh") + "s_";
  bool saw_header = false;
  for (const std::string& command : commands_) {
    for (const std::string& secret : {key, jwt, basic, token, std::string("Authorization")}) {
      EXPECT_THAT(command, Not(HasSubstr(secret)));
    }
  }
  for (const std::string& environment : environments_) {
    saw_header |= environment.find(basic) != std::string::npos;
    for (const std::string& secret : {key, jwt, token}) EXPECT_THAT(environment, Not(HasSubstr(secret)));
  }
  EXPECT_TRUE(saw_header);
  for (const std::string& secret : {key, jwt, basic, token}) ExpectNotKept(secret, {"app.pem"});
}

}  // namespace
}  // namespace unsprawl
