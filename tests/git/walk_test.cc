// Walk over hand-made packs: division between threads, limits, avoiding, stopping.
#include "engine/git/walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "absl/strings/str_format.h"
#include "tests/support/git_objects.h"
#include "tests/support/git_repo.h"
#include "tests/support/pack_writer.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

// A pack under construction that knows the content of its entries.
class Trees {
 public:
  size_t AddRoot(std::string content) {
    contents_.push_back(std::move(content));
    return pack_.AddWhole(ObjectType::kBlob, contents_.back());
  }
  // A delta that appends `text` to the base.
  size_t AddChild(size_t base, std::string_view text) {
    const std::string& from = contents_[base];
    const std::string delta = DeltaSize(from.size()) + DeltaSize(from.size() + text.size()) +
                              (from.empty() ? "" : DeltaCopy(0, static_cast<uint32_t>(from.size()))) +
                              DeltaInsert(text);
    contents_.push_back(from + std::string(text));
    return pack_.AddOffsetDelta(base, delta, HashObject(ObjectType::kBlob, contents_.back()));
  }
  std::unique_ptr<ObjectStore> Open(const ObjectStore::Options& options = {}) {
    pack_.Write(dir_.path());
    auto opened = ObjectStore::Open(dir_.path(), options);
    EXPECT_THAT(opened, IsOk());
    EXPECT_EQ((*opened)->size(), contents_.size());
    return std::move(opened).value();
  }
  ObjectNumber Number(const ObjectStore& store, size_t entry) const {
    return store.Find(pack_entry(entry).id).value();
  }
  const PackWriter::Entry& pack_entry(size_t entry) const {
    return const_cast<Trees*>(this)->pack_.entries()[entry];
  }
  const std::string& content(size_t entry) const { return contents_[entry]; }
  GitObjects Expected() const {
    GitObjects expected;
    for (size_t i = 0; i < contents_.size(); ++i) {
      expected[pack_entry(i).id] = {ObjectType::kBlob, contents_[i]};
    }
    return expected;
  }

 private:
  TempDir dir_;
  PackWriter pack_;
  std::vector<std::string> contents_;
};

// One tree: each new entry is a delta upon a random earlier one.
void MakeRandomTree(Trees& trees, int entries, uint32_t seed) {
  std::mt19937 random(seed);
  trees.AddRoot("root");
  for (int i = 1; i < entries; ++i) {
    trees.AddChild(random() % static_cast<size_t>(i), std::to_string(random()));
  }
}

// Takes a while for each object, as scanning does, so that other threads run out of work.
class SlowVisitor : public WalkVisitor {
 public:
  void Visit(const WalkedObject&) override {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    ++visits;
  }
  void Skip(ObjectNumber, const ObjectSkip&) override { ++skips; }
  uint64_t visits = 0, skips = 0;
};

// How many objects each of `threads` threads was shown.
std::vector<uint64_t> ShareOfThreads(const ObjectStore& store, int threads) {
  std::vector<std::unique_ptr<WalkVisitor>> visitors;
  for (int i = 0; i < threads; ++i) visitors.push_back(std::make_unique<SlowVisitor>());
  WalkOptions options;
  options.threads = threads;
  Walk(store, AllNumbers(store), {}, options, visitors);
  std::vector<uint64_t> shares;
  for (const auto& visitor : visitors) shares.push_back(static_cast<SlowVisitor&>(*visitor).visits);
  return shares;
}

TEST(WalkTest, ASingleTreeIsDividedBetweenThreads) {
  Trees bushy;
  MakeRandomTree(bushy, 1200, 1);
  auto store = bushy.Open();
  auto shares = ShareOfThreads(*store, 2);
  EXPECT_EQ(shares[0] + shares[1], 1200u);
  EXPECT_GT(std::min(shares[0], shares[1]), 400u);

  Trees star;
  star.AddRoot("root");
  for (int i = 0; i < 1200; ++i) star.AddChild(0, std::to_string(i));
  store = star.Open();
  shares = ShareOfThreads(*store, 4);
  EXPECT_EQ(shares[0] + shares[1] + shares[2] + shares[3], 1201u);
  EXPECT_GT(*std::min_element(shares.begin(), shares.end()), 100u);
}

TEST(WalkTest, DividedTreesShowEveryObjectOnce) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    Trees trees;
    MakeRandomTree(trees, 700, seed);
    const auto store = trees.Open();
    for (const int threads : {1, 2, 3, 8}) {
      WalkOptions options;
      options.threads = threads;
      if (seed % 2) options.max_live_bytes = 100;
      const WalkRecord record = WalkAndCheck(*store, AllNumbers(*store), options);
      EXPECT_TRUE(record.visited == trees.Expected());
    }
  }
}

TEST(WalkTest, OnlyBasesOfWantedObjectsAreShownBesidesThem) {
  Trees trees;
  const size_t root = trees.AddRoot("root");
  const size_t left = trees.AddChild(root, "left"), right = trees.AddChild(root, "right");
  const size_t leaf = trees.AddChild(left, "leaf");
  trees.AddChild(right, "unwanted");
  trees.AddRoot("another tree");
  const auto store = trees.Open();
  const std::vector<ObjectNumber> wanted = {trees.Number(*store, leaf)};
  const WalkRecord record = WalkAndCheck(*store, wanted, {});
  EXPECT_EQ(record.visited.size(), 1u);
  EXPECT_EQ(record.visited.begin()->second.content, "rootleftleaf");
  EXPECT_EQ(record.unwanted, 2u);
  EXPECT_EQ(record.stats.objects_visited, 3u);
}

TEST(WalkTest, LiveContentsAreDroppedAboveTheLimitAndResolvedAgain) {
  Trees trees;
  size_t spine = trees.AddRoot(std::string(20000, 'x'));
  for (int i = 0; i < 50; ++i) {
    const size_t side = trees.AddChild(spine, "side" + std::to_string(i));
    for (int j = 0; j < 3; ++j) trees.AddChild(side, std::to_string(j));
    spine = trees.AddChild(spine, "spine" + std::to_string(i));
  }
  const auto store = trees.Open();
  WalkOptions options;
  options.threads = 1;
  const WalkRecord all_kept = WalkAndCheck(*store, AllNumbers(*store), options);
  options.max_live_bytes = 30000;  // room for one
  const WalkRecord dropped = WalkAndCheck(*store, AllNumbers(*store), options);
  EXPECT_TRUE(all_kept.visited == trees.Expected());
  EXPECT_TRUE(dropped.visited == trees.Expected());
  EXPECT_GT(dropped.stats.bytes_resolved, all_kept.stats.bytes_resolved) << "nothing was dropped";
}

TEST(WalkTest, AChainOf100000DeltasIsWalkedAndRead) {
  TempDir dir;
  PackWriter pack;
  // Each replaces the last six digits of the one before.
  std::string content = "number 000000";
  size_t entry = pack.AddWhole(ObjectType::kBlob, content);
  for (int i = 1; i <= 100000; ++i) {
    content = absl::StrFormat("number %06d", i);
    const std::string delta =
        DeltaSize(13) + DeltaSize(13) + DeltaCopy(0, 7) + DeltaInsert(content.substr(7));
    entry = pack.AddOffsetDelta(entry, delta, HashObject(ObjectType::kBlob, content));
  }
  pack.Write(dir.path());
  const auto store = ObjectStore::Open(dir.path(), {});
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->skips(), testing::IsEmpty());
  const auto last = (*store)->Find(HashObject(ObjectType::kBlob, content));
  ASSERT_TRUE(last);
  EXPECT_EQ(*(*store)->Read(*last), content);
  const WalkRecord record = WalkAndCheck(**store, AllNumbers(**store), {});
  EXPECT_EQ(record.visited.size(), 100001u);
  EXPECT_EQ(record.visited.at((*store)->id(*last)).content, content);
}

TEST(WalkTest, AvoidedObjectsAndWhatNeedsThemAreSkipped) {
  Trees trees;
  const size_t root = trees.AddRoot("root");
  const size_t left = trees.AddChild(root, "left"), right = trees.AddChild(root, "right");
  const size_t left_leaf = trees.AddChild(left, "leaf"), right_leaf = trees.AddChild(right, "leaf");
  const auto store = trees.Open();
  const std::vector<ObjectNumber> avoid = {trees.Number(*store, left)};
  const WalkRecord record = WalkAndCheck(*store, AllNumbers(*store), {}, avoid);
  const auto is_skipped = [&](size_t entry) { return record.skips.count(trees.pack_entry(entry).id) > 0; };
  EXPECT_TRUE(is_skipped(left));
  EXPECT_TRUE(is_skipped(left_leaf));
  EXPECT_FALSE(is_skipped(root) || is_skipped(right) || is_skipped(right_leaf));
  EXPECT_EQ(record.skips.begin()->second.fault, ObjectFault::kDamaged);
}

TEST(WalkTest, ObjectsAboveTheLimitAndTheirDeltasAreSkipped) {
  Trees trees;
  const size_t root = trees.AddRoot(std::string(90, 'r'));
  const size_t large = trees.AddChild(root, std::string(20, 'l'));  // 110 bytes
  const size_t below = trees.AddChild(large, "x");
  const size_t small = trees.AddChild(root, "s");
  const size_t whole = trees.AddRoot(std::string(101, 'w'));
  ObjectStore::Options options;
  options.max_object_bytes = 100;
  const auto store = trees.Open(options);
  const WalkRecord record = WalkAndCheck(*store, AllNumbers(*store), {});
  EXPECT_EQ(record.visited.size(), 2u);
  EXPECT_TRUE(record.visited.count(trees.pack_entry(root).id));
  EXPECT_TRUE(record.visited.count(trees.pack_entry(small).id));
  for (const size_t entry : {large, below, whole}) {
    const auto skip = record.skips.find(trees.pack_entry(entry).id);
    ASSERT_NE(skip, record.skips.end());
    EXPECT_EQ(skip->second.fault, ObjectFault::kTooLarge);
    EXPECT_EQ(skip->second.type, ObjectType::kBlob);
    EXPECT_THAT(store->Read(*store->Find(skip->first)),
                FailsWith(absl::StatusCode::kResourceExhausted, testing::HasSubstr("limit")));
  }
  EXPECT_EQ(record.skips.at(trees.pack_entry(large).id).object_bytes, 110u);
}

// Compares what is noted with what is shown.
class NoteChecker : public WalkVisitor {
 public:
  explicit NoteChecker(std::atomic<uint32_t>& noted) : noted_(noted) {}
  void Visit(const WalkedObject& object) override { EXPECT_EQ(noted_.load(), object.number + 1); }
  void Skip(ObjectNumber, const ObjectSkip&) override { ADD_FAILURE(); }

 private:
  std::atomic<uint32_t>& noted_;
};

TEST(WalkTest, TheObjectBeingWorkedOnIsNoted) {
  Trees trees;
  MakeRandomTree(trees, 300, 5);
  const auto store = trees.Open();
  std::atomic<uint32_t> noted[2] = {77, 77};
  WalkOptions options;
  options.current_object = noted;
  std::vector<std::unique_ptr<WalkVisitor>> visitors;
  for (auto& slot : noted) visitors.push_back(std::make_unique<NoteChecker>(slot));
  EXPECT_EQ(Walk(*store, AllNumbers(*store), {}, options, visitors).objects_visited, 300u);
  EXPECT_EQ(noted[0], 0u);
}

class StoppingVisitor : public WalkVisitor {
 public:
  explicit StoppingVisitor(std::atomic<bool>& stop) : stop_(stop) {}
  void Visit(const WalkedObject&) override {
    if (++visits == 10) stop_ = true;
  }
  void Skip(ObjectNumber, const ObjectSkip&) override {}
  int visits = 0;

 private:
  std::atomic<bool>& stop_;
};

TEST(WalkTest, AStoppedWalkEndsAtOnce) {
  Trees trees;
  MakeRandomTree(trees, 1000, 6);
  const auto store = trees.Open();
  std::atomic<bool> stop{false};
  WalkOptions options;
  options.stop = &stop;
  options.threads = 1;
  std::vector<std::unique_ptr<WalkVisitor>> visitors;
  visitors.push_back(std::make_unique<StoppingVisitor>(stop));
  EXPECT_EQ(Walk(*store, AllNumbers(*store), {}, options, visitors).objects_visited, 10u);
}

}  // namespace
}  // namespace unsprawl
