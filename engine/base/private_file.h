#pragma once

#include <string>

#include "absl/status/status.h"

namespace unsprawl {

// OK if nobody but its owner can read the file (systemd sees to that below $CREDENTIALS_DIRECTORY).
// NotFound, PermissionDenied: the message says what to do.
absl::Status CheckPrivate(const std::string& file);

}  // namespace unsprawl
