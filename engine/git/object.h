#pragma once

#include <cstdint>
#include <string>

#include "engine/base/object_id.h"

namespace unsprawl {

// Values are those of a pack entry's header (git: Documentation/gitformat-pack).
enum class ObjectType : uint8_t { kUnknown = 0, kCommit = 1, kTree = 2, kBlob = 3, kTag = 4 };

// Number of an object within one opened ObjectStore: dense from 0, stable while it is open.
using ObjectNumber = uint32_t;
inline constexpr ObjectNumber kNoObject = UINT32_MAX;

// Why an object was not read. Each belongs to one kind, see SkipReason in proto types.proto, whose
// names these mirror.
enum class ObjectFault : uint8_t {
  kMissing,       // named by another object or by a ref, stored nowhere
  kDamaged,       // bad zlib stream, wrong size, bad delta, bad header, delta cycle
  kBaseMissing,   // a delta whose base is stored nowhere
  kTooLarge,      // its size, or that of a base it needs, is above ObjectStore::Options::max_object_bytes
  kTruncated,     // read, but it yields more than a limit allows to list
};

// One object that could not be read, with the sentence that says why.
struct ObjectSkip {
  ObjectId id;
  ObjectType type = ObjectType::kUnknown;  // kUnknown where even that could not be found out
  ObjectFault fault = ObjectFault::kDamaged;
  uint64_t object_bytes = 0;  // 0: not known
  std::string detail;
};

}  // namespace unsprawl
