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
int End(const Stream& stream, const std::string& what) {
  const std::string text = absl::StrFormat("%s:%s: %s", stream.host, stream.port, what);
  if (t_limits != nullptr) t_limits->End(absl::UnavailableError(text));
  git_error_set_str(GIT_ERROR_NET, text.c_str());
  return -1;
}

// Waits until the socket is ready for `events`. False: the connection has ended.
bool Wait(const Stream& stream, short events, absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  for (;;) {
    pollfd wait = {.fd = stream.socket, .events = events, .revents = 0};
    if (poll(&wait, 1, kPollMs) > 0) return true;
    if (t_limits != nullptr && t_limits->stop() != nullptr && *t_limits->stop()) {
      t_limits->End(absl::CancelledError("stopped"));
      return false;
    }
    if (absl::Now() < deadline) continue;
    End(stream, absl::StrFormat("the connection stood still for %s", absl::FormatDuration(patience)));
    return false;
  }
}

absl::Duration StallTimeout() {
  return t_limits != nullptr ? t_limits->network().stall_timeout : NetworkOptions{}.stall_timeout;
}

// Connects the stream to one address; an errno, or 0.
int ConnectTo(Stream* stream, const addrinfo& address, absl::Duration patience) {
  stream->socket = socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
  if (stream->socket < 0) return errno;
  int error = connect(stream->socket, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    socklen_t size = sizeof(error);
    if (!Wait(*stream, POLLOUT, patience)) {
      error = ETIMEDOUT;
    } else {
      getsockopt(stream->socket, SOL_SOCKET, SO_ERROR, &error, &size);
    }
  }
  if (error != 0) close(std::exchange(stream->socket, -1));
  return error;
}

int Connect(git_stream* parent) {
  Stream* stream = Of(parent);
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (const int failed = getaddrinfo(stream->host, stream->port, &hints, &found); failed != 0) {
    return End(*stream, gai_strerror(failed));
  }
  const absl::Duration patience =
      t_limits != nullptr ? t_limits->network().connect_timeout : NetworkOptions{}.connect_timeout;
  int error = EHOSTUNREACH;
  for (const addrinfo* address = found; address != nullptr && error != 0; address = address->ai_next) {
    error = ConnectTo(stream, *address, patience);
  }
  freeaddrinfo(found);
  return error == 0 ? 0 : End(*stream, std::strerror(error));
}

ssize_t Read(git_stream* parent, void* data, size_t size) {
  const Stream& stream = *Of(parent);
  for (;;) {
    const ssize_t n = recv(stream.socket, data, size, 0);
    if (n >= 0) return n;
    if (errno != EAGAIN && errno != EINTR) return End(stream, std::strerror(errno));
    if (!Wait(stream, POLLIN, StallTimeout())) return -1;
  }
}

ssize_t Write(git_stream* parent, const char* data, size_t size, int) {
  const Stream& stream = *Of(parent);
  for (;;) {
    const ssize_t n = send(stream.socket, data, size, MSG_NOSIGNAL);
    if (n >= 0) return n;
    if (errno != EAGAIN && errno != EINTR) return End(stream, std::strerror(errno));
    if (!Wait(stream, POLLOUT, StallTimeout())) return -1;
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

StreamLimits::StreamLimits(const NetworkOptions& network, const std::atomic<bool>* stop)
    : network_(network), stop_(stop) {
  static const bool registered = Register();
  CHECK(registered && t_limits == nullptr);
  t_limits = this;
}

StreamLimits::~StreamLimits() { t_limits = nullptr; }

}  // namespace unsprawl
