#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/forges/forge.h"
#include "worker/repository_pass.h"

namespace unsprawl {

// What the command line asked for: repositories on disk, URLs, and whole organizations at their forges.
struct Targets {
  // What may be a repository, or hold some, and cannot be opened: never left out in silence.
  struct Unusable {
    std::string name;    // path, raw bytes
    absl::Status reason;
  };
  std::vector<RepositoryTarget> local;
  std::vector<std::string> urls;
  std::vector<ForgeScope> scopes;
  std::vector<Unusable> unusable;
};

// Sorts out each argument: a repository (bare, worktree, linked worktree), a folder of repositories
// (searched to the bottom, without following links and without looking inside repositories), or a URL
// (https, ssh, file, or scp-like "host:path"), or a forge's scope ("github:ORG"). `stop` is polled.
// NotFound: no such path, or a folder without any repository; the message says what to do.
// Cancelled: `stop` was set.
absl::StatusOr<Targets> FindTargets(const std::vector<std::string>& arguments,
                                    const std::atomic<bool>& stop);

// One target a line; blank lines and lines that start with # are left out. "-" reads stdin.
absl::StatusOr<std::vector<std::string>> ReadTargetsFile(const std::string& file);

// Sorted by name; a repository named twice (also through a linked worktree, which then gives way) is kept
// once; equal names are told apart by their full key. Fills pack_bytes.
void NameAndSort(std::vector<RepositoryTarget>* targets);

}  // namespace unsprawl
