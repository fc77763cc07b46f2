// Proxies and certificates reach libcurl, git and libgit2 alike.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/python_server.h"
#include "tests/support/small_organization.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kBackends[] = {"git", "libgit2"};

class NetworkTest : public SmallOrganization {
 protected:
  NetworkTest() {
    std::filesystem::create_directories(home_.path() / "client");
    MakeTlsCertificate(home_.path() / "client");
  }

  // Starts a proxy and returns its "host:port". It answers with a status, or wants "user:password".
  std::string StartProxy(const std::string& how = "200") {
    const std::string port = proxy_.Start("proxy.py", {home_.path() / "proxy.log", how});
    EXPECT_THAT(port, Not(""));
    return "127.0.0.1:" + port.substr(0, port.find('\n'));
  }
  // How many connections to the forge the proxy has made since this was last called.
  int Connections(const ForgeServer& forge) {
    const std::string log = ReadFile(home_.path() / "proxy.log");
    std::filesystem::remove(home_.path() / "proxy.log");
    const std::string wanted = absl::StrFormat("CONNECT %s 200\n", forge.Url().substr(8));
    int count = 0;
    for (size_t at = 0; (at = log.find(wanted, at)) != std::string::npos; at += wanted.size()) ++count;
    return count;
  }
  // Why the last scan is incomplete: the summary has the beginnings only.
  std::string Reasons() const { return cli_.Json("manifest.json")["repositories"].dump(); }
  CliResult ScanWith(const std::string& backend, const ForgeServer& forge, std::vector<std::string> more) {
    more.insert(more.end(), {"--fetch-backend", backend});
    return Scan(forge, more);
  }
  CliResult Trusting(const std::string& backend, const ForgeServer& forge, std::vector<std::string> more) {
    more.insert(more.end(), {"--ca-file", forge.CaFile()});
    return ScanWith(backend, forge, more);
  }
  std::string ClientFile(const char* name) const { return home_.path() / "client" / name; }

  PythonServer proxy_;
};

TEST_F(NetworkTest, TheProxyOfTheEnvironmentIsUsedByAllUnlessTheHostIsExcepted) {
  const ForgeServer forge(Settings());
  const std::string proxy = StartProxy();
  for (const char* backend : kBackends) {
    for (const auto& [variable, exception] : {std::pair("HTTPS_PROXY", "NO_PROXY"), {"https_proxy", "no_proxy"}}) {
      cli_.SetVariable(variable, "http://" + proxy);
      // The API alone, git alone, both.
      EXPECT_EQ(Trusting(backend, forge, {"--list-only", "github:acme"}).exit_code, 0);
      EXPECT_GE(Connections(forge), 1) << variable;
      const CliResult git = Trusting(backend, forge, {CloneUrl(forge, 1)});
      EXPECT_EQ(git.exit_code, 1) << backend << variable << git.out << git.err;
      EXPECT_GE(Connections(forge), 2) << backend << variable;  // refs, objects
      const CliResult both = Trusting(backend, forge, {"github:acme"});
      EXPECT_EQ(both.exit_code, 1) << backend << variable << both.out << both.err;
      EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
      EXPECT_GE(Connections(forge), 1 + 2 * static_cast<int>(kRepositories)) << backend << variable;

      cli_.SetVariable(exception, "example.com,localhost");
      EXPECT_EQ(Trusting(backend, forge, {"github:acme"}).exit_code, 1) << backend << exception;
      EXPECT_EQ(Connections(forge), 0) << backend << exception;
      EXPECT_EQ(ReadFile(home_.path() / "proxy.log"), "");
      cli_.RemoveVariable(exception);
      cli_.RemoveVariable(variable);
    }
  }
}

TEST_F(NetworkTest, AProxyGetsItsPasswordAndNobodySeesIt) {
  const ForgeServer forge(Settings());
  cli_.SetVariable("HTTPS_PROXY", "http://someone:proxy-password@" + StartProxy("someone:proxy-password"));
  for (const char* backend : kBackends) {
    EXPECT_EQ(Trusting(backend, forge, {"github:acme"}).exit_code, 1) << backend;
    EXPECT_GE(Connections(forge), 7) << backend;
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(home_.path())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_THAT(ReadFile(entry.path()), Not(HasSubstr("proxy-password"))) << entry.path();
  }
}

TEST_F(NetworkTest, AProxyThatRefusesIsNamed) {
  const ForgeServer forge(Settings());
  for (const char* status : {"407", "502"}) {
    const std::string proxy = StartProxy(status);
    cli_.SetVariable("HTTPS_PROXY", "http://someone:proxy-password@" + proxy);
    for (const char* backend : kBackends) {
      const CliResult scan = Trusting(backend, forge, {CloneUrl(forge, 1)});
      EXPECT_EQ(scan.exit_code, 3) << backend << status;
      EXPECT_THAT(Reasons(), HasSubstr(proxy)) << backend << status;
      EXPECT_THAT(Reasons(), AnyOf(HasSubstr(status), HasSubstr("proxy authentication required"))) << backend;
      EXPECT_THAT(Reasons() + scan.out + scan.err, Not(HasSubstr("proxy-password"))) << backend << status;
    }
    const CliResult api = cli_.Run({"doctor", "--api-url", forge.ApiUrl(), "--ca-file", forge.CaFile(), "github:acme"});
    EXPECT_EQ(api.exit_code, 3) << api.out;
    EXPECT_THAT(api.out, HasSubstr(proxy));
    EXPECT_THAT(api.out, HasSubstr(status));
    EXPECT_THAT(api.out, Not(HasSubstr("proxy-password")));
  }
  EXPECT_TRUE(forge.Counters()["log"].empty()) << forge.Counters().dump();
}

TEST_F(NetworkTest, AProxyThatIsNotThereIsNamed) {
  const ForgeServer forge(Settings());
  const std::string proxy = StartProxy();
  proxy_.Kill();
  cli_.SetVariable("HTTPS_PROXY", "http://" + proxy);
  for (const char* backend : kBackends) {
    const CliResult scan = Trusting(backend, forge, {CloneUrl(forge, 1)});
    EXPECT_EQ(scan.exit_code, 3) << backend;
    EXPECT_THAT(Reasons(), HasSubstr(proxy.substr(proxy.find(':') + 1))) << backend;
  }
}

TEST_F(NetworkTest, TheFileOfAuthoritiesReachesAllAndBeatsTheEnvironment) {
  const ForgeServer forge(Settings());
  for (const char* backend : kBackends) {
    // Vouches for another server.
    cli_.SetVariable("GIT_SSL_CAINFO", ClientFile("ca.pem"));
    const CliResult trusting = Trusting(backend, forge, {"github:acme"});
    EXPECT_EQ(trusting.exit_code, 1) << backend << trusting.out;
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories) << backend;
    const CliResult git = ScanWith(backend, forge, {CloneUrl(forge, 1)});
    EXPECT_EQ(git.exit_code, 3) << backend;
    EXPECT_THAT(Reasons(), HasSubstr("certificate")) << backend;
    const CliResult api = ScanWith(backend, forge, {"github:acme"});
    EXPECT_EQ(api.exit_code, 3) << backend;
    EXPECT_THAT(Reasons(), HasSubstr("--ca-file")) << backend;
  }
}

TEST_F(NetworkTest, AServerThatWantsACertificateGetsIt) {
  json settings = Settings();
  settings["client_ca"] = ClientFile("ca.pem");
  const ForgeServer forge(settings);
  for (const std::vector<std::string>& certificate : std::vector<std::vector<std::string>>{
           {"--client-cert", ClientFile("ca.pem"), "--client-key", ClientFile("tls.key")},
           {"--client-cert", ClientFile("tls.pem")}}) {  // which has both
    std::vector<std::string> arguments = certificate;
    arguments.push_back("github:acme");
    const CliResult scan = Trusting("git", forge, arguments);
    EXPECT_EQ(scan.exit_code, 1) << scan.out << scan.err;
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
  }
  // libgit2 cannot, and says so; the API is asked all the same.
  const CliResult libgit2 = Trusting("libgit2", forge, {"--client-cert", ClientFile("tls.pem"), "github:acme"});
  EXPECT_EQ(libgit2.exit_code, 3);
  EXPECT_THAT(Reasons(), HasSubstr("--fetch-backend git"));

  for (const std::string& target : {CloneUrl(forge, 1), std::string("github:acme")}) {
    const CliResult without = Trusting("git", forge, {target});
    EXPECT_EQ(without.exit_code, 3);
    EXPECT_THAT(Reasons(), HasSubstr("--client-cert"));
  }
  const CliResult wrong = Trusting("git", forge, {"--client-cert", forge.CaFile(), "github:acme"});
  EXPECT_EQ(wrong.exit_code, 3);
  EXPECT_THAT(Reasons(), HasSubstr("private key file"));
}

// As a folder that a git server's own user keeps.
TEST_F(NetworkTest, ARepositoryOfAnotherOwnerIsFetchedFromAFileUrl) {
  if (geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  const std::filesystem::path bare = home_.path() / "app0.git";
  unsprawl::Run(home_.path(), {"chown", "-R", "nobody", bare});
  for (const char* backend : kBackends) {
    const std::string mirrors = home_.path() / "mirrors" / backend;
    const CliResult scan = cli_.Scan({"--fetch-backend", backend, "--mirrors", mirrors, "--store", ":memory:",
                                      "file://" + bare.native()});
    EXPECT_EQ(scan.exit_code, 1) << backend << scan.out << scan.err;
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 1u) << backend;
  }
}

}  // namespace
}  // namespace unsprawl
