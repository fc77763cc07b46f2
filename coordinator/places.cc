#include "coordinator/places.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

namespace unsprawl {
namespace {

std::filesystem::path Base(const char* variable, const char* below_home) {
  const char* value = std::getenv(variable);
  if (value != nullptr && value[0] == '/') return value;  // Relative ones are invalid there.
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return std::filesystem::path(home) / below_home;
  // Not a guessable place in /tmp, which anybody could have made before us.
  const passwd* user = getpwuid(getuid());
  return std::filesystem::path(user != nullptr ? user->pw_dir : "/nonexistent") / below_home;
}

}  // namespace

std::filesystem::path StateDir() { return Base("XDG_STATE_HOME", ".local/state") / "unsprawl"; }
std::filesystem::path CacheDir() { return Base("XDG_CACHE_HOME", ".cache") / "unsprawl"; }

}  // namespace unsprawl
