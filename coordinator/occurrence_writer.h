#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "engine/match/ruleset.h"
#include "store/ledger.h"
#include "unsprawl/v1/shard.pb.h"

namespace unsprawl {

// Turns the hits of one repository into a locate shard, and the places that come back into occurrence
// rows. Only matches of rules in the ruleset count. Not thread-safe; the arguments must outlive it.
class OccurrenceWriter {
 public:
  OccurrenceWriter(const Ruleset& ruleset, const Ledger& ledger)
      : ruleset_(ruleset), ledger_(ledger) {}

  // Fills the targets of `shard` from `hits` (sorted, distinct), and `skips` with one for each blob of
  // which not all matches were recorded.
  absl::Status Request(std::span<const ObjectId> hits, v1::LocateShard* shard,
                       std::vector<v1::Skip>* skips);

  // Adds an occurrence for each match of each place's secret in the place's blob.
  absl::Status Write(const v1::PlaceBatch& places, Ledger::Recording& recording);

  // Names that secrets with presence head are assigned to, of what was written; bounded.
  const std::set<std::string>& identifiers() const { return identifiers_; }

 private:
  absl::Status WritePlace(const v1::PlaceBatch::Place& place, const v1::BlobHit& hit,
                          Ledger::Recording& recording);

  const Ruleset& ruleset_;
  const Ledger& ledger_;
  std::vector<ObjectId> targets_;      // by target number
  std::vector<std::string> secrets_;   // by secret number: raw SecretId
  std::set<std::string> identifiers_;
};

}  // namespace unsprawl
