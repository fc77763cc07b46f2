#include "coordinator/cluster/client_command.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <random>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/cluster/report_transfer.h"
#include "coordinator/cluster/status_text.h"
#include "coordinator/signals.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"
#include "unsprawl/v1/cluster.grpc.pb.h"
#include "worker/coordinator_client.h"
#include "worker/pause.h"
#include "worker/transport.h"

namespace unsprawl {
namespace {

using Stub = v1::AdminService::Stub;

constexpr absl::Duration kPollEvery = absl::Milliseconds(300), kWatchEvery = absl::Seconds(1);
constexpr absl::Duration kPatience = absl::Seconds(5);
// What a coordinator is asked takes milliseconds; to cancel, it waits for what is being recorded.
constexpr std::chrono::seconds kDeadline{10}, kSubmitDeadline{100};
constexpr std::chrono::hours kReportDeadline{1};
constexpr absl::Duration kReportPatience = absl::Seconds(30);  // while nothing comes

v1::Selection ToProto(const ForgeOptions& forge) {
  const Selection& from = forge.selection;
  v1::Selection selection;
  selection.mutable_include()->Add(from.include.begin(), from.include.end());
  selection.mutable_exclude()->Add(from.exclude.begin(), from.exclude.end());
  selection.set_forks(from.forks);
  selection.set_archived(from.archived);
  selection.mutable_visibilities()->Add(from.visibilities.begin(), from.visibilities.end());
  selection.mutable_topics()->Add(from.topics.begin(), from.topics.end());
  selection.set_max_size_kb(from.max_size_kb);
  selection.set_pushed_since(from.pushed_since);
  selection.set_max_wikis(forge.max_wikis);
  selection.set_max_gists(forge.max_gists);
  return selection;
}

// One conversation with a coordinator.
class Admin {
 public:
  static absl::StatusOr<std::unique_ptr<Admin>> Connect(const ClusterOptions& options) {
    ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                     OpenChannel(options.coordinator, options.tls, absl::Now(), ChannelArguments()));
    return std::unique_ptr<Admin>(new Admin(options.coordinator, !options.tls.ca.empty(), channel));
  }

  // `patience`: how long nobody may answer. `deadline`: of each call, since one that hangs does not say so.
  template <typename Request, typename Reply>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                    const Request& request, Reply* reply, absl::Duration patience = kPatience,
                    std::chrono::seconds deadline = kDeadline) {
    const absl::Time until = absl::Now() + patience;
    const auto call = [&](grpc::ClientContext* context) {
      context->set_deadline(std::chrono::system_clock::now() + deadline);
      reply->Clear();
      return ((*stub_).*method)(context, request, reply);
    };
    const absl::Status called = client_.Repeat(call, [&] { return stop_ || absl::Now() > until; });
    if (!absl::IsUnavailable(called) && !absl::IsDeadlineExceeded(called)) return called;
    // One that wants certificates just hangs up.
    return absl::UnavailableError(absl::StrFormat(
        "the coordinator at %s does not answer: %s%s", address_, EscapeForTerminal(std::string(called.message())),
        tls_ ? "" : " (if it has certificates, --tls-ca, --tls-cert and --tls-key are missing)"));
  }

  // FailedPrecondition: the coordinator's version is too far from ours.
  absl::StatusOr<v1::ClusterStatus> Status(uint64_t run, absl::Duration patience) {
    v1::StatusRequest request;
    request.set_run(run);
    *request.mutable_version() = OurVersion();
    v1::ClusterStatus status;
    RETURN_IF_ERROR(Call(&Stub::Status, request, &status, patience));
    return status;
  }

  // `asked`, or (0) the run under way, or the last. Errors as Status.
  absl::StatusOr<uint64_t> RunMeant(uint64_t asked) {
    ASSIGN_OR_RETURN(const v1::ClusterStatus status, Status(asked, kPatience));
    if (!status.has_run()) return absl::NotFoundError("there is no run yet");
    return status.run().id();
  }

  // Writes the files of a report into `dir`, in place of the old ones when all have come: over as many calls as that
  // takes, each of which goes on where the one before ended, as long as more comes. Returns whose it is.
  absl::StatusOr<uint64_t> FetchReport(uint64_t run, const std::filesystem::path& dir) {
    ReportDownload download(run, dir);
    for (bool whole = false; !whole;) {
      const uint64_t before = download.farthest();
      const absl::Time until = absl::Now() + kReportPatience;
      const auto fetch = [&](grpc::ClientContext* context) {
        const grpc::Status fetched = FetchOnce(download, context);
        whole = fetched.ok();
        return download.farthest() > before ? grpc::Status::OK : fetched;
      };
      const absl::Status called = client_.Repeat(fetch, [&] { return stop_ || absl::Now() > until; });
      if (stop_) return absl::CancelledError("stopped");
      if (called.ok()) continue;
      if (!absl::IsUnavailable(called)) return called;
      return absl::UnavailableError(absl::StrFormat(
          "the coordinator at %s does not answer: %d bytes of the report have come, and no more: %s", address_, before,
          EscapeForTerminal(std::string(called.message()))));
    }
    RETURN_IF_ERROR(download.Publish());
    return download.run();
  }

  const std::atomic<bool>& stop() const { return stop_; }

 private:
  grpc::Status FetchOnce(ReportDownload& download, grpc::ClientContext* context) {
    context->set_deadline(std::chrono::system_clock::now() + kReportDeadline);
    const std::unique_ptr<grpc::ClientReader<v1::ReportChunk>> reader = stub_->FetchReport(context, download.Request());
    v1::ReportChunk chunk;
    absl::Status taken;
    while (taken.ok() && !stop_ && reader->Read(&chunk)) taken = download.Take(chunk);
    if (!taken.ok() || stop_) context->TryCancel();
    const grpc::Status read = reader->Finish();
    return taken.ok() ? read : ToGrpc(taken);
  }

  Admin(std::string address, bool tls, const std::shared_ptr<grpc::Channel>& channel)
      : address_(std::move(address)),
        tls_(tls),
        stop_(CatchSignals()),
        client_(channel, &stop_,
                [this](const absl::Status& why) {
                  const std::string said = why.ok() ? "the coordinator answers again"
                                                    : "the coordinator does not answer, trying on: " +
                                                          EscapeForTerminal(std::string(why.message()));
                  const bool live = isatty(STDERR_FILENO) != 0;  // There may be a line that is overwritten.
                  std::fprintf(stderr, "%sunsprawl: %s: %s\n", live ? "\r\x1b[K" : "", address_.c_str(), said.c_str());
                }),
        stub_(v1::AdminService::NewStub(channel)) {}

  const GrpcRuntime grpc_;  // first
  const std::string address_;
  const bool tls_;
  const std::atomic<bool>& stop_;
  const CoordinatorClient client_;
  const std::unique_ptr<Stub> stub_;
};

// Follows a run until it is over, or the person goes away: then it is not over.
absl::StatusOr<v1::ClusterStatus> Follow(Admin& admin, uint64_t run, bool quiet) {
  LiveText live(quiet);
  for (;;) {
    ASSIGN_OR_RETURN(v1::ClusterStatus status, admin.Status(run, absl::InfiniteDuration()));
    if (IsOver(status.run().state()) || admin.stop()) return status;
    live.Show(OneLine(status));
    (void)Pause(kPollEvery, &admin.stop());
  }
}

// Of a run that is done.
int ExitCodeOf(const v1::ClusterRun& run, const FailOn& fail_on) {
  return ExitCodeFor(run.internal_error(), run.complete(), run.has_news(),
                     {run.by_severity().data(), static_cast<size_t>(run.by_severity_size())}, fail_on);
}

}  // namespace

absl::StatusOr<int> RunScanInCluster(const ScanOptions& scan, const ClusterOptions& cluster, bool has_selection) {
  const TargetGroup& group = scan.groups[0];
  v1::SubmitRequest request;
  *request.mutable_version() = OurVersion();
  v1::RunPlan& plan = *request.mutable_plan();
  if (!group.targets.empty() || !group.targets_from.empty()) {
    ASSIGN_OR_RETURN(const std::vector<std::string> targets, TargetsOf(group));
    plan.mutable_targets()->Add(targets.begin(), targets.end());
  }
  if (has_selection) *plan.mutable_selection() = ToProto(group.forge);
  plan.set_min_confidence(scan.min_confidence);
  plan.set_full_mode(scan.full_mode);
  plan.set_command(scan.command_line);
  request.set_token(absl::StrFormat("%d %d %x", getpid(), absl::GetCurrentTimeNanos(), std::random_device()()));
  ASSIGN_OR_RETURN(const std::unique_ptr<Admin> admin, Admin::Connect(cluster));
  v1::SubmitReply submitted;
  RETURN_IF_ERROR(admin->Call(&Stub::Submit, request, &submitted, absl::Seconds(30), kSubmitDeadline));
  if (!scan.quiet) std::fprintf(stderr, "unsprawl: this is run %llu\n", static_cast<unsigned long long>(submitted.run()));
  const absl::StatusOr<v1::ClusterStatus> status = Follow(*admin, submitted.run(), scan.quiet);
  if (admin->stop()) {
    std::fprintf(stderr,
                 "unsprawl: run %llu goes on; `unsprawl status` shows it, `unsprawl report` fetches what comes of it, "
                 "`unsprawl cancel --run %llu` ends it\n",
                 static_cast<unsigned long long>(submitted.run()), static_cast<unsigned long long>(submitted.run()));
    return kExitIncomplete;
  }
  if (!status.ok()) return status.status();
  const v1::ClusterRun& run = status->run();
  if (run.state() != v1::RUN_STATE_DONE) {
    const bool cancelled = run.state() == v1::RUN_STATE_CANCELLED;
    return absl::CancelledError(absl::StrFormat("run %d %s%s", run.id(), cancelled ? "was cancelled" : "failed: ",
                                                EscapeForTerminal(run.error())));
  }
  RETURN_IF_ERROR(admin->FetchReport(run.id(), scan.output_dir).status());
  PrintSummary(scan.output_dir);
  return ExitCodeOf(run, scan.fail_on);
}

absl::StatusOr<int> ClusterReportCommand(const ClusterOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Admin> admin, Admin::Connect(options));
  RETURN_IF_ERROR(admin->Status(options.run, kReportPatience).status());
  ASSIGN_OR_RETURN(const uint64_t run, admin->FetchReport(options.run, options.output_dir));
  PrintSummary(options.output_dir);
  ASSIGN_OR_RETURN(const v1::ClusterStatus status, admin->Status(run, kReportPatience));
  return ExitCodeOf(status.run(), options.fail_on);
}

absl::StatusOr<int> ClusterStatusCommand(const ClusterOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Admin> admin, Admin::Connect(options));
  LiveText live(false);
  for (;;) {
    ASSIGN_OR_RETURN(const v1::ClusterStatus status, admin->Status(options.run, kPatience));
    std::string text;
    if (options.json) {
      google::protobuf::util::JsonPrintOptions json;
      json.preserve_proto_field_names = true;
      json.always_print_primitive_fields = true;
      if (!google::protobuf::util::MessageToJsonString(status, &text, json).ok()) {
        return absl::InternalError("a status that is no JSON");
      }
      text += '\n';
    } else {
      text = WholeText(status);
    }
    if (!options.watch) {
      std::cout << text << std::flush;
      return kExitClean;
    }
    live.Replace(text);
    if (admin->stop() || (status.has_run() && IsOver(status.run().state()))) return kExitClean;
    (void)Pause(kWatchEvery, &admin->stop());
  }
}

absl::StatusOr<int> ClusterCancelCommand(const ClusterOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Admin> admin, Admin::Connect(options));
  ASSIGN_OR_RETURN(const uint64_t id, admin->RunMeant(options.run));
  v1::RunRequest request;
  request.set_run(id);
  v1::RunReply reply;
  RETURN_IF_ERROR(admin->Call(&Stub::Cancel, request, &reply));
  std::printf("run %llu is cancelled; what was scanned is kept\n", static_cast<unsigned long long>(id));
  return kExitClean;
}

absl::StatusOr<int> ClusterRetryCommand(const ClusterOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Admin> admin, Admin::Connect(options));
  ASSIGN_OR_RETURN(const uint64_t id, admin->RunMeant(options.run));
  v1::RetryRequest request;
  request.set_run(id);
  request.set_repository(options.repository);
  v1::RunReply reply;
  RETURN_IF_ERROR(admin->Call(&Stub::Retry, request, &reply));
  std::printf("run %llu: %llu %s tried again\n", static_cast<unsigned long long>(id),
              static_cast<unsigned long long>(reply.shards()), reply.shards() == 1 ? "shard is" : "shards are");
  return kExitClean;
}

}  // namespace unsprawl
