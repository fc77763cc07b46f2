#include "worker/frame_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

// Between the bytes of one frame.
constexpr int kFrameTimeoutMs = 60'000;

absl::Status Gone(const char* doing) {
  return absl::UnavailableError(
      absl::StrFormat("%s: the other process is gone (%s)", doing, std::strerror(errno)));
}

absl::Status WriteAll(int fd, const char* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Gone("sending");
    data += n;
    bytes -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

// Keeps a buffer for the next frame, but not the size of the largest one for ever.
void ShrinkIfLarge(std::string* buffer) {
  constexpr size_t kKeepBytes = 1 << 20;
  if (buffer->capacity() > kKeepBytes) std::string().swap(*buffer);
}

}  // namespace

FrameChannel::~FrameChannel() { close(fd_); }

absl::Status FrameChannel::Send(const google::protobuf::MessageLite& message) {
  MutexLock lock(send_mutex_);
  const size_t bytes = message.ByteSizeLong();
  if (bytes > kMaxFrameBytes) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("a message of %d bytes is above the limit of %d", bytes, kMaxFrameBytes));
  }
  const uint32_t length = static_cast<uint32_t>(bytes);
  send_buffer_.resize(sizeof(length) + bytes);
  std::memcpy(send_buffer_.data(), &length, sizeof(length));  // x86-64 and arm64: little-endian
  message.SerializeWithCachedSizesToArray(
      reinterpret_cast<uint8_t*>(send_buffer_.data() + sizeof(length)));
  const absl::Status sent = WriteAll(fd_, send_buffer_.data(), send_buffer_.size());
  ShrinkIfLarge(&send_buffer_);
  return sent;
}

absl::Status FrameChannel::Receive(google::protobuf::MessageLite* message, absl::Duration timeout) {
  pollfd wait = {.fd = fd_, .events = POLLIN, .revents = 0};
  const int wait_ms = timeout == absl::InfiniteDuration()
                          ? -1
                          : static_cast<int>(absl::ToInt64Milliseconds(timeout));
  const int ready = poll(&wait, 1, wait_ms);
  if (ready == 0 || (ready < 0 && errno == EINTR)) {
    return absl::DeadlineExceededError("no message yet");
  }
  if (ready < 0) return Gone("waiting");
  uint32_t length = 0;
  RETURN_IF_ERROR(ReadAll(reinterpret_cast<char*>(&length), sizeof(length)));
  if (length > kMaxFrameBytes) {
    return absl::DataLossError(absl::StrFormat("a frame announces %d bytes", length));
  }
  receive_buffer_.resize(length);
  RETURN_IF_ERROR(ReadAll(receive_buffer_.data(), length));
  const bool parsed = message->ParseFromArray(receive_buffer_.data(), static_cast<int>(length));
  ShrinkIfLarge(&receive_buffer_);
  if (!parsed) return absl::DataLossError("a frame does not hold the expected message");
  return absl::OkStatus();
}

absl::Status FrameChannel::ReadAll(char* data, size_t bytes) {
  while (bytes > 0) {
    pollfd wait = {.fd = fd_, .events = POLLIN, .revents = 0};
    const int ready = poll(&wait, 1, kFrameTimeoutMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) errno = ETIMEDOUT;
    if (ready <= 0) return Gone("receiving");
    const ssize_t n = recv(fd_, data, bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = ECONNRESET;
    if (n <= 0) return Gone("receiving");
    data += n;
    bytes -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

}  // namespace unsprawl
