#pragma once

#include <filesystem>

namespace unsprawl {

// Where unsprawl keeps things, after the XDG base directory specification. HOME unset: below /tmp, in a
// folder named by the user's id.
std::filesystem::path StateDir();  // $XDG_STATE_HOME/unsprawl  (~/.local/state/unsprawl)
std::filesystem::path CacheDir();  // $XDG_CACHE_HOME/unsprawl  (~/.cache/unsprawl)

}  // namespace unsprawl
