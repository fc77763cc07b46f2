// What a stranger, an admin, or a worker that was broken into cannot do to a coordinator.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <signal.h>

#include <atomic>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_format.h"
#include "coordinator/cluster/call_limit.h"
#include "coordinator/forges/api_client.h"
#include "engine/match/ruleset.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_calls.h"
#include "tests/support/small_organization.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

namespace pb = google::protobuf;
using testing::HasSubstr;
using testing::Not;

constexpr char kWorkers[] = "unsprawl.v1.WorkerService", kAdmins[] = "unsprawl.v1.AdminService";

std::vector<std::string> MethodsOf(const std::string& service) {
  const pb::ServiceDescriptor* const found = v1::JoinRequest::descriptor()->file()->pool()->FindServiceByName(service);
  std::vector<std::string> names;
  for (int i = 0; i < found->method_count(); ++i) names.push_back(found->method(i)->name());
  return names;
}

v1::LeaseRef Lease(const std::string& worker, uint64_t shard, uint64_t epoch) {
  v1::LeaseRef lease;
  lease.set_worker(worker);
  lease.set_shard(shard);
  lease.set_epoch(epoch);
  return lease;
}

// Fills a message with anything: sizes that are none, numbers at their ends, bytes that are no text.
class Rubbish {
 public:
  explicit Rubbish(uint32_t seed) : random_(seed) {}

  uint64_t Number() {
    static constexpr uint64_t kEnds[] = {0, 1, 2, 20, UINT32_MAX, uint64_t{1} << 63, UINT64_MAX};
    return Below(2) == 0 ? kEnds[Below(std::size(kEnds))] : Below(300);
  }
  std::string Bytes() {
    static constexpr size_t kSizes[] = {0, 1, 16, 19, 20, 21, 40, 400};
    std::string bytes(kSizes[Below(std::size(kSizes))], '\0');
    for (char& c : bytes) c = static_cast<char>(random_());
    return bytes;
  }
  void Fill(pb::Message* message, int depth = 0) {
    const pb::Descriptor& type = *message->GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const pb::FieldDescriptor& field = *type.field(i);
      if (Below(4) == 0 || field.is_map()) continue;
      for (uint64_t times = field.is_repeated() ? Below(4) : 1; times > 0; --times) Set(message, field, depth);
    }
  }
  // Often the one that is in order, and often with what the first checks ask for, so that the rest is believed.
  void FillEvent(int step, v1::ShardEvent* event) {
    static constexpr int kOrder[] = {v1::ShardEvent::kLookupFieldNumber,        v1::ShardEvent::kBlobsFieldNumber,
                                     v1::ShardEvent::kScanCompletedFieldNumber, v1::ShardEvent::kCommitsFieldNumber,
                                     v1::ShardEvent::kPlacesFieldNumber,        v1::ShardEvent::kLocateCompletedFieldNumber};
    const pb::Descriptor& events = *v1::ShardEvent::descriptor();
    const pb::FieldDescriptor* const which =
        Below(6) > 0 ? events.FindFieldByNumber(kOrder[step])
                     : events.field(static_cast<int>(Below(static_cast<size_t>(events.field_count()))));
    Fill(event->GetReflection()->MutableMessage(event, which));
    if (Below(3) == 0) return;
    if (event->has_blobs()) {
      event->mutable_blobs()->set_rules(0);
      event->mutable_blobs()->mutable_clean()->resize(20 * Below(3));
      for (v1::BlobHit& hit : *event->mutable_blobs()->mutable_hits()) {
        hit.mutable_object_id()->resize(20);
        for (v1::Match& match : *hit.mutable_matches()) {
          match.mutable_secret()->resize(16);
          match.set_rule(rules_[Below(rules_.size())]);
        }
      }
    }
    if (event->has_commits()) {
      for (v1::Commit& commit : *event->mutable_commits()->mutable_commits()) commit.mutable_id()->resize(20);
    }
    if (!event->has_places()) return;
    for (v1::PlaceBatch::Place& place : *event->mutable_places()->mutable_places()) {
      place.set_target(0);
      place.set_secret(0);
      if (place.has_commit()) place.mutable_commit()->mutable_id()->resize(20);
    }
  }
  size_t Below(size_t end) { return random_() % end; }

 private:
  void Set(pb::Message* message, const pb::FieldDescriptor& field, int depth) {
    const pb::Reflection& by = *message->GetReflection();
    const bool many = field.is_repeated();
    const uint64_t number = Number();
    const auto put = [&](auto set, auto add, auto value) {
      many ? (by.*add)(message, &field, value) : (by.*set)(message, &field, value);
    };
    using R = pb::Reflection;
    switch (field.cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_INT32: put(&R::SetInt32, &R::AddInt32, static_cast<int32_t>(number)); break;
      case pb::FieldDescriptor::CPPTYPE_INT64: put(&R::SetInt64, &R::AddInt64, static_cast<int64_t>(number)); break;
      case pb::FieldDescriptor::CPPTYPE_UINT32: put(&R::SetUInt32, &R::AddUInt32, static_cast<uint32_t>(number)); break;
      case pb::FieldDescriptor::CPPTYPE_UINT64: put(&R::SetUInt64, &R::AddUInt64, number); break;
      case pb::FieldDescriptor::CPPTYPE_BOOL: put(&R::SetBool, &R::AddBool, number % 2 == 1); break;
      case pb::FieldDescriptor::CPPTYPE_ENUM:
        put(&R::SetEnumValue, &R::AddEnumValue, static_cast<int>(number % 90) - 3);
        break;
      case pb::FieldDescriptor::CPPTYPE_FLOAT: put(&R::SetFloat, &R::AddFloat, static_cast<float>(Real())); break;
      case pb::FieldDescriptor::CPPTYPE_DOUBLE: put(&R::SetDouble, &R::AddDouble, Real()); break;
      case pb::FieldDescriptor::CPPTYPE_STRING: {
        std::string text = Bytes();
        // What is no UTF-8 does not get through where text is wanted; terminal commands do.
        if (field.type() == pb::FieldDescriptor::TYPE_STRING) text = "\x1b[2J\n\"<" + std::string(text.size(), 'x');
        many ? by.AddString(message, &field, text) : by.SetString(message, &field, text);
        break;
      }
      case pb::FieldDescriptor::CPPTYPE_MESSAGE:
        if (depth < 5) Fill(many ? by.AddMessage(message, &field) : by.MutableMessage(message, &field), depth + 1);
    }
  }
  double Real() {
    static constexpr double kReals[] = {0, -1, 1e300, std::numeric_limits<double>::infinity(),
                                        std::numeric_limits<double>::quiet_NaN()};
    return kReals[Below(std::size(kReals))];
  }

  std::mt19937 random_;
  inline static const std::vector<uint64_t> rules_ = Ruleset::Builtin()->keys();
};

class ClusterSecurityTest : public SmallOrganization {
 protected:
  std::vector<std::string> AtForge(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> options = {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile()};
    options.insert(options.end(), more.begin(), more.end());
    return options;
  }
  std::vector<std::string> AsAppOf(const ForgeServer& forge, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> options = AsApp();
    options.insert(options.end(), {"--api-url", forge.ApiUrl(), "--ca-file", forge.CaFile()});
    options.insert(options.end(), more.begin(), more.end());
    return options;
  }
  std::vector<std::string> Fetching(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> options = {"--ca-file", forge_.CaFile()};
    options.insert(options.end(), more.begin(), more.end());
    return options;
  }

  // ---- certificates of workers a and b, of the pool p, and of the admin ann
  void MakeCertificates(const std::string& folder = "certs") {
    const CliResult made = cli_.Run({"certs", home_.path() / folder, "--coordinator", "127.0.0.1", "--worker", "a,b",
                                     "--pool", "p", "--admin", "ann"});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  CertificateFiles FilesOf(const std::string& who, const std::string& folder = "certs") const {
    const std::filesystem::path dir = home_.path() / folder;
    return {.ca = home_.path() / "certs" / "ca.pem", .certificate = dir / (who + ".pem"), .key = dir / (who + ".key")};
  }
  std::vector<std::string> TlsOptions(const std::string& who) const {
    const CertificateFiles files = FilesOf(who);
    return {"--tls-ca", files.ca, "--tls-cert", files.certificate, "--tls-key", files.key};
  }
  static std::shared_ptr<grpc::Channel> ChannelTo(const Cluster& cluster, const CertificateFiles& files) {
    const auto channel = OpenChannel(cluster.address(), files, absl::Now(), ChannelArguments());
    EXPECT_THAT(channel, IsOk());
    return *channel;
  }

  ForgeServer forge_{Settings()};
};

TEST_F(ClusterSecurityTest, WhoMayCallWhatIsDecidedByTheCertificateInEveryMethod) {
  MakeCertificates();
  MakeCertificates("others");
  Cluster cluster(cli_, AtForge(TlsOptions("coordinator")), {});
  struct Case {
    CertificateFiles files;
    const char* service;
    absl::StatusCode code;
  };
  for (const Case& one : std::vector<Case>{
           {FilesOf("worker-a"), kAdmins, absl::StatusCode::kPermissionDenied},
           {FilesOf("pool-p"), kAdmins, absl::StatusCode::kPermissionDenied},
           {FilesOf("admin-ann"), kWorkers, absl::StatusCode::kPermissionDenied},
           {FilesOf("worker-a", "others"), kWorkers, absl::StatusCode::kUnavailable},
           {FilesOf("admin-ann", "others"), kAdmins, absl::StatusCode::kUnavailable}}) {
    // One's own side believes its own CA, or the other CA's files would be refused here already.
    CertificateFiles files = one.files;
    const auto channel =
        one.code == absl::StatusCode::kUnavailable
            ? [&] {
                const std::string both = home_.path() / "both.pem";
                WriteFile(both, ReadFile(home_.path() / "certs" / "ca.pem") + ReadFile(home_.path() / "others" / "ca.pem"));
                files.ca = both;
                return ChannelTo(cluster, files);
              }()
            : ChannelTo(cluster, files);
    for (const std::string& method : MethodsOf(one.service)) {
      EXPECT_EQ(CallWithBytes(channel, one.service, method, "").code(), one.code) << one.files.certificate << method;
    }
  }
  for (const char* service : {kWorkers, kAdmins}) {
    for (const std::string& method : MethodsOf(service)) {
      EXPECT_THAT(CallWithBytes(PlainChannel(cluster.address()), service, method, ""),
                  FailsWith(absl::StatusCode::kUnavailable, testing::_));
    }
  }
  EXPECT_THAT(cluster.coordinator().err(), HasSubstr("error=\"unsprawl:worker/a is no admin\""));
  // The right ones are heard: what is wrong with an empty call is something else.
  EXPECT_THAT(CallWithBytes(ChannelTo(cluster, FilesOf("worker-a")), kWorkers, "Join", ""),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("a worker's name")));
  EXPECT_THAT(CallWithBytes(ChannelTo(cluster, FilesOf("admin-ann")), kAdmins, "Status", ""),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("version 0.0")));
}

TEST_F(ClusterSecurityTest, NobodyWorksUnderTheLeaseOfAnother) {
  MakeCertificates();
  const Cluster cluster(cli_, AtForge(TlsOptions("coordinator")), {});
  const RawWorker a("a", ChannelTo(cluster, FilesOf("worker-a"))), b("b", ChannelTo(cluster, FilesOf("worker-b")));
  ASSERT_THAT(a.Join(), IsOk());
  ASSERT_THAT(b.Join(), IsOk());
  ASSERT_THAT(SubmitRun(ChannelTo(cluster, FilesOf("admin-ann")), {"github:acme"}), IsOk());
  const auto lent = a.Acquire();
  ASSERT_THAT(lent, IsOk());
  const v1::LeaseRef& held = lent->lease();
  ASSERT_EQ(held.worker(), "a");
  ASSERT_THAT(a.Begin(held, 7), IsOk());
  v1::ShardEvent event;
  event.mutable_lookup()->set_blobs(std::string(20, 'x'));

  const auto refused = [&](const v1::LeaseRef& lease, absl::StatusCode code) {
    SCOPED_TRACE(lease.ShortDebugString());
    EXPECT_EQ(b.Tell(lease, 7, 1, event).status().code(), code);
    EXPECT_EQ(b.Begin(lease, 8).status().code(), code);
    EXPECT_EQ(b.End(lease, v1::TargetEnd::SCANNED).code(), code);
    EXPECT_EQ(b.End(lease, v1::TargetEnd::FAILED).code(), code);
    EXPECT_EQ(b.AskForge(lease).status().code(), code);
    EXPECT_EQ(b.RenewTokens(lease).status().code(), code);
    EXPECT_EQ(b.ListDropped(lease).status().code(), code);
    EXPECT_EQ(b.Release(lease).code(), code);
  };
  refused(held, absl::StatusCode::kPermissionDenied);
  for (const uint64_t shard : {uint64_t{0}, held.shard(), held.shard() + 1, UINT64_MAX}) {
    for (const uint64_t epoch : {uint64_t{0}, held.epoch() - 1, held.epoch(), held.epoch() + 1, UINT64_MAX}) {
      refused(Lease("b", shard, epoch), absl::StatusCode::kAborted);
      EXPECT_FALSE(*b.Renew(shard, epoch));
    }
  }
  // All that was nothing to the one who holds it: its pass goes on.
  const auto told = a.Tell(held, 7, 1, event);
  ASSERT_THAT(told, IsOk());
  EXPECT_FALSE(told->begin_again());
  EXPECT_TRUE(*a.Renew(held.shard(), held.epoch()));
}

TEST_F(ClusterSecurityTest, ThePoolsCertificateIsThatOfItsWorkersAndOfNoOther) {
  MakeCertificates();
  Cluster cluster(cli_, AtForge(TlsOptions("coordinator")), Fetching(TlsOptions("pool-p")));
  const auto pool = ChannelTo(cluster, FilesOf("pool-p"));
  for (const char* name : {"a", "p", "p."}) {
    EXPECT_EQ(RawWorker(name, pool).Join().status().code(), absl::StatusCode::kPermissionDenied) << name;
  }
  EXPECT_THAT(cluster.coordinator().err(), HasSubstr("error=\"the certificate is pool p's, not worker a's\""));

  // Workers with one certificate scan beside each other; one that is not told its name takes the host's.
  cluster.StartWorker("p.1");
  std::vector<std::string> nameless = {"worker", "--coordinator", cluster.address(), "--mirrors", home_.path() / "m"};
  for (const std::string& option : Fetching(TlsOptions("pool-p"))) nameless.push_back(option);
  const BackgroundProgram host(cli_, "host", nameless);
  char name[256] = {};
  ASSERT_EQ(gethostname(name, sizeof name - 1), 0);
  EXPECT_TRUE(cluster.worker("p.1").WaitFor("event=joined worker=p.1 "));
  EXPECT_TRUE(host.WaitFor(absl::StrFormat("event=joined worker=p.%s ", name))) << host.err();
  ASSERT_THAT(SubmitRun(ChannelTo(cluster, FilesOf("admin-ann")), {"github:acme"}), IsOk());
  EXPECT_TRUE(cluster.coordinator().WaitFor("state=RUN_STATE_DONE")) << cluster.coordinator().err();

  std::vector<std::string> other = {"worker", "--coordinator", cluster.address(), "--name", "a"};
  for (const std::string& option : TlsOptions("pool-p")) other.push_back(option);
  const CliResult refused = cli_.Run(other);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("is the certificate of p.*, not of a"));
}

// Calls that wait for a forge which does not answer, more than a coordinator has threads, and over many connections.
TEST_F(ClusterSecurityTest, OneWorkerCannotTakeAllThreads) {
  constexpr size_t kConnections = 8, kCalls = 90;
  MakeCertificates();
  Cluster cluster(cli_, AtForge(TlsOptions("coordinator")), {});
  const RawWorker a("a", ChannelTo(cluster, FilesOf("worker-a"))), b("b", ChannelTo(cluster, FilesOf("worker-b")));
  const auto admin = ChannelTo(cluster, FilesOf("admin-ann"));
  ASSERT_THAT(a.Join(), IsOk());
  ASSERT_THAT(SubmitRun(admin, {"github:acme"}), IsOk());
  v1::LeaseRequest request;
  const auto lent = a.Acquire();
  ASSERT_THAT(lent, IsOk());
  *request.mutable_lease() = lent->lease();
  forge_.Fault({{"match", "/repos/|/repositories/"}, {"times", nullptr}, {"kind", "stall"}});

  struct Call {
    grpc::ClientContext context;
    v1::ForgeReply reply;
  };
  std::vector<std::unique_ptr<v1::WorkerService::Stub>> connections;
  std::deque<Call> calls(kConnections * kCalls);
  std::atomic<size_t> refused = 0, ended = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (i % kCalls == 0) {
      grpc::ChannelArguments arguments = ChannelArguments();
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      const auto channel = OpenChannel(cluster.address(), FilesOf("worker-a"), absl::Now(), arguments);
      ASSERT_THAT(channel, IsOk());
      connections.push_back(v1::WorkerService::NewStub(*channel));
    }
    connections.back()->async()->AskForge(&calls[i].context, &request, &calls[i].reply, [&](const grpc::Status& status) {
      refused += status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ? 1 : 0;
      ++ended;
    });
  }
  const size_t too_many = calls.size() - CallLimit::kOfOneCaller;
  for (int tries = 0; tries < 100 && refused < too_many; ++tries) absl::SleepFor(absl::Milliseconds(100));
  // Meanwhile the others are served, again and again.
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(b.Join(), IsOk());
    EXPECT_THAT(b.Renew(1, 1), IsOk());
    v1::StatusRequest asked;
    *asked.mutable_version() = OurVersion();
    v1::ClusterStatus status;
    grpc::ClientContext context;
    EXPECT_THAT(FromGrpc(v1::AdminService::NewStub(admin)->Status(&context, asked, &status)), IsOk());
  }
  EXPECT_THAT(b.Acquire(), IsOk());
  EXPECT_EQ(refused, too_many);
  EXPECT_EQ(ended, too_many);  // The others are still under way.
  EXPECT_THAT(cluster.coordinator().err(), HasSubstr("event=busy caller=unsprawl:worker/a "));
  for (Call& call : calls) call.context.TryCancel();
  while (ended < calls.size()) absl::SleepFor(absl::Milliseconds(10));
}

TEST_F(ClusterSecurityTest, WithoutCertificatesNothingLeavesThisMachine) {
  CliResult refused = cli_.Run({"coordinator", "--listen", "0.0.0.0:0", "--store", home_.path() / "s"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("unsprawl certs"));
  refused = cli_.Run({"worker", "--coordinator", "192.0.2.1:7077"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("unsprawl certs"));
}

TEST_F(ClusterSecurityTest, AWorkersNameIsAName) {
  const Cluster cluster(cli_, AtForge(), {});
  const auto channel = PlainChannel(cluster.address());
  for (const std::string& name : {std::string(), std::string("a b"), std::string("\x1b[2J"), std::string("../a"),
                                  std::string("a\n"), std::string("ä"), std::string("-a"), std::string(200, 'a')}) {
    EXPECT_THAT(RawWorker(name, channel).Join(), FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("name")));
  }
  EXPECT_THAT(RawWorker("Web-1.example_org", channel).Join(), IsOk());
}

TEST_F(ClusterSecurityTest, TenThousandWorkersAreEnoughUntilSomeAreGone) {
  const Cluster cluster(cli_, AtForge({"--lease-seconds", "20"}), {});
  const auto channel = PlainChannel(cluster.address());
  const auto knock = [&](int i) { return RawWorker(absl::StrFormat("w%d", i), channel).Renew(1, 1).status(); };
  for (int i = 0; i < 10'000; ++i) ASSERT_THAT(knock(i), IsOk());
  EXPECT_THAT(knock(10'000), FailsWith(absl::StatusCode::kResourceExhausted, HasSubstr("10000 workers")));
  EXPECT_THAT(RawWorker("late", channel).Join(), FailsWith(absl::StatusCode::kResourceExhausted, testing::_));
  EXPECT_THAT(knock(9'999), IsOk());  // Who is in stays in.
  absl::Status late = knock(10'000);
  for (int tries = 0; tries < 100 && !late.ok(); ++tries) {
    absl::SleepFor(absl::Milliseconds(500));
    late = knock(10'000);
  }
  EXPECT_THAT(late, IsOk());
}

TEST_F(ClusterSecurityTest, APartIsRecordedAsItWasCutAndNothingBesides) {
  const Cluster cluster(cli_, AtForge({"--cut-size", "1"}), {});
  const auto channel = PlainChannel(cluster.address());
  const RawWorker a("a", channel), b("b", channel);
  ASSERT_THAT(a.Join(), IsOk());
  ASSERT_THAT(SubmitRun(channel, {"github:acme"}), IsOk());
  const std::string one(20, '1'), two(20, '2'), foreign(20, '3');
  const auto piece = [](uint32_t number, const std::string& blobs) {
    v1::ShardEvent event;
    event.mutable_piece()->set_number(number);
    event.mutable_piece()->set_blobs(blobs);
    event.mutable_piece()->set_bytes(1000);
    return event;
  };
  // Alone it is not asked for pieces.
  const auto alone = a.Acquire();
  ASSERT_THAT(alone, IsOk());
  ASSERT_THAT(a.Begin(alone->lease(), 1), IsOk());
  EXPECT_THAT(a.Tell(alone->lease(), 1, 1, piece(0, one)),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("nobody asked for")));
  ASSERT_THAT(b.Renew(0, 0), IsOk());  // b is here.
  const auto lent = a.Acquire();
  ASSERT_THAT(lent, IsOk());
  uint64_t nonce = 10;
  for (const v1::ShardEvent& bad : {piece(256, one), piece(0, "short"), piece(UINT32_MAX, one)}) {
    ASSERT_THAT(a.Begin(lent->lease(), ++nonce), IsOk());
    EXPECT_THAT(a.Tell(lent->lease(), nonce, 1, bad), FailsWith(absl::StatusCode::kInvalidArgument, testing::_));
  }
  ASSERT_GT(a.Begin(lent->lease(), 3)->begun().scan().cut_bytes(), 0);
  ASSERT_THAT(a.Tell(lent->lease(), 3, 1, piece(0, one)), IsOk());
  ASSERT_THAT(a.Tell(lent->lease(), 3, 2, piece(1, two)), IsOk());
  v1::ShardEvent cut;
  cut.mutable_scan_cut()->set_pieces(2);
  ASSERT_THAT(a.Tell(lent->lease(), 3, 3, cut), IsOk());

  // Parts come among the other repositories' shards.
  int parts = 0;
  while (parts < 2) {
    const auto part = a.Acquire();
    ASSERT_THAT(part, IsOk());
    const auto begun = a.Begin(part->lease(), 4);
    ASSERT_THAT(begun, IsOk());
    if (begun->begun().scan().only().empty()) continue;
    ++parts;
    const std::string own = begun->begun().scan().only();
    EXPECT_TRUE(own == one || own == two);
    v1::ShardEvent blobs;
    const auto set_clean = [&](const std::string& ids) {
      blobs.mutable_blobs()->set_clean(ids);
      blobs.mutable_blobs()->mutable_clean_bytes()->Resize(static_cast<int>(ids.size() / 20), 1);
    };
    set_clean(own + foreign);
    EXPECT_THAT(a.Tell(part->lease(), 4, 1, blobs),
                FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("not of this part")));
    ASSERT_THAT(a.Begin(part->lease(), 5), IsOk());
    set_clean("");
    blobs.mutable_blobs()->add_hits()->set_object_id(own == one ? two : one);
    EXPECT_THAT(a.Tell(part->lease(), 5, 1, blobs),
                FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("not of this part")));
    ASSERT_THAT(a.Begin(part->lease(), 6), IsOk());
    blobs.mutable_blobs()->clear_hits();
    set_clean(own);
    EXPECT_THAT(a.Tell(part->lease(), 6, 1, blobs), IsOk());
    v1::ShardEvent done;
    done.mutable_scan_completed();
    EXPECT_THAT(a.Tell(part->lease(), 6, 2, done), IsOk());
    EXPECT_THAT(a.End(part->lease(), v1::TargetEnd::SCANNED), IsOk());
  }
}

// A worker that holds app0 and says anything: bytes that are no messages, messages that make no sense. The others'
// rows are what they would be without it, and everything ends.
TEST_F(ClusterSecurityTest, RubbishFromAWorkerHarmsNothingButItsOwnRepository) {
  const CliResult alone = SmallOrganization::Scan(forge_, {"github:acme", "--ca-file", forge_.CaFile()});
  ASSERT_EQ(alone.exit_code, 1) << alone.err;
  const auto rows_of_others = [&] {
    std::set<std::string> rows;
    for (nlohmann::json row : cli_.Rows("occurrences.jsonl")) {
      if (row["repository"].get<std::string>().ends_with("app0")) continue;
      row.erase("first_seen");
      rows.insert(row.dump());
    }
    return rows;
  };
  const std::set<std::string> others = rows_of_others();
  ASSERT_EQ(others.size(), 2);

  Cluster cluster(cli_, AtForge({"--lease-seconds", "5", "--retry-seconds", "0"}), Fetching());
  const auto channel = PlainChannel(cluster.address());
  const RawWorker bad("bad", channel);
  ASSERT_THAT(bad.Join(), IsOk());
  ASSERT_THAT(SubmitRun(channel, {"github:acme"}), IsOk());
  // Of the three it takes one and gives back the others.
  std::vector<v1::LeaseRef> all;
  v1::LeaseRef own;
  for (int i = 0; i < 3; ++i) {
    const auto lent = bad.Acquire();
    ASSERT_THAT(lent, IsOk());
    lent->target().name().ends_with("app0") ? own = lent->lease() : *all.emplace(all.end()) = lent->lease();
  }
  ASSERT_NE(own.shard(), 0);
  for (const v1::LeaseRef& other : all) ASSERT_THAT(bad.Release(other), IsOk());

  std::map<std::string, int> answers;
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    Rubbish rubbish(seed);
    for (const char* method : {"Join", "Acquire", "Renew", "AskForge", "RenewTokens", "ListDropped"}) {
      if (rubbish.Below(20) == 0) (void)CallWithBytes(channel, kWorkers, method, rubbish.Bytes());
    }
    // A pass of its own lease, begun properly or not, with one event or many.
    v1::BeginRequest begin;
    rubbish.Fill(&begin);
    *begin.mutable_lease() = own;
    begin.set_nonce(rubbish.Below(10) == 0 ? 0 : seed + 1);
    begin.set_ruleset_id(bad.rules());
    if (rubbish.Below(10) > 0) begin.clear_repository();
    v1::BeginReply begun;
    const absl::Status began = bad.Call(&v1::WorkerService::Stub::Begin, begin, &begun);
    uint32_t sequence = 0;
    for (int step = 0; step < 6; ++step) {
      v1::TellRequest tell;
      v1::ShardEvent& event = *tell.mutable_event();
      rubbish.FillEvent(step, &event);
      *tell.mutable_lease() = own;
      tell.set_nonce(rubbish.Below(20) == 0 ? rubbish.Number() : seed + 1);
      tell.set_sequence(rubbish.Below(10) == 0 ? static_cast<uint32_t>(rubbish.Number()) : ++sequence);
      v1::TellReply reply;
      const absl::Status told = bad.Call(&v1::WorkerService::Stub::Tell, tell, &reply);
      ++answers[std::string(absl::StatusCodeToString(told.code()))];
      ASSERT_FALSE(absl::IsUnavailable(told)) << told << cluster.coordinator().err();
      if (!told.ok()) break;
    }
    ASSERT_FALSE(absl::IsUnavailable(began)) << began;
    ASSERT_TRUE(*bad.Renew(own.shard(), own.epoch()));
  }
  EXPECT_GT(answers["OK"], 500);
  EXPECT_GT(answers["INVALID_ARGUMENT"] + answers["INTERNAL"], 100);
  EXPECT_THAT(CallWithBytes(channel, kWorkers, "Join", std::string(65 << 20, 'x')),
              FailsWith(absl::StatusCode::kResourceExhausted, HasSubstr("larger than max")));

  // A whole pass in good order that says what cannot be.
  std::vector<v1::ShardEvent> pass(5);
  const std::string blob(20, 'b'), secret(16, 's');
  v1::BlobHit& hit = *pass[0].mutable_blobs()->add_hits();
  hit.set_object_id(blob);
  v1::Match& match = *hit.add_matches();
  match.set_rule(Ruleset::Builtin()->keys().front());
  match.set_secret(secret);
  match.set_offset(UINT64_MAX);
  match.set_length(UINT32_MAX);
  match.set_entropy(std::numeric_limits<float>::quiet_NaN());
  match.set_preview("\x1b[2J");
  pass[1].mutable_scan_completed()->set_blobs(UINT64_MAX);
  pass[1].mutable_scan_completed()->set_open_seconds(std::numeric_limits<double>::infinity());
  v1::Commit& commit = *pass[2].mutable_commits()->add_commits();
  commit.set_id(std::string(20, 'c'));
  commit.set_author_time(INT64_MIN);
  commit.set_committer_time(INT64_MAX);
  commit.set_author_offset(INT32_MIN);
  commit.set_author_name("\x1b[2J\xff");
  v1::PlaceBatch::Place& place = *pass[3].mutable_places()->add_places();
  *place.mutable_commit() = commit;
  place.add_paths(std::string("../\x1b[2J\xff\0<script>", 18));
  pass[4].mutable_locate_completed()->set_commits(UINT64_MAX);
  pass[4].mutable_locate_completed()->set_locate_seconds(-1e300);
  const auto say = [&](uint64_t nonce) {
    absl::Status said = bad.Begin(own, nonce).status();
    for (uint32_t i = 0; i < pass.size() && said.ok(); ++i) said = bad.Tell(own, nonce, i + 1, pass[i]).status();
    return said;
  };
  place.set_presence(static_cast<v1::Presence>(77));
  EXPECT_THAT(say(100'001), FailsWith(absl::StatusCode::kInternal, HasSubstr("presence 77")));
  place.set_presence(v1::PRESENCE_HEAD);
  place.mutable_match()->set_rule(match.rule());
  place.mutable_match()->set_secret(secret);
  place.set_blob(blob);
  EXPECT_THAT(say(100'003), FailsWith(absl::StatusCode::kInternal, HasSubstr("none of paths alone")));
  place.clear_match(), place.clear_blob();
  EXPECT_THAT(say(100'002), IsOk());
  v1::EndRequest end;
  Rubbish(1).Fill(&end);
  *end.mutable_lease() = own;
  end.clear_repository();
  end.mutable_end()->set_how(v1::TargetEnd::SCANNED);
  v1::EndReply ended;
  EXPECT_THAT(bad.Call(&v1::WorkerService::Stub::End, end, &ended), IsOk());

  // The others are scanned by an honest worker, and the run is reported.
  cluster.StartWorker("good");
  for (int tries = 0; tries < 600 && cluster.Status()["run"]["state"] != "RUN_STATE_DONE"; ++tries) {
    absl::SleepFor(absl::Milliseconds(100));
  }
  ASSERT_EQ(cluster.Status()["run"]["state"], "RUN_STATE_DONE") << cluster.Status() << cluster.coordinator().err();
  EXPECT_TRUE(cluster.coordinator().running());
  EXPECT_THAT(cluster.coordinator().err(), Not(HasSubstr("\x1b")));
  // A second run, of everything, finds what one machine does, but for what "bad" said of its own.
  const CliResult again = cluster.Scan({"github:acme"});
  EXPECT_EQ(again.exit_code, 1) << again.err;
  EXPECT_EQ(rows_of_others(), others);
  EXPECT_TRUE(nlohmann::json::accept(ReadFile(home_.path() / "cluster" / "reports" / "run-1" / "run.json")));
  EXPECT_GE(cli_.Rows("occurrences.jsonl").size(), others.size() + 1);  // Its own it may say anything about.
  // What was believed can be read again.
  cluster.coordinator().Signal(SIGTERM);
  EXPECT_EQ(cluster.coordinator().Wait(), 0);
  const CliResult checked = cli_.Run({"store", "check", "--store", home_.path() / "cluster" / "store"});
  EXPECT_EQ(checked.exit_code, 0) << checked.out << checked.err;
}

TEST_F(ClusterSecurityTest, AWorkerOfAnAppIsGivenATokenForOneRepository) {
  const ForgeServer forge(AppSettings());
  cli_.RemoveVariable("GITHUB_TOKEN");
  Cluster cluster(cli_, AsAppOf(forge), {"--ca-file", forge.CaFile()});
  const auto channel = PlainChannel(cluster.address());
  const RawWorker raw("raw", channel);
  ASSERT_THAT(SubmitRun(channel, {"github:acme"}), IsOk());
  NetworkOptions network;
  network.ca_file = forge.CaFile();
  HttpClient http(network, nullptr);
  for (uint32_t lease = 0; lease < kRepositories; ++lease) {
    const auto lent = raw.Acquire();
    ASSERT_THAT(lent, IsOk());
    ASSERT_EQ(lent->authorizations_size(), 1);
    for (uint32_t i = 0; i < kRepositories; ++i) {
      const std::string name = absl::StrFormat("acme/app%d", i);
      HttpRequest request;
      request.url = absl::StrFormat("%s/%s.git/info/refs?service=git-upload-pack", forge.Url(), name);
      request.headers = {{"Authorization", lent->authorizations(0)}};
      const auto answer = http.Send(request);
      ASSERT_THAT(answer, IsOk());
      EXPECT_EQ(answer->status == 200, lent->target().name().ends_with(name)) << answer->status << " " << name;
    }
    // What it asks of the forge has an end.
    int asked = 0;
    while (asked < 100) {
      const auto reply = raw.AskForge(lent->lease());
      ASSERT_THAT(reply, IsOk()) << cluster.coordinator().err();
      if (reply->failure().code() != 0) break;
      ++asked;
    }
    EXPECT_LT(asked, 50);
    ASSERT_THAT(raw.Release(lent->lease()), IsOk());
  }
  cluster.StartWorker("w");
  for (int tries = 0; tries < 600 && cluster.Status()["run"]["state"] != "RUN_STATE_DONE"; ++tries) {
    absl::SleepFor(absl::Milliseconds(100));
  }
  EXPECT_EQ(cluster.Status()["run"]["complete"], true) << cluster.coordinator().err();
}

// A forge that is out of order is waited for; where it makes no token for one repository, or no more of them, a worker
// is given one for all, and that is said.
TEST_F(ClusterSecurityTest, ATokenForMoreThanOneRepositoryIsGivenOnlyWhereThereIsNoOtherAndIsSaid) {
  const ForgeServer forge(AppSettings());
  cli_.RemoveVariable("GITHUB_TOKEN");
  Cluster cluster(cli_, AsAppOf(forge, {"--retry-seconds", "0", "--metrics", "0"}), {"--ca-file", forge.CaFile()});
  const auto channel = PlainChannel(cluster.address());
  const RawWorker raw("raw", channel);
  ASSERT_THAT(SubmitRun(channel, {"github:acme"}), IsOk());
  ASSERT_TRUE(cluster.coordinator().WaitFor("state=RUN_STATE_SCANNING"));
  NetworkOptions network;
  network.ca_file = forge.CaFile();
  HttpClient http(network, nullptr);
  const auto opens = [&](const std::string& authorization) {
    uint32_t opened = 0;
    for (uint32_t i = 0; i < kRepositories; ++i) {
      HttpRequest request;
      request.url = absl::StrFormat("%s/acme/app%d.git/info/refs?service=git-upload-pack", forge.Url(), i);
      request.headers = {{"Authorization", authorization}};
      const auto answer = http.Send(request);
      opened += answer.ok() && answer->status == 200 ? 1 : 0;
    }
    return opened;
  };
  const auto fault = [](const nlohmann::json& of) {
    nlohmann::json whole = {{"match", "access_tokens"}, {"match_body", "repository_ids"}};
    whole.update(of);
    return whole;
  };
  const auto answering = [&](int status) { return fault({{"kind", "status"}, {"status", status}}); };
  struct Case {
    nlohmann::json fault;
    absl::StatusCode refused;  // OK: there is a token
    uint32_t opens;            // … for as many
  };
  for (const Case& one : std::vector<Case>{
           {answering(503), absl::StatusCode::kUnavailable, 0},
           {fault({{"kind", "garbage"}}), absl::StatusCode::kUnavailable, 0},
           {answering(403), absl::StatusCode::kPermissionDenied, 0},
           {answering(404), absl::StatusCode::kPermissionDenied, 0},
           {fault({{"kind", "status"}, {"times", 0}}), absl::StatusCode::kOk, 1},
           {answering(422), absl::StatusCode::kOk, kRepositories},
           {fault({{"kind", "secondary"}, {"seconds", 1}}), absl::StatusCode::kOk, kRepositories},
       }) {
    SCOPED_TRACE(one.fault.dump());
    forge.Fault(one.fault);
    const auto lent = raw.Acquire();
    ASSERT_THAT(lent, IsOk());
    EXPECT_EQ(static_cast<absl::StatusCode>(lent->refused().code()), one.refused) << lent->refused().message();
    ASSERT_EQ(lent->authorizations_size(), one.opens == 0 ? 0 : 1);
    if (one.opens > 0) {
      EXPECT_EQ(opens(lent->authorizations(0)), one.opens);
    }
    // Who has it.
    const nlohmann::json status = cluster.Status();
    ASSERT_EQ(status["workers"].size(), 1);
    EXPECT_EQ(status["workers"][0]["name"], "raw");
    const nlohmann::json& lease = status["workers"][0]["leases"][0];
    EXPECT_EQ(lease.value("credentials", false), one.opens > 0);
    EXPECT_EQ(lease.value("unscoped", false), one.opens > 1);
    const CliResult shown = cli_.Run({"status", "--coordinator", cluster.address()});
    EXPECT_EQ(shown.out.find("has a token for it alone") != std::string::npos, one.opens == 1) << shown.out;
    EXPECT_EQ(shown.out.find("has a token for more than it") != std::string::npos, one.opens > 1) << shown.out;
    ASSERT_THAT(raw.Release(lent->lease()), IsOk());
  }
  for (const char* code : {"FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}) {
    EXPECT_THAT(cluster.coordinator().err(),
                testing::ContainsRegex(absl::StrFormat("event=unscoped_token run=1 .* code=%s ", code)));
  }

  // So it is for one whose token has ended.
  absl::SleepFor(absl::Seconds(3));  // the limit
  forge.Fault(answering(503));
  const auto held = raw.Acquire();
  ASSERT_THAT(held, IsOk());
  forge.Fault(answering(503));
  const auto renewed = raw.RenewTokens(held->lease());
  ASSERT_THAT(renewed, IsOk());
  EXPECT_TRUE(renewed->renewed());
  EXPECT_EQ(renewed->authorizations_size(), 0);
  EXPECT_EQ(static_cast<absl::StatusCode>(renewed->refused().code()), absl::StatusCode::kUnavailable);
  ASSERT_THAT(raw.Release(held->lease()), IsOk());

  // The forge is back after a while, and no worker had more than it needed.
  const size_t said = cluster.coordinator().err().size();
  nlohmann::json out_of_order = answering(503);
  out_of_order["times"] = 3;
  forge.Fault(out_of_order);
  cluster.StartWorker("w");
  ASSERT_TRUE(cluster.coordinator().WaitFor("state=RUN_STATE_DONE"));
  EXPECT_EQ(cluster.Status()["run"]["complete"], true) << cluster.coordinator().err();
  EXPECT_EQ(cluster.coordinator().err().find("unscoped_token", said), std::string::npos);
  std::map<std::string, double> given = Figures(Scrape(cluster.coordinator()));
  EXPECT_EQ(given["unsprawl_tokens_given_total{code=\"FAILED_PRECONDITION\"}"], 1);
  EXPECT_EQ(given["unsprawl_tokens_given_total{code=\"RESOURCE_EXHAUSTED\"}"], 1);
  EXPECT_EQ(given["unsprawl_tokens_given_total{code=\"OK\"}"], 1 + kRepositories);
}

TEST_F(ClusterSecurityTest, WhoHoldsATokenIsNamedAfterARestartOfTheCoordinatorToo) {
  const ForgeServer forge(AppSettings());
  cli_.RemoveVariable("GITHUB_TOKEN");
  Cluster cluster(cli_, AsAppOf(forge), {});
  const auto fault = [](int status) {
    return nlohmann::json{{"match", "access_tokens"}, {"match_body", "repository_ids"}, {"kind", "status"},
                          {"status", status}};
  };
  ASSERT_THAT(SubmitRun(PlainChannel(cluster.address()), {"github:acme"}), IsOk());
  ASSERT_TRUE(cluster.coordinator().WaitFor("state=RUN_STATE_SCANNING"));
  std::map<std::string, v1::LentShard> lent;
  const auto acquire = [&](const std::string& name) {
    const auto shard = RawWorker(name, PlainChannel(cluster.address())).Acquire();
    ASSERT_THAT(shard, IsOk());
    lent[name] = *shard;
  };
  acquire("for-one");
  forge.Fault(fault(422));
  acquire("for-more");
  forge.Fault(fault(503));
  acquire("without");
  EXPECT_EQ(lent["without"].authorizations_size(), 0);
  using Facts = std::tuple<std::string, bool, bool>;  // repository, whether it has a token, and for more
  const auto named = [&] {
    std::map<std::string, Facts> facts;
    const nlohmann::json status = cluster.Status();
    for (const nlohmann::json& worker : status["workers"]) {
      for (const nlohmann::json& lease : worker["leases"]) {
        facts[worker["name"]] = {lease["repository"], lease["credentials"], lease["unscoped"]};
      }
    }
    return facts;
  };
  std::map<std::string, Facts> expected = {{"for-one", {lent["for-one"].target().name(), true, false}},
                                           {"for-more", {lent["for-more"].target().name(), true, true}},
                                           {"without", {lent["without"].target().name(), false, false}}};
  EXPECT_EQ(named(), expected);
  const auto restart = [&] {
    cluster.coordinator().SignalAll(SIGKILL);
    cluster.StartCoordinator();
  };
  restart();
  EXPECT_EQ(named(), expected);  // None of them has called again.
  EXPECT_THAT(cli_.Run({"status", "--coordinator", cluster.address()}).out,
              HasSubstr(absl::StrFormat("  for-more: not heard of since the coordinator started\n"
                                        "    %s (has a token for more than it)\n", lent["for-more"].target().name())));

  // Nor has it to be the first token of a lease; of one that is over nobody is named.
  const RawWorker without("without", PlainChannel(cluster.address())), more("for-more", PlainChannel(cluster.address()));
  absl::StatusOr<v1::TokensReply> renewed;
  for (int tries = 0; tries < 100; ++tries) {
    renewed = without.RenewTokens(lent["without"].lease());
    if (!absl::IsUnavailable(renewed.status())) break;
    absl::SleepFor(absl::Milliseconds(100));  // Its run is not under way yet.
  }
  ASSERT_THAT(renewed, IsOk());
  ASSERT_EQ(renewed->authorizations_size(), 1);
  ASSERT_THAT(more.Release(lent["for-more"].lease()), IsOk());
  std::get<1>(expected["without"]) = true;
  expected.erase("for-more");
  EXPECT_EQ(named(), expected);
  restart();
  EXPECT_EQ(named(), expected);

  // Of the tokens themselves the store knows nothing.
  for (const auto& entry : std::filesystem::recursive_directory_iterator(home_.path() / "cluster" / "store")) {
    if (!entry.is_regular_file()) continue;
    const std::string content = ReadFile(entry.path());
    for (const std::string& token : {lent["for-one"].authorizations(0), lent["for-more"].authorizations(0)}) {
      EXPECT_EQ(content.find(token), std::string::npos) << entry.path();
    }
  }
}

// There is no forge behind a clone URL.
TEST_F(ClusterSecurityTest, AWorkerMayAskForWhatATargetHasNot) {
  const Cluster cluster(cli_, AtForge(), {});
  const auto channel = PlainChannel(cluster.address());
  const RawWorker raw("raw", channel);
  ASSERT_THAT(SubmitRun(channel, {forge_.Url() + "/acme/app0.git"}), IsOk());
  const auto lent = raw.Acquire();
  ASSERT_THAT(lent, IsOk());
  EXPECT_FALSE(raw.ListDropped(lent->lease())->asked());
  EXPECT_NE(raw.AskForge(lent->lease())->failure().code(), 0);
  EXPECT_FALSE(raw.RenewTokens(lent->lease())->renewed());
}

}  // namespace
}  // namespace unsprawl
