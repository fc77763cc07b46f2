#include "coordinator/report/manifest.h"

#include "coordinator/report/coverage.h"
#include "coordinator/report/json_writer.h"
#include "coordinator/report/jsonl.h"
#include "coordinator/report/severity.h"
#include "engine/base/escape.h"

namespace unsprawl {
namespace {

void WriteSkips(const SkipSums& skips, const std::set<v1::SkipReason>& accepted,
                JsonWriter* json) {
  json->BeginArray("skips");
  for (const auto& [reason, sum] : skips) {
    json->BeginObject();
    json->String("kind", Name(KindOf(reason)));
    json->String("reason", Name(reason));
    json->Unsigned("count", sum.count);
    json->Bool("accepted", accepted.contains(reason));
    json->BeginArray("details");
    for (const std::string& detail : sum.details) json->StringElement(detail);
    json->EndArray();
    json->EndObject();
  }
  json->EndArray();
}

void WriteCounters(const CoverageSum& sum, JsonWriter* json) {
  json->Unsigned("refs", sum.refs);
  json->Unsigned("commits", sum.commits);
  json->Unsigned("blobs", sum.blobs);
  json->Unsigned("blobs_scanned", sum.blobs_scanned);
  json->Unsigned("bytes", sum.bytes);
  json->Unsigned("submodules", sum.submodules);
}

void WriteTotals(const CoverageSum& sum, const std::set<v1::SkipReason>& accepted,
                 JsonWriter* json) {
  using Status = RepositoryOutcome::Status;
  json->BeginObject("coverage");
  json->Unsigned("repositories", sum.repositories);
  for (Status status : {Status::kOk, Status::kPartial, Status::kFailed, Status::kEmpty, Status::kGone,
                        Status::kRefused}) {
    json->Unsigned(Name(status), sum.Count(status));
  }
  json->Unsigned("not_covered", sum.Count(Status::kNotCovered));
  WriteCounters(sum, json);
  WriteSkips(sum.skips, accepted, json);
  json->EndObject();
}

void WriteHidden(const PassTotals& pass, JsonWriter* json) {
  constexpr std::string_view kKinds[kSuppressedByKinds] = {"inline", "ignore_file", "operator_ignore", "baseline"};
  json->BeginObject("places_hidden");
  for (size_t by = 0; by < kSuppressedByKinds; ++by) json->Unsigned(kKinds[by], pass.hidden[by]);
  json->EndObject();
}

void WriteResults(const ReportTotals& totals, const PassTotals& pass, JsonWriter* json) {
  json->BeginObject("results");
  json->Unsigned("incidents", totals.incidents);
  json->Unsigned("open", totals.open);
  json->Unsigned("in_head", totals.in_head);
  json->Unsigned("occurrences", totals.occurrences);
  json->Unsigned("repositories_affected", totals.repositories_affected);
  for (Severity severity :
       {Severity::kCritical, Severity::kHigh, Severity::kMedium, Severity::kLow}) {
    json->Unsigned(Name(severity), totals.by_severity[static_cast<size_t>(severity)]);
  }
  json->Unsigned("suppressed_places", totals.suppressed_places);
  WriteHidden(pass, json);
  json->Unsigned("incidents_below_min_confidence", pass.low_confidence);
  json->Unsigned("matches_filtered", pass.rejected);
  json->Unsigned("matches_of_a_more_specific_rule", pass.shadowed);
  json->Unsigned("matches_of_rules_not_in_ruleset", pass.unknown_rule);
  json->EndObject();
}

void WriteRepository(const RepositoryOutcome& repository,
                     const std::set<v1::SkipReason>& accepted, JsonWriter* json) {
  const v1::Coverage& coverage = repository.coverage;
  json->BeginObject();
  json->Bytes("name", repository.name);
  json->String("status", Name(repository.status));
  json->Bytes("reason", repository.reason);
  json->Unsigned("refs", coverage.refs());
  json->Unsigned("commits", coverage.commits());
  json->Unsigned("blobs", coverage.blobs());
  json->Unsigned("blobs_scanned", coverage.blobs_scanned());
  json->Unsigned("bytes", coverage.bytes());
  json->Unsigned("submodules", coverage.submodules());
  WriteSkips(SumSkips(coverage), accepted, json);
  json->EndObject();
}

}  // namespace

absl::Status WriteManifest(const ReportInput& input, const ReportTotals& totals,
                           const PassTotals& pass, OutputFile* file) {
  std::string text;
  JsonWriter json(JsonWriter::Style::kIndented, &text);
  json.BeginObject();
  json.Signed("schema", kReportSchema);
  json.String("tool", "unsprawl");
  json.String("version", input.run.version);
  json.String("ruleset", input.ruleset->id());
  json.Unsigned("rules", input.ruleset->rules().size());
  json.Decimal("min_confidence", input.min_confidence, 3);
  json.Bool("complete", totals.complete);
  json.Bool("sandboxed", input.sandboxed);
  json.String("sandbox_note", input.sandbox_note);
  json.BeginArray("accepted");
  for (v1::SkipReason reason : input.accepted) json.StringElement(Name(reason));
  json.EndArray();
  WriteTotals(SumCoverage(input), input.accepted, &json);
  WriteResults(totals, pass, &json);
  json.BeginArray("repositories");
  for (const RepositoryOutcome& repository : input.repositories) {
    WriteRepository(repository, input.accepted, &json);
    file->Append(text);
    text.clear();
  }
  json.EndArray();
  json.EndObject();
  file->Append(text);
  file->Append("\n");
  return file->status();
}

absl::Status WriteRun(const RunFacts& run, OutputFile* file) {
  std::string text;
  JsonWriter json(JsonWriter::Style::kIndented, &text);
  json.BeginObject();
  json.Signed("schema", kReportSchema);
  json.Unsigned("run", run.run_id);
  json.String("version", run.version);
  json.Bytes("command", run.command);
  json.String("started", FormatUtcMicros(run.started_us));
  json.String("finished", FormatUtcMicros(run.finished_us));
  json.Decimal("seconds", static_cast<double>(run.finished_us - run.started_us) / 1e6, 6);
  json.BeginObject("phases");
  for (const auto& [phase, seconds] : run.seconds) json.Decimal(phase, seconds, 6);
  json.EndObject();
  json.Unsigned("repositories_unchanged", run.repositories_unchanged);
  json.Unsigned("blobs_scanned", run.blobs_scanned);
  json.Unsigned("blobs_known", run.blobs_known);
  json.Unsigned("bytes_resolved", run.bytes_resolved);
  json.Unsigned("bytes_scanned", run.bytes_scanned);
  json.Unsigned("scanner_deaths", run.scanner_deaths);
  json.EndObject();
  text.push_back('\n');
  file->Append(text);
  return file->status();
}

}  // namespace unsprawl
