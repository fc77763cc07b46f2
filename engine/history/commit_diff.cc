#include "engine/history/commit_diff.h"

#include <algorithm>

#include "engine/base/mutex.h"
#include "engine/git/parallel.h"

namespace unsprawl {
namespace {

// Of all folders still to compare in one commit: 64 MB. A forged commit may have a million parents.
constexpr size_t kMaxParentLists = 1 << 24;

using Secrets = std::span<const std::span<const uint32_t>>;

// Compares commits one after another. One per thread.
class Differ {
 public:
  Differ(const HistoryLog& log, const CommitGraph& graph, const MarkedTrees& trees, Secrets secrets,
         uint64_t max_events)
      : log_(log), graph_(graph), trees_(trees), secrets_(secrets), max_events_(max_events) {}

  void Diff(uint32_t commit) {
    const std::span<const uint32_t> parents = graph_.Parents(commit);
    commit_ = commit;
    stride_ = parents.size();
    entered_.clear();
    left_.clear();
    here_.resize(stride_);
    for (size_t i = 0; i < stride_; ++i) here_[i] = trees_.list(log_.commits[parents[i]].tree);
    const ListId root = trees_.list(log_.commits[commit].tree);
    if (std::find(here_.begin(), here_.end(), root) != here_.end()) return;
    cut_ = false;
    Push({PathTable::kRoot, root, 0});
    while (!folders_.empty() && !cut_) DiffFolder();
    if (cut_) truncated.push_back(commit);
    folders_.clear();
    parent_lists_.clear();
    if (!entered_.empty() || !left_.empty()) NoteEvents();
  }

  std::vector<Event> events;
  PathTable paths;
  std::vector<uint32_t> truncated;

 private:
  struct Folder {
    uint32_t path;
    ListId list;
    uint32_t bytes;  // of the path
  };

  // Opens a folder with `here_` as its lists in the parents.
  void Push(const Folder& folder) {
    if (parent_lists_.size() + here_.size() > kMaxParentLists) {
      cut_ = true;
      return;
    }
    folders_.push_back(folder);
    parent_lists_.insert(parent_lists_.end(), here_.begin(), here_.end());
  }

  void DiffFolder() {
    const Folder folder = folders_.back();
    folders_.pop_back();
    lists_.assign(parent_lists_.end() - static_cast<ptrdiff_t>(stride_), parent_lists_.end());
    parent_lists_.resize(parent_lists_.size() - stride_);
    if (stride_ == 0) {
      trees_.ForEach(folder.list, [&](const TreeEntry& entry) {
        here_.clear();
        Compare(folder, entry.key, entry.child);
      });
      return;
    }
    trees_.ForEachDifference(folder.list, lists_[0], [&](uint32_t key, uint32_t child, uint32_t old) {
      here_.assign(1, old);
      for (size_t i = 1; i < stride_; ++i) {
        const uint32_t other = trees_.Find(lists_[i], key);
        if (other == child) return;
        here_.push_back(other);
      }
      Compare(folder, key, child);
    });
  }

  // An entry whose child differs from those in all parents, which are in `here_`.
  void Compare(const Folder& folder, uint32_t key, uint32_t child) {
    const uint64_t bytes = folder.bytes + log_.names[key >> 1].size() + 1;
    if (bytes > PathTable::kMaxPathBytes || entered_.size() + left_.size() >= max_events_) {
      cut_ = true;
      return;
    }
    if ((key & 1) == 0) return CompareBlobs(folder.path, key >> 1, child);
    for (uint32_t& old : here_) old = trees_.list(old);
    const ListId list = trees_.list(child);
    if (std::find(here_.begin(), here_.end(), list) != here_.end()) return;  // nothing differs below
    Push({paths.Add(folder.path, key >> 1), list, static_cast<uint32_t>(bytes)});
  }

  void CompareBlobs(uint32_t folder, uint32_t name, uint32_t child) {
    const uint32_t path = paths.Add(folder, name);
    const auto has = [&](uint32_t target, uint32_t secret) {
      return target != kNone &&
             std::binary_search(secrets_[target].begin(), secrets_[target].end(), secret);
    };
    if (child != kNone) {
      for (const uint32_t secret : secrets_[child]) {
        const bool known = std::any_of(here_.begin(), here_.end(),
                                       [&](uint32_t old) { return has(old, secret); });
        if (!known) entered_.push_back({commit_, secret, path, child, kNone, Event::kIntroduction});
      }
    }
    if (here_.empty() || here_[0] == kNone) return;
    for (const uint32_t secret : secrets_[here_[0]]) {
      const bool everywhere = std::all_of(here_.begin(), here_.end(),
                                          [&](uint32_t old) { return has(old, secret); });
      if (everywhere && !has(child, secret)) {
        left_.push_back({commit_, secret, path, kNone, kNone, Event::kRemoval});
      }
    }
  }

  void NoteEvents() {
    if (!entered_.empty() && !left_.empty() && graph_.reachable(commit_)) PairMoves();
    events.insert(events.end(), entered_.begin(), entered_.end());
    events.insert(events.end(), left_.begin(), left_.end());
  }

  // Per secret, the first path left with the first entered, and so on.
  void PairMoves() {
    SortBySecretAndPath(entered_);
    SortBySecretAndPath(left_);
    size_t next = 0, kept = 0;
    for (const Event& leaving : left_) {
      while (next < entered_.size() &&
             (entered_[next].secret < leaving.secret || entered_[next].kind == Event::kMove)) {
        ++next;
      }
      if (next < entered_.size() && entered_[next].secret == leaving.secret) {
        entered_[next].kind = Event::kMove;
        entered_[next].from = leaving.path;
      } else {
        left_[kept++] = leaving;
      }
    }
    left_.resize(kept);
  }

  void SortBySecretAndPath(std::vector<Event>& list) {
    std::sort(list.begin(), list.end(), [&](const Event& a, const Event& b) {
      return a.secret != b.secret ? a.secret < b.secret : paths.IsBefore(a.path, b.path, log_.names);
    });
  }

  const HistoryLog& log_;
  const CommitGraph& graph_;
  const MarkedTrees& trees_;
  const Secrets secrets_;
  const uint64_t max_events_;

  uint32_t commit_ = 0;
  bool cut_ = false;                   // a part of the commit is left out
  size_t stride_ = 0;                  // parents
  std::vector<Folder> folders_;        // still to compare
  std::vector<ListId> parent_lists_;   // `stride_` for each of them
  std::vector<ListId> lists_;          // of the folder being compared
  std::vector<uint32_t> here_;         // of one entry: its children, or their lists, in the parents
  std::vector<Event> entered_, left_;
};

}  // namespace

Events DiffCommits(const HistoryLog& log, const CommitGraph& graph, const MarkedTrees& trees,
                   std::span<const std::span<const uint32_t>> secrets, const NodeTable& nodes,
                   const ObjectStore& store, const DiffOptions& options) {
  Events all;
  Mutex mutex;
  ParallelFor(options.threads, graph.size(), std::max<uint64_t>(4096, graph.size() / 64),
              [&](uint64_t begin, uint64_t end) {
    Differ differ(log, graph, trees, secrets, options.max_events_per_commit);
    for (uint64_t at = begin; at < end; ++at) {
      if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) return;
      differ.Diff(static_cast<uint32_t>(at));
    }
    const MutexLock lock(mutex);
    const std::vector<uint32_t> renumbered = all.paths.AddAll(differ.paths);
    for (Event event : differ.events) {
      event.path = renumbered[event.path];
      if (event.from != kNone) event.from = renumbered[event.from];
      all.list.push_back(event);
    }
    all.truncated.insert(all.truncated.end(), differ.truncated.begin(), differ.truncated.end());
  });
  std::sort(all.truncated.begin(), all.truncated.end());
  const auto before = [&](const Event& a, const Event& b) {
    if (a.commit != b.commit) {
      const uint32_t x = graph.generation(a.commit), y = graph.generation(b.commit);
      if (x != y) return x < y;
      const int64_t s = log.commits[a.commit].committer_time, t = log.commits[b.commit].committer_time;
      return s != t ? s < t : store.id(nodes.commit(a.commit)) < store.id(nodes.commit(b.commit));
    }
    if (a.secret != b.secret) return a.secret < b.secret;
    if (a.path != b.path) return all.paths.IsBefore(a.path, b.path, log.names);
    return a.kind < b.kind;
  };
  std::sort(all.list.begin(), all.list.end(), before);
  return all;
}

}  // namespace unsprawl
