// Numbering what is left of a sequence when a sorted list of its members does not count.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace unsprawl {

// The member of rank `rank` among those not in `shadowed` (sorted, distinct). O(log n).
inline uint32_t EntryOfRank(const std::vector<uint32_t>& shadowed, uint32_t rank) {
  // How many shadowed members stand before the one sought.
  size_t low = 0, high = shadowed.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (shadowed[middle] - middle <= rank) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return rank + static_cast<uint32_t>(low);
}

// The rank of `entry` among those not in `shadowed`; nullopt if it is in it. O(log n).
inline std::optional<uint32_t> RankOfEntry(const std::vector<uint32_t>& shadowed, uint32_t entry) {
  const auto after = std::lower_bound(shadowed.begin(), shadowed.end(), entry);
  if (after != shadowed.end() && *after == entry) return std::nullopt;
  return entry - static_cast<uint32_t>(after - shadowed.begin());
}

}  // namespace unsprawl
