#pragma once

#include <cstdint>
#include <map>
#include <set>

#include "absl/container/flat_hash_set.h"
#include "engine/base/object_id.h"
#include "google/protobuf/repeated_field.h"
#include "unsprawl/v1/types.pb.h"

namespace unsprawl {

// Collects the skips of one repository: each object once for its kind, listed up to a limit, counted beyond it.
// The result does not depend on the order in which skips were added. Not thread-safe.
class SkipTally {
 public:
  static constexpr size_t kMaxListed = 1000;

  void Add(const v1::Skip& skip);
  // Listed skips ordered by (reason, object, detail), then one row per reason for those beyond.
  void AppendTo(google::protobuf::RepeatedPtrField<v1::Skip>* skips) const;
  // Something that another look may find readable: the system, a repair, a larger limit.
  bool has_unread() const { return has_unread_; }

 private:
  struct Before {
    bool operator()(const v1::Skip& a, const v1::Skip& b) const;
  };

  absl::flat_hash_set<ObjectId> seen_[2];       // of policy skips, of others: no choice hides a fault
  std::set<v1::Skip, Before> listed_;           // the first kMaxListed in order
  std::map<v1::SkipReason, uint64_t> beyond_;   // not listed, by reason
  bool has_unread_ = false;
};

}  // namespace unsprawl
