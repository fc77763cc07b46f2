#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/copy_run.h"
#include "engine/git/buffer.h"
#include "engine/git/inflater.h"
#include "engine/git/object.h"
#include "engine/git/pack_forest.h"

namespace unsprawl {

// Why an object's bytes cannot be had.
struct ReadFault {
  ObjectFault fault = ObjectFault::kDamaged;
  uint64_t object_bytes = 0;  // 0: not known
  std::string detail;         // printable; holds no object id
};

// Inflates and resolves single entries. Every size is checked before memory is taken for it. Not
// thread-safe: one per thread.
class EntryReader {
 public:
  // Objects and deltas above `max_object_bytes` are refused with kTooLarge.
  explicit EntryReader(uint64_t max_object_bytes) : max_object_bytes_(max_object_bytes) {}

  // Reads a readable entry into *out: one stored whole (`base` is ignored), or a delta upon `base`, the
  // base's content. *copies, if not null, is set to what a delta copies. The entry's CRC-32 is checked
  // where the index has one. False: *fault says why, *out is undefined.
  bool Read(const PackForest& forest, uint32_t entry, std::string_view base, Buffer* out,
            std::vector<CopyRun>* copies, ReadFault* fault);

  uint64_t max_object_bytes() const { return max_object_bytes_; }
  Inflater& inflater() { return inflater_; }

 private:
  bool InflateEntry(const PackForest& forest, uint32_t entry, const EntryHeader& header, Buffer* out,
                    ReadFault* fault);

  const uint64_t max_object_bytes_;
  Inflater inflater_;
  Buffer delta_;
};

// The fault of an entry that opening found unreadable.
ReadFault FaultOfState(const PackForest& forest, uint32_t entry);
// Of an object of `bytes` when the limit is `max_bytes`.
ReadFault TooLarge(uint64_t bytes, uint64_t max_bytes);

}  // namespace unsprawl
