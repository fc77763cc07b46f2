#pragma once

#include <memory>

#include "unsprawl/v1/lease.pb.h"
#include "worker/metrics.h"

namespace unsprawl {

// What a worker counts. Thread-safe.
class WorkerMetrics {
 public:
  WorkerMetrics();

  const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }
  RpcMetrics& rpc() { return rpc_; }

  void SetLeases(size_t fetching, size_t ready, size_t scanning);
  // Something was fetched, or nothing had to be.
  void Fetched(double seconds) { fetch_seconds_.Observe(seconds); }
  void Scanned(const v1::ScanCompleted& scan);
  void Ended(const v1::TargetEnd& end);
  // The coordinator answers again after it did not.
  void Reconnected() { reconnects_.Increment(); }

 private:
  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  RpcMetrics rpc_{*registry_, "unsprawl_worker_rpc_seconds"};
  prometheus::Family<prometheus::Gauge>& leases_;
  prometheus::Family<prometheus::Counter>& ended_;
  prometheus::Counter &blobs_, &bytes_resolved_, &bytes_scanned_, &deaths_, &reconnects_;
  prometheus::Histogram &fetch_seconds_, &scan_seconds_;
};

}  // namespace unsprawl
