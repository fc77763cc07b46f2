// report.html: one file that works offline. Its rows are written by the program and readable without a
// script; a small script of our own adds sorting and filtering. Content-Security-Policy: nothing but
// this page's own style and script, by their hashes; no request leaves the page.
#pragma once

#include "coordinator/report/changed_incidents.h"
#include "coordinator/report/coverage.h"
#include "coordinator/report/overview.h"
#include "coordinator/report/report.h"
#include "coordinator/report/report_folder.h"

namespace unsprawl {

absl::Status WriteHtml(const ReportInput& input, const CoverageSum& coverage,
                       const PassTotals& pass, const Overview& overview,
                       const ChangeSummary& changes, const ChangedIncidents& changed,
                       OutputFile* file);

}  // namespace unsprawl
