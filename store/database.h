// RocksDB as the store uses it: opened with our column families and limits, errors translated, big
// sorted batches taken in as files.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rocksdb/db.h"
#include "store/layout.h"
#include "store/sorted_rows.h"

namespace unsprawl {

class Database;

// Brings a store from schema `from` to `from` + 1: adds its changes to *batch, which is written
// together with the new version. It may run again after a crash.
struct Migration {
  uint32_t from;
  absl::Status (*run)(Database& database, rocksdb::WriteBatch* batch);
};

// Those of this program, from schema 1 on.
std::span<const Migration> BuiltinMigrations();

struct DatabaseOptions {
  // Memory, in bytes. Together with open files' tables (some KB each, at most 256) this is all.
  size_t block_cache_bytes = 8 << 20;   // blocks, index and filter partitions
  size_t write_buffer_bytes = 8 << 20;  // of all column families together
  bool create = true;                   // make a new store when there is none
  // For tests of migration: the newest schema known, and the steps up to it.
  uint32_t schema = kSchemaVersion;
  std::span<const Migration> migrations = BuiltinMigrations();
  // What this process does, without credentials: told to who finds the store in use.
  std::string command;
};

// A status of ours for RocksDB's: `what` was being done to which store.
absl::Status Translate(const rocksdb::Status& status, std::string_view what);

// An opened store folder: `<dir>/db` is RocksDB's, `<dir>/staging` holds files on their way in,
// `<dir>/holder` says which process has it open. Thread-safe.
class Database {
 public:
  // Makes `dir` (mode 0700) when it is new or empty.
  // Unavailable: another process (or this one) has it open; the message says which, whose, on which
  // host, since when and what for. (RocksDB's lock decides; the note is for people, and one that a killed
  // process left is never read.)
  // FailedPrecondition: made by a newer unsprawl; a folder that holds something else.
  // NotFound: no store there and options.create is false. DataLoss: RocksDB finds it damaged.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::filesystem::path& dir,
                                                        const DatabaseOptions& options);
  // Opens for reading beside a writer (a RocksDB secondary): sees what was written until CatchUp.
  static absl::StatusOr<std::unique_ptr<Database>> OpenReader(const std::filesystem::path& dir,
                                                              const DatabaseOptions& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  rocksdb::DB& rocks() const { return *db_; }
  rocksdb::ColumnFamilyHandle* family(Family family) const {
    return families_[static_cast<size_t>(family)];
  }
  const std::filesystem::path& dir() const { return dir_; }
  bool reader() const { return reader_; }

  // The value of `key`, or nullopt. `snapshot` may be null: now.
  absl::StatusOr<std::optional<std::string>> Get(Family family, std::string_view key,
                                                 const rocksdb::Snapshot* snapshot = nullptr) const;
  // Calls `visit` for each row whose key starts with `prefix`, in order, until it returns an error.
  absl::Status VisitPrefix(
      Family family, std::string_view prefix, const rocksdb::Snapshot* snapshot,
      absl::FunctionRef<absl::Status(std::string_view key, std::string_view value)> visit) const;
  bool Empty(Family family) const;
  // About how many rows of `row_bytes` (on disk) the family holds; cheap, right within a factor of
  // two.
  uint64_t EstimateRows(Family family, uint64_t row_bytes) const;

  // FailedPrecondition: a reader. ResourceExhausted: its disk has 64 MB left, or less. Every write asks.
  absl::Status Writable() const;
  // All of it at once.
  absl::Status Write(rocksdb::WriteBatch* batch);
  // Sorts `rows` and writes them to a file in the staging folder; the path is the caller's to
  // ingest or remove. `rows` must not be empty.
  absl::StatusOr<std::string> Stage(Family family, SortedRows& rows);
  struct Staged {
    Family family;
    std::vector<std::string> files;
  };
  // Makes all rows of all files visible at once, and durable; consumes the files.
  absl::Status Ingest(std::vector<Staged> staged);
  absl::Status SyncLog();  // written batches survive a power cut

  absl::Status CatchUp();  // a reader only

 private:
  Database(std::filesystem::path dir, bool reader) : dir_(std::move(dir)), reader_(reader) {}
  absl::Status OpenRocks(const DatabaseOptions& options);
  absl::Status CheckSchema(const DatabaseOptions& options);
  absl::Status Migrate(uint32_t schema, const DatabaseOptions& options);

  const std::filesystem::path dir_;
  const bool reader_;
  std::filesystem::path reader_dir_;  // RocksDB's notes of a reader; removed at the end
  bool holds_ = false;                // this object wrote the holder file
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;  // destroyed before db_
  std::atomic<uint64_t> staged_files_ = 0;
};

// A consistent view of a database for the lifetime of this object.
class SnapshotOf {
 public:
  explicit SnapshotOf(const Database& database)
      : db_(database.rocks()), snapshot_(database.reader() ? nullptr : db_.GetSnapshot()) {}
  ~SnapshotOf() {
    if (snapshot_ != nullptr) db_.ReleaseSnapshot(snapshot_);
  }
  SnapshotOf(const SnapshotOf&) = delete;
  SnapshotOf& operator=(const SnapshotOf&) = delete;
  const rocksdb::Snapshot* get() const { return snapshot_; }  // null for a reader: it stands still

 private:
  rocksdb::DB& db_;
  const rocksdb::Snapshot* const snapshot_;
};

inline rocksdb::Slice ToSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
inline std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

}  // namespace unsprawl
