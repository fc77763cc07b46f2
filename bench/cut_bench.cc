// Cutting a repository's blobs into pieces, and what scanning the pieces one after another costs more than
// one scan does: bytes resolved and matched in all of them, over those of one scan; the share of blobs with
// a base that is in no piece of theirs; the CPU time of the longest piece over the mean.
//
// By default over a generated pack; UNSPRAWL_BENCH_OBJECTS names an objects directory to cut, and
// UNSPRAWL_BENCH_OTHER_OBJECTS another clone's, in which to scan the pieces.
#include <benchmark/benchmark.h>

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/generated_pack.h"
#include "engine/base/status.h"
#include "engine/git/cut.h"
#include "engine/git/object_store.h"
#include "engine/git/walk.h"
#include "engine/match/detector.h"

namespace unsprawl {
namespace {

std::unique_ptr<ObjectStore> MustOpen(const char* variable) {
  const char* named = std::getenv(variable);
  static const GeneratedPack* generated = nullptr;
  if (named == nullptr && generated == nullptr) {
    static const GeneratedPack made(GeneratedPack::Options{});
    generated = &made;
  }
  auto store = ObjectStore::Open(named != nullptr ? std::filesystem::path(named) : generated->objects_dir(), {});
  CHECK(store.ok());
  return std::move(store).value();
}

std::vector<ObjectNumber> Blobs(const ObjectStore& store) {
  std::vector<ObjectNumber> blobs;
  for (ObjectNumber object = 0; object < store.size(); ++object) {
    if (store.type(object) == ObjectType::kBlob) blobs.push_back(object);
  }
  return blobs;
}

const Detector& BuiltinDetector() {
  static const auto ruleset = Ruleset::Builtin();
  CHECK(ruleset.ok());
  static const auto detector = Detector::Create(*ruleset, {}, {});
  CHECK(detector.ok());
  return **detector;
}

// Scans what is wanted, as worker/scan_shard.cc does.
class Scanning : public WalkVisitor {
 public:
  Scanning() : scanner_(BuiltinDetector()) {}

  void Visit(const WalkedObject& object) override {
    if (object.slot >= slots_.size()) slots_.resize(object.slot + 1);
    Slot& slot = slots_[object.slot];
    slot.scanned = false;
    if (!object.wanted) return;
    if (object.base_slot >= 0 && slots_[static_cast<size_t>(object.base_slot)].scanned) {
      scanner_.ScanDelta(object.content, object.copies, object.base_bytes,
                         slots_[static_cast<size_t>(object.base_slot)].matches, &slot.matches);
    } else {
      if (object.base_slot >= 0) ++outside;
      scanner_.ScanFull(object.content, &slot.matches);
    }
    slot.scanned = true;
  }
  void Skip(ObjectNumber, const ObjectSkip&) override {}

  uint64_t bytes_scanned() const { return scanner_.stats().bytes_scanned; }
  uint64_t outside = 0;  // blobs whose base was not wanted

 private:
  struct Slot {
    BlobMatches matches;
    bool scanned = false;
  };
  BlobScanner scanner_;
  std::vector<Slot> slots_;
};

struct Cost {
  double resolved = 0, scanned = 0, outside = 0, seconds = 0;
};

double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Cost Scan(const ObjectStore& store, std::span<const ObjectNumber> blobs) {
  std::vector<std::unique_ptr<WalkVisitor>> visitors;
  visitors.push_back(std::make_unique<Scanning>());
  const double start = ThreadSeconds();
  const WalkStats stats = Walk(store, blobs, {}, {.threads = 1}, visitors);
  const auto& scanning = static_cast<const Scanning&>(*visitors[0]);
  return {static_cast<double>(stats.bytes_resolved), static_cast<double>(scanning.bytes_scanned()),
          static_cast<double>(scanning.outside), ThreadSeconds() - start};
}

// As CutIntoPieces is used: about so many pieces.
std::vector<Piece> Cut(const ObjectStore& store, std::span<const ObjectNumber> blobs, int64_t pieces) {
  const uint64_t total = CutIntoPieces(store, blobs, UINT64_MAX)[0].bytes;
  return CutIntoPieces(store, blobs, total / static_cast<uint64_t>(pieces) + 1);
}

void BM_Cut(benchmark::State& state) {
  const auto store = MustOpen("UNSPRAWL_BENCH_OBJECTS");
  const std::vector<ObjectNumber> blobs = Blobs(*store);
  for (auto _ : state) benchmark::DoNotOptimize(CutIntoPieces(*store, blobs, 1));
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(blobs.size()));
}
BENCHMARK(BM_Cut)->Unit(benchmark::kMillisecond);

void BM_ScanPieces(benchmark::State& state) {
  const auto store = MustOpen("UNSPRAWL_BENCH_OBJECTS");
  const bool in_other = std::getenv("UNSPRAWL_BENCH_OTHER_OBJECTS") != nullptr;
  const auto other = in_other ? MustOpen("UNSPRAWL_BENCH_OTHER_OBJECTS") : nullptr;
  const ObjectStore& scanned = in_other ? *other : *store;
  const std::vector<Piece> pieces = Cut(*store, Blobs(*store), state.range(0));
  Scan(scanned, Blobs(scanned));  // warms up
  const Cost one = Scan(scanned, Blobs(scanned));
  Cost sum;
  double longest = 0, blobs = 0;
  for (auto _ : state) {
    sum = {};
    longest = blobs = 0;
    for (const Piece& piece : pieces) {
      std::vector<ObjectNumber> objects;
      for (const ObjectNumber object : piece.objects) {
        if (const auto found = scanned.Find(store->id(object))) objects.push_back(*found);
      }
      const Cost cost = Scan(scanned, objects);
      sum = {sum.resolved + cost.resolved, sum.scanned + cost.scanned, sum.outside + cost.outside,
             sum.seconds + cost.seconds};
      longest = std::max(longest, cost.seconds);
      blobs += static_cast<double>(objects.size());
    }
  }
  state.counters["resolved"] = sum.resolved / one.resolved;
  state.counters["matched"] = sum.scanned / one.scanned;
  state.counters["outside"] = sum.outside / blobs;
  state.counters["cpu"] = sum.seconds / one.seconds;
  state.counters["longest"] = longest / (sum.seconds / static_cast<double>(pieces.size()));
  state.counters["pieces"] = static_cast<double>(pieces.size());
}
BENCHMARK(BM_ScanPieces)->Arg(1)->Arg(4)->Arg(16)->Arg(64)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace unsprawl
