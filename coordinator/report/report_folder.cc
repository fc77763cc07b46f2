#include "coordinator/report/report_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_format.h"
#include "coordinator/report/report.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr size_t kBufferBytes = 256 * 1024;

absl::Status FileError(int error, const char* what, const std::filesystem::path& path) {
  return absl::ErrnoToStatus(
      error, absl::StrFormat("report: cannot %s %s", what, EscapeForTerminal(path.native())));
}

}  // namespace

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::Create(const std::filesystem::path& path) {
  ::unlink(path.c_str());
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return FileError(errno, "create", path);
  return std::unique_ptr<OutputFile>(new OutputFile(fd, path, true));
}

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::CreateUnnamed(
    const std::filesystem::path& folder) {
  // Not O_TMPFILE: some file systems lack it. Always the same name: what a killed process leaves goes away
  // with the next.
  const std::filesystem::path name = folder / "spool.partial";
  ::unlink(name.c_str());
  int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return FileError(errno, "create a temporary file in", folder);
  ::unlink(name.c_str());
  return std::unique_ptr<OutputFile>(new OutputFile(fd, folder, false));
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
  if (named_) ::unlink(path_.c_str());
}

void OutputFile::Fail(int error) {
  if (status_.ok()) status_ = FileError(error, "write", path_);
  buffer_.clear();
}

void OutputFile::Append(std::string_view bytes) {
  if (!status_.ok()) return;
  buffer_.append(bytes);
  if (buffer_.size() >= kBufferBytes) WriteOut();
}

void OutputFile::WriteOut() {
  std::string_view rest = buffer_;
  while (status_.ok() && !rest.empty()) {
    ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Fail(errno);
    rest.remove_prefix(static_cast<size_t>(written));
  }
  buffer_.clear();
}

absl::Status OutputFile::Finish() {
  WriteOut();
  if (fd_ < 0 || !status_.ok()) return status_;
  if (::close(std::exchange(fd_, -1)) == 0) return status_;
  Fail(errno);
  return status_;
}

absl::Status OutputFile::Drain(absl::FunctionRef<void(std::string_view)> visit) {
  WriteOut();
  if (status_.ok() && ::lseek(fd_, 0, SEEK_SET) < 0) Fail(errno);
  std::string piece(kBufferBytes, '\0');
  while (status_.ok()) {
    ssize_t got = ::read(fd_, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) Fail(errno);
    if (got <= 0) break;
    visit(std::string_view(piece).substr(0, static_cast<size_t>(got)));
  }
  if (status_.ok() && (::ftruncate(fd_, 0) != 0 || ::lseek(fd_, 0, SEEK_SET) < 0)) Fail(errno);
  return status_;
}

absl::StatusOr<ReportFolder> ReportFolder::Open(const std::filesystem::path& dir) {
  std::error_code error;
  std::filesystem::path parent = std::filesystem::absolute(dir, error).lexically_normal();
  if (!parent.has_filename()) parent = parent.parent_path();
  parent = parent.parent_path();
  std::filesystem::create_directories(parent, error);
  if (error) return FileError(error.value(), "make the folder", parent);
  if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) {
    return FileError(errno, "make the folder", dir);
  }
  if (!std::filesystem::is_directory(dir, error)) return FileError(ENOTDIR, "write into", dir);
  return ReportFolder(dir);
}

std::filesystem::path ReportFolder::Partial(const std::string& name) const {
  return dir_ / (name + ".partial");
}

absl::StatusOr<OutputFile*> ReportFolder::Start(std::string_view name) {
  Entry entry{std::string(name), nullptr};
  ASSIGN_OR_RETURN(entry.file, OutputFile::Create(Partial(entry.name)));
  files_.push_back(std::move(entry));
  return files_.back().file.get();
}

absl::StatusOr<std::unique_ptr<OutputFile>> ReportFolder::StartUnnamed() const {
  return OutputFile::CreateUnnamed(dir_);
}

absl::Status ReportFolder::Publish() {
  for (Entry& entry : files_) RETURN_IF_ERROR(entry.file->Finish());
  if (!files_.empty()) ::unlink((dir_ / files_.back().name).c_str());
  for (Entry& entry : files_) {
    if (::rename(Partial(entry.name).c_str(), (dir_ / entry.name).c_str()) != 0) {
      return FileError(errno, "rename into place", dir_ / entry.name);
    }
  }
  files_.clear();
  return absl::OkStatus();
}

}  // namespace unsprawl
