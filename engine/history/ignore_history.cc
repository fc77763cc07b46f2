#include "engine/history/ignore_history.h"

#include <algorithm>
#include <numeric>
#include <queue>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "engine/history/tree_entry.h"

namespace unsprawl {
namespace {

// As FindIgnoreFile; adds the bytes that it read to *bytes.
std::optional<ObjectNumber> FindIn(const ObjectStore& store, ObjectNumber tree, uint64_t* bytes) {
  const absl::StatusOr<std::string> content = store.Read(tree);
  if (!content.ok()) return std::nullopt;
  *bytes += content->size();
  ParsedTreeEntry entry;
  for (size_t at = 0; at < content->size() && ParseTreeEntry(*content, at, entry); at = entry.next) {
    if (entry.name != ".gitleaksignore") continue;
    if ((entry.mode & ParsedTreeEntry::kTypeMask) != ParsedTreeEntry::kFile) return std::nullopt;
    const std::optional<ObjectNumber> file = store.Find(ObjectId::FromRaw(entry.id));
    return file && store.type(*file) == ObjectType::kBlob ? file : std::nullopt;
  }
  return std::nullopt;
}

// Follows entries from child to parent.
class Follower {
 public:
  Follower(std::span<const IgnoreEntry> entries, const ObjectStore& store, const NodeTable& nodes, const HistoryLog& log,
           const CommitGraph& graph, const IgnoreLimits& limits)
      : entries_(entries), store_(store), nodes_(nodes), log_(log), graph_(graph), limits_(limits),
        found_(entries.size(), kNone) {}

  std::vector<uint32_t> From(uint32_t head) {
    Carried all(entries_.size());
    std::iota(all.begin(), all.end(), 0U);
    Give(head, std::move(all));
    while (!open_.empty()) {
      const uint32_t commit = open_.top().commit;
      open_.pop();
      Carried carried = std::move(carried_[commit]);
      carried_.erase(commit);
      if (!Pass(commit, std::move(carried))) break;
    }
    return std::move(found_);
  }

 private:
  using Carried = std::vector<uint32_t>;  // indices of entries
  struct Open {
    uint32_t generation, commit;
    ObjectId id;
    // Children before parents; else any order that does not depend on numbers.
    bool operator<(const Open& other) const {
      return generation != other.generation ? generation < other.generation : id < other.id;
    }
  };

  void Give(uint32_t commit, Carried carried) {
    if (carried.empty()) return;
    const auto [there, added] = carried_.try_emplace(commit);
    if (added) open_.push({graph_.generation(commit), commit, store_.id(nodes_.commit(commit))});
    if (there->second.empty()) {
      there->second = std::move(carried);
    } else {
      there->second.insert(there->second.end(), carried.begin(), carried.end());
    }
  }

  // Gives what `commit` has to its parents; what none of them has, it introduced. False: beyond the limits.
  bool Pass(uint32_t commit, Carried carried) {
    const std::span<const uint32_t> parents = graph_.Parents(commit);
    commits_ += 1 + static_cast<uint32_t>(parents.size());
    if (commits_ > limits_.max_commits) return false;
    const ObjectNumber here = FileOf(commit);
    for (const uint32_t parent : parents) {
      if (FileOf(parent) == here) return Give(parent, std::move(carried)), true;
    }
    for (const uint32_t parent : parents) {
      Give(parent, TakeThoseIn(FileOf(parent), carried));
      if (bytes_ > limits_.max_bytes) return false;
    }
    for (const uint32_t entry : carried) found_[entry] = commit;
    return true;
  }

  // The file in the commit's tree, or kNoObject.
  ObjectNumber FileOf(uint32_t commit) {
    const uint32_t tree = log_.commits[commit].tree;
    if (tree == kNone) return kNoObject;
    const auto [known, added] = files_.try_emplace(tree, kNoObject);
    if (added) known->second = FindIn(store_, nodes_.tree(tree), &bytes_).value_or(kNoObject);
    return known->second;
  }

  // Moves those of `carried` that `file` has as well out of it.
  Carried TakeThoseIn(ObjectNumber file, Carried& carried) {
    if (file == kNoObject || carried.empty()) return {};
    const absl::StatusOr<std::string> text = store_.Read(file);
    if (!text.ok()) return {};
    bytes_ += text->size();
    if (text->size() > limits_.max_file_bytes) return {};
    IgnoreFile parsed = ParseIgnoreFile(*text, limits_.max_entries);
    std::sort(parsed.entries.begin(), parsed.entries.end());
    Carried taken;
    std::erase_if(carried, [&](uint32_t entry) {
      if (!std::binary_search(parsed.entries.begin(), parsed.entries.end(), entries_[entry])) return false;
      taken.push_back(entry);
      return true;
    });
    return taken;
  }

  const std::span<const IgnoreEntry> entries_;
  const ObjectStore& store_;
  const NodeTable& nodes_;
  const HistoryLog& log_;
  const CommitGraph& graph_;
  const IgnoreLimits& limits_;
  std::vector<uint32_t> found_;                         // by entry
  std::priority_queue<Open> open_;                      // commits that carry entries …
  absl::flat_hash_map<uint32_t, Carried> carried_;      // … and which
  absl::flat_hash_map<uint32_t, ObjectNumber> files_;   // by tree
  uint32_t commits_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace

std::optional<ObjectNumber> FindIgnoreFile(const ObjectStore& store, ObjectNumber tree) {
  uint64_t bytes = 0;
  return FindIn(store, tree, &bytes);
}

std::vector<uint32_t> FindIntroductions(std::span<const IgnoreEntry> entries, uint32_t head, const ObjectStore& store,
                                        const NodeTable& nodes, const HistoryLog& log, const CommitGraph& graph,
                                        const IgnoreLimits& limits) {
  return Follower(entries, store, nodes, log, graph, limits).From(head);
}

}  // namespace unsprawl
