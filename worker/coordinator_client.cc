#include "worker/coordinator_client.h"

#include <algorithm>
#include <chrono>

#include "worker/pause.h"

namespace unsprawl {
namespace {

// Longer than the store ever takes for a batch, shorter than two leases.
constexpr std::chrono::seconds kDeadline{100};
constexpr absl::Duration kFirstPause = absl::Milliseconds(100), kMaxPause = absl::Seconds(3);

bool MayPass(grpc::StatusCode code) {
  return code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::DEADLINE_EXCEEDED ||
         code == grpc::StatusCode::RESOURCE_EXHAUSTED;
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

absl::Status CoordinatorClient::Repeat(const std::function<grpc::Status(grpc::ClientContext*)>& call,
                                       const std::function<bool()>& give_up) const {
  for (absl::Duration pause = kFirstPause;; pause = std::min(pause * 2, kMaxPause)) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    const grpc::Status status = call(&context);
    if (status.ok() || !MayPass(status.error_code()) || give_up()) return FromGrpc(status);
    (void)Pause(WithJitter(pause), stop_);  // Cancelled or not: `give_up` decides.
    if (give_up()) return FromGrpc(status);
  }
}

}  // namespace unsprawl
