// Where a line begins.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace unsprawl {

// What follows the last newline of [begin, end), or `begin` when there is none: by memrchr, since string_view::rfind
// compares byte for byte. `begin` <= `end` <= the content's size.
inline uint64_t AfterLastNewline(std::string_view content, uint64_t begin, uint64_t end) {
  const void* const found = begin == end ? nullptr : memrchr(content.data() + begin, '\n', end - begin);
  if (found == nullptr) return begin;
  return static_cast<uint64_t>(static_cast<const char*>(found) - content.data()) + 1;
}

}  // namespace unsprawl
