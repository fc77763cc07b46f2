#include "tests/support/small_organization.h"

#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "engine/base/object_id.h"
#include "store/key_file.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {

SmallOrganization::SmallOrganization() {
  for (uint32_t i = 0; i < kRepositories; ++i) {
    GitRepo repo(home_.path() / "work" / std::to_string(i));
    repo.Write("s.env", "t=" + FakeGithubToken(i) + "\n");
    std::string noise;
    for (uint32_t word = 0; word < 1200; ++word) noise += FakeAwsKeyId(word + 10'000 * i).substr(4);
    repo.Write("noise", noise + FakeGithubToken(i).substr(0, 3) + "\n");
    repo.Commit();
    unsprawl::Run(home_.path(), {"git", "clone", "-q", "--bare", repo.path(), Bare(i)});
  }
  cli_.SetVariable("GITHUB_TOKEN", kToken);
}

std::filesystem::path SmallOrganization::Bare(uint32_t i) const {
  return home_.path() / absl::StrFormat("app%d.git", i);
}

nlohmann::json SmallOrganization::Settings() const {
  nlohmann::json repositories = nlohmann::json::array();
  for (uint32_t i = 0; i < kRepositories; ++i) {
    repositories.push_back({{"id", 100 + i}, {"owner", "acme"}, {"name", absl::StrFormat("app%d", i)},
                            {"private", true}, {"path", Bare(i)}});
  }
  return {{"repositories", repositories}, {"tokens", {{"reader", {{"value", kToken}}}}}};
}

nlohmann::json SmallOrganization::AppSettings() const {
  nlohmann::json settings = Settings();
  settings["tokens"] = nlohmann::json::object();
  settings["app"] = {{"id", 5}, {"public_pem", MakeAppKey(AppKey())}};
  settings["installations"] = {{{"id", 77}, {"account", "acme"}}};
  return settings;
}

CliResult SmallOrganization::Scan(const ForgeServer& forge, const std::vector<std::string>& targets) {
  ++scans_;
  std::vector<std::string> arguments = {"--api-url", forge.ApiUrl(), "--store", Place() / "store", "--mirrors",
                                        Place() / "mirrors"};
  arguments.insert(arguments.end(), targets.begin(), targets.end());
  return cli_.Scan(arguments);
}

std::string SmallOrganization::CloneUrl(const ForgeServer& forge, uint32_t repository) const {
  return absl::StrFormat("https://x:%s@%s/acme/app%d.git", kToken, forge.Url().substr(8), repository);
}

std::vector<std::string> SmallOrganization::Secrets() const {
  const auto base64 = [](const std::string& text) { return std::string(absl::Base64Escape({text.data(), text.size()})); };
  const std::string token = kToken;
  std::vector<std::string> secrets = {token, base64(token), base64("x-access-token:" + token), "Authorization", "Basic "};
  for (uint32_t i = 0; i < kRepositories; ++i) secrets.push_back(FakeGithubToken(i));
  const std::filesystem::path file = home_.path() / ".config" / "unsprawl" / "key";
  EXPECT_TRUE(std::filesystem::exists(file));  // The key that is looked for is the one that was used.
  const auto keys = LoadOrCreateKey(file);
  EXPECT_THAT(keys, IsOk());
  if (!keys.ok()) return secrets;
  const std::string key(reinterpret_cast<const char*>(keys->current.bytes.data()), keys->current.bytes.size());
  secrets.insert(secrets.end(), {key, ToHex(key), base64(key)});
  return secrets;
}

nlohmann::json SmallOrganization::Outcome(const std::string& name) const {
  const nlohmann::json manifest = cli_.Json("manifest.json");
  for (const nlohmann::json& repository : manifest["repositories"]) {
    if (repository["name"].get<std::string>().ends_with(name)) return repository;
  }
  return {};
}

uint64_t SmallOrganization::MirroredBytes() const {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(Place() / "mirrors")) {
    if (entry.is_regular_file() && entry.path().native().find("/objects/") != std::string::npos) {
      bytes += entry.file_size();
    }
  }
  return bytes;
}

}  // namespace unsprawl
