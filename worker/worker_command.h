#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "worker/certificate.h"
#include "worker/pipeline.h"

namespace unsprawl {

// `unsprawl worker` as it was asked for.
struct WorkerOptions {
  std::string coordinator;      // HOST:PORT
  CertificateFiles tls;
  std::string name;             // default: that of the certificate, else the host's
  int threads = 0;              // 0: one for each processor
  int fetch_jobs = 4;
  bool sandbox = true;
  bool quiet = false;
  uint64_t memory_bytes = uint64_t{4} << 30;  // private memory of one scanner
  PipelineOptions pipeline;
  NetworkOptions network;       // for fetching
  std::filesystem::path rules_cache_dir;
  std::string version;
  std::string metrics;          // where they are served; empty: nowhere
  std::string log_level = "info";
};

// Works for a coordinator until `stop` is set; what is not finished then is given back. Must be called while the
// process has one thread.
// InvalidArgument, FailedPrecondition, PermissionDenied, Unauthenticated: it cannot begin, or the coordinator does
// not take it; the message says what to do.
absl::Status RunWorker(const WorkerOptions& options, const std::atomic<bool>& stop);

}  // namespace unsprawl
