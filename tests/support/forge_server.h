// The stand-in forge of the tests (forge_server.py) as a child process.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tests/support/git_repo.h"
#include "tests/support/python_server.h"

namespace unsprawl {

// Speaks for GitHub (below ApiUrl), GitLab (/gitlab), Bitbucket (/bitbucket, /bbdc), Gitea (/gitea)
// and Azure DevOps (/azure), with git for all of them, over HTTPS on a loopback port. The settings
// are described in forge/state.py, forge/tokens.py and forge/faults.py. The child ends with this.
class ForgeServer {
 public:
  // Fails the test (and leaves URLs that nobody answers) where the server does not start.
  explicit ForgeServer(nlohmann::json settings);

  // "https://localhost:PORT", without a slash at its end.
  std::string Url() const;
  // GitHub's REST API, as --api-url wants it.
  std::string ApiUrl() const { return Url() + "/api/v3"; }
  // The certificate that vouches for localhost and 127.0.0.1.
  std::filesystem::path CaFile() const { return folder_.path() / "ca.pem"; }

  // Ends the server as a crash does (SIGKILL); its git programs end with their connections.
  void Kill() { server_.Kill(); }
  // Starts it again where it was, with what it was told since the start. What it learned on the way (counters,
  // tokens that it issued, how often a fault has struck) is forgotten.
  void Restart();

  // Merged into the settings (RFC 7396: null removes); arrays, such as "faults", are replaced.
  void Set(const nlohmann::json& settings) const { Change("/set", settings); }
  // One fault and no other (forge/faults.py).
  void Fault(const nlohmann::json& fault) const { Set({{"faults", {fault}}}); }
  // Adds a repository, changes its fields, or removes it ({"id": N, "deleted": true}).
  void ChangeRepository(const nlohmann::json& fields) const { Change("/repo", fields); }

  // What was asked and answered since the start or ResetCounters (forge/counters.py).
  nlohmann::json Counters() const { return Control("GET /counters", nullptr); }
  void ResetCounters() const { Control("POST /reset-counters", nlohmann::json::object()); }

 private:
  void Start();
  void Change(const std::string& path, const nlohmann::json& content) const;
  nlohmann::json Control(std::string_view request, const nlohmann::json& content) const;

  TempDir folder_;
  nlohmann::json settings_;
  mutable nlohmann::json changes_ = nlohmann::json::array();  // [path, content]
  PythonServer server_;
  int https_port_ = 0, control_port_ = 0;
};

// Makes `folder`/tls.key, ca.pem (a certificate for localhost and 127.0.0.1 that vouches for
// itself) and tls.pem (both).
void MakeTlsCertificate(const std::filesystem::path& folder);

// A GitHub App's key: writes the private one to `file`; returns the public one, as the setting
// app.public_pem.
std::string MakeAppKey(const std::filesystem::path& file);

}  // namespace unsprawl
