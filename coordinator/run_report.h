// The end of a run: its report, and what later runs are compared with.
#pragma once

#include <cstdint>
#include <filesystem>

#include "absl/status/statusor.h"
#include "coordinator/report/report.h"
#include "coordinator/webhook.h"
#include "store/ledger.h"

namespace unsprawl {

// Microseconds since the epoch, for a run's start; SOURCE_DATE_EPOCH injects another time, so that runs can be repeated.
int64_t NowMicros();

// Writes the report of `run` into `dir` and notes in the ledger what it covered, with which rules, and what came out.
// Of `input`, run.run_id and run.started_us are those of `run`. The webhook is owed from then on (SettleWebhook).
absl::StatusOr<ReportTotals> ReportRun(ReportInput input, const v1::RunRecord& run, const std::filesystem::path& dir,
                                       const WebhookOptions& webhook, Ledger& ledger);

}  // namespace unsprawl
