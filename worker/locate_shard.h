#pragma once

#include "absl/status/status.h"
#include "engine/git/repository.h"
#include "unsprawl/v1/shard.pb.h"
#include "worker/scan_shard.h"

namespace unsprawl {

// Finds where the targets lie in history and sends it: CommitBatches, PlaceBatches, LocateCompleted. If asked to, also
// where the files lie that rules of paths alone find.
// Unavailable: the channel broke. InvalidArgument: the shard makes no sense.
absl::Status LocateShard(const v1::LocateShard& shard, const RepositoryState& state,
                         const ShardResources& resources);

}  // namespace unsprawl
