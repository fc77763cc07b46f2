#include "coordinator/report/report.h"

#include <utility>

#include "coordinator/report/change_tracker.h"
#include "coordinator/report/changed_incidents.h"
#include "coordinator/report/coverage.h"
#include "coordinator/report/html.h"
#include "coordinator/report/incident_pass.h"
#include "coordinator/report/jsonl.h"
#include "coordinator/report/manifest.h"
#include "coordinator/report/overview.h"
#include "coordinator/report/report_folder.h"
#include "coordinator/report/state_history.h"
#include "coordinator/report/summary.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

ReportTotals TotalsOf(const Overview& overview, const CoverageSum& coverage) {
  ReportTotals totals;
  totals.incidents = overview.all().incidents;
  totals.open = overview.all().open;
  for (Severity severity :
       {Severity::kLow, Severity::kMedium, Severity::kHigh, Severity::kCritical}) {
    totals.by_severity[static_cast<size_t>(severity)] = overview.by_severity(severity);
  }
  totals.in_head = overview.all().in_head;
  totals.occurrences = overview.all().places;
  totals.suppressed_places = overview.suppressed_places();
  totals.repositories_affected = overview.repositories().size();
  totals.complete = coverage.complete;
  return totals;
}

}  // namespace

absl::StatusOr<ReportTotals> WriteReport(const ReportInput& input, const Ledger& ledger,
                                         const std::filesystem::path& dir, StateHistory* states) {
  ASSIGN_OR_RETURN(ReportFolder folder, ReportFolder::Open(dir));
  ASSIGN_OR_RETURN(OutputFile * incidents, folder.Start("incidents.jsonl"));
  ASSIGN_OR_RETURN(OutputFile * occurrences, folder.Start("occurrences.jsonl"));
  ASSIGN_OR_RETURN(std::unique_ptr<OutputFile> spool, folder.StartUnnamed());

  JsonlExport rows(incidents, occurrences, std::move(spool));
  Overview overview(Overview::Limits{});
  ChangedIncidents changed;
  ASSIGN_OR_RETURN(ChangeTracker tracker, ChangeTracker::Open(input, ledger, states));
  IncidentSink* const sinks[] = {&rows, &overview, &changed};
  ASSIGN_OR_RETURN(const PassTotals pass, RunIncidentPass(input, ledger, &tracker, sinks));
  if (states != nullptr) RETURN_IF_ERROR(states->Flush());
  const CoverageSum coverage = SumCoverage(input);
  ReportTotals totals = TotalsOf(overview, coverage);
  totals.changes = tracker.summary();
  changed.AddGone(tracker.gone());

  ASSIGN_OR_RETURN(OutputFile * summary, folder.Start("summary.txt"));
  summary->Append(Summary(input, coverage, pass, overview, totals.changes, changed));
  ASSIGN_OR_RETURN(OutputFile * page, folder.Start("report.html"));
  RETURN_IF_ERROR(WriteHtml(input, coverage, pass, overview, totals.changes, changed, page));
  ASSIGN_OR_RETURN(OutputFile * run, folder.Start("run.json"));
  RETURN_IF_ERROR(WriteRun(input.run, run));
  ASSIGN_OR_RETURN(OutputFile * manifest, folder.Start("manifest.json"));
  RETURN_IF_ERROR(WriteManifest(input, totals, pass, manifest));
  RETURN_IF_ERROR(folder.Publish());
  return totals;
}

}  // namespace unsprawl
