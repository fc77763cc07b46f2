// What refs lead to, where a repository stores more: that of others of its fork network.
#pragma once

#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/git/object_store.h"
#include "engine/git/repository.h"
#include "engine/git/walk.h"

namespace unsprawl {

// By object number, whether a ref, HEAD or one of `more` leads to it: over tags, commits, their parents but for those
// of shallow commits, and trees. What is missing, damaged or in `avoid` (as Walk's) leads nowhere. Where not all
// entries of a tree can be followed (ThreadLog::left_out), every tree and blob counts as reached.
// One pass over all commits, trees and tags. Cancelled: walk.stop was set. ResourceExhausted: more objects than can be
// located.
absl::StatusOr<std::vector<bool>> ReachedObjects(const ObjectStore& store, const RepositoryState& state,
                                                 std::span<const ObjectId> more,
                                                 std::span<const ObjectNumber> avoid, const WalkOptions& walk);

}  // namespace unsprawl
