#include "coordinator/report/jsonl.h"

#include "coordinator/report/json_writer.h"
#include "coordinator/report/report.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr JsonWriter::Style kRow = JsonWriter::Style::kOneLine;

double Tenths(int value) { return value / 10.0; }
double Hundredths(int value) { return value / 100.0; }

void WriteRule(const Rule& rule, JsonWriter* json) {
  json->String("rule", rule.id);
  json->String("provider", rule.provider);
  json->String("category", rule.category);
  json->String("class", Name(rule.rule_class));
}

void WriteFactors(const SeverityFactors& factors, JsonWriter* json) {
  json->BeginObject("factors");
  json->String("impact", Name(factors.impact));
  json->Signed("impact_points", factors.ImpactPoints());
  json->String("exposure", Name(factors.exposure));
  json->Decimal("exposure_factor", Hundredths(factors.ExposureHundredths()), 2);
  json->String("presence", Name(factors.presence));
  json->Decimal("presence_factor", Hundredths(factors.PresenceHundredths()), 2);
  json->String("assurance", Name(factors.assurance));
  json->Decimal("assurance_factor", Hundredths(factors.AssuranceHundredths()), 2);
  json->Signed("spread_points", factors.SpreadPoints());
  json->Bool("structurally_dead", factors.structurally_dead);
  json->EndObject();
}

void WritePoint(std::string_view key, const std::optional<CommitPoint>& point, JsonWriter* json) {
  if (!point) return json->Null(key);
  json->BeginObject(key);
  json->Time("date", point->author_time);
  json->Time("committed", point->committer_time);
  json->String("commit", ToHex(point->commit));
  json->Bytes("repository", point->repository);
  json->Bytes("author", point->author_name);
  json->EndObject();
}

void WritePaths(const Incident& incident, JsonWriter* json) {
  json->BeginArray("paths");
  for (const Incident::Path& path : incident.paths) {
    json->BeginObject();
    json->Bytes("repository", path.repository);
    json->Bytes("path", path.path);
    json->EndObject();
  }
  json->EndArray();
  json->Unsigned("paths_omitted", incident.locations - incident.paths.size());
}

void WriteIncident(const Incident& incident, std::string* row) {
  JsonWriter json(kRow, row);
  json.BeginObject();
  json.Signed("schema", kReportSchema);
  json.String("id", incident.Id());
  json.String("short_id", incident.ShortId());
  WriteRule(*incident.rule, &json);
  json.String("description", incident.rule->description);
  json.String("severity", Name(incident.severity));
  json.Decimal("score", Tenths(incident.score_tenths), 1);
  WriteFactors(incident.factors, &json);
  json.Decimal("confidence", incident.confidence, 3);
  if (!incident.doubt.empty()) json.String("doubt", incident.doubt);
  json.String("preview", incident.preview);
  json.String("state", incident.open() ? "open" : "removed");
  json.String("presence", Name(incident.presence));
  json.Time("first_seen", incident.change.first_seen);
  json.String("first_seen_cause", Name(incident.change.first_cause));
  json.String("change", Name(incident.change.change));
  json.Bool("backlog", incident.change.backlog());
  const int64_t sla_start = incident.change.sla_start();
  sla_start == 0 ? json.Null("sla_start") : json.Time("sla_start", sla_start);
  json.Unsigned("repositories", incident.repositories);
  json.Unsigned("occurrences", incident.occurrences);
  json.Unsigned("introductions", incident.introductions);
  json.Unsigned("locations", incident.locations);
  json.Unsigned("authors", incident.authors);
  json.Unsigned("suppressed_places", incident.suppressed_places);
  WritePoint("first_introduced", incident.first, &json);
  WritePoint("last_removed", incident.last_removal, &json);
  WritePaths(incident, &json);
  json.EndObject();
  row->push_back('\n');
}

// The members of a row that are the same for all places of an incident, without the closing brace.
void WriteOccurrenceHead(const Incident& incident, std::string* row) {
  JsonWriter json(kRow, row);
  json.BeginObject();
  json.Signed("schema", kReportSchema);
  json.String("incident", incident.Id());
  WriteRule(*incident.rule, &json);
  json.String("severity", Name(incident.severity));
  json.Decimal("score", Tenths(incident.score_tenths), 1);
}

void WriteSpan(const Place& place, JsonWriter* json) {
  const v1::Match& match = place.occurrence.match();
  // The length of a secret that is not of a provider's fixed form stays private.
  const bool generic = place.rule.rule_class == RuleClass::kGeneric;
  json->Unsigned("start_line", match.start_line());
  json->Unsigned("start_column", match.start_column());
  json->Unsigned("end_line", match.end_line());
  json->Unsigned("end_column", generic ? match.start_column() : match.end_column());
}

void WriteCommit(const v1::Occurrence& occurrence, JsonWriter* json) {
  if (!occurrence.has_commit()) {
    json->Null("commit");
    json->Null("date");
    json->Null("committed");
    json->Null("author");
    json->Null("email");
    return;
  }
  const v1::Commit& commit = occurrence.commit();
  json->String("commit", ToHex(commit.id()));
  json->Time("date", commit.author_time());
  json->Time("committed", commit.committer_time());
  json->Bytes("author", commit.author_name());
  json->Bytes("email", commit.author_email());
}

void WriteLaterLife(const v1::Occurrence& occurrence, JsonWriter* json) {
  json->BeginArray("moved_to");
  for (int i = 1; i < occurrence.paths_size(); ++i) {
    json->BeginObject();
    json->Bytes("path", occurrence.paths(i));
    json->EndObject();
  }
  json->EndArray();
  json->BeginArray("removed_in");
  for (const v1::Commit& removal : occurrence.removals()) {
    json->BeginObject();
    json->String("commit", ToHex(removal.id()));
    json->Time("date", removal.author_time());
    json->EndObject();
  }
  json->EndArray();
}

void WriteSuppression(const Suppression& suppression, JsonWriter* json) {
  json->BeginObject("suppressed");
  json->String("by", Name(suppression.by));
  if (suppression.who == nullptr) {
    json->Null("author");
    json->Null("email");
    json->Null("commit");
  } else {
    json->Bytes("author", suppression.who->author_name());
    json->Bytes("email", suppression.who->author_email());
    json->String("commit", ToHex(suppression.who->id()));
  }
  json->EndObject();
}

// The rest of the row, to follow WriteOccurrenceHead's text.
void WriteOccurrenceTail(const Place& place, std::string* row) {
  const v1::Occurrence& occurrence = place.occurrence;
  const size_t start = row->size();
  JsonWriter json(kRow, row);
  json.BeginObject();
  json.String("matched_rule", place.rule.id);
  json.Decimal("confidence", place.confidence, 3);
  json.Bytes("repository", place.repository.name);
  if (occurrence.paths().empty()) {
    json.Null("path");
  } else {
    json.Bytes("path", occurrence.paths(0));
  }
  WriteSpan(place, &json);
  json.Unsigned("ordinal", occurrence.ordinal());
  WriteCommit(occurrence, &json);
  json.String("presence", Name(occurrence.presence()));
  WriteLaterLife(occurrence, &json);
  if (place.suppressed) WriteSuppression(*place.suppressed, &json);
  json.EndObject();
  (*row)[start] = ',';  // in place of the brace that the head has already opened
  row->push_back('\n');
}

}  // namespace

absl::Status JsonlExport::Add(const Place& place) {
  WriteOccurrenceTail(place, &pending_);
  return pending_.size() > kSpoolBytes ? Spill() : absl::OkStatus();
}

absl::Status JsonlExport::Spill() {
  spool_->Append(pending_);
  pending_.clear();
  spilled_ = true;
  return spool_->status();
}

void JsonlExport::WriteTails(std::string_view head, std::string_view tails) {
  while (!tails.empty()) {
    if (!line_started_) occurrences_->Append(head);
    const size_t newline = tails.find('\n');
    const size_t length = newline == std::string_view::npos ? tails.size() : newline + 1;
    occurrences_->Append(tails.substr(0, length));
    line_started_ = newline == std::string_view::npos;
    tails.remove_prefix(length);
  }
}

absl::Status JsonlExport::End(const Incident& incident) {
  row_.clear();
  WriteIncident(incident, &row_);
  incidents_->Append(row_);

  row_.clear();
  WriteOccurrenceHead(incident, &row_);
  if (spilled_) {
    RETURN_IF_ERROR(Spill());
    RETURN_IF_ERROR(spool_->Drain([&](std::string_view piece) { WriteTails(row_, piece); }));
    spilled_ = false;
  }
  WriteTails(row_, pending_);
  pending_.clear();
  RETURN_IF_ERROR(incidents_->status());
  return occurrences_->status();
}

void JsonlExport::Drop() {
  pending_.clear();
  // A spilled spool is emptied; its error, if any, shows at the next use.
  if (spilled_) spool_->Drain([](std::string_view) {}).IgnoreError();
  spilled_ = false;
}

}  // namespace unsprawl
