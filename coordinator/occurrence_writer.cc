#include "coordinator/occurrence_writer.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "worker/scan_shard.h"

namespace unsprawl {
namespace {

constexpr size_t kMaxIdentifiers = 10'000;
// A hostile one is a few megabytes.
constexpr size_t kHitsAtOnce = 64;

// Matches of the blobs of one locate shard, about.
constexpr uint64_t kMatchesOfShard = 1 << 18;

uint32_t ShardOf(std::string_view secret, uint32_t shards) {
  uint64_t start = 0;  // of a keyed hash: evenly spread
  std::memcpy(&start, secret.data(), std::min(secret.size(), sizeof(start)));
  return static_cast<uint32_t>(start % shards);
}

bool Overlap(const v1::Match& a, const v1::Match& b) {
  return a.offset() < b.offset() + b.length() && b.offset() < a.offset() + a.length();
}

struct BySecret {
  static const std::string& Of(const v1::Match* match) { return match->secret(); }
  static const std::string& Of(const std::string& secret) { return secret; }
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const { return Of(a) < Of(b); }
};

}  // namespace

absl::StatusOr<uint32_t> OccurrenceWriter::CountShards(std::span<const ObjectId> hits,
                                                       std::vector<v1::Skip>* skips) {
  uint64_t matches = 0;
  RETURN_IF_ERROR(ledger_.ReadHits(hits, [&](const v1::BlobHit& hit) {
    matches += static_cast<uint64_t>(hit.matches_size());
    if (hit.matches_size() <= kMaxMatchesOfBlob) return;
    v1::Skip& skip = skips->emplace_back();
    skip.set_reason(v1::SKIP_REASON_TRUNCATED);
    skip.set_object_id(hit.object_id());
    skip.set_object_bytes(hit.object_bytes());
    skip.set_detail(absl::StrFormat(
        "more than %d matches in one file; some of each type are reported", kMaxMatchesOfBlob));
  }));
  return static_cast<uint32_t>(matches / kMatchesOfShard + 1);
}

absl::Status OccurrenceWriter::Request(std::span<const ObjectId> hits, uint32_t number,
                                       uint32_t shards, v1::LocateShard* shard) {
  targets_.clear();
  secrets_.clear();
  absl::flat_hash_map<std::string, uint32_t> numbers;
  return ledger_.ReadHits(hits, [&](const v1::BlobHit& hit) {
    std::set<uint32_t> secrets;
    for (const v1::Match& match : hit.matches()) {
      if (ShardOf(match.secret(), shards) != number || ruleset_.FindByKey(match.rule()) == nullptr) continue;
      const auto [found, is_new] =
          numbers.try_emplace(match.secret(), static_cast<uint32_t>(secrets_.size()));
      if (is_new) secrets_.push_back(match.secret());
      secrets.insert(found->second);
    }
    if (secrets.empty()) return;
    v1::LocateShard::Target* target = shard->add_targets();
    target->set_blob(hit.object_id());
    target->mutable_secrets()->Assign(secrets.begin(), secrets.end());
    targets_.push_back(ObjectId::FromRaw(hit.object_id().data()));
  });
}

absl::Status OccurrenceWriter::Write(const v1::PlaceBatch& places, Ledger::Recording& recording) {
  for (int first = 0, end = 0; first < places.places_size(); first = end) {
    std::vector<ObjectId> blobs;
    for (; end < places.places_size(); ++end) {
      const v1::PlaceBatch::Place& place = places.places(end);
      if (place.target() >= targets_.size() || place.secret() >= secrets_.size()) {
        return absl::InternalError("a scanner named a target it was not given");
      }
      if (!v1::Presence_IsValid(place.presence())) {  // What is noted of it could not be read again.
        return absl::InternalError(absl::StrFormat("a scanner named a presence %d", place.presence()));
      }
      const ObjectId& blob = targets_[place.target()];
      if (!blobs.empty() && blobs.back() == blob) continue;
      if (blobs.size() == kHitsAtOnce) break;
      blobs.push_back(blob);
    }
    std::sort(blobs.begin(), blobs.end());
    blobs.erase(std::unique(blobs.begin(), blobs.end()), blobs.end());
    std::map<ObjectId, IndexedHit> hits;
    RETURN_IF_ERROR(ledger_.ReadHits(blobs, [&](const v1::BlobHit& hit) {
      hits.try_emplace(ObjectId::FromRaw(hit.object_id().data()), hit, ruleset_);
    }));
    for (int i = first; i < end; ++i) {
      const v1::PlaceBatch::Place& place = places.places(i);
      const auto hit = hits.find(targets_[place.target()]);
      if (hit == hits.end()) continue;  // It was recorded clean meanwhile.
      RETURN_IF_ERROR(WritePlace(place, hit->second, recording));
    }
  }
  return absl::OkStatus();
}

OccurrenceWriter::IndexedHit::IndexedHit(const v1::BlobHit& of, const Ruleset& ruleset) : hit(of) {
  uint64_t furthest = 0;
  for (int i = 0; i < hit.matches_size(); ++i) {
    const v1::Match& match = hit.matches(i);
    ends.push_back(furthest = std::max(furthest, match.offset() + match.length()));
    if (ruleset.FindByKey(match.rule()) != nullptr) by_secret.push_back(&match);
  }
  std::stable_sort(by_secret.begin(), by_secret.end(), BySecret());
}

absl::Status OccurrenceWriter::WritePlace(const v1::PlaceBatch::Place& place, const IndexedHit& indexed,
                                          Ledger::Recording& recording) {
  const v1::BlobHit& hit = indexed.hit;
  v1::Occurrence row;
  row.set_secret(secrets_[place.secret()]);
  *row.mutable_paths() = place.paths();
  if (place.has_commit()) *row.mutable_commit() = place.commit();
  *row.mutable_removals() = place.removals();
  row.set_presence(place.presence());
  row.set_blob(hit.object_id());
  uint32_t ordinal = 0;
  const v1::Match* previous = nullptr;  // of this secret
  const auto [from, to] = std::equal_range(indexed.by_secret.begin(), indexed.by_secret.end(), row.secret(), BySecret());
  for (const v1::Match* const match : std::span(from, to)) {
    if (previous != nullptr && previous->offset() != match->offset()) ++ordinal;
    previous = match;
    row.set_ordinal(ordinal);
    *row.mutable_match() = *match;
    row.mutable_match()->clear_secret();
    row.clear_overlapping();
    const auto reaches = std::upper_bound(indexed.ends.begin(), indexed.ends.end(), match->offset());
    for (int i = static_cast<int>(reaches - indexed.ends.begin()); i < hit.matches_size(); ++i) {
      const v1::Match& other = hit.matches(i);
      if (other.offset() >= match->offset() + match->length()) break;
      if (other.rule() != match->rule() && Overlap(*match, other) &&
          ruleset_.FindByKey(other.rule()) != nullptr) {
        row.add_overlapping(other.rule());
      }
    }
    RETURN_IF_ERROR(recording.Add(row));
    if (place.presence() == v1::PRESENCE_HEAD && !match->identifier().empty() &&
        identifiers_.size() < kMaxIdentifiers) {
      identifiers_.insert(match->identifier());
    }
  }
  return absl::OkStatus();
}

}  // namespace unsprawl
