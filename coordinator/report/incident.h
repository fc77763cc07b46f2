// What the report says of one secret, and of one place where it lies. Definitions: docs/design.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/report/severity.h"
#include "coordinator/report/suppression.h"
#include "engine/base/object_id.h"
#include "engine/match/ruleset.h"
#include "store/ledger.h"
#include "unsprawl/v1/types.pb.h"

namespace unsprawl {

struct RepositoryOutcome;

// One occurrence that is reported. Everything is borrowed for the call that hands it over.
struct Place {
  const RepositoryOutcome& repository;
  const v1::Occurrence& occurrence;
  const Rule& rule;             // whose match it is; the incident's rule may be a more specific one
  double confidence = 0;        // 0 to 1, at the most telling of its paths
  std::string_view doubt;       // what lowered the confidence; static text, empty when nothing
  Assurance assurance = Assurance::kNone;
  std::optional<Suppression> suppressed = {};  // its repository wants it left out
};

// A moment in a repository's history: who did something, when, in which commit.
struct CommitPoint {
  std::string repository;       // raw bytes
  std::string commit;           // 20 raw bytes
  int64_t author_time = 0;      // seconds since the epoch
  int64_t committer_time = 0;
  std::string author_name, author_email;  // raw bytes
};

// Against what the last finished run noted.
enum class Change : uint8_t { kNone, kNew, kReopened, kRemoved };

std::string_view Name(Change change);  // "none", "new", "reopened", "removed"
std::string_view Name(Cause cause);    // "unknown", "new_commit", "new_rule", "scope"

struct IncidentChange {
  Change change = Change::kNone;
  Cause first_cause = Cause::kUnknown;  // what made it be reported at all
  Cause cause = Cause::kUnknown;        // … or, when it was reopened, what reopened it last
  int64_t first_seen = 0;  // start of the first finished run that reported it, seconds since the epoch
  int64_t opened = 0;      // start of the run that found it open, and every run since did; 0: it is not open

  // It came with a new rule or a new repository: no news, and nobody's fault of today.
  bool backlog() const { return cause == Cause::kNewRule || cause == Cause::kScope; }
  // From when the time counts that it may stay open; 0: not yet, as with backlog before its triage.
  int64_t sla_start() const { return backlog() ? 0 : opened; }
};

// What in a repository says that a place is to be left out, copied.
struct IgnoredBy {
  SuppressedBy by;
  std::string author;           // raw bytes, of the commit that introduced it; empty when that is not known …
  std::string commit;           // … as is this; 20 raw bytes
};

// One secret with all of its reported places.
struct Incident {
  struct Path {
    std::string repository, path;  // raw bytes
  };
  static constexpr size_t kMaxPaths = 20;

  std::string secret;           // 16 raw bytes
  const Rule* rule = nullptr;   // the most specific rule that names it
  std::string preview;          // the provider's public prefix, or empty
  double confidence = 0;        // the highest of its places
  std::string_view doubt;       // of the place with the highest confidence
  SeverityFactors factors;      // of the place that weighs most
  int score_tenths = 0;
  Severity severity = Severity::kLow;
  v1::Presence presence = v1::PRESENCE_UNREACHABLE;  // the most exposed of its places

  uint64_t repositories = 0;
  uint64_t occurrences = 0;     // rows of occurrences.jsonl
  uint64_t introductions = 0;   // distinct (repository, commit, path)
  uint64_t locations = 0;       // distinct (repository, path)
  uint64_t authors = 0;         // distinct lower-cased mail addresses of introducing commits
  std::optional<CommitPoint> first;         // introduction with the earliest committer date
  std::optional<CommitPoint> last_removal;  // the latest, if any
  uint64_t suppressed_places = 0;  // of `occurrences`, those that their repositories want left out
  std::optional<IgnoredBy> ignored;  // … the first of them
  std::vector<Path> paths;      // the first kMaxPaths locations, in the order of the pass
  IncidentChange change;

  std::string Id() const { return ToHex(secret); }                                    // 32 digits
  std::string ShortId() const { return ToHex(std::string_view(secret).substr(0, 6)); }  // 12 digits
  // In a file at some tip. Removed from all of them is not revoked: the value may still work.
  bool open() const { return presence == v1::PRESENCE_HEAD || presence == v1::PRESENCE_BRANCH; }
};

// Of a place that is reported.
std::optional<IgnoredBy> IgnoredByOf(const Place& place);
// ".gitleaksignore, by Ann Lee"; the name as it is in `ignored`.
std::string Describe(const IgnoredBy& ignored);

// "ghp_…", or empty. A rule of class C shows nothing.
std::string ShownPreview(const Rule& rule, std::string_view stored_preview);

}  // namespace unsprawl
