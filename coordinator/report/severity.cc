#include "coordinator/report/severity.h"

#include <algorithm>

namespace unsprawl {
namespace {

bool HasTag(const Rule& rule, std::string_view tag) {
  return std::find(rule.tags.begin(), rule.tags.end(), tag) != rule.tags.end();
}

bool Mentions(const std::string& text, std::string_view word) {
  return text.find(word) != std::string::npos;
}

}  // namespace

Impact ImpactOf(const Rule& rule) {
  if (HasTag(rule, "private-key") || Mentions(rule.id, "private-key")) return Impact::kPrivateKey;
  const bool generic = rule.rule_class == RuleClass::kGeneric || rule.provider == "generic";
  if (generic && (HasTag(rule, "database-uri") || rule.category == "database")) {
    return Impact::kDatabaseUri;
  }
  if (generic) return Impact::kGeneric;
  return rule.severity == Severity::kCritical ? Impact::kHighProvider : Impact::kProvider;
}

std::string_view Name(Impact impact) {
  switch (impact) {
    case Impact::kGeneric: return "generic";
    case Impact::kDatabaseUri: return "database-uri";
    case Impact::kProvider: return "provider";
    case Impact::kPrivateKey: return "private-key";
    case Impact::kHighProvider: return "high-impact-provider";
  }
  return "generic";
}

std::string_view Name(Assurance assurance) {
  switch (assurance) {
    case Assurance::kNone: return "none";
    case Assurance::kVerified: return "verified";
    case Assurance::kDoubtful: return "doubtful";
  }
  return "none";
}

std::string_view Name(Exposure exposure) {
  switch (exposure) {
    case Exposure::kPrivate: return "private";
    case Exposure::kInternal: return "internal";
    case Exposure::kPublic: return "public";
  }
  return "private";
}

int SeverityFactors::ImpactPoints() const {
  switch (impact) {
    case Impact::kGeneric: return 15;
    case Impact::kDatabaseUri: return 30;
    case Impact::kProvider: return 30;
    case Impact::kPrivateKey: return 35;
    case Impact::kHighProvider: return 40;
  }
  return 15;
}

int SeverityFactors::ExposureHundredths() const {
  return exposure == Exposure::kPublic ? 150 : exposure == Exposure::kInternal ? 110 : 100;
}

int SeverityFactors::PresenceHundredths() const {
  switch (presence) {
    case v1::PRESENCE_HEAD: return 100;
    case v1::PRESENCE_BRANCH: return 90;
    case v1::PRESENCE_HISTORY: return 70;
    default: return 50;
  }
}

int SeverityFactors::AssuranceHundredths() const {
  return assurance == Assurance::kVerified ? 110 : assurance == Assurance::kDoubtful ? 30 : 100;
}

int SeverityFactors::SpreadPoints() const {
  return repositories < 1 ? 0 : static_cast<int>(std::min<uint64_t>(repositories - 1, 10));
}

int PlaceWeight(v1::Presence presence, Assurance assurance) {
  SeverityFactors factors;
  factors.presence = presence;
  factors.assurance = assurance;
  return factors.PresenceHundredths() * factors.AssuranceHundredths();
}

int ScoreTenths(const SeverityFactors& factors) {
  const int64_t millionths = int64_t{factors.ImpactPoints()} * factors.ExposureHundredths() *
                             factors.PresenceHundredths() * factors.AssuranceHundredths();
  const int64_t tenths = (millionths + 50'000) / 100'000 + 10 * factors.SpreadPoints();
  return static_cast<int>(std::min<int64_t>(tenths, factors.structurally_dead ? 100 : 1000));
}

Severity SeverityOfScore(int tenths) {
  if (tenths >= 550) return Severity::kCritical;
  if (tenths >= 350) return Severity::kHigh;
  return tenths >= 200 ? Severity::kMedium : Severity::kLow;
}

std::string_view Name(Severity severity) {
  switch (severity) {
    case Severity::kLow: return "low";
    case Severity::kMedium: return "medium";
    case Severity::kHigh: return "high";
    case Severity::kCritical: return "critical";
  }
  return "low";
}

std::string_view Name(v1::Presence presence) {
  switch (presence) {
    case v1::PRESENCE_HEAD: return "head";
    case v1::PRESENCE_BRANCH: return "branch";
    case v1::PRESENCE_HISTORY: return "history";
    default: return "unreachable";
  }
}

std::string_view Name(RuleClass rule_class) {
  switch (rule_class) {
    case RuleClass::kDistinctive: return "A";
    case RuleClass::kKeyword: return "B";
    case RuleClass::kGeneric: return "C";
  }
  return "C";
}

}  // namespace unsprawl
