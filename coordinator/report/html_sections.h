// The sections of report.html, in its order. Each appends to `html`.
#pragma once

#include "coordinator/report/changed_incidents.h"
#include "coordinator/report/coverage.h"
#include "coordinator/report/html_writer.h"
#include "coordinator/report/overview.h"

namespace unsprawl {

void WriteCoverageSection(const ReportInput& input, const CoverageSum& coverage, HtmlWriter* html);
void WriteCardsSection(const ReportInput& input, const CoverageSum& coverage, const PassTotals& pass,
                       const Overview& overview, HtmlWriter* html);
void WriteChangesSection(const ChangeSummary& changes, const ChangedIncidents& changed,
                         const Overview& overview, HtmlWriter* html);
void WriteTypesSection(const Overview& overview, HtmlWriter* html);
void WriteRepositoriesSection(const CoverageSum& coverage, const Overview& overview,
                              HtmlWriter* html);
void WriteIncidentsSection(const Overview& overview, HtmlWriter* html);

// A badge with the severity's name and colour.
void WriteBadge(Severity severity, HtmlWriter* html);
// A bar that is `part` of `whole` long, for the eye only; nothing when whole is 0.
void WriteBar(uint64_t part, uint64_t whole, HtmlWriter* html);
// "in HEAD", "on a branch or tag", "removed, in history", "in no ref's history".
std::string_view Describe(v1::Presence presence);

}  // namespace unsprawl
