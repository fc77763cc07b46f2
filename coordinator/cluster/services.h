// The two gRPC services of a coordinator (cluster.proto) over its RunKeeper.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "absl/time/time.h"
#include "coordinator/cluster/call_limit.h"
#include "coordinator/cluster/run_keeper.h"

namespace unsprawl {

struct ServiceSettings {
  RunKeeper* keeper;
  CallLimit* calls;
  absl::Duration lease_time;
  v1::RulesetText rules;
};

// `settings` outlives them. What a caller may do is decided by its certificate (worker/transport.h, CallingPeer).
std::unique_ptr<grpc::Service> NewWorkerService(const ServiceSettings& settings);
std::unique_ptr<grpc::Service> NewAdminService(const ServiceSettings& settings);

}  // namespace unsprawl
