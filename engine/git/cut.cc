#include "engine/git/cut.h"

#include <algorithm>
#include <tuple>

#include "absl/functional/function_ref.h"
#include "engine/git/object_store_impl.h"
#include "engine/git/walk_plan.h"

namespace unsprawl {
namespace {

constexpr uint64_t kObjectBytes = 200;  // what it costs to visit one, in bytes of a pack
constexpr uint64_t kLooseBytes = 4096;  // to read a file: its size is not known before
constexpr uint64_t kRunsPerPiece = 16;  // fewer balance worse, more tear neighbours apart

// Calls `visit` for each entry that a walk visits of the tree below and with `root`.
void ForEachVisited(const WalkPlan& plan, const PackForest& forest, const WalkTask& tree,
                    absl::FunctionRef<void(uint32_t entry)> visit) {
  for (uint32_t entry = tree.begin;;) {
    const bool is_visited = plan.CountWanted(tree.pack, entry) > 0;
    if (is_visited) visit(entry);
    if (is_visited && forest.first_child(entry) != PackForest::kNone) {
      entry = forest.first_child(entry);
      continue;
    }
    while (entry != tree.begin && forest.next_sibling(entry) == PackForest::kNone) entry = forest.base(entry);
    if (entry == tree.begin) return;
    entry = forest.next_sibling(entry);
  }
}

// A task of the walk, and what it costs.
struct Costed {
  const WalkTask* task;
  uint64_t bytes;
};

// Tasks that lie together in a pack.
struct Run {
  std::span<const Costed> tasks;
  uint64_t bytes;
};

class Cutter {
 public:
  Cutter(const ObjectStore::Impl& store, std::span<const ObjectNumber> wanted)
      : store_(store), plan_(store, wanted) {}

  std::vector<Piece> Cut(uint64_t piece_bytes) {
    uint64_t total = 0;
    std::vector<Costed> tasks;
    for (const WalkTask& task : plan_.tasks()) {
      tasks.push_back({&task, Bytes(task)});
      total += tasks.back().bytes;
    }
    const uint64_t whole = total / piece_bytes + (total % piece_bytes > 0 ? 1 : 0);
    std::vector<Piece> pieces(std::min<uint64_t>(whole, kMaxPieces));
    if (pieces.empty()) return {};
    std::sort(tasks.begin(), tasks.end(), [](const Costed& a, const Costed& b) { return Place(a) < Place(b); });
    // Largest first, each run to the piece that is the smallest yet.
    std::vector<Run> runs = Runs(tasks, total / pieces.size() / kRunsPerPiece);
    std::stable_sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.bytes > b.bytes; });
    for (const Run& run : runs) {
      Piece& smallest = *std::min_element(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
        return a.bytes < b.bytes;
      });
      smallest.bytes += run.bytes;
      for (const Costed& costed : run.tasks) AddObjects(*costed.task, &smallest);
    }
    std::erase_if(pieces, [](const Piece& piece) { return piece.objects.empty(); });
    return pieces;
  }

 private:
  uint64_t Bytes(const WalkTask& task) const {
    if (task.kind != WalkTask::Kind::kTree) return task.count * kLooseBytes;
    const PackForest& forest = *store_.packs[task.pack];
    uint64_t bytes = 0;
    ForEachVisited(plan_, forest, task, [&](uint32_t entry) {
      bytes += forest.end(entry) - forest.offset(entry) + kObjectBytes;
    });
    return bytes;
  }

  // Neighbours of together about `run_bytes`; a task that is larger is alone.
  static std::vector<Run> Runs(std::span<const Costed> tasks, uint64_t run_bytes) {
    std::vector<Run> runs;
    for (size_t i = 0; i < tasks.size(); ++i) {
      if (runs.empty() || runs.back().bytes + tasks[i].bytes > run_bytes) runs.push_back({tasks.subspan(i, 0), 0});
      Run& run = runs.back();
      run.tasks = {run.tasks.data(), run.tasks.size() + 1};
      run.bytes += tasks[i].bytes;
    }
    return runs;
  }

  void AddObjects(const WalkTask& task, Piece* piece) const {
    if (task.kind == WalkTask::Kind::kTree) {
      ForEachVisited(plan_, *store_.packs[task.pack], task, [&](uint32_t entry) {
        if (plan_.IsWanted(task.pack, entry)) AddObject({task.pack, entry}, piece);
      });
      return;
    }
    const auto& copies = task.kind == WalkTask::Kind::kLoose ? plan_.loose() : plan_.unreadable();
    for (uint32_t i = 0; i < task.count; ++i) AddObject(copies[task.begin + i], piece);
  }

  void AddObject(const StoredCopy& copy, Piece* piece) const {
    piece->objects.push_back(*store_.NumberOfCounted(copy));
  }

  static std::tuple<WalkTask::Kind, uint32_t, uint32_t> Place(const Costed& costed) {
    return {costed.task->kind, costed.task->pack, costed.task->begin};
  }

  const ObjectStore::Impl& store_;
  const WalkPlan plan_;
};

}  // namespace

std::vector<Piece> CutIntoPieces(const ObjectStore& store, std::span<const ObjectNumber> wanted,
                                 uint64_t piece_bytes) {
  std::vector<ObjectNumber> sorted(wanted.begin(), wanted.end());
  std::sort(sorted.begin(), sorted.end());
  return Cutter(store.impl(), sorted).Cut(piece_bytes);
}

}  // namespace unsprawl
