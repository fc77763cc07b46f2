#include "coordinator/cluster/coordinator_command.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/cluster/cluster_metrics.h"
#include "coordinator/cluster/run_keeper.h"
#include "coordinator/cluster/services.h"
#include "coordinator/run_config.h"
#include "coordinator/signals.h"
#include "engine/base/status.h"
#include "store/key_file.h"
#include "worker/coordinator_client.h"
#include "worker/log.h"
#include "worker/transport.h"

namespace unsprawl {
namespace {

constexpr size_t kMaxServerBytes = 2ULL << 30;   // of messages that are being taken in

v1::RulesetText RulesText(const std::vector<RuleFile>& files, const Ruleset& ruleset) {
  v1::RulesetText text;
  text.set_id(ruleset.id());
  for (const RuleFile& file : files) {
    v1::RulesetText::File& row = *text.add_files();
    row.set_origin(file.origin);
    row.set_text(file.text);
  }
  return text;
}

prometheus::MetricFamily Gauges(const char* name, const char* help, const char* label,
                                const std::map<std::string, double>& values) {
  prometheus::MetricFamily family{.name = name, .help = help, .type = prometheus::MetricType::Gauge, .metric = {}};
  for (const auto& [word, value] : values) {
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    if (label != nullptr) metric.label.push_back({label, word});
    metric.gauge.value = value;
  }
  return family;
}

// What is at the moment of a scrape.
class ClusterState final : public prometheus::Collectable {
 public:
  ClusterState(RunKeeper* keeper, std::filesystem::path store) : keeper_(keeper), store_(std::move(store)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    const absl::StatusOr<v1::ClusterStatus> status = keeper_->Status(0);
    if (!status.ok()) return {};
    const RunKeeper::Figures figures = keeper_->figures();
    std::map<std::string, double> runs;
    for (int state = v1::RUN_STATE_QUEUED; state <= v1::RunState_MAX; ++state) {
      const auto found = figures.runs.find(static_cast<v1::RunState>(state));
      const std::string name = v1::RunState_Name(static_cast<v1::RunState>(state)).substr(sizeof("RUN_STATE_") - 1);
      runs[name] = found == figures.runs.end() ? 0 : static_cast<double>(found->second);
    }
    const std::map<std::string, double> shards = {{"PENDING", status->pending()},     {"LEASED", status->leased()},
                                                  {"DONE", status->done()},           {"PARKED", status->parked_count()},
                                                  {"CANCELLED", status->cancelled()}};
    double leases = 0, bytes = 0;
    for (const v1::ClusterStatus::Worker& worker : status->workers()) leases += worker.leases_size();
    std::error_code error;
    for (std::filesystem::recursive_directory_iterator files(store_, error), end; !error && files != end; files.increment(error)) {
      std::error_code gone;
      const uintmax_t size = files->is_regular_file(gone) ? files->file_size(gone) : 0;
      if (!gone) bytes += static_cast<double>(size);
    }
    return {Gauges("unsprawl_runs", "Runs that are remembered, by state", "state", runs),
            Gauges("unsprawl_shards", "Shards of the run under way, by state", "state", shards),
            Gauges("unsprawl_leases", "Leases that are held", nullptr, {{"", leases}}),
            Gauges("unsprawl_oldest_lease_seconds", "How long the oldest of them has been held", nullptr,
                   {{"", absl::ToDoubleSeconds(figures.oldest_lease)}}),
            Gauges("unsprawl_workers", "Workers that were heard of within a lease's time", nullptr,
                   {{"", static_cast<double>(status->workers_size())}}),
            Gauges("unsprawl_store_bytes", "Files of the store", nullptr, {{"", bytes}})};
  }

 private:
  RunKeeper* const keeper_;
  const std::filesystem::path store_;
};

}  // namespace

absl::StatusOr<int> RunCoordinator(const CoordinatorOptions& options) {
  const std::atomic<bool>& stop = CatchSignals();
  StartLog(options.log_level);
  const GrpcRuntime grpc;
  ClusterMetrics metrics;
  ScanOptions scan = options.scan;
  if (!options.config.empty()) {
    ASSIGN_OR_RETURN(scan, LoadRunConfig(options.config, options.scan));
  }
  RETURN_IF_ERROR(GroupsOf({}, scan).status());  // Workers can fetch all that it names.
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ServerCredentials> credentials,
                   ServerCredentials(options.listen, options.tls, absl::Now()));
  std::vector<RuleFile> rule_files;  // none: the built-in rules
  if (!scan.config.empty()) {
    ASSIGN_OR_RETURN(rule_files, Ruleset::ReadFiles(scan.config));
  }
  ASSIGN_OR_RETURN(const Ruleset ruleset,
                   rule_files.empty() ? Ruleset::Builtin() : Ruleset::FromFiles(rule_files));
  ASSIGN_OR_RETURN(const KeyRing keys, LoadOrCreateKey(scan.key_file));
  ASSIGN_OR_RETURN(const OperatorIgnores ignores, OperatorIgnores::Load(scan.ignores, ruleset, keys));
  ASSIGN_OR_RETURN(const std::unique_ptr<Ledger> ledger,
                   OpenLedger(scan, keys, {.lease_time = options.lease_time,
                                           .backoff = options.retry_pause,
                                           .max_fetches_per_host = scan.fetch_jobs,
                                           .on_expired = [&metrics](const v1::Shard& shard) {
                                             const bool parked = shard.state() == v1::SHARD_STATE_PARKED;
                                             metrics.Failed(v1::ERROR_CLASS_LOST, parked);
                                             Log(LogLevel::kWarning, parked ? "parked" : "expired",
                                                 LeaseFields(shard.run(), {shard.worker(), shard.id(), shard.epoch()},
                                                             {{"repository", shard.repository()}, {"class", "LOST"},
                                                              {"attempts", shard.attempts()}}));
                                           }}));
  const SteadyClock clock;
  ASSIGN_OR_RETURN(const std::unique_ptr<RunKeeper> keeper,
                   RunKeeper::Start({.options = &scan,
                                     .ruleset = &ruleset,
                                     .keys = &keys,
                                     .ignores = &ignores,
                                     .ledger = ledger.get(),
                                     .clock = &clock,
                                     .metrics = &metrics,
                                     .cut_bytes = options.cut_bytes}));
  CallLimit calls;
  const ServiceSettings services = {
      .keeper = keeper.get(), .calls = &calls, .lease_time = options.lease_time, .rules = RulesText(rule_files, ruleset)};
  const std::unique_ptr<grpc::Service> for_workers = NewWorkerService(services), for_admins = NewAdminService(services);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ResourceQuota quota("unsprawl");
  quota.Resize(kMaxServerBytes).SetMaxThreads(kServerThreads);
  const auto state = std::make_shared<ClusterState>(keeper.get(), scan.store_dir);
  std::unique_ptr<prometheus::Exposer> exposer;
  if (!options.metrics.empty()) {
    ASSIGN_OR_RETURN(exposer, ServeMetrics(options.metrics, metrics.registry()));
    exposer->RegisterCollectable(state);
    LogMetricsUrl(*exposer);
  }
  int port = 0;
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> timers;
  timers.push_back(ServerTimer(&metrics.rpc()));
  grpc::ServerBuilder builder;
  builder.experimental().SetInterceptorCreators(std::move(timers));
  builder.AddListeningPort(options.listen, credentials, &port);
  builder.RegisterService(for_workers.get());
  builder.RegisterService(for_admins.get());
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxAnswerBytes);
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
  Log(LogLevel::kInfo, "serving",
      {{"address", options.listen.substr(0, options.listen.rfind(':') + 1) + std::to_string(port)},
       {"tls", options.tls.ca.empty() ? "none" : "mutual"},
       {"ruleset", ruleset.id()}});
  while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  Log(LogLevel::kInfo, "stopping", {});  // A run under way goes on when this store is served again.
  server->GetHealthCheckService()->SetServingStatus(false);
  keeper->Stop();                        // The server's end waits for calls, and they for a forge.
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  RETURN_IF_ERROR(ledger->Flush());
  return kExitClean;
}

}  // namespace unsprawl
