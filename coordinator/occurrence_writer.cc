#include "coordinator/occurrence_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "worker/scan_shard.h"

namespace unsprawl {
namespace {

constexpr size_t kMaxIdentifiers = 10'000;
// Hits held at a time: a hostile one is a few megabytes.
constexpr int kPlacesAtOnce = 64;

// Matches of the blobs of one locate shard, about.
constexpr uint64_t kMatchesOfShard = 1 << 16;

uint32_t ShardOf(std::string_view secret, uint32_t shards) {
  uint64_t start = 0;  // of a keyed hash: evenly spread
  std::memcpy(&start, secret.data(), std::min(secret.size(), sizeof(start)));
  return static_cast<uint32_t>(start % shards);
}

bool Overlap(const v1::Match& a, const v1::Match& b) {
  return a.offset() < b.offset() + b.length() && b.offset() < a.offset() + a.length();
}

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
  for (int first = 0; first < places.places_size(); first += kPlacesAtOnce) {
    const int end = std::min(places.places_size(), first + kPlacesAtOnce);
    std::vector<ObjectId> blobs;
    for (int i = first; i < end; ++i) {
      const v1::PlaceBatch::Place& place = places.places(i);
      if (place.target() >= targets_.size() || place.secret() >= secrets_.size()) {
        return absl::InternalError("a scanner named a target it was not given");
      }
      if (!v1::Presence_IsValid(place.presence())) {  // What is noted of it could not be read again.
        return absl::InternalError(absl::StrFormat("a scanner named a presence %d", place.presence()));
      }
      blobs.push_back(targets_[place.target()]);
    }
    std::sort(blobs.begin(), blobs.end());
    blobs.erase(std::unique(blobs.begin(), blobs.end()), blobs.end());
    absl::flat_hash_map<ObjectId, v1::BlobHit> hits;
    RETURN_IF_ERROR(ledger_.ReadHits(blobs, [&](const v1::BlobHit& hit) {
      hits[ObjectId::FromRaw(hit.object_id().data())] = hit;
    }));
    for (int i = first; i < end; ++i) {
      const v1::PlaceBatch::Place& place = places.places(i);
      RETURN_IF_ERROR(WritePlace(place, hits[targets_[place.target()]], recording));
    }
  }
  return absl::OkStatus();
}

absl::Status OccurrenceWriter::WritePlace(const v1::PlaceBatch::Place& place,
                                          const v1::BlobHit& hit, Ledger::Recording& recording) {
  v1::Occurrence row;
  row.set_secret(secrets_[place.secret()]);
  *row.mutable_paths() = place.paths();
  if (place.has_commit()) *row.mutable_commit() = place.commit();
  *row.mutable_removals() = place.removals();
  row.set_presence(place.presence());
  row.set_blob(hit.object_id());
  uint32_t ordinal = 0;
  const v1::Match* previous = nullptr;  // of this secret; matches are sorted by offset
  for (const v1::Match& match : hit.matches()) {
    if (match.secret() != row.secret() || ruleset_.FindByKey(match.rule()) == nullptr) continue;
    if (previous != nullptr && previous->offset() != match.offset()) ++ordinal;
    previous = &match;
    row.set_ordinal(ordinal);
    *row.mutable_match() = match;
    row.mutable_match()->clear_secret();
    row.clear_overlapping();
    for (const v1::Match& other : hit.matches()) {
      if (other.offset() >= match.offset() + match.length()) break;
      if (other.rule() != match.rule() && Overlap(match, other) &&
          ruleset_.FindByKey(other.rule()) != nullptr) {
        row.add_overlapping(other.rule());
      }
    }
    RETURN_IF_ERROR(recording.Add(row));
    if (place.presence() == v1::PRESENCE_HEAD && !match.identifier().empty() &&
        identifiers_.size() < kMaxIdentifiers) {
      identifiers_.insert(match.identifier());
    }
  }
  return absl::OkStatus();
}

}  // namespace unsprawl
