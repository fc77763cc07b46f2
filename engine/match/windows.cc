#include "engine/match/windows.h"

#include <algorithm>
#include <cstring>

#include "engine/base/lines.h"

namespace unsprawl {
namespace {

// Where the first line begins that starts inside of [begin, end), or `end`.
uint64_t AfterFirstNewline(std::string_view content, uint64_t begin, uint64_t end) {
  const void* found = std::memchr(content.data() + begin, '\n', end - begin);
  if (found == nullptr) return end;
  return static_cast<uint64_t>(static_cast<const char*>(found) - content.data()) + 1;
}

}  // namespace

void KeepWholeLines(std::string_view content, std::span<const CopyRun> copies, uint64_t base_bytes,
                    uint64_t min_bytes, std::vector<CopyRun>* whole_lines) {
  whole_lines->clear();
  for (const CopyRun& run : copies) {
    if (run.length < min_bytes) continue;
    uint64_t begin = run.offset;
    uint64_t end = run.offset + run.length;
    if (run.offset != 0 || run.base_offset != 0) begin = AfterFirstNewline(content, begin, end);
    if (end != content.size() || run.base_offset + run.length != base_bytes) {
      end = AfterLastNewline(content, begin, end);
    }
    if (begin >= end || end - begin < min_bytes) continue;
    whole_lines->push_back({.base_offset = run.base_offset + (begin - run.offset),
                            .offset = begin,
                            .length = end - begin});
  }
}

std::string_view LineWindows::Gather(std::string_view content,
                                     std::span<const CopyRun> whole_lines) {
  windows_.clear();
  uint64_t offset = 0, text_offset = 0;
  const auto add = [&](uint64_t end) {
    if (end == offset) return;
    windows_.push_back({.text_offset = text_offset, .offset = offset, .length = end - offset});
    text_offset += end - offset;
  };
  for (const CopyRun& run : whole_lines) {
    add(run.offset);
    offset = run.offset + run.length;
  }
  add(content.size());
  if (windows_.empty()) return {};
  if (windows_.size() == 1) return content.substr(windows_[0].offset, windows_[0].length);
  text_.clear();
  for (const Window& window : windows_) text_.append(content, window.offset, window.length);
  return text_;
}

uint64_t LineWindows::ToContent(uint64_t text_offset) const {
  const auto after = std::upper_bound(
      windows_.begin(), windows_.end(), text_offset,
      [](uint64_t value, const Window& window) { return value < window.text_offset; });
  const Window& window = *(after - 1);
  return window.offset + (text_offset - window.text_offset);
}

}  // namespace unsprawl
