// Text that stands encoded in another: base64, also its form for URLs and wrapped over lines, hexadecimal digits, escapes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace unsprawl {

enum class Embedding : uint8_t {
  kNone = 0,
  kBase64 = 1,       // either alphabet, padded or not, within a line and not at its end
  kHex = 2,          // of one case
  kBase64Lines = 3,  // begins in the last run of a line and may go on in the lines below it
  kEscapes = 4,      // a line with escapes (engine/match/escapes.h)
};

// Static text: "base64".
std::string_view EmbeddingName(Embedding embedding);

// An encoded text: text[start, end) of what it was found in.
struct EmbeddedText {
  uint64_t start = 0, end = 0;
  Embedding embedding = Embedding::kNone;
  std::string decoded;
};

// A run of the encoding's characters is as long at least, bytes; shorter ones hold no credential that is told by itself.
inline constexpr uint64_t kLeastEmbeddedBytes = 32;

// The first run of encoded characters that begins at `from` or later and is readable once decoded (ASCII, some UTF-8):
// kBase64, kHex or, where nothing but quotes, signs and spaces follows in its line, kBase64Lines. Of a line that is nothing
// but such a run up to three characters may be left out at its start, which belong to the line above.
// Depends on nothing but the line. Time: less than to read the text, where there is none.
std::optional<EmbeddedText> FindEmbedded(std::string_view text, uint64_t from);

// The base64 that begins with the run at `starts[0]` of kBase64Lines and goes on in the lines below it, where they are
// nothing but a run, with signs and spaces around it. `starts`: where FindEmbedded found such runs, ascending. All of
// them that go on belong to it, and a last line that is too short to be among them. *lines: how many of `starts` do.
EmbeddedText FindWrapped(std::string_view text, std::span<const uint64_t> starts, size_t* lines);

// What is decoded from an encoded text, or from a part of it as EncodedPlaces tells. Never longer than it.
std::string DecodeEmbedded(std::string_view encoded, Embedding embedding);

// [begin, end) of some text.
struct EncodedRange {
  uint64_t begin, end;
};

// Which encoded characters decoded bytes come from. `encoded` must outlive it. Ranges of bytes are not empty and within
// what is decoded; characters count from the start of `encoded`.
class EncodedPlaces {
 public:
  EncodedPlaces(std::string_view encoded, Embedding embedding);

  // The characters that decoded bytes [begin, end) come from. Time: logarithmic, as for Around.
  EncodedRange From(uint64_t begin, uint64_t end) const;

  // A small part of `encoded` that is decoded by itself to bytes [begin, end) and perhaps some around them.
  struct Part {
    uint64_t begin, end;     // in `encoded`
    uint64_t decoded_begin;  // of its first decoded byte
  };
  Part Around(uint64_t begin, uint64_t end) const;

 private:
  // From a character of the text without its layout, or from a decoded byte of a line with escapes, to where it is.
  struct Mark {
    uint64_t plain, encoded;
  };
  const Mark& MarkOf(uint64_t plain) const;
  uint64_t CharacterAt(uint64_t index) const;
  Part TokenOf(uint64_t byte) const;

  std::string_view encoded_;
  Embedding embedding_;
  std::vector<Mark> marks_;  // one for each line, or every few hundred bytes
};

}  // namespace unsprawl
