#include "coordinator/cluster/report_transfer.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr uint64_t kChunkBytes = 1 << 20;
constexpr char kLast[] = "manifest.json";  // as ReportFolder publishes

struct ReportFile {
  std::string name;
  uint64_t size = 0;
  std::string stamp;  // another one for every file that is put in its place: files are renamed, never written to
};

absl::StatusOr<ReportFile> Look(const std::filesystem::path& path) {
  struct stat facts;
  if (::stat(path.c_str(), &facts) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrFormat("%s: cannot be read", path.string()));
  }
  return ReportFile{.name = path.filename(),
                    .size = static_cast<uint64_t>(facts.st_size),
                    .stamp = absl::StrFormat("%d.%d.%d.%d", facts.st_ino, facts.st_size, facts.st_mtim.tv_sec,
                                             facts.st_mtim.tv_nsec)};
}

absl::StatusOr<std::vector<ReportFile>> FilesOf(const std::filesystem::path& dir) {
  std::vector<ReportFile> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entries(dir, error), end; !error && entries != end; entries.increment(error)) {
    ASSIGN_OR_RETURN(ReportFile file, Look(entries->path()));
    files.push_back(std::move(file));
  }
  if (error) return absl::NotFoundError(absl::StrFormat("%s: %s", dir.string(), error.message()));
  std::sort(files.begin(), files.end(), [](const ReportFile& a, const ReportFile& b) {
    return std::tuple(a.name == kLast, a.name) < std::tuple(b.name == kLast, b.name);
  });
  return files;
}

// `chunk`: the first, as far as it is not of this file.
absl::Status SendFile(const std::filesystem::path& path, const ReportFile& listed, uint64_t offset, v1::ReportChunk chunk,
                      absl::FunctionRef<bool(const v1::ReportChunk&)> write) {
  std::ifstream file(path, std::ios::binary);
  ASSIGN_OR_RETURN(const ReportFile now, Look(path));
  if (now.stamp != listed.stamp) return absl::UnavailableError("the report is being replaced");
  file.seekg(static_cast<std::streamoff>(offset));
  chunk.set_file(listed.name);
  chunk.set_offset(offset);
  chunk.set_size(listed.size);
  std::string buffer(kChunkBytes, '\0');
  do {
    const uint64_t bytes = std::min(kChunkBytes, listed.size - offset);
    if (!file.read(buffer.data(), static_cast<std::streamsize>(bytes))) {
      return absl::DataLossError(absl::StrFormat("%s: cannot be read", path.string()));
    }
    chunk.set_content(buffer.data(), bytes);
    if (!write(chunk)) return absl::CancelledError("the client has gone");
    chunk.Clear();
    offset += bytes;
  } while (offset < listed.size);
  return absl::OkStatus();
}

}  // namespace

absl::Status SendReport(uint64_t run, const std::filesystem::path& dir, const v1::ReportPlace& from,
                        absl::FunctionRef<bool(const v1::ReportChunk&)> write) {
  ASSIGN_OR_RETURN(const std::vector<ReportFile> files, FilesOf(dir));
  v1::ReportChunk first;
  first.set_run(run);
  first.set_report(std::to_string(run));
  for (const ReportFile& file : files) first.mutable_report()->append(" " + file.stamp);
  auto next = files.begin();
  uint64_t offset = 0;
  if (from.report() == first.report()) {
    next = std::find_if(files.begin(), files.end(), [&](const ReportFile& file) { return file.name == from.file(); });
    offset = from.offset();
    if (next == files.end() || offset > next->size) return absl::InvalidArgumentError("the report has no such place");
  }
  for (; next != files.end(); ++next, offset = 0) {
    RETURN_IF_ERROR(SendFile(dir / next->name, *next, offset, std::exchange(first, {}), write));
  }
  return absl::OkStatus();
}

v1::RunRequest ReportDownload::Request() {
  first_ = true;
  v1::RunRequest request;
  request.set_run(run_);
  if (report_.empty()) return request;
  v1::ReportPlace& from = *request.mutable_from();
  from.set_report(report_);
  from.set_file(name_);
  from.set_offset(offset_);
  return request;
}

absl::Status ReportDownload::Take(const v1::ReportChunk& chunk) {
  const bool first = std::exchange(first_, false);
  const bool follows = first && !report_.empty() && chunk.report() == report_ && chunk.file() == name_ &&
                       chunk.offset() == offset_;
  if (first && !follows) RETURN_IF_ERROR(Begin(chunk));
  if (!chunk.file().empty() && !follows) RETURN_IF_ERROR(StartFile(chunk));
  if (file_ == nullptr) return absl::DataLossError("the coordinator sends content of no file");
  file_->Append(chunk.content());
  offset_ += chunk.content().size();
  bytes_ += chunk.content().size();
  farthest_ = std::max(farthest_, bytes_);
  return file_->status();
}

absl::Status ReportDownload::Begin(const v1::ReportChunk& chunk) {
  if (chunk.run() != 0) run_ = chunk.run();
  if (chunk.report() != report_) farthest_ = 0;
  report_ = chunk.report();
  bytes_ = 0;
  file_ = nullptr;
  folder_.reset();
  ASSIGN_OR_RETURN(folder_, ReportFolder::Open(dir_));
  return absl::OkStatus();
}

absl::Status ReportDownload::StartFile(const v1::ReportChunk& chunk) {
  RETURN_IF_ERROR(CheckWhole());
  const std::filesystem::path name = std::filesystem::path(chunk.file()).filename();
  if (name.native() != chunk.file() || name == "." || name == ".." || chunk.offset() != 0) {
    return absl::DataLossError("the coordinator sends a file with a name that is none, or from its middle on");
  }
  ASSIGN_OR_RETURN(file_, folder_->Start(chunk.file()));
  name_ = chunk.file();
  offset_ = 0;
  size_ = chunk.size();
  return absl::OkStatus();
}

absl::Status ReportDownload::CheckWhole() const {
  if (file_ == nullptr || report_.empty() || offset_ == size_) return absl::OkStatus();
  return absl::DataLossError(absl::StrFormat("%s: %d bytes have come, of %d", name_, offset_, size_));
}

absl::Status ReportDownload::Publish() {
  RETURN_IF_ERROR(CheckWhole());
  return folder_ ? folder_->Publish() : absl::DataLossError("the coordinator has sent a report without files");
}

}  // namespace unsprawl
