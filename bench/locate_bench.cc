// Locating 100 blobs in the whole history of a real repository: UNSPRAWL_BENCH_REPOSITORY=<path>. Without
// it, of a small generated one, so that the benchmark cannot rot.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/history/locate.h"

namespace unsprawl {
namespace {

// 300 commits that change one of 200 files in folders, made by git in one process.
struct Generated {
  Generated();
  ~Generated() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::filesystem::path path;
};

Generated::Generated() {
  std::string pattern = (std::filesystem::temp_directory_path() / "unsprawl-bench-XXXXXX").string();
  CHECK(mkdtemp(pattern.data()) != nullptr);
  const std::string script =
      "cd '" + pattern + "' && git init -q --bare . && awk 'BEGIN { for (i = 0; i < 300; ++i) {"
      "printf \"commit refs/heads/main\\ncommitter C <c@x> %d +0000\\ndata 0\\n\", 1700000000 + i;"
      "for (f = 0; f < 200; ++f) if (i == 0 || f == i % 200) "
      "printf \"M 100644 inline d%d/e%d/f%d\\ndata %d\\n%d\\n\", f % 7, f % 3, f, length(i), i } }'"
      " | git fast-import --quiet && git repack -q -adf";
  path = pattern;
  CHECK(system(script.c_str()) == 0);
}

std::filesystem::path Subject() {
  const char* given = getenv("UNSPRAWL_BENCH_REPOSITORY");
  if (given != nullptr) return given;
  static const Generated generated;
  return generated.path;
}

void BM_Locate(benchmark::State& state) {
  const int threads = static_cast<int>(state.range(0));
  const auto paths = FindRepository(Subject());
  CHECK(paths.ok());
  const auto refs = ReadRepositoryState(*paths);
  const auto store = ObjectStore::Open(paths->common_dir / "objects", {.threads = threads});
  CHECK(refs.ok() && store.ok());
  std::vector<ObjectId> blobs;
  for (ObjectNumber object = 0; object < (*store)->size(); ++object) {
    if ((*store)->type(object) == ObjectType::kBlob) blobs.push_back((*store)->id(object));
  }
  std::vector<LocateTarget> targets;
  const size_t wanted = static_cast<size_t>(state.range(1));
  for (size_t i = 0; i < blobs.size(); i += std::max<size_t>(1, blobs.size() / wanted)) {
    targets.push_back({blobs[i], {static_cast<uint32_t>(targets.size())}});
  }
  LocateTimes times;
  LocateOptions options;
  options.walk.threads = threads;
  options.times = &times;
  size_t places = 0;
  for (auto _ : state) {
    const auto result = Locate(**store, *refs, targets, options, [](std::span<const CommitRow>) {});
    CHECK(result.ok());
    places = result->places.size();
  }
  const auto average = [](double seconds) {
    return benchmark::Counter(seconds, benchmark::Counter::kAvgIterations);
  };
  state.counters["walk"] = average(times.walk);
  state.counters["mark"] = average(times.mark);
  state.counters["diff"] = average(times.diff);
  state.counters["rest"] = average(times.rest);
  state.counters["objects"] = (*store)->size();
  state.counters["targets"] = static_cast<double>(targets.size());
  state.counters["places"] = static_cast<double>(places);
}
BENCHMARK(BM_Locate)
    ->ArgNames({"threads", "targets"})
    ->Args({1, 100})
    ->Args({2, 100})
    ->Args({2, 10000})
    ->Args({2, 1 << 29})  // all blobs, as for rules of paths alone
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace unsprawl
