#include "worker/worker_metrics.h"

namespace unsprawl {

WorkerMetrics::WorkerMetrics()
    : leases_(prometheus::BuildGauge()
                  .Name("unsprawl_worker_leases")
                  .Help("Leases that are held, by stage")
                  .Register(*registry_)),
      ended_(CounterFamily(*registry_, "unsprawl_worker_ended_total", "Leases that ended, by how and by code")),
      blobs_(CounterFamily(*registry_, "unsprawl_worker_blobs_scanned_total", "Blobs that were scanned").Add({})),
      bytes_resolved_(
          CounterFamily(*registry_, "unsprawl_worker_bytes_resolved_total", "Content of scanned blobs").Add({})),
      bytes_scanned_(
          CounterFamily(*registry_, "unsprawl_worker_bytes_scanned_total", "Of it, given to the matcher").Add({})),
      deaths_(CounterFamily(*registry_, "unsprawl_worker_scanner_deaths_total", "Scanning processes that died").Add({})),
      reconnects_(CounterFamily(*registry_, "unsprawl_worker_reconnects_total",
                                "Times that the coordinator answered again after it did not")
                      .Add({})),
      fetch_seconds_(SecondsHistogram(*registry_, "unsprawl_worker_fetch_seconds", "From a lease to all of it fetched")),
      scan_seconds_(SecondsHistogram(*registry_, "unsprawl_worker_scan_seconds", "Of scanning one repository or part")) {
  SetLeases(0, 0, 0);
}

void WorkerMetrics::SetLeases(size_t fetching, size_t ready, size_t scanning) {
  leases_.Add({{"stage", "fetching"}}).Set(static_cast<double>(fetching));
  leases_.Add({{"stage", "ready"}}).Set(static_cast<double>(ready));
  leases_.Add({{"stage", "scanning"}}).Set(static_cast<double>(scanning));
}

void WorkerMetrics::Scanned(const v1::ScanCompleted& scan) {
  blobs_.Increment(static_cast<double>(scan.blobs_scanned()));
  bytes_resolved_.Increment(static_cast<double>(scan.bytes_resolved()));
  bytes_scanned_.Increment(static_cast<double>(scan.bytes_scanned()));
  scan_seconds_.Observe(scan.scan_seconds());
}

void WorkerMetrics::Ended(const v1::TargetEnd& end) {
  ended_.Add({{"how", v1::TargetEnd::How_Name(end.how())}, {"code", CodeName(end.code())}}).Increment();
  deaths_.Increment(static_cast<double>(end.scanner_deaths()));
}

}  // namespace unsprawl
