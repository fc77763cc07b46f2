#include "engine/history/reach.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "engine/base/status.h"
#include "engine/history/history_log.h"
#include "engine/history/history_walk.h"

namespace unsprawl {
namespace {

// All that is no commit, tree or tag: the blobs, and what nobody knows the type of.
std::vector<ObjectNumber> Files(const ObjectStore& store) {
  std::vector<ObjectNumber> files;
  for (ObjectNumber object = 0; object < store.size(); ++object) {
    const ObjectType type = store.type(object);
    if (type == ObjectType::kBlob || type == ObjectType::kUnknown) files.push_back(object);
  }
  return files;
}

std::vector<ObjectId> IdsOf(std::span<const ObjectNumber> objects, const ObjectStore& store) {
  std::vector<ObjectId> ids;
  ids.reserve(objects.size());
  for (const ObjectNumber object : objects) ids.push_back(store.id(object));
  return ids;
}

class Reach {
 public:
  Reach(const ObjectStore& store, int threads)
      : files_(Files(store)),
        nodes_(store, IdsOf(files_, store), threads),
        log_(nodes_, threads),
        reached_(store.size(), false) {}

  absl::Status Walk(const ObjectStore& store, const RepositoryState& state, std::span<const ObjectNumber> avoid,
                    const WalkOptions& walk) {
    return WalkHistory(store, nodes_, state.shallow, avoid, walk, log_);
  }

  void From(const ObjectId& id) {
    ObjectNumber object = nodes_.Find(id);
    while (object != kNoObject && nodes_.at(object).kind == NodeKind::kTag) {
      const uint32_t tag = nodes_.at(object).index;
      if (!Mark(object) || !log_.tag_read[tag]) return;
      object = nodes_.Find(log_.tag_targets[tag]);
    }
    if (object == kNoObject) return;
    const Node node = nodes_.at(object);
    switch (node.kind) {
      case NodeKind::kCommit: ToCommit(node.index); break;
      case NodeKind::kTree: ToTree(node.index); break;
      default: Mark(object);
    }
  }

  // Ends it.
  std::vector<bool> Follow() {
    while (!commits_.empty()) {
      const uint32_t commit = commits_.back();
      commits_.pop_back();
      if (log_.commits[commit].tree != kNone) ToTree(log_.commits[commit].tree);
      for (const uint32_t parent : log_.Parents(commit)) ToCommit(parent);
    }
    while (!trees_.empty()) {
      const uint32_t tree = trees_.back();
      trees_.pop_back();
      FollowTree(tree);
    }
    if (std::any_of(log_.threads.begin(), log_.threads.end(), [](const ThreadLog& log) { return log.left_out; })) {
      for (uint32_t tree = 0; tree < nodes_.trees(); ++tree) Mark(nodes_.tree(tree));
      for (const ObjectNumber file : files_) Mark(file);
    }
    return std::move(reached_);
  }

 private:
  // False: it was before.
  bool Mark(ObjectNumber object) {
    const bool first = !reached_[object];
    reached_[object] = true;
    return first;
  }
  void ToCommit(uint32_t commit) {
    if (Mark(nodes_.commit(commit))) commits_.push_back(commit);
  }
  void ToTree(uint32_t tree) {
    if (Mark(nodes_.tree(tree))) trees_.push_back(tree);
  }
  void ToEntry(const TreeEntry& entry) {
    if (entry.child == kNone) return;
    if ((entry.key & 1) != 0) {
      ToTree(entry.child);
    } else {
      Mark(files_[entry.child]);
    }
  }

  // What a tree has from a base that is reached itself is reached with that one.
  void FollowTree(uint32_t tree) {
    changed_.clear();
    for (uint32_t at = tree;;) {
      const uint32_t base = log_.tree_base[at];
      const bool last = base == kNone || reached_[nodes_.tree(base)];
      for (const TreeEntry& entry : log_.Changes(at)) {
        const bool counts = (at == tree && last) || changed_.insert(entry.key).second;
        if (counts) ToEntry(entry);
      }
      if (last) return;
      at = base;
    }
  }

  const std::vector<ObjectNumber> files_;  // what trees name as files, by number of their target
  const NodeTable nodes_;
  HistoryLog log_;
  std::vector<bool> reached_;
  std::vector<uint32_t> commits_, trees_;  // reached, and still to be followed
  absl::flat_hash_set<uint32_t> changed_;  // keys that are nearer to the tree than to the base that is read
};

}  // namespace

absl::StatusOr<std::vector<bool>> ReachedObjects(const ObjectStore& store, const RepositoryState& state,
                                                 std::span<const ObjectId> more,
                                                 std::span<const ObjectNumber> avoid, const WalkOptions& walk) {
  RETURN_IF_ERROR(CheckLocatable(store));
  Reach reach(store, walk.threads);
  RETURN_IF_ERROR(reach.Walk(store, state, avoid, walk));
  if (state.head_target.size() == ObjectId::kBytes) reach.From(ObjectId::FromRaw(state.head_target.data()));
  for (const Ref& ref : state.refs) reach.From(ref.target);
  for (const ObjectId& id : more) reach.From(id);
  return reach.Follow();
}

}  // namespace unsprawl
