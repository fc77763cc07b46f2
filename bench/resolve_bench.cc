// Opening a repository's objects and resolving all of its blobs, base first.
//
// By default over a generated pack; set UNSPRAWL_BENCH_OBJECTS to an objects directory to measure a real
// one: UNSPRAWL_BENCH_OBJECTS=/path/repo.git/objects resolve_bench --benchmark_min_time=0.01
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

void BM_ResolveBlobs(benchmark::State& state) {
  const auto store = MustOpen(2);
  std::vector<ObjectNumber> blobs;
  for (ObjectNumber object = 0; object < store->size(); ++object) {
    if (store->type(object) == ObjectType::kBlob) blobs.push_back(object);
  }
  WalkOptions options;
  options.threads = static_cast<int>(state.range(0));
  WalkStats sum;
  for (auto _ : state) {
    std::vector<std::unique_ptr<WalkVisitor>> visitors;
    for (int i = 0; i < options.threads; ++i) visitors.push_back(std::make_unique<Toucher>());
    const WalkStats stats = Walk(*store, blobs, {}, options, visitors);
    sum.bytes_resolved += stats.bytes_resolved;
    sum.objects_visited += stats.objects_visited;
  }
  state.SetBytesProcessed(static_cast<int64_t>(sum.bytes_resolved));
  state.SetItemsProcessed(static_cast<int64_t>(sum.objects_visited));
}
BENCHMARK(BM_ResolveBlobs)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();

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
