#include "coordinator/key_command.h"

#include <stdlib.h>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "store/key_file.h"
#include "store/maintenance.h"
#include "store/rocksdb_ledger.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<fs::path> PathOrDefault(const fs::path& path) {
  if (!path.empty()) return path;
  return DefaultKeyPath();
}

// The key in use, when it is in a file that we may rewrite.
absl::StatusOr<KeyRing> LoadFromFile(const fs::path& path) {
  ASSIGN_OR_RETURN(KeyRing ring, LoadKey(path));
  ASSIGN_OR_RETURN(const fs::path file, PathOrDefault(path));
  if (ring.source == file.string()) return ring;
  return absl::FailedPreconditionError(absl::StrFormat(
      "the key comes from %s: replace it there, as new key, comma, replaced key", ring.source));
}

}  // namespace

absl::StatusOr<std::string> KeyInit(const fs::path& path) {
  ASSIGN_OR_RETURN(const fs::path file, PathOrDefault(path));
  RETURN_IF_ERROR(CreateKeyFile(file));
  ASSIGN_OR_RETURN(const KeyRing ring, LoadKey(file));
  return absl::StrFormat(
      "made %s, fingerprint %s\nKeep a copy in a safe place: without it a store's ids cannot be "
      "made "
      "again.\n",
      file.string(), KeyFingerprint(ring.current));
}

absl::StatusOr<std::string> KeyFingerprintCommand(const fs::path& path) {
  ASSIGN_OR_RETURN(const KeyRing ring, LoadKey(path));
  std::string text = absl::StrFormat("%s  %s\n", KeyFingerprint(ring.current), ring.source);
  for (const SecretKey& key : ring.previous) {
    text += absl::StrFormat("%s  replaced\n", KeyFingerprint(key));
  }
  return text;
}

absl::StatusOr<std::string> KeyRotate(const fs::path& path) {
  ASSIGN_OR_RETURN(const KeyRing before, LoadFromFile(path));
  RETURN_IF_ERROR(RotateKeyFile(before.source));
  ASSIGN_OR_RETURN(const KeyRing after, LoadKey(before.source));
  return absl::StrFormat(
      "%s now holds the key %s; %s is kept beside it\nThe next scan makes new ids and carries the "
      "old "
      "ones over: it scans every file again that is known to hold a secret. When all targets have "
      "been "
      "scanned, run `unsprawl key forget`.\n",
      after.source, KeyFingerprint(after.current), KeyFingerprint(before.current));
}

absl::StatusOr<std::string> KeyForget(const fs::path& path, const fs::path& store) {
  ASSIGN_OR_RETURN(const KeyRing ring, LoadFromFile(path));
  RocksdbLedger::Options options;
  options.database.create = false;
  options.database.command = "unsprawl key forget";
  ASSIGN_OR_RETURN(const std::unique_ptr<RocksdbLedger> ledger,
                   RocksdbLedger::Open(store, options));
  RETURN_IF_ERROR(ledger->UseKey(KeyCheck(ring.current), PreviousChecks(ring)));
  ASSIGN_OR_RETURN(const StoreFindings found, CheckStore(ledger->database()));
  if (found.repositories_of_old_keys > 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%d repositories of the store %s still have ids made with a replaced key: scan all "
                        "targets first, or purge the repositories that are gone",
                        found.repositories_of_old_keys, store.string()));
  }
  // What is left belongs to files that their repositories no longer store.
  RETURN_IF_ERROR(DropHitsOfOldKeys(ledger->database(), found.keys));
  RETURN_IF_ERROR(ForgetPreviousKeys(ring.source));
  return absl::StrFormat("%d replaced keys are gone from %s\n", ring.previous.size(), ring.source);
}

}  // namespace unsprawl
