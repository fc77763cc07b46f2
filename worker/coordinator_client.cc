#include "worker/coordinator_client.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_format.h"
#include "worker/pause.h"

namespace unsprawl {
namespace {

// Longer than the store ever takes for a batch, shorter than two leases.
constexpr std::chrono::seconds kDeadline{100};
constexpr absl::Duration kFirstPause = absl::Milliseconds(100), kMaxPause = absl::Seconds(3);
constexpr absl::Duration kMaxLimitPause = absl::Seconds(5);
constexpr char kNotYet[] = "not yet";  // in a status's details
constexpr std::chrono::milliseconds kStopPoll{100};
constexpr absl::Duration kSayAfter = absl::Milliseconds(500);

bool MayPass(const grpc::Status& status) {
  const grpc::StatusCode code = status.error_code();
  // gRPC's words for a message beyond kMaxMessageBytes, which gets no smaller.
  if (status.error_message().find("message larger than max") != std::string::npos) return false;
  return code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::DEADLINE_EXCEEDED ||
         code == grpc::StatusCode::RESOURCE_EXHAUSTED ||
         code == grpc::StatusCode::CANCELLED ||        // by a coordinator that stops
         code == grpc::StatusCode::UNAUTHENTICATED;  // until the certificate is renewed
}

}  // namespace

v1::ProtocolVersion OurVersion() {
  v1::ProtocolVersion version;
  version.set_major(kProtocolMajor);
  version.set_minor(kProtocolMinor);
  return version;
}

absl::Status CheckVersion(const v1::ProtocolVersion& version, const char* whose, const char* ours) {
  const int64_t apart = int64_t{version.minor()} - kProtocolMinor;
  if (version.major() == kProtocolMajor && apart >= -1 && apart <= 1) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s speaks version %d.%d of the protocol, %s %d.%d: they may be one minor version apart; install the same "
      "unsprawl on both",
      whose, version.major(), version.minor(), ours, kProtocolMajor, kProtocolMinor));
}

grpc::ChannelArguments ChannelArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswerBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // A coordinator whose machine is gone says nothing: only silence tells.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  return arguments;
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      absl::IsDeadlineExceeded(status) ? kNotYet : "");
}

// gRPC connects only while somebody waits on the channel: who merely sleeps is connected at its own poll, every 5 s.
void CoordinatorClient::Wait(absl::Duration duration) const {
  if (channel_->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY) {
    (void)Pause(duration, stop_);
    return;
  }
  const auto until = std::chrono::system_clock::now() + absl::ToChronoMilliseconds(duration);
  while (!*stop_ && std::chrono::system_clock::now() < until) {
    if (channel_->WaitForConnected(std::min(until, std::chrono::system_clock::now() + kStopPoll))) return;
  }
}

absl::Status CoordinatorClient::Repeat(const std::function<grpc::Status(grpc::ClientContext*)>& call,
                                       const std::function<bool()>& give_up) const {
  for (absl::Duration pause = kFirstPause;;) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    const grpc::Status status = call(&context);
    if (status.ok() || !MayPass(status) || give_up()) {
      if (said_.exchange(false) && status.ok()) say_(absl::OkStatus());
      return FromGrpc(status);
    }
    const bool answered = status.error_details() == kNotYet;
    if (!answered) {
      if (pause > kSayAfter && !said_.exchange(true)) say_(FromGrpc(status));
      ++repeated_;
    }
    Wait(WithJitter(pause));  // Cancelled or not: `give_up` decides.
    if (give_up()) return FromGrpc(status);
    pause = std::min(pause * 2, answered ? kMaxLimitPause : kMaxPause);
  }
}

}  // namespace unsprawl
