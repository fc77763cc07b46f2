#include "coordinator/report/incident_builder.h"

#include <algorithm>
#include <functional>
#include <tuple>

#include "absl/strings/ascii.h"
#include "coordinator/report/report.h"
#include "engine/judge/judge.h"

namespace unsprawl {
namespace {

uint64_t Hash(std::string_view bytes) { return std::hash<std::string_view>()(bytes); }

CommitPoint PointOf(const RepositoryOutcome& repository, const v1::Commit& commit) {
  return {repository.name,          commit.id(),          commit.author_time(),
          commit.committer_time(),  commit.author_name(), commit.author_email()};
}

// Order of two moments; by repository last, so that a fork's copy of a commit is told apart.
bool Earlier(const RepositoryOutcome& repository, const v1::Commit& commit,
             const CommitPoint& point) {
  if (commit.committer_time() != point.committer_time) {
    return commit.committer_time() < point.committer_time;
  }
  return std::tie(commit.id(), repository.name) < std::tie(point.commit, point.repository);
}

bool Later(const RepositoryOutcome& repository, const v1::Commit& commit,
           const CommitPoint& point) {
  if (commit.committer_time() != point.committer_time) {
    return commit.committer_time() > point.committer_time;
  }
  return std::tie(commit.id(), repository.name) > std::tie(point.commit, point.repository);
}

// The order of v1::Presence is from most to least exposed; an unset one is least.
int Rank(v1::Presence presence) {
  return presence == v1::PRESENCE_UNSPECIFIED ? v1::PRESENCE_UNREACHABLE : presence;
}

}  // namespace

std::optional<IgnoredBy> IgnoredByOf(const Place& place) {
  if (!place.suppressed) return std::nullopt;
  const v1::Commit* const who = place.suppressed->who;
  if (who == nullptr) return IgnoredBy{place.suppressed->by, "", ""};
  return IgnoredBy{place.suppressed->by, who->author_name(), who->id()};
}

std::string Describe(const IgnoredBy& ignored) {
  std::string text(Name(ignored.by));
  return text += ignored.commit.empty() ? ", by whom is not known" : ", by " + ignored.author;
}

std::string ShownPreview(const Rule& rule, std::string_view stored_preview) {
  // Only what the rule declares as the provider's public prefix may be shown, whatever was stored.
  const bool declared = std::find(rule.prefixes.begin(), rule.prefixes.end(), stored_preview) !=
                        rule.prefixes.end();
  if (!declared || stored_preview.empty() || rule.rule_class == RuleClass::kGeneric) return "";
  std::string shown(stored_preview);
  return shown + "…";
}

void IncidentBuilder::Start(std::string_view secret) {
  *this = IncidentBuilder();
  incident_.secret = secret;
}

void IncidentBuilder::Add(const Place& place) {
  ++incident_.occurrences;
  CountRepository(place);
  CountIntroduction(place);
  CountPaths(place);
  NoteDates(place);
  NameBy(place);
  if (place.suppressed && ++incident_.suppressed_places == 1) incident_.ignored = IgnoredByOf(place);
  const v1::Presence presence = place.occurrence.presence();
  if (Rank(presence) < Rank(incident_.presence)) incident_.presence = presence;
  if (incident_.occurrences == 1 || place.confidence > incident_.confidence) {
    incident_.confidence = place.confidence;
    incident_.doubt = place.doubt;
  }
  if (int weight = PlaceWeight(presence, place.assurance); weight > weight_) {
    weight_ = weight;
    incident_.factors.presence = presence;
    incident_.factors.assurance = place.assurance;
  }
  if (place.occurrence.match().flags() & kStructurallyDead) {
    incident_.factors.structurally_dead = true;
  }
}

Incident& IncidentBuilder::Finish() {
  incident_.authors = authors_.size();
  incident_.factors.impact = ImpactOf(*incident_.rule);
  incident_.factors.repositories = incident_.repositories;
  incident_.score_tenths = ScoreTenths(incident_.factors);
  incident_.severity = SeverityOfScore(incident_.score_tenths);
  return incident_;
}

void IncidentBuilder::CountRepository(const Place& place) {
  if (repository_ == &place.repository) return;
  repository_ = &place.repository;
  ++incident_.repositories;
  paths_.clear();
  introduction_commit_.clear();
}

void IncidentBuilder::CountIntroduction(const Place& place) {
  if (!place.occurrence.has_commit()) return;
  const v1::Commit& commit = place.occurrence.commit();
  std::string_view path;
  if (place.occurrence.paths_size() > 0) path = place.occurrence.paths(0);
  if (commit.id() == introduction_commit_ && path == introduction_path_) return;
  introduction_commit_ = commit.id();
  introduction_path_ = path;
  ++incident_.introductions;
  const std::string& who =
      commit.author_email().empty() ? commit.author_name() : commit.author_email();
  authors_.insert(Hash(std::string(absl::AsciiStrToLower(who))));
}

void IncidentBuilder::CountPaths(const Place& place) {
  for (const std::string& path : place.occurrence.paths()) {
    if (!paths_.insert(Hash(path)).second) continue;
    ++incident_.locations;
    if (incident_.paths.size() < Incident::kMaxPaths) {
      incident_.paths.push_back({place.repository.name, path});
    }
  }
}

void IncidentBuilder::NoteDates(const Place& place) {
  if (place.occurrence.has_commit()) {
    const v1::Commit& commit = place.occurrence.commit();
    if (!incident_.first || Earlier(place.repository, commit, *incident_.first)) {
      incident_.first = PointOf(place.repository, commit);
    }
  }
  for (const v1::Commit& removal : place.occurrence.removals()) {
    if (!incident_.last_removal || Later(place.repository, removal, *incident_.last_removal)) {
      incident_.last_removal = PointOf(place.repository, removal);
    }
  }
}

void IncidentBuilder::NameBy(const Place& place) {
  if (incident_.rule == &place.rule) return;
  if (incident_.rule != nullptr && !Beats(place.rule, *incident_.rule)) return;
  incident_.rule = &place.rule;
  incident_.preview = ShownPreview(place.rule, place.occurrence.match().preview());
}

}  // namespace unsprawl
