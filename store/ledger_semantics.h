// What both forms of the ledger agree upon: what becomes of a blob that is scanned again, which ids
// and keys are refused.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/object_id.h"
#include "engine/base/secret.h"
#include "unsprawl/v1/types.pb.h"

namespace unsprawl {

// The `earlier` matches of rules that are not among `run` (sorted), and all of `found`; sorted by
// (offset, length, rule), one per such triple.
std::vector<v1::Match> MergeMatches(std::span<const v1::Match> earlier,
                                    std::span<const uint64_t> run,
                                    std::span<const v1::Match> found);

// Pairs (replaced id, new id) of matches of one blob made under two keys: the same rule at the same
// bytes is the same secret.
std::vector<std::pair<SecretId, SecretId>> PairIds(std::span<const v1::Match> earlier,
                                                   std::span<const v1::Match> found);

// Sorted union of two sorted lists.
std::vector<uint64_t> UnionOf(std::span<const uint64_t> a, std::span<const uint64_t> b);

// InvalidArgument: an id in `batch` is not of its size, or what is said beside them is out of bounds. What a ledger checks before it records.
absl::Status CheckBatch(const v1::BlobBatch& batch);
// InvalidArgument: a secret or commit id in `occurrence` is not of its size.
absl::Status CheckOccurrence(const v1::Occurrence& occurrence);
absl::Status CheckCommit(const v1::Commit& commit);

// FailedPrecondition: `check` may not follow the keys used so far (`used`, oldest first), see
// Ledger::UseKey. OK when it is the last of them or replaces it.
absl::Status CheckKey(std::span<const SecretId> used, const SecretId& check,
                      std::span<const SecretId> previous);

// Makes `record` look never scanned: its occurrences have another key's ids.
void ForgetWatermark(v1::RepositoryRecord* record);

}  // namespace unsprawl
