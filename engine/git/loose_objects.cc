#include "engine/git/loose_objects.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/git/parallel.h"

namespace unsprawl {
namespace {

constexpr size_t kPrefixBytes = 512;  // of a file: holds any header however badly it is compressed

// A file descriptor closed at the end.
class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& path)
      : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  bool is_open() const { return fd_ >= 0; }
  // 0 for anything but a regular file.
  uint64_t Size() const {
    struct stat info;
    if (fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) return 0;
    return static_cast<uint64_t>(info.st_size);
  }
  // How many of the first `bytes` bytes there are.
  size_t ReadStart(void* out, size_t bytes) const {
    size_t done = 0;
    while (done < bytes) {
      const ssize_t got = pread(fd_, static_cast<char*>(out) + done, bytes - done,
                                static_cast<off_t>(done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

 private:
  int fd_;
};

struct LooseHeader {
  ObjectType type;
  uint64_t object_bytes;
  size_t header_bytes;
};

ObjectType TypeNamed(std::string_view name) {
  if (name == "blob") return ObjectType::kBlob;
  if (name == "tree") return ObjectType::kTree;
  if (name == "commit") return ObjectType::kCommit;
  if (name == "tag") return ObjectType::kTag;
  return ObjectType::kUnknown;
}

// From the first bytes of the file.
std::optional<LooseHeader> ParseHeader(std::span<const uint8_t> file_start) {
  char text[48];
  const std::string_view start(text, InflatePrefix(file_start, text));
  const size_t end = start.find('\0'), space = start.find(' ');
  if (end == start.npos || space == start.npos || space > end) return std::nullopt;
  LooseHeader header{TypeNamed(start.substr(0, space)), 0, end + 1};
  const char* const digits_end = text + end;
  const auto parsed = std::from_chars(text + space + 1, digits_end, header.object_bytes);
  if (parsed.ec != std::errc() || parsed.ptr != digits_end) return std::nullopt;
  if (header.type == ObjectType::kUnknown) return std::nullopt;
  return header;
}

std::optional<LooseHeader> ReadHeader(const OpenFile& file) {
  uint8_t start[kPrefixBytes];
  return ParseHeader({start, file.ReadStart(start, sizeof(start))});
}

bool Fail(ObjectFault kind, std::string_view what, ReadFault* fault) {
  *fault = {kind, 0, absl::StrFormat("loose object: %s", what)};
  return false;
}

}  // namespace

void LooseObjects::Add(const std::filesystem::path& objects_dir, std::vector<std::string>* broken_files) {
  const uint8_t dir = static_cast<uint8_t>(dirs_.size());
  dirs_.push_back(objects_dir);
  std::vector<ObjectId> found;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string prefix = absl::StrFormat("%02x", byte);
    std::error_code error;
    std::filesystem::directory_iterator files(objects_dir / prefix, error);
    for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
      const auto id = ObjectId::FromHex(prefix + files->path().filename().string());
      if (id && !Find(*id)) found.push_back(*id);
    }
    if (error && error != std::errc::no_such_file_or_directory) {
      broken_files->push_back(absl::StrFormat("%s: %s", (objects_dir / prefix).string(), error.message()));
    }
  }
  // Merge with what earlier directories hold.
  std::vector<std::pair<ObjectId, uint8_t>> all;
  all.reserve(ids_.size() + found.size());
  for (size_t i = 0; i < ids_.size(); ++i) all.emplace_back(ids_[i], dir_of_[i]);
  for (const ObjectId& id : found) all.emplace_back(id, dir);
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end(),
                        [](const auto& a, const auto& b) { return a.first == b.first; }),
            all.end());
  ids_.resize(all.size());
  dir_of_.resize(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    ids_[i] = all[i].first;
    dir_of_[i] = all[i].second;
  }
}

void LooseObjects::ReadHeaders(int threads) {
  types_.assign(ids_.size(), ObjectType::kUnknown);
  ParallelFor(threads, size(), 256, [this](uint64_t begin, uint64_t end) {
    for (uint64_t i = begin; i < end; ++i) {
      const OpenFile file(Path(static_cast<uint32_t>(i)));
      if (!file.is_open()) continue;
      if (const auto header = ReadHeader(file)) types_[i] = header->type;
    }
  });
}

std::optional<uint32_t> LooseObjects::Find(const ObjectId& id) const {
  const auto found = std::lower_bound(ids_.begin(), ids_.end(), id);
  if (found == ids_.end() || *found != id) return std::nullopt;
  return static_cast<uint32_t>(found - ids_.begin());
}

std::filesystem::path LooseObjects::Path(uint32_t index) const {
  const std::string hex = ids_[index].ToHex();
  return dirs_[dir_of_[index]] / hex.substr(0, 2) / hex.substr(2);
}

ReadFault LooseObjects::FaultOfHeader(uint32_t) const {
  ReadFault fault;
  Fail(ObjectFault::kDamaged, "cannot be opened, or bad header", &fault);
  return fault;
}

bool LooseObjects::Read(uint32_t index, EntryReader& reader, Buffer* buffer,
                        std::string_view* content, ReadFault* fault) const {
  const OpenFile file(Path(index));
  if (!file.is_open()) {
    return Fail(errno == ENOENT ? ObjectFault::kMissing : ObjectFault::kDamaged,
                absl::StrFormat("cannot open its file: %s", std::strerror(errno)), fault);
  }
  const auto header = ReadHeader(file);
  if (!header) return Fail(ObjectFault::kDamaged, "bad header", fault);
  if (header->object_bytes > reader.max_object_bytes()) {
    *fault = TooLarge(header->object_bytes, reader.max_object_bytes());
    return false;
  }
  // The worst that deflate makes of a content is slightly longer; a file far longer is not its own.
  const uint64_t file_bytes = file.Size(), inflated = header->header_bytes + header->object_bytes;
  if (file_bytes > inflated + inflated / 64 + 4096 || !CanInflateTo(file_bytes, inflated)) {
    return Fail(ObjectFault::kDamaged, "its file is not of a size that fits its header", fault);
  }
  std::vector<uint8_t> compressed(file_bytes);
  compressed.resize(file.ReadStart(compressed.data(), compressed.size()));
  char* out = buffer->Reset(inflated);
  if (!reader.inflater().Inflate(compressed, {out, inflated})) {
    return Fail(ObjectFault::kDamaged, "bad zlib stream, or not of the size it claims", fault);
  }
  *content = buffer->view().substr(header->header_bytes);
  return true;
}

}  // namespace unsprawl
