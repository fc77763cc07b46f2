#include "worker/metrics.h"

#include <chrono>
#include <exception>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "unsprawl/v1/cluster.pb.h"
#include "worker/log.h"

namespace unsprawl {
namespace {

using grpc::experimental::InterceptionHookPoints;

// One call, from its first byte to its status.
class Timer final : public grpc::experimental::Interceptor {
 public:
  Timer(RpcMetrics* metrics, const char* method) : metrics_(metrics), method_(method) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) Note(methods->GetSendStatus());
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_STATUS)) {
      Note(*methods->GetRecvStatus());
    }
    methods->Proceed();
  }

 private:
  void Note(const grpc::Status& status) {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start_;
    metrics_->Observe(method_, status.error_code(), seconds.count());
  }

  RpcMetrics* const metrics_;
  const std::string method_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class ClientTimers final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit ClientTimers(RpcMetrics* metrics) : metrics_(metrics) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(grpc::experimental::ClientRpcInfo* info) override {
    return new Timer(metrics_, info->method());
  }

 private:
  RpcMetrics* const metrics_;
};

class ServerTimers final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit ServerTimers(RpcMetrics* metrics) : metrics_(metrics) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override {
    return new Timer(metrics_, info->method());
  }

 private:
  RpcMetrics* const metrics_;
};

}  // namespace

prometheus::Family<prometheus::Counter>& CounterFamily(prometheus::Registry& registry, const char* name,
                                                       const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Histogram& SecondsHistogram(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, kSecondsBuckets);
}

absl::StatusOr<std::unique_ptr<prometheus::Exposer>> ServeMetrics(
    const std::string& address, const std::shared_ptr<prometheus::Registry>& registry) {
  const std::string at = address.find(':') == std::string::npos ? "127.0.0.1:" + address : address;
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(at, 1);
    exposer->RegisterCollectable(registry);
    return exposer;
  } catch (const std::exception&) {  // The library's own.
    return absl::UnavailableError(absl::StrFormat(
        "cannot serve metrics on %s: another program listens there, or it is no address of this machine", at));
  }
}

void LogMetricsUrl(const prometheus::Exposer& exposer) {
  Log(LogLevel::kInfo, "metrics",
      {{"url", absl::StrFormat("http://127.0.0.1:%d/metrics", exposer.GetListeningPorts().front())}});
}

RpcMetrics::RpcMetrics(prometheus::Registry& registry, const char* name)
    : seconds_(prometheus::BuildHistogram()
                   .Name(name)
                   .Help("Seconds of calls between coordinator, workers and admins, by method and code")
                   .Register(registry)) {
  const google::protobuf::FileDescriptor& file = *v1::JoinRequest::descriptor()->file();
  for (int i = 0; i < file.service_count(); ++i) {
    for (int j = 0; j < file.service(i)->method_count(); ++j) {
      const std::string& method = file.service(i)->method(j)->name();
      names_[absl::StrFormat("/%s/%s", file.service(i)->full_name(), method)] = method;
    }
  }
}

void RpcMetrics::Observe(std::string_view method, grpc::StatusCode code, double seconds) {
  const auto found = names_.find(method);  // What a caller makes up is no label.
  seconds_.Add({{"method", found == names_.end() ? "other" : found->second}, {"code", CodeName(code)}}, kSecondsBuckets).Observe(seconds);
}

std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> ClientTimer(RpcMetrics* metrics) {
  return std::make_unique<ClientTimers>(metrics);
}
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> ServerTimer(RpcMetrics* metrics) {
  return std::make_unique<ServerTimers>(metrics);
}

std::string CodeName(int code) {
  const std::string name = absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
  return name.empty() ? "UNKNOWN" : name;
}

}  // namespace unsprawl
