// Which lines of a blob a delta touches, and which come whole from the base (docs/delta-scan.md).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/copy_run.h"

namespace unsprawl {

// Cuts every run of `copies` to the whole lines inside it: lines that begin and end within the run, so
// that they are lines of base and target alike. Only '\n' ends a line; the last line of a blob may lack
// it. What begins at byte 0 of both begins a line, what ends at the last byte of both ends one. Runs
// that keep less than `min_bytes` are dropped: to scan so little costs less than another window.
// Replaces *whole_lines (ascending by offset). Cost: the runs' first and last lines.
void KeepWholeLines(std::string_view content, std::span<const CopyRun> copies, uint64_t base_bytes,
                    uint64_t min_bytes, std::vector<CopyRun>* whole_lines);

// Stretches of whole lines of a blob laid one after the other in one text, and the way back.
// Reused from blob to blob; not thread-safe.
class LineWindows {
 public:
  // Gathers everything of `content` that is outside of `whole_lines` (as KeepWholeLines made them).
  // The text stays valid until the next call, and while `content` does: one window is not copied.
  std::string_view Gather(std::string_view content, std::span<const CopyRun> whole_lines);

  // The offset in the content of a byte of the text. The end of something in the text is mapped from
  // its start: it lies in the same window.
  uint64_t ToContent(uint64_t text_offset) const;

 private:
  struct Window {
    uint64_t text_offset, offset, length;
  };
  std::vector<Window> windows_;
  std::string text_;
};

}  // namespace unsprawl
