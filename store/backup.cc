#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "rocksdb/utilities/checkpoint.h"
#include "store/maintenance.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

absl::Status EmptyOrNew(const fs::path& target) {
  std::error_code error;
  if (!fs::exists(target, error) ||
      (fs::is_directory(target, error) && fs::is_empty(target, error))) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrFormat("%s is not empty: nothing was written", target.string()));
}

// The folder in which `target` is made before it gets its name.
absl::StatusOr<fs::path> MakeBeside(fs::path target) {
  RETURN_IF_ERROR(EmptyOrNew(target));
  if (target.filename().empty()) target = target.parent_path();  // "target/" would be inside itself
  const fs::path beside = target.string() + absl::StrFormat(".partial-%d", getpid());
  std::error_code error;
  fs::remove_all(beside, error);
  if (target.has_parent_path()) fs::create_directories(target.parent_path(), error);
  if (mkdir(beside.c_str(), 0700) != 0) {
    return absl::UnavailableError(absl::StrFormat("cannot make %s", beside.string()));
  }
  return beside;
}

absl::Status MoveInPlace(const fs::path& beside, const fs::path& target) {
  std::error_code error;
  fs::rename(beside, target, error);  // replaces an empty folder, never a full one
  if (!error) return absl::OkStatus();
  std::error_code ignored;
  fs::remove_all(beside, ignored);
  return absl::UnavailableError(
      absl::StrFormat("cannot put %s in place: %s", target.string(), error.message()));
}

}  // namespace

absl::Status BackUpStore(const Database& database, const fs::path& target) {
  ASSIGN_OR_RETURN(const fs::path beside, MakeBeside(target));
  rocksdb::Checkpoint* made = nullptr;
  rocksdb::Status status = rocksdb::Checkpoint::Create(&database.rocks(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  if (status.ok()) status = checkpoint->CreateCheckpoint((beside / "db").string());
  if (!status.ok()) {
    std::error_code ignored;
    fs::remove_all(beside, ignored);
    return Translate(status, absl::StrFormat("backing up to %s", target.string()));
  }
  return MoveInPlace(beside, target);
}

absl::Status RestoreStore(const fs::path& source, const fs::path& target) {
  std::error_code error;
  if (!fs::exists(source / "db" / "CURRENT", error)) {
    return absl::NotFoundError(
        absl::StrFormat("there is no backup of a store in %s", source.string()));
  }
  ASSIGN_OR_RETURN(const fs::path beside, MakeBeside(target));
  fs::copy(source / "db", beside / "db", fs::copy_options::recursive, error);
  if (error) {
    std::error_code ignored;
    fs::remove_all(beside, ignored);
    return absl::UnavailableError(
        absl::StrFormat("cannot copy the backup %s: %s", source.string(), error.message()));
  }
  return MoveInPlace(beside, target);
}

}  // namespace unsprawl
