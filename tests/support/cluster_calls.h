// Calls of a coordinator's services as no program of ours makes them.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "unsprawl/v1/cluster.grpc.pb.h"
#include "worker/coordinator_client.h"
#include "worker/transport.h"

namespace unsprawl {

// "unsprawl.v1.WorkerService" and "Join" with any bytes; the answer's bytes are in *reply, if it is not null.
inline absl::Status CallWithBytes(const std::shared_ptr<grpc::Channel>& channel, const std::string& service,
                                  const std::string& method, const std::string& bytes, std::string* reply = nullptr) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer answer;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/" + service + "/" + method, {}, &request, &answer,
                 [&](grpc::Status status) { done.set_value(std::move(status)); });
  const absl::Status status = FromGrpc(done.get_future().get());
  grpc::Slice flat;
  if (status.ok() && reply != nullptr && answer.DumpToSingleSlice(&flat).ok()) {
    reply->assign(reinterpret_cast<const char*>(flat.begin()), flat.size());
  }
  return status;
}

// A worker that says what a test wants it to.
class RawWorker {
 public:
  RawWorker(std::string name, std::shared_ptr<grpc::Channel> channel)
      : name_(std::move(name)), channel_(std::move(channel)), stub_(v1::WorkerService::NewStub(channel_)) {}

  template <typename Request, typename Reply>
  absl::Status Call(grpc::Status (v1::WorkerService::Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                    const Request& request, Reply* reply) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return FromGrpc(((*stub_).*method)(&context, request, reply));
  }

  absl::StatusOr<v1::JoinReply> Join(uint32_t major = kProtocolMajor, uint32_t minor = kProtocolMinor) const {
    v1::JoinRequest request;
    request.set_worker(name_);
    request.set_threads(1);
    request.mutable_version()->set_major(major);
    request.mutable_version()->set_minor(minor);
    return Answer<v1::JoinReply>(&v1::WorkerService::Stub::Join, request);
  }
  // Waits for a shard, for a minute at most.
  absl::StatusOr<v1::LentShard> Acquire() const {
    v1::AcquireRequest request;
    request.set_worker(name_);
    for (int tries = 0; tries < 600; ++tries) {
      request.set_nonce(request.nonce() + 1 + static_cast<uint64_t>(absl::ToUnixMicros(absl::Now())));
      const absl::StatusOr<v1::AcquireReply> reply = Answer<v1::AcquireReply>(&v1::WorkerService::Stub::Acquire, request);
      if (!reply.ok()) return reply.status();
      rules_ = reply->ruleset_id();
      if (reply->has_shard()) return reply->shard();
      absl::SleepFor(absl::Milliseconds(100));
    }
    return absl::DeadlineExceededError("nothing was lent");
  }
  absl::StatusOr<v1::BeginReply> Begin(const v1::LeaseRef& lease, uint64_t nonce) const {
    v1::BeginRequest request;
    *request.mutable_lease() = lease;
    request.set_nonce(nonce);
    request.set_ruleset_id(rules_);
    request.mutable_beginning()->mutable_opened()->set_tips_digest("tips");
    return Answer<v1::BeginReply>(&v1::WorkerService::Stub::Begin, request);
  }
  absl::StatusOr<v1::TellReply> Tell(const v1::LeaseRef& lease, uint64_t nonce, uint32_t sequence,
                                     const v1::ShardEvent& event) const {
    v1::TellRequest request;
    *request.mutable_lease() = lease;
    request.set_nonce(nonce);
    request.set_sequence(sequence);
    *request.mutable_event() = event;
    return Answer<v1::TellReply>(&v1::WorkerService::Stub::Tell, request);
  }
  absl::Status End(const v1::LeaseRef& lease, v1::TargetEnd::How how) const {
    v1::EndRequest request;
    *request.mutable_lease() = lease;
    request.mutable_end()->set_how(how);
    return Answer<v1::EndReply>(&v1::WorkerService::Stub::End, request).status();
  }
  absl::Status Release(const v1::LeaseRef& lease) const {
    return Answer<v1::ReleaseReply>(&v1::WorkerService::Stub::Release, About(lease)).status();
  }
  absl::StatusOr<v1::ForgeReply> AskForge(const v1::LeaseRef& lease) const {
    return Answer<v1::ForgeReply>(&v1::WorkerService::Stub::AskForge, About(lease));
  }
  absl::StatusOr<v1::TokensReply> RenewTokens(const v1::LeaseRef& lease) const {
    return Answer<v1::TokensReply>(&v1::WorkerService::Stub::RenewTokens, About(lease));
  }
  absl::StatusOr<v1::DroppedCommits> ListDropped(const v1::LeaseRef& lease) const {
    v1::ListDroppedRequest request;
    *request.mutable_lease() = lease;
    return Answer<v1::DroppedCommits>(&v1::WorkerService::Stub::ListDropped, request);
  }
  // Whether it is still held.
  absl::StatusOr<bool> Renew(uint64_t shard, uint64_t epoch) const {
    v1::RenewRequest request;
    request.set_worker(name_);
    v1::RenewRequest::Held& held = *request.add_held();
    held.set_shard(shard);
    held.set_epoch(epoch);
    held.set_fetching(true);
    v1::RenewReply reply;
    const absl::Status renewed = Call(&v1::WorkerService::Stub::Renew, request, &reply);
    if (!renewed.ok()) return renewed;
    return reply.held_size() == 1 && reply.held(0);
  }

  const std::string& name() const { return name_; }
  const std::string& rules() const { return rules_; }  // that Acquire spoke of
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

 private:
  static v1::LeaseRequest About(const v1::LeaseRef& lease) {
    v1::LeaseRequest request;
    *request.mutable_lease() = lease;
    return request;
  }
  template <typename Reply, typename Request>
  absl::StatusOr<Reply> Answer(grpc::Status (v1::WorkerService::Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                               const Request& request) const {
    Reply reply;
    const absl::Status called = Call(method, request, &reply);
    if (!called.ok()) return called;
    return reply;
  }

  const std::string name_;
  mutable std::string rules_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
};

inline std::shared_ptr<grpc::Channel> PlainChannel(const std::string& address) {
  return *OpenChannel(address, {}, absl::Now(), ChannelArguments());
}

// Asks a coordinator for a run of these targets.
inline absl::StatusOr<uint64_t> SubmitRun(const std::shared_ptr<grpc::Channel>& channel,
                                          const std::vector<std::string>& targets) {
  v1::SubmitRequest request;
  *request.mutable_version() = OurVersion();
  request.mutable_plan()->mutable_targets()->Add(targets.begin(), targets.end());
  request.set_token(absl::StrFormat("%d", absl::ToUnixNanos(absl::Now())));
  v1::SubmitReply reply;
  absl::Status submitted;
  do {  // A connection to one before may be found broken only now.
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    submitted = FromGrpc(v1::AdminService::NewStub(channel)->Submit(&context, request, &reply));
  } while (absl::IsUnavailable(submitted));
  if (!submitted.ok()) return submitted;
  return reply.run();
}

}  // namespace unsprawl
