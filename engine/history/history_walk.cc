#include "engine/history/history_walk.h"

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "engine/history/commit_parser.h"
#include "engine/history/tree_reader.h"

namespace unsprawl {
namespace {

class HistoryVisitor : public WalkVisitor {
 public:
  HistoryVisitor(const ObjectStore& store, const NodeTable& nodes, std::span<const ObjectId> shallow,
                 uint8_t thread, HistoryLog& log)
      : store_(store),
        nodes_(nodes),
        shallow_(shallow),
        thread_(thread),
        log_(log),
        own_(log.threads[thread]),
        trees_(store, nodes, own_) {}

  void Visit(const WalkedObject& object) override {
    if (!object.wanted) {  // a copy that does not count, or that no index lists
      trees_.Forget(object.slot);
      return;
    }
    const Node node = nodes_.at(object.number);
    if (node.kind == NodeKind::kTree) {
      uint32_t base = kNone;
      const uint32_t words = trees_.Read(object, node.index, base);
      log_.tree_base[node.index] = base;
      log_.tree_words[node.index] = words;
      log_.tree_thread[node.index] = thread_;
    } else if (node.kind == NodeKind::kCommit) {
      ReadCommit(object, log_.commits[node.index]);
    } else {
      ReadTag(object, node.index);
    }
  }

  void Skip(ObjectNumber, const ObjectSkip& skip) override {
    own_.skips.Add(skip.id, skip.type, skip.fault, skip.detail);
  }

 private:
  void ReadCommit(const WalkedObject& object, HistoryLog::Commit& row) {
    ParseCommit(object.content, parsed_);
    const ObjectId id = store_.id(object.number);
    row.author_time = parsed_.author_time;
    row.committer_time = parsed_.committer_time;
    row.author_offset = static_cast<int16_t>(parsed_.author_offset);
    row.author = AddIdentity(parsed_.author);
    if (std::binary_search(shallow_.begin(), shallow_.end(), id)) parsed_.parents.clear();
    named_ = parsed_.parents;
    if (parsed_.tree) named_.push_back(*parsed_.tree);
    nodes_.FindAll(named_, &found_);
    if (parsed_.tree) {
      row.tree = IndexOf(found_.back(), *parsed_.tree, NodeKind::kTree);
    } else {
      own_.skips.Add(id, ObjectType::kCommit, ObjectFault::kDamaged, "a commit without a tree");
    }
    words_.assign(1, 0);
    for (size_t i = 0; i < parsed_.parents.size(); ++i) {
      const uint32_t index = IndexOf(found_[i], parsed_.parents[i], NodeKind::kCommit);
      if (index != kNone) words_.push_back(index);
    }
    words_[0] = static_cast<uint32_t>(words_.size()) - 1;
    words_.push_back(static_cast<uint32_t>(parsed_.co_authors.size()));
    for (const Identity& who : parsed_.co_authors) words_.push_back(AddIdentity(who));
    std::span<uint32_t> kept;
    row.words = own_.pool.Add(static_cast<uint32_t>(words_.size()), kept);
    std::copy(words_.begin(), words_.end(), kept.begin());
    row.thread = thread_;
  }

  void ReadTag(const WalkedObject& object, uint32_t tag) {
    const std::optional<ObjectId> target = ParseTagTarget(object.content);
    if (target) {
      log_.tag_targets[tag] = *target;
      log_.tag_read[tag] = 1;
    } else {
      own_.skips.Add(store_.id(object.number), ObjectType::kTag, ObjectFault::kDamaged,
                     "a tag that names no object");
    }
  }

  uint32_t AddIdentity(const Identity& who) {
    identity_.assign(who.name);
    identity_ += '\0';
    identity_ += who.email;
    return own_.identities.Add(identity_);
  }

  // The index of a tree or commit that a commit names and that was found as `object`, or kNone and a skip.
  uint32_t IndexOf(ObjectNumber object, const ObjectId& id, NodeKind kind) {
    if (object == kNoObject) {
      own_.skips.Add(id, kind == NodeKind::kTree ? ObjectType::kTree : ObjectType::kCommit,
                     ObjectFault::kMissing, "named by a commit, stored nowhere");
      return kNone;
    }
    const Node node = nodes_.at(object);
    if (node.kind == kind) return node.index;
    own_.skips.Add(id, store_.type(object), ObjectFault::kDamaged,
                   kind == NodeKind::kTree ? "named as a commit's tree, but it is none"
                                           : "named as a commit's parent, but it is no commit");
    return kNone;
  }

  const ObjectStore& store_;
  const NodeTable& nodes_;
  const std::span<const ObjectId> shallow_;
  const uint8_t thread_;
  HistoryLog& log_;
  ThreadLog& own_;
  TreeReader trees_;
  ParsedCommit parsed_;
  std::string identity_;
  std::vector<uint32_t> words_;
  std::vector<ObjectId> named_;        // by the commit: parents, then the tree
  std::vector<ObjectNumber> found_;    // … as objects
};

}  // namespace

absl::Status CheckLocatable(const ObjectStore& store) {
  if (store.size() <= NodeTable::kMaxObjects) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrFormat("%d objects in one repository; at most %d can be located",
                                                      store.size(), NodeTable::kMaxObjects));
}

absl::Status WalkHistory(const ObjectStore& store, const NodeTable& nodes,
                         std::span<const ObjectId> shallow, std::span<const ObjectNumber> avoid,
                         const WalkOptions& options, HistoryLog& log) {
  CHECK(log.threads.size() == static_cast<size_t>(options.threads));
  std::vector<std::unique_ptr<WalkVisitor>> visitors;
  for (size_t t = 0; t < log.threads.size(); ++t) {
    visitors.push_back(std::make_unique<HistoryVisitor>(store, nodes, shallow,
                                                        static_cast<uint8_t>(t), log));
  }
  Walk(store, nodes.numbers(), avoid, options, visitors);
  if (options.stop != nullptr && options.stop->load()) return absl::CancelledError("stopped");
  log.UnifyNames(options.threads);
  return absl::OkStatus();
}

}  // namespace unsprawl
