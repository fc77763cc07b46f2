#include "engine/git/walk_queue.h"

#include <utility>

namespace unsprawl {

bool WalkQueue::Take(const WalkTask** task, TreePart* part) {
  *task = nullptr;
  if (!stopped()) {
    const size_t index = next_task_.fetch_add(1);
    if (index < plan_.tasks().size()) {
      *task = &plan_.tasks()[index];
      return true;
    }
  }
  MutexLock lock(mutex_);
  --busy_;
  ++wanted_parts_;
  while (parts_.empty() && busy_ > 0) changed_.wait(mutex_);
  if (parts_.empty() || stopped()) {
    changed_.notify_all();
    return false;
  }
  *part = std::move(parts_.back());
  parts_.pop_back();
  ++busy_;
  return true;
}

void WalkQueue::Give(TreePart part) {
  MutexLock lock(mutex_);
  --wanted_parts_;
  parts_.push_back(std::move(part));
  changed_.notify_one();
}

}  // namespace unsprawl
