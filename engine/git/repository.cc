#include "engine/git/repository.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/git/config_file.h"
#include "engine/git/object_dirs.h"
#include "engine/git/ref_files.h"
#include "engine/git/small_file.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxPointerFileBytes = 64 << 10;   // .git, commondir, HEAD
constexpr uint64_t kMaxConfigBytes = 16 << 20;
constexpr uint64_t kMaxShallowBytes = uint64_t{1} << 30;

bool IsFolder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}
bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// Follows the one path written in the file at `pointer`, relative to the file's folder.
absl::StatusOr<fs::path> FollowPointer(const fs::path& pointer, std::string_view prefix) {
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(pointer, kMaxPointerFileBytes));
  if (text.compare(0, prefix.size(), prefix) != 0) {
    return absl::DataLossError(absl::StrFormat("%s does not begin with \"%s\"", pointer.string(), prefix));
  }
  const std::string to = FirstLine(std::string_view(text).substr(prefix.size()));
  const fs::path folder = (pointer.parent_path() / to).lexically_normal();
  if (to.empty() || to.find('\0') != std::string::npos || !IsFolder(folder)) {
    return absl::DataLossError(absl::StrFormat(
        "%s points to %s, which is no folder; git worktree repair may help", pointer.string(),
        folder.string()));
  }
  return folder;
}

// git asks for HEAD too; a repository that lost it still has all its objects to scan.
bool IsRepository(const fs::path& common_dir) {
  return IsFolder(common_dir / "objects") &&
         (IsFolder(common_dir / "refs") || Exists(common_dir / "packed-refs"));
}

// What the configuration says about the kind of repository.
absl::Status ApplyConfig(const fs::path& file, RepositoryState& state) {
  const absl::StatusOr<std::string> text = ReadSmallFile(file, kMaxConfigBytes);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  absl::StatusOr<std::vector<ConfigEntry>> entries = ParseConfig(*text);
  if (!entries.ok()) {
    return absl::DataLossError(absl::StrFormat("%s: %s", file.string(),
                                               std::string(entries.status().message())));
  }
  for (const ConfigEntry& entry : *entries) {
    if (entry.name == "extensions.objectformat" && entry.value != "sha1") {
      return absl::FailedPreconditionError(absl::StrFormat(
          "%s: object format \"%s\" is not supported: unsprawl reads SHA-1 repositories only, so "
          "nothing of this one was scanned; scan a SHA-1 clone of it if its forge offers one",
          file.string(), entry.value));
    }
    if (entry.name == "extensions.refstorage" && entry.value != "files") {
      return absl::FailedPreconditionError(absl::StrFormat(
          "%s: ref storage \"%s\" is not supported; run git refs migrate --ref-format=files, or scan "
          "a fresh clone", file.string(), entry.value));
    }
    if (entry.name == "core.repositoryformatversion" && entry.value != "0" && entry.value != "1") {
      return absl::FailedPreconditionError(absl::StrFormat(
          "%s: repository format version \"%s\" is not supported; git itself knows 0 and 1",
          file.string(), entry.value));
    }
    const bool remote = entry.name.compare(0, 7, "remote.") == 0;
    const std::string_view key = std::string_view(entry.name).substr(entry.name.rfind('.') + 1);
    if (entry.name == "extensions.partialclone" ||
        (remote && key == "promisor" && ConfigIsTrue(entry.value)) ||
        (remote && key == "partialclonefilter")) {
      state.is_partial = true;
    }
  }
  return absl::OkStatus();
}

absl::Status ReadShallow(const fs::path& file, RepositoryState& state) {
  const absl::StatusOr<std::string> text = ReadSmallFile(file, kMaxShallowBytes);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  if (!text.ok()) return text.status();
  for (size_t at = 0; at < text->size();) {
    const size_t end = std::min(text->find('\n', at), text->size());
    const std::string line = FirstLine(std::string_view(*text).substr(at, end - at));
    at = end + 1;
    if (line.empty()) continue;
    const std::optional<ObjectId> id = ObjectId::FromHex(line);
    if (!id) return absl::DataLossError(absl::StrFormat("%s: a line is no commit id", file.string()));
    state.shallow.push_back(*id);
  }
  std::sort(state.shallow.begin(), state.shallow.end());
  state.shallow.erase(std::unique(state.shallow.begin(), state.shallow.end()), state.shallow.end());
  state.is_shallow = !state.shallow.empty();
  return absl::OkStatus();
}

absl::Status ReadHead(const fs::path& git_dir, const RefFiles& files, RepositoryState& state) {
  std::optional<RefValue> value;
  std::error_code error;
  const fs::path link = fs::read_symlink(git_dir / "HEAD", error);
  if (!error && IsRefName(link.string())) {
    value = RefValue{.symbolic = link.string(), .target = {}};
  } else {
    const absl::StatusOr<std::string> text = ReadSmallFile(git_dir / "HEAD", kMaxPointerFileBytes);
    if (absl::IsNotFound(text.status())) return absl::OkStatus();
    if (!text.ok()) return text.status();
    value = ParseRefValue(*text);
  }
  if (!value) {
    state.broken_refs.insert(state.broken_refs.begin(), "HEAD");  // sorts before "refs/"
    return absl::OkStatus();
  }
  const RefFiles::Resolved resolved = files.Resolve(*value, "HEAD");
  if (resolved.kind == RefFiles::Resolved::kBroken) {
    state.broken_refs.insert(state.broken_refs.begin(), "HEAD");
    return absl::OkStatus();
  }
  if (!value->symbolic.empty()) state.head_ref = resolved.name;
  if (resolved.kind == RefFiles::Resolved::kObject) state.head_target = resolved.target.raw();
  return absl::OkStatus();
}

// Feeds a digest fields that cannot run into each other.
class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new()) {
    CHECK(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void Add(std::string_view field) {
    const uint64_t bytes = field.size();
    CHECK(EVP_DigestUpdate(context_.get(), &bytes, sizeof(bytes)) == 1);
    CHECK(EVP_DigestUpdate(context_.get(), field.data(), field.size()) == 1);
  }
  std::string Finish() {
    std::string digest(32, '\0');
    CHECK(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()),
                             nullptr) == 1);
    return digest;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace

absl::StatusOr<RepositoryPaths> FindRepository(const fs::path& path) {
  RepositoryPaths paths;
  if (const fs::path dot_git = path / ".git"; IsFolder(dot_git)) {
    paths.git_dir = dot_git;
  } else if (Exists(dot_git)) {
    ASSIGN_OR_RETURN(paths.git_dir, FollowPointer(dot_git, "gitdir:"));
  } else {
    paths.git_dir = path;
  }
  paths.common_dir = paths.git_dir;
  if (Exists(paths.git_dir / "commondir")) {
    ASSIGN_OR_RETURN(paths.common_dir, FollowPointer(paths.git_dir / "commondir", ""));
  }
  if (!IsRepository(paths.common_dir)) {
    return absl::NotFoundError(absl::StrFormat("%s is not a git repository", path.string()));
  }
  std::vector<std::string> problems;  // the same that ObjectStore reports when it opens
  for (const fs::path& dir : ListObjectDirs(paths.common_dir / "objects", &problems)) {
    std::error_code error;
    const fs::path canonical = fs::canonical(dir, error);
    if (!error) paths.object_dirs.push_back(canonical);
  }
  return paths;
}

absl::StatusOr<RepositoryState> ReadRepositoryState(const RepositoryPaths& paths) {
  RepositoryState state;
  RETURN_IF_ERROR(ApplyConfig(paths.common_dir / "config", state));
  RETURN_IF_ERROR(ReadShallow(paths.common_dir / "shallow", state));
  ASSIGN_OR_RETURN(const RefFiles files, RefFiles::Read(paths));
  files.List(state.refs, state.broken_refs);
  RETURN_IF_ERROR(ReadHead(paths.git_dir, files, state));
  return state;
}

std::string TipsDigest(const RepositoryState& state) {
  Digest digest;
  for (const Ref& ref : state.refs) {
    digest.Add(ref.name);
    digest.Add(ref.target.raw());
  }
  digest.Add("HEAD");
  digest.Add(state.head_ref);
  digest.Add(state.head_target);
  digest.Add("broken");  // one that breaks later must be reported
  for (const std::string& name : state.broken_refs) digest.Add(name);
  digest.Add("shallow");
  for (const ObjectId& id : state.shallow) digest.Add(id.raw());
  return digest.Finish();
}

uint64_t PackBytes(const fs::path& path) {
  const absl::StatusOr<RepositoryPaths> paths = FindRepository(path);
  if (!paths.ok()) return 0;
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator entries(paths->common_dir / "objects" / "pack", error);
       !error && entries != fs::directory_iterator(); entries.increment(error)) {
    std::error_code unreadable;
    const uint64_t size = entries->file_size(unreadable);
    if (!unreadable) bytes += size;
  }
  return bytes;
}

}  // namespace unsprawl
