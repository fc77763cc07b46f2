// Big-endian numbers as git stores them. `at` needs no alignment.
#pragma once

#include <cstdint>
#include <cstring>

namespace unsprawl {

inline uint32_t ReadBig32(const void* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof(value));
  return __builtin_bswap32(value);
}

inline uint64_t ReadBig64(const void* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof(value));
  return __builtin_bswap64(value);
}

}  // namespace unsprawl
