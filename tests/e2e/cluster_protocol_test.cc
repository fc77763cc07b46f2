// Programs of other versions: a worker before a coordinator, a coordinator before a worker, and one that is not what
// it seems.
#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "engine/match/ruleset.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_calls.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::HasSubstr;

// Minor versions that go together with this program's; of the first there is none before it.
constexpr uint32_t kNear[] = {kProtocolMinor - (kProtocolMinor > 0 ? 1 : 0), kProtocolMinor, kProtocolMinor + 1};

// A coordinator that answers what a test wants it to.
class FakeCoordinator final : public v1::WorkerService::Service {
 public:
  FakeCoordinator() {
    *joined.mutable_version() = OurVersion();
    joined.set_lease_seconds(60);
    joined.mutable_rules()->set_id(Ruleset::Builtin()->id());
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  std::string address() const { return absl::StrFormat("127.0.0.1:%d", port_); }

  grpc::Status Join(grpc::ServerContext*, const v1::JoinRequest*, v1::JoinReply* reply) override {
    *reply = joined;
    return grpc::Status::OK;
  }
  grpc::Status Acquire(grpc::ServerContext*, const v1::AcquireRequest* request, v1::AcquireReply* reply) override {
    ++asked;
    if (!request->ahead()) ++asked_idle;
    if (lent.has_lease() && (asked == 1 || !lends_once)) *reply->mutable_shard() = lent;
    reply->set_ruleset_id(joined.rules().id());
    return grpc::Status::OK;
  }

  grpc::Status Renew(grpc::ServerContext*, const v1::RenewRequest*, v1::RenewReply* reply) override {
    reply->set_join_again(started_again);
    return grpc::Status::OK;
  }

  // The scan goes on for as long as the worker lives.
  grpc::Status Begin(grpc::ServerContext* context, const v1::BeginRequest*, v1::BeginReply*) override {
    while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(20));
    return grpc::Status::CANCELLED;
  }

  grpc::Status End(grpc::ServerContext*, const v1::EndRequest* request, v1::EndReply*) override {
    said = request->end();
    return ++ends == 1 && first_end_is_too_large
               ? grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 8)")
               : grpc::Status::OK;
  }

  v1::JoinReply joined;
  v1::LentShard lent;
  v1::TargetEnd said;                 // to be read once `ends` says so
  std::atomic<int> ends = 0;
  bool lends_once = false, first_end_is_too_large = false;
  std::atomic<int> asked = 0, asked_idle = 0;
  std::atomic<bool> started_again = false;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class ClusterProtocolTest : public testing::Test {
 protected:
  std::vector<std::string> Worker(const FakeCoordinator& coordinator) const {
    return {"worker", "--coordinator", coordinator.address(), "--name", "w", "--mirrors", home_.path() / "mirrors"};
  }

  static v1::LentShard Lent() {
    v1::LentShard lent;
    lent.mutable_lease()->set_worker("w");
    lent.mutable_lease()->set_shard(1);
    lent.mutable_lease()->set_epoch(1);
    lent.mutable_target()->set_name("h/r");
    lent.mutable_target()->set_key("h/1");
    return lent;
  }
  // Of a repository that is gone: nothing is asked of a forge for it.
  static v1::LentShard GoneShard() {
    v1::LentShard lent = Lent();
    lent.mutable_target()->set_folder("m");
    lent.mutable_target()->set_gone("deleted");
    return lent;
  }

  // Whether `done`, within half a minute.
  TempDir home_;
  const Cli cli_{home_.path()};
};

TEST_F(ClusterProtocolTest, ACoordinatorTakesAWorkerThatIsOneMinorVersionApart) {
  const Cluster cluster(cli_, {}, {});
  const RawWorker worker("w", PlainChannel(cluster.address()));
  for (const uint32_t minor : kNear) {
    const auto joined = worker.Join(kProtocolMajor, minor);
    ASSERT_THAT(joined, IsOk()) << minor;
    EXPECT_EQ(joined->version().minor(), kProtocolMinor);
  }
  for (const auto& [major, minor] :
       {std::pair(kProtocolMajor, kProtocolMinor + 2), {kProtocolMajor + 1, kProtocolMinor}, {0U, 0U}}) {
    EXPECT_THAT(worker.Join(major, minor),
                FailsWith(absl::StatusCode::kFailedPrecondition,
                          HasSubstr(absl::StrFormat("the worker speaks version %d.%d of the protocol, the coordinator",
                                                    major, minor))));
  }
  v1::SubmitRequest submit;
  submit.mutable_version()->set_major(kProtocolMajor + 1);
  EXPECT_THAT(CallWithBytes(PlainChannel(cluster.address()), "unsprawl.v1.AdminService", "Submit",
                            submit.SerializeAsString()),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("the client speaks")));
}

TEST_F(ClusterProtocolTest, AWorkerWorksForACoordinatorThatIsOneMinorVersionApart) {
  for (const uint32_t minor : kNear) {
    FakeCoordinator coordinator;
    coordinator.joined.mutable_version()->set_minor(minor);
    BackgroundProgram worker(cli_, "worker", Worker(coordinator));
    Await([&] { return coordinator.asked > 0 || !worker.running(); });
    EXPECT_GT(coordinator.asked, 0) << minor << worker.err();
  }
}

TEST_F(ClusterProtocolTest, AWorkerRefusesACoordinatorThatIsFurtherApart) {
  FakeCoordinator coordinator;
  for (const auto& [major, minor] :
       {std::pair(kProtocolMajor, kProtocolMinor + 2), {kProtocolMajor + 1, kProtocolMinor}, {0U, 0U}}) {
    coordinator.joined.mutable_version()->set_major(major);
    coordinator.joined.mutable_version()->set_minor(minor);
    const CliResult refused = cli_.Run(Worker(coordinator));
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_THAT(refused.err, HasSubstr(absl::StrFormat("the coordinator speaks version %d.%d of the protocol, the worker",
                                                       major, minor)));
  }
  EXPECT_EQ(coordinator.asked, 0);
}

TEST_F(ClusterProtocolTest, AWorkerLeavesACoordinatorThatComesBackFurtherApart) {
  FakeCoordinator coordinator;
  coordinator.joined.set_lease_seconds(3);
  BackgroundProgram worker(cli_, "worker", Worker(coordinator));
  Await([&] { return coordinator.asked > 0 || !worker.running(); });
  ASSERT_GT(coordinator.asked, 0) << worker.err();
  coordinator.joined.mutable_version()->set_minor(kProtocolMinor + 2);
  coordinator.started_again = true;
  ASSERT_TRUE(Await([&] { return !worker.running(); })) << worker.err();
  EXPECT_EQ(worker.Wait(), 2);
  EXPECT_THAT(worker.err(), HasSubstr("the coordinator speaks version"));
}

TEST_F(ClusterProtocolTest, AWorkerFetchesNothingOfItsOwnMachineAndWritesBelowItsMirrorsOnly) {
  GitRepo repo(home_.path() / "private");
  repo.Write("a", "a\n");
  repo.Commit();
  // It is given back as failed, and the worker goes on.
  const auto refused = [&](const std::string& folder, const std::string& lender, const std::string& url) {
    FakeCoordinator coordinator;
    coordinator.lends_once = true;
    v1::LentShard& lent = coordinator.lent = Lent();
    lent.add_authorizations("");
    lent.mutable_target()->set_folder(folder);
    lent.mutable_target()->set_url(url);
    lent.set_lender(lender);
    const BackgroundProgram worker(cli_, "worker", Worker(coordinator));
    EXPECT_TRUE(Await([&] { return coordinator.ends > 0 && coordinator.asked > 1; })) << folder << lender << url;
    EXPECT_TRUE(worker.running());
    EXPECT_EQ(coordinator.said.how(), v1::TargetEnd::FAILED);
    return coordinator.said.reason();
  };
  const std::string good = "http://127.0.0.1:9/r.git", outside = home_.path() / "outside";
  EXPECT_THAT(refused("../outside", "", good), HasSubstr("not below that of mirrors"));
  EXPECT_THAT(refused("a/../../outside", "", good), HasSubstr("not below that of mirrors"));
  EXPECT_THAT(refused(outside, "", good), HasSubstr("not below that of mirrors"));
  EXPECT_THAT(refused("", "", good), HasSubstr("not below that of mirrors"));
  EXPECT_THAT(refused("a", "../outside", good), HasSubstr("not below that of mirrors"));
  EXPECT_THAT(refused("a", "", "file://" + (home_.path() / "private").native()), HasSubstr("of this machine"));
  EXPECT_THAT(refused("a", "", "ext::sh -c true"), HasSubstr("of this machine"));
  EXPECT_THAT(refused("a", "", home_.path() / "private"), HasSubstr("of this machine"));
  EXPECT_FALSE(std::filesystem::exists(outside));
}

TEST_F(ClusterProtocolTest, AWorkerThatHasEnoughToDoSaysThatItAsksAhead) {
  GitRepo repo(home_.path() / "repo");
  repo.Write("a", "a\n");
  repo.Commit();
  repo.Git({"clone", "-q", "--mirror", ".", home_.path() / "mirrors" / "m"});
  FakeCoordinator coordinator;
  coordinator.lends_once = true;
  coordinator.lent = GoneShard();
  std::vector<std::string> arguments = Worker(coordinator);
  arguments.insert(arguments.end(), {"-j", "1"});
  const BackgroundProgram worker(cli_, "worker", arguments);
  ASSERT_TRUE(Await([&] { return coordinator.asked > 3; })) << worker.err();
  EXPECT_EQ(coordinator.asked_idle, 1);
}

TEST_F(ClusterProtocolTest, AnEndThatIsTooLargeIsAFailureAndNotSaidForEver) {
  FakeCoordinator coordinator;
  coordinator.lends_once = coordinator.first_end_is_too_large = true;
  coordinator.lent = GoneShard();
  const BackgroundProgram worker(cli_, "worker", Worker(coordinator));
  ASSERT_TRUE(Await([&] { return coordinator.ends > 1; })) << worker.err();
  EXPECT_EQ(coordinator.said.how(), v1::TargetEnd::FAILED);
  EXPECT_EQ(coordinator.said.code(), static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(coordinator.said.reason(), HasSubstr("larger than max"));
}

}  // namespace
}  // namespace unsprawl
