#include "coordinator/libgit2_stream.h"

#include <git2.h>
#include <git2/sys/stream.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
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

bool Register() {
  git_stream_registration registration = {};
  registration.version = GIT_STREAM_VERSION;
  registration.init = Make;
  return git_stream_register(GIT_STREAM_STANDARD, &registration) == 0;
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
