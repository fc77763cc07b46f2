// summary.txt: what a person wants to read when a scan ends. Plain text, at most 100 columns.
#pragma once

#include <string>
#include <vector>

#include "coordinator/report/changed_incidents.h"
#include "coordinator/report/coverage.h"
#include "coordinator/report/overview.h"
#include "coordinator/report/report.h"

namespace unsprawl {

std::string Summary(const ReportInput& input, const CoverageSum& coverage, const PassTotals& pass,
                    const Overview& overview, const ChangeSummary& changes,
                    const ChangedIncidents& changed);

// Sentences on places that somebody wants left out, for a person; none where nobody does. At most 100 columns each.
std::vector<std::string> IgnoreNotes(const ReportInput& input, const PassTotals& pass, const Overview& overview);

// "1 repository", "3 repositories": `number` with thousands, and the word that fits it.
std::string Counted(uint64_t number, std::string_view one, std::string_view many);

// "3 objects named in history but not stored here": the skips of one reason, for a person.
std::string Sentence(v1::SkipReason reason, uint64_t count);

// A rule's name for people: its description up to the first colon, semicolon or full stop, without the
// article ("GitHub personal access token (classic)"); its id when it has none.
std::string Title(const Rule& rule);

}  // namespace unsprawl
