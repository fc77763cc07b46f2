#include "coordinator/report/report.h"

#include <utility>

#include "coordinator/report/coverage.h"
#include "coordinator/report/html.h"
#include "coordinator/report/incident_pass.h"
#include "coordinator/report/jsonl.h"
#include "coordinator/report/manifest.h"
#include "coordinator/report/overview.h"
#include "coordinator/report/report_folder.h"
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
  totals.repositories_affected = overview.repositories().size();
  totals.complete = coverage.complete;
  return totals;
}

}  // namespace

absl::StatusOr<ReportTotals> WriteReport(const ReportInput& input, const Ledger& ledger,
                                         const std::filesystem::path& dir, IncidentSink* also) {
  ASSIGN_OR_RETURN(ReportFolder folder, ReportFolder::Open(dir));
  ASSIGN_OR_RETURN(OutputFile * incidents, folder.Start("incidents.jsonl"));
  ASSIGN_OR_RETURN(OutputFile * occurrences, folder.Start("occurrences.jsonl"));
  ASSIGN_OR_RETURN(std::unique_ptr<OutputFile> spool, folder.StartUnnamed());

  JsonlExport rows(incidents, occurrences, std::move(spool));
  Overview overview(Overview::Limits{});
  std::vector<IncidentSink*> sinks = {&rows, &overview};
  if (also != nullptr) sinks.push_back(also);
  ASSIGN_OR_RETURN(PassTotals pass, RunIncidentPass(input, ledger, sinks));
  const CoverageSum coverage = SumCoverage(input);
  const ReportTotals totals = TotalsOf(overview, coverage);

  ASSIGN_OR_RETURN(OutputFile * summary, folder.Start("summary.txt"));
  summary->Append(Summary(input, coverage, pass, overview));
  ASSIGN_OR_RETURN(OutputFile * page, folder.Start("report.html"));
  RETURN_IF_ERROR(WriteHtml(input, coverage, pass, overview, page));
  ASSIGN_OR_RETURN(OutputFile * run, folder.Start("run.json"));
  RETURN_IF_ERROR(WriteRun(input.run, run));
  ASSIGN_OR_RETURN(OutputFile * manifest, folder.Start("manifest.json"));
  RETURN_IF_ERROR(WriteManifest(input, totals, pass, manifest));
  RETURN_IF_ERROR(folder.Publish());
  return totals;
}

}  // namespace unsprawl
