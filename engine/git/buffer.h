#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "engine/base/status.h"

namespace unsprawl {

// Bytes that are overwritten again and again: growing neither copies nor clears. Not thread-safe.
class Buffer {
 public:
  // Makes room for `bytes`, whose values are undefined; what was in it is gone.
  char* Reset(size_t bytes) {
    if (bytes > capacity_ || bytes_ == nullptr) Grow(bytes);
    size_ = bytes;
    return bytes_.get();
  }
  // Gives the memory back.
  void Free() {
    bytes_.reset();
    capacity_ = size_ = 0;
  }
  char* data() { return bytes_.get(); }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  struct Release {
    void operator()(char* memory) const { std::free(memory); }
  };
  void Grow(size_t bytes) {
    Free();
    // An eighth of slack, so that a file growing from version to version does not reallocate often.
    capacity_ = bytes + bytes / 8 + 64;
    bytes_.reset(static_cast<char*>(std::malloc(capacity_)));
    CHECK(bytes_ != nullptr);
  }

  std::unique_ptr<char, Release> bytes_;
  size_t capacity_ = 0;
  size_t size_ = 0;
};

}  // namespace unsprawl
