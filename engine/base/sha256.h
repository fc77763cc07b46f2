#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace unsprawl {

inline constexpr size_t kSha256Bytes = 32;

// SHA-256 (FIPS 180-4): kSha256Bytes raw bytes. Thread-safe.
std::string Sha256(std::string_view bytes);

}  // namespace unsprawl
