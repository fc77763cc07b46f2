#pragma once

#include <vector>

#include "coordinator/report/incident_pass.h"
#include "store/ledger.h"

namespace unsprawl {

// Notes in the ledger how far each reported secret had spread in this run, for trends later.
class StateHistory : public IncidentSink {
 public:
  StateHistory(uint64_t run, Ledger& ledger) : run_(run), ledger_(ledger) {}

  absl::Status Add(const Place&) override { return absl::OkStatus(); }
  absl::Status End(const Incident& incident) override;
  void Drop() override {}

  // Records what is still held. Call after the pass.
  absl::Status Flush();

 private:
  const uint64_t run_;
  Ledger& ledger_;
  std::vector<IncidentState> states_;  // at most kBatch
};

}  // namespace unsprawl
