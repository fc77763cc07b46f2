// The text of a blob whose bytes are not the text itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace unsprawl {

enum class Decoding : uint8_t {
  kNone,      // the bytes are the text
  kDecoded,   // *text holds it
  kTooLarge,  // it would be larger than allowed
};

// UTF-16 and UTF-32 of either byte order (told by a byte order mark or, without one, by where zeros are) become UTF-8,
// gzip (RFC 1952, all members) is unpacked; one within the other too. What is damaged or cut off is no such text: its bytes
// are scanned as they are. Behind the text and a newline *text has the bytes as they are, too: a byte order mark is easily
// put before what is none, and anything behind the end of a gzip file. *text is cleared and reused. Time: linear in the
// result; what is decoded has at most `max_bytes`.
Decoding DecodeText(std::string_view content, uint64_t max_bytes, std::string* text);

}  // namespace unsprawl
