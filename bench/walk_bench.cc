// Opening a repository's objects and resolving all of its blobs, base first: alone, and with every blob
// scanned by the built-in rules, whole or where deltas touch it. What scanning costs is the difference.
//
// By default over a generated pack; set UNSPRAWL_BENCH_OBJECTS to an objects directory to measure a real
// one: UNSPRAWL_BENCH_OBJECTS=/path/repo.git/objects walk_bench --benchmark_min_time=0.01
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/generated_pack.h"
#include "engine/base/status.h"
#include "engine/git/object_store.h"
#include "engine/git/walk.h"
#include "engine/match/detector.h"

namespace unsprawl {
namespace {

// The repository to measure; made once and removed at the end.
std::filesystem::path ObjectsDir() {
  if (const char* named = std::getenv("UNSPRAWL_BENCH_OBJECTS")) return named;
  static const GeneratedPack generated(GeneratedPack::Options{});
  return generated.objects_dir();
}

std::unique_ptr<ObjectStore> MustOpen(int threads) {
  ObjectStore::Options options;
  options.threads = threads;
  auto store = ObjectStore::Open(ObjectsDir(), options);
  CHECK(store.ok());
  return std::move(store).value();
}

// Touches every content once in each page, as little as a visitor can.
class Toucher : public WalkVisitor {
 public:
  void Visit(const WalkedObject& object) override {
    for (size_t at = 0; at < object.content.size(); at += 4096) sum_ += object.content[at];
    benchmark::DoNotOptimize(sum_);
  }
  void Skip(ObjectNumber, const ObjectSkip&) override { ++skips_; }

 private:
  int sum_ = 0;
  uint64_t skips_ = 0;
};

void BM_Open(benchmark::State& state) {
  uint64_t objects = 0;
  for (auto _ : state) objects += MustOpen(static_cast<int>(state.range(0)))->size();
  state.SetItemsProcessed(static_cast<int64_t>(objects));
}
BENCHMARK(BM_Open)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();

// The built-in rules, compiled once.
const Detector& BuiltinDetector() {
  static const auto* detector = [] {
    static const auto ruleset = Ruleset::Builtin();
    CHECK(ruleset.ok());
    auto created = Detector::Create(*ruleset, {}, {});
    CHECK(created.ok());
    return std::move(created).value().release();
  }();
  return *detector;
}

// Scans each blob, and no more.
class Scanning : public WalkVisitor {
 public:
  explicit Scanning(bool full) : full_(full), scanner_(BuiltinDetector()) {}

  void Visit(const WalkedObject& object) override {
    if (object.slot >= slots_.size()) slots_.resize(object.slot + 1);
    BlobMatches& matches = slots_[object.slot];
    if (full_ || object.base_slot < 0) {
      if (object.base_slot < 0) whole_bytes += object.content.size();
      scanner_.ScanFull(object.content, &matches);
    } else {
      scanner_.ScanDelta(object.content, object.copies, object.base_bytes,
                         slots_[static_cast<size_t>(object.base_slot)], &matches);
    }
  }
  void Skip(ObjectNumber, const ObjectSkip&) override {}

  uint64_t bytes_scanned() const { return scanner_.stats().bytes_scanned; }
  uint64_t whole_bytes = 0;  // of blobs without a base

 private:
  const bool full_;
  BlobScanner scanner_;
  std::vector<BlobMatches> slots_;
};

std::vector<ObjectNumber> Blobs(const ObjectStore& store) {
  std::vector<ObjectNumber> blobs;
  for (ObjectNumber object = 0; object < store.size(); ++object) {
    if (store.type(object) == ObjectType::kBlob) blobs.push_back(object);
  }
  return blobs;
}

// Walks over all blobs with new visitors each time; `after` sees each visitor when the walk is over.
template <typename MakeVisitor, typename After>
void WalkBlobs(benchmark::State& state, const MakeVisitor& make, const After& after) {
  const auto store = MustOpen(2);
  const std::vector<ObjectNumber> blobs = Blobs(*store);
  WalkOptions options;
  options.threads = static_cast<int>(state.range(0));
  WalkStats sum;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<std::unique_ptr<WalkVisitor>> visitors;
    for (int i = 0; i < options.threads; ++i) visitors.push_back(make());
    state.ResumeTiming();
    const WalkStats stats = Walk(*store, blobs, {}, options, visitors);
    sum.bytes_resolved += stats.bytes_resolved;
    sum.objects_visited += stats.objects_visited;
    for (const auto& visitor : visitors) after(*visitor);
  }
  state.SetBytesProcessed(static_cast<int64_t>(sum.bytes_resolved));
  state.SetItemsProcessed(static_cast<int64_t>(sum.objects_visited));
}

void BM_ResolveBlobs(benchmark::State& state) {
  WalkBlobs(state, [] { return std::make_unique<Toucher>(); }, [](const WalkVisitor&) {});
}

void ScanBlobs(benchmark::State& state, bool full) {
  uint64_t scanned = 0, whole = 0;
  WalkBlobs(state, [full] { return std::make_unique<Scanning>(full); },
            [&](const WalkVisitor& visitor) {
              scanned += static_cast<const Scanning&>(visitor).bytes_scanned();
              whole += static_cast<const Scanning&>(visitor).whole_bytes;
            });
  const auto mean = benchmark::Counter::kAvgIterations;
  state.counters["scanned"] = benchmark::Counter(static_cast<double>(scanned), mean);
  state.counters["whole"] = benchmark::Counter(static_cast<double>(whole), mean);
}

void BM_ScanDelta(benchmark::State& state) { ScanBlobs(state, false); }
void BM_ScanFull(benchmark::State& state) { ScanBlobs(state, true); }

BENCHMARK(BM_ResolveBlobs)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK(BM_ScanDelta)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();
BENCHMARK(BM_ScanFull)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();

void BM_Find(benchmark::State& state) {
  const auto store = MustOpen(2);
  uint64_t place = 0, found = 0;
  for (auto _ : state) {
    place = place * 6364136223846793005u + 1442695040888963407u;
    found += store->Find(store->id(static_cast<ObjectNumber>((place >> 32) % store->size()))).has_value();
  }
  CHECK(found == static_cast<uint64_t>(state.iterations()));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Find);

}  // namespace
}  // namespace unsprawl
