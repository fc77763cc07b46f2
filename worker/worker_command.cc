#include "worker/worker_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"
#include "unsprawl/v1/cluster.grpc.pb.h"
#include "worker/coordinator_client.h"
#include "worker/log.h"
#include "worker/pause.h"
#include "worker/remote_lease.h"
#include "worker/scanner_process.h"
#include "worker/transport.h"

namespace unsprawl {
namespace {

std::string HostName() {
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  return host;
}

// What it is told, or else what the certificate calls it (of a pool the host's name comes after), or else the host.
absl::StatusOr<std::string> NameOf(const WorkerOptions& options) {
  Peer peer;
  if (!options.tls.certificate.empty()) {
    ASSIGN_OR_RETURN(const std::vector<Certificate> chain, ReadCertificates(options.tls.certificate));
    ASSIGN_OR_RETURN(peer, PeerOf(*chain.front()));
    if (!peer.May(Peer::Role::kWorker)) {
      return absl::FailedPreconditionError(
          absl::StrFormat("%s is no worker's certificate; `unsprawl certs` makes one", options.tls.certificate));
    }
  }
  std::string name = options.name;
  if (name.empty()) {
    switch (peer.role) {
      case Peer::Role::kPool: name = absl::StrFormat("%s.%s", peer.name, HostName()); break;
      case Peer::Role::kLocal: name = IsPeerName(HostName()) ? HostName() : "worker"; break;
      default: name = peer.name;
    }
  }
  if (!IsPeerName(name)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: a worker's name is of letters, digits, '.', '_' and '-', up to 63; give another --name",
                        EscapeForTerminal(name)));
  }
  if (!peer.MayBe(name)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s is the certificate of %s%s, not of %s", options.tls.certificate, peer.name,
                        peer.role == Peer::Role::kPool ? ".*" : "", name));
  }
  return name;
}

// One stay with a coordinator, from joining it until it has other rules, or `stop`.
absl::Status Stay(const WorkerOptions& options, const std::string& name, const CoordinatorClient& client,
                  ScannerLauncher& launcher, WorkerMetrics& metrics, const std::atomic<bool>& stop) {
  const int processors = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int threads = std::min(options.threads > 0 ? options.threads : processors, kMaxScanThreads);
  const std::unique_ptr<v1::WorkerService::Stub> stub = v1::WorkerService::NewStub(client.channel());
  v1::JoinRequest join;
  *join.mutable_version() = OurVersion();
  join.set_worker(name);
  join.set_program(options.version);
  join.set_threads(static_cast<uint32_t>(threads));
  ASSIGN_OR_RETURN(const v1::JoinReply joined, JoinCoordinator(client, *stub, join, [&] { return stop.load(); }));
  ASSIGN_OR_RETURN(const std::unique_ptr<ScannerSource> scanners,
                   launcher.Launch(joined.rules().SerializeAsString()));
  // Where nobody sits and watches there is the log.
  const bool watched = isatty(STDERR_FILENO) != 0 && !options.quiet;
  Progress progress(watched ? Progress::Style::kTerminal : Progress::Style::kQuiet);
  Log(LogLevel::kInfo, "joined",
      {{"worker", name}, {"coordinator", options.coordinator}, {"threads", threads}, {"ruleset", joined.rules().id()}});
  const WorkerResources worker = {.client = &client,
                                  .progress = &progress,
                                  .metrics = &metrics,
                                  .scanners = scanners.get(),
                                  .stop = &stop,
                                  .join = join,
                                  .ruleset_id = joined.rules().id(),
                                  .mirrors_dir = options.pipeline.mirrors_dir,
                                  .lease_time = absl::Seconds(std::max(1U, joined.lease_seconds())),
                                  .threads = static_cast<size_t>(threads),
                                  .fetch_jobs = static_cast<size_t>(options.fetch_jobs)};
  RemoteLeases leases(worker);
  RunPipeline({}, leases, options.pipeline,
              {.scanners = scanners.get(), .progress = &progress, .stop = &stop, .threads = threads});
  return leases.status();
}

}  // namespace

absl::Status RunWorker(const WorkerOptions& asked, const std::atomic<bool>& stop) {
  WorkerOptions options = asked;
  options.pipeline.fetch.network = options.network;
  options.pipeline.fetch.stop = &stop;
  StartLog(options.log_level);
  ASSIGN_OR_RETURN(const std::string name, NameOf(options));
  // Before threads and files: scanners inherit neither.
  ASSIGN_OR_RETURN(const std::unique_ptr<ScannerLauncher> launcher,
                   ScannerLauncher::Start({.sandbox = options.sandbox, .memory_bytes = options.memory_bytes},
                                          options.rules_cache_dir));
  const GrpcRuntime grpc;
  WorkerMetrics metrics;
  Interceptors timers;
  timers.push_back(ClientTimer(&metrics.rpc()));
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                   OpenChannel(options.coordinator, options.tls, absl::Now(), ChannelArguments(), std::move(timers)));
  std::unique_ptr<prometheus::Exposer> exposer;
  if (!options.metrics.empty()) {
    ASSIGN_OR_RETURN(exposer, ServeMetrics(options.metrics, metrics.registry()));
    LogMetricsUrl(*exposer);
  }
  const CoordinatorClient client(channel, &stop, [&](const absl::Status& why) {
    if (why.ok()) metrics.Reconnected();
    std::vector<LogField> fields = {{"worker", name}, {"coordinator", options.coordinator}};
    if (!why.ok()) fields.insert(fields.end(), {{"code", CodeName(static_cast<int>(why.code()))}, {"error", why}});
    Log(why.ok() ? LogLevel::kInfo : LogLevel::kWarning, why.ok() ? "answered" : "waiting", fields);
  });
  while (!stop) {
    const absl::Status stayed = Stay(options, name, client, *launcher, metrics, stop);
    if (!stayed.ok() && !stop) return stayed;  // Stopped while nobody answered it has not failed.
  }
  Log(LogLevel::kInfo, "drained", {{"worker", name}});
  return absl::OkStatus();
}

}  // namespace unsprawl
