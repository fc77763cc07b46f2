// How bad an incident is, 0 to 100, computed offline from factors that are all published.
// Definition: docs/design.md, "severity" (class × exposure × presence × confidence + spread).
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/match/ruleset.h"
#include "unsprawl/v1/types.pb.h"

namespace unsprawl {

// What kind of power a secret gives, by its rule.
enum class Impact : uint8_t { kGeneric, kDatabaseUri, kProvider, kPrivateKey, kHighProvider };

Impact ImpactOf(const Rule& rule);
std::string_view Name(Impact impact);  // "generic", "database-uri", "provider", …

// How well a match is known to be a real, live value.
enum class Assurance : uint8_t { kNone, kVerified, kDoubtful };

std::string_view Name(Assurance assurance);  // "none", "verified", "doubtful"

// Who can read the repository. Local targets count as private.
enum class Exposure : uint8_t { kPrivate, kInternal, kPublic };

std::string_view Name(Exposure exposure);

// Everything the score is made of. Multipliers are in hundredths, so that the arithmetic is exact.
struct SeverityFactors {
  Impact impact = Impact::kGeneric;
  Exposure exposure = Exposure::kPrivate;
  v1::Presence presence = v1::PRESENCE_HISTORY;
  Assurance assurance = Assurance::kNone;
  uint64_t repositories = 1;
  bool structurally_dead = false;  // expired, or of a retired service, wherever it was found

  int ImpactPoints() const;           // 15 to 40
  int ExposureHundredths() const;     // 100 to 150
  int PresenceHundredths() const;     // 50 to 100
  int AssuranceHundredths() const;    // 30, 100 or 110
  int SpreadPoints() const;           // 0 to 10
};

// Orders places of one secret: the one with the higher value decides its incident's score.
int PlaceWeight(v1::Presence presence, Assurance assurance);

// In tenths: 0 to 1,000.
int ScoreTenths(const SeverityFactors& factors);

// Critical from 55.0, high from 35.0, medium from 20.0, else low.
Severity SeverityOfScore(int tenths);

std::string_view Name(Severity severity);      // "critical"
std::string_view Name(v1::Presence presence);  // "head", "branch", "history", "unreachable"
std::string_view Name(RuleClass rule_class);   // "A", "B", "C"

}  // namespace unsprawl
