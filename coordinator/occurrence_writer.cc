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
constexpr int kPlacesAtOnce = 64;  // whose hits are held
// Hits with more matches are not read again for every few places, but kept: as many matches as one shard has, at most.
constexpr int kLargeHit = 256;

// Matches of the blobs of one locate shard, about.
constexpr uint64_t kMatchesOfShard = 1 << 18;

uint32_t ShardOf(std::string_view secret, uint32_t shards) {
  uint64_t start = 0;  // of a keyed hash: evenly spread
  std::memcpy(&start, secret.data(), std::min(secret.size(), sizeof(start)));
  return static_cast<uint32_t>(start % shards);
}

// Where it lies and what became of it.
v1::Occurrence RowOf(const v1::PlaceBatch::Place& place) {
  v1::Occurrence row;
  *row.mutable_paths() = place.paths();
  if (place.has_commit()) *row.mutable_commit() = place.commit();
  *row.mutable_removals() = place.removals();
  row.set_presence(place.presence());
  return row;
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

// A hit, whose matches are sorted by offset, as they are looked for.
class OccurrenceWriter::IndexedHit {
 public:
  IndexedHit(const v1::BlobHit& hit, const Ruleset& ruleset) : hit_(hit), ruleset_(ruleset) {
    uint64_t furthest = 0;
    for (const v1::Match& match : hit_.matches()) {
      ends_.push_back(furthest = std::max(furthest, match.offset() + match.length()));
      if (ruleset_.FindByKey(match.rule()) != nullptr) by_secret_.push_back(&match);
    }
    std::ranges::stable_sort(by_secret_, {}, &v1::Match::secret);
  }
  IndexedHit(const IndexedHit&) = delete;
  IndexedHit& operator=(const IndexedHit&) = delete;

  std::vector<Found> Find(const std::string& secret) const {
    std::vector<Found> found;
    for (auto at = std::ranges::lower_bound(by_secret_, secret, {}, &v1::Match::secret);
         at != by_secret_.end() && (*at)->secret() == secret; ++at) {
      const v1::Match* const match = *at;
      Found& one = found.emplace_back();
      one.match = *match;
      const auto reaches = std::upper_bound(ends_.begin(), ends_.end(), match->offset());
      for (int i = static_cast<int>(reaches - ends_.begin()); i < hit_.matches_size(); ++i) {
        const v1::Match& other = hit_.matches(i);
        if (other.offset() >= match->offset() + match->length()) break;
        if (other.rule() != match->rule() && Overlap(*match, other) && ruleset_.FindByKey(other.rule()) != nullptr) {
          one.overlapping.push_back(other.rule());
        }
      }
    }
    return found;
  }

 private:
  const v1::BlobHit hit_;
  const Ruleset& ruleset_;
  std::vector<const v1::Match*> by_secret_;  // of rules that there are, those of one secret by offset
  std::vector<uint64_t> ends_;               // how far the first i + 1 matches reach
};

absl::Status OccurrenceWriter::Request(std::span<const ObjectId> hits, uint32_t number,
                                       uint32_t shards, v1::LocateShard* shard) {
  targets_.clear();
  secrets_.clear();
  large_.clear();
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
    if (hit.matches_size() > kLargeHit) {
      const IndexedHit indexed(hit, ruleset_);
      auto& of_hit = large_[static_cast<uint32_t>(targets_.size())];
      for (const uint32_t secret : secrets) of_hit[secret] = indexed.Find(secrets_[secret]);
    }
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
      if (!v1::Presence_IsValid(place.presence())) {  // What is noted of it could not be read again.
        return absl::InternalError(absl::StrFormat("a scanner named a presence %d", place.presence()));
      }
      if (place.has_match()) continue;
      if (place.target() >= targets_.size() || place.secret() >= secrets_.size()) {
        return absl::InternalError("a scanner named a target it was not given");
      }
      if (!large_.contains(place.target())) blobs.push_back(targets_[place.target()]);
    }
    std::sort(blobs.begin(), blobs.end());
    blobs.erase(std::unique(blobs.begin(), blobs.end()), blobs.end());
    std::map<ObjectId, IndexedHit> hits;
    RETURN_IF_ERROR(ledger_.ReadHits(blobs, [&](const v1::BlobHit& hit) {
      hits.try_emplace(ObjectId::FromRaw(hit.object_id().data()), hit, ruleset_);
    }));
    for (int i = first; i < end; ++i) {
      const v1::PlaceBatch::Place& place = places.places(i);
      if (place.has_match()) {
        RETURN_IF_ERROR(WriteFile(place, recording));
      } else if (const auto large = large_.find(place.target()); large != large_.end()) {
        const auto found = large->second.find(place.secret());
        if (found != large->second.end()) RETURN_IF_ERROR(WritePlace(place, found->second, recording));
      } else if (const auto hit = hits.find(targets_[place.target()]); hit != hits.end()) {
        RETURN_IF_ERROR(WritePlace(place, hit->second.Find(secrets_[place.secret()]), recording));
      }  // Else it was recorded clean meanwhile.
    }
  }
  return absl::OkStatus();
}

// Of a place that a rule of paths alone found, nothing but rule, secret and blob is taken: the rest is known.
absl::Status OccurrenceWriter::WriteFile(const v1::PlaceBatch::Place& place, Ledger::Recording& recording) {
  const Rule* const rule = ruleset_.FindByKey(place.match().rule());
  if (rule == nullptr || !rule->is_path_only()) {
    return absl::InternalError(absl::StrFormat("a scanner found a file by rule %016x, which is none of paths alone",
                                               place.match().rule()));
  }
  if (place.blob().size() != ObjectId::kBytes) {
    return absl::InternalError(absl::StrFormat("a scanner found a file whose blob's id has %d bytes", place.blob().size()));
  }
  v1::Occurrence row = RowOf(place);
  row.set_secret(place.match().secret());
  row.set_blob(place.blob());
  v1::Match& match = *row.mutable_match();
  match.set_rule(rule->key);
  match.set_start_line(1), match.set_start_column(1), match.set_end_line(1), match.set_end_column(1);
  return recording.Add(row);  // which looks at the secret's size
}

absl::Status OccurrenceWriter::WritePlace(const v1::PlaceBatch::Place& place, std::span<const Found> found,
                                          Ledger::Recording& recording) {
  v1::Occurrence row = RowOf(place);
  row.set_secret(secrets_[place.secret()]);
  row.set_blob(std::string(targets_[place.target()].raw()));
  uint32_t ordinal = 0;
  const v1::Match* previous = nullptr;
  for (const Found& one : found) {
    if (previous != nullptr && previous->offset() != one.match.offset()) ++ordinal;
    previous = &one.match;
    row.set_ordinal(ordinal);
    *row.mutable_paths() = place.paths();
    if (const std::string& member = one.match.member(); !member.empty()) {
      for (std::string& path : *row.mutable_paths()) path += "!" + member;
    }
    *row.mutable_match() = one.match;
    row.mutable_match()->clear_secret();
    row.mutable_match()->clear_member();  // It is in the paths.
    row.mutable_overlapping()->Assign(one.overlapping.begin(), one.overlapping.end());
    RETURN_IF_ERROR(recording.Add(row));
    if (place.presence() == v1::PRESENCE_HEAD && !one.match.identifier().empty() &&
        identifiers_.size() < kMaxIdentifiers) {
      identifiers_.insert(one.match.identifier());
    }
  }
  return absl::OkStatus();
}

}  // namespace unsprawl
