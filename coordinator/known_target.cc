#include "coordinator/known_target.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"
#include "coordinator/report/coverage.h"
#include "engine/base/status.h"
#include "worker/pipeline.h"

namespace unsprawl {
namespace {

// Changes whenever equal rules could find something else: every repository is then looked at again.
constexpr std::string_view kEngineVersion = "1";

std::string NoteName(const std::string& key) { return "mirror " + key; }

}  // namespace

std::string ScanSettingsText(const ScanSettings& settings) {
  return absl::StrFormat("%s %d%s", kEngineVersion, settings.max_object_bytes, settings.archives ? " archives" : "");
}

bool IsCurrent(const v1::RepositoryRecord& record, const Ruleset& ruleset) {
  const std::vector<uint64_t> wanted = ruleset.keys();
  return !record.tips_digest().empty() &&
         std::includes(record.rule_keys().begin(), record.rule_keys().end(), wanted.begin(), wanted.end());
}

RepositoryOutcome OutcomeOf(const v1::RepositoryRecord& record, const std::set<v1::SkipReason>& accepted) {
  RepositoryOutcome outcome;
  outcome.id = record.id();
  outcome.name = record.name();
  outcome.coverage = record.coverage();
  SetStatus(accepted, &outcome);
  ShrinkSkips(&outcome.coverage);
  return outcome;
}

RepositoryOutcome FailedOutcome(const v1::RepositoryRecord& record, std::string name,
                                RepositoryOutcome::Status status, std::string reason) {
  RepositoryOutcome outcome = OutcomeOf(record, {});
  outcome.name = std::move(name);
  outcome.status = status;
  outcome.reason = std::move(reason);
  return outcome;
}

void SetStatus(const std::set<v1::SkipReason>& accepted, RepositoryOutcome* outcome) {
  using Status = RepositoryOutcome::Status;
  const v1::Coverage& coverage = outcome->coverage;
  outcome->status = coverage.blobs() == 0 && coverage.commits() == 0 ? Status::kEmpty : Status::kOk;
  for (const v1::Skip& skip : coverage.skips()) {
    if (KindOf(skip.reason()) == SkipKind::kPolicy || accepted.count(skip.reason()) > 0) continue;
    outcome->status = Status::kPartial;
    outcome->reason = skip.detail();
    return;
  }
}

absl::StatusOr<v1::KnownTarget> LookUp(const RemoteTarget& target, const RunResources& run, int64_t now,
                                       v1::RepositoryRecord* record) {
  v1::KnownTarget known;
  known.set_now(now);
  ASSIGN_OR_RETURN(*record, run.ledger->OpenRepository(target.key, target.name));
  ASSIGN_OR_RETURN(const auto stored, run.ledger->ReadNote(NoteName(target.key)));
  v1::MirrorNote& note = *known.mutable_note();
  if (stored && !note.ParseFromString(*stored)) note.Clear();
  known.set_current(IsCurrent(*record, *run.ruleset) && note.watermark() == record->tips_digest() &&
                    note.settings() == ScanSettingsText(run.settings));
  known.set_unmoved(IsUnmoved(target.pushed_at, note.fetched(), run.audit_every, now));
  return known;
}

absl::Status WriteMirrorNote(const std::string& key, const v1::MirrorNote& note, Ledger& ledger) {
  return ledger.WriteNote(NoteName(key), note.SerializeAsString());
}

}  // namespace unsprawl
