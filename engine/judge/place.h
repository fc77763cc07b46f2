// Where a match stands: line and column, and the name its value is assigned to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace unsprawl {

// Lines of one blob, counted once however many matches ask. Offsets are bytes; lines and columns count
// from 1, columns in bytes; a line ends after its '\n'. `content` is borrowed. Not thread-safe.
class Lines {
 public:
  explicit Lines(std::string_view content) : content_(content) {}

  struct Position {
    uint32_t line = 0, column = 0;
  };
  // Position of the byte at `offset` (clamped to the content's end). The first call up to some place
  // counts up to it; later ones cost at most one block of 16 KiB, however long the line.
  Position At(uint64_t offset);
  // The whole lines that [start, end) lies in, without the last one's '\n'.
  std::string_view Around(uint64_t start, uint64_t end);

  std::string_view content() const { return content_; }

 private:
  static constexpr uint64_t kBlockBytes = 16384;
  struct Block {
    uint64_t newlines = 0;    // before the block
    uint64_t line_start = 0;  // of the line that goes on into it
  };
  // The start of the line of `offset`; *newlines: how many precede it.
  uint64_t LineStart(uint64_t offset, uint64_t* newlines);

  std::string_view content_;
  std::vector<Block> blocks_ = {Block{}};
};

// The name that the value at [start, end) of `content` is assigned to in its own line, or empty:
//   password = "…"   "password": "…"   <password>…   --password …   setPassword("…")   PASSWORD=…
// ASCII, at most 64 bytes. Empty when what stands there does not look like a name (IsShowableName).
std::string IdentifierBefore(std::string_view content, uint64_t start);

}  // namespace unsprawl
