#include "coordinator/run_report.h"

#include <cstdlib>
#include <utility>

#include "absl/time/clock.h"
#include "coordinator/report/state_history.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

// Notes what the run covered, with which rules, and what came out: from now on later runs are compared
// with it.
absl::Status FinishRun(const ReportInput& input, const ReportTotals& report, v1::RunRecord run,
                       Ledger& ledger) {
  using Status = RepositoryOutcome::Status;
  for (const RepositoryOutcome& outcome : input.repositories) {
    if (outcome.id == 0) continue;
    if (outcome.status == Status::kFailed || outcome.status == Status::kNotCovered) {
      run.add_failed(outcome.id);
    } else {
      run.add_repositories(outcome.id);
      if (outcome.status == Status::kPartial) run.add_partial(outcome.id);
    }
    RETURN_IF_ERROR(ledger.RecordRunCoverage(run.id(), outcome.id, outcome.coverage));
  }
  ASSIGN_OR_RETURN(const RuleListId rules, ledger.InternRules(input.ruleset->keys()));
  run.set_rules(rules);
  run.set_min_confidence(input.min_confidence);
  v1::RunTotals& totals = *run.mutable_totals();
  totals.set_incidents(report.incidents);
  totals.set_open(report.open);
  totals.set_new_incidents(report.changes.new_incidents());
  totals.set_new_by_commit(report.changes.new_by_commit);
  totals.set_reopened(report.changes.reopened);
  totals.set_removed(report.changes.removed);
  run.set_finished(input.run.finished_us);
  run.set_complete(report.complete);
  RETURN_IF_ERROR(ledger.FinishRun(run));
  return ledger.Flush();
}

}  // namespace

int64_t NowMicros() {
  const char* injected = std::getenv("SOURCE_DATE_EPOCH");
  return injected != nullptr ? std::atoll(injected) * 1'000'000 : absl::ToUnixMicros(absl::Now());
}

absl::StatusOr<ReportTotals> ReportRun(ReportInput input, const v1::RunRecord& run, const std::filesystem::path& dir,
                                       const WebhookOptions& webhook, Ledger& ledger) {
  input.run.run_id = run.id();
  input.run.started_us = run.started();
  StateHistory history(run.id(), ledger);
  RETURN_IF_ERROR(ledger.CarryHistoriesOver());
  ASSIGN_OR_RETURN(const ReportTotals report, WriteReport(input, ledger, dir, &history));
  RETURN_IF_ERROR(OweWebhook(webhook, run.id(), report, ledger));
  RETURN_IF_ERROR(FinishRun(input, report, run, ledger));
  return report;
}

}  // namespace unsprawl
