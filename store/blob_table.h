// What is known of every blob: the blobs and matches column families behind a bounded buffer.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/mutex.h"
#include "store/database.h"
#include "store/ledger.h"
#include "store/rule_book.h"
#include "store/seen_filter.h"

namespace unsprawl {

struct BlobTableOptions {
  // What Record keeps in memory before it writes: rows are 50 bytes each; a hit its matches more.
  // The bigger, the fewer sorted files. A killed process forgets the buffer, which costs a rescan.
  size_t buffer_rows = 64 << 10;
  size_t buffer_match_bytes = 4 << 20;
  std::chrono::milliseconds buffer_time{2000};  // at most this much scanning is forgotten
  // From how many rows on a flush writes sorted files instead of a batch through the log.
  size_t ingest_rows = 5000;
};

// Thread-safe. `epoch` is the number of the key that makes ids now (0: none was ever named).
class BlobTable {
 public:
  BlobTable(Database& database, RuleBook& rules, const BlobTableOptions& options);

  void CatchUp();  // a reader's, after its database has caught up
  bool HasBlobs() const { return has_rows_.load(std::memory_order_acquire); }
  absl::StatusOr<std::vector<BlobState>> Lookup(std::span<const ObjectId> blobs,
                                                uint32_t epoch) const;
  absl::Status ReadHits(std::span<const ObjectId> blobs, uint32_t epoch,
                        absl::FunctionRef<void(const v1::BlobHit&)> visit) const;
  // As Ledger::RecordBlobs. Other errors: nothing recorded, or recorded in memory and still to be
  // written (the disk is full): the next Flush tries again.
  absl::Status Record(const v1::BlobBatch& batch, RuleListId rules, uint32_t epoch);
  absl::Status Flush();  // what is buffered, into the database, all at once
  absl::StatusOr<std::optional<SecretId>> Alias(const SecretId& replaced) const;

 private:
  struct Scanned {    // one blob of a batch
    uint64_t prefix;  // of id, for sorting
    ObjectId id;
    const v1::BlobHit* hit;  // null: clean
    uint64_t bytes;          // 0: not said
  };
  struct Wanted {     // one blob of a question, in order of ids
    uint64_t prefix;  // of its id
    uint32_t index;   // into the question
  };
  struct Change {
    ObjectId id;
    BlobRow row;
    std::optional<std::string> matches;  // empty: delete the row of matches; nullopt: leave it
    std::vector<std::pair<SecretId, SecretId>> aliases;
  };

  // Rows as they are now, aligned with `blobs` (sorted).
  absl::StatusOr<std::vector<std::optional<BlobRow>>> ReadRows(
      std::span<const ObjectId> blobs) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ReadStoredRows(std::span<const ObjectId> blobs, std::span<const uint32_t> which,
                              const rocksdb::Snapshot* snapshot,
                              std::vector<std::optional<BlobRow>>* rows) const;
  // Whether so many of the rows between the first and the last are wanted that passing over all of
  // them is cheaper than finding each.
  bool Dense(std::span<const Wanted> order) const;
  absl::Status WalkRows(std::span<const ObjectId> blobs, std::span<const Wanted> order,
                        const rocksdb::Snapshot* snapshot,
                        std::vector<std::optional<BlobRow>>* rows) const;
  absl::Status GetRows(std::span<const ObjectId> blobs, std::span<const Wanted> order,
                       const rocksdb::Snapshot* snapshot,
                       std::vector<std::optional<BlobRow>>* rows) const;
  absl::StatusOr<std::optional<std::string>> ReadMatches(const ObjectId& id) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of blobs[which[0]], blobs[which[1]], …
  absl::StatusOr<std::vector<std::optional<std::string>>> ReadMatches(std::span<const ObjectId> blobs,
                                                                      std::span<const uint32_t> which) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::optional<Change>> ChangeOf(const Scanned& scanned,
                                                 const std::optional<BlobRow>& known,
                                                 RuleListId rules, std::span<const uint64_t> run,
                                                 uint32_t epoch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Apply(Change change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Full() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status FlushLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Database& database_;
  RuleBook& rules_;
  const BlobTableOptions options_;
  const bool began_empty_;        // every stored row went through this object, and into seen_
  std::atomic<bool> has_rows_;    // buffered or stored
  std::atomic<bool> has_stored_;  // stored

  mutable Mutex mutex_;
  absl::flat_hash_map<ObjectId, BlobRow> rows_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<ObjectId, std::string> matches_ ABSL_GUARDED_BY(mutex_);  // "": deleted
  std::vector<std::pair<SecretId, SecretId>> aliases_ ABSL_GUARDED_BY(mutex_);
  SeenFilter seen_ ABSL_GUARDED_BY(mutex_);  // when began_empty_
  size_t match_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point oldest_ ABSL_GUARDED_BY(mutex_);  // row buffered
};

}  // namespace unsprawl
