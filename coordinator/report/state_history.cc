#include "coordinator/report/state_history.h"

namespace unsprawl {
namespace {

constexpr size_t kBatch = 4096;

}  // namespace

absl::Status StateHistory::Record(const IncidentState& state) {
  states_.push_back(state);
  return states_.size() < kBatch ? absl::OkStatus() : Flush();
}

absl::Status StateHistory::Flush() {
  const absl::Status recorded = ledger_.RecordIncidentStates(run_, states_);
  states_.clear();
  return recorded;
}

}  // namespace unsprawl
