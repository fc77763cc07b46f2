#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

struct libdeflate_decompressor;

namespace unsprawl {

// Decompresses zlib streams whose size is known beforehand. Not thread-safe: one per thread.
class Inflater {
 public:
  Inflater();
  ~Inflater();

  // Fills `out` from the zlib stream at the start of `in` (more may follow it). True only if the stream
  // is whole, its Adler-32 is right and it yields exactly out.size() bytes.
  bool Inflate(std::span<const uint8_t> in, std::span<char> out);

 private:
  struct Release {
    void operator()(libdeflate_decompressor* decompressor) const;
  };
  std::unique_ptr<libdeflate_decompressor, Release> decompressor_;
};

// False if `in_bytes` of deflate cannot hold `out_bytes`, whatever they are: deflate's best is 1032:1.
// Keeps a lie in a header from being allocated.
inline bool CanInflateTo(uint64_t in_bytes, uint64_t out_bytes) {
  return out_bytes / 1032 <= in_bytes;
}

// The first bytes of a zlib stream, for a header inside it: as many as `in` and `out` allow. Returns
// how many were written; 0 if the stream is damaged from its start. Slow; thread-safe.
size_t InflatePrefix(std::span<const uint8_t> in, std::span<char> out);

}  // namespace unsprawl
