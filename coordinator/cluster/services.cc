#include "coordinator/cluster/services.h"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/cluster/report_transfer.h"
#include "engine/base/status.h"
#include "unsprawl/v1/cluster.grpc.pb.h"
#include "worker/coordinator_client.h"
#include "worker/log.h"
#include "worker/transport.h"

namespace unsprawl {
namespace {

// A call by somebody who may not, as the worker that he says he is: worth a look.
absl::Status Refused(const grpc::ServerContext& context, const absl::Status& why, const std::string& worker = "") {
  std::vector<LogField> fields = {{"peer", context.peer()}, {"error", why}};
  if (!worker.empty()) fields.insert(fields.begin(), {"worker", worker});
  Log(LogLevel::kWarning, "refused", fields);
  return why;
}

// OK: the caller may do what a `role` may. By its certificate, in every call: a connection outlives it.
absl::StatusOr<Peer> Caller(const grpc::ServerContext& context, Peer::Role role) {
  absl::StatusOr<Peer> peer = CallingPeer(context, absl::Now());
  if (!peer.ok()) return Refused(context, peer.status());
  if (peer->May(role)) return peer;
  return Refused(context, absl::PermissionDeniedError(absl::StrFormat("%s is no %s", PeerUri(peer->role, peer->name),
                                                                      role == Peer::Role::kAdmin ? "admin" : "worker")));
}

template <typename Reply>
grpc::Status Answer(absl::StatusOr<Reply> answer, Reply* reply) {
  if (!answer.ok()) return ToGrpc(answer.status());
  *reply = *std::move(answer);
  return grpc::Status::OK;
}

class WorkerServiceImpl final : public v1::WorkerService::Service {
 public:
  explicit WorkerServiceImpl(const ServiceSettings& settings) : settings_(settings), keeper_(*settings.keeper) {}

  grpc::Status Join(grpc::ServerContext* context, const v1::JoinRequest* request, v1::JoinReply* reply) override {
    return ForWorker(*context, request->worker(), [&] {
      absl::Status may = CheckVersion(request->version(), "the worker", "the coordinator");
      if (may.ok()) may = keeper_.Join(*request);
      *reply->mutable_version() = OurVersion();
      reply->set_lease_seconds(static_cast<uint32_t>(absl::ToInt64Seconds(settings_.lease_time)));
      *reply->mutable_rules() = settings_.rules;
      return ToGrpc(may);
    });
  }

  grpc::Status Acquire(grpc::ServerContext* context, const v1::AcquireRequest* request,
                       v1::AcquireReply* reply) override {
    return ForWorker(*context, request->worker(), [&] { return Answer(keeper_.Acquire(*request), reply); });
  }

  grpc::Status Renew(grpc::ServerContext* context, const v1::RenewRequest* request, v1::RenewReply* reply) override {
    return ForWorker(*context, request->worker(), [&] { return Answer(keeper_.Renew(*request), reply); },
                     /*may_wait=*/false);
  }

  grpc::Status AskForge(grpc::ServerContext* context, const v1::LeaseRequest* request, v1::ForgeReply* reply) override {
    return ForLease(*context, request->lease(), [&](LentShard& lent) { return Answer(lent.AskForge(), reply); });
  }

  grpc::Status RenewTokens(grpc::ServerContext* context, const v1::LeaseRequest* request,
                           v1::TokensReply* reply) override {
    return ForLease(*context, request->lease(), [&](LentShard& lent) { return Answer(lent.RenewTokens(), reply); });
  }

  grpc::Status ListDropped(grpc::ServerContext* context, const v1::ListDroppedRequest* request,
                           v1::DroppedCommits* reply) override {
    return ForLease(*context, request->lease(),
                    [&](LentShard& lent) { return Answer(lent.ListDropped(request->before()), reply); });
  }

  grpc::Status Begin(grpc::ServerContext* context, const v1::BeginRequest* request, v1::BeginReply* reply) override {
    return ForWorker(*context, request->lease().worker(), [&] { return Answer(keeper_.Begin(*request), reply); });
  }

  grpc::Status Tell(grpc::ServerContext* context, const v1::TellRequest* request, v1::TellReply* reply) override {
    return ForLease(*context, request->lease(), [&](LentShard& lent) {
      // The request is ours alone, and may be large.
      return Answer(lent.Tell(const_cast<v1::TellRequest*>(request)), reply);
    });
  }

  grpc::Status End(grpc::ServerContext* context, const v1::EndRequest* request, v1::EndReply*) override {
    return ForWorker(*context, request->lease().worker(), [&] { return ToGrpc(keeper_.End(*request)); });
  }

  grpc::Status Release(grpc::ServerContext* context, const v1::LeaseRequest* request, v1::ReleaseReply*) override {
    return ForWorker(*context, request->lease().worker(), [&] { return ToGrpc(keeper_.Release(request->lease())); });
  }

 private:
  // OK: the caller is the worker that it says it is.
  static absl::Status CheckWorker(const grpc::ServerContext& context, const std::string& worker) {
    ASSIGN_OR_RETURN(const Peer peer, Caller(context, Peer::Role::kWorker));
    if (!IsPeerName(worker)) return absl::InvalidArgumentError("a worker's name is of letters, digits, '.', '_' and '-'");
    if (!peer.MayBe(worker)) {
      return Refused(context, absl::PermissionDeniedError(absl::StrFormat("the certificate is %s %s's, not worker %s's",
                                                                          RoleName(peer.role), peer.name, worker)),
                     worker);
    }
    return absl::OkStatus();
  }

  // What `answer` answers to a worker, if there is room for it and for one more call of it.
  grpc::Status ForWorker(const grpc::ServerContext& context, const std::string& worker,
                         absl::FunctionRef<grpc::Status()> answer, bool may_wait = true) {
    if (const absl::Status may = CheckWorker(context, worker); !may.ok()) return ToGrpc(may);
    const absl::StatusOr<CallLimit::Call> call = settings_.calls->Begin(PeerUri(Peer::Role::kWorker, worker), may_wait);
    if (!call.ok()) return ToGrpc(call.status());
    const absl::Status admitted = keeper_.Admit(worker);
    return admitted.ok() ? answer() : ToGrpc(Refused(context, admitted, worker));
  }

  grpc::Status ForLease(const grpc::ServerContext& context, const v1::LeaseRef& lease,
                        absl::FunctionRef<grpc::Status(LentShard&)> answer) {
    return ForWorker(context, lease.worker(), [&] {
      const absl::StatusOr<std::shared_ptr<LentShard>> lent = keeper_.Find(lease);
      return lent.ok() ? answer(**lent) : ToGrpc(lent.status());
    });
  }

  const ServiceSettings& settings_;
  RunKeeper& keeper_;
};

class AdminServiceImpl final : public v1::AdminService::Service {
 public:
  explicit AdminServiceImpl(const ServiceSettings& settings) : settings_(settings), keeper_(*settings.keeper) {}

  grpc::Status Submit(grpc::ServerContext* context, const v1::SubmitRequest* request,
                      v1::SubmitReply* reply) override {
    return ForAdmin(*context, [&] {
      const absl::Status may = CheckVersion(request->version(), "the client", "the coordinator");
      if (!may.ok()) return ToGrpc(may);
      const absl::StatusOr<uint64_t> run = keeper_.Submit(request->plan(), request->token());
      if (run.ok()) reply->set_run(*run);
      return ToGrpc(run.status());
    });
  }

  grpc::Status Status(grpc::ServerContext* context, const v1::StatusRequest* request,
                      v1::ClusterStatus* reply) override {
    return ForAdmin(*context, [&] {
      const absl::Status may = CheckVersion(request->version(), "the client", "the coordinator");
      return may.ok() ? Answer(keeper_.Status(request->run()), reply) : ToGrpc(may);
    });
  }

  grpc::Status Cancel(grpc::ServerContext* context, const v1::RunRequest* request, v1::RunReply*) override {
    return ForAdmin(*context, [&] { return ToGrpc(keeper_.Cancel(request->run())); });
  }

  grpc::Status Retry(grpc::ServerContext* context, const v1::RetryRequest* request, v1::RunReply* reply) override {
    return ForAdmin(*context, [&] {
      const absl::StatusOr<uint64_t> shards = keeper_.Retry(request->run(), request->repository());
      if (shards.ok()) reply->set_shards(*shards);
      return ToGrpc(shards.status());
    });
  }

  grpc::Status FetchReport(grpc::ServerContext* context, const v1::RunRequest* request,
                           grpc::ServerWriter<v1::ReportChunk>* writer) override {
    return ForAdmin(*context, [&] {
      uint64_t run = request->run();
      const absl::StatusOr<std::filesystem::path> dir = keeper_.ReportDir(&run);
      if (!dir.ok()) return ToGrpc(dir.status());
      return ToGrpc(SendReport(run, *dir, request->from(),
                               [&](const v1::ReportChunk& chunk) { return writer->Write(chunk); }));
    });
  }

 private:
  grpc::Status ForAdmin(const grpc::ServerContext& context, absl::FunctionRef<grpc::Status()> answer) {
    const absl::StatusOr<Peer> peer = Caller(context, Peer::Role::kAdmin);
    if (!peer.ok()) return ToGrpc(peer.status());
    const absl::StatusOr<CallLimit::Call> call =
        settings_.calls->Begin(PeerUri(Peer::Role::kAdmin, peer->name), /*may_wait=*/false);
    return call.ok() ? answer() : ToGrpc(call.status());
  }

  const ServiceSettings& settings_;
  RunKeeper& keeper_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewWorkerService(const ServiceSettings& settings) {
  return std::make_unique<WorkerServiceImpl>(settings);
}

std::unique_ptr<grpc::Service> NewAdminService(const ServiceSettings& settings) {
  return std::make_unique<AdminServiceImpl>(settings);
}

}  // namespace unsprawl
