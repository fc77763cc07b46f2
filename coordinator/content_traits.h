// What a blob is known under besides rules (docs/store-format.md, "Lists of rules"): whether it is an archive, whether it
// was looked into, what could not be read of it. All of it is kept as further keys of its list, so that it costs nothing
// where there are no archives, is merged as rules are, and is looked up with them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "unsprawl/v1/types.pb.h"

namespace unsprawl {

// The list (sorted) for a blob of these ContentTraits that was scanned under `rules`, with as much unpacked as the largest
// object may have.
std::vector<uint64_t> KeysWithTraits(std::span<const uint64_t> rules, uint32_t traits, uint64_t max_object_bytes);

// Which of `rules` (sorted) a blob known under `list` still needs, if archives are (not) looked into.
std::vector<uint64_t> StillNeeded(std::span<const uint64_t> rules, std::span<const uint64_t> list, bool archives,
                                  uint64_t max_object_bytes);

// The traits of a blob known under `list` as far as `rules` are concerned: looked into is what all of them were run inside.
uint32_t TraitsUnder(std::span<const uint64_t> rules, std::span<const uint64_t> list, uint64_t max_object_bytes);

// What a report says of such a blob; nullopt: nothing. At most one for each blob, a function of its traits.
std::optional<v1::Skip> SkipFor(uint32_t traits);

}  // namespace unsprawl
