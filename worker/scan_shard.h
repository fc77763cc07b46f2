#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/secret.h"
#include "engine/git/object_store.h"
#include "engine/match/detector.h"
#include "unsprawl/v1/shard.pb.h"
#include "worker/frame_channel.h"

namespace unsprawl {

// Of one blob at most so many matches are recorded, some of each rule, and one more as a sign that there
// are others: a blob of tokens end to end holds millions.
inline constexpr int kMaxMatchesOfBlob = 1 << 14;

struct ShardResources {
  FrameChannel* channel;
  const ObjectStore* store;
  const Detector* detector;
  std::atomic<uint32_t>* current_object;  // kMaxScanThreads entries
  int threads;
  uint64_t max_object_bytes = 0;  // what is larger, or becomes so when it is decoded, is skipped
  std::optional<SecretKey> key;   // that the session's ScanShard came with
};

// Scans every stored blob (or of those listed in `shard`, every one stored here) that the ledger does not
// know under the rules, and sends what it finds: LookupRequests (each answered before the next),
// ScanPlanned, BlobBatches, Progress, ScanCompleted. Or, if it is too much for one shard, sends how to cut
// it: LookupRequests, ScanPlanned, Pieces, ScanCut.
// Unavailable: the channel broke. InvalidArgument: the shard makes no sense.
absl::Status ScanShard(const v1::ScanShard& shard, double open_seconds,
                       const ShardResources& resources);

// InvalidArgument: the shard came without a key.
absl::StatusOr<SecretKey> KeyOf(const v1::ScanShard& shard);

std::vector<ObjectNumber> StoredBlobs(const ObjectStore& store);

// The numbers in `avoid`, sorted, if the store is still the one they were taken from; else none.
std::vector<ObjectNumber> ValidAvoid(const google::protobuf::RepeatedField<uint32_t>& avoid,
                                     uint32_t avoid_objects, const ObjectStore& store);

// A skip as it travels. `poison`: the scanner died on it before.
v1::Skip ToProto(const ObjectSkip& skip, bool poison);

}  // namespace unsprawl
