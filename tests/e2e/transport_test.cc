// Who is served over gRPC, and whom a client believes: a real server on loopback that answers with whom it takes
// its caller for.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/certs_command.h"
#include "engine/base/status.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"
#include "worker/transport.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr absl::Duration kDay = absl::Hours(24);

std::string NameOf(const Peer& peer) {
  if (peer.role == Peer::Role::kLocal) return "local";
  return absl::StrFormat("%s until %s", PeerUri(peer.role, peer.name),
                         absl::FormatTime("%Y-%m-%d", peer.not_after, absl::UTCTimeZone()));
}

grpc::ByteBuffer Bytes(const std::string& text) {
  const grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

// Answers every call with NameOf its peer, or the error that CallingPeer gives.
class WhoAmI final : public grpc::CallbackGenericService {
 public:
  std::atomic<int> days_ahead = 0;  // of the server's clock

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    class Answer final : public grpc::ServerGenericBidiReactor {
     public:
      explicit Answer(const absl::StatusOr<Peer>& peer) {
        if (peer.ok()) {
          text_ = Bytes(NameOf(*peer));
          StartWriteAndFinish(&text_, {}, grpc::Status::OK);
        } else {
          Finish({static_cast<grpc::StatusCode>(peer.status().code()), std::string(peer.status().message())});
        }
      }
      void OnDone() override { delete this; }

     private:
      grpc::ByteBuffer text_;
    };
    return new Answer(CallingPeer(*context, absl::Now() + kDay * days_ahead.load()));
  }
};

class WhoAmIServer {
 public:
  explicit WhoAmIServer(std::shared_ptr<grpc::ServerCredentials> credentials,
                        const std::string& address = "127.0.0.1:0") {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, std::move(credentials), &port_);
    builder.RegisterCallbackGenericService(&service_);
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);
  }
  ~WhoAmIServer() { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string At(const std::string& host) const { return absl::StrFormat("%s:%d", host, port_); }
  WhoAmI& service() { return service_; }
  grpc::Server& server() { return *server_; }

 private:
  WhoAmI service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// What the server answers, or "UNAVAILABLE: …" and the like.
std::string Ask(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const grpc::ByteBuffer request = Bytes("");
  grpc::ByteBuffer answer;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/test/WhoAmI", {}, &request, &answer,
                 [&](grpc::Status s) { done.set_value(std::move(s)); });
  const grpc::Status status = done.get_future().get();
  if (!status.ok()) {
    const absl::Status same(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
    return std::string(same.ToString());
  }
  grpc::Slice slice;
  EXPECT_TRUE(answer.DumpToSingleSlice(&slice).ok());
  return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

// A channel that shows what it is told to, as somebody's own client would.
std::shared_ptr<grpc::Channel> OwnClient(const std::string& address, const CertificateFiles& files) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ReadFile(files.ca);
  if (!files.certificate.empty()) {
    options.pem_private_key = ReadFile(files.key);
    options.pem_cert_chain = ReadFile(files.certificate);
  }
  return grpc::CreateChannel(address, grpc::SslCredentials(options));
}

class TransportTest : public testing::Test {
 protected:
  TransportTest() : dir_(MakeFolder("certs")) {}

  // A folder with certificates of its own authority: for the coordinator as localhost only, for workers "1", "2", and
  // "old", which has expired, and for the admin "ann".
  fs::path MakeFolder(const std::string& name) {
    const fs::path dir = home_.path() / name;
    MakeWorker("old", now_ - kDay * 366, 365, dir);
    MakeCoordinator({"localhost"}, dir);
    CertsOptions options{
        .dir = dir, .coordinator_hosts = {}, .workers = 2, .worker_names = {}, .admin_names = {"ann"}};
    EXPECT_THAT(MakeCerts(options, now_), IsOk());
    return dir;
  }
  // Anew when they are there.
  void MakeWorker(const std::string& name, absl::Time from, int days, const fs::path& dir) const {
    const CertsOptions options{.dir = dir, .coordinator_hosts = {}, .worker_names = {name}, .admin_names = {},
                               .days = days, .renew = true};
    EXPECT_THAT(MakeCerts(options, from), IsOk());
  }
  void MakeCoordinator(const std::vector<std::string>& hosts, const fs::path& dir) const {
    const CertsOptions options{
        .dir = dir, .coordinator_hosts = hosts, .worker_names = {}, .admin_names = {}, .renew = true};
    EXPECT_THAT(MakeCerts(options, now_), IsOk());
  }

  CertificateFiles Files(const std::string& name, const fs::path& dir) const {
    return {.ca = dir / "ca.pem", .certificate = dir / (name + ".pem"), .key = dir / (name + ".key")};
  }
  CertificateFiles Files(const std::string& name) const { return Files(name, dir_); }

  // A certificate of the folder's authority for a client that `unsprawl certs` would not make.
  CertificateFiles Signed(const std::string& name, const std::string& alternative_names) {
    Request(name, {"-out", name + ".csr", "-subj", "/CN=unsprawl:worker\\/1", "-addext",
                   "subjectAltName=" + alternative_names, "-addext", "extendedKeyUsage=clientAuth"});
    unsprawl::Run(dir_, {"openssl", "x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                         "-CAcreateserial", "-copy_extensions", "copy", "-days", "2", "-out", name + ".pem"});
    return Files(name);
  }
  CertificateFiles SelfSigned(const std::string& name, const std::string& alternative_names) {
    Request(name, {"-x509", "-out", name + ".pem", "-subj", "/CN=localhost", "-addext",
                   "subjectAltName=" + alternative_names, "-days", "2"});
    return Files(name);
  }
  void Request(const std::string& name, const std::vector<std::string>& options) {
    std::vector<std::string> command = {"openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                                        "-nodes", "-keyout", name + ".key"};
    command.insert(command.end(), options.begin(), options.end());
    unsprawl::Run(dir_, command);
  }

  std::unique_ptr<WhoAmIServer> Serve(const CertificateFiles& files, const std::string& address = "127.0.0.1:0") {
    const auto credentials = ServerCredentials(address, files, now_);
    EXPECT_THAT(credentials, IsOk());
    return std::make_unique<WhoAmIServer>(*credentials, address);
  }
  std::shared_ptr<grpc::Channel> Open(const std::string& address, const CertificateFiles& files) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
    const auto channel = OpenChannel(address, files, absl::Now(), arguments);
    EXPECT_THAT(channel, IsOk());
    return *channel;
  }
  std::string Until(int days) const {
    return " until " + absl::FormatTime("%Y-%m-%d", now_ + kDay * days, absl::UTCTimeZone());
  }

  const absl::Time now_ = absl::Now();
  TempDir home_;
  const fs::path dir_;
};

TEST_F(TransportTest, WorkersAndAdminsAreToldApartByTheirCertificates) {
  const auto server = Serve(Files("coordinator"));
  EXPECT_EQ(Ask(Open(server->At("localhost"), Files("worker-1"))), "unsprawl:worker/1" + Until(365));
  EXPECT_EQ(Ask(Open(server->At("localhost"), Files("worker-2"))), "unsprawl:worker/2" + Until(365));
  EXPECT_EQ(Ask(Open(server->At("localhost"), Files("admin-ann"))), "unsprawl:admin/ann" + Until(365));
}

TEST_F(TransportTest, ARoleMayNotDoWhatIsForTheOther) {
  const Peer worker{.role = Peer::Role::kWorker, .name = "1"}, admin{.role = Peer::Role::kAdmin, .name = "ann"}, local;
  EXPECT_TRUE(worker.May(Peer::Role::kWorker));
  EXPECT_FALSE(worker.May(Peer::Role::kAdmin));
  EXPECT_TRUE(admin.May(Peer::Role::kAdmin));
  EXPECT_FALSE(admin.May(Peer::Role::kWorker));
  EXPECT_TRUE(local.May(Peer::Role::kWorker) && local.May(Peer::Role::kAdmin));
}

TEST_F(TransportTest, AWorkerIsOneNameAndAPoolAllThatBeginWithItsOwn) {
  const Peer worker{.role = Peer::Role::kWorker, .name = "1"}, pool{.role = Peer::Role::kPool, .name = "extra"},
      admin{.role = Peer::Role::kAdmin, .name = "ann"}, local;
  EXPECT_TRUE(pool.May(Peer::Role::kWorker));
  EXPECT_FALSE(pool.May(Peer::Role::kAdmin));
  EXPECT_TRUE(worker.MayBe("1"));
  EXPECT_TRUE(pool.MayBe("extra.a"));
  EXPECT_TRUE(local.MayBe("1"));
  for (const char* name : {"", "2", "11", "1.a"}) EXPECT_FALSE(worker.MayBe(name)) << name;
  for (const char* name : {"", "extra", "extra.", "extraa", "extra-a", "extr.a", "1"}) {
    EXPECT_FALSE(pool.MayBe(name)) << name;
  }
  EXPECT_FALSE(admin.MayBe("ann"));
  EXPECT_FALSE((Peer{.role = Peer::Role::kPool, .name = "ann"}.MayBe("ann")));
}

TEST_F(TransportTest, WithoutACertificateOfTheAuthorityNobodyIsServed) {
  const auto server = Serve(Files("coordinator"));
  const std::string address = server->At("localhost");
  const fs::path theirs = MakeFolder("theirs");
  CertificateFiles foreign = Files("worker-1", theirs);
  foreign.ca = dir_ / "ca.pem";
  const std::map<std::string, CertificateFiles> refused = {
      {"no certificate", {.ca = dir_ / "ca.pem", .certificate = "", .key = ""}},
      {"another authority's", foreign},
      {"expired", Files("worker-old")},
      {"self-signed", SelfSigned("self", "URI:unsprawl:worker/1")},
      {"the coordinator's own", Files("coordinator")},
  };
  for (const auto& [what, files] : refused) {
    EXPECT_THAT(Ask(OwnClient(address, files)), StartsWith("UNAVAILABLE: ")) << what;
  }
  EXPECT_THAT(Ask(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())), StartsWith("UNAVAILABLE: "));
  // The same client is served when it shows what it should.
  EXPECT_EQ(Ask(OwnClient(address, Files("worker-1"))), "unsprawl:worker/1" + Until(365));
}

TEST_F(TransportTest, ACertificateWithoutOneKnownRoleIsRefused) {
  const auto server = Serve(Files("coordinator"));
  const std::map<std::string, std::string> refused = {
      {"DNS:worker", "the certificate names 0 roles"},
      {"URI:unsprawl:worker/1,URI:unsprawl:admin/ann", "the certificate names 2 roles"},
      {"URI:unsprawl:master/1", "the certificate's role is none of"},
      {"URI:unsprawl:worker/", "the certificate's role is none of"},
      {"URI:unsprawl:worker", "the certificate's role is none of"},
      {"URI:unsprawl:", "the certificate's role is none of"},
      {"URI:unsprawl:worker/a/b", "the certificate's role is none of"},
  };
  for (const auto& [names, words] : refused) {
    EXPECT_THAT(Ask(Open(server->At("localhost"), Signed("odd", names))),
                StartsWith("PERMISSION_DENIED: " + words))
        << names;
  }
  EXPECT_THAT(Ask(Open(server->At("localhost"), Signed("odd", "DNS:w,URI:https://a,URI:unsprawl:worker/w"))),
              StartsWith("unsprawl:worker/w until "));
}

TEST_F(TransportTest, AClientBelievesOnlyTheHostThatTheCertificateNames) {
  const auto server = Serve(Files("coordinator"));
  EXPECT_THAT(Ask(Open(server->At("127.0.0.1"), Files("worker-1"))), StartsWith("UNAVAILABLE: "));
  EXPECT_EQ(Ask(Open(server->At("localhost"), Files("worker-1"))), "unsprawl:worker/1" + Until(365));
}

TEST_F(TransportTest, AClientBelievesNoServerOfAnotherAuthorityAndNoWorkerThatServes) {
  const auto serve = [](const CertificateFiles& files) {
    grpc::SslServerCredentialsOptions options(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
    options.pem_key_cert_pairs.push_back({ReadFile(files.key), ReadFile(files.certificate)});
    return std::make_unique<WhoAmIServer>(grpc::SslServerCredentials(options));
  };
  for (const CertificateFiles& files :
       {Files("coordinator", MakeFolder("theirs")), Signed("odd", "DNS:localhost,URI:unsprawl:worker/1"),
        Files("worker-1"), SelfSigned("self", "DNS:localhost")}) {
    const auto server = serve(files);
    EXPECT_THAT(Ask(Open(server->At("localhost"), Files("worker-1"))), StartsWith("UNAVAILABLE: "))
        << files.certificate;
  }
  // A server like these is believed when it is the coordinator; it does not ask who calls.
  const auto server = serve(Files("coordinator"));
  EXPECT_EQ(Ask(Open(server->At("localhost"), Files("worker-1"))),
            "UNAUTHENTICATED: a connection without a certificate");
}

TEST_F(TransportTest, NothingOlderThanTls12IsSpoken) {
  const auto server = Serve(Files("coordinator"));
  const auto connects = [&](const std::string& version) {
    const CertificateFiles files = Files("worker-1");
    return system(absl::StrFormat("openssl s_client -connect %s -CAfile %s -cert %s -key %s -alpn h2 %s -cipher "
                                  "DEFAULT@SECLEVEL=0 </dev/null >/dev/null 2>&1",
                                  server->At("localhost"), files.ca, files.certificate, files.key, version)
                      .c_str()) == 0;
  };
  EXPECT_TRUE(connects("-tls1_3"));
  EXPECT_TRUE(connects("-tls1_2"));
  EXPECT_FALSE(connects("-tls1_1"));
}

TEST_F(TransportTest, AServerTakesUpARenewedCertificate) {
  const auto server = Serve(Files("coordinator"));
  const auto channel = Open(server->At("127.0.0.1"), Files("worker-1"));
  EXPECT_THAT(Ask(channel), StartsWith("UNAVAILABLE: "));
  MakeCoordinator({"127.0.0.1"}, dir_);
  std::string answer;
  do answer = Ask(channel);
  while (answer.starts_with("UNAVAILABLE: "));
  EXPECT_EQ(answer, "unsprawl:worker/1" + Until(365));
}

TEST_F(TransportTest, AClientShowsARenewedCertificateWhenItConnectsAgain) {
  auto server = Serve(Files("coordinator"));
  const std::string address = server->At("localhost");
  const auto channel = Open(address, Files("worker-1"));
  EXPECT_EQ(Ask(channel), "unsprawl:worker/1" + Until(365));
  MakeWorker("1", now_, 10, dir_);
  EXPECT_EQ(Ask(channel), "unsprawl:worker/1" + Until(365)) << "the connection lives";
  std::string answer;
  do {
    server.reset();
    server = Serve(Files("coordinator"), address);
    answer = Ask(channel);
  } while (answer.starts_with("UNAVAILABLE: ") || answer == "unsprawl:worker/1" + Until(365));
  EXPECT_EQ(answer, "unsprawl:worker/1" + Until(10));
}

TEST_F(TransportTest, AuthoritiesComeAndGoWithoutARestart) {
  const auto server = Serve(Files("coordinator"));
  const fs::path theirs = MakeFolder("theirs");
  CertificateFiles files = Files("worker-1", theirs);
  files.ca = home_.path() / "both.pem";
  const std::string old = ReadFile(dir_ / "ca.pem"), both = old + ReadFile(theirs / "ca.pem");
  WriteFile(files.ca, both);
  const auto ask = [&] { return Ask(Open(server->At("localhost"), files)); };
  EXPECT_THAT(ask(), StartsWith("UNAVAILABLE: "));

  const auto replace = [&](const std::string& pem) {
    WriteFile(dir_ / "ca.new", pem);
    fs::rename(dir_ / "ca.new", dir_ / "ca.pem");
  };
  replace(both);
  std::string answer;
  do answer = ask();
  while (answer.starts_with("UNAVAILABLE: "));
  EXPECT_EQ(answer, "unsprawl:worker/1" + Until(365));

  const auto before = Open(server->At("localhost"), files);
  do answer = Ask(before);
  while (answer.starts_with("UNAVAILABLE: "));  // Made while files are taken up, it is made again.
  EXPECT_EQ(answer, "unsprawl:worker/1" + Until(365));
  replace(old);
  do answer = ask();
  while (!answer.starts_with("UNAVAILABLE: "));
  EXPECT_EQ(Ask(before), "unsprawl:worker/1" + Until(365)) << "a connection made before goes on";
}

TEST_F(TransportTest, AKeyThatIsReplacedBeforeItsCertificateIsTakenUpWithIt) {
  const auto server = Serve(Files("coordinator"));
  const std::string address = server->At("localhost");
  fs::create_directory(dir_ / "new");
  for (const char* file : {"ca.pem", "ca.key"}) fs::copy_file(dir_ / file, dir_ / "new" / file);
  fs::permissions(dir_ / "new", fs::perms::owner_all);
  MakeCoordinator({"localhost", "127.0.0.1"}, dir_ / "new");
  fs::rename(dir_ / "new" / "coordinator.key", dir_ / "coordinator.key");
  while (!Ask(Open(address, Files("worker-1"))).starts_with("UNAVAILABLE: ")) absl::SleepFor(absl::Milliseconds(100));
  fs::rename(dir_ / "new" / "coordinator.pem", dir_ / "coordinator.pem");
  std::string answer;
  do answer = Ask(Open(server->At("127.0.0.1"), Files("worker-1")));
  while (answer.starts_with("UNAVAILABLE: "));
  EXPECT_EQ(answer, "unsprawl:worker/1" + Until(365));
}

TEST_F(TransportTest, AConnectionOutlivesItsCertificateButItsCallsAreRefused) {
  const auto server = Serve(Files("coordinator"));
  const absl::Time end = absl::Now() + absl::Seconds(15);
  MakeWorker("short", end - kDay, 1, dir_);
  const auto channel = Open(server->At("localhost"), Files("worker-short"));
  EXPECT_THAT(Ask(channel), StartsWith("unsprawl:worker/short until "));
  absl::SleepFor(end + absl::Seconds(2) - absl::Now());
  // The answer is the service's: the connection is still there.
  EXPECT_THAT(Ask(channel), StartsWith("UNAUTHENTICATED: the certificate of unsprawl:worker/short expired on "));
  EXPECT_THAT(Ask(OwnClient(server->At("localhost"), Files("worker-short"))), StartsWith("UNAVAILABLE: "));
}

TEST_F(TransportTest, AfterTheEndByTheServersClockNobodyIsServed) {
  const auto server = Serve(Files("coordinator"));
  const auto channel = Open(server->At("localhost"), Files("admin-ann"));
  server->service().days_ahead = 364;
  EXPECT_EQ(Ask(channel), "unsprawl:admin/ann" + Until(365));
  server->service().days_ahead = 366;
  EXPECT_THAT(Ask(channel), StartsWith("UNAUTHENTICATED: the certificate of unsprawl:admin/ann expired on "));
}

TEST_F(TransportTest, WithoutFilesOnlyThisMachineIsServed) {
  const auto server = Serve({});
  EXPECT_EQ(Ask(Open(server->At("127.0.0.1"), {})), "local");
  EXPECT_EQ(Ask(Open(server->At("localhost"), {})), "local");
  const std::string socket = "unix:" + (home_.path() / "socket").string();
  const auto on_socket = Serve({}, socket);
  EXPECT_EQ(Ask(Open(socket, {})), "local");

  const auto failed = absl::StatusCode::kFailedPrecondition;
  for (const std::string address : {"0.0.0.0:0", "[::]:0", "10.0.0.1:7000", "audit.example:7000", "*:7000", ":7000"}) {
    const auto words = HasSubstr(" is not on this machine alone: that takes a certificate");
    EXPECT_THAT(ServerCredentials(address, {}, now_), FailsWith(failed, words)) << address;
    EXPECT_THAT(OpenChannel(address, {}, now_), FailsWith(failed, words)) << address;
  }
}

TEST_F(TransportTest, LoopbackIsKnownByItsAddress) {
  for (const char* address : {"127.0.0.1", "127.0.0.1:7000", "127.8.9.10:1", "[::1]:7000", "::1", "localhost",
                              "localhost:1", "unix:/run/unsprawl"}) {
    EXPECT_TRUE(IsLoopbackAddress(address)) << address;
  }
  for (const char* address : {"", ":7000", "0.0.0.0:7000", "128.0.0.1:1", "127.0.0.1.example:1", "[::]:7000",
                              "localhost.example:1", "[::2]:1", "127.0.0.1:1,10.0.0.1:1", "dns:///audit.example",
                              "ipv4:127.0.0.1:1,10.0.0.1:1", "[127.0.0.1]x:1", "127.0.0.1@audit.example:1"}) {
    EXPECT_FALSE(IsLoopbackAddress(address)) << address;
  }
}

TEST_F(TransportTest, WhatStaysOnThisMachineTakesNoProxy) {
  const auto server = Serve({});
  setenv("http_proxy", "http://127.0.0.1:9", 1);  // nobody listens there
  EXPECT_EQ(Ask(Open(server->At("localhost"), {})), "local");
  unsetenv("http_proxy");
}

TEST_F(TransportTest, OtherConnectionsWithoutACertificateAreNotTakenForLocal) {
  const auto server = Serve(Files("coordinator"));
  const auto channel = server->server().InProcessChannel({});
  EXPECT_EQ(Ask(channel), "UNAUTHENTICATED: a connection without a certificate");
}

TEST_F(TransportTest, FilesThatTheOtherSideWouldRefuseAreRefusedAtOnce) {
  const auto failed = absl::StatusCode::kFailedPrecondition;
  const std::string address = "audit.example:7000";
  const auto open = [&](const CertificateFiles& files) { return OpenChannel(address, files, now_); };
  const auto serve = [&](const CertificateFiles& files) { return ServerCredentials(address, files, now_); };
  EXPECT_THAT(serve(Files("coordinator")), IsOk());
  EXPECT_THAT(open(Files("worker-1")), IsOk());
  EXPECT_THAT(open(Files("worker-old")), FailsWith(failed, HasSubstr("worker-old.pem expired on ")));
  EXPECT_THAT(open(Files("coordinator")), FailsWith(failed, HasSubstr("coordinator.pem is not valid for a client ")));
  EXPECT_THAT(serve(Files("worker-1")), FailsWith(failed, HasSubstr("worker-1.pem is not valid for a server ")));
  CertificateFiles files = Files("worker-1", MakeFolder("theirs"));
  files.ca = dir_ / "ca.pem";
  EXPECT_THAT(open(files), FailsWith(failed, HasSubstr("worker-1.pem is not valid for a client under ")));
  files = Files("worker-1");
  files.key = dir_ / "worker-2.key";
  EXPECT_THAT(open(files), FailsWith(failed, HasSubstr("worker-2.key is not the key of ")));
  files.key = dir_ / "absent.key";
  EXPECT_THAT(open(files), FailsWith(absl::StatusCode::kNotFound, HasSubstr("absent.key: no such file")));
  files.key = "";
  EXPECT_THAT(open(files), FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("one of them is not given")));
  files = Files("worker-1");
  files.certificate = dir_ / "absent.pem";
  EXPECT_THAT(open(files), FailsWith(absl::StatusCode::kNotFound, HasSubstr("absent.pem: No such file")));
  files = Files("worker-1");
  fs::permissions(files.key, fs::perms::group_read, fs::perm_options::add);
  EXPECT_THAT(open(files), FailsWith(absl::StatusCode::kPermissionDenied,
                                     AllOf(HasSubstr("worker-1.key is open to others"), HasSubstr("chmod 600 it"))));
}

}  // namespace
}  // namespace unsprawl
