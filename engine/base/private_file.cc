#include "engine/base/private_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_format.h"

namespace unsprawl {

bool IsPrivate(mode_t mode, uid_t owner, uid_t reader) {
  return (mode & (owner == 0 && reader != 0 ? 037 : 077)) == 0;
}

absl::Status CheckPrivate(const std::string& file) {
  struct stat info = {};
  if (stat(file.c_str(), &info) != 0) return absl::NotFoundError(absl::StrFormat("%s: no such file", file));
  const char* credentials = std::getenv("CREDENTIALS_DIRECTORY");
  const bool from_systemd = credentials != nullptr && *credentials != '\0' &&
                            file.rfind(std::string(credentials) + "/", 0) == 0;
  if (!from_systemd && !IsPrivate(info.st_mode, info.st_uid, geteuid())) {
    return absl::PermissionDeniedError(
        absl::StrFormat("%s is open to others (mode %o): chmod 600 it", file, info.st_mode & 0777));
  }
  return absl::OkStatus();
}

}  // namespace unsprawl
