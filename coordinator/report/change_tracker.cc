#include "coordinator/report/change_tracker.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "coordinator/report/coverage.h"
#include "engine/base/status.h"
#include "store/layout.h"

namespace unsprawl {
namespace {

constexpr int64_t kMicros = 1'000'000;

bool AtSomeTip(v1::Presence presence) {
  return presence == v1::PRESENCE_HEAD || presence == v1::PRESENCE_BRANCH;
}

// The one that makes the better case for a new leak.
Cause Stronger(Cause a, Cause b) { return std::min(a, b); }
static_assert(Cause::kNewCommit < Cause::kNewRule && Cause::kNewRule < Cause::kScope);

void AddId(std::string id, std::vector<std::string>* ids) {
  if (ids->size() < ChangeSummary::kMaxIds) ids->push_back(std::move(id));
}

}  // namespace

absl::StatusOr<ChangeTracker> ChangeTracker::Open(const ReportInput& input, const Ledger& ledger,
                                                  StateHistory* states) {
  ChangeTracker tracker(input, ledger, states);
  RETURN_IF_ERROR(tracker.ReadRuns());
  RETURN_IF_ERROR(tracker.CompareCoverage());
  return tracker;
}

absl::Status ChangeTracker::ReadRuns() {
  ASSIGN_OR_RETURN(rule_lists_, ledger_.RuleLists());
  ASSIGN_OR_RETURN(const std::vector<v1::RunRecord> runs, ledger_.Runs());
  for (const v1::RunRecord& run : runs) {
    if (run.finished() == 0 || run.id() >= input_.run.run_id) continue;
    started_[run.id()] = run.started() / kMicros;
    summary_.first_run = false;
    summary_.since = run.started() / kMicros;
    Covered covered{.rules = {}, .min_confidence = run.min_confidence()};
    if (run.has_rules() && run.rules() < rule_lists_.size()) covered.rules = run.rules();
    last_repositories_.clear();
    for (const uint64_t id : run.repositories()) {
      covered_[id] = covered;
      whole_[id] = true;
      last_repositories_.push_back(id);
    }
    for (const uint64_t id : run.partial()) whole_[id] = false;
    for (const uint64_t id : run.failed()) {
      whole_[id] = false;
      last_repositories_.push_back(id);
    }
  }
  return absl::OkStatus();
}

absl::Status ChangeTracker::CompareCoverage() {
  absl::flat_hash_map<std::string, uint64_t> by_name;  // for what failed before it got its number
  const bool unnumbered =
      std::any_of(input_.repositories.begin(), input_.repositories.end(),
                  [](const RepositoryOutcome& outcome) { return outcome.id == 0; });
  if (unnumbered && !summary_.first_run) {
    ASSIGN_OR_RETURN(const std::vector<v1::RepositoryRecord> records, ledger_.Repositories());
    for (const v1::RepositoryRecord& record : records) by_name[record.name()] = record.id();
  }
  absl::flat_hash_set<uint64_t> in_scope;
  for (const RepositoryOutcome& outcome : input_.repositories) {
    uint64_t id = outcome.id;
    if (const auto named = by_name.find(outcome.name); id == 0 && named != by_name.end()) {
      id = named->second;
    }
    in_scope.insert(id);
    const auto before = whole_.find(id);
    if (before == whole_.end() || !before->second || IsWhole(outcome.status)) continue;
    summary_.dropped.push_back({id, outcome.name, outcome.status, outcome.reason});
  }
  summary_.out_of_scope = static_cast<uint64_t>(
      std::count_if(last_repositories_.begin(), last_repositories_.end(),
                    [&](uint64_t id) { return !in_scope.contains(id); }));
  return absl::OkStatus();
}

bool ChangeTracker::Ran(RuleListId rules, uint64_t key) const {
  return std::binary_search(rule_lists_[rules].begin(), rule_lists_[rules].end(), key);
}

Cause ChangeTracker::CauseOf(const Place& place) const {
  const auto found = covered_.find(place.repository.id);
  if (found == covered_.end()) return Cause::kScope;
  const Covered& covered = found->second;
  // Where the rules of that run are not known, a leak is rather called new than hidden.
  if (covered.rules) {
    if (!Ran(*covered.rules, place.rule.key)) return Cause::kNewRule;
    // A better rule took this match then, and is gone from the rules.
    for (const uint64_t key : place.occurrence.overlapping()) {
      if (input_.ruleset->FindByKey(key) == nullptr && Ran(*covered.rules, key)) return Cause::kNewRule;
    }
  }
  return place.confidence < covered.min_confidence ? Cause::kScope : Cause::kNewCommit;
}

void ChangeTracker::Add(const Place& place) {
  const Cause cause = CauseOf(place);
  evidence_.any = Stronger(evidence_.any, cause);
  if (AtSomeTip(place.occurrence.presence())) evidence_.open = Stronger(evidence_.open, cause);
}

void ChangeTracker::AddHidden(v1::Presence presence) {
  evidence_.hidden = true;
  evidence_.open_hidden |= AtSomeTip(presence);
}

std::optional<ChangeTracker::Known> ChangeTracker::Read(const IncidentHistory& history) const {
  std::optional<Known> known;
  for (const IncidentHistory::Row& row : history.rows) {
    const auto run = started_.find(row.run);
    if (run == started_.end()) continue;  // of a run that did not finish, or of this one
    const bool reported = row.state.presence != v1::PRESENCE_UNSPECIFIED || (known && known->reported);
    if (!known || known->reported != reported) {
      known = Known{.reported = reported, .first_seen = run->second, .first_cause = row.state.cause, .last = {}};
    }
    known->last = row.state;
    known->opened = !row.state.open ? 0 : known->opened == 0 ? run->second : known->opened;
  }
  return known;
}

absl::StatusOr<std::optional<ChangeTracker::Known>> ChangeTracker::TakeKnown(const SecretId& secret) {
  for (;;) {
    if (next_history_ == histories_.size()) {
      if (all_read_) return std::optional<Known>();
      SecretId from;
      if (!histories_.empty()) {  // the id after the last one
        from = histories_.back().secret;
        size_t digit = from.bytes.size();
        while (digit > 0 && ++from.bytes[digit - 1] == 0) --digit;
        if (digit == 0) {
          all_read_ = true;
          continue;
        }
      }
      ASSIGN_OR_RETURN(histories_, ledger_.IncidentHistories(from, kHistoriesAtOnce));
      next_history_ = 0;
      all_read_ = histories_.empty();
      continue;
    }
    const IncidentHistory& history = histories_[next_history_];
    if (secret < history.secret) return std::optional<Known>();
    ++next_history_;
    if (history.secret == secret) return Read(history);
    RETURN_IF_ERROR(EndAbsent(history));
  }
}

// Reported once and not now. Gone for good only when no repository stores it any more: it may lie in one
// that is not part of this run, or be too doubtful to report this time.
absl::Status ChangeTracker::EndAbsent(const IncidentHistory& history) {
  std::optional<Known> known = Read(history);
  if (!known || !known->last.open) return absl::OkStatus();
  const Rule* rule = input_.ruleset->FindByKey(known->last.rule);
  if (rule == nullptr && known->last.rule != 0) return absl::OkStatus();  // not looked for any more
  bool stored = false;
  RETURN_IF_ERROR(ledger_.VisitSecret(history.secret, [&](uint64_t, const v1::Occurrence&) {
    stored = true;
    return false;
  }));
  if (stored) return absl::OkStatus();
  ++summary_.removed;
  AddId(ToHex(history.secret.raw()), &summary_.removed_ids);
  if (gone_.size() < kMaxGone) gone_.push_back({history.secret, rule});
  IncidentState state = known->last;
  state.presence = v1::PRESENCE_UNSPECIFIED;
  state.open = false;
  state.repositories = 0;
  return Note(state);
}

absl::StatusOr<bool> ChangeTracker::OpenElsewhere(const SecretId& secret) const {
  absl::flat_hash_set<uint64_t> here;
  for (const RepositoryOutcome& outcome : input_.repositories) here.insert(outcome.id);
  bool open = false;
  RETURN_IF_ERROR(
      ledger_.VisitSecret(secret, [&](uint64_t repository, const v1::Occurrence& occurrence) {
        open = !here.contains(repository) && AtSomeTip(occurrence.presence());
        return !open;
      }));
  return open;
}

absl::Status ChangeTracker::Note(const IncidentState& state) {
  return states_ == nullptr ? absl::OkStatus() : states_->Record(state);
}

absl::Status ChangeTracker::End(Incident* incident) {
  const Evidence evidence = std::exchange(evidence_, {});
  const std::optional<SecretId> id = SecretIdFromRaw(incident->secret);
  if (!id) return absl::InternalError("report: a secret's id is not 16 bytes");
  IncidentChange& change = incident->change;
  ASSIGN_OR_RETURN(std::optional<Known> known, TakeKnown(*id));
  const bool was_hidden = known && !known->reported;
  if (was_hidden) known.reset();
  if (!known) {
    // An old id in a repository that could not be scanned since the key was rotated: its history went to
    // the new id.
    ASSIGN_OR_RETURN(const SecretId now, ledger_.ResolveAlias(*id));
    if (now != *id) {
      ASSIGN_OR_RETURN(const std::vector<IncidentHistory> moved, ledger_.IncidentHistories(now, 1));
      if (!moved.empty() && moved[0].secret == now) known = Read(moved[0]);
      if (known && !known->reported) known.reset();
      if (known) {
        change = {Change::kNone, known->first_cause, known->last.cause, known->first_seen, known->opened};
        Count(*incident);
        return absl::OkStatus();
      }
    }
  }
  IncidentState state{.secret = *id,
                      .presence = incident->presence,
                      .open = incident->open() || evidence.open_hidden,
                      .repositories = incident->repositories,
                      .cause = was_hidden && !evidence.hidden ? Cause::kScope : evidence.any,
                      .rule = incident->rule->key};
  const int64_t now = input_.run.started_us / kMicros;
  change = {Change::kNew, state.cause, state.cause, now, incident->open() ? now : 0};
  bool note = true;
  if (known) {
    state.cause = known->last.cause;
    const int64_t opened = known->opened == 0 ? now : known->opened;
    change = {Change::kNone, known->first_cause, state.cause, known->first_seen, incident->open() ? opened : 0};
    if (incident->open() && !known->last.open) {
      change.change = Change::kReopened;
      change.cause = state.cause = evidence.open;
    } else if (!state.open && known->last.open) {
      ASSIGN_OR_RETURN(const bool elsewhere, OpenElsewhere(*id));
      if (!elsewhere) change.change = Change::kRemoved;
      note = !elsewhere;
    }
    note = note && state != known->last;
  }
  Count(*incident);
  return note ? Note(state) : absl::OkStatus();
}

absl::Status ChangeTracker::EndHidden(std::string_view secret) {
  const Evidence evidence = std::exchange(evidence_, {});
  if (!evidence.hidden) return absl::OkStatus();
  const std::optional<SecretId> id = SecretIdFromRaw(secret);
  if (!id) return absl::InternalError("report: a secret's id is not 16 bytes");
  ASSIGN_OR_RETURN(const std::optional<Known> known, TakeKnown(*id));
  if (known) return absl::OkStatus();
  return Note({.secret = *id, .presence = v1::PRESENCE_UNSPECIFIED, .open = false, .cause = Cause::kScope});
}

void ChangeTracker::Count(const Incident& incident) {
  const IncidentChange& change = incident.change;
  summary_.backlog += change.backlog();
  switch (change.change) {
    case Change::kNone: return;
    case Change::kNew:
      if (change.cause == Cause::kScope) {
        ++summary_.new_by_scope;
      } else if (change.cause == Cause::kNewRule) {
        ++summary_.new_by_rule;
      } else {
        ++summary_.new_by_commit;
        AddId(incident.Id(), &summary_.new_ids);
      }
      return;
    case Change::kReopened:
      if (change.backlog()) {
        ++summary_.reopened_backlog;
      } else {
        ++summary_.reopened;
        AddId(incident.Id(), &summary_.reopened_ids);
      }
      return;
    case Change::kRemoved:
      ++summary_.removed;
      AddId(incident.Id(), &summary_.removed_ids);
      return;
  }
}

absl::Status ChangeTracker::Finish() {
  // No secret has the highest id there is: all others end before it.
  SecretId highest;
  highest.bytes.fill(0xff);
  RETURN_IF_ERROR(TakeKnown(highest).status());
  return absl::OkStatus();
}

}  // namespace unsprawl
