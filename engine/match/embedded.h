// Text that stands encoded within a line: base64, also its form for URLs, and hexadecimal digits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace unsprawl {

enum class Embedding : uint8_t {
  kNone = 0,
  kBase64 = 1,  // either alphabet, padded or not
  kHex = 2,     // of one case
};

// An encoded text: text[start, end) of what it was found in.
struct EmbeddedText {
  uint64_t start = 0, end = 0;
  Embedding embedding = Embedding::kNone;
  std::string decoded;
};

// A run of the encoding's characters is as long at least, bytes; shorter ones hold no credential that is told by itself.
inline constexpr uint64_t kLeastEmbeddedBytes = 32;

// The first run of encoded characters that begins at `from` or later and is readable once decoded (ASCII, some UTF-8).
// Depends on nothing but the run and the byte to each side of it. Time: less than to read the text, where there is none.
std::optional<EmbeddedText> FindEmbedded(std::string_view text, uint64_t from);

// What FindEmbedded decoded.
std::string DecodeEmbedded(std::string_view encoded, Embedding embedding);

// The encoded characters that decoded bytes [begin, end) come from, as offsets from the run's start.
struct EncodedRange {
  uint64_t begin, end;
};
EncodedRange EncodedFrom(uint64_t begin, uint64_t end, Embedding embedding);

}  // namespace unsprawl
