// `unsprawl certs`, with the openssl program as the oracle.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/certs_command.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

class CertsTest : public testing::Test {
 protected:
  CliResult Certs(std::vector<std::string> options) {
    options.insert(options.begin(), {"certs", dir_});
    return cli_.Run(options);
  }
  // Options that cannot but work.
  void Make(const std::vector<std::string>& options) {
    const CliResult made = Certs(options);
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  // Options that are refused with these words, and change nothing.
  void ExpectRefused(const std::vector<std::string>& options, const std::string& words) {
    const std::map<std::string, std::string> before = Files();
    const CliResult refused = Certs(options);
    EXPECT_EQ(refused.exit_code, 2) << refused.out;
    EXPECT_THAT(refused.err, HasSubstr(words));
    EXPECT_EQ(Files(), before);
  }
  std::map<std::string, std::string> Files() const {
    std::map<std::string, std::string> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(dir_, error)) {
      files[entry.path().filename()] = ReadFile(entry.path());
    }
    return files;
  }
  std::string Openssl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    return unsprawl::Run(dir_, arguments);
  }
  // What `openssl verify` says of a certificate for this purpose.
  std::string Verify(const std::string& purpose, const std::string& pem) {
    return Openssl({"verify", "-x509_strict", "-purpose", purpose, "-CAfile", "ca.pem", pem});
  }
  std::string PublicKey(const std::string& name) { return Openssl({"pkey", "-in", name + ".key", "-pubout"}); }
  std::string CertifiedKey(const std::string& name) {
    return Openssl({"x509", "-in", name + ".pem", "-noout", "-pubkey"});
  }
  static std::string Mode(const fs::path& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return absl::StrFormat("%o", info.st_mode & 07777);
  }

  TempDir home_;
  const Cli cli_{home_.path()};
  const fs::path dir_ = home_.path() / "new" / "certs";
};

TEST_F(CertsTest, OneCommandMakesAllOfASmallInstallation) {
  Make({"--coordinator", "audit.example,10.0.0.7", "--coordinator", "::0:1", "--workers", "2", "--worker",
        "big,small", "--pool", "extra", "--admin", "ann"});
  const std::vector<std::string> names = {"ca",         "coordinator",  "worker-1",   "worker-2",
                                          "worker-big", "worker-small", "pool-extra", "admin-ann"};
  EXPECT_EQ(Files().size(), 2 * names.size());
  EXPECT_EQ(Mode(dir_), "700");
  for (const std::string& name : names) {
    EXPECT_EQ(Mode(dir_ / (name + ".key")), "600") << name;
    EXPECT_EQ(PublicKey(name), CertifiedKey(name));
    EXPECT_THAT(Openssl({"pkey", "-in", name + ".key", "-noout", "-text"}), HasSubstr("prime256v1"));
  }
  EXPECT_THAT(Openssl({"x509", "-in", "ca.pem", "-noout", "-ext", "basicConstraints,keyUsage"}),
              AllOf(HasSubstr("Basic Constraints: critical\n    CA:TRUE, pathlen:0"),
                    HasSubstr("Key Usage: critical\n    Certificate Sign, CRL Sign")));

  EXPECT_THAT(Verify("sslserver", "coordinator.pem"), EndsWith("OK\n"));
  for (const auto& [host, check] : std::map<std::string, std::string>{{"audit.example", "-checkhost"},
                                                                      {"10.0.0.7", "-checkip"},
                                                                      {"::1", "-checkip"}}) {
    EXPECT_THAT(Openssl({"x509", "-in", "coordinator.pem", "-noout", check, host}),
                HasSubstr(host + " does match certificate"));
  }
  EXPECT_THAT(Openssl({"x509", "-in", "coordinator.pem", "-noout", "-ext", "extendedKeyUsage"}),
              AllOf(HasSubstr("TLS Web Server Authentication"), Not(HasSubstr("Client"))));
  const std::map<std::string, std::string> uris = {{"worker-1", "unsprawl:worker/1"},
                                                   {"worker-big", "unsprawl:worker/big"},
                                                   {"pool-extra", "unsprawl:pool/extra"},
                                                   {"admin-ann", "unsprawl:admin/ann"}};
  for (const auto& [name, uri] : uris) {
    EXPECT_THAT(Verify("sslclient", name + ".pem"), EndsWith("OK\n"));
    EXPECT_THAT(Openssl({"x509", "-in", name + ".pem", "-noout", "-ext", "extendedKeyUsage,subjectAltName"}),
                AllOf(HasSubstr("TLS Web Client Authentication"), Not(HasSubstr("Server")),
                      HasSubstr("URI:" + uri + "\n"), Not(HasSubstr("DNS:"))));
  }
}

TEST_F(CertsTest, TheyAreValidForAsManyDaysAsAsked) {
  Make({"--workers", "1"});
  Make({"--worker", "short", "--days", "2"});
  const auto end = [&](const std::string& file) {
    absl::Time time;
    std::string date = Openssl({"x509", "-in", file, "-noout", "-enddate", "-dateopt", "iso_8601"}), error;
    EXPECT_TRUE(absl::ParseTime("notAfter=%Y-%m-%d %H:%M:%SZ%n", date, &time, &error)) << date << error;
    return time;
  };
  const absl::Duration day = absl::Hours(24), margin = absl::Hours(1);
  EXPECT_LT(absl::AbsDuration(end("worker-1.pem") - absl::Now() - 365 * day), margin);
  EXPECT_LT(absl::AbsDuration(end("worker-short.pem") - absl::Now() - 2 * day), margin);
  EXPECT_LT(absl::AbsDuration(end("ca.pem") - absl::Now() - 3650 * day), margin);
}

TEST_F(CertsTest, AgainItAddsWhatIsMissingAndChangesNothingElse) {
  Make({"--coordinator", "a,b", "--workers", "1"});
  const std::map<std::string, std::string> before = Files();
  const CliResult again = Certs({"--coordinator", "b,a", "--workers", "2", "--admin", "ann"});
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, AllOf(HasSubstr("kept coordinator.pem"), HasSubstr("kept worker-1.pem"),
                               HasSubstr("made worker-2.pem"), HasSubstr("made admin-ann.pem")));
  const std::map<std::string, std::string> after = Files();
  EXPECT_EQ(after.size(), before.size() + 4);
  for (const auto& [file, bytes] : before) EXPECT_EQ(after.at(file), bytes) << file;
  EXPECT_THAT(Verify("sslclient", "worker-2.pem"), EndsWith("OK\n"));
}

TEST_F(CertsTest, AKeyThatWentWhereItBelongsIsNotMissed) {
  Make({"--workers", "1"});
  fs::remove(dir_ / "worker-1.key");
  Make({"--workers", "2"});
  EXPECT_FALSE(fs::exists(dir_ / "worker-1.key"));
}

TEST_F(CertsTest, RenewingMakesACertificateForTheSameKey) {
  Make({"--coordinator", "a", "--workers", "2", "--days", "1"});
  const std::map<std::string, std::string> before = Files();
  const CliResult renewed = Certs({"--worker", "1", "--coordinator", "b", "--renew"});
  ASSERT_EQ(renewed.exit_code, 0) << renewed.err;
  EXPECT_THAT(renewed.out, AllOf(HasSubstr("renewed worker-1.pem"), HasSubstr("renewed coordinator.pem")));
  const std::map<std::string, std::string> after = Files();
  EXPECT_EQ(after.size(), before.size());
  for (const auto& [file, bytes] : before) {
    const bool anew = file == "worker-1.pem" || file == "coordinator.pem";
    EXPECT_EQ(after.at(file) != bytes, anew) << file;
  }
  EXPECT_EQ(PublicKey("worker-1"), CertifiedKey("worker-1"));
  EXPECT_THAT(Openssl({"x509", "-in", "worker-1.pem", "-noout", "-checkend", "8640000"}), HasSubstr("will not expire"));
  EXPECT_THAT(Openssl({"x509", "-in", "coordinator.pem", "-noout", "-checkhost", "b"}),
              HasSubstr("b does match certificate"));
}

TEST_F(CertsTest, AnInterruptedRunIsFinishedByTheNext) {
  Make({"--workers", "1"});
  const std::string key = ReadFile(dir_ / "worker-1.key"), ca_key = ReadFile(dir_ / "ca.key");
  fs::remove(dir_ / "worker-1.pem");
  fs::remove(dir_ / "ca.pem");
  Make({"--workers", "1"});
  EXPECT_EQ(ReadFile(dir_ / "worker-1.key"), key);
  EXPECT_EQ(ReadFile(dir_ / "ca.key"), ca_key);
  EXPECT_THAT(Verify("sslclient", "worker-1.pem"), EndsWith("OK\n"));
}

TEST_F(CertsTest, AnAuthorityOfOnesOwnIsUsed) {
  fs::create_directories(dir_);
  fs::permissions(dir_, fs::perms::owner_all);
  Openssl({"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ours", "-addext",
           "keyUsage=critical,keyCertSign", "-days", "30", "-keyout", "ca.key", "-out",
           "ca.pem"});
  fs::permissions(dir_ / "ca.key", fs::perms::owner_read);
  Make({"--workers", "1"});
  EXPECT_THAT(Verify("sslclient", "worker-1.pem"), EndsWith("OK\n"));
  // No longer than the authority: the year that was asked for would be a promise that nobody keeps.
  EXPECT_EQ(Openssl({"x509", "-in", "worker-1.pem", "-noout", "-enddate"}),
            Openssl({"x509", "-in", "ca.pem", "-noout", "-enddate"}));
}

TEST_F(CertsTest, AnAuthorityThatSignsAnotherWayIsRefused) {
  fs::create_directories(dir_);
  fs::permissions(dir_, fs::perms::owner_all);
  Openssl({"req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=ours", "-keyout", "ca.key", "-out", "ca.pem"});
  fs::permissions(dir_ / "ca.key", fs::perms::owner_read);
  const CliResult refused = Certs({"--workers", "1"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("cannot sign with the authority's key"));
}

TEST_F(CertsTest, WhatIsThereAndCannotBeUsedIsSaid) {
  Make({"--coordinator", "a", "--workers", "2"});
  ExpectRefused({"--coordinator", "b"}, "coordinator.pem is for DNS:a, not DNS:b: --renew makes it anew");
  fs::copy_file(dir_ / "worker-2.key", dir_ / "worker-1.key", fs::copy_options::overwrite_existing);
  ExpectRefused({"--worker", "1"}, "worker-1.key is not the key of ");
  fs::permissions(dir_ / "worker-2.key", fs::perms::others_read, fs::perm_options::add);
  ExpectRefused({"--worker", "2"}, "worker-2.key is open to others (mode 604): chmod 600 it");
  WriteFile(dir_ / "worker-2.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  ExpectRefused({"--worker", "2"}, "worker-2.pem is not a certificate in PEM, or damaged");
}

TEST_F(CertsTest, ACertificateOfAnotherAuthorityIsNotKept) {
  Make({"--workers", "1"});
  fs::remove(dir_ / "ca.pem");
  fs::remove(dir_ / "ca.key");
  Make({"--worker", "new"});
  ExpectRefused({"--worker", "1"}, "worker-1.pem is not valid for a client under ");
}

TEST_F(CertsTest, WhatExpiredIsNotKeptButRenewed) {
  const absl::Time now = absl::Now(), before = now - absl::Hours(24 * 400);
  CertsOptions options{.dir = dir_, .coordinator_hosts = {}, .workers = 1, .worker_names = {}, .admin_names = {}};
  ASSERT_THAT(MakeCerts(options, before), IsOk());
  ExpectRefused({"--workers", "1"}, "worker-1.pem expired on ");
  ExpectRefused({"--workers", "1"}, "--renew makes it anew");
  Make({"--workers", "1", "--renew"});
  EXPECT_THAT(Verify("sslclient", "worker-1.pem"), EndsWith("OK\n"));
}

TEST_F(CertsTest, AnAuthorityThatCannotSignIsRefused) {
  const absl::Time long_ago = absl::Now() - absl::Hours(24 * 3651);
  CertsOptions options{.dir = dir_, .coordinator_hosts = {}, .workers = 1, .worker_names = {}, .admin_names = {}};
  ASSERT_THAT(MakeCerts(options, long_ago), IsOk());
  ExpectRefused({"--workers", "2"}, "ca.pem expired on ");

  fs::remove_all(dir_);
  Make({"--workers", "1"});
  const std::string pem = ReadFile(dir_ / "ca.pem"), key = ReadFile(dir_ / "ca.key");
  WriteFile(dir_ / "ca.pem", pem.substr(0, pem.size() / 2));
  ExpectRefused({"--workers", "2"}, "ca.pem is not a certificate in PEM, or damaged");
  WriteFile(dir_ / "ca.pem", pem);
  WriteFile(dir_ / "ca.key", key.substr(0, key.size() / 2));
  ExpectRefused({"--workers", "2"}, "ca.key is not a private key in PEM without a passphrase, or damaged");
  fs::copy_file(dir_ / "worker-1.key", dir_ / "ca.key", fs::copy_options::overwrite_existing);
  ExpectRefused({"--workers", "2"}, "ca.key is not the key of ");
  fs::permissions(dir_ / "ca.key", fs::perms::group_read, fs::perm_options::add);
  ExpectRefused({"--workers", "2"}, "ca.key is open to others");
  fs::remove(dir_ / "ca.key");
  ExpectRefused({"--workers", "2"}, "ca.key is not there: certificates are made where the authority's key is");
  fs::copy_file(dir_ / "worker-1.pem", dir_ / "ca.pem", fs::copy_options::overwrite_existing);
  fs::copy_file(dir_ / "worker-1.key", dir_ / "ca.key");
  ExpectRefused({"--workers", "2"}, "ca.pem may not sign certificates: it is no authority's");
}

TEST_F(CertsTest, AFolderThatCannotHoldThemIsRefused) {
  fs::create_directories(dir_);
  fs::permissions(dir_, fs::perms::group_write, fs::perm_options::add);
  ExpectRefused({"--workers", "1"}, "others can put files into ");
  fs::remove_all(dir_);
  WriteFile(dir_, "");
  ExpectRefused({"--workers", "1"}, "is not a folder");
  const CliResult below = cli_.Run({"certs", dir_ / "more", "--workers", "1"});
  EXPECT_EQ(below.exit_code, 2);
  EXPECT_THAT(below.err, HasSubstr("cannot make "));
  // Nobody can write there, not even root.
  const CliResult proc = cli_.Run({"certs", "/proc/self/fdinfo", "--workers", "1"});
  EXPECT_EQ(proc.exit_code, 2);
  EXPECT_THAT(proc.err, HasSubstr("cannot write /proc/self/fdinfo/ca.key: "));
}

TEST_F(CertsTest, NamesThatCannotBeAreRefused) {
  ExpectRefused({}, "say for whom: ");
  ExpectRefused({"--coordinator", "a:7000"}, "a:7000: neither the name of a host nor an address");
  ExpectRefused({"--coordinator", "https://a"}, "neither the name of a host nor an address");
  ExpectRefused({"--coordinator", "a,URI:unsprawl:admin/x"}, "neither the name of a host nor an address");
  ExpectRefused({"--worker", "../x"}, "../x: not a name for a worker");
  ExpectRefused({"--admin", "a b"}, "a b: not a name for an admin");
  EXPECT_FALSE(fs::exists(dir_));
}

}  // namespace
}  // namespace unsprawl
