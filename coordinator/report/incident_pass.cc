#include "coordinator/report/incident_pass.h"

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_format.h"
#include "coordinator/report/change_tracker.h"
#include "coordinator/report/incident_builder.h"
#include "engine/base/status.h"
#include "engine/judge/judge.h"
#include "engine/judge/path_class.h"

namespace unsprawl {
namespace {

constexpr float kAnyEntropy = 1e9f;  // above every rule's threshold

// A secret's state while its rows go by.
class Pass {
 public:
  Pass(const ReportInput& input, const Suppressions& suppressions, ChangeTracker& changes,
       std::span<IncidentSink* const> sinks)
      : input_(input), suppressions_(suppressions), changes_(changes), sinks_(sinks) {
    for (const RepositoryOutcome& repository : input.repositories) {
      if (repository.id == 0) continue;
      if (repositories_.emplace(repository.id, &repository).second) ids_.push_back(repository.id);
    }
  }

  std::span<const uint64_t> ids() const { return ids_; }
  const PassTotals& totals() const { return totals_; }

  absl::Status Row(uint64_t repository, const v1::Occurrence& occurrence) {
    ++totals_.rows;
    if (occurrence.secret() != secret_) {
      RETURN_IF_ERROR(EndSecret());
      secret_ = occurrence.secret();
      builder_.Start(secret_);
    }
    const Rule* rule = input_.ruleset->FindByKey(occurrence.match().rule());
    if (rule == nullptr) return ++totals_.unknown_rule, absl::OkStatus();
    const Judgement judged = JudgePaths(*rule, occurrence);
    if (!judged.verdict.report) {
      ++(judged.shadowed ? totals_.shadowed : totals_.rejected);
      return absl::OkStatus();
    }
    auto found = repositories_.find(repository);
    if (found == repositories_.end()) {
      return absl::InternalError(absl::StrFormat(
          "report: the ledger returned a row of repository %d, which was not asked for",
          repository));
    }
    const std::optional<Suppression> suppressed = suppressions_.Find(repository, occurrence, *rule);
    if (suppressed && suppressed->hidden) {
      ++totals_.hidden[static_cast<size_t>(suppressed->by)];
      changes_.AddHidden(occurrence.presence());
      return absl::OkStatus();
    }
    return Hand(Place{*found->second, occurrence, *rule, judged.verdict.confidence,
                      judged.verdict.reason,
                      AssuranceOf(occurrence.match().flags(), judged.path_class), suppressed});
  }

  absl::Status EndSecret() {
    if (builder_.empty()) return changes_.EndHidden(secret_);
    Incident& incident = builder_.Finish();
    const bool keep = incident.confidence >= input_.min_confidence;
    if (keep) {
      RETURN_IF_ERROR(changes_.End(&incident));
    } else {
      changes_.Drop();
    }
    totals_.low_confidence += !keep;
    for (IncidentSink* sink : sinks_) {
      if (keep) {
        RETURN_IF_ERROR(sink->End(incident));
      } else {
        sink->Drop();
      }
    }
    builder_.Start("");
    return absl::OkStatus();
  }

 private:
  absl::Status Hand(const Place& place) {
    builder_.Add(place);
    changes_.Add(place);
    for (IncidentSink* sink : sinks_) RETURN_IF_ERROR(sink->Add(place));
    return absl::OkStatus();
  }

  // Whether a rule that names the same bytes better applies at this path. Its match may yet have been
  // refused for its value (a wrong checksum): then the value is no secret for the lesser rule either.
  bool IsShadowed(const Rule& rule, const v1::Occurrence& occurrence, const Where& where) const {
    for (uint64_t key : occurrence.overlapping()) {
      const Rule* other = input_.ruleset->FindByKey(key);
      if (other == nullptr || !Beats(*other, rule)) continue;
      if (Judge(*input_.ruleset, *other, 0, kAnyEntropy, where).report) return true;
    }
    return false;
  }

  struct Judgement {
    Verdict verdict;
    PathClass path_class = PathClass::kOrdinary;
    bool shadowed = false;
  };

  void JudgePath(const Rule& rule, const v1::Occurrence& occurrence, std::string_view path,
                 Judgement* best) const {
    const v1::Match& match = occurrence.match();
    const Where where = {.path = path, .commit = occurrence.commit().id()};
    const Verdict verdict = Judge(*input_.ruleset, rule, match.flags(), match.entropy(), where,
                                  {occurrence.overlapping().data(), static_cast<size_t>(occurrence.overlapping_size())});
    if (!verdict.report) return;
    if (best->verdict.report && verdict.confidence <= best->verdict.confidence) return;
    if (IsShadowed(rule, occurrence, where)) {
      best->shadowed = true;
      return;
    }
    best->verdict = verdict;
    best->path_class = ClassifyPath(path);
  }

  // The judgement at the path that tells most: a value moved from a test folder into production
  // counts as in production.
  Judgement JudgePaths(const Rule& rule, const v1::Occurrence& occurrence) const {
    Judgement best;
    if (occurrence.paths().empty()) JudgePath(rule, occurrence, "", &best);
    for (const std::string& path : occurrence.paths()) JudgePath(rule, occurrence, path, &best);
    return best;
  }

  // A checksum that holds outweighs how a value looks and where it lies.
  static Assurance AssuranceOf(uint32_t flags, PathClass path_class) {
    if (flags & kChecksumOk) return Assurance::kVerified;
    if (flags & (kPlaceholder | kReference | kKnownExample)) return Assurance::kDoubtful;
    if (path_class != PathClass::kOrdinary && path_class != PathClass::kGenerated) return Assurance::kDoubtful;
    return flags & kStructureOk ? Assurance::kVerified : Assurance::kNone;
  }

  const ReportInput& input_;
  const Suppressions& suppressions_;
  ChangeTracker& changes_;
  std::span<IncidentSink* const> sinks_;
  absl::flat_hash_map<uint64_t, const RepositoryOutcome*> repositories_;
  std::vector<uint64_t> ids_;  // in the order of the input: that of names
  std::string secret_;
  IncidentBuilder builder_;
  PassTotals totals_;
};

}  // namespace

absl::StatusOr<PassTotals> RunIncidentPass(const ReportInput& input, const Ledger& ledger,
                                           ChangeTracker* changes,
                                           std::span<IncidentSink* const> sinks) {
  ASSIGN_OR_RETURN(const Suppressions suppressions, Suppressions::Read(input, ledger));
  Pass pass(input, suppressions, *changes, sinks);
  absl::Status status;
  auto visit = [&](uint64_t repository, const v1::Occurrence& occurrence) {
    status = pass.Row(repository, occurrence);
    return status.ok();
  };
  RETURN_IF_ERROR(ledger.VisitOccurrences(pass.ids(), visit));
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(pass.EndSecret());
  RETURN_IF_ERROR(changes->Finish());
  return pass.totals();
}

}  // namespace unsprawl
