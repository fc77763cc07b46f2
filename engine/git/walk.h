// Visits many objects, bases before the deltas that are built upon them, on all cores.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/base/copy_run.h"
#include "engine/git/object_store.h"

namespace unsprawl {

// What a visitor is shown. All views are valid during the call only.
struct WalkedObject {
  // kNoObject only for a base that no index lists (ObjectStore's packs under a multi-pack-index).
  ObjectNumber number = kNoObject;
  // False for an object that was not asked for and is only a base of one that was.
  bool wanted = true;
  std::string_view content;
  // A visitor keeps what it knows of an object in a table of its own indexed by slot. `slot` belongs
  // to this object until the walk gives the number to another one, which happens after every delta
  // built upon it was visited. Small dense numbers, per thread.
  uint32_t slot = 0;
  // The slot of the base this object's delta was applied to, or -1: stored whole (or loose), or the
  // base was not visited on this thread (near its end a walk divides a tree that is too large for one
  // thread). When >= 0, `copies` says what came from it.
  int32_t base_slot = -1;
  uint64_t base_bytes = 0;          // size of the base's content
  std::span<const CopyRun> copies;  // merged, ascending; empty if the delta copies nothing
};

// One per thread; its methods are called on that thread only.
class WalkVisitor {
 public:
  virtual ~WalkVisitor() = default;
  virtual void Visit(const WalkedObject& object) = 0;
  // An object that was wanted and cannot be read. Called once for each such object.
  virtual void Skip(ObjectNumber object, const ObjectSkip& skip) = 0;
};

struct WalkOptions {
  int threads = 2;
  // Resolved contents kept alive per thread for deltas still to come. Above it the oldest are dropped
  // and resolved again when needed: hostile chains cost time, not memory.
  uint64_t max_live_bytes = 96 << 20;
  // If set, `threads` slots in which each thread notes number + 1 of the object it is working on (0:
  // none) before touching its bytes. In shared memory it survives the process.
  std::atomic<uint32_t>* current_object = nullptr;
  // Polled between objects; the walk ends early when it turns true.
  const std::atomic<bool>* stop = nullptr;
};

struct WalkStats {
  uint64_t objects_visited = 0;
  uint64_t bytes_resolved = 0;  // content produced, bases included
};

// Visits each object of `wanted` (distinct numbers, any order) exactly once, by Visit or by Skip, and
// the bases they need (wanted = false). `visitors` has `options.threads` entries. Which thread gets
// which object, and the order between delta trees, are not determined; within one tree a base comes
// first. An object named in `avoid` (sorted) is not touched: it, and what needs it as a base, goes to
// Skip with kDamaged.
WalkStats Walk(const ObjectStore& store, std::span<const ObjectNumber> wanted,
               std::span<const ObjectNumber> avoid, const WalkOptions& options,
               std::span<const std::unique_ptr<WalkVisitor>> visitors);

}  // namespace unsprawl
