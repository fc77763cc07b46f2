// What a program of a cluster counts, as Prometheus scrapes it.
//
// Labels are words of this program (states, methods, codes), never names of repositories, people or anything else that
// comes from outside: so the figures hold no secret, and their number is bounded.
#pragma once

#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace unsprawl {

// From milliseconds to the longest that anything here is waited for.
inline const prometheus::Histogram::BucketBoundaries kSecondsBuckets = {0.001, 0.005, 0.02, 0.1,  0.5, 2,
                                                                        10,    60,    300,  1800, 7200};

prometheus::Family<prometheus::Counter>& CounterFamily(prometheus::Registry& registry, const char* name,
                                                       const char* help);

// In kSecondsBuckets.
prometheus::Histogram& SecondsHistogram(prometheus::Registry& registry, const char* name, const char* help);

// Serves `registry` at http://ADDRESS/metrics. `address`: HOST:PORT, or a port of this machine alone. Anybody who
// reaches it may read it, beyond this machine, too, if so asked: figures about an audit, and nothing of what it found.
// InvalidArgument: no such address. Unavailable: it cannot be listened on.
absl::StatusOr<std::unique_ptr<prometheus::Exposer>> ServeMetrics(const std::string& address,
                                                                  const std::shared_ptr<prometheus::Registry>& registry);
// Says in the log where they are.
void LogMetricsUrl(const prometheus::Exposer& exposer);

// How long calls took, by method and code, on either side.
class RpcMetrics {
 public:
  // `registry` outlives this, and this all calls.
  RpcMetrics(prometheus::Registry& registry, const char* name);

  // `method`: as gRPC spells it. Thread-safe.
  void Observe(std::string_view method, grpc::StatusCode code, double seconds);

 private:
  prometheus::Family<prometheus::Histogram>& seconds_;
  std::map<std::string, std::string, std::less<>> names_;  // of our methods, by how gRPC spells them
};

// For a channel or a server; both own what they are given.
std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> ClientTimer(RpcMetrics* metrics);
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> ServerTimer(RpcMetrics* metrics);

// "UNAVAILABLE".
std::string CodeName(int code);

}  // namespace unsprawl
