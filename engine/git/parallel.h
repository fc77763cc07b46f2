#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace unsprawl {

// Calls `work(begin, end)` for consecutive pieces of [0, count), each of at most `grain`, on up to
// `threads` threads, the calling one among them. Returns when all are done. `work` must not throw.
inline void ParallelFor(int threads, uint64_t count, uint64_t grain,
                        absl::FunctionRef<void(uint64_t begin, uint64_t end)> work) {
  std::atomic<uint64_t> next{0};
  const auto run = [&] {
    for (uint64_t begin; (begin = next.fetch_add(grain)) < count;) {
      work(begin, std::min(count, begin + grain));
    }
  };
  std::vector<std::thread> others;
  const uint64_t pieces = (count + grain - 1) / grain;
  for (uint64_t i = 1; i < std::min<uint64_t>(static_cast<uint64_t>(std::max(threads, 1)), pieces);
       ++i) {
    others.emplace_back(run);
  }
  run();
  for (std::thread& thread : others) thread.join();
}

}  // namespace unsprawl
