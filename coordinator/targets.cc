#include "coordinator/targets.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <system_error>
#include <tuple>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/escape.h"
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
  std::error_code error;
  return colon != std::string::npos && colon > 0 && argument.find('/') > colon &&
         !fs::exists(argument, error);
}

// "name" of "…/name.git", "…/name/.git" and "…/name".
std::string BaseName(const fs::path& path) {
  fs::path name = path;
  if (name.filename() == ".git" || name.filename().empty()) name = name.parent_path();
  return name.extension() == ".git" ? name.stem().native() : name.filename().native();
}

// What people call a repository found in a folder: its path in there.
std::string NameBelow(const fs::path& root, const fs::path& repository) {
  std::string name = repository.lexically_relative(root).native();
  if (name.size() > 4 && name.ends_with(".git")) name.resize(name.size() - 4);
  return name;
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
  target.linked_worktree = paths.git_dir != paths.common_dir;
  return target;
}

// Appends every repository below `root`, and every folder that cannot be looked into.
absl::Status SearchFolder(const fs::path& root, const std::atomic<bool>& stop, Targets* targets) {
  std::vector<fs::path> open = {root};
  while (!open.empty()) {
    if (stop) return absl::CancelledError("stopped");
    const fs::path folder = std::move(open.back());
    open.pop_back();
    std::error_code error;
    fs::directory_iterator entries(folder, error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
      std::error_code unreadable;
      if (entries->is_symlink(unreadable) || !entries->is_directory(unreadable)) continue;
      absl::StatusOr<RepositoryTarget> target =
          LocalTarget(entries->path(), NameBelow(root, entries->path()));
      if (target.ok()) {
        targets->local.push_back(*std::move(target));
      } else if (absl::IsNotFound(target.status())) {
        open.push_back(entries->path());
      } else {
        targets->unusable.push_back({entries->path().native(), target.status()});
      }
    }
    if (error) {
      targets->unusable.push_back(
          {folder.native(), absl::PermissionDeniedError(absl::StrFormat(
                                "%s cannot be searched for repositories (%s)",
                                EscapeForTerminal(folder.native()), error.message()))});
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Targets> FindTargets(const std::vector<std::string>& arguments,
                                    const std::atomic<bool>& stop) {
  Targets targets;
  for (const std::string& argument : arguments) {
    if (std::optional<ForgeScope> scope = ParseForgeScope(argument)) {
      if (scope->name.empty() && scope->kind != ForgeScope::Kind::kApp) {
        return absl::InvalidArgumentError(absl::StrFormat("%s: name an organization after the colon", argument));
      }
      targets.scopes.push_back(*std::move(scope));
      continue;
    }
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
    if (!absl::IsNotFound(target.status())) {
      targets.unusable.push_back({argument, target.status()});
      continue;
    }
    const size_t before = targets.local.size() + targets.unusable.size();
    RETURN_IF_ERROR(SearchFolder(argument, stop, &targets));
    if (targets.local.size() + targets.unusable.size() == before) {
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
            [](const RepositoryTarget& a, const RepositoryTarget& b) {
              return std::tie(a.key, a.linked_worktree, a.path) < std::tie(b.key, b.linked_worktree, b.path);
            });
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
