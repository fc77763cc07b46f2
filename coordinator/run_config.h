#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/scan_command.h"

namespace unsprawl {

// Reads the configuration of `unsprawl run` (docs/run-config.md): places and limits at the top, and a
// [[scope]] for each group of targets with its own credentials, selection and policy. "${NAME}" in a path is
// a variable of the environment. Relative paths are relative to the file.
// NotFound: no such file. InvalidArgument: not TOML, an unknown or misspelt key, a value of the wrong kind,
// an unset variable; the message names file and line.
absl::StatusOr<ScanOptions> LoadRunConfig(const std::string& file, ScanOptions defaults);

// Seconds since the epoch when a day ("2025-01-31") begins in UTC. InvalidArgument: no such day.
absl::StatusOr<int64_t> SecondsAtDay(const std::string& day);

}  // namespace unsprawl
