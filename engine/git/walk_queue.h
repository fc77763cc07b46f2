#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/base/mutex.h"
#include "engine/git/buffer.h"
#include "engine/git/walk_plan.h"

namespace unsprawl {

// A part of a delta tree given away by the thread that walks it: some children of one base, which has
// been visited already.
struct TreePart {
  uint32_t pack = 0;
  uint32_t entry = 0;  // the base
  Buffer content;      // of the base
  // Children still to visit: from `next` along the siblings up to, without, `end`, but not `heavy`;
  // then `heavy`, if has_heavy.
  uint32_t next = PackForest::kNone, end = PackForest::kNone, heavy = PackForest::kNone;
  bool has_heavy = false;
};

// Hands out a plan's tasks; when none is left, parts of trees that other threads still walk. Thread-safe.
class WalkQueue {
 public:
  // `threads` threads must call Take until it is false. `stop` may be null.
  WalkQueue(const WalkPlan& plan, size_t threads, const std::atomic<bool>* stop)
      : plan_(plan), stop_(stop), busy_(threads) {}

  // Sets *task, or *part and leaves *task null. Waits while other threads may still give parts away.
  // False: the walk is over, or was stopped.
  bool Take(const WalkTask** task, TreePart* part);

  // Some thread waits for a part. Cheap: for polling between objects.
  bool wants_parts() const { return wanted_parts_.load(std::memory_order_relaxed) > 0; }
  void Give(TreePart part);

  bool stopped() const { return stop_ != nullptr && stop_->load(std::memory_order_relaxed); }

 private:
  const WalkPlan& plan_;
  const std::atomic<bool>* const stop_;
  std::atomic<size_t> next_task_{0};
  std::atomic<int> wanted_parts_{0};  // waiting threads less parts on offer

  Mutex mutex_;
  std::condition_variable_any changed_;
  size_t busy_ ABSL_GUARDED_BY(mutex_);  // threads that may still give something away
  std::vector<TreePart> parts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace unsprawl
