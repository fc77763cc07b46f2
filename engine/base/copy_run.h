#pragma once

#include <cstdint>

namespace unsprawl {

// A piece of an object that git's delta copies unchanged from the base. Units are bytes.
//
// Lists of runs are ascending by `offset`, do not overlap in the target, and are merged: two runs
// that follow each other both in the base and in the target are one.
struct CopyRun {
  uint64_t base_offset;
  uint64_t offset;  // in the target
  uint64_t length;  // > 0
};

}  // namespace unsprawl
