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

TEST_F(NetworkTest, AProxysAddressThatCannotBeUsedIsNotShownWithItsPassword) {
  const ForgeServer forge(Settings());
  for (const char* address : {"http://someone:1proxy/pass-word@localhost:1", "http://someone:12/pass-word@localhost:1",
                              "ftp://someone:1proxy-pass-word@localhost:1", "someone:1proxy/pass-word@localhost:1",
                              "http://someone:1proxy-pass-word@localhost:port"}) {
    cli_.SetVariable("HTTPS_PROXY", address);
    cli_.SetVariable("https_proxy", address);
    for (const char* backend : kBackends) {
      const CliResult scan = Trusting(backend, forge, {CloneUrl(forge, 1)});
      EXPECT_EQ(scan.exit_code, 3) << address << backend;
      EXPECT_THAT(Reasons(), AnyOf(HasSubstr("proxy"), HasSubstr("localhost"))) << address;
    }
    const CliResult doctor = cli_.Run({"doctor", "--api-url", forge.ApiUrl(), "github:acme"});
    EXPECT_EQ(doctor.exit_code, 3) << doctor.out;
    EXPECT_THAT(doctor.out + doctor.err, Not(AnyOf(HasSubstr("pass-word"), HasSubstr("1proxy")))) << address;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(home_.path())) {
      if (!entry.is_regular_file()) continue;
      EXPECT_THAT(ReadFile(entry.path()), Not(AnyOf(HasSubstr("pass-word"), HasSubstr("1proxy"))))
          << address << entry.path();
    }
  }
  EXPECT_TRUE(forge.Counters()["log"].empty()) << forge.Counters().dump();
}

// A person's environment and files do not decide what is fetched, from where, or as whom.
TEST_F(NetworkTest, TheCallersGitIsNotOurs) {
  const ForgeServer forge(Settings());
  const std::string trace = home_.path() / "trace", settings = home_.path() / "gitconfig";
  WriteFile(settings, "[url \"https://127.0.0.1:1/\"]\n\tinsteadOf = " + forge.Url() + "/\n[http]\n\tproxy = 127.0.0.1:1\n");
  WriteFile(home_.path() / ".gitconfig", ReadFile(settings));
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"GIT_DIR", home_.path() / "app0.git"},
           {"GIT_WORK_TREE", home_.path()},
           {"GIT_OBJECT_DIRECTORY", home_.path() / "objects"},
           {"GIT_INDEX_FILE", home_.path() / "index"},
           {"GIT_NAMESPACE", "elsewhere"},
           {"GIT_CONFIG_GLOBAL", settings},
           {"GIT_CONFIG_SYSTEM", settings},
           {"GIT_CONFIG_PARAMETERS", "'http.proxy=127.0.0.1:1'"},
           {"GIT_CONFIG_COUNT", "1"},
           {"GIT_CONFIG_KEY_0", "http.proxy"},
           {"GIT_CONFIG_VALUE_0", "127.0.0.1:1"},
           {"GIT_EXTERNAL_DIFF", "/bin/false"},
           {"GIT_EXEC_PATH", home_.path()},
           {"GIT_TEMPLATE_DIR", home_.path()},
           {"GIT_ASKPASS", "/bin/false"},
           {"GIT_ALLOW_PROTOCOL", "file"},
           {"GIT_TRACE", trace},
           {"GIT_TRACE_CURL", trace}}) {
    cli_.SetVariable(name, value);
  }
  for (const char* backend : kBackends) {
    const CliResult scan = Trusting(backend, forge, {"github:acme"});
    EXPECT_EQ(scan.exit_code, 1) << backend << scan.out << scan.err;
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories) << backend;
    EXPECT_FALSE(std::filesystem::exists(trace));
  }
}

TEST_F(NetworkTest, NobodyTakesCredentialsFromANetrc) {
  const ForgeServer forge(Settings());
  cli_.RemoveVariable("GITHUB_TOKEN");
  WriteFile(home_.path() / ".netrc", std::string("machine localhost login x password ") + kToken + "\n");
  for (const char* backend : kBackends) {
    EXPECT_EQ(Trusting(backend, forge, {CloneUrl(forge, 1)}).exit_code, 1) << backend;
    EXPECT_EQ(Trusting(backend, forge, {forge.Url() + "/acme/app1.git"}).exit_code, 3) << backend;
    EXPECT_EQ(Trusting(backend, forge, {"github:acme"}).exit_code, 0) << backend;  // It shows nobody anything.
  }
  EXPECT_EQ(forge.Counters()["tokens"]["api"].value("reader", 0), 0);
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
  for (const char* backend : kBackends) {
    for (const std::vector<std::string>& certificate : std::vector<std::vector<std::string>>{
             {"--client-cert", ClientFile("ca.pem"), "--client-key", ClientFile("tls.key")},
             {"--client-cert", ClientFile("tls.pem")}}) {  // which has both
      std::vector<std::string> arguments = certificate;
      arguments.push_back("github:acme");
      const CliResult scan = Trusting(backend, forge, arguments);
      EXPECT_EQ(scan.exit_code, 1) << backend << scan.out << scan.err;
      EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories) << backend;
    }
    for (const std::string& target : {CloneUrl(forge, 1), std::string("github:acme")}) {
      const CliResult without = Trusting(backend, forge, {target});
      EXPECT_EQ(without.exit_code, 3) << backend;
      EXPECT_THAT(Reasons(), HasSubstr("--client-cert")) << backend;
    }
    const CliResult wrong = Trusting(backend, forge, {"--client-cert", forge.CaFile(), CloneUrl(forge, 1)});
    EXPECT_EQ(wrong.exit_code, 3) << backend;
    EXPECT_THAT(Reasons(), HasSubstr("certificate")) << backend;
  }
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
