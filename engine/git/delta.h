// git's delta format (Documentation/gitformat-pack, "Deltified representation").
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/base/copy_run.h"

namespace unsprawl {

// What a delta says of itself before its instructions.
struct DeltaHeader {
  uint64_t base_bytes;
  uint64_t result_bytes;
  size_t header_bytes;  // where the instructions begin
};

// nullopt: the delta ends within its sizes, or one of them does not fit in 64 bits.
std::optional<DeltaHeader> ParseDeltaHeader(std::string_view delta);

// Carries out `instructions` (a delta without its header) upon `base` into `out`, whose size must be
// the header's result_bytes. Appends to *copies, merged, what was copied (may be null).
// False: an instruction reaches beyond base or result, the delta ends within one, the reserved
// instruction 0 occurs, or the result is not filled exactly; `out` and *copies are then undefined.
bool ApplyDelta(std::string_view instructions, std::string_view base, std::span<char> out,
                std::vector<CopyRun>* copies);

}  // namespace unsprawl
