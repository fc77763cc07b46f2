// Who wrote which entry of a repository's .gitleaksignore.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/history/commit_graph.h"
#include "engine/history/history_log.h"
#include "engine/history/ignore_file.h"

namespace unsprawl {

// The blob .gitleaksignore in `tree` (a root); nullopt: there is none, or it is a symlink or not readable.
std::optional<ObjectNumber> FindIgnoreFile(const ObjectStore& store, ObjectNumber tree);

// Of each of `entries`, which the file has in the commit `head`, the commit that introduced it: each is followed to the
// first parent that has the same file, else to the first whose file has it too, until none has. kNone: that is further away
// than the limits allow. Commits are numbers of `log`. The same for every packing and number of threads.
std::vector<uint32_t> FindIntroductions(std::span<const IgnoreEntry> entries, uint32_t head, const ObjectStore& store,
                                        const NodeTable& nodes, const HistoryLog& log, const CommitGraph& graph,
                                        const IgnoreLimits& limits);

}  // namespace unsprawl
