#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/git/entry_reader.h"
#include "engine/git/walk.h"
#include "engine/git/walk_plan.h"
#include "engine/git/walk_queue.h"

namespace unsprawl {

// The part of Walk that runs on one thread: carries out tasks of a plan. Never recursive.
//
// Of a base's children the one with the most wanted objects below it comes last and the base is let go
// before its own children: so no more than log2(tree) + 1 contents are alive at a time.
class TreeWalker {
 public:
  // Everything is borrowed. `current` may be null.
  TreeWalker(const ObjectStore::Impl& store, const WalkPlan& plan, WalkQueue& queue,
             std::span<const ObjectNumber> avoid, const WalkOptions& options,
             std::atomic<uint32_t>* current, WalkVisitor& visitor);

  // Carries out what the queue hands out, until it hands out no more.
  void Run();
  const WalkStats& stats() const { return stats_; }

 private:
  // A visited entry with children still to come.
  struct Frame {
    uint32_t entry;
    uint32_t slot;
    uint32_t next;      // child to look at next
    uint32_t end;       // the child before which to stop, or kNone
    uint32_t heavy;     // the child that comes last
    bool has_heavy = true;      // false: given away
    bool has_content = true;    // false: dropped to save memory
    bool visited_here = true;   // false: on the thread that gave it away
  };

  void RunTask(const WalkTask& task);
  void RunPart(TreePart part);
  void WalkTree(uint32_t root);
  void WalkFrames();
  void VisitLoose(const StoredCopy& copy);
  void SkipUnreadable(const StoredCopy& copy);
  // Reads and visits one entry of pack_. Its slot, or nullopt if it and all below it were skipped.
  std::optional<uint32_t> Enter(uint32_t entry, std::string_view base, int32_t base_slot);
  void PushFrame(uint32_t entry, uint32_t slot);
  void PopFrame();
  uint32_t NextChild(Frame& frame) const;
  // Reads the content of a frame again if it was dropped. False: it cannot be read any more.
  bool Restore(Frame& frame);
  void DropOldest();
  // Gives about half of what remains of this tree to a waiting thread, if it can be divided.
  void GiveAway();
  std::optional<TreePart> Divide(Frame& frame, bool is_top);

  // Skips all wanted entries of the tree at `entry`, whose own reading failed with `fault`.
  void SkipTree(uint32_t entry, const ReadFault& fault);
  void SkipOne(const StoredCopy& copy, const ReadFault& fault);
  bool VisitOtherCopy(ObjectNumber object, const StoredCopy& failed);
  void Show(const WalkedObject& object);

  bool IsAvoided(ObjectNumber object) const;
  void Note(ObjectNumber object);
  uint32_t TakeSlot();
  void ReturnSlot(uint32_t slot);

  const ObjectStore::Impl& store_;
  const WalkPlan& plan_;
  WalkQueue& queue_;
  const std::span<const ObjectNumber> avoid_;
  const WalkOptions& options_;
  std::atomic<uint32_t>* const current_;
  WalkVisitor& visitor_;
  WalkStats stats_;

  EntryReader reader_;
  std::vector<CopyRun> copies_;
  uint32_t pack_ = 0;                  // of the tree being walked
  const PackForest* forest_ = nullptr;
  std::vector<Frame> frames_;
  std::vector<Buffer> slots_;
  std::vector<uint32_t> free_slots_;   // last in, first out: its memory is still in the cache
  uint64_t live_bytes_ = 0;            // content of frames_
  uint64_t pooled_bytes_ = 0;          // capacity of free slots
  uint64_t next_division_ = 0;         // objects visited before GiveAway is tried again
};

}  // namespace unsprawl
