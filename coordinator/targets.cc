#include "coordinator/targets.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <system_error>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/git/repository.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

bool IsUrl(const std::string& argument) {
  for (const char* scheme : {"https://", "http://", "ssh://", "file://", "git://"}) {
    if (argument.rfind(scheme, 0) == 0) return true;
  }
  // git's scp-like form: a host before the first colon, and no such local path.
  const size_t colon = argument.find(':');
  return colon != std::string::npos && colon > 0 &&
         argument.find('/') > colon && !fs::exists(argument);
}

// "name" of "…/name.git", "…/name/.git" and "…/name".
std::string BaseName(const fs::path& path) {
  fs::path name = path;
  if (name.filename() == ".git" || name.filename().empty()) name = name.parent_path();
  return name.extension() == ".git" ? name.stem().native() : name.filename().native();
}

absl::StatusOr<RepositoryTarget> LocalTarget(const fs::path& path, std::string name) {
  ASSIGN_OR_RETURN(const RepositoryPaths paths, FindRepository(path));
  std::error_code error;
  fs::path canonical = fs::canonical(paths.common_dir, error);
  if (error) canonical = paths.common_dir;
  RepositoryTarget target;
  target.key = "local:" + canonical.native();
  target.name = name.empty() ? BaseName(canonical) : std::move(name);
  target.path = path;
  return target;
}

// Appends every repository below `folder`.
void SearchFolder(const fs::path& folder, std::vector<RepositoryTarget>* found) {
  std::error_code error;
  fs::recursive_directory_iterator entries(folder, fs::directory_options::skip_permission_denied,
                                           error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    if (entries->is_symlink(error) || !entries->is_directory(error)) continue;
    absl::StatusOr<RepositoryTarget> target =
        LocalTarget(entries->path(), entries->path().lexically_relative(folder).native());
    if (!target.ok()) continue;
    if (target->name.size() > 4 && target->name.ends_with(".git")) {
      target->name.resize(target->name.size() - 4);
    }
    found->push_back(*std::move(target));
    entries.disable_recursion_pending();
  }
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

}  // namespace

absl::StatusOr<Targets> FindTargets(const std::vector<std::string>& arguments) {
  Targets targets;
  for (const std::string& argument : arguments) {
    if (IsUrl(argument)) {
      targets.urls.push_back(argument);
      continue;
    }
    std::error_code error;
    if (!fs::exists(argument, error)) {
      return absl::NotFoundError(absl::StrFormat(
          "%s: no such file or folder. Name a repository, a folder of repositories, or a clone URL.",
          EscapeForTerminal(argument)));
    }
    absl::StatusOr<RepositoryTarget> target = LocalTarget(argument, "");
    if (target.ok()) {
      targets.local.push_back(*std::move(target));
      continue;
    }
    if (!absl::IsNotFound(target.status())) return target.status();
    const size_t before = targets.local.size();
    SearchFolder(argument, &targets.local);
    if (targets.local.size() == before) {
      return absl::NotFoundError(absl::StrFormat(
          "%s: neither a git repository nor a folder that contains one. To scan a project, name the "
          "folder that holds its .git; to scan a remote one, give its clone URL.",
          EscapeForTerminal(argument)));
    }
  }
  return targets;
}

absl::StatusOr<std::vector<std::string>> ReadTargetsFile(const std::string& file) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file);
    if (!opened) return absl::NotFoundError(absl::StrFormat("%s: cannot be read", file));
  }
  std::istream& lines = file == "-" ? std::cin : opened;
  std::vector<std::string> targets;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty() && line.front() != '#') targets.push_back(line);
  }
  return targets;
}

void NameAndSort(std::vector<RepositoryTarget>* targets) {
  std::sort(targets->begin(), targets->end(),
            [](const RepositoryTarget& a, const RepositoryTarget& b) { return a.key < b.key; });
  targets->erase(std::unique(targets->begin(), targets->end(),
                             [](const RepositoryTarget& a, const RepositoryTarget& b) {
                               return a.key == b.key;
                             }),
                 targets->end());
  std::map<std::string, int> uses;
  for (const RepositoryTarget& target : *targets) ++uses[target.name];
  for (RepositoryTarget& target : *targets) {
    if (uses[target.name] > 1) target.name = target.key.substr(target.key.find(':') + 1);
    target.pack_bytes = PackBytes(target.path);
  }
  std::sort(targets->begin(), targets->end(),
            [](const RepositoryTarget& a, const RepositoryTarget& b) { return a.name < b.name; });
}

}  // namespace unsprawl
