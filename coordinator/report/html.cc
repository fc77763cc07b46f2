#include "coordinator/report/html.h"

#include "coordinator/report/html_assets.h"
#include "coordinator/report/html_sections.h"
#include "coordinator/report/html_writer.h"
#include "coordinator/report/summary.h"

namespace unsprawl {
namespace {

void WriteHead(OutputFile* file, HtmlWriter* html) {
  html->Raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
      .Raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '")
      .Text(CspHash(kReportStyle))
      .Raw("'; script-src '")
      .Text(CspHash(kReportScript))
      .Raw("'; base-uri 'none'; form-action 'none'\">\n")
      .Raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
      .Raw("<meta name=\"referrer\" content=\"no-referrer\">\n")
      .Raw("<title>Secret sprawl report</title>\n<style>");
  file->Append(kReportStyle);
  html->Raw("</style>\n</head>\n");
}

void WriteHeader(HtmlWriter* html) {
  html->Raw("<body>\n<a class=\"skip\" href=\"#incidents\">Skip to the incidents</a>\n<header>")
      .Raw("<h1>Secret sprawl</h1><span class=\"soft\">what leaked, where it lies, since when</span>")
      .Raw("<nav aria-label=\"Sections\"><a href=\"#coverage\">Coverage</a>")
      .Raw("<a href=\"#changes\">Changes</a>")
      .Raw("<a href=\"#types\">Types</a><a href=\"#repositories\">Repositories</a>")
      .Raw("<a href=\"#incidents\">Incidents</a></nav></header>\n<main>\n");
}

void WriteFooter(const ReportInput& input, HtmlWriter* html) {
  html->Raw("</main>\n<footer><p>A secret is shown by the keyed hash of its value; no part of a value ")
      .Raw("but a provider’s public prefix is in this report. <strong>Removed is not revoked</strong>: ")
      .Raw("history, clones and forks keep what was removed.</p><p>unsprawl ")
      .Text(input.run.version)
      .Raw(", ruleset <code>")
      .Text(input.ruleset->id())
      .Raw("</code>, ")
      .Text(Counted(input.ruleset->rules().size(), "rule", "rules"))
      .Raw(". Every row: occurrences.jsonl; every secret: incidents.jsonl; coverage: manifest.json.")
      .Raw("</p></footer>\n");
}

}  // namespace

absl::Status WriteHtml(const ReportInput& input, const CoverageSum& coverage,
                       const PassTotals& pass, const Overview& overview,
                       const ChangeSummary& changes, const ChangedIncidents& changed,
                       OutputFile* file) {
  HtmlWriter html(file);
  WriteHead(file, &html);
  WriteHeader(&html);
  WriteCoverageSection(input, coverage, &html);
  WriteCardsSection(input, coverage, pass, overview, &html);
  WriteChangesSection(changes, changed, overview, &html);
  WriteTypesSection(overview, &html);
  WriteRepositoriesSection(coverage, overview, &html);
  WriteIncidentsSection(overview, &html);
  WriteFooter(input, &html);
  html.Raw("<script>");
  file->Append(kReportScript);
  html.Raw("</script>\n</body>\n</html>\n");
  return file->status();
}

}  // namespace unsprawl
