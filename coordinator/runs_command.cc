#include "coordinator/runs_command.h"

#include <memory>
#include <vector>

#include "absl/strings/str_format.h"
#include "coordinator/report/json_writer.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"
#include "store/rocksdb_ledger.h"

namespace unsprawl {
namespace {

constexpr int64_t kMicros = 1'000'000;

// "950 ms", "12.3 s", "3 min 20 s", "2 h 05 min".
std::string HumanDuration(int64_t microseconds) {
  const int64_t seconds = microseconds / kMicros;
  if (seconds >= 3600) return absl::StrFormat("%d h %02d min", seconds / 3600, seconds / 60 % 60);
  if (seconds >= 60) return absl::StrFormat("%d min %02d s", seconds / 60, seconds % 60);
  if (seconds >= 1) return absl::StrFormat("%d.%d s", seconds, microseconds / (kMicros / 10) % 10);
  return absl::StrFormat("%d ms", microseconds / 1000);
}

std::string Count(const v1::RunRecord& run, uint64_t count) {
  return run.has_totals() ? WithThousands(count) : "-";
}

std::string Row(const v1::RunRecord& run) {
  std::string started = FormatUtc(run.started() / kMicros);
  if (run.finished() == 0) return absl::StrFormat("%6d  %-20s  did not finish\n", run.id(), started);
  return absl::StrFormat(
      "%6d  %-20s  %-12s %12s  %-8s %10s %10s %10s %10s %10s\n", run.id(), started,
      HumanDuration(run.finished() - run.started()),
      WithThousands(static_cast<uint64_t>(run.repositories_size() + run.failed_size())),
      run.complete() ? "complete" : "partial", Count(run, run.totals().incidents()),
      Count(run, run.totals().open()), Count(run, run.totals().new_incidents()),
      Count(run, run.totals().reopened()), Count(run, run.totals().removed()));
}

void Number(std::string_view key, const v1::RunRecord& run, uint64_t count, JsonWriter* json) {
  if (run.has_totals()) {
    json->Unsigned(key, count);
  } else {
    json->Null(key);
  }
}

std::string JsonRow(const v1::RunRecord& run) {
  std::string row;
  JsonWriter json(JsonWriter::Style::kOneLine, &row);
  json.BeginObject();
  json.Unsigned("run", run.id());
  json.String("started", FormatUtcMicros(run.started()));
  if (run.finished() == 0) {
    json.Null("finished");
    json.Null("seconds");
  } else {
    json.String("finished", FormatUtcMicros(run.finished()));
    json.Decimal("seconds", static_cast<double>(run.finished() - run.started()) / kMicros, 6);
  }
  json.Unsigned("repositories", static_cast<uint64_t>(run.repositories_size() + run.failed_size()));
  json.Unsigned("partial", static_cast<uint64_t>(run.partial_size()));
  json.Unsigned("failed", static_cast<uint64_t>(run.failed_size()));
  json.Bool("complete", run.complete());
  Number("incidents", run, run.totals().incidents(), &json);
  Number("open", run, run.totals().open(), &json);
  Number("new", run, run.totals().new_incidents(), &json);
  Number("new_by_commit", run, run.totals().new_by_commit(), &json);
  Number("reopened", run, run.totals().reopened(), &json);
  Number("removed", run, run.totals().removed(), &json);
  json.EndObject();
  row.push_back('\n');
  return row;
}

}  // namespace

absl::StatusOr<std::string> ListRuns(const std::filesystem::path& store, bool json) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RocksdbLedger> ledger, RocksdbLedger::OpenReader(store, {}));
  ASSIGN_OR_RETURN(const std::vector<v1::RunRecord> runs, ledger->Runs());
  std::string text;
  if (!json) {
    if (runs.empty()) return std::string("no runs\n");
    text = absl::StrFormat("%6s  %-20s  %-12s %12s  %-8s %10s %10s %10s %10s %10s\n", "run", "started",
                           "took", "repositories", "coverage", "incidents", "open", "new", "reopened",
                           "removed");
  }
  for (const v1::RunRecord& run : runs) text += json ? JsonRow(run) : Row(run);
  return text;
}

}  // namespace unsprawl
