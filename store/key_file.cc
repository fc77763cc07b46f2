#include "store/key_file.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "absl/strings/str_format.h"
#include "engine/base/object_id.h"
#include "engine/base/private_file.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFirstLine = "unsprawl key 1";
constexpr size_t kMaxFileBytes = 64 << 10;

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

absl::Status Failed(std::string_view what, const fs::path& path) {
  const std::string message =
      absl::StrFormat("cannot %s the key file %s: %s", what, path.string(), strerror(errno));
  if (errno == ENOENT) return absl::NotFoundError(message);
  if (errno == EEXIST) return absl::AlreadyExistsError(message);
  return absl::UnavailableError(message);
}

std::optional<SecretKey> KeyFromHex(std::string_view hex) {
  SecretKey key;
  if (hex.size() != 2 * key.bytes.size()) return std::nullopt;
  for (size_t i = 0; i < hex.size(); ++i) {
    const char c = hex[i];
    int digit;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = c - 'A' + 10;
    } else {
      return std::nullopt;
    }
    key.bytes[i / 2] = static_cast<uint8_t>(key.bytes[i / 2] << 4 | digit);
  }
  return key;
}

std::string KeyToHex(const SecretKey& key) {
  return ToHex({reinterpret_cast<const char*>(key.bytes.data()), key.bytes.size()});
}

// Keys separated by `separator`, the current one first.
absl::StatusOr<KeyRing> ParseKeys(std::string_view text, char separator, std::string source) {
  KeyRing ring;
  bool first = true;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    const std::string_view hex = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::optional<SecretKey> key = KeyFromHex(hex);
    if (!key) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: a key is 64 hexadecimal digits, not %d bytes of something else",
                          source, hex.size()));
    }
    if (first) {
      ring.current = *key;
    } else {
      ring.previous.push_back(*key);
    }
    first = false;
  }
  if (first) return absl::InvalidArgumentError(absl::StrFormat("%s holds no key", source));
  ring.source = std::move(source);
  return ring;
}

absl::StatusOr<KeyRing> ReadKeyFile(const fs::path& path, bool check_mode) {
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd() < 0) return Failed("open", path);
  struct stat info;
  if (fstat(file.fd(), &info) != 0) return Failed("examine", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrFormat("%s is not a file", path.string()));
  }
  if (check_mode && !IsPrivate(info.st_mode, info.st_uid, geteuid())) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the key file %s is open to others (mode %o): chmod 600 it, and rotate the key if "
        "somebody may have read it",
        path.string(), info.st_mode & 0777));
  }
  if (check_mode && info.st_uid != geteuid() && info.st_uid != 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the key file %s belongs to another user (%d)", path.string(), info.st_uid));
  }
  std::string text(kMaxFileBytes, '\0');
  size_t size = 0;
  for (ssize_t n; size < text.size(); size += static_cast<size_t>(n)) {
    n = read(file.fd(), text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) {
      n = 0;
      continue;
    }
    if (n < 0) return Failed("read", path);
    if (n == 0) break;
  }
  std::string_view rest(text.data(), size);
  absl::StatusOr<KeyRing> ring = absl::InvalidArgumentError(absl::StrFormat(
      "%s is not a key file: its first line is not \"%s\"", path.string(), kFirstLine));
  if (rest.substr(0, kFirstLine.size() + 1) == std::string(kFirstLine) + '\n') {
    ring = ParseKeys(rest.substr(kFirstLine.size() + 1), '\n', path.string());
  } else if (!check_mode || rest.size() == 64 || (rest.size() == 65 && rest.back() == '\n')) {
    ring = ParseKeys(rest, '\n', path.string());  // a bare key, as credential stores hold it
  }
  OPENSSL_cleanse(text.data(), text.size());
  return ring;
}

absl::StatusOr<SecretKey> RandomKey() {
  SecretKey key;
  if (getrandom(key.bytes.data(), key.bytes.size(), 0) != static_cast<ssize_t>(key.bytes.size())) {
    return absl::UnavailableError("the kernel gives no random bytes");
  }
  return key;
}

// Writes `ring` beside `path`, durable; returns the temporary file's path.
absl::StatusOr<fs::path> WriteBeside(const fs::path& path, const KeyRing& ring) {
  std::string text(kFirstLine);
  text.append("\n").append(KeyToHex(ring.current)).append("\n");
  for (const SecretKey& key : ring.previous) text.append(KeyToHex(key)).append("\n");
  std::string temporary = path.string() + ".XXXXXX";
  const File file(mkostemp(temporary.data(), O_CLOEXEC));  // mode 0600
  if (file.fd() < 0) return Failed("write beside", path);
  const bool written =
      write(file.fd(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      fsync(file.fd()) == 0;
  OPENSSL_cleanse(text.data(), text.size());
  if (written) return fs::path(temporary);
  const absl::Status status = Failed("write beside", path);
  unlink(temporary.c_str());
  return status;
}

void SyncFolder(const fs::path& path) {
  const File folder(open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.fd() >= 0) (void)fsync(folder.fd());
}

fs::path Absolute(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  return error ? path : absolute;
}

// Changes the file under a lock on its folder: two rotations at once are one after the other.
template <typename Change>
absl::Status Rewrite(const fs::path& given, Change change) {
  const fs::path path = Absolute(given);
  const File folder(open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.fd() < 0 || flock(folder.fd(), LOCK_EX) != 0)
    return Failed("lock the folder of", path);
  ASSIGN_OR_RETURN(KeyRing ring, ReadKeyFile(path, true));
  RETURN_IF_ERROR(change(&ring));
  ASSIGN_OR_RETURN(const fs::path temporary, WriteBeside(path, ring));
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const absl::Status status = Failed("replace", path);
    unlink(temporary.c_str());
    return status;
  }
  SyncFolder(path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<fs::path> DefaultKeyPath() {
  const char* const config = getenv("XDG_CONFIG_HOME");
  if (config != nullptr && *config == '/') return fs::path(config) / "unsprawl" / "key";
  const char* const home = getenv("HOME");
  if (home != nullptr && *home != '\0') return fs::path(home) / ".config" / "unsprawl" / "key";
  return absl::FailedPreconditionError(
      "no place for the key: set HOME, XDG_CONFIG_HOME or UNSPRAWL_KEY, or name a key file");
}

absl::StatusOr<KeyRing> LoadKey(const fs::path& path) {
  if (!path.empty()) return ReadKeyFile(path, true);
  if (const char* const keys = getenv("UNSPRAWL_KEY"); keys != nullptr && *keys != '\0') {
    return ParseKeys(keys, ',', "$UNSPRAWL_KEY");
  }
  if (const char* const folder = getenv("CREDENTIALS_DIRECTORY"); folder != nullptr) {
    const fs::path credential = fs::path(folder) / "unsprawl-key";
    std::error_code ignored;
    // systemd guards the folder; the file's group bits are its access list's mask.
    if (fs::exists(credential, ignored)) return ReadKeyFile(credential, false);
  }
  ASSIGN_OR_RETURN(const fs::path standard, DefaultKeyPath());
  return ReadKeyFile(standard, true);
}

absl::StatusOr<KeyRing> LoadOrCreateKey(const fs::path& path) {
  absl::StatusOr<KeyRing> ring = LoadKey(path);
  if (!absl::IsNotFound(ring.status())) return ring;
  fs::path target = path;
  if (target.empty()) {
    ASSIGN_OR_RETURN(target, DefaultKeyPath());
  }
  const absl::Status created = CreateKeyFile(target);
  if (!created.ok() && !absl::IsAlreadyExists(created)) return created;
  return LoadKey(path);
}

absl::Status CreateKeyFile(const fs::path& given) {
  const fs::path path = Absolute(given);
  std::error_code error;
  if (!fs::exists(path.parent_path(), error)) {
    fs::create_directories(path.parent_path().parent_path(), error);
    if (mkdir(path.parent_path().c_str(), 0700) != 0 && errno != EEXIST) {
      return Failed("make the folder of", path);
    }
  }
  KeyRing ring;
  ASSIGN_OR_RETURN(ring.current, RandomKey());
  ASSIGN_OR_RETURN(const fs::path temporary, WriteBeside(path, ring));
  absl::Status status;
  if (link(temporary.c_str(), path.c_str()) != 0) status = Failed("make", path);  // never replaces
  unlink(temporary.c_str());
  SyncFolder(path);
  return status;
}

absl::Status RotateKeyFile(const fs::path& path) {
  return Rewrite(path, [](KeyRing* ring) -> absl::Status {
    ring->previous.insert(ring->previous.begin(), ring->current);
    ASSIGN_OR_RETURN(ring->current, RandomKey());
    return absl::OkStatus();
  });
}

absl::Status ForgetPreviousKeys(const fs::path& path) {
  return Rewrite(path, [](KeyRing* ring) {
    ring->previous.clear();
    return absl::OkStatus();
  });
}

std::vector<SecretId> PreviousChecks(const KeyRing& ring) {
  std::vector<SecretId> checks;
  for (const SecretKey& key : ring.previous) checks.push_back(KeyCheck(key));
  return checks;
}

std::string KeyFingerprint(const SecretKey& key) {
  return ToHex(KeyCheck(key).raw()).substr(0, 12);
}

}  // namespace unsprawl
