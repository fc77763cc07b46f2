#include "engine/match/inner.h"

#include <algorithm>
#include <tuple>

#include "engine/base/status.h"

namespace unsprawl {
namespace {

// Of what is decoded around a match: it shows the name that a value is assigned to, and what ends it.
constexpr uint64_t kBefore = 512;
constexpr uint64_t kBehind = 64;

std::string_view Part(std::string_view text, uint64_t start, uint64_t end) {
  start = std::min<uint64_t>(start, text.size());
  return text.substr(start, std::max(end, start) - start);
}

}  // namespace

RawMatch Lift(const RawMatch& match, const EmbeddedText& at, const EncodedPlaces& places) {
  const bool embedded = match.inner.embedding != Embedding::kNone;  // what is around it was kept below
  const uint64_t begin = match.start - (embedded ? 0 : std::min(match.start, kBefore));
  const uint64_t end = std::min<uint64_t>(match.end + (embedded ? 0 : kBehind), at.decoded.size());
  const EncodedPlaces::Part part = places.Around(begin, end);
  const EncodedRange secret = places.From(match.secret_start, match.secret_end);
  RawMatch lifted = {.rule = match.rule,
                     .start = at.start + part.begin,
                     .end = at.start + part.end,
                     .secret_start = at.start + secret.begin,
                     .secret_end = at.start + secret.end,
                     .inner = match.inner};
  const auto count = [&part](uint64_t offset) { return static_cast<uint32_t>(offset - part.decoded_begin); };
  RawMatch::Inner& inner = lifted.inner;
  inner.embedding = at.embedding;
  if (embedded) {
    std::copy_backward(inner.deeper.begin(), inner.deeper.end() - 1, inner.deeper.end());
    inner.deeper.front() = {.embedding = match.inner.embedding, .start = count(match.start), .end = count(match.end)};
  } else {
    inner.start = count(match.start), inner.end = count(match.end);
    inner.secret_start = count(match.secret_start), inner.secret_end = count(match.secret_end);
  }
  return lifted;
}

std::string InnermostText(std::string_view content, const RawMatch& match) {
  if (match.inner.embedding == Embedding::kNone) return "";
  std::string text = DecodeEmbedded(Part(content, match.start, match.end), match.inner.embedding);
  for (const RawMatch::Inner::Step& step : match.inner.deeper) {
    if (step.embedding == Embedding::kNone) break;
    text = DecodeEmbedded(Part(text, step.start, step.end), step.embedding);
  }
  CHECK(match.inner.secret_end <= text.size() && match.inner.end <= text.size());
  return text;
}

SecretPlaces::SecretPlaces(std::span<const RawMatch> matches) {
  for (const RawMatch& match : matches) places_.push_back({match.rule, match.secret_start, match.secret_end});
  std::sort(places_.begin(), places_.end(),
            [](const Place& a, const Place& b) { return std::tie(a.rule, a.start) < std::tie(b.rule, b.start); });
  for (size_t i = 1; i < places_.size(); ++i) {
    if (places_[i].rule == places_[i - 1].rule) places_[i].end = std::max(places_[i].end, places_[i - 1].end);
  }
}

bool SecretPlaces::Meets(const RawMatch& match) const {
  // The last one of the rule that begins before the secret ends.
  const auto after = std::partition_point(places_.begin(), places_.end(), [&match](const Place& place) {
    return place.rule < match.rule || (place.rule == match.rule && place.start < match.secret_end);
  });
  if (after == places_.begin()) return false;
  const Place& last = *(after - 1);
  return last.rule == match.rule && last.end > match.secret_start;
}

}  // namespace unsprawl
