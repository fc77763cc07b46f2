// What git itself says of the objects of a repository: the oracle of the tests of engine/git.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/object_id.h"
#include "engine/git/object_store.h"
#include "engine/git/walk.h"

namespace unsprawl {

struct GitObject {
  ObjectType type;
  std::string content;
  bool operator==(const GitObject&) const = default;
};
using GitObjects = std::map<ObjectId, GitObject>;

// Every object that is stored in the repository at `dir`, by `git cat-file --batch-all-objects`.
GitObjects ReadAllWithGit(const std::filesystem::path& dir);

// What a walk showed.
struct WalkRecord {
  GitObjects visited;                    // wanted ones
  std::map<ObjectId, ObjectSkip> skips;
  uint64_t deltas = 0;                   // visits with a base_slot
  uint64_t unwanted = 0;                 // visits with wanted = false
  WalkStats stats;
};

// Walks `wanted` and fails the test wherever Walk breaks its contract: an object shown or skipped
// twice or not at all, copies that are not in the base, a slot given away too early.
WalkRecord WalkAndCheck(const ObjectStore& store, std::span<const ObjectNumber> wanted,
                        const WalkOptions& options, std::span<const ObjectNumber> avoid = {});

std::vector<ObjectNumber> AllNumbers(const ObjectStore& store);

// Fails the test unless size, id, type, Find, Read and Walk of the repository agree with git on every
// object. `threads` is used for opening and walking.
void ExpectSameAsGit(const std::filesystem::path& objects_dir, const std::filesystem::path& git_dir,
                     int threads = 2);

}  // namespace unsprawl
