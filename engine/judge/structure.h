// Checks of a token's inner form, made without a call: does a JWT parse, has it expired, does a key
// file hold together.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/judge/checksum.h"

namespace unsprawl {

// `match` is the whole match (it may hold more than the secret: a URL's other parameters); `now` is
// seconds since the epoch.
using StructureFunction = Check (*)(std::string_view secret, std::string_view match, int64_t now);

// Which check a rule's `structure` names; null when there is none of that name. docs/rules.md has the
// list. All are pure and thread-safe and take any bytes.
StructureFunction FindStructure(std::string_view name);

std::span<const std::string_view> StructureNames();

// Decodes base64 or base64url, padded or not; nullopt when a character is of neither alphabet, padding
// is misplaced, or the length is impossible.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace unsprawl
