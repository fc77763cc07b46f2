#include "coordinator/fetch_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

class FetchQueueTest : public testing::Test {
 protected:
  RemoteTarget Target(const std::string& name, uint64_t size_kb) {
    RemoteTarget target;
    target.key = target.name = name;
    target.size_kb = size_kb;
    target.source = &source_;
    return target;
  }
  std::string Take(FetchQueue& queue) {
    const RemoteTarget* target = queue.Take();
    if (target == nullptr) return "";
    taken_.push_back(target);
    return target->name;
  }

  TempDir dir_;
  RemoteSource source_;
  std::atomic<bool> stop_ = false;
  std::vector<const RemoteTarget*> taken_;
};

TEST_F(FetchQueueTest, AHostThatStallsHoldsUpNoOther) {
  const std::vector<RemoteTarget> targets = {Target("a/1", 9), Target("b/1", 1), Target("a/2", 8), Target("a/3", 7),
                                             Target("b/2", 2)};
  ForkNetworks networks(targets, dir_.path(), &stop_);
  FetchQueue queue(targets, networks, dir_.path(), 2, 1, &stop_);
  EXPECT_EQ(queue.width(), 4u);
  for (const char* name : {"a/1", "a/2", "b/2", "b/1"}) EXPECT_EQ(Take(queue), name);
  queue.Return(taken_[1]);
  EXPECT_EQ(Take(queue), "a/3");
  EXPECT_EQ(Take(queue), "");
}

TEST_F(FetchQueueTest, ALargeOneHasFewBesideIt) {
  const std::vector<RemoteTarget> targets = {Target("a/1", 1 << 20), Target("a/2", 8), Target("a/3", 7)};
  ForkNetworks networks(targets, dir_.path(), &stop_);
  FetchQueue queue(targets, networks, dir_.path(), 8, 1, &stop_);
  EXPECT_EQ(Take(queue), "a/1");
  EXPECT_EQ(Take(queue), "a/2");
  stop_ = true;  // Nothing more is given out beside it.
  EXPECT_EQ(Take(queue), "");
  stop_ = false;
  queue.Return(taken_[0]);
  EXPECT_EQ(Take(queue), "a/3");
}

TEST_F(FetchQueueTest, ALargeOneOfOneHostHoldsUpNoOther) {
  const std::vector<RemoteTarget> targets = {Target("a/1", 1 << 20), Target("a/2", 8), Target("a/3", 7),
                                             Target("b/1", 2), Target("b/2", 1)};
  ForkNetworks networks(targets, dir_.path(), &stop_);
  FetchQueue queue(targets, networks, dir_.path(), 8, 1, &stop_);
  for (const char* name : {"a/1", "a/2", "b/1", "b/2"}) EXPECT_EQ(Take(queue), name);
}

}  // namespace
}  // namespace unsprawl
