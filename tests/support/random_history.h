// Random histories made by git, and what is known of them by asking git about every commit: the slow
// and simple oracle for locating.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/history/locate.h"
#include "tests/support/git_repo.h"

namespace unsprawl {

struct RandomHistoryOptions {
  uint32_t seed = 1;
  int commits = 80;
  int secrets = 4;      // a blob has the secret n if a line of it is "secret n"
  int paths = 8;        // where files with secrets come and go
  int folders = 3;      // beside folders with many files that never change
  int lines = 0;        // more of each file, most of them its last version's, so that blobs become deltas
};

// Fills `repo` with branches, merges (some with content of their own, some octopus), several roots,
// renames, copies, reverts, symlinks, gitlinks, tags of trees and blobs, a deleted branch with commits
// that nothing reaches.
void MakeRandomHistory(const RandomHistoryOptions& options, GitRepo& repo);

// All blobs of the repository that have a secret, as targets, in order of their ids.
std::vector<LocateTarget> TargetsOf(GitRepo& repo);

// What Locate must find, a line per place, in its order (see Describe).
std::vector<std::string> OraclePlaces(GitRepo& repo, const std::vector<LocateTarget>& targets);

// "secret 3 blob <id> commit <id> presence 2 paths a, b removed <id> …" for each place.
std::vector<std::string> Describe(const LocateResult& result, const std::vector<LocateTarget>& targets);

}  // namespace unsprawl
