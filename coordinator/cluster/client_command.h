// What an administrator says to a coordinator.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/scan_command.h"
#include "worker/certificate.h"

namespace unsprawl {

struct ClusterOptions {
  std::string coordinator;   // HOST:PORT
  CertificateFiles tls;      // an administrator's
  uint64_t run = 0;          // 0: the one under way, or the last
  std::string repository;    // of retry; empty: all that are parked
  bool json = false;         // of status
  bool watch = false;        // of status: until the run is over
  std::string output_dir = "unsprawl-report";  // of report
  FailOn fail_on;            // likewise
};

// `unsprawl scan --coordinator`: submits a run, follows it, fetches its report into scan.output_dir and prints the
// summary; the exit code, as that of a scan on one machine. Interrupted, it leaves the run to go on.
absl::StatusOr<int> RunScanInCluster(const ScanOptions& scan, const ClusterOptions& cluster, bool has_selection);

// `unsprawl report`: fetches that of a run (0: the last that is done) into output_dir and prints the summary; the exit
// code, as that of the run's scan.
absl::StatusOr<int> ClusterReportCommand(const ClusterOptions& options);

// `unsprawl status`, `cancel`, `retry`: the exit code. `cancel` and `retry` print what they changed.
absl::StatusOr<int> ClusterStatusCommand(const ClusterOptions& options);
absl::StatusOr<int> ClusterCancelCommand(const ClusterOptions& options);
absl::StatusOr<int> ClusterRetryCommand(const ClusterOptions& options);

}  // namespace unsprawl
