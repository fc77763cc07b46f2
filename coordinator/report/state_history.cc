#include "coordinator/report/state_history.h"

#include <algorithm>

namespace unsprawl {
namespace {

constexpr size_t kBatch = 4096;

}  // namespace

absl::Status StateHistory::End(const Incident& incident) {
  IncidentState& state = states_.emplace_back();
  std::copy(incident.secret.begin(), incident.secret.end(), state.secret.bytes.begin());
  state.presence = incident.presence;
  state.open = incident.open();
  state.repositories = incident.repositories;
  return states_.size() < kBatch ? absl::OkStatus() : Flush();
}

absl::Status StateHistory::Flush() {
  const absl::Status recorded = ledger_.RecordIncidentStates(run_, states_);
  states_.clear();
  return recorded;
}

}  // namespace unsprawl
