#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/git/object_store.h"

namespace unsprawl {

// What the tree of HEAD says about a repository.
struct HeadFacts {
  // Files by extension, sorted by it: lower-case letters, digits, '_', '-', '+'; at most 16 of them.
  // "" counts files without one; "other" stranger ones, and those beyond the 200 most frequent.
  std::vector<std::pair<std::string, uint64_t>> extensions;
  std::string codeowners_path;          // the first of those forges look at; or empty
  std::optional<ObjectNumber> mailmap;  // the blob .mailmap at the root (a symlink is not followed)
};

// Reads all folders under `root` (a tree). Damaged and missing ones are passed over (the walk over all
// trees names them). Of a tree with more than 300,000 folders the rest is not counted.
HeadFacts ReadHeadFacts(const ObjectStore& store, ObjectNumber root);

}  // namespace unsprawl
