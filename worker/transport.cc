#include "worker/transport.h"

#include <arpa/inet.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security_constants.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <vector>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr unsigned kSecondsBetweenLooks = 5;

// "HOST", "HOST:PORT", "[HOST]:PORT" without the port.
std::string HostOf(std::string_view address) {
  if (address.starts_with('[')) {
    const size_t end = address.find(']');
    const std::string_view rest = end == std::string_view::npos ? "" : address.substr(end + 1);
    return rest.empty() || rest[0] == ':' ? std::string(address.substr(1, end - 1)) : std::string(address);
  }
  const size_t colon = address.find(':');
  // With more than one it is an address of IPv6 without a port.
  const bool port = colon != std::string_view::npos && address.find(':', colon + 1) == std::string_view::npos;
  return std::string(port ? address.substr(0, colon) : address);
}

bool IsEmpty(const CertificateFiles& files) {
  return files.ca.empty() && files.certificate.empty() && files.key.empty();
}

// OK if `files` can be used, or are not needed.
absl::Status CheckFiles(const std::string& address, const CertificateFiles& files, CertificateUse use,
                        absl::Time now) {
  if (!IsEmpty(files)) {
    if (files.ca.empty() || files.certificate.empty() || files.key.empty()) {
      return absl::InvalidArgumentError("certificate, its key and the CA go together: one of them is not given");
    }
    return CheckCertificate(files, use, now);
  }
  if (IsLoopbackAddress(address)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s is not on this machine alone: that takes a certificate, its key and the CA (`unsprawl certs` makes "
      "them)",
      address));
}

// What both sides have in common.
void Watch(const CertificateFiles& files, grpc::experimental::TlsCredentialsOptions* options) {
  options->set_certificate_provider(std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      files.key, files.certificate, files.ca, kSecondsBetweenLooks));
  options->watch_root_certs();
  options->watch_identity_key_cert_pairs();
}

// The value of a property that a connection has once.
std::string PropertyOf(const grpc::AuthContext& connection, const char* name) {
  const std::vector<grpc::string_ref> values = connection.FindPropertyValues(name);
  return values.size() == 1 ? std::string(values[0].data(), values[0].size()) : "";
}

}  // namespace

GrpcRuntime::GrpcRuntime() { grpc_init(); }
GrpcRuntime::~GrpcRuntime() { grpc_shutdown_blocking(); }

bool IsLoopbackAddress(std::string_view address) {
  if (address.starts_with("unix:")) return true;
  const std::string host = HostOf(address);
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return host == "localhost";
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentials(const std::string& address,
                                                                           const CertificateFiles& files,
                                                                           absl::Time now) {
  RETURN_IF_ERROR(CheckFiles(address, files, CertificateUse::kServer, now));
  if (IsEmpty(files)) return grpc::InsecureServerCredentials();
  grpc::experimental::TlsServerCredentialsOptions options(nullptr);
  Watch(files, &options);
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address,
                                                           const CertificateFiles& files, absl::Time now,
                                                           grpc::ChannelArguments arguments,
                                                           Interceptors interceptors) {
  if (!address.starts_with("unix:") && (address.find(':') == std::string::npos || address.ends_with(']'))) {
    return absl::InvalidArgumentError(absl::StrFormat("%s has no port: HOST:PORT is wanted", address));
  }
  RETURN_IF_ERROR(CheckFiles(address, files, CertificateUse::kClient, now));
  if (IsLoopbackAddress(address)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const auto open = [&](const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    return grpc::experimental::CreateCustomChannelWithInterceptors(address, credentials, arguments,
                                                                   std::move(interceptors));
  };
  if (IsEmpty(files)) return open(grpc::InsecureChannelCredentials());
  grpc::experimental::TlsChannelCredentialsOptions options;
  Watch(files, &options);  // hosts are compared unless another verifier is set
  return open(grpc::experimental::TlsCredentials(options));
}

absl::StatusOr<Peer> CallingPeer(const grpc::ServerContextBase& context, absl::Time now) {
  const std::shared_ptr<const grpc::AuthContext> connection = context.auth_context();
  const std::string security = PropertyOf(*connection, GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);
  if (security == "insecure") return Peer{};  // ServerCredentials saw to where that is possible
  const std::string pem = PropertyOf(*connection, GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (pem.empty()) return absl::UnauthenticatedError("a connection without a certificate");
  ASSIGN_OR_RETURN(Peer peer, PeerFromPem(pem));
  if (peer.not_after < now) {
    return absl::UnauthenticatedError(absl::StrFormat(
        "the certificate of %s expired on %s", PeerUri(peer.role, peer.name),
        absl::FormatTime("%Y-%m-%d %H:%M UTC", peer.not_after, absl::UTCTimeZone())));
  }
  return peer;
}

}  // namespace unsprawl
