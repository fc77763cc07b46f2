#include "coordinator/report/overview.h"

#include <algorithm>
#include <utility>

namespace unsprawl {
namespace {

// Most exposed first; an unset presence counts as unreachable.
int Rank(v1::Presence presence) {
  return presence == v1::PRESENCE_UNSPECIFIED ? v1::PRESENCE_UNREACHABLE : presence;
}

bool Graver(const ShownIncident& a, const ShownIncident& b) {
  if (a.incident.score_tenths != b.incident.score_tenths) {
    return a.incident.score_tenths > b.incident.score_tenths;
  }
  return a.incident.secret < b.incident.secret;
}

ShownPlace Show(const Place& place) {
  const v1::Occurrence& occurrence = place.occurrence;
  ShownPlace shown;
  shown.repository = &place.repository;
  if (!occurrence.paths().empty()) {
    shown.path = occurrence.paths(0).substr(0, ShownPlace::kMaxPathBytes);
    if (occurrence.paths_size() > 1) {
      shown.moved_to = occurrence.paths().rbegin()->substr(0, ShownPlace::kMaxPathBytes);
    }
  }
  shown.line = occurrence.match().start_line();
  shown.column = occurrence.match().start_column();
  if (occurrence.has_commit()) {
    shown.commit = occurrence.commit().id();
    shown.time = occurrence.commit().author_time();
    shown.author = occurrence.commit().author_name().substr(0, ShownPlace::kMaxPathBytes);
  }
  shown.presence = occurrence.presence();
  if (!occurrence.removals().empty()) {
    shown.removed = occurrence.removals().rbegin()->author_time();
  }
  shown.ignored = IgnoredByOf(place);
  if (shown.ignored) shown.ignored->author.resize(std::min(shown.ignored->author.size(), ShownPlace::kMaxPathBytes));
  return shown;
}

void AddTo(const Incident& incident, Tally* tally) {
  ++tally->incidents;
  tally->open += incident.open();
  tally->worst_tenths = std::max(tally->worst_tenths, incident.score_tenths);
}

template <typename Key, typename NameOf>
std::vector<Ranked<Key>> Rank(const std::map<const Key*, Tally>& tallies, NameOf name_of) {
  std::vector<Ranked<Key>> ranked;
  for (const auto& [key, tally] : tallies) ranked.push_back({key, &tally});
  std::sort(ranked.begin(), ranked.end(), [&](const Ranked<Key>& a, const Ranked<Key>& b) {
    if (a.tally->worst_tenths != b.tally->worst_tenths) {
      return a.tally->worst_tenths > b.tally->worst_tenths;
    }
    if (a.tally->incidents != b.tally->incidents) return a.tally->incidents > b.tally->incidents;
    return name_of(*a.key) < name_of(*b.key);
  });
  return ranked;
}

}  // namespace

absl::Status Overview::Add(const Place& place) {
  KeepPlace(place);
  if (in_repositories_.empty() || in_repositories_.back().repository != &place.repository) {
    in_repositories_.push_back({&place.repository});
  }
  InRepository& here = in_repositories_.back();
  ++here.places;
  if (Rank(place.occurrence.presence()) < Rank(here.presence)) {
    here.presence = place.occurrence.presence();
  }
  return absl::OkStatus();
}

void Overview::KeepPlace(const Place& place) {
  auto before = [](v1::Presence presence, const ShownPlace& other) {
    return Rank(presence) < Rank(other.presence);
  };
  const v1::Presence presence = place.occurrence.presence();
  const bool full = places_.size() >= limits_.places;
  if (full && (places_.empty() || !before(presence, places_.back()))) return;
  if (full) places_.pop_back();
  places_.insert(std::upper_bound(places_.begin(), places_.end(), presence, before), Show(place));
}

absl::Status Overview::End(const Incident& incident) {
  Count(incident);
  KeepIncident(incident);
  Drop();
  return absl::OkStatus();
}

void Overview::Drop() {
  places_.clear();
  in_repositories_.clear();
}

void Overview::Count(const Incident& incident) {
  const bool in_head = incident.presence == v1::PRESENCE_HEAD;
  Tally& type = types_[incident.rule];
  for (Tally* tally : {&all_, &type}) {
    AddTo(incident, tally);
    tally->in_head += in_head;
    tally->places += incident.occurrences;
  }
  for (const InRepository& here : in_repositories_) {
    Tally& tally = repositories_[here.repository];
    AddTo(incident, &tally);
    tally.in_head += here.presence == v1::PRESENCE_HEAD;
    tally.places += here.places;
  }
  suppressed_places_ += incident.suppressed_places;
  ++by_severity_[Index(incident.severity)];
  open_by_severity_[Index(incident.severity)] += incident.open();
  ++by_presence_[Rank(incident.presence)];
  if (incident.open() && incident.first &&
      (!oldest_open_ || incident.first->committer_time < oldest_open_->committer_time)) {
    oldest_open_ = incident.first;
  }
}

void Overview::KeepIncident(const Incident& incident) {
  ShownIncident shown{incident, std::move(places_)};
  const bool full = kept_.size() >= limits_.incidents;
  if (full && (kept_.empty() || !Graver(shown, kept_.front()))) return;
  if (full) {
    std::pop_heap(kept_.begin(), kept_.end(), Graver);
    kept_.pop_back();
  }
  kept_.push_back(std::move(shown));
  std::push_heap(kept_.begin(), kept_.end(), Graver);
}

std::vector<const ShownIncident*> Overview::Gravest() const {
  std::vector<const ShownIncident*> gravest;
  for (const ShownIncident& shown : kept_) gravest.push_back(&shown);
  std::sort(gravest.begin(), gravest.end(),
            [](const ShownIncident* a, const ShownIncident* b) { return Graver(*a, *b); });
  return gravest;
}

std::vector<Ranked<Rule>> RankTypes(const Overview& overview) {
  return Rank(overview.types(), [](const Rule& rule) { return std::string_view(rule.id); });
}

std::vector<Ranked<RepositoryOutcome>> RankRepositories(const Overview& overview) {
  return Rank(overview.repositories(),
              [](const RepositoryOutcome& repository) { return std::string_view(repository.name); });
}

}  // namespace unsprawl
