// What is said on a coordinator's connections beside its own calls: that it is well, that somebody is still there, and
// how many calls there may be.
#include <gmock/gmock.h>
#include <grpcpp/completion_queue.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/cluster/call_limit.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_calls.h"
#include "tests/support/small_organization.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

constexpr char kHealth[] = "grpc.health.v1.Health";
// A HealthCheckResponse with its one field, `status`.
constexpr char kServing[] = "\x08\x01", kNotServing[] = "\x08\x02";

// A HealthCheckResponse for all of the server.
absl::StatusOr<std::string> Check(const std::shared_ptr<grpc::Channel>& channel) {
  std::string reply;
  const absl::Status called = CallWithBytes(channel, kHealth, "Check", "", &reply);
  if (!called.ok()) return called;
  return reply;
}

// Health/Watch: every change of it.
class Watch {
 public:
  explicit Watch(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    call_ = stub_.PrepareCall(&context_, absl::StrFormat("/%s/Watch", kHealth), &queue_);
    call_->StartCall(nullptr);
    EXPECT_TRUE(Next());
    const grpc::Slice nothing("");
    call_->WriteLast(grpc::ByteBuffer(&nothing, 1), {}, nullptr);
    EXPECT_TRUE(Next());
  }
  ~Watch() {
    context_.TryCancel();
    grpc::Status status;
    call_->Finish(&status, nullptr);
    (void)Next();
  }
  // "": it has ended.
  std::string Read() {
    grpc::ByteBuffer reply;
    grpc::Slice flat;
    call_->Read(&reply, nullptr);
    if (!Next() || !reply.DumpToSingleSlice(&flat).ok()) return "";
    return std::string(reinterpret_cast<const char*>(flat.begin()), flat.size());
  }

 private:
  bool Next() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
};

class ClusterConnectionTest : public SmallOrganization {
 protected:
  std::vector<std::string> AtForge() const { return {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile()}; }

  ForgeServer forge_{Settings()};
};

TEST_F(ClusterConnectionTest, ItsHealthIsToldToWhoMayConnectAtAll) {
  {
    const Cluster plain(cli_, AtForge(), {});
    EXPECT_EQ(Check(PlainChannel(plain.address())).value_or("none"), kServing);
  }
  ASSERT_EQ(cli_.Run({"certs", home_.path() / "certs", "--coordinator", "127.0.0.1", "--worker", "a"}).exit_code, 0);
  const auto file = [&](const std::string& name) { return (home_.path() / "certs" / name).native(); };
  std::vector<std::string> arguments = AtForge();
  for (const auto& [option, name] : {std::pair("--tls-ca", "ca.pem"), {"--tls-cert", "coordinator.pem"},
                                     {"--tls-key", "coordinator.key"}}) {
    arguments.insert(arguments.end(), {option, file(name)});
  }
  const Cluster cluster(cli_, arguments, {});
  const auto worker = OpenChannel(cluster.address(), {.ca = file("ca.pem"), .certificate = file("worker-a.pem"),
                                                      .key = file("worker-a.key")}, absl::Now());
  ASSERT_THAT(worker, IsOk());
  EXPECT_EQ(Check(*worker).value_or("none"), kServing);
  EXPECT_THAT(Check(PlainChannel(cluster.address())), FailsWith(absl::StatusCode::kUnavailable, testing::_));
}

TEST_F(ClusterConnectionTest, WhoWatchesItsHealthLearnsThatItStops) {
  Cluster cluster(cli_, AtForge(), {});
  {
    Watch watch(PlainChannel(cluster.address()));
    EXPECT_EQ(watch.Read(), kServing);
    cluster.coordinator().Signal(SIGTERM);
    EXPECT_EQ(watch.Read(), kNotServing);
  }
  EXPECT_EQ(cluster.coordinator().Wait(), 0);
  EXPECT_THAT(Check(PlainChannel(cluster.address())), FailsWith(absl::StatusCode::kUnavailable, testing::_));
}

// Without pings it would be waited for as long as the call may take.
TEST_F(ClusterConnectionTest, WhoIsSilentForHalfAMinuteIsGivenUp) {
  Cluster cluster(cli_, AtForge(), {});
  const RawWorker worker("w", PlainChannel(cluster.address()));
  ASSERT_THAT(worker.Join(), IsOk());
  cluster.coordinator().Signal(SIGSTOP);
  absl::Status joined;
  while (joined.ok()) joined = worker.Join().status();  // It may stop a little later. A call's deadline would be another error.
  EXPECT_THAT(joined, FailsWith(absl::StatusCode::kUnavailable, testing::_));
}

// Of a connection that makes more calls than one worker may have under way none is refused: they wait at the client.
TEST_F(ClusterConnectionTest, WhatIsTooMuchForOneConnectionWaits) {
  constexpr size_t kCalls = CallLimit::kOfOneCaller + 50;
  Cluster cluster(cli_, AtForge(), {});
  const auto channel = PlainChannel(cluster.address());
  const RawWorker worker("w", channel);
  ASSERT_THAT(worker.Join(), IsOk());
  ASSERT_THAT(SubmitRun(channel, {"github:acme"}), IsOk());
  const auto lent = worker.Acquire();
  ASSERT_THAT(lent, IsOk());
  v1::LeaseRequest request;
  *request.mutable_lease() = lent->lease();
  forge_.Fault({{"match", "/repos/|/repositories/"}, {"times", nullptr}, {"kind", "stall"}});

  struct Call {
    grpc::ClientContext context;
    v1::ForgeReply reply;
  };
  const auto stub = v1::WorkerService::NewStub(channel);
  std::deque<Call> calls(kCalls);
  std::atomic<size_t> ended = 0;
  for (Call& call : calls) {
    stub->async()->AskForge(&call.context, &request, &call.reply, [&](const grpc::Status&) { ++ended; });
  }
  absl::SleepFor(absl::Seconds(2));
  EXPECT_EQ(ended, 0);
  for (Call& call : calls) call.context.TryCancel();
  while (ended < kCalls) absl::SleepFor(absl::Milliseconds(10));
}

}  // namespace
}  // namespace unsprawl
