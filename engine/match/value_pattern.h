// The shape of a value as a provider documents it, "key-{hex:32}": how it is parsed and found in text.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace unsprawl {

// Literal text and pieces in braces (docs/rules.md, "Keyword rules"), the same as examples are made of.
// Immutable, thread-safe, copyable.
class ValuePattern {
 public:
  // InvalidArgument: an unknown piece, a length that is none, no piece at all, or longer than kMaxValueBytes.
  static absl::StatusOr<ValuePattern> Parse(std::string_view text);

  // The end of the value that begins at `start` of `text`: the longest that has this shape and is not
  // part of a longer word. The byte before `start` is looked at, too. nullopt: there is none. *work grows by the
  // bytes that were compared: linear in the value, but for shapes of several pieces of varying length.
  std::optional<size_t> MatchAt(std::string_view text, size_t start, uint64_t* work) const;

  // {any}: the provider documents no shape; a text that looks drawn at random will do.
  bool is_any() const { return any_; }
  // Of a match, bytes.
  size_t min_bytes() const { return min_bytes_; }
  // As an expression (RE2 and Go) without groups, for those who have nothing else: it says nothing of what stands around
  // a value, nor, of {any}, whether it looks drawn.
  std::string Regex() const;

 private:
  struct Part {
    std::bitset<256> bytes;
    size_t min = 0, max = 0;
  };
  std::optional<size_t> MatchParts(std::string_view text, size_t at, size_t part, uint64_t limit, uint64_t* work) const;
  bool EndsWell(std::string_view text, size_t end) const;

  std::vector<Part> parts_;
  bool any_ = false;
  size_t min_bytes_ = 0;
};

// No value that is found beside a name is longer.
inline constexpr size_t kMaxValueBytes = 2048;

}  // namespace unsprawl
