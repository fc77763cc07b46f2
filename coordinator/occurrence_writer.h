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

// Turns the hits of one repository into locate shards, and the places that come back into occurrence
// rows. Only matches of rules in the ruleset count. Not thread-safe; the arguments must outlive it.
//
// Secrets are independent of each other, so they are divided into shards by their ids: memory, here and
// in the scanner, does not grow with their number.
class OccurrenceWriter {
 public:
  OccurrenceWriter(const Ruleset& ruleset, const Ledger& ledger)
      : ruleset_(ruleset), ledger_(ledger) {}

  // The number of shards for `hits` (sorted, distinct), at least one. Fills `skips` with one for each blob
  // of which not all matches were recorded.
  absl::StatusOr<uint32_t> CountShards(std::span<const ObjectId> hits, std::vector<v1::Skip>* skips);
  // Fills the targets of shard number `number` of `shards`; what is written from here on are its places.
  absl::Status Request(std::span<const ObjectId> hits, uint32_t number, uint32_t shards,
                       v1::LocateShard* shard);

  // Adds an occurrence for each match of each place's secret in the place's blob, and one for each file that a rule
  // of paths alone found. Internal: what cannot be (a target that was not asked for, a rule that looks into files).
  // InvalidArgument: an id of a wrong size.
  absl::Status Write(const v1::PlaceBatch& places, Ledger::Recording& recording);

  // Names that secrets with presence head are assigned to, of what was written; bounded.
  const std::set<std::string>& identifiers() const { return identifiers_; }

 private:
  class IndexedHit;
  // A match of one secret in one blob, and the other rules that match there.
  struct Found {
    v1::Match match;
    std::vector<uint64_t> overlapping;
  };
  absl::Status WriteFile(const v1::PlaceBatch::Place& place, Ledger::Recording& recording);
  absl::Status WritePlace(const v1::PlaceBatch::Place& place, std::span<const Found> found,
                          Ledger::Recording& recording);

  const Ruleset& ruleset_;
  const Ledger& ledger_;
  std::vector<ObjectId> targets_;      // by target number
  std::vector<std::string> secrets_;   // by secret number: raw SecretId
  absl::flat_hash_map<uint32_t, absl::flat_hash_map<uint32_t, std::vector<Found>>> large_;  // by target and secret
  std::set<std::string> identifiers_;
};

}  // namespace unsprawl
