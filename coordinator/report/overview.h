// Counts and the gravest incidents, for people: what summary.txt and report.html show.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/report/incident_pass.h"

namespace unsprawl {

// A place as it is shown: a copy, its path cut to what fits.
struct ShownPlace {
  const RepositoryOutcome* repository = nullptr;
  std::string path;        // raw bytes, at most kMaxPathBytes; empty: in no tree
  std::string moved_to;    // its last path when that is another
  uint32_t line = 0;       // 1-based, in the blob of `commit`
  uint32_t column = 0;
  std::string commit;      // 20 raw bytes, or empty
  int64_t time = 0;        // author's, seconds since the epoch; meaningful with a commit
  std::string author;      // raw bytes
  v1::Presence presence = v1::PRESENCE_UNREACHABLE;
  std::optional<int64_t> removed;  // time of the last removal
  std::optional<IgnoredBy> ignored;  // the author cut as well

  static constexpr size_t kMaxPathBytes = 400;
};

struct ShownIncident {
  Incident incident;
  std::vector<ShownPlace> places;  // the most exposed ones first, then in the order of the pass
};

// Numbers over a group of incidents: all, those of one type, those with a place in one repository.
struct Tally {
  uint64_t incidents = 0;
  uint64_t open = 0;
  uint64_t in_head = 0;    // for a repository: with a place at its own head
  uint64_t places = 0;
  int worst_tenths = 0;    // highest score
};

// Memory: one Tally per rule and per repository, and the kept incidents.
class Overview : public IncidentSink {
 public:
  struct Limits {
    size_t incidents = 500;
    size_t places = 20;    // per incident
  };
  explicit Overview(const Limits& limits) : limits_(limits) {}

  absl::Status Add(const Place& place) override;
  absl::Status End(const Incident& incident) override;
  void Drop() override;

  // After the pass. By score, highest first, then by id.
  std::vector<const ShownIncident*> Gravest() const;
  const Tally& all() const { return all_; }
  uint64_t suppressed_places() const { return suppressed_places_; }  // of all().places
  uint64_t by_severity(Severity severity) const { return by_severity_[Index(severity)]; }
  uint64_t open_by_severity(Severity severity) const { return open_by_severity_[Index(severity)]; }
  uint64_t by_presence(v1::Presence presence) const { return by_presence_[presence]; }
  // Open incident whose introduction is earliest, by committer date.
  const std::optional<CommitPoint>& oldest_open() const { return oldest_open_; }
  const std::map<const Rule*, Tally>& types() const { return types_; }
  const std::map<const RepositoryOutcome*, Tally>& repositories() const { return repositories_; }

 private:
  struct InRepository {
    const RepositoryOutcome* repository;
    uint64_t places = 0;
    v1::Presence presence = v1::PRESENCE_UNREACHABLE;
  };

  static size_t Index(Severity severity) { return static_cast<size_t>(severity); }
  void KeepPlace(const Place& place);
  void KeepIncident(const Incident& incident);
  void Count(const Incident& incident);

  const Limits limits_;
  // Of the secret that is going by.
  std::vector<ShownPlace> places_;
  std::vector<InRepository> in_repositories_;
  // Of all before it.
  Tally all_;
  uint64_t suppressed_places_ = 0;
  uint64_t by_severity_[5] = {}, open_by_severity_[5] = {}, by_presence_[5] = {};
  std::optional<CommitPoint> oldest_open_;
  std::map<const Rule*, Tally> types_;
  std::map<const RepositoryOutcome*, Tally> repositories_;
  std::vector<ShownIncident> kept_;  // a heap: the least grave in front
};

// Entries of `map` by `worst_tenths`, then `incidents`, highest first, then by name (ids of rules,
// names of repositories): an order that does not depend on addresses.
template <typename Key>
struct Ranked {
  const Key* key;
  const Tally* tally;
};
std::vector<Ranked<Rule>> RankTypes(const Overview& overview);
std::vector<Ranked<RepositoryOutcome>> RankRepositories(const Overview& overview);

}  // namespace unsprawl
