#include "coordinator/cluster/coordinator_command.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/cluster/run_keeper.h"
#include "coordinator/cluster/services.h"
#include "coordinator/run_config.h"
#include "coordinator/signals.h"
#include "engine/base/status.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"
#include "store/key_file.h"
#include "worker/coordinator_client.h"
#include "worker/transport.h"

namespace unsprawl {
namespace {

constexpr int kMaxStreams = 256;                 // calls under way on one connection
constexpr size_t kMaxServerBytes = 2ULL << 30;   // of messages that are being taken in
constexpr int kMaxThreads = 512;

absl::StatusOr<v1::RulesetText> RulesText(const ScanOptions& options, const Ruleset& ruleset) {
  v1::RulesetText text;
  text.set_id(ruleset.id());
  if (options.config.empty()) return text;
  ASSIGN_OR_RETURN(const std::vector<RuleFile> files, Ruleset::ReadFiles(options.config));
  for (const RuleFile& file : files) {
    v1::RulesetText::File& row = *text.add_files();
    row.set_origin(file.origin);
    row.set_text(file.text);
  }
  return text;
}

}  // namespace

absl::StatusOr<int> RunCoordinator(const CoordinatorOptions& options) {
  const std::atomic<bool>& stop = CatchSignals();
  spdlog::set_default_logger(spdlog::stderr_logger_mt("unsprawl"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ level=%l %v", spdlog::pattern_time_type::utc);
  spdlog::flush_on(spdlog::level::info);
  ScanOptions scan = options.scan;
  if (!options.config.empty()) {
    ASSIGN_OR_RETURN(scan, LoadRunConfig(options.config, options.scan));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ServerCredentials> credentials,
                   ServerCredentials(options.listen, options.tls, absl::Now()));
  ASSIGN_OR_RETURN(const Ruleset ruleset,
                   scan.config.empty() ? Ruleset::Builtin() : Ruleset::Load(scan.config));
  ASSIGN_OR_RETURN(v1::RulesetText rules, RulesText(scan, ruleset));
  ASSIGN_OR_RETURN(const KeyRing keys, LoadOrCreateKey(scan.key_file));
  ASSIGN_OR_RETURN(const std::unique_ptr<Ledger> ledger,
                   OpenLedger(scan, keys, {.lease_time = options.lease_time,
                                           .backoff = options.retry_pause,
                                           .max_fetches_per_host = scan.fetch_jobs}));
  const SteadyClock clock;
  ASSIGN_OR_RETURN(const std::unique_ptr<RunKeeper> keeper,
                   RunKeeper::Start({.options = &scan,
                                     .ruleset = &ruleset,
                                     .keys = &keys,
                                     .ledger = ledger.get(),
                                     .clock = &clock,
                                     .cut_bytes = options.cut_bytes}));
  const ServiceSettings services = {
      .keeper = keeper.get(), .clock = &clock, .lease_time = options.lease_time, .rules = std::move(rules)};
  const std::unique_ptr<grpc::Service> for_workers = NewWorkerService(services), for_admins = NewAdminService(services);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ResourceQuota quota("unsprawl");
  quota.Resize(kMaxServerBytes).SetMaxThreads(kMaxThreads);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.listen, credentials, &port);
  builder.RegisterService(for_workers.get());
  builder.RegisterService(for_admins.get());
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // Two coordinators on one port would share its workers.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // A connection outlives the certificate that it was made with, and a renewed one is shown by the next.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 120'000);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrFormat("cannot listen on %s: another program does, or it is no address of this machine", options.listen));
  }
  spdlog::info("serving on {} ({}), ruleset={} store is open",
               options.listen.substr(0, options.listen.rfind(':') + 1) + std::to_string(port),
               options.tls.ca.empty() ? "this machine only, without certificates" : "mutual TLS", ruleset.id());
  while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  spdlog::info("stopping: a run under way goes on when this store is served again");
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  RETURN_IF_ERROR(ledger->Flush());
  return kExitClean;
}

}  // namespace unsprawl
