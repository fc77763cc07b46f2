// A delta from strangers upon a base of theirs: the first two bytes say how long the base is.
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/git/delta.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t base_bytes = (size_t{data[0]} << 8 | data[1]) % (input.size() + 1);
  const std::string_view base = input.substr(0, base_bytes), delta = input.substr(base_bytes);
  const auto header = unsprawl::ParseDeltaHeader(delta);
  if (!header || header->result_bytes > 1 << 20) return 0;
  std::vector<char> out(header->result_bytes);
  std::vector<unsprawl::CopyRun> copies;
  if (!unsprawl::ApplyDelta(delta.substr(header->header_bytes), base, out, &copies)) return 0;
  uint64_t end = 0;
  for (const unsprawl::CopyRun& run : copies) {
    CHECK(run.length > 0 && run.offset >= end && run.base_offset + run.length <= base.size());
    end = run.offset + run.length;
    CHECK(end <= out.size());
    CHECK(std::string_view(out.data() + run.offset, run.length) ==
          base.substr(run.base_offset, run.length));
  }
  return 0;
}
