#include "engine/history/presence.h"

#include "absl/container/flat_hash_set.h"

namespace unsprawl {
namespace {

class TipReader {
 public:
  TipReader(const HistoryLog& log, const MarkedTrees& trees,
            std::span<const std::span<const uint32_t>> secrets, const TipOptions& options,
            PathTable& paths, TipPresence& found)
      : log_(log), trees_(trees), secrets_(secrets), options_(options), paths_(paths), found_(found) {}

  // Notes all that lies under a tip's tree, at `presence` unless it was found before. A list that was
  // seen at the same path is passed over: tips share nearly all of their folders.
  void Read(ListId root, Presence presence) {
    Open({root, PathTable::kRoot, 0});
    while (!open_.empty()) {
      const Place place = open_.back();
      open_.pop_back();
      trees_.ForEach(place.list, [&](const TreeEntry& entry) { ReadEntry(place, entry, presence); });
    }
  }

 private:
  struct Place {
    ListId list;
    uint32_t path;
    uint32_t bytes;  // of the path
  };

  void ReadEntry(const Place& place, const TreeEntry& entry, Presence presence) {
    const uint64_t bytes = place.bytes + log_.names[entry.key >> 1].size() + 1;
    if (bytes > PathTable::kMaxPathBytes ||
        seen_.size() + found_.locations.size() >= options_.max_places) {
      found_.truncated = true;
      return;
    }
    const uint32_t path = paths_.Add(place.path, entry.key >> 1);
    if ((entry.key & 1) != 0) return Open({trees_.list(entry.child), path, static_cast<uint32_t>(bytes)});
    found_.at_tip[entry.child] = true;
    for (const uint32_t secret : secrets_[entry.child]) {
      found_.locations.try_emplace(uint64_t{secret} << 32 | path, presence);
    }
  }

  void Open(const Place& place) {
    if (place.list == 0) return;
    if (seen_.insert(uint64_t{place.list} << 32 | place.path).second) open_.push_back(place);
  }

  const HistoryLog& log_;
  const MarkedTrees& trees_;
  const std::span<const std::span<const uint32_t>> secrets_;
  const TipOptions& options_;
  PathTable& paths_;
  TipPresence& found_;
  absl::flat_hash_set<uint64_t> seen_;
  std::vector<Place> open_;
};

// The targets in the trees of all commits. Every list and chunk is read once.
std::vector<bool> InCommits(const HistoryLog& log, const MarkedTrees& trees, size_t targets) {
  std::vector<bool> found(targets, false);
  std::vector<bool> list_seen(trees.lists(), false), chunk_seen(trees.chunks(), false);
  std::vector<ListId> open;
  const auto see = [&](ListId list) {
    if (list == 0 || list_seen[list]) return;
    list_seen[list] = true;
    open.push_back(list);
  };
  for (const HistoryLog::Commit& commit : log.commits) see(trees.list(commit.tree));
  while (!open.empty()) {
    const ListId list = open.back();
    open.pop_back();
    for (const uint32_t chunk : trees.ChunksOf(list)) {
      if (chunk_seen[chunk]) continue;
      chunk_seen[chunk] = true;
      for (const TreeEntry& entry : trees.EntriesOf(chunk)) {
        if ((entry.key & 1) != 0) {
          see(trees.list(entry.child));
        } else {
          found[entry.child] = true;
        }
      }
    }
  }
  return found;
}

}  // namespace

TipPresence FindAtTips(const Tip* head, std::span<const Tip> tips, const HistoryLog& log,
                       const MarkedTrees& trees, std::span<const std::span<const uint32_t>> secrets,
                       const TipOptions& options, PathTable& paths) {
  TipPresence found;
  found.at_tip.assign(secrets.size(), false);
  found.is_tip.assign(secrets.size(), false);
  found.in_commit = InCommits(log, trees, secrets.size());
  TipReader reader(log, trees, secrets, options, paths, found);
  const auto read = [&](const Tip& tip, Presence presence) {
    switch (tip.kind) {
      case Tip::kCommit: return reader.Read(trees.list(log.commits[tip.index].tree), presence);
      case Tip::kTree: return reader.Read(trees.list(tip.index), Presence::kBranch);
      case Tip::kTarget:
        found.at_tip[tip.index] = found.is_tip[tip.index] = true;
        return;
    }
  };
  if (head != nullptr) read(*head, Presence::kHead);
  for (const Tip& tip : tips) read(tip, Presence::kBranch);
  return found;
}

}  // namespace unsprawl
