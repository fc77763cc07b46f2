// incidents.jsonl and occurrences.jsonl: the canonical data of a report, one object a line.
// Schemas: docs/schema/incident.json and docs/schema/occurrence.json.
#pragma once

#include <memory>
#include <string>

#include "coordinator/report/incident_pass.h"
#include "coordinator/report/report_folder.h"

namespace unsprawl {

// The version of every row and document; raised when a member changes its meaning or goes away.
inline constexpr int kReportSchema = 1;

// Writes an incident's rows when it ends. Until then its places are kept as text, in memory up to
// kSpoolBytes and in a temporary file beyond, since a row begins with what is only known at the end.
class JsonlExport : public IncidentSink {
 public:
  static constexpr size_t kSpoolBytes = 4 << 20;

  // Files are borrowed; `spool` is unnamed.
  JsonlExport(OutputFile* incidents, OutputFile* occurrences, std::unique_ptr<OutputFile> spool)
      : incidents_(incidents), occurrences_(occurrences), spool_(std::move(spool)) {}

  absl::Status Add(const Place& place) override;
  absl::Status End(const Incident& incident) override;
  void Drop() override;

 private:
  absl::Status Spill();
  // Writes `tails`, lines without their first half, each after `head`. A line may be split over calls.
  void WriteTails(std::string_view head, std::string_view tails);

  OutputFile* const incidents_;
  OutputFile* const occurrences_;
  const std::unique_ptr<OutputFile> spool_;
  bool spilled_ = false;
  bool line_started_ = false;
  std::string pending_;  // the second halves of rows, each with its newline
  std::string row_;
};

}  // namespace unsprawl
