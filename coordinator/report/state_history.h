#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "store/ledger.h"

namespace unsprawl {

// Notes in the ledger how far secrets had spread in this run, some thousand at a time.
class StateHistory {
 public:
  StateHistory(uint64_t run, Ledger& ledger) : run_(run), ledger_(ledger) {}

  absl::Status Record(const IncidentState& state);
  // Records what is still held.
  absl::Status Flush();

 private:
  const uint64_t run_;
  Ledger& ledger_;
  std::vector<IncidentState> states_;  // at most kBatch
};

}  // namespace unsprawl
