// The incidents of report.html, each with its places.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "coordinator/report/html_sections.h"
#include "coordinator/report/summary.h"
#include "engine/base/escape.h"

namespace unsprawl {
namespace {

constexpr size_t kPathColumns = 160;
constexpr size_t kNameColumns = 80;

std::string Where(const ShownPlace& place) {
  if (place.path.empty()) return "in no tree";
  return absl::StrFormat("%s:%d", ShortenMiddle(EscapeForTerminal(place.path), kPathColumns),
                         place.line);
}

// Sorting keys of the script: position by severity, age, spread.
void OpeningTag(const ShownIncident& shown, size_t rank, HtmlWriter* html) {
  const Incident& incident = shown.incident;
  const int64_t since = incident.first ? incident.first->committer_time : INT64_MAX / 1024;
  html->Raw("<details class=\"incident panel\" id=\"i-").Text(incident.ShortId());
  html->Raw("\" data-severity=\"").Text(Name(incident.severity));
  html->Raw("\" data-presence=\"").Text(Name(incident.presence));
  html->Raw("\" data-rank=\"").Digits(rank);
  html->Raw("\" data-since=\"").Text(std::to_string(since));
  html->Raw("\" data-newest=\"").Text(incident.first ? std::to_string(since) : "-1");
  html->Raw("\" data-places=\"").Digits(incident.occurrences);
  html->Raw("\" data-repositories=\"").Digits(incident.repositories).Raw("\">");
}

void PresenceChip(v1::Presence presence, HtmlWriter* html) {
  if (presence == v1::PRESENCE_HEAD) {
    html->Raw("<span class=\"chip now\">");
  } else {
    html->Raw("<span class=\"chip\">");
  }
  html->Text(Describe(presence)).Raw("</span>");
}

bool IsNews(const IncidentChange& change) {
  return (change.change == Change::kNew || change.change == Change::kReopened) && !change.backlog();
}

void WriteSummaryLine(const ShownIncident& shown, HtmlWriter* html) {
  const Incident& incident = shown.incident;
  html->Raw("<summary><span>");
  WriteBadge(incident.severity, html);
  html->Raw("</span><span class=\"what\">").Short(Title(*incident.rule), kNameColumns);
  if (!incident.preview.empty()) html->Raw(" <code>").Text(incident.preview).Raw("</code>");
  html->Raw("</span><span class=\"when\">");
  if (IsNews(incident.change)) {
    html->Raw("<span class=\"chip change\">").Text(Name(incident.change.change)).Raw("</span> ");
  }
  PresenceChip(incident.presence, html);
  html->Raw("</span><span class=\"where\">");
  if (!shown.places.empty()) {
    html->Raw("<span class=\"name\">").Short(shown.places[0].repository->name, kNameColumns);
    html->Raw("</span> <code>").Text(Where(shown.places[0])).Raw("</code>");
  }
  html->Raw("</span><span class=\"when\">");
  if (incident.first) html->Raw("since ").Text(FormatDay(incident.first->author_time)).Raw(" · ");
  html->Text(Counted(incident.occurrences, "place", "places"));
  if (incident.repositories > 1) {
    html->Raw(", ").Text(Counted(incident.repositories, "repository", "repositories"));
  }
  html->Raw("</span></summary>\n");
}

void Fact(std::string_view name, std::string_view value, HtmlWriter* html) {
  html->Raw("<div><dt>").Text(name).Raw("</dt><dd>").Short(value, 2 * kPathColumns);
  html->Raw("</dd></div>");
}

std::string PointText(const CommitPoint& point) {
  return absl::StrFormat("%s by %s in %s, commit %s", FormatDay(point.author_time),
                         ShortenMiddle(EscapeForTerminal(point.author_name), kNameColumns),
                         ShortenMiddle(EscapeForTerminal(point.repository), kNameColumns),
                         ToHex(point.commit).substr(0, 12));
}

std::string ScoreText(const Incident& incident) {
  const SeverityFactors& factors = incident.factors;
  std::string text = absl::StrFormat(
      "%d.%d = %d (%s) × %.1f (%s) × %.1f (%s) × %.1f (assurance: %s) + %d (spread)",
      incident.score_tenths / 10, incident.score_tenths % 10, factors.ImpactPoints(),
      Name(factors.impact), factors.ExposureHundredths() / 100.0, Name(factors.exposure),
      factors.PresenceHundredths() / 100.0, Name(factors.presence),
      factors.AssuranceHundredths() / 100.0, Name(factors.assurance), factors.SpreadPoints());
  return factors.structurally_dead ? text + ", at most 10: structurally dead" : text;
}

std::string FirstReported(const IncidentChange& change) {
  std::string_view why = "";
  switch (change.first_cause) {
    case Cause::kNewCommit: why = ", leaked since the run before"; break;
    case Cause::kNewRule: why = ", by a rule that was new then"; break;
    case Cause::kScope: why = ", where no run had looked before"; break;
    case Cause::kUnknown: break;
  }
  return absl::StrFormat("%s%s%s", FormatDay(change.first_seen), why, change.backlog() ? " (backlog)" : "");
}

std::string IgnoredText(const Incident& incident) {
  return absl::StrFormat("%s of %s, reported all the same (%s)", WithThousands(incident.suppressed_places),
                         Counted(incident.occurrences, "place", "places"), EscapeForTerminal(Describe(*incident.ignored)));
}

void WriteFacts(const Incident& incident, HtmlWriter* html) {
  html->Raw("<dl class=\"facts\">");
  if (!incident.rule->description.empty()) Fact("What", incident.rule->description, html);
  Fact("Rule", absl::StrFormat("%s (%s)", incident.rule->id, incident.rule->provider), html);
  Fact("State", incident.open() ? "open" : "removed from all tips, not thereby revoked", html);
  Fact("First reported", FirstReported(incident.change), html);
  Fact("Confidence", absl::StrFormat("%.2f", incident.confidence), html);
  if (!incident.doubt.empty()) Fact("Doubt", incident.doubt, html);
  Fact("Severity", ScoreText(incident), html);
  if (incident.first) Fact("First introduced", PointText(*incident.first), html);
  if (incident.last_removal) Fact("Last removed", PointText(*incident.last_removal), html);
  Fact("Spread",
       absl::StrFormat("%s, %s, %s, %s",
                       Counted(incident.introductions, "introduction", "introductions"),
                       Counted(incident.locations, "location", "locations"),
                       Counted(incident.repositories, "repository", "repositories"),
                       Counted(incident.authors, "author", "authors")),
       html);
  if (incident.ignored) Fact("To be ignored", IgnoredText(incident), html);
  Fact("Id", incident.Id(), html);
  html->Raw("</dl>");
}

void WritePlace(const ShownPlace& place, HtmlWriter* html) {
  html->Raw("<tr><td><span class=\"name\">").Short(place.repository->name, kNameColumns);
  html->Raw("</span></td><td><code>").Text(Where(place)).Raw("</code>");
  if (!place.moved_to.empty()) {
    html->Raw("<br><span class=\"soft\">moved to <code>").Short(place.moved_to, kPathColumns);
    html->Raw("</code></span>");
  }
  if (place.ignored) {
    html->Raw("<br><span class=\"soft\">to be ignored: ").Short(Describe(*place.ignored), kPathColumns).Raw("</span>");
  }
  html->Raw("</td><td>");
  PresenceChip(place.presence, html);
  html->Raw("</td><td class=\"mono\">");
  if (!place.commit.empty()) html->Text(ToHex(place.commit).substr(0, 12));
  html->Raw("</td><td class=\"n\">");
  if (!place.commit.empty()) html->Text(FormatDay(place.time));
  html->Raw("</td><td><span class=\"name\">").Short(place.author, kNameColumns);
  html->Raw("</span></td><td class=\"n\">");
  if (place.removed) html->Text(FormatDay(*place.removed));
  html->Raw("</td></tr>\n");
}

void WritePlaces(const ShownIncident& shown, HtmlWriter* html) {
  html->Raw("<h3>Places</h3><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Places ")
      .Raw("of ").Text(shown.incident.ShortId()).Raw("\"><table><thead><tr>")
      .Raw("<th scope=\"col\">Repository</th><th scope=\"col\">Path and line</th>")
      .Raw("<th scope=\"col\">Now</th><th scope=\"col\">Commit</th><th scope=\"col\">Date</th>")
      .Raw("<th scope=\"col\">Author</th><th scope=\"col\">Removed</th></tr></thead><tbody>\n");
  for (const ShownPlace& place : shown.places) WritePlace(place, html);
  html->Raw("</tbody></table></div>");
  const uint64_t left = shown.incident.occurrences - shown.places.size();
  if (left > 0) {
    html->Raw("<p class=\"soft\">… and ").Number(left);
    html->Raw(" more: the rows of occurrences.jsonl with this id.</p>");
  }
}

void WriteTools(HtmlWriter* html) {
  html->Raw("<form id=\"incident-tools\" class=\"tools\" role=\"search\" hidden>")
      .Raw("<label>Filter<input name=\"text\" type=\"search\" placeholder=\"repository, path, author, type …\" ")
      .Raw("autocomplete=\"off\"></label>")
      .Raw("<label>Severity<select name=\"severity\"><option value=\"\">all</option><option>critical")
      .Raw("</option><option>high</option><option>medium</option><option>low</option></select></label>")
      .Raw("<label>Presence<select name=\"presence\"><option value=\"\">all</option>")
      .Raw("<option value=\"head\">in HEAD</option><option value=\"branch\">on a branch or tag</option>")
      .Raw("<option value=\"history\">removed, in history</option>")
      .Raw("<option value=\"unreachable\">in no ref’s history</option></select></label>")
      .Raw("<label>Order<select name=\"order\"><option value=\"rank\">gravest first</option>")
      .Raw("<option value=\"since\">oldest first</option><option value=\"newest\">newest first</option>")
      .Raw("<option value=\"places\">most places</option>")
      .Raw("<option value=\"repositories\">most repositories</option></select></label>")
      .Raw("<output aria-live=\"polite\"></output></form>\n");
}

}  // namespace

void WriteIncidentsSection(const Overview& overview, HtmlWriter* html) {
  const std::vector<const ShownIncident*> gravest = overview.Gravest();
  html->Raw("<section id=\"incidents\"><h2>Incidents</h2>");
  if (gravest.empty()) {
    html->Raw("<p class=\"soft\">No secret was found in what was scanned.</p></section>\n");
    return;
  }
  html->Raw("<p class=\"soft\">One per secret, however many places it lies in.");
  if (overview.all().incidents > gravest.size()) {
    html->Raw(" The gravest ").Number(gravest.size()).Raw(" of ");
    html->Number(overview.all().incidents).Raw("; the rest is in incidents.jsonl.");
  }
  html->Raw("</p>\n");
  WriteTools(html);
  html->Raw("<div id=\"incident-list\">\n");
  for (size_t i = 0; i < gravest.size(); ++i) {
    OpeningTag(*gravest[i], i, html);
    WriteSummaryLine(*gravest[i], html);
    html->Raw("<div class=\"detail\">");
    WriteFacts(gravest[i]->incident, html);
    WritePlaces(*gravest[i], html);
    html->Raw("</div></details>\n");
  }
  html->Raw("</div></section>\n");
}

}  // namespace unsprawl
