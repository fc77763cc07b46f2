#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "coordinator/report/incident.h"

namespace unsprawl {

// Gathers the places of one secret into an Incident. Places of one repository must come together.
// Not thread-safe.
class IncidentBuilder {
 public:
  void Start(std::string_view secret);
  void Add(const Place& place);
  bool empty() const { return incident_.occurrences == 0; }
  // The incident of the places since Start; complete, with its score.
  Incident& Finish();

 private:
  void CountRepository(const Place& place);
  void CountIntroduction(const Place& place);
  void CountPaths(const Place& place);
  void NoteDates(const Place& place);
  void NameBy(const Place& place);

  Incident incident_;
  int weight_ = -1;                              // PlaceWeight of the place the factors are from
  const RepositoryOutcome* repository_ = nullptr;
  std::string introduction_commit_, introduction_path_;  // of the last place counted
  absl::flat_hash_set<uint64_t> paths_;          // hashes; of the current repository
  absl::flat_hash_set<uint64_t> authors_;        // hashes of lower-cased addresses
};

}  // namespace unsprawl
