#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/scan_command.h"
#include "worker/certificate.h"

namespace unsprawl {

// `unsprawl coordinator` as it was asked for.
struct CoordinatorOptions {
  ScanOptions scan;                   // what a submitted run begins with: store, key, rules, credentials
  std::string config;                 // `unsprawl run`'s file, instead of all that
  std::string listen = "127.0.0.1:7077";
  CertificateFiles tls;
  std::string metrics;                // where they are served; empty: nowhere
  std::string log_level = "info";
  absl::Duration lease_time = absl::Seconds(60);
  absl::Duration retry_pause = absl::Seconds(15);  // before the second attempt at a repository
  uint64_t cut_bytes = uint64_t{1} << 30;  // a repository with more to scan is divided among workers
};

// Keeps runs and serves workers and administrators until SIGTERM or SIGINT; the exit code. A run that is under way then
// goes on when the same store is served again.
absl::StatusOr<int> RunCoordinator(const CoordinatorOptions& options);

}  // namespace unsprawl
