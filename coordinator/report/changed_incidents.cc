#include "coordinator/report/changed_incidents.h"

#include <algorithm>
#include <utility>

#include "coordinator/report/report.h"

namespace unsprawl {
namespace {

constexpr size_t kMaxBytes = 400;  // of a path or name that is shown

bool Graver(const ChangedIncident& a, const ChangedIncident& b) {
  if (a.score_tenths != b.score_tenths) return a.score_tenths > b.score_tenths;
  return a.secret < b.secret;
}

// kNone is none of them.
ChangeKind KindOf(const IncidentChange& change) {
  if (change.change == Change::kRemoved) return ChangeKind::kRemoved;
  if (change.change == Change::kReopened) {
    return change.backlog() ? ChangeKind::kReopenedBacklog : ChangeKind::kReopened;
  }
  if (change.cause == Cause::kNewRule) return ChangeKind::kNewByRule;
  return change.cause == Cause::kScope ? ChangeKind::kNewByScope : ChangeKind::kNew;
}

}  // namespace

std::string_view Name(Change change) {
  constexpr std::string_view kNames[] = {"none", "new", "reopened", "removed"};
  return kNames[static_cast<size_t>(change)];
}

std::string_view Name(Cause cause) {
  constexpr std::string_view kNames[] = {"unknown", "new_commit", "new_rule", "scope"};
  return kNames[static_cast<size_t>(cause)];
}

absl::Status ChangedIncidents::Add(const Place& place) {
  const v1::Presence presence = place.occurrence.presence();
  if (shown_.repository != nullptr && presence >= shown_.presence) return absl::OkStatus();
  shown_.repository = &place.repository;
  shown_.presence = presence;
  shown_.path.clear();
  if (!place.occurrence.paths().empty()) {
    shown_.path = place.occurrence.paths().rbegin()->substr(0, kMaxBytes);
  }
  return absl::OkStatus();
}

absl::Status ChangedIncidents::End(const Incident& incident) {
  auto shown = std::exchange(shown_, {});
  if (incident.change.change == Change::kNone) return absl::OkStatus();
  ChangedIncident changed;
  changed.secret = incident.secret;
  changed.rule = incident.rule;
  changed.preview = incident.preview;
  changed.severity = incident.severity;
  changed.score_tenths = incident.score_tenths;
  if (shown.repository != nullptr) changed.repository = shown.repository->name.substr(0, kMaxBytes);
  changed.path = std::move(shown.path);
  if (incident.first) {
    changed.author = incident.first->author_name.substr(0, kMaxBytes);
    changed.time = incident.first->author_time;
    changed.dated = true;
  }
  Keep(KindOf(incident.change), std::move(changed));
  return absl::OkStatus();
}

void ChangedIncidents::AddGone(std::span<const GoneIncident> gone) {
  for (const GoneIncident& one : gone) {
    ChangedIncident changed;
    changed.secret = one.secret.raw();
    changed.rule = one.rule;
    changed.gone = true;
    Keep(ChangeKind::kRemoved, std::move(changed));
  }
}

void ChangedIncidents::Keep(ChangeKind kind, ChangedIncident changed) {
  std::vector<ChangedIncident>& kept = kept_[static_cast<size_t>(kind)];
  if (kept.size() == kMaxOfKind) {
    if (!Graver(changed, kept.front())) return;
    std::pop_heap(kept.begin(), kept.end(), Graver);
    kept.pop_back();
  }
  kept.push_back(std::move(changed));
  std::push_heap(kept.begin(), kept.end(), Graver);
}

std::vector<const ChangedIncident*> ChangedIncidents::Of(ChangeKind kind) const {
  std::vector<const ChangedIncident*> sorted;
  for (const ChangedIncident& changed : kept_[static_cast<size_t>(kind)]) sorted.push_back(&changed);
  std::sort(sorted.begin(), sorted.end(),
            [](const ChangedIncident* a, const ChangedIncident* b) { return Graver(*a, *b); });
  return sorted;
}

uint64_t CountOf(const ChangeSummary& changes, ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kNew: return changes.new_by_commit;
    case ChangeKind::kReopened: return changes.reopened;
    case ChangeKind::kRemoved: return changes.removed;
    case ChangeKind::kNewByRule: return changes.new_by_rule;
    case ChangeKind::kNewByScope: return changes.new_by_scope;
    case ChangeKind::kReopenedBacklog: return changes.reopened_backlog;
  }
  return 0;
}

}  // namespace unsprawl
