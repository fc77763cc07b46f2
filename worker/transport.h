// How coordinator, workers and admins reach each other: gRPC over TLS (1.2 or later), with certificates on
// both sides (worker/certificate.h). Without certificates only on one machine.
//
// Files are looked at again every few seconds: a renewed certificate is shown by the connections that follow,
// a new CA asked of them. Key and certificate that do not fit yet are tried again with the next look.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_interceptor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/certificate.h"

namespace unsprawl {

// Keeps gRPC running until it is destroyed, which waits for gRPC's threads: they may be freeing what belongs to TLS when
// the program's end does so, too. To be made before channels and servers, and after forks.
class GrpcRuntime {
 public:
  GrpcRuntime();
  ~GrpcRuntime();
  GrpcRuntime(const GrpcRuntime&) = delete;
  GrpcRuntime& operator=(const GrpcRuntime&) = delete;
};

// 127.0.0.0/8, [::1] or localhost, each with or without a port; unix: sockets.
bool IsLoopbackAddress(std::string_view address);

// For a server that listens on `address` ("HOST:PORT"): clients without a certificate of `files.ca` are
// refused. What is wrong with `files` at this time is an error of CheckCertificate. Without files: insecure,
// everybody on this machine is served; FailedPrecondition: `address` is not loopback.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentials(const std::string& address,
                                                                           const CertificateFiles& files,
                                                                           absl::Time now);

using Interceptors = std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>;

// A channel to the server at `address`, whose certificate must name its host. Errors as above; that nobody
// answers is none. InvalidArgument: there is no port in `address`. What stays on this machine takes no proxy, whatever http_proxy says.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address,
                                                           const CertificateFiles& files, absl::Time now,
                                                           grpc::ChannelArguments arguments = {},
                                                           Interceptors interceptors = {});

// Who calls; to be asked in every call, and in a long stream again (`Peer::not_after`): a connection does not
// end with its certificate. Unauthenticated: the certificate has expired, or there is none on a connection
// that is not a plain one. PermissionDenied: it names no role.
absl::StatusOr<Peer> CallingPeer(const grpc::ServerContextBase& context, absl::Time now);

}  // namespace unsprawl
