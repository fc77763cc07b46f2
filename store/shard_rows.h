// The shard table over rows that outlive the process: everything but where the rows lie.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/blob_table.h"
#include "store/database.h"
#include "store/shard_table.h"

namespace unsprawl {

// Where the rows of a shard table lie. Write and Load are called by one thread at a time.
class ShardRows {
 public:
  virtual ~ShardRows() = default;
  struct Batch {
    std::span<const v1::Shard> added;    // with their payloads
    std::span<const v1::Shard> changed;  // without; a result replaces the one that was there
    std::span<const uint64_t> erased;    // with everything of theirs
    uint64_t next = 0;                   // the id that comes next; 0: as before
  };
  virtual absl::Status Write(const Batch& batch) = 0;  // all of it at once
  // Visits all, by id, without payload and result; returns the id that comes next.
  virtual absl::StatusOr<uint64_t> Load(absl::FunctionRef<void(v1::Shard)> visit) const = 0;
  // Writes what was recorded under the shards and is still buffered; called before one is done, or a crash
  // would forget blobs that nobody would scan again.
  virtual absl::Status Settle() = 0;
  virtual absl::Status ReadPayload(v1::Shard* shard) const = 0;
  virtual absl::Status ReadResult(v1::Shard* shard) const = 0;
};

// Rows in memory, which are not gone while this object lives.
std::unique_ptr<ShardRows> NewMemoryShardRows();
std::unique_ptr<ShardRows> NewRocksdbShardRows(Database& database, BlobTable& blobs);

// Loads the rows at its first call. Both are borrowed.
std::unique_ptr<ShardTable> NewShardTable(ShardRows& rows, const ShardTableOptions& options);

}  // namespace unsprawl
