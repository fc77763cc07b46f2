#include <optional>

#include "engine/base/status.h"
#include "store/shard_rows.h"

namespace unsprawl {
namespace {

absl::Status Unreadable() {
  return absl::DataLossError("the store holds an unreadable row of shards");
}

class RocksdbShardRows final : public ShardRows {
 public:
  RocksdbShardRows(Database& database, BlobTable& blobs) : database_(database), blobs_(blobs) {}

  absl::Status Write(const Batch& batch) override {
    rocksdb::ColumnFamilyHandle* const meta = database_.family(Family::kMeta);
    rocksdb::WriteBatch rows;
    for (const v1::Shard& shard : batch.added) {
      rows.Put(meta, ShardPayloadKey(shard.id()), shard.payload());
      rows.Put(meta, ShardKey(shard.id()), StateOf(shard));
    }
    for (const v1::Shard& shard : batch.changed) {
      if (shard.state() == v1::SHARD_STATE_DONE) {
        rows.Put(meta, ShardResultKey(shard.id()), shard.result());
      }
      rows.Put(meta, ShardKey(shard.id()), StateOf(shard));
    }
    for (const uint64_t shard : batch.erased) {
      rows.Delete(meta, ShardKey(shard));
      rows.Delete(meta, ShardPayloadKey(shard));
      rows.Delete(meta, ShardResultKey(shard));
    }
    if (batch.next != 0) {
      std::string next;
      AppendVarint(&next, batch.next);
      rows.Put(meta, NextShardKey(), next);
    }
    return database_.Write(&rows);
  }

  absl::StatusOr<uint64_t> Load(absl::FunctionRef<void(v1::Shard)> visit) const override {
    ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                     database_.Get(Family::kMeta, NextShardKey()));
    std::string_view rest = bytes ? std::string_view(*bytes) : std::string_view("\x01");
    const std::optional<uint64_t> next = TakeVarint(&rest);
    if (!next) return Unreadable();
    RETURN_IF_ERROR(database_.VisitPrefix(
        Family::kMeta, std::string(1, kShardPrefix), nullptr,
        [&](std::string_view key, std::string_view value) -> absl::Status {
          v1::Shard shard;
          if (!shard.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
              key != ShardKey(shard.id()) || shard.id() >= *next) {
            return Unreadable();
          }
          visit(std::move(shard));
          return absl::OkStatus();
        }));
    return *next;
  }

  absl::Status Settle() override { return blobs_.Flush(); }

  absl::Status ReadPayload(v1::Shard* shard) const override {
    ASSIGN_OR_RETURN(std::optional<std::string> bytes,
                     database_.Get(Family::kMeta, ShardPayloadKey(shard->id())));
    if (!bytes) return Unreadable();
    shard->set_payload(*std::move(bytes));
    return absl::OkStatus();
  }

  absl::Status ReadResult(v1::Shard* shard) const override {
    ASSIGN_OR_RETURN(std::optional<std::string> bytes,
                     database_.Get(Family::kMeta, ShardResultKey(shard->id())));
    if (!bytes) return Unreadable();
    shard->set_result(*std::move(bytes));
    return absl::OkStatus();
  }

 private:
  static std::string StateOf(const v1::Shard& shard) {
    if (shard.payload().empty() && shard.result().empty()) return shard.SerializeAsString();
    v1::Shard state = shard;
    state.clear_payload();
    state.clear_result();
    return state.SerializeAsString();
  }

  Database& database_;
  BlobTable& blobs_;
};

}  // namespace

std::unique_ptr<ShardRows> NewRocksdbShardRows(Database& database, BlobTable& blobs) {
  return std::make_unique<RocksdbShardRows>(database, blobs);
}

}  // namespace unsprawl
