#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/base/status.h"

namespace unsprawl {

// Short runs of words that stay where they are: growing never copies, so nothing is held twice and
// nothing freed lies about in the heap of a thread. Not thread-safe; reading is.
class WordPool {
 public:
  // Room for `count` words, and the handle to them. Their values are undefined.
  uint32_t Add(uint32_t count, std::span<uint32_t>& words) {
    if (blocks_.empty() || count > kBlockWords - used_) {
      CHECK(blocks_.size() < UINT16_MAX);  // 17 GB: a process is limited to less
      blocks_.emplace_back(new uint32_t[std::max(count, kBlockWords)]);  // not cleared
      used_ = 0;
    }
    words = {blocks_.back().get() + used_, count};
    const uint32_t handle = static_cast<uint32_t>(blocks_.size() - 1) << 16 | used_;
    used_ = std::min(used_ + count, kBlockWords);  // one larger than a block has the block alone
    return handle;
  }
  uint32_t* At(uint32_t handle) { return blocks_[handle >> 16].get() + (handle & 0xffff); }
  const uint32_t* At(uint32_t handle) const { return blocks_[handle >> 16].get() + (handle & 0xffff); }

 private:
  static constexpr uint32_t kBlockWords = 1 << 16;
  std::vector<std::unique_ptr<uint32_t[]>> blocks_;
  uint32_t used_ = 0;  // words of the last block
};

}  // namespace unsprawl
