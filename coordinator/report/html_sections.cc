// Coverage, cards, types and repositories of report.html.
#include "coordinator/report/html_sections.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_format.h"
#include "coordinator/report/summary.h"

namespace unsprawl {
namespace {

constexpr size_t kProblemRows = 200;
constexpr size_t kTypeRows = 300;
constexpr size_t kRepositoryRows = 500;
constexpr size_t kNameColumns = 120;

constexpr Severity kFromWorst[] = {Severity::kCritical, Severity::kHigh, Severity::kMedium,
                                   Severity::kLow};

void Fact(std::string_view name, std::string_view value, HtmlWriter* html) {
  html->Raw("<div><dt>").Text(name).Raw("</dt><dd>").Text(value).Raw("</dd></div>");
}

void WriteCoverageFacts(const ReportInput& input, const CoverageSum& coverage, HtmlWriter* html) {
  html->Raw("<dl class=\"facts\">");
  Fact("Repositories", WithThousands(coverage.repositories), html);
  Fact("Refs", WithThousands(coverage.refs), html);
  Fact("Commits", WithThousands(coverage.commits), html);
  Fact("Blobs",
       absl::StrFormat("%s of %s", WithThousands(coverage.blobs_scanned),
                       WithThousands(coverage.blobs)),
       html);
  Fact("Content", HumanBytes(coverage.bytes), html);
  Fact("Rules", WithThousands(input.ruleset->rules().size()), html);
  html->Raw("</dl>");
}

void WriteSkips(const ReportInput& input, const CoverageSum& coverage, HtmlWriter* html) {
  if (coverage.skips.empty() && input.sandboxed) return;
  html->Raw("<ul class=\"plain\">");
  for (const auto& [reason, sum] : coverage.skips) {
    html->Raw("<li>Not scanned: ").Text(Sentence(reason, sum.count)).Raw(" <span class=\"soft\">(");
    html->Text(Name(KindOf(reason)));
    if (input.accepted.contains(reason)) html->Raw(", accepted by policy");
    html->Raw(")</span></li>");
  }
  if (!input.sandboxed) {
    html->Raw("<li>Parsing and matching did not run in a sandbox: ").Short(input.sandbox_note, 300);
    html->Raw("</li>");
  }
  html->Raw("</ul>");
}

void WriteProblems(const ReportInput& input, HtmlWriter* html) {
  html->Raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Repositories not ")
      .Raw("scanned whole\"><table><thead><tr><th scope=\"col\">Repository</th>")
      .Raw("<th scope=\"col\">Status</th><th scope=\"col\">Reason</th></tr></thead><tbody>");
  size_t rows = 0, all = 0;
  for (const RepositoryOutcome& repository : input.repositories) {
    if (IsWhole(repository.status) || (++all, rows == kProblemRows)) continue;
    ++rows;
    html->Raw("<tr><td><code>").Short(repository.name, kNameColumns);
    html->Raw("</code></td><td>").Text(Name(repository.status));
    html->Raw("</td><td><span class=\"name\">").Short(repository.reason, 300);
    html->Raw("</span></td></tr>\n");
  }
  html->Raw("</tbody></table></div>");
  if (all > rows) {
    html->Raw("<p class=\"soft\">… and ").Number(all - rows).Raw(" more in manifest.json.</p>");
  }
}

void Card(std::string_view label, std::string_view value, std::string_view note, bool date,
          HtmlWriter* html) {
  html->Raw("<li class=\"panel\"><span class=\"label\">").Text(label).Raw("</span>");
  if (date) {
    html->Raw("<span class=\"value date\">");
  } else {
    html->Raw("<span class=\"value\">");
  }
  html->Text(value).Raw("</span><span class=\"soft\">").Short(note, 90).Raw("</span></li>\n");
}

// Thousandths of `part` in `whole` as "12.3": width in a viewBox 100 wide.
std::string Percent(uint64_t part, uint64_t whole) {
  const uint64_t tenths = whole == 0 ? 0 : (part * 1000 + whole / 2) / whole;
  return absl::StrFormat("%d.%d", tenths / 10, tenths % 10);
}

void WriteLevels(const Overview& overview, HtmlWriter* html) {
  const uint64_t all = overview.all().incidents;
  if (all == 0) return;
  html->Raw("<div class=\"panel levels\"><svg viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" ")
      .Raw("aria-hidden=\"true\">");
  uint64_t before = 0;
  for (Severity severity : kFromWorst) {
    const uint64_t count = overview.by_severity(severity);
    html->Raw("<rect class=\"").Text(Name(severity)).Raw("\" x=\"").Text(Percent(before, all));
    html->Raw("\" width=\"").Text(Percent(count, all)).Raw("\" height=\"4\"/>");
    before += count;
  }
  html->Raw("</svg><ul>");
  for (Severity severity : kFromWorst) {
    html->Raw("<li class=\"").Text(Name(severity)).Raw("\"><span class=\"dot\"></span>");
    html->Number(overview.by_severity(severity)).Raw(" ").Text(Name(severity)).Raw("</li>");
  }
  html->Raw("</ul></div>\n");
}

void CountCells(const Tally& tally, HtmlWriter* html) {
  for (uint64_t count : {tally.incidents, tally.open, tally.in_head, tally.places}) {
    html->Raw("<td class=\"n\" data-v=\"").Digits(count).Raw("\">").Number(count).Raw("</td>");
  }
}

void WorstCell(const Tally& tally, HtmlWriter* html) {
  html->Raw("<td data-v=\"").Digits(static_cast<uint64_t>(tally.worst_tenths)).Raw("\">");
  WriteBadge(SeverityOfScore(tally.worst_tenths), html);
  html->Raw("</td>");
}

template <typename Key>
uint64_t MostIncidents(const std::vector<Ranked<Key>>& ranked) {
  uint64_t most = 0;
  for (const Ranked<Key>& entry : ranked) most = std::max(most, entry.tally->incidents);
  return most;
}

void RowsLeftOut(size_t rows, size_t limit, HtmlWriter* html) {
  if (rows <= limit) return;
  html->Raw("<p class=\"soft\">… and ").Number(rows - limit);
  html->Raw(" more; incidents.jsonl has all.</p>");
}

}  // namespace

void WriteBadge(Severity severity, HtmlWriter* html) {
  html->Raw("<span class=\"badge ").Text(Name(severity)).Raw("\">").Text(Name(severity));
  html->Raw("</span>");
}

void WriteBar(uint64_t part, uint64_t whole, HtmlWriter* html) {
  if (whole == 0) return;
  html->Raw("<svg viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\">")
      .Raw("<rect class=\"track\" width=\"100\" height=\"4\"/><rect class=\"fill\" height=\"4\" width=\"")
      .Text(Percent(part, whole))
      .Raw("\"/></svg>");
}

std::string_view Describe(v1::Presence presence) {
  switch (presence) {
    case v1::PRESENCE_HEAD: return "in HEAD";
    case v1::PRESENCE_BRANCH: return "on a branch or tag";
    case v1::PRESENCE_HISTORY: return "removed, in history";
    default: return "in no ref’s history";
  }
}

void WriteCoverageSection(const ReportInput& input, const CoverageSum& coverage, HtmlWriter* html) {
  if (coverage.complete) {
    html->Raw("<section id=\"coverage\" class=\"panel banner\"><h2 class=\"good\">Coverage: complete")
        .Raw("</h2><p>Every blob of every history was scanned, or is listed here.</p>");
    WriteCoverageFacts(input, coverage, html);
    WriteSkips(input, coverage, html);
    html->Raw("</section>\n");
    return;
  }
  uint64_t partial = 0;
  for (const RepositoryOutcome& repository : input.repositories) {
    partial += !IsWhole(repository.status);
  }
  html->Raw("<section id=\"coverage\" class=\"panel banner partial\"><div class=\"head\">")
      .Raw("<h2>Incomplete coverage</h2><p>").Number(partial).Raw(" of ");
  html->Text(Counted(coverage.repositories, "repository", "repositories"))
      .Raw(" could not be scanned whole. What was not scanned may hold secrets: ")
      .Raw("partial is not clean.</p></div><div class=\"body\">");
  WriteProblems(input, html);
  WriteCoverageFacts(input, coverage, html);
  WriteSkips(input, coverage, html);
  html->Raw("</div></section>\n");
}

void WriteCardsSection(const ReportInput& input, const CoverageSum& coverage, const PassTotals& pass,
                       const Overview& overview, HtmlWriter* html) {
  const Tally& all = overview.all();
  html->Raw("<section aria-label=\"Key figures\"><ul class=\"cards\">");
  Card("Open secrets", WithThousands(all.open), "in a file at some branch or tag", false, html);
  Card("In HEAD", WithThousands(all.in_head), "on a default branch now", false, html);
  Card("Removed", WithThousands(all.incidents - all.open), "from all tips; not thereby revoked", false,
       html);
  Card("Repositories", WithThousands(overview.repositories().size()),
       absl::StrFormat("of %s hold a secret", WithThousands(coverage.repositories)), false, html);
  Card("Places", WithThousands(all.places), "introductions of a secret", false, html);
  if (overview.oldest_open()) {
    Card("Oldest open", FormatDay(overview.oldest_open()->author_time),
         "in " + overview.oldest_open()->repository, true, html);
  } else {
    Card("Oldest open", "none", "no open secret with a date", true, html);
  }
  html->Raw("</ul>\n");
  WriteLevels(overview, html);
  if (pass.low_confidence > 0) {
    html->Raw("<p class=\"soft\">").Number(pass.low_confidence);
    html->Raw(" more below the minimum confidence are left out; <code>--min-confidence 0</code> shows ")
        .Raw("them.</p>");
  }
  for (const std::string& note : IgnoreNotes(input, pass, overview)) {
    html->Raw("<p class=\"soft\">").Text(note).Raw("</p>");
  }
  html->Raw("</section>\n");
}

void WriteTypesSection(const Overview& overview, HtmlWriter* html) {
  const std::vector<Ranked<Rule>> types = RankTypes(overview);
  html->Raw("<section id=\"types\"><h2>Types</h2>");
  if (types.empty()) {
    html->Raw("<p class=\"soft\">Nothing found.</p></section>\n");
    return;
  }
  html->Raw("<p class=\"soft\">What kinds of credentials they are.</p><div class=\"panel scroll\" ")
      .Raw("tabindex=\"0\" role=\"region\" aria-label=\"Types\"><table class=\"sortable\"><thead><tr>")
      .Raw("<th scope=\"col\" data-sort=\"text\">Type</th>")
      .Raw("<th scope=\"col\" data-sort=\"text\">Provider</th>")
      .Raw("<th scope=\"col\" data-sort=\"number\">Worst</th>")
      .Raw("<th scope=\"col\" class=\"n\" data-sort=\"number\">Secrets</th>")
      .Raw("<th scope=\"col\" class=\"n\" data-sort=\"number\">Open</th>")
      .Raw("<th scope=\"col\" class=\"n\" data-sort=\"number\">In HEAD</th>")
      .Raw("<th scope=\"col\" class=\"n\" data-sort=\"number\">Places</th>")
      .Raw("<th scope=\"col\">Compared</th></tr></thead><tbody>\n");
  const uint64_t most = MostIncidents(types);
  for (size_t i = 0; i < std::min(types.size(), kTypeRows); ++i) {
    const Rule& rule = *types[i].key;
    html->Raw("<tr><td>").Short(Title(rule), kNameColumns);
    html->Raw("<br><code class=\"soft\">").Short(rule.id, kNameColumns).Raw("</code></td><td>");
    html->Short(rule.provider, kNameColumns).Raw("</td>");
    WorstCell(*types[i].tally, html);
    CountCells(*types[i].tally, html);
    html->Raw("<td class=\"bar\">");
    WriteBar(types[i].tally->incidents, most, html);
    html->Raw("</td></tr>\n");
  }
  html->Raw("</tbody></table></div>");
  RowsLeftOut(types.size(), kTypeRows, html);
  html->Raw("</section>\n");
}

void WriteRepositoriesSection(const CoverageSum& coverage, const Overview& overview,
                              HtmlWriter* html) {
  const std::vector<Ranked<RepositoryOutcome>> repositories = RankRepositories(overview);
  html->Raw("<section id=\"repositories\"><h2>Repositories</h2><p class=\"soft\">")
      .Text(Counted(repositories.size(), "repository holds", "repositories hold"))
      .Raw(" secrets, ");
  html->Number(coverage.repositories - repositories.size()).Raw(" showed none.</p>");
  if (repositories.empty()) {
    html->Raw("</section>\n");
    return;
  }
  html->Raw("<div class=\"panel scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Repositories\">")
      .Raw("<table class=\"sortable\"><thead><tr>")
      .Raw("<th scope=\"col\" data-sort=\"text\">Repository</th>")
      .Raw("<th scope=\"col\" data-sort=\"text\">Coverage</th>")
      .Raw("<th scope=\"col\" data-sort=\"number\">Worst</th>")
      .Raw("<th scope=\"col\" class=\"n\" data-sort=\"number\">Secrets</th>")
      .Raw("<th scope=\"col\" class=\"n\" data-sort=\"number\">Open</th>")
      .Raw("<th scope=\"col\" class=\"n\" data-sort=\"number\">In HEAD</th>")
      .Raw("<th scope=\"col\" class=\"n\" data-sort=\"number\">Places</th>")
      .Raw("<th scope=\"col\" class=\"n\" data-sort=\"number\">Commits</th>")
      .Raw("<th scope=\"col\">Compared</th></tr></thead><tbody>\n");
  const uint64_t most = MostIncidents(repositories);
  for (size_t i = 0; i < std::min(repositories.size(), kRepositoryRows); ++i) {
    const RepositoryOutcome& repository = *repositories[i].key;
    html->Raw("<tr><td><code>").Short(repository.name, kNameColumns).Raw("</code></td><td>");
    html->Text(Name(repository.status)).Raw("</td>");
    WorstCell(*repositories[i].tally, html);
    CountCells(*repositories[i].tally, html);
    html->Raw("<td class=\"n\" data-v=\"").Digits(repository.coverage.commits()).Raw("\">");
    html->Number(repository.coverage.commits()).Raw("</td><td class=\"bar\">");
    WriteBar(repositories[i].tally->incidents, most, html);
    html->Raw("</td></tr>\n");
  }
  html->Raw("</tbody></table></div>");
  RowsLeftOut(repositories.size(), kRepositoryRows, html);
  html->Raw("</section>\n");
}

}  // namespace unsprawl
