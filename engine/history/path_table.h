#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace unsprawl {

// Paths as numbers: each is its folder's number and the number of its last name. Not thread-safe.
class PathTable {
 public:
  static constexpr uint32_t kRoot = 0;
  // Longer paths are not followed: no system could check them out (Linux: 4,096), and folders that a
  // forged pack nests in themselves end somewhere.
  static constexpr uint32_t kMaxPathBytes = 4096;

  PathTable() : steps_{{0, 0}} {}

  uint32_t Add(uint32_t folder, uint32_t name) {
    const auto [it, fresh] = numbers_.try_emplace(uint64_t{folder} << 32 | name,
                                                  static_cast<uint32_t>(steps_.size()));
    if (fresh) steps_.push_back({folder, name});
    return it->second;
  }
  uint32_t size() const { return static_cast<uint32_t>(steps_.size()); }
  uint32_t folder(uint32_t path) const { return steps_[path].folder; }
  uint32_t name(uint32_t path) const { return steps_[path].name; }

  // The number in this table of each path of `other`.
  std::vector<uint32_t> AddAll(const PathTable& other) {
    std::vector<uint32_t> renumbered(other.size(), kRoot);
    for (uint32_t path = 1; path < other.size(); ++path) {  // folders come before what is in them
      renumbered[path] = Add(renumbered[other.folder(path)], other.name(path));
    }
    return renumbered;
  }

  // The names of a path, first folder first.
  std::vector<uint32_t> NamesOf(uint32_t path) const {
    std::vector<uint32_t> names_of;
    for (; path != kRoot; path = folder(path)) names_of.push_back(name(path));
    return {names_of.rbegin(), names_of.rend()};
  }

  // With slashes. What follows a zero byte in a name only tells duplicates of one tree apart.
  std::string Render(uint32_t path, std::span<const std::string_view> names) const {
    return RenderNames(NamesOf(path), names);
  }

  // In byte order of the rendered paths, different ones that render alike by number.
  bool IsBefore(uint32_t a, uint32_t b, std::span<const std::string_view> names) const {
    const std::vector<uint32_t> x = NamesOf(a), y = NamesOf(b);
    size_t same = 0;
    while (same < x.size() && same < y.size() && x[same] == y[same]) ++same;
    const int order = RenderNames(std::span(x).subspan(same), names)
                          .compare(RenderNames(std::span(y).subspan(same), names));
    return order != 0 ? order < 0 : a < b;
  }

 private:
  static std::string RenderNames(std::span<const uint32_t> steps, std::span<const std::string_view> names) {
    std::string text;
    for (size_t i = 0; i < steps.size(); ++i) {
      if (i > 0) text += '/';
      const std::string_view name = names[steps[i]];
      text += name.substr(0, name.find('\0'));
    }
    return text;
  }

  struct Step {
    uint32_t folder, name;
  };
  std::vector<Step> steps_;
  absl::flat_hash_map<uint64_t, uint32_t> numbers_;
};

}  // namespace unsprawl
