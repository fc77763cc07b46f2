// What each commit does with the secrets: where they enter, where they leave, where they move.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/history/commit_graph.h"
#include "engine/history/history_log.h"
#include "engine/history/marked_trees.h"
#include "engine/history/path_table.h"

namespace unsprawl {

// One secret at one path in one commit.
struct Event {
  enum Kind : uint8_t { kIntroduction, kRemoval, kMove };

  uint32_t commit;
  uint32_t secret;
  uint32_t path;    // entered, or left by a removal
  uint32_t target;  // the blob that enters; kNone for a removal
  uint32_t from;    // the path that a move leaves; kNone otherwise
  Kind kind;
};

struct Events {
  // In order of (generation, committer time, id) of their commits; those of one commit by secret, path.
  std::vector<Event> list;
  PathTable paths;
  // Commits of which a part is left out: more than DiffOptions::max_events_per_commit events, or paths
  // longer than PathTable::kMaxPathBytes; ascending.
  std::vector<uint32_t> truncated;
};

struct DiffOptions {
  int threads = 2;
  const std::atomic<bool>* stop = nullptr;
  // A tree of a few kilobytes can name one blob under 10^12 paths.
  uint64_t max_events_per_commit = 1 << 18;
};

// Compares every commit with its parents. A secret enters at a path where the commit has it and no
// parent has; it leaves a path where the commit lacks it and every parent (of one or more) has it. In a
// reachable commit, paths that a secret leaves and enters are paired in byte order into moves.
// `secrets` are those of each target. If `stop` turns true the result is incomplete.
Events DiffCommits(const HistoryLog& log, const CommitGraph& graph, const MarkedTrees& trees,
                   std::span<const std::span<const uint32_t>> secrets, const NodeTable& nodes,
                   const ObjectStore& store, const DiffOptions& options);

}  // namespace unsprawl
