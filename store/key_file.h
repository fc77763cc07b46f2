// The organization's HMAC key: where it comes from, how it is made and rotated.
//
// A key file is text: the line "unsprawl key 1", the key as 64 hexadecimal digits, then the keys it
// replaced, one a line, youngest first. Mode 0600; never in the store.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/secret.h"

namespace unsprawl {

struct KeyRing {
  SecretKey current;
  std::vector<SecretKey> previous;  // youngest first; kept until every id has been carried over
  std::string source;               // for people: a path, or the name of a variable
};

// $XDG_CONFIG_HOME/unsprawl/key, else ~/.config/unsprawl/key. FailedPrecondition: neither is set.
absl::StatusOr<std::filesystem::path> DefaultKeyPath();

// The key in use: from `path` when it is not empty, else from $UNSPRAWL_KEY (64 hexadecimal digits,
// those of replaced keys after commas), else from $CREDENTIALS_DIRECTORY/unsprawl-key (systemd),
// else from the default path. A missing file at `path` or the default path is made; of two
// processes that make it at once, one wins and both get its key. FailedPrecondition: the file is
// open to group or others, or belongs to somebody else. InvalidArgument: not a key. Unavailable:
// cannot be read or written.
absl::StatusOr<KeyRing> LoadOrCreateKey(const std::filesystem::path& path = {});
// The same without making anything. NotFound: there is no key yet.
absl::StatusOr<KeyRing> LoadKey(const std::filesystem::path& path = {});

// Writes a new key to `path`. AlreadyExists: there is one.
absl::Status CreateKeyFile(const std::filesystem::path& path);
// Replaces the key in `path` by a new one, which remembers it as previous. Atomic; one at a time.
absl::Status RotateKeyFile(const std::filesystem::path& path);
// Forgets the replaced keys. Atomic. Stores that still use one refuse the new key from then on.
absl::Status ForgetPreviousKeys(const std::filesystem::path& path);

// What a store keeps of a key (Ledger::UseKey), and 12 hexadecimal digits of it for people.
std::vector<SecretId> PreviousChecks(const KeyRing& ring);
std::string KeyFingerprint(const SecretKey& key);

}  // namespace unsprawl
