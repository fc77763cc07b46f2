#include "coordinator/places.h"

#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

std::filesystem::path Base(const char* variable, const char* below_home) {
  const char* value = std::getenv(variable);
  if (value != nullptr && value[0] == '/') return value;  // Relative ones are invalid there.
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return std::filesystem::path(home) / below_home;
  return absl::StrFormat("/tmp/unsprawl-%d", getuid());
}

}  // namespace

std::filesystem::path StateDir() { return Base("XDG_STATE_HOME", ".local/state") / "unsprawl"; }
std::filesystem::path CacheDir() { return Base("XDG_CACHE_HOME", ".cache") / "unsprawl"; }

}  // namespace unsprawl
