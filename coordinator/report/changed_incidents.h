// The incidents that changed since the last run, as summary.txt and report.html list them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "coordinator/report/change_tracker.h"
#include "coordinator/report/incident_pass.h"

namespace unsprawl {

// In the order in which a person wants to read them.
enum class ChangeKind : uint8_t {
  kNew,             // a new leak
  kReopened,
  kRemoved,
  kNewByRule,       // backlog from here on
  kNewByScope,
  kReopenedBacklog,
};
inline constexpr size_t kChangeKinds = 6;

// One of them, copied.
struct ChangedIncident {
  std::string secret;           // 16 raw bytes
  const Rule* rule = nullptr;   // null: not known any more (gone, with its rule not noted)
  std::string preview;
  Severity severity = Severity::kLow;
  int score_tenths = 0;
  bool gone = false;            // stored nowhere any more; no row of incidents.jsonl
  std::string repository;       // raw bytes, cut; of its most exposed place
  std::string path;             // raw bytes, cut; where that moved to last; empty: in no tree
  std::string author;           // raw bytes, cut; who introduced it first
  int64_t time = 0;             // … and when, the author's seconds; meaningful when `dated`
  bool dated = false;

  std::string ShortId() const { return ToHex(std::string_view(secret).substr(0, 6)); }
};

class ChangedIncidents : public IncidentSink {
 public:
  static constexpr size_t kMaxOfKind = 100;

  absl::Status Add(const Place& place) override;
  absl::Status End(const Incident& incident) override;
  void Drop() override { shown_ = {}; }
  // After the pass.
  void AddGone(std::span<const GoneIncident> gone);

  // The gravest kMaxOfKind, gravest first, then by id.
  std::vector<const ChangedIncident*> Of(ChangeKind kind) const;

 private:
  void Keep(ChangeKind kind, ChangedIncident changed);

  // Of the secret that is going by: its most exposed place, of equal ones the first.
  struct {
    const RepositoryOutcome* repository = nullptr;
    std::string path;
    v1::Presence presence = v1::PRESENCE_UNSPECIFIED;
  } shown_;
  std::array<std::vector<ChangedIncident>, kChangeKinds> kept_;  // heaps: the least grave in front
};

// How many of a kind there were.
uint64_t CountOf(const ChangeSummary& changes, ChangeKind kind);

}  // namespace unsprawl
