// `unsprawl store`: each function does one thing to the store in `store` and returns the text to
// print. All but StoreRestore need the store for themselves: Unavailable names the process that has
// it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace unsprawl {

// Reads everything and checks what must hold; *text is set in every case that got so far.
// DataLoss: something is wrong; the text lists it.
absl::Status StoreCheck(const std::filesystem::path& store, std::string* text);

// `target` new or empty; the backup is itself a store.
absl::StatusOr<std::string> StoreBackup(const std::filesystem::path& store,
                                        const std::filesystem::path& target);

// Fills `store`, which must be new or empty, from a backup, and checks it.
absl::StatusOr<std::string> StoreRestore(const std::filesystem::path& backup,
                                         const std::filesystem::path& store);

// Brings the store to this program's schema (opening it does the same).
absl::StatusOr<std::string> StoreMigrate(const std::filesystem::path& store);

// Forgets a repository, by name or key, or a secret, by the 32 (or at least 12, if no other fits)
// hexadecimal digits of its id; then rewrites the files so that nothing of it is left on disk.
absl::StatusOr<std::string> StorePurgeRepository(const std::filesystem::path& store,
                                                 std::string_view name);
absl::StatusOr<std::string> StorePurgeSecret(const std::filesystem::path& store,
                                             std::string_view id);

}  // namespace unsprawl
