#include "worker/libgit2_stream.h"

#include <git2.h>
#include <git2/sys/stream.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr int kPollMs = 100;

thread_local StreamLimits* t_limits = nullptr;

// Begins as libgit2's own does (src/libgit2/streams/socket.h): its SSH transport takes the socket from there.
struct Stream {
  git_stream parent;
  char* host;
  char* port;
  int socket;
};

Stream* Of(git_stream* stream) { return reinterpret_cast<Stream*>(stream); }

// Ends the connection: -1, as libgit2 wants it.
int End(const Stream& stream, const absl::Status& why) {
  const std::string text = absl::StrFormat("%s:%s: %s", stream.host, stream.port, std::string(why.message()));
  if (t_limits != nullptr) t_limits->End(absl::IsCancelled(why) ? why : absl::Status(why.code(), text));
  git_error_set_str(GIT_ERROR_NET, text.c_str());
  return -1;
}

absl::Status SystemError(int error) { return absl::UnavailableError(std::strerror(error)); }

absl::Time Deadline() { return t_limits != nullptr ? t_limits->deadline() : absl::InfiniteFuture(); }

absl::Status CheckTime() {
  if (t_limits != nullptr && t_limits->stop() != nullptr && *t_limits->stop()) return absl::CancelledError("stopped");
  if (absl::Now() < Deadline()) return absl::OkStatus();
  return absl::DeadlineExceededError("it took longer than it may");
}

// Waits until the socket is ready for `events`. Not OK: why the connection has to end.
absl::Status Wait(const Stream& stream, short events, absl::Duration patience) {
  const absl::Time end = absl::Now() + patience;
  for (;;) {
    pollfd wait = {.fd = stream.socket, .events = events, .revents = 0};
    if (poll(&wait, 1, kPollMs) > 0) return absl::OkStatus();
    RETURN_IF_ERROR(CheckTime());
    if (absl::Now() < end) continue;
    return absl::UnavailableError(
        absl::StrFormat("the connection stood still for %s", absl::FormatDuration(patience)));
  }
}

absl::Duration StallTimeout() {
  return t_limits != nullptr ? t_limits->network().stall_timeout : NetworkOptions{}.stall_timeout;
}

// Connects the stream to one address.
absl::Status ConnectTo(Stream* stream, const addrinfo& address, absl::Duration patience) {
  stream->socket = socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
  if (stream->socket < 0) return SystemError(errno);
  absl::Status status;
  int error = connect(stream->socket, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    socklen_t size = sizeof(error);
    status = Wait(*stream, POLLOUT, patience);
    getsockopt(stream->socket, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (status.ok() && error != 0) status = SystemError(error);
  if (!status.ok()) close(std::exchange(stream->socket, -1));
  return status;
}

int Connect(git_stream* parent) {
  Stream* stream = Of(parent);
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (const int failed = getaddrinfo(stream->host, stream->port, &hints, &found); failed != 0) {
    return End(*stream, absl::UnavailableError(gai_strerror(failed)));
  }
  const absl::Duration patience =
      t_limits != nullptr ? t_limits->network().connect_timeout : NetworkOptions{}.connect_timeout;
  absl::Status status = SystemError(EHOSTUNREACH);
  for (const addrinfo* address = found; address != nullptr && absl::IsUnavailable(status); address = address->ai_next) {
    status = ConnectTo(stream, *address, patience);
  }
  freeaddrinfo(found);
  return status.ok() ? 0 : End(*stream, status);
}

ssize_t Read(git_stream* parent, void* data, size_t size) {
  const Stream& stream = *Of(parent);
  for (;;) {
    const ssize_t n = recv(stream.socket, data, size, 0);
    absl::Status status;
    if (n >= 0) {
      status = CheckTime();  // One that sends a byte now and then stands still never.
      if (status.ok() && t_limits != nullptr) status = t_limits->Received(static_cast<uint64_t>(n));
      if (status.ok()) return n;
    } else {
      status = errno == EAGAIN || errno == EINTR ? Wait(stream, POLLIN, StallTimeout()) : SystemError(errno);
    }
    if (!status.ok()) return End(stream, status);
  }
}

ssize_t Write(git_stream* parent, const char* data, size_t size, int) {
  const Stream& stream = *Of(parent);
  for (;;) {
    const ssize_t n = send(stream.socket, data, size, MSG_NOSIGNAL);
    if (n >= 0) return n;
    const absl::Status status =
        errno == EAGAIN || errno == EINTR ? Wait(stream, POLLOUT, StallTimeout()) : SystemError(errno);
    if (!status.ok()) return End(stream, status);
  }
}

int Close(git_stream* parent) {
  Stream* stream = Of(parent);
  if (stream->socket >= 0) close(std::exchange(stream->socket, -1));
  return 0;
}

void Free(git_stream* parent) {
  Stream* stream = Of(parent);
  Close(parent);
  std::free(stream->host);
  std::free(stream->port);
  delete stream;
}

int Make(git_stream** made, const char* host, const char* port) {
  auto* stream = new Stream{};
  stream->parent.version = GIT_STREAM_VERSION;
  stream->parent.connect = Connect;
  stream->parent.read = Read;
  stream->parent.write = Write;
  stream->parent.close = Close;
  stream->parent.free = Free;
  stream->host = strdup(host);
  stream->port = strdup(port);
  stream->socket = -1;
  *made = &stream->parent;
  return 0;
}

// ---- TLS over a stream: libgit2's own knows no client certificates, and no TLS 1.3

using SslContext = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

struct TlsStream {
  git_stream parent;
  git_stream* below;
  bool owns_below;
  std::string host;
  SslContext context{nullptr, SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl{nullptr, SSL_free};
};

TlsStream* TlsOf(git_stream* stream) { return reinterpret_cast<TlsStream*>(stream); }

// What OpenSSL says, as libcurl has it: "tlsv13 alert certificate required".
std::string SslWords() {
  const unsigned long error = ERR_get_error();
  const char* reason = ERR_reason_error_string(error);
  ERR_clear_error();
  return reason != nullptr ? reason : "the connection was closed";
}

int SayTls(const std::string& words) {
  if (t_limits != nullptr && !t_limits->ended().ok()) return -1;  // That is why, and said already.
  git_error_set_str(GIT_ERROR_SSL, words.c_str());
  return -1;
}

int BioRead(BIO* bio, char* data, int size) {
  auto* below = static_cast<git_stream*>(BIO_get_data(bio));
  return static_cast<int>(below->read(below, data, static_cast<size_t>(size)));
}
int BioWrite(BIO* bio, const char* data, int size) {
  auto* below = static_cast<git_stream*>(BIO_get_data(bio));
  return static_cast<int>(below->write(below, data, static_cast<size_t>(size), 0));
}
long BioControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO* BioOver(git_stream* below) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "git_stream");
    BIO_meth_set_read(made, BioRead);
    BIO_meth_set_write(made, BioWrite);
    BIO_meth_set_ctrl(made, BioControl);
    return made;
  }();
  BIO* bio = BIO_new(method);
  BIO_set_data(bio, below);
  BIO_set_init(bio, 1);
  return bio;
}

// With the authorities and the certificate of `network`. Null: one of its files cannot be used.
SslContext MakeContext(const NetworkOptions& network) {
  SslContext context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // HTTP and packs say by themselves where they end.
  SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  // As git takes it.
  const char* variable = std::getenv("GIT_SSL_CAINFO");
  const char* authorities = network.ca_file.empty() ? variable : network.ca_file.c_str();
  bool good = authorities != nullptr ? SSL_CTX_load_verify_locations(context.get(), authorities, nullptr) == 1
                                     : SSL_CTX_set_default_verify_paths(context.get()) == 1;
  if (!network.client_cert.empty()) {
    const auto& key = network.client_key.empty() ? network.client_cert : network.client_key;
    good = good && SSL_CTX_use_certificate_chain_file(context.get(), network.client_cert.c_str()) == 1 &&
           SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) == 1;
  }
  if (!good) context.reset();
  return context;
}

int TlsConnect(git_stream* parent) {
  TlsStream* stream = TlsOf(parent);
  if (stream->owns_below && stream->below->connect(stream->below) != 0) return -1;
  stream->context = MakeContext(t_limits != nullptr ? t_limits->network() : NetworkOptions{});
  if (stream->context == nullptr) return SayTls("a certificate file cannot be used: " + SslWords());
  stream->ssl.reset(SSL_new(stream->context.get()));
  SSL* const ssl = stream->ssl.get();
  BIO* const bio = BioOver(stream->below);
  SSL_set_bio(ssl, bio, bio);
  X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(wanted, stream->host.c_str()) != 1) {
    ERR_clear_error();
    SSL_set_tlsext_host_name(ssl, stream->host.c_str());
    if (SSL_set1_host(ssl, stream->host.c_str()) != 1) return SayTls("not a host's name: " + stream->host);
  }
  if (SSL_connect(ssl) == 1) return 0;
  const long verified = SSL_get_verify_result(ssl);
  if (verified == X509_V_OK) return SayTls("TLS: " + SslWords());
  SayTls(absl::StrFormat("the SSL certificate is invalid: %s", X509_verify_cert_error_string(verified)));
  return GIT_ECERTIFICATE;
}

ssize_t TlsRead(git_stream* parent, void* data, size_t size) {
  SSL* const ssl = TlsOf(parent)->ssl.get();
  const int n = SSL_read(ssl, data, static_cast<int>(std::min<size_t>(size, INT_MAX)));
  if (n > 0) return n;
  const int error = SSL_get_error(ssl, n);
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  return SayTls("TLS: " + SslWords());
}

ssize_t TlsWrite(git_stream* parent, const char* data, size_t size, int) {
  const int n = SSL_write(TlsOf(parent)->ssl.get(), data, static_cast<int>(std::min<size_t>(size, INT_MAX)));
  return n > 0 ? n : SayTls("TLS: " + SslWords());
}

// libgit2 asks only who has a callback for it.
int NoCertificate(git_cert**, git_stream*) { return -1; }

int TlsClose(git_stream* parent) {
  TlsStream* stream = TlsOf(parent);
  return stream->owns_below ? stream->below->close(stream->below) : 0;
}

void TlsFree(git_stream* parent) {
  TlsStream* stream = TlsOf(parent);
  if (stream->owns_below) stream->below->free(stream->below);
  delete stream;
}

int Wrap(git_stream** made, git_stream* below, const char* host, bool owns_below) {
  auto* stream = new TlsStream{};
  stream->parent.version = GIT_STREAM_VERSION;
  stream->parent.encrypted = 1;
  stream->parent.connect = TlsConnect;
  stream->parent.certificate = NoCertificate;
  stream->parent.read = TlsRead;
  stream->parent.write = TlsWrite;
  stream->parent.close = TlsClose;
  stream->parent.free = TlsFree;
  stream->below = below;
  stream->owns_below = owns_below;
  stream->host = host;
  *made = &stream->parent;
  return 0;
}
int WrapTls(git_stream** made, git_stream* below, const char* host) { return Wrap(made, below, host, false); }

int MakeTls(git_stream** made, const char* host, const char* port) {
  git_stream* below = nullptr;
  return Make(&below, host, port) == 0 ? Wrap(made, below, host, true) : -1;
}

bool Register() {
  git_stream_registration plain = {}, tls = {};
  plain.version = tls.version = GIT_STREAM_VERSION;
  plain.init = Make;
  tls.init = MakeTls;
  tls.wrap = WrapTls;
  return git_stream_register(GIT_STREAM_STANDARD, &plain) == 0 && git_stream_register(GIT_STREAM_TLS, &tls) == 0;
}

}  // namespace

StreamLimits::StreamLimits(const NetworkOptions& network, const std::atomic<bool>* stop, absl::Time deadline,
                           uint64_t max_bytes)
    : network_(network), stop_(stop), deadline_(deadline), max_bytes_(max_bytes) {
  static const bool registered = Register();
  CHECK(registered && t_limits == nullptr);
  t_limits = this;
}

absl::Status StreamLimits::Received(uint64_t bytes) {
  received_ += bytes;
  if (received_ <= max_bytes_) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrFormat("it says too much: more than %d bytes", max_bytes_));
}

StreamLimits::~StreamLimits() { t_limits = nullptr; }

}  // namespace unsprawl
