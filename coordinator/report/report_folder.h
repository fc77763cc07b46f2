// The folder a report is written into: every file is written beside its final name and renamed when
// all of them are whole, manifest.json last.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace unsprawl {

// Bytes on their way to disk through a buffer. The first error sticks: Append becomes a no-op and
// Finish returns it. Movable by pointer only; not thread-safe.
class OutputFile {
 public:
  ~OutputFile();  // closes; a named file is removed, unless it was renamed
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // A new file of mode 0600 at `path`, replacing one that is there; a symbolic link is not followed.
  static absl::StatusOr<std::unique_ptr<OutputFile>> Create(const std::filesystem::path& path);
  // A file without a name in `folder`, gone when closed.
  static absl::StatusOr<std::unique_ptr<OutputFile>> CreateUnnamed(
      const std::filesystem::path& folder);

  void Append(std::string_view bytes);
  const absl::Status& status() const { return status_; }
  // Writes what is buffered and closes. Not synced: a report can be written again from the store.
  absl::Status Finish();

  // For unnamed files: calls `visit` with everything appended so far, piece by piece, then forgets it.
  absl::Status Drain(absl::FunctionRef<void(std::string_view)> visit);

 private:
  OutputFile(int fd, std::filesystem::path path, bool named)
      : fd_(fd), path_(std::move(path)), named_(named) {}
  void WriteOut();
  void Fail(int error);

  int fd_;
  std::filesystem::path path_;
  bool named_;
  std::string buffer_;
  absl::Status status_;
};

class ReportFolder {
 public:
  // Makes `dir` (mode 0700) and its parents when missing. Unavailable, PermissionDenied and the like
  // name the folder.
  static absl::StatusOr<ReportFolder> Open(const std::filesystem::path& dir);

  // Starts `<name>.partial`; borrowed until Publish. `name` has no slash.
  absl::StatusOr<OutputFile*> Start(std::string_view name);
  absl::StatusOr<std::unique_ptr<OutputFile>> StartUnnamed() const;
  // Finishes every started file and gives it its name, in the order started. The last one's older
  // form is removed first: where it exists, it belongs to the files beside it.
  absl::Status Publish();

 private:
  struct Entry {
    std::string name;
    std::unique_ptr<OutputFile> file;
  };
  explicit ReportFolder(std::filesystem::path dir) : dir_(std::move(dir)) {}
  std::filesystem::path Partial(const std::string& name) const;

  std::filesystem::path dir_;
  std::vector<Entry> files_;
};

}  // namespace unsprawl
