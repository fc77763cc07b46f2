#include "engine/history/marked_trees.h"

#include <algorithm>

namespace unsprawl {
namespace {

constexpr size_t kChunkEntries = 16;

// The change under `key`, or null. Lists of changes are short: mostly one.
const TreeEntry* FindChange(std::span<const TreeEntry> changes, uint32_t key) {
  const auto at = std::lower_bound(changes.begin(), changes.end(), key,
                                   [](const TreeEntry& entry, uint32_t k) { return entry.key < k; });
  return at != changes.end() && at->key == key ? &*at : nullptr;
}

// For every child (trees, then targets) the trees in which it appears by a change.
struct Appearances {
  struct Appearance {
    uint32_t tree;
    uint32_t key;
  };
  std::vector<uint32_t> begin;
  std::vector<Appearance> list;

  Appearances(const HistoryLog& log, uint32_t targets) {
    const uint32_t trees = static_cast<uint32_t>(log.tree_base.size());
    begin.assign(size_t{trees} + targets + 1, 0);
    const auto slot = [trees](const TreeEntry& entry) {
      return (entry.key & 1) != 0 ? entry.child : trees + entry.child;
    };
    for (uint32_t tree = 0; tree < trees; ++tree) {
      for (const TreeEntry& entry : log.Changes(tree)) {
        if (entry.child != kNone) ++begin[slot(entry) + 1];
      }
    }
    for (size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
    list.resize(begin.back());
    for (uint32_t tree = 0; tree < trees; ++tree) {
      for (const TreeEntry& entry : log.Changes(tree)) {
        if (entry.child != kNone) list[begin[slot(entry)]++] = {tree, entry.key};
      }
    }
    // Each begin has moved to its end; shift them back.
    for (size_t i = begin.size() - 1; i > 0; --i) begin[i] = begin[i - 1];
    begin[0] = 0;
  }
};

}  // namespace

MarkedTrees::Forest MarkedTrees::Plant(const HistoryLog& log) {
  const uint32_t trees = static_cast<uint32_t>(log.tree_base.size());
  // Sizes of what is built on each tree, and chains of siblings.
  std::vector<uint32_t> first_child(trees, kNone), sibling(trees, kNone);
  for (uint32_t tree = trees; tree-- > 0;) {
    if (log.tree_base[tree] == kNone) continue;
    sibling[tree] = first_child[log.tree_base[tree]];
    first_child[log.tree_base[tree]] = tree;
  }
  Forest forest{std::vector<uint32_t>(trees), std::vector<uint32_t>(trees),
                std::vector<uint32_t>(trees)};
  uint32_t next = 0;
  for (uint32_t root = 0; root < trees; ++root) {
    if (log.tree_base[root] != kNone) continue;
    uint32_t tree = root;
    while (true) {
      forest.position[tree] = next;
      forest.order[next++] = tree;
      if (first_child[tree] != kNone) {
        tree = first_child[tree];
        continue;
      }
      // Done with `tree`: close it and those it is the last of.
      while (true) {
        forest.end[forest.position[tree]] = next;
        if (tree == root || sibling[tree] != kNone) break;
        tree = log.tree_base[tree];
      }
      if (tree == root) break;
      tree = sibling[tree];
    }
  }
  return forest;
}

// From the targets upwards. An entry that appears in a tree is in all that is built on it, up to those
// that change the entry under its key. The work is at most one step per marked entry of any tree, and
// does not depend on how deep folders are nested.
std::vector<bool> MarkedTrees::Mark(const HistoryLog& log, const Forest& forest, uint32_t targets) {
  const uint32_t trees = static_cast<uint32_t>(log.tree_base.size());
  const Appearances appearances(log, targets);
  std::vector<bool> marked(trees, false);
  std::vector<uint32_t> open(targets);
  for (uint32_t i = 0; i < targets; ++i) open[i] = trees + i;
  const auto mark = [&](uint32_t tree) {
    if (marked[tree]) return;
    marked[tree] = true;
    open.push_back(tree);
  };
  while (!open.empty()) {
    const uint32_t child = open.back();
    open.pop_back();
    for (uint32_t i = appearances.begin[child]; i < appearances.begin[child + 1]; ++i) {
      const uint32_t first = forest.position[appearances.list[i].tree];
      mark(forest.order[first]);
      for (uint32_t at = first + 1; at < forest.end[first];) {
        if (FindChange(log.Changes(forest.order[at]), appearances.list[i].key) != nullptr) {
          at = forest.end[at];
        } else {
          mark(forest.order[at++]);
        }
      }
    }
  }
  return marked;
}

MarkedTrees::MarkedTrees(const HistoryLog& log, uint32_t targets)
    : list_of_(log.tree_base.size(), 0), list_begin_{0, 0}, chunk_begin_{0} {
  if (targets == 0) return;
  const Forest forest = Plant(log);
  const std::vector<bool> marked = Mark(log, forest, targets);
  std::vector<TreeEntry> changes;
  for (const uint32_t tree : forest.order) {
    const ListId base = log.tree_base[tree] == kNone ? 0 : list_of_[log.tree_base[tree]];
    changes.clear();
    for (const TreeEntry& change : log.Changes(tree)) {
      const bool folder = (change.key & 1) != 0;
      const bool leads = change.child != kNone && (!folder || marked[change.child]);
      if (leads) {
        changes.push_back(change);
      } else if (base != 0) {
        changes.push_back({change.key, kNone});
      }
    }
    list_of_[tree] = Build(base, changes);
  }
  for (auto* numbers : {&list_of_, &chunk_refs_}) numbers->shrink_to_fit();
  entries_.shrink_to_fit();
}

// The list that `changes` make of `base`. Chunks that no change touches are shared.
ListId MarkedTrees::Build(ListId base, std::span<const TreeEntry> changes) {
  if (changes.empty()) return base;
  const size_t refs_before = chunk_refs_.size();
  bool differs = false;
  if (base == 0) {  // nothing to take away from
    AppendChunks(changes);
    differs = true;
  }
  for (uint64_t ref = list_begin_[base]; ref < list_begin_[base + 1]; ++ref) {
    const bool last = ref + 1 == list_begin_[base + 1];
    const uint32_t limit = last ? kNone : entries_[chunk_begin_[chunk_refs_[ref + 1]]].key;
    size_t here = 0;  // changes that fall into this chunk
    while (here < changes.size() && (last || changes[here].key < limit)) ++here;
    const uint32_t chunk = chunk_refs_[ref];
    if (here > 0 && Merge(EntriesOf(chunk), changes.first(here))) {
      differs = true;
      AppendChunks(merged_);
    } else {
      chunk_refs_.push_back(chunk);
    }
    changes = changes.subspan(here);
  }
  if (!differs) {
    chunk_refs_.resize(refs_before);
    return base;
  }
  if (chunk_refs_.size() == refs_before) return 0;
  list_begin_.push_back(chunk_refs_.size());
  return lists() - 1;
}

// Makes merged_ of a chunk and the changes that fall into it. False: they change nothing.
bool MarkedTrees::Merge(std::span<const TreeEntry> chunk, std::span<const TreeEntry> changes) {
  merged_.clear();
  bool differs = false;
  size_t at = 0;
  for (const TreeEntry& change : changes) {
    while (at < chunk.size() && chunk[at].key < change.key) merged_.push_back(chunk[at++]);
    const bool had = at < chunk.size() && chunk[at].key == change.key;
    differs |= (had ? chunk[at++].child : kNone) != change.child;
    if (change.child != kNone) merged_.push_back(change);
  }
  merged_.insert(merged_.end(), chunk.begin() + static_cast<ptrdiff_t>(at), chunk.end());
  return differs;
}

// In pieces of about equal size, none above kChunkEntries.
void MarkedTrees::AppendChunks(std::span<const TreeEntry> entries) {
  const size_t pieces = (entries.size() + kChunkEntries - 1) / kChunkEntries;
  for (size_t i = 0; i < pieces; ++i) {
    const size_t begin = entries.size() * i / pieces, end = entries.size() * (i + 1) / pieces;
    entries_.insert(entries_.end(), entries.begin() + static_cast<ptrdiff_t>(begin),
                    entries.begin() + static_cast<ptrdiff_t>(end));
    chunk_refs_.push_back(chunks());
    chunk_begin_.push_back(entries_.size());
  }
}

uint32_t MarkedTrees::Find(ListId list, uint32_t key) const {
  const std::span<const uint32_t> chunks = ChunksOf(list);
  auto chunk = std::upper_bound(chunks.begin(), chunks.end(), key, [&](uint32_t k, uint32_t c) {
    return k < entries_[chunk_begin_[c]].key;
  });
  if (chunk == chunks.begin()) return kNone;
  const TreeEntry* entry = FindChange(EntriesOf(*--chunk), key);
  return entry != nullptr ? entry->child : kNone;
}

void MarkedTrees::ForEach(ListId list, absl::FunctionRef<void(const TreeEntry&)> visit) const {
  for (const uint32_t chunk : ChunksOf(list)) {
    for (const TreeEntry& entry : EntriesOf(chunk)) visit(entry);
  }
}

void MarkedTrees::ForEachDifference(
    ListId a, ListId b,
    absl::FunctionRef<void(uint32_t key, uint32_t a_child, uint32_t b_child)> visit) const {
  // A place in a list, chunk by chunk.
  struct Cursor {
    std::span<const uint32_t> chunks;
    std::span<const TreeEntry> entries;
    size_t chunk = 0, entry = 0;
  };
  const auto load = [&](Cursor& cursor) {
    cursor.entry = 0;
    cursor.entries = cursor.chunk < cursor.chunks.size() ? EntriesOf(cursor.chunks[cursor.chunk])
                                                         : std::span<const TreeEntry>();
  };
  const auto advance = [&](Cursor& cursor) {
    if (++cursor.entry < cursor.entries.size()) return;
    ++cursor.chunk;
    load(cursor);
  };
  Cursor x{ChunksOf(a), {}}, y{ChunksOf(b), {}};
  load(x);
  load(y);
  while (!x.entries.empty() || !y.entries.empty()) {
    if (x.entries.data() == y.entries.data() && x.entry == y.entry) {
      for (Cursor* cursor : {&x, &y}) {
        ++cursor->chunk;
        load(*cursor);
      }
      continue;
    }
    const TreeEntry* const p = x.entries.empty() ? nullptr : &x.entries[x.entry];
    const TreeEntry* const q = y.entries.empty() ? nullptr : &y.entries[y.entry];
    if (q == nullptr || (p != nullptr && p->key < q->key)) {
      visit(p->key, p->child, kNone);
      advance(x);
    } else if (p == nullptr || q->key < p->key) {
      visit(q->key, kNone, q->child);
      advance(y);
    } else {
      if (p->child != q->child) visit(p->key, p->child, q->child);
      advance(x);
      advance(y);
    }
  }
}

size_t MarkedTrees::bytes() const {
  return list_of_.capacity() * sizeof(ListId) + list_begin_.capacity() * sizeof(uint64_t) +
         chunk_refs_.capacity() * sizeof(uint32_t) + chunk_begin_.capacity() * sizeof(uint64_t) +
         entries_.capacity() * sizeof(TreeEntry);
}

}  // namespace unsprawl
