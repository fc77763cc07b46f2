// Checksums that providers put into their tokens, verified without a call.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace unsprawl {

enum class Check : uint8_t {
  kNone,  // cannot be told: an older form without a checksum, or one whose rule is not certain
  kOk,
  kBad,
  kDead,  // structure checks only: well-formed, but expired
};

using ChecksumFunction = Check (*)(std::string_view secret);

// Which checksum a rule's `checksum` names; null when there is none of that name. docs/rules.md has the
// list with sources. All are pure and thread-safe and take any bytes.
ChecksumFunction FindChecksum(std::string_view name);

// Names of all checksums, for messages and tests.
std::span<const std::string_view> ChecksumNames();

// CRC-32 as in zip and PNG (reflected 0xEDB88320). CRC-24 as in OpenPGP (RFC 9580, 6.1.1).
uint32_t Crc32(std::string_view bytes);
uint32_t Crc24(std::string_view bytes);

// `number` in the alphabet 0-9A-Za-z (base 62) or 0-9a-z (base 36), padded with 0 to `width`.
std::string Base62(uint32_t number, int width);
std::string Base36(uint32_t number, int width);

}  // namespace unsprawl
