// A fixture: a few repositories of an organization that the stand-in forge serves.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/cli.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"

namespace unsprawl {

// github:acme with app0, app1, app2: private, with one secret each and some 30 kB that do not compress.
class SmallOrganization : public testing::Test {
 protected:
  static constexpr uint32_t kRepositories = 3;
  static constexpr char kToken[] = "the-token-of-a-small-organization";

  SmallOrganization();

  nlohmann::json Settings() const;
  // Of a forge that knows an App, installed once, and no other token; and the options to come as that App.
  nlohmann::json AppSettings() const;
  std::vector<std::string> AsApp() const { return {"--app-id", "5", "--app-key-file", AppKey()}; }
  std::string AppKey() const { return home_.path() / "app.pem"; }
  // Scans with a store and mirrors that no other call has: `targets` may hold options as well.
  CliResult Scan(const ForgeServer& forge, const std::vector<std::string>& targets = {"github:acme"});
  // The clone URL of a repository, with the token in it.
  std::string CloneUrl(const ForgeServer& forge, uint32_t repository) const;
  // What no log, metric or message may hold once a run was made: the token, the secrets in the repositories and the key
  // for their ids, in all forms in which they travel.
  std::vector<std::string> Secrets() const;
  // What manifest.json says of the repository whose name ends so; null: nothing.
  nlohmann::json Outcome(const std::string& name) const;
  // Bytes of what the last scan's mirrors hold of objects.
  uint64_t MirroredBytes() const;

  TempDir home_;
  Cli cli_{home_.path()};

 private:
  std::filesystem::path Bare(uint32_t i) const;
  std::filesystem::path Place() const { return home_.path() / std::to_string(scans_); }

  int scans_ = 0;
};

}  // namespace unsprawl
