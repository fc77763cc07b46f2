#include "store/ledger_semantics.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>

#include "absl/strings/str_format.h"
#include "store/layout.h"

namespace unsprawl {
namespace {

constexpr uint32_t kMaxTraits = 2 * v1::ContentTrait_MAX - 1;
constexpr size_t kMaxMemberBytes = 1024;

std::tuple<uint64_t, uint32_t, uint64_t> PlaceOf(const v1::Match& match) {
  return {match.offset(), match.length(), match.rule()};
}

absl::Status WrongSize(const char* what, size_t bytes, size_t wanted) {
  return absl::InvalidArgumentError(
      absl::StrFormat("%s of %d bytes where %d are wanted", what, bytes, wanted));
}

}  // namespace

std::vector<v1::Match> MergeMatches(std::span<const v1::Match> earlier,
                                    std::span<const uint64_t> run,
                                    std::span<const v1::Match> found) {
  std::vector<v1::Match> merged(found.begin(), found.end());
  for (const v1::Match& match : earlier) {
    if (!std::binary_search(run.begin(), run.end(), match.rule())) merged.push_back(match);
  }
  // Stable: of two with one place, the one found now stays.
  std::stable_sort(merged.begin(), merged.end(),
                   [](const v1::Match& a, const v1::Match& b) { return PlaceOf(a) < PlaceOf(b); });
  merged.erase(
      std::unique(merged.begin(), merged.end(),
                  [](const v1::Match& a, const v1::Match& b) { return PlaceOf(a) == PlaceOf(b); }),
      merged.end());
  return merged;
}

std::vector<std::pair<SecretId, SecretId>> PairIds(std::span<const v1::Match> earlier,
                                                   std::span<const v1::Match> found) {
  std::map<std::tuple<uint64_t, uint32_t, uint64_t>, SecretId> now;
  for (const v1::Match& match : found) {
    if (const auto id = SecretIdFromRaw(match.secret())) now.emplace(PlaceOf(match), *id);
  }
  std::vector<std::pair<SecretId, SecretId>> pairs;
  for (const v1::Match& match : earlier) {
    const auto replaced = SecretIdFromRaw(match.secret());
    const auto place = now.find(PlaceOf(match));
    if (!replaced || place == now.end() || place->second == *replaced) continue;
    pairs.emplace_back(*replaced, place->second);
  }
  return pairs;
}

std::vector<uint64_t> UnionOf(std::span<const uint64_t> a, std::span<const uint64_t> b) {
  std::vector<uint64_t> both;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

absl::Status CheckBatch(const v1::BlobBatch& batch) {
  if (batch.clean().size() % ObjectId::kBytes != 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d bytes of clean blob ids are no multiple of %d", batch.clean().size(),
                        ObjectId::kBytes));
  }
  if (const size_t blobs = batch.clean().size() / ObjectId::kBytes;
      static_cast<size_t>(batch.clean_bytes_size()) != blobs) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d sizes of %d clean blobs", batch.clean_bytes_size(), blobs));
  }
  if (batch.traits() > kMaxTraits) {
    return absl::InvalidArgumentError(absl::StrFormat("traits %d of blobs that there are not", batch.traits()));
  }
  for (const v1::BlobHit& hit : batch.hits()) {
    if (hit.object_id().size() != ObjectId::kBytes) {
      return WrongSize("a blob id", hit.object_id().size(), ObjectId::kBytes);
    }
    for (const v1::Match& match : hit.matches()) {
      if (match.member().size() > kMaxMemberBytes) {
        return absl::InvalidArgumentError(absl::StrFormat("a name of %d bytes in an archive", match.member().size()));
      }
      if (!SecretIdFromRaw(match.secret())) {
        return WrongSize("a secret id", match.secret().size(), sizeof(SecretId::bytes));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOccurrence(const v1::Occurrence& occurrence) {
  if (!SecretIdFromRaw(occurrence.secret())) {
    return WrongSize("a secret id", occurrence.secret().size(), sizeof(SecretId::bytes));
  }
  return occurrence.has_commit() ? CheckCommit(occurrence.commit()) : absl::OkStatus();
}

absl::Status CheckCommit(const v1::Commit& commit) {
  if (commit.id().size() == ObjectId::kBytes) return absl::OkStatus();
  return WrongSize("a commit id", commit.id().size(), ObjectId::kBytes);
}

absl::Status CheckKey(std::span<const SecretId> used, const SecretId& check,
                      std::span<const SecretId> previous) {
  if (used.empty() || used.back() == check) return absl::OkStatus();
  const std::string ours = ToHex(used.back().raw()).substr(0, 12);
  const std::string given = ToHex(check.raw()).substr(0, 12);
  if (std::find(used.begin(), used.end(), check) != used.end()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "this store's key was rotated: it now uses the key with fingerprint %s, not %s", ours,
        given));
  }
  if (std::find(previous.begin(), previous.end(), used.back()) == previous.end()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "this store was made with another key (fingerprint %s, not %s); give that key, "
        "or rotate it with `unsprawl key rotate`",
        ours, given));
  }
  return absl::OkStatus();
}

void ForgetWatermark(v1::RepositoryRecord* record) {
  record->clear_tips_digest();
  record->clear_rule_keys();
}

}  // namespace unsprawl
