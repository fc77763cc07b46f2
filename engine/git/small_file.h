#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace unsprawl {

// The whole of a regular file of at most `max_bytes`. Never blocks on a pipe or a device.
// NotFound: there is none. FailedPrecondition: not a regular file. ResourceExhausted: larger.
// PermissionDenied or Unavailable: the operating system refused, with its sentence.
absl::StatusOr<std::string> ReadSmallFile(const std::filesystem::path& path, uint64_t max_bytes);

// `text` up to its first newline, without blanks at either end.
std::string FirstLine(std::string_view text);

}  // namespace unsprawl
