// manifest.json, the statement of what was looked at and what not, and run.json, what differs between
// equal runs. Schemas: docs/schema/manifest.json and docs/schema/run.json.
#pragma once

#include "coordinator/report/incident_pass.h"
#include "coordinator/report/report.h"
#include "coordinator/report/report_folder.h"

namespace unsprawl {

// Streams one repository at a time.
absl::Status WriteManifest(const ReportInput& input, const ReportTotals& totals,
                           const PassTotals& pass, OutputFile* file);

absl::Status WriteRun(const RunFacts& run, OutputFile* file);

}  // namespace unsprawl
