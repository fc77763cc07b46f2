#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace unsprawl {

// Gives each distinct string a small dense number, in order of first sight. Not thread-safe.
class StringTable {
 public:
  uint32_t Add(std::string_view text) {
    const auto found = numbers_.find(text);
    if (found != numbers_.end()) return found->second;
    const uint32_t number = size();
    strings_.emplace_back(text);
    numbers_.emplace(strings_.back(), number);
    return number;
  }
  std::string_view at(uint32_t number) const { return strings_[number]; }
  uint32_t size() const { return static_cast<uint32_t>(strings_.size()); }

 private:
  std::deque<std::string> strings_;  // addresses stay
  absl::flat_hash_map<std::string_view, uint32_t> numbers_;
};

}  // namespace unsprawl
