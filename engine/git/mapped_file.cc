#include "engine/git/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

absl::Status SystemError(const std::filesystem::path& path, const char* what, int error) {
  const std::string message =
      absl::StrFormat("%s: cannot %s: %s", path.string(), what, std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::UnavailableError(message);
}

}  // namespace

absl::StatusOr<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  // O_NONBLOCK: a FIFO under a pack's name must not hang us.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return SystemError(path, "open", errno);
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return absl::FailedPreconditionError(absl::StrFormat("%s: not a regular file", path.string()));
  }
  if (info.st_size == 0) {
    close(fd);
    return absl::DataLossError(absl::StrFormat("%s: the file is empty", path.string()));
  }
  MappedFile file;
  file.size_ = static_cast<uint64_t>(info.st_size);
  void* address = mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  close(fd);
  if (address == MAP_FAILED) {
    file.size_ = 0;
    return SystemError(path, "map", error);
  }
  file.data_ = static_cast<const uint8_t*>(address);
  return file;
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

}  // namespace unsprawl
