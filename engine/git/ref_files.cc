#include "engine/git/ref_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/git/small_file.h"

namespace unsprawl {
namespace {

constexpr uint64_t kMaxPackedRefsBytes = uint64_t{1} << 30;
constexpr int kMaxFolderDepth = 256;  // of loose refs; the system's path limit ends it sooner
constexpr int kMaxSymbolicDepth = 5;  // as git

struct CloseFolder {
  void operator()(DIR* dir) const { closedir(dir); }
};

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}
bool EndsWith(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

// Bytes that no ref's name has.
constexpr std::array<bool, 256> kForbidden = [] {
  std::array<bool, 256> forbidden{};
  for (int c = 0; c < 0x20; ++c) forbidden[static_cast<size_t>(c)] = true;
  for (const char c : std::string_view(" ~^:?*[\\\x7f")) forbidden[static_cast<size_t>(c)] = true;
  return forbidden;
}();

// Refs that belong to one worktree though they lie under refs/.
bool IsPerWorktree(std::string_view name) {
  return StartsWith(name, "refs/bisect/") || StartsWith(name, "refs/rewritten/") ||
         StartsWith(name, "refs/worktree/");
}

}  // namespace

bool IsRefName(std::string_view name) {
  if (!StartsWith(name, "refs/") || name.back() == '/' || name.back() == '.') return false;
  char before = '/';
  for (const char c : name) {
    if (kForbidden[static_cast<unsigned char>(c)]) return false;
    if (before == '/' && (c == '.' || c == '/')) return false;
    if (before == '.' && c == '.') return false;
    if (before == '@' && c == '{') return false;
    before = c;
  }
  return !EndsWith(name, ".lock") && name.find(".lock/") == std::string_view::npos;
}

std::optional<RefValue> ParseRefValue(std::string_view content) {
  if (StartsWith(content, "ref:")) {
    std::string name = FirstLine(content.substr(4));
    if (name.empty()) return std::nullopt;
    return RefValue{.symbolic = std::move(name), .target = {}};
  }
  const std::optional<ObjectId> id = ObjectId::FromHex(content.substr(0, 40));
  const bool ends = content.size() <= 40 || std::strchr(" \t\r\n", content[40]) != nullptr;
  if (!id || !ends || *id == ObjectId{}) return std::nullopt;
  return RefValue{.symbolic = "", .target = *id};
}

absl::StatusOr<RefFiles> RefFiles::Read(const RepositoryPaths& paths) {
  RefFiles files;
  RETURN_IF_ERROR(files.ReadLooseFolder(paths.common_dir / "refs", "refs/", 0));
  if (paths.git_dir != paths.common_dir) {
    std::erase_if(files.entries_, [](const Entry& entry) { return IsPerWorktree(entry.name); });
    for (const std::string own : {"refs/bisect/", "refs/rewritten/", "refs/worktree/"}) {
      RETURN_IF_ERROR(files.ReadLooseFolder(paths.git_dir / own, own, 1));
    }
  }
  RETURN_IF_ERROR(files.ReadPacked(paths.common_dir / "packed-refs"));
  files.Sort();
  return files;
}

absl::Status RefFiles::ReadLooseFolder(const std::filesystem::path& dir, const std::string& prefix,
                                       int depth) {
  const std::unique_ptr<DIR, CloseFolder> folder(opendir(dir.c_str()));
  if (folder == nullptr) {
    if (errno == ENOENT) return absl::OkStatus();
    if (depth > 0 && (errno == ENOTDIR || errno == ENAMETOOLONG)) return absl::OkStatus();
    return absl::UnavailableError(absl::StrFormat("%s: %s", dir.string(), std::strerror(errno)));
  }
  const int fd = dirfd(folder.get());
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_name[0] == '.') continue;
    std::string name = prefix + entry->d_name;
    if (EndsWith(name, ".lock")) continue;
    unsigned char type = entry->d_type;
    if (type == DT_UNKNOWN) {
      struct stat info;
      if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      type = S_ISDIR(info.st_mode) ? DT_DIR : S_ISLNK(info.st_mode) ? DT_LNK : DT_REG;
    }
    if (type == DT_DIR && depth < kMaxFolderDepth) {
      RETURN_IF_ERROR(ReadLooseFolder(dir / entry->d_name, name + '/', depth + 1));
    } else if (type == DT_LNK) {
      ReadSymlink(fd, entry->d_name, std::move(name));
    } else {
      ReadLooseFile(fd, entry->d_name, std::move(name));
    }
  }
  return absl::OkStatus();
}

void RefFiles::ReadLooseFile(int folder, const char* file, std::string name) {
  char buffer[4096];
  const int fd = openat(folder, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) return;  // deleted, or packed, in this moment
  const ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer));
  if (fd >= 0) close(fd);
  std::optional<RefValue> value;
  if (n > 0 && IsRefName(name)) value = ParseRefValue({buffer, static_cast<size_t>(n)});
  if (value) {
    entries_.push_back({std::move(name), *std::move(value)});
  } else {
    broken_.push_back(std::move(name));
  }
}

void RefFiles::ReadSymlink(int folder, const char* file, std::string name) {
  char buffer[4096];
  const ssize_t n = readlinkat(folder, file, buffer, sizeof(buffer));
  const std::string_view to(buffer, static_cast<size_t>(std::max<ssize_t>(n, 0)));
  if (IsRefName(to) && IsRefName(name)) {  // how git once wrote symbolic refs
    entries_.push_back({std::move(name), {.symbolic = std::string(to), .target = {}}});
  } else {
    ReadLooseFile(folder, file, std::move(name));
  }
}

absl::Status RefFiles::ReadPacked(const std::filesystem::path& file) {
  absl::StatusOr<std::string> read = ReadSmallFile(file, kMaxPackedRefsBytes);
  if (absl::IsNotFound(read.status())) return absl::OkStatus();
  if (!read.ok()) return read.status();
  const std::string_view text = *read;
  for (size_t at = 0, line_number = 1; at < text.size(); ++line_number) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (EndsWith(line, "\r")) line.remove_suffix(1);
    if (line.empty() || line[0] == '#' || line[0] == '^') continue;
    const std::optional<ObjectId> id = ObjectId::FromHex(line.substr(0, 40));
    if (!id || line.size() < 42 || line[40] != ' ') {
      return absl::DataLossError(absl::StrFormat(
          "%s: line %d is not \"<40 digits> <name>\"", file.string(), line_number));
    }
    std::string name(line.substr(41));
    if (IsRefName(name) && *id != ObjectId{}) {
      entries_.push_back({std::move(name), {.symbolic = "", .target = *id}});
    } else {
      broken_.push_back(std::move(name));
    }
  }
  return absl::OkStatus();
}

// A loose ref stands before the packed one of its name, and is the one that counts.
void RefFiles::Sort() {
  const auto by_name = [](const Entry& a, const Entry& b) { return a.name < b.name; };
  if (!std::is_sorted(entries_.begin(), entries_.end(), by_name)) {  // git writes packed-refs sorted
    std::stable_sort(entries_.begin(), entries_.end(), by_name);
  }
  entries_.erase(std::unique(entries_.begin(), entries_.end(),
                             [](const Entry& a, const Entry& b) { return a.name == b.name; }),
                 entries_.end());
}

const RefFiles::Entry* RefFiles::Find(std::string_view name) const {
  const auto it = std::lower_bound(
      entries_.begin(), entries_.end(), name,
      [](const Entry& entry, std::string_view wanted) { return entry.name < wanted; });
  return it != entries_.end() && it->name == name ? &*it : nullptr;
}

RefFiles::Resolved RefFiles::Resolve(const RefValue& value, std::string_view name) const {
  const RefValue* current = &value;
  std::string_view current_name = name;
  for (int depth = 0; depth <= kMaxSymbolicDepth; ++depth) {
    if (current->symbolic.empty()) {
      return {Resolved::kObject, std::string(current_name), current->target};
    }
    current_name = current->symbolic;
    const Entry* next = Find(current_name);
    if (next == nullptr) {
      const bool broken =
          std::find(broken_.begin(), broken_.end(), current_name) != broken_.end() ||
          !IsRefName(current_name);
      return {broken ? Resolved::kBroken : Resolved::kDangling, std::string(current_name), {}};
    }
    current = &next->value;
  }
  return {};
}

void RefFiles::List(std::vector<Ref>& refs, std::vector<std::string>& broken) const {
  refs.reserve(refs.size() + entries_.size());
  for (const Entry& entry : entries_) {
    if (StartsWith(entry.name, "refs/replace/")) continue;
    if (entry.value.symbolic.empty()) {
      refs.push_back({entry.name, entry.value.target});
      continue;
    }
    const Resolved resolved = Resolve(entry.value, entry.name);
    if (resolved.kind == Resolved::kObject) refs.push_back({entry.name, resolved.target});
    if (resolved.kind == Resolved::kBroken) broken.push_back(entry.name);
  }
  for (const std::string& name : broken_) {
    if (!StartsWith(name, "refs/replace/")) broken.push_back(name);
  }
  std::sort(broken.begin(), broken.end());
  broken.erase(std::unique(broken.begin(), broken.end()), broken.end());
}

}  // namespace unsprawl
