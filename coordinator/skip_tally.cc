#include "coordinator/skip_tally.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "coordinator/report/coverage.h"

namespace unsprawl {

bool SkipTally::Before::operator()(const v1::Skip& a, const v1::Skip& b) const {
  return std::forward_as_tuple(a.reason(), a.object_id(), a.detail()) <
         std::forward_as_tuple(b.reason(), b.object_id(), b.detail());
}

void SkipTally::Add(const v1::Skip& skip) {
  const bool policy = KindOf(skip.reason()) == SkipKind::kPolicy;
  if (skip.object_id().size() == ObjectId::kBytes &&
      !seen_[policy ? 0 : 1].insert(ObjectId::FromRaw(skip.object_id().data())).second) {
    return;
  }
  const uint64_t count = std::max<uint64_t>(skip.count(), 1);
  has_unread_ |= !policy;
  if (skip.count() > 1) {
    beyond_[skip.reason()] += count;
    return;
  }
  listed_.insert(skip);
  if (listed_.size() > kMaxListed) {
    const auto last = std::prev(listed_.end());
    ++beyond_[last->reason()];
    listed_.erase(last);
  }
}

void SkipTally::AppendTo(google::protobuf::RepeatedPtrField<v1::Skip>* skips) const {
  for (const v1::Skip& skip : listed_) *skips->Add() = skip;
  for (const auto& [reason, count] : beyond_) {
    v1::Skip* skip = skips->Add();
    skip->set_reason(reason);
    skip->set_count(count);
    skip->set_detail("more of this reason");
  }
}

}  // namespace unsprawl
