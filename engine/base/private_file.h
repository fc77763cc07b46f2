#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"

namespace unsprawl {

// Whether a file with this mode and owner keeps a secret of the user `reader`: nobody but its owner can read it, or it
// is root's and root lets a group read it. The second is how Kubernetes hands a Secret to a container that is not
// root (fsGroup makes 0400 into 0440), and what PostgreSQL takes for its key: a user cannot change root's file, and
// whom root adds to a group is root's to decide.
bool IsPrivate(mode_t mode, uid_t owner, uid_t reader);

// OK if the file is private to this process's user (systemd sees to that below $CREDENTIALS_DIRECTORY).
// NotFound, PermissionDenied: the message says what to do.
absl::Status CheckPrivate(const std::string& file);

}  // namespace unsprawl
