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

  // Adds an occurrence for each match of each place's secret in the place's blob. Reads a blob's matches once for all
  // places of it that follow each other.
  absl::Status Write(const v1::PlaceBatch& places, Ledger::Recording& recording);

  // Names that secrets with presence head are assigned to, of what was written; bounded.
  const std::set<std::string>& identifiers() const { return identifiers_; }

 private:
  // Its matches, sorted by offset, as they are looked for.
  struct IndexedHit {
    IndexedHit(const v1::BlobHit& of, const Ruleset& ruleset);
    IndexedHit(const IndexedHit&) = delete;
    IndexedHit& operator=(const IndexedHit&) = delete;
    const v1::BlobHit hit;
    std::vector<const v1::Match*> by_secret;  // of rules that there are, those of one secret by offset
    std::vector<uint64_t> ends;               // how far the first i + 1 matches reach
  };
  absl::Status WritePlace(const v1::PlaceBatch::Place& place, const IndexedHit& indexed, Ledger::Recording& recording);

  const Ruleset& ruleset_;
  const Ledger& ledger_;
  std::vector<ObjectId> targets_;      // by target number
  std::vector<std::string> secrets_;   // by secret number: raw SecretId
  std::set<std::string> identifiers_;
};

}  // namespace unsprawl
