#include "engine/git/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_format.h"

namespace unsprawl {
namespace {

absl::Status SystemError(const std::filesystem::path& path, int error) {
  const std::string message = absl::StrFormat("%s: %s", path.string(), std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::UnavailableError(message);
}

absl::StatusOr<std::string> ReadAll(int fd, const std::filesystem::path& path, uint64_t max_bytes) {
  struct stat info;
  if (fstat(fd, &info) != 0) return SystemError(path, errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrFormat("%s is not a regular file", path.string()));
  }
  // One byte more than promised, so that the end of the file shows in the first read.
  size_t step = std::min<uint64_t>(static_cast<uint64_t>(info.st_size), max_bytes) + 1;
  std::string text;
  while (true) {
    const size_t had = text.size();
    text.resize(had + step);
    step = std::max<size_t>(step, 4096);
    const ssize_t n = read(fd, text.data() + had, text.size() - had);
    if (n < 0 && errno != EINTR) return SystemError(path, errno);
    text.resize(had + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n == 0) return text;
    if (text.size() > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrFormat("%s is larger than %d bytes", path.string(), max_bytes));
    }
  }
}

}  // namespace

absl::StatusOr<std::string> ReadSmallFile(const std::filesystem::path& path, uint64_t max_bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return SystemError(path, errno);
  absl::StatusOr<std::string> text = ReadAll(fd, path, max_bytes);
  close(fd);
  return text;
}

std::string FirstLine(std::string_view text) {
  text = text.substr(0, text.find('\n'));
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin));
}

}  // namespace unsprawl
