// `unsprawl key`: the organization's HMAC key. Each function returns the text to print.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace unsprawl {

// `path` empty: the default place (store/key_file.h). AlreadyExists: there is a key.
absl::StatusOr<std::string> KeyInit(const std::filesystem::path& path);

// 12 hexadecimal digits that tell this key from another, from wherever the key in use comes.
absl::StatusOr<std::string> KeyFingerprintCommand(const std::filesystem::path& path);

// Puts a new key into the key file; the replaced one stays in it until `key forget`.
// FailedPrecondition: the key in use comes from the environment or a credential, where only whoever
// put it there can replace it.
absl::StatusOr<std::string> KeyRotate(const std::filesystem::path& path);

// Takes the replaced keys out of the key file. FailedPrecondition: the store in `store` still holds
// ids made with one (run a scan first), or was never opened with the new key.
absl::StatusOr<std::string> KeyForget(const std::filesystem::path& path,
                                      const std::filesystem::path& store);

}  // namespace unsprawl
