#pragma once

#include <google/protobuf/message_lite.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/base/mutex.h"

namespace unsprawl {

// Messages over a connected stream socket: a 4-byte little-endian length, then that many bytes.
//
// Send may be called from many threads; Receive from one. The socket is closed by the destructor.
class FrameChannel {
 public:
  static constexpr uint32_t kMaxFrameBytes = 512 << 20;  // a locate shard of 15 million blobs

  explicit FrameChannel(int fd) : fd_(fd) {}
  ~FrameChannel();
  FrameChannel(const FrameChannel&) = delete;
  FrameChannel& operator=(const FrameChannel&) = delete;

  // Unavailable: the other side is gone.
  absl::Status Send(const google::protobuf::MessageLite& message);
  // Waits up to `timeout` for the first byte. DeadlineExceeded: nothing came, the channel is intact.
  // Unavailable: the other side is gone. DataLoss: not a frame, or not a message of this type.
  absl::Status Receive(google::protobuf::MessageLite* message,
                       absl::Duration timeout = absl::InfiniteDuration());

 private:
  absl::Status ReadAll(char* data, size_t bytes);

  const int fd_;
  Mutex send_mutex_;
  std::string send_buffer_ ABSL_GUARDED_BY(send_mutex_);
  std::string receive_buffer_;
};

}  // namespace unsprawl
