#include "tests/support/forge_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"

namespace unsprawl {
namespace {

// What comes back from a loopback port for `request`, to its end.
std::string Exchange(int port, std::string_view request) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    while (!request.empty()) {
      const ssize_t sent = send(connection, request.data(), request.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      request.remove_prefix(static_cast<size_t>(sent));
    }
    char buffer[1 << 14];
    for (ssize_t got; (got = recv(connection, buffer, sizeof buffer, 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(got));
    }
  }
  close(connection);
  return answer;
}

}  // namespace

ForgeServer::ForgeServer(nlohmann::json settings) : settings_(std::move(settings)) {
  std::filesystem::create_directories(folder_.path());
  MakeTlsCertificate(folder_.path());
  settings_["tls_pem"] = folder_.path() / "tls.pem";
  Start();
}

void ForgeServer::Start() {
  settings_["https_port"] = https_port_;
  settings_["control_port"] = control_port_;
  settings_["changes"] = changes_;
  WriteFile(folder_.path() / "forge.json", settings_.dump());
  const std::string line = server_.Start("forge_server.py", {folder_.path() / "forge.json"});
  const nlohmann::json ports = nlohmann::json::parse(line, nullptr, false);
  EXPECT_TRUE(ports.is_object()) << "the server did not start: " << line;
  if (!ports.is_object()) return;
  https_port_ = ports["https_port"];
  control_port_ = ports["control_port"];
}

void ForgeServer::Restart() {
  Kill();
  Start();
}

void ForgeServer::Change(const std::string& path, const nlohmann::json& content) const {
  Control("POST " + path, content);
  changes_.push_back({path, content});
}

std::string ForgeServer::Url() const {
  return absl::StrFormat("https://localhost:%d", https_port_);
}

nlohmann::json ForgeServer::Control(std::string_view request, const nlohmann::json& content) const {
  const std::string body = content.is_null() ? "" : content.dump();
  const std::string answer = Exchange(
      control_port_,
      absl::StrFormat("%s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", request, body.size(), body));
  const size_t head = answer.find("\r\n\r\n");
  EXPECT_NE(head, std::string::npos) << request << ": no answer";
  if (head == std::string::npos) return nlohmann::json::object();
  EXPECT_EQ(answer.substr(8, 5), " 200 ") << request << ": " << answer;
  nlohmann::json parsed = nlohmann::json::parse(answer.substr(head + 4), nullptr, false);
  EXPECT_FALSE(parsed.is_discarded()) << request << ": " << answer;
  return parsed;
}

void MakeTlsCertificate(const std::filesystem::path& folder) {
  Run(folder,
      {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
       "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days",
       "2", "-keyout", "tls.key", "-out", "ca.pem"});
  WriteFile(folder / "tls.pem", ReadFile(folder / "tls.key") + ReadFile(folder / "ca.pem"));
}

std::string MakeAppKey(const std::filesystem::path& file) {
  Run(file.parent_path(), {"openssl", "genrsa", "-out", file, "2048"});
  return Run(file.parent_path(), {"openssl", "rsa", "-in", file, "-pubout"});
}

}  // namespace unsprawl
