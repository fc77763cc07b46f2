#include "engine/git/walk.h"

#include <algorithm>
#include <thread>

#include "engine/base/status.h"
#include "engine/git/object_store_impl.h"
#include "engine/git/tree_walker.h"
#include "engine/git/walk_plan.h"
#include "engine/git/walk_queue.h"

namespace unsprawl {

WalkStats Walk(const ObjectStore& store, std::span<const ObjectNumber> wanted,
               std::span<const ObjectNumber> avoid, const WalkOptions& options,
               std::span<const std::unique_ptr<WalkVisitor>> visitors) {
  const size_t threads = static_cast<size_t>(std::max(options.threads, 1));
  CHECK(visitors.size() == threads);
  const WalkPlan plan(store.impl(), wanted);
  WalkQueue queue(plan, threads, options.stop);
  std::vector<WalkStats> stats(threads);
  const auto run = [&](size_t thread) {
    std::atomic<uint32_t>* const current =
        options.current_object == nullptr ? nullptr : options.current_object + thread;
    TreeWalker walker(store.impl(), plan, queue, avoid, options, current, *visitors[thread]);
    walker.Run();
    stats[thread] = walker.stats();
  };
  std::vector<std::thread> others;
  for (size_t thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  run(0);
  for (std::thread& thread : others) thread.join();
  WalkStats sum;
  for (const WalkStats& part : stats) {
    sum.objects_visited += part.objects_visited;
    sum.bytes_resolved += part.bytes_resolved;
  }
  return sum;
}

}  // namespace unsprawl
