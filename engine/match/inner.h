// Matches in texts that stand encoded: from what is decoded to where it comes from, and back.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/match/detector.h"
#include "engine/match/embedded.h"

namespace unsprawl {

// `match`, found in what is decoded from `text` at `at`, as a match in that text. `places` are those of the encoded text.
RawMatch Lift(const RawMatch& match, const EmbeddedText& at, const EncodedPlaces& places);

// What the offsets of match.inner count in. Empty where `match` was not found in an encoded text.
std::string InnermostText(std::string_view content, const RawMatch& match);

// Where rules found secrets.
class SecretPlaces {
 public:
  explicit SecretPlaces(std::span<const RawMatch> matches);
  // Whether the match's rule found a secret that shares a byte with the match's. Logarithmic.
  bool Meets(const RawMatch& match) const;

 private:
  struct Place {
    uint32_t rule;
    uint64_t start;
    uint64_t end;  // the greatest of this rule's up to this one
  };
  std::vector<Place> places_;  // by rule and start
};

}  // namespace unsprawl
