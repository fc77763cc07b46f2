// "What changed since the last run" of report.html.
#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_format.h"
#include "coordinator/report/html_sections.h"
#include "coordinator/report/summary.h"

namespace unsprawl {
namespace {

constexpr size_t kDropRows = 100;
constexpr size_t kPathColumns = 100;
constexpr size_t kNameColumns = 60;

constexpr ChangeKind kKinds[] = {ChangeKind::kNew,       ChangeKind::kReopened,
                                 ChangeKind::kRemoved,   ChangeKind::kNewByRule,
                                 ChangeKind::kNewByScope, ChangeKind::kReopenedBacklog};

std::string_view Describe(ChangeKind kind) {
  switch (kind) {
    case ChangeKind::kNew: return "new";
    case ChangeKind::kReopened: return "reopened";
    case ChangeKind::kRemoved: return "removed";
    case ChangeKind::kNewByRule: return "backlog: new rule";
    case ChangeKind::kNewByScope: return "backlog: not looked at before";
    case ChangeKind::kReopenedBacklog: return "backlog: open in a new place";
  }
  return "";
}

void Card(std::string_view label, uint64_t value, std::string_view note, HtmlWriter* html) {
  html->Raw("<li class=\"panel\"><span class=\"label\">").Text(label);
  html->Raw("</span><span class=\"value\">").Number(value);
  html->Raw("</span><span class=\"soft\">").Text(note).Raw("</span></li>\n");
}

void WriteCards(const ChangeSummary& changes, HtmlWriter* html) {
  html->Raw("<ul class=\"cards\">");
  Card("New", changes.new_by_commit, "leaked since then", html);
  Card("Reopened", changes.reopened, "were removed, and are back", html);
  Card("Removed", changes.removed, "from all tips; not thereby revoked", html);
  Card("Backlog",
       changes.new_by_rule + changes.new_by_scope + changes.reopened_backlog,
       absl::StrFormat("%s by new rules, %s not looked at before", WithThousands(changes.new_by_rule),
                       WithThousands(changes.new_by_scope + changes.reopened_backlog)),
       html);
  Card("Coverage dropped", changes.dropped.size(), "repositories covered whole before, and not now", html);
  html->Raw("</ul>\n");
}

void WriteDrops(const ChangeSummary& changes, HtmlWriter* html) {
  if (changes.dropped.empty()) return;
  html->Raw("<h3>Coverage dropped</h3><ul class=\"plain\">");
  const size_t shown = std::min(changes.dropped.size(), kDropRows);
  for (size_t i = 0; i < shown; ++i) {
    const ChangeSummary::Drop& drop = changes.dropped[i];
    html->Raw("<li><code>").Short(drop.name, kPathColumns).Raw("</code> ").Text(Name(drop.status));
    if (!drop.reason.empty()) html->Raw(": <span class=\"name\">").Short(drop.reason, 300).Raw("</span>");
    html->Raw("</li>");
  }
  html->Raw("</ul>");
  if (changes.dropped.size() > shown) {
    html->Raw("<p class=\"soft\">… and ").Number(changes.dropped.size() - shown).Raw(" more.</p>");
  }
}

void WriteRow(ChangeKind kind, const ChangedIncident& incident, bool linked, HtmlWriter* html) {
  html->Raw("<tr><td><span class=\"chip\">").Text(Describe(kind)).Raw("</span></td><td>");
  if (!incident.gone) WriteBadge(incident.severity, html);
  html->Raw("</td><td>");
  html->Short(incident.rule == nullptr ? "of a type not known any more" : Title(*incident.rule), kNameColumns);
  if (!incident.preview.empty()) html->Raw(" <code>").Text(incident.preview).Raw("</code>");
  html->Raw("</td><td>");
  if (incident.gone) html->Raw("<span class=\"soft\">stored in no repository any more</span>");
  html->Raw("<span class=\"name\">").Short(incident.repository, kNameColumns).Raw("</span>");
  if (!incident.path.empty()) html->Raw(" <code>").Short(incident.path, kPathColumns).Raw("</code>");
  html->Raw("</td><td class=\"n\">");
  if (incident.dated) html->Text(FormatDay(incident.time));
  html->Raw("</td><td><span class=\"name\">").Short(incident.author, kNameColumns);
  html->Raw("</span></td><td class=\"mono\">");
  if (linked) html->Raw("<a href=\"#i-").Text(incident.ShortId()).Raw("\">");
  html->Text(incident.ShortId());
  if (linked) html->Raw("</a>");
  html->Raw("</td></tr>\n");
}

void WriteIncidents(const ChangeSummary& changes, const ChangedIncidents& changed,
                    const Overview& overview, HtmlWriter* html) {
  uint64_t all = 0, rows = 0;
  for (const ChangeKind kind : kKinds) all += CountOf(changes, kind);
  if (all == 0) return;
  absl::flat_hash_set<std::string> on_page;
  for (const ShownIncident* shown : overview.Gravest()) on_page.insert(shown->incident.secret);
  html->Raw("<div class=\"panel scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Incidents that ")
      .Raw("changed\"><table><thead><tr><th scope=\"col\">Change</th><th scope=\"col\">Severity</th>")
      .Raw("<th scope=\"col\">What</th><th scope=\"col\">Where</th><th scope=\"col\">Introduced</th>")
      .Raw("<th scope=\"col\">Author</th><th scope=\"col\">Incident</th></tr></thead><tbody>\n");
  for (const ChangeKind kind : kKinds) {
    for (const ChangedIncident* incident : changed.Of(kind)) {
      WriteRow(kind, *incident, on_page.contains(incident->secret), html);
      ++rows;
    }
  }
  html->Raw("</tbody></table></div>");
  if (all > rows) {
    html->Raw("<p class=\"soft\">… and ").Number(all - rows);
    html->Raw(" more: the rows of incidents.jsonl whose change is not “none”.</p>");
  }
}

}  // namespace

void WriteChangesSection(const ChangeSummary& changes, const ChangedIncidents& changed,
                         const Overview& overview, HtmlWriter* html) {
  html->Raw("<section id=\"changes\"><h2>What changed since the last run</h2><p class=\"soft\">");
  if (changes.first_run) {
    html->Raw("This is the first finished run of this store. What it found is backlog; the next run is ")
        .Raw("compared with it.</p></section>\n");
    return;
  }
  html->Raw("Compared with the run of ").Text(FormatDay(changes.since));
  html->Raw(". What came with a new rule or a new repository is backlog: found now, not leaked now.");
  if (changes.out_of_scope > 0) {
    html->Raw(" Not asked for this time: ")
        .Text(Counted(changes.out_of_scope, "repository", "repositories"))
        .Raw(" of that run.");
  }
  html->Raw("</p>\n");
  WriteCards(changes, html);
  WriteDrops(changes, html);
  WriteIncidents(changes, changed, overview, html);
  html->Raw("</section>\n");
}

}  // namespace unsprawl
