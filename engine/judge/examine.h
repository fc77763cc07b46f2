// From a confirmed match to the features by which it is judged, later and without the value.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/secret.h"
#include "engine/judge/place.h"
#include "engine/match/detector.h"
#include "engine/match/ruleset.h"

namespace unsprawl {

// Bits of MatchFeatures::flags. Stored; numbers never change their meaning.
enum MatchFlag : uint32_t {
  kChecksumOk = 1 << 0,
  kChecksumBad = 1 << 1,
  kStructureOk = 1 << 2,
  kStructureBad = 1 << 3,
  kStructurallyDead = 1 << 4,   // expired, or of a retired kind
  kAllowlisted = 1 << 5,        // by a rule's or the global value-level allowlist or stopwords
  kPlaceholder = 1 << 6,        // "changeme", "xxxx", "<token>", "example", one repeated character …
  kReference = 1 << 7,          // names a variable instead of holding a value: ${VAR}, process.env.X …
  kKnownExample = 1 << 8,       // published in documentation as an example
  kDigestLike = 1 << 9,         // hash or UUID shape where the rule does not ask for one
  kWordLike = 1 << 10,          // dictionary word or identifier
  kOtherName = 1 << 14,         // the name it is given says that it is no credential: next_token, pw_hash
  kInlineAllowed = 1 << 15,     // one of its lines says "gitleaks:allow" or "unsprawl:allow"
  // Of keyword rules:
  kNothingAsked = 1 << 11,      // no word that asks for a credential stands with name or value
  kUndocumented = 1 << 12,      // its shape is not one that the provider documents
  kOtherLine = 1 << 13,         // the name stands in a line above the value
  // Bit 16 + i, i < 14: of the i-th allowlist that joins values with paths or commits by AND (the rule's own
  // first, then the global ones), the values hold: whether it applies is known when the place is.
  kPathAllowlist = 1 << 16,
  kRequiredMissing = 1 << 30,   // a rule that this one requires matched nothing near
  kPlainWord = 1U << 31,        // one word in small letters, given to what is named for a password
};

// Everything that is kept of a match besides its place. Holds no part of the value except `preview`.
struct MatchFeatures {
  SecretId secret;            // Fingerprint(key, normalised value)
  uint32_t flags = 0;         // MatchFlag
  float entropy = 0;          // bits per character
  std::string identifier;     // the name it is assigned to, if any; ASCII, at most 64 bytes
  std::string preview;        // the provider's public prefix ("ghp_"), or empty
  // 1-based, in bytes; of the secret. end_column is one past its last byte's column.
  uint32_t start_line = 0, start_column = 0, end_line = 0, end_column = 0;
};

// Computes the features of `matches`, which are all that `content` has, in the same order. Pure: depends on nothing
// but its arguments (dates of expiry are compared with `now`, seconds since the epoch). Thread-safe.
std::vector<MatchFeatures> Examine(const Ruleset& ruleset, std::span<const RawMatch> matches, std::string_view content,
                                   const SecretKey& key, int64_t now);

// The form of a value of this rule under which it is the same secret wherever it is written. Version 1
// of every type: the bytes as they are, except that a key block of several lines loses its line
// breaks, indentation and escapes, so that the same key in a file and in a JSON string is one secret.
// A change here is a new version of the store's ids: raise kEngineVersion in ruleset_builder.cc.
std::string NormaliseValue(const Rule& rule, std::string_view secret);

// Of a rule of paths alone: the identity of a blob (20 raw bytes) at such a path.
SecretId PathFingerprint(const SecretKey& key, std::string_view rule_id, std::string_view blob);

// The judgement of a stored match, once its path is known ("" when there is none).
struct Verdict {
  bool report = false;
  double confidence = 0;         // 0 to 1
  std::string_view reason;       // why not, or what lowered it; static text
};

// One thing that was taken into account, and the confidence after it. Static text.
struct JudgeStep {
  std::string_view what;
  double confidence;
};

// Where a match lies, as far as it is known.
struct Where {
  std::string_view path = {};    // "": not known
  std::string_view commit = {};  // that introduced it, 20 raw bytes; "": not known
};

// Pure; thread-safe. `flags` and `entropy` as stored. `overlapping`: keys of other rules that match there. A generic
// rule among them that a keyword rule beats lends it its confidence: who named the service does not make a
// password under a telling name less of one. *steps: everything that counted, in order.
Verdict Judge(const Ruleset& ruleset, const Rule& rule, uint32_t flags, float entropy,
              const Where& where, std::span<const uint64_t> overlapping = {},
              std::vector<JudgeStep>* steps = nullptr);

}  // namespace unsprawl
