#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "engine/base/object_id.h"

namespace unsprawl {

// Says of most blobs that were never added that they were not: a Bloom filter whose bits for one
// blob lie in one word, taken from the id itself, which is uniform. One megabyte; wrong for 2 % of
// unknown blobs when a million were added. Not thread-safe.
class SeenFilter {
 public:
  void Add(const ObjectId& id) {
    if (words_.empty()) words_.resize(kWords);
    words_[IndexOf(id)] |= MaskOf(id);
  }
  bool MayContain(const ObjectId& id) const {
    if (words_.empty()) return false;
    const uint64_t mask = MaskOf(id);
    return (words_[IndexOf(id)] & mask) == mask;
  }

 private:
  static constexpr size_t kWords = 1 << 17;

  static size_t IndexOf(const ObjectId& id) {
    uint32_t bits;
    std::memcpy(&bits, id.bytes.data() + 4, sizeof(bits));
    return bits % kWords;
  }
  static uint64_t MaskOf(const ObjectId& id) {
    uint64_t mask = 0;
    for (int i = 8; i < 12; ++i) mask |= uint64_t{1} << (id.bytes[static_cast<size_t>(i)] & 63);
    return mask;
  }

  std::vector<uint64_t> words_;
};

}  // namespace unsprawl
