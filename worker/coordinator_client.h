#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/channel_arguments.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "unsprawl/v1/cluster.pb.h"
#include "worker/frame_channel.h"

namespace unsprawl {

// The version of the services that this program speaks (cluster.proto, ProtocolVersion).
inline constexpr uint32_t kProtocolMajor = 1, kProtocolMinor = 3;

// OK: a program that speaks `version` and this one understand each other. FailedPrecondition: they do not; `whose`
// ("the worker") speaks it, `ours` ("the coordinator") is this program.
absl::Status CheckVersion(const v1::ProtocolVersion& version, const char* whose, const char* ours);

v1::ProtocolVersion OurVersion();

// Of a message to a coordinator. A batch is a few megabytes; one place of a hostile history can be larger.
inline constexpr int kMaxMessageBytes = 64 << 20;
// A coordinator's answers may be as large as what a scanner is told on one machine (FrameChannel): where in history the
// blobs lie that hold one secret is asked for in one message, 15 million of them at most.
inline constexpr int kMaxAnswerBytes = FrameChannel::kMaxFrameBytes;

// Of a channel to a coordinator.
grpc::ChannelArguments ChannelArguments();

absl::Status FromGrpc(const grpc::Status& status);
// DeadlineExceeded: of whom the coordinator asked. That it has answered so is marked: a call's own is not.
grpc::Status ToGrpc(const absl::Status& status);

// Calls a coordinator. Every call has a deadline; one that may pass (Unavailable, DeadlineExceeded,
// ResourceExhausted, Cancelled) is made again, with growing pauses, until it does not or `give_up` says so: also for
// hours, when the coordinator answers that a forge's limit is not over yet. Thread-safe.
class CoordinatorClient {
 public:
  // `say` is told, once, why a call has to be made again and again, and that one was answered then (OK). It may be
  // called from any thread.
  CoordinatorClient(std::shared_ptr<grpc::Channel> channel, const std::atomic<bool>* stop,
                    std::function<void(const absl::Status&)> say)
      : channel_(std::move(channel)), stop_(stop), say_(std::move(say)) {}

  template <typename Stub, typename Request, typename Reply>
  absl::Status Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                    const Request& request, Reply* reply, const std::function<bool()>& give_up) const {
    return Repeat(
        [&](grpc::ClientContext* context) {
          reply->Clear();
          return (stub.*method)(context, request, reply);
        },
        give_up);
  }

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // How many calls had to be made again: when it grows, the coordinator may be another than before.
  uint64_t repeated() const { return repeated_; }

  // The same, of any kind of call; each time from its beginning.
  absl::Status Repeat(const std::function<grpc::Status(grpc::ClientContext*)>& call,
                      const std::function<bool()>& give_up) const;

 private:
  // Until there is a connection, if there is none, and `duration` at most.
  void Wait(absl::Duration duration) const;

  const std::shared_ptr<grpc::Channel> channel_;
  const std::atomic<bool>* const stop_;  // ends pauses early
  const std::function<void(const absl::Status&)> say_;
  mutable std::atomic<bool> said_ = false;
  mutable std::atomic<uint64_t> repeated_ = 0;
};

}  // namespace unsprawl
