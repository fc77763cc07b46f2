#include "coordinator/report/summary.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "coordinator/report/operator_ignores.h"
#include "engine/base/escape.h"

namespace unsprawl {
namespace {

constexpr size_t kColumns = 100;
constexpr size_t kIncidents = 10;
constexpr size_t kTypes = 8;
constexpr size_t kChanges = 5;  // of a kind
constexpr size_t kProblems = 10;

// One line of at most kColumns columns. `text` is safe already.
void Line(std::string_view text, std::string* out) {
  *out += ShortenEnd(text, kColumns);
  out->push_back('\n');
}

std::string Safe(std::string_view bytes, size_t columns) {
  return ShortenMiddle(EscapeForTerminal(bytes), columns);
}

std::string SeverityCounts(const Overview& overview) {
  return absl::StrFormat("%s critical, %s high, %s medium, %s low",
                         WithThousands(overview.by_severity(Severity::kCritical)),
                         WithThousands(overview.by_severity(Severity::kHigh)),
                         WithThousands(overview.by_severity(Severity::kMedium)),
                         WithThousands(overview.by_severity(Severity::kLow)));
}

void Headline(const CoverageSum& coverage, const Overview& overview, std::string* out) {
  const Tally& all = overview.all();
  if (all.incidents == 0) {
    Line(coverage.complete ? "No secrets found." : "No secrets found in what could be scanned.", out);
    return;
  }
  Line(absl::StrFormat("%s: %s", Counted(all.incidents, "secret", "secrets"),
                       SeverityCounts(overview)), out);
  Line(absl::StrFormat("  %s open (%s in HEAD, %s on other branches or tags), %s removed from all tips",
                       WithThousands(all.open),
                       WithThousands(overview.by_presence(v1::PRESENCE_HEAD)),
                       WithThousands(overview.by_presence(v1::PRESENCE_BRANCH)),
                       WithThousands(all.incidents - all.open)), out);
  Line(absl::StrFormat("  in %s of %s, %s",
                       WithThousands(overview.repositories().size()),
                       Counted(coverage.repositories, "repository", "repositories"),
                       Counted(all.places, "place", "places")), out);
  if (overview.oldest_open()) {
    const CommitPoint& oldest = *overview.oldest_open();
    Line(absl::StrFormat("  oldest open one since %s, in %s", FormatDay(oldest.author_time),
                         Safe(oldest.repository, 50)), out);
  }
}

void Problems(const ReportInput& input, std::string* out) {
  size_t shown = 0, all = 0;
  for (const RepositoryOutcome& repository : input.repositories) {
    if (IsWhole(repository.status)) continue;
    ++all;
    if (shown == kProblems) continue;
    ++shown;
    const std::string name = Safe(repository.name, 36);
    Line(absl::StrFormat("  %-11s %s  %s", std::string(Name(repository.status)), name,
                         EscapeForTerminal(repository.reason)), out);
  }
  if (all > shown) {
    Line(absl::StrFormat("  … and %s more; manifest.json lists all",
                         WithThousands(all - shown)), out);
  }
}

void Coverage(const ReportInput& input, const CoverageSum& sum, std::string* out) {
  const std::string counts = absl::StrFormat(
      "%s, %s, %s, %s, %s", Counted(sum.repositories, "repository", "repositories"),
      Counted(sum.refs, "ref", "refs"), Counted(sum.commits, "commit", "commits"),
      Counted(sum.blobs_scanned, "blob", "blobs"), HumanBytes(sum.bytes));
  if (sum.complete) {
    Line(absl::StrFormat("Coverage: complete. %s", counts), out);
  } else {
    uint64_t whole = sum.Count(RepositoryOutcome::Status::kOk) +
                     sum.Count(RepositoryOutcome::Status::kEmpty) +
                     sum.Count(RepositoryOutcome::Status::kGone);
    Line(absl::StrFormat("INCOMPLETE COVERAGE: %s of %s could not be scanned whole.",
                         WithThousands(sum.repositories - whole),
                         Counted(sum.repositories, "repository", "repositories")), out);
    Line("  What was not scanned may hold secrets: partial is not clean.", out);
    Problems(input, out);
    Line(absl::StrFormat("  Scanned: %s", counts), out);
  }
  for (const auto& [reason, skips] : sum.skips) {
    Line(absl::StrFormat("  Not scanned: %s (%s%s)", Sentence(reason, skips.count),
                         Name(KindOf(reason)), input.accepted.contains(reason) ? ", accepted" : ""),
         out);
  }
  if (!input.sandboxed) {
    Line(absl::StrFormat("  Not sandboxed: %s", EscapeForTerminal(input.sandbox_note)), out);
  }
}

void ChangesOfKind(ChangeKind kind, std::string_view word, const ChangeSummary& changes,
                   const ChangedIncidents& changed, std::string* out) {
  const std::vector<const ChangedIncident*> all = changed.Of(kind);
  const size_t shown = std::min(all.size(), kChanges);
  for (size_t i = 0; i < shown; ++i) {
    const ChangedIncident& incident = *all[i];
    const std::string title = incident.rule == nullptr ? "of a type not known any more" : Title(*incident.rule);
    std::string where = incident.gone ? "stored nowhere any more" : Safe(incident.repository, 20);
    if (!incident.path.empty()) where += ":" + Safe(incident.path, 26);
    Line(absl::StrFormat("  %-9s %s  [%s]  %s", word, Safe(title, 32), incident.ShortId(), where), out);
  }
  if (const uint64_t count = CountOf(changes, kind); count > shown) {
    Line(absl::StrFormat("  … and %s more %s", WithThousands(count - shown), word), out);
  }
}

void CoverageDrops(const ChangeSummary& changes, std::string* out) {
  const size_t shown = std::min(changes.dropped.size(), kChanges);
  for (size_t i = 0; i < shown; ++i) {
    const ChangeSummary::Drop& drop = changes.dropped[i];
    Line(absl::StrFormat("  COVERAGE DROPPED: %s was covered whole before, now %s", Safe(drop.name, 40),
                         Name(drop.status)), out);
  }
  if (changes.dropped.size() > shown) {
    Line(absl::StrFormat("  … and of %s more", WithThousands(changes.dropped.size() - shown)), out);
  }
}

// One line that starts with "Changes", then lines that are indented.
void Changes(const ChangeSummary& changes, const ChangedIncidents& changed, std::string* out) {
  if (changes.first_run) {
    Line("Changes: this is the first finished run of this store. What it found is backlog.", out);
    return;
  }
  Line(absl::StrFormat("Changes since the run of %s: %s new, %s reopened, %s removed", FormatDay(changes.since),
                       WithThousands(changes.new_by_commit), WithThousands(changes.reopened),
                       WithThousands(changes.removed)), out);
  ChangesOfKind(ChangeKind::kNew, "new", changes, changed, out);
  ChangesOfKind(ChangeKind::kReopened, "reopened", changes, changed, out);
  ChangesOfKind(ChangeKind::kRemoved, "removed", changes, changed, out);
  if (changes.new_by_rule + changes.new_by_scope + changes.reopened_backlog > 0) {
    Line(absl::StrFormat("  Backlog, not news: %s by new rules, %s where no run had looked before",
                         WithThousands(changes.new_by_rule),
                         WithThousands(changes.new_by_scope + changes.reopened_backlog)), out);
  }
  CoverageDrops(changes, out);
  if (changes.out_of_scope > 0) {
    Line(absl::StrFormat("  Not asked for this time: %s of that run",
                         Counted(changes.out_of_scope, "repository", "repositories")), out);
  }
}

std::string Where(const ShownPlace& place, size_t columns) {
  if (place.path.empty()) return Safe(place.repository->name, columns);
  // The line is that of the introducing commit's file; where the file moved since, it is not known.
  const bool moved = !place.moved_to.empty();
  const std::string line = moved ? "" : absl::StrFormat(":%d", place.line);
  const size_t rest = columns - line.size() - 1;
  const std::string repository = Safe(place.repository->name, rest / 2);
  const std::string path = Safe(moved ? place.moved_to : place.path, rest - DisplayColumns(repository));
  return absl::StrFormat("%s:%s%s", repository, path, line);
}

std::string Spread(const Incident& incident) {
  if (incident.occurrences == 1) return "";
  if (incident.repositories == 1) {
    return absl::StrFormat(", %s places", WithThousands(incident.occurrences));
  }
  return absl::StrFormat(", %s places in %s repositories", WithThousands(incident.occurrences),
                         WithThousands(incident.repositories));
}

std::string Life(const Incident& incident) {
  std::string text(incident.presence == v1::PRESENCE_HEAD     ? "in HEAD"
                   : incident.presence == v1::PRESENCE_BRANCH ? "on a branch or tag"
                   : incident.presence == v1::PRESENCE_HISTORY ? "removed, still in history"
                                                               : "in no ref's history");
  if (!incident.first) return text;
  text += absl::StrFormat(", since %s by %s", FormatDay(incident.first->author_time),
                          Safe(incident.first->author_name, 24));
  return text;
}

void Incidents(const Overview& overview, std::string* out) {
  const std::vector<const ShownIncident*> gravest = overview.Gravest();
  if (gravest.empty()) return;
  out->push_back('\n');
  Line(gravest.size() > 1 ? "The gravest:" : "It is:", out);
  for (size_t i = 0; i < std::min(kIncidents, gravest.size()); ++i) {
    const Incident& incident = gravest[i]->incident;
    const std::string preview =
        incident.preview.empty() ? "" : "  " + EscapeForTerminal(incident.preview);
    Line(absl::StrFormat("%3d. %-8s %s%s  [%s]", i + 1, std::string(Name(incident.severity)),
                         Safe(Title(*incident.rule), 54), preview, incident.ShortId()), out);
    if (!gravest[i]->places.empty()) {
      Line(absl::StrFormat("     %s", Where(gravest[i]->places.front(), kColumns - 5)), out);
    }
    Line(absl::StrFormat("     %s%s", Life(incident), Spread(incident)), out);
  }
}

void Types(const Overview& overview, std::string* out) {
  const std::vector<Ranked<Rule>> types = RankTypes(overview);
  if (types.size() < 2) return;
  out->push_back('\n');
  Line("Types:", out);
  for (size_t i = 0; i < std::min(kTypes, types.size()); ++i) {
    const Tally& tally = *types[i].tally;
    Line(absl::StrFormat("  %-40s %s, %s in HEAD", Safe(types[i].key->id, 40),
                         Counted(tally.incidents, "secret", "secrets"),
                         WithThousands(tally.in_head)), out);
  }
  if (types.size() > kTypes) {
    Line(absl::StrFormat("  … and %s more types", WithThousands(types.size() - kTypes)), out);
  }
}

void Next(const PassTotals& pass, const Overview& overview, std::string* out) {
  out->push_back('\n');
  if (pass.low_confidence > 0) {
    Line(absl::StrFormat("%s of low confidence left out; --min-confidence 0 shows them.",
                         Counted(pass.low_confidence, "more", "more")), out);
  }
  if (overview.all().incidents > 0) {
    Line("What to do: revoke or rotate a secret first, then remove it. Removing is not revoking:", out);
    Line("history, clones and forks keep it.", out);
  }
  Line("Read report.html in a browser; a row per place is in occurrences.jsonl, one per secret in", out);
  Line("incidents.jsonl, and what was covered in manifest.json.", out);
}

}  // namespace

std::vector<std::string> IgnoreNotes(const ReportInput& input, const PassTotals& pass, const Overview& overview) {
  const auto hidden = [&](SuppressedBy by) { return pass.hidden[static_cast<size_t>(by)]; };
  std::vector<std::string> notes;
  if (const uint64_t places = overview.suppressed_places(); places > 0) {
    notes.push_back(absl::StrFormat("%s an ignore inside %s repository; reported all the same (--trust-repo-ignores hides)",
                                    Counted(places, "place carries", "places carry"), places == 1 ? "its" : "their"));
  }
  if (const uint64_t places = hidden(SuppressedBy::kInline) + hidden(SuppressedBy::kIgnoreFile); places > 0) {
    notes.push_back(absl::StrFormat("%s hidden by ignores inside repositories (--trust-repo-ignores)",
                                    Counted(places, "place", "places")));
  }
  const uint64_t ignored = hidden(SuppressedBy::kOperatorIgnore), known = hidden(SuppressedBy::kBaseline);
  if (ignored + known > 0) {
    notes.push_back(absl::StrFormat("%s hidden by --ignore-file, %s by --baseline-path", Counted(ignored, "place", "places"),
                                    WithThousands(known)));
  }
  if (const uint64_t unknown = input.ignores == nullptr ? 0 : input.ignores->unknown_rules(); unknown > 0) {
    notes.push_back(absl::StrFormat("Warning: %s no rule of this ruleset",
                                    Counted(unknown, "entry of --ignore-file names", "entries of --ignore-file name")));
  }
  return notes;
}

std::string Counted(uint64_t number, std::string_view one, std::string_view many) {
  return absl::StrFormat("%s %s", WithThousands(number), number == 1 ? one : many);
}

std::string Sentence(v1::SkipReason reason, uint64_t count) {
  if (reason == v1::SKIP_REASON_BROKEN_FILE || reason == v1::SKIP_REASON_SUBMODULE) {
    return absl::StrFormat("%s %s", WithThousands(count), Explain(reason));
  }
  if (reason == v1::SKIP_REASON_ARCHIVE || reason == v1::SKIP_REASON_ARCHIVE_PART) {
    return absl::StrFormat("%s %s", Counted(count, "archive or document", "archives or documents"), Explain(reason));
  }
  return absl::StrFormat("%s %s", Counted(count, "object", "objects"), Explain(reason));
}

std::string Title(const Rule& rule) {
  std::string_view text = rule.description;
  for (size_t end = text.find_first_of(":;."); end != std::string_view::npos;
       end = text.find_first_of(":;.", end + 1)) {
    if (end + 1 < text.size() && text[end + 1] != ' ') continue;  // inside a word: "fly.io"
    text = text.substr(0, end);
    break;
  }
  for (std::string_view article : {"A ", "An ", "The "}) {
    if (text.starts_with(article)) {
      text.remove_prefix(article.size());
      break;
    }
  }
  if (text.empty()) return rule.id;
  std::string title(text);
  if (title[0] >= 'a' && title[0] <= 'z') title[0] = static_cast<char>(title[0] - 'a' + 'A');
  return title;
}

std::string Summary(const ReportInput& input, const CoverageSum& coverage, const PassTotals& pass,
                    const Overview& overview, const ChangeSummary& changes,
                    const ChangedIncidents& changed) {
  std::string out;
  Headline(coverage, overview, &out);
  Coverage(input, coverage, &out);
  for (const std::string& note : IgnoreNotes(input, pass, overview)) Line(note, &out);
  Changes(changes, changed, &out);
  Incidents(overview, &out);
  Types(overview, &out);
  Next(pass, overview, &out);
  return out;
}

}  // namespace unsprawl
