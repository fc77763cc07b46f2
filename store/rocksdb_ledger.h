// The ledger on disk (RocksDB). docs/store-format.md: keys, order of writes, what a crash costs.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/mutex.h"
#include "store/blob_table.h"
#include "store/database.h"
#include "store/ledger.h"
#include "store/rule_book.h"
#include "store/shard_rows.h"

namespace unsprawl {

// Thread-safe, but one process at a time may have a store open for writing; any number may read
// beside it (OpenReader). Memory: about 16 MB of RocksDB's (DatabaseOptions), 10 MB of buffered
// blobs while a scan records, and 8 MB of rows in each Recording under way. It writes out its
// buffer when destroyed.
class RocksdbLedger final : public Ledger {
 public:
  struct Options {
    DatabaseOptions database;
    BlobTableOptions blobs;
    ShardTableOptions shards;
    // Rows that a Recording keeps in memory, in bytes, before it writes them to files of sorted
    // rows; from `ingest_rows` on it uses a file even for less.
    size_t recording_bytes = 4 << 20;
    size_t ingest_rows = 5000;
  };

  // Opens the store in `dir`, makes it when new, migrates an older one, and deletes what an
  // interrupted process left unfinished. Errors: see Database::Open.
  static absl::StatusOr<std::unique_ptr<RocksdbLedger>> Open(const std::filesystem::path& dir,
                                                             const Options& options);
  // Opens an existing store to read beside the process that writes: shows what was written out
  // before (not what that process still buffers), until CatchUp. Everything that would write is
  // refused with FailedPrecondition. A reader sees the blobs, occurrences and commits of one
  // repository as of one recording; VisitOccurrences is Unavailable when the writer deleted rows
  // under it: CatchUp, again.
  static absl::StatusOr<std::unique_ptr<RocksdbLedger>> OpenReader(const std::filesystem::path& dir,
                                                                   const Options& options);
  absl::Status CatchUp();  // and what shards() gave is gone
  ~RocksdbLedger() override;

  absl::Status UseKey(const SecretId& check, std::span<const SecretId> previous) override;
  absl::StatusOr<SecretId> ResolveAlias(const SecretId& secret) const override;

  absl::StatusOr<RuleListId> InternRules(std::span<const uint64_t> keys) override;
  absl::StatusOr<std::vector<std::vector<uint64_t>>> RuleLists() const override;

  bool HasBlobs() const override;
  absl::StatusOr<std::vector<BlobState>> Lookup(std::span<const ObjectId> blobs) const override;
  absl::Status RecordBlobs(const v1::BlobBatch& batch, RuleListId rules,
                           const ShardLease* fence = nullptr) override;
  absl::Status ReadHits(std::span<const ObjectId> blobs,
                        absl::FunctionRef<void(const v1::BlobHit&)> visit) const override;

  absl::StatusOr<v1::RepositoryRecord> OpenRepository(std::string_view key,
                                                      std::string_view name) override;
  absl::StatusOr<std::optional<v1::RepositoryRecord>> ReadRepository(uint64_t id) const override;
  absl::StatusOr<std::vector<v1::RepositoryRecord>> Repositories() const override;
  absl::StatusOr<std::unique_ptr<Recording>> StartRecording(uint64_t repository) override;

  absl::Status VisitOccurrences(
      std::span<const uint64_t> repositories,
      absl::FunctionRef<bool(uint64_t, const v1::Occurrence&)> visit) const override;
  absl::Status VisitSecret(
      const SecretId& secret,
      absl::FunctionRef<bool(uint64_t, const v1::Occurrence&)> visit) const override;
  absl::Status VisitCommits(std::span<const uint64_t> repositories,
                            absl::FunctionRef<bool(const v1::Commit&)> visit) const override;

  absl::StatusOr<v1::RunRecord> StartRun(v1::RunRecord run) override;
  absl::Status FinishRun(const v1::RunRecord& run) override;
  absl::StatusOr<std::vector<v1::RunRecord>> Runs() const override;

  absl::Status RecordIncidentStates(uint64_t run, std::span<const IncidentState> states) override;
  absl::Status RecordRunCoverage(uint64_t run, uint64_t repository,
                                 const v1::Coverage& coverage) override;
  absl::StatusOr<std::vector<IncidentHistory>> IncidentHistories(const SecretId& from,
                                                                 size_t limit) const override;
  absl::Status CarryHistoriesOver() override;
  absl::Status VisitRunCoverage(
      uint64_t repository,
      absl::FunctionRef<void(uint64_t, const v1::Coverage&)> visit) const override;

  absl::StatusOr<std::optional<std::string>> ReadNote(std::string_view name) const override;
  absl::Status WriteNote(std::string_view name, std::string_view value) override;
  absl::Status EraseNote(std::string_view name) override;

  ShardTable& shards() override { return *shards_; }

  absl::Status Flush() override;

  // The files below, for `unsprawl store` (store/maintenance.h).
  Database& database() { return *database_; }

 private:
  friend class RocksdbRecording;

  RocksdbLedger(std::unique_ptr<Database> database, const Options& options);
  absl::Status Load();
  v1::RepositoryRecord Current(const RecordRow& row) const;
  absl::StatusOr<RecordRow> ReadRecord(uint64_t id) const;  // NotFound: no such repository
  absl::Status CommitRecording(v1::RepositoryRecord record, uint64_t base_generation,
                               class RecordingRows& rows);

  const Options options_;
  const std::unique_ptr<Database> database_;
  RuleBook rules_;
  BlobTable blobs_;
  const std::unique_ptr<ShardRows> shard_rows_;
  std::unique_ptr<ShardTable> shards_;
  std::atomic<uint32_t> epoch_ = 0;  // number of the key in use; 0: none was ever named

  // Serialises what reads a row of the meta family and writes it back.
  Mutex meta_mutex_;
  std::vector<SecretId> checks_ ABSL_GUARDED_BY(meta_mutex_);
};

}  // namespace unsprawl
