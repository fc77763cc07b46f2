#include "store/database.h"

#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "rocksdb/cache.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/sst_file_writer.h"
#include "rocksdb/table.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

// What is left on a disk: room for what RocksDB writes by itself meanwhile.
constexpr uint64_t kReserveBytes = 64 << 20;

// Index and filters are partitioned and live in the block cache: at 10^9 blobs they are more than a
// gigabyte, and memory must not grow with the store.
rocksdb::ColumnFamilyOptions FamilyOptions(Family family,
                                           const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.block_size = 8 << 10;
  table.format_version = 5;
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.metadata_block_size = 8 << 10;
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_top_level_index_and_filter = true;
  const bool found_by_key = family == Family::kBlobs || family == Family::kMatches;
  if (found_by_key) table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  rocksdb::ColumnFamilyOptions options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = rocksdb::kLZ4Compression;
  options.write_buffer_size = 4 << 20;
  options.max_write_buffer_number = 2;
  options.target_file_size_base = 32 << 20;
  options.max_bytes_for_level_base = 128 << 20;
  options.level0_file_num_compaction_trigger = 6;
  options.level_compaction_dynamic_level_bytes = true;
  return options;
}

// Two cores: one flush and one compaction at a time, no statistics threads.
rocksdb::DBOptions BaseOptions(const DatabaseOptions& options) {
  rocksdb::DBOptions base;
  base.create_if_missing = options.create;
  base.create_missing_column_families = options.create;
  base.max_background_jobs = 2;
  base.db_write_buffer_size = options.write_buffer_bytes;
  base.max_total_wal_size = 2 * options.write_buffer_bytes;
  base.max_open_files = 256;
  base.skip_stats_update_on_db_open = true;
  base.skip_checking_sst_file_sizes_on_db_open = true;
  base.avoid_flush_during_recovery = true;
  base.stats_dump_period_sec = 0;
  base.stats_persist_period_sec = 0;
  base.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  base.keep_log_file_num = 2;
  base.bytes_per_sync = 1 << 20;
  return base;
}

std::string Now() {
  const time_t now = time(nullptr);
  struct tm parts;
  gmtime_r(&now, &parts);
  char text[32];
  strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

constexpr size_t kMaxHolderBytes = 1000;

std::string ReadHolder(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxHolderBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

std::string UserName() {
  struct passwd entry, *found = nullptr;
  char buffer[4096];
  if (getpwuid_r(geteuid(), &entry, buffer, sizeof(buffer), &found) == 0 && found != nullptr) {
    return entry.pw_name;
  }
  return absl::StrFormat("number %d", geteuid());
}

// Written in one step: who reads sees all of it or none.
void WriteHolder(const fs::path& path, const std::string& command) {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  std::string text = absl::StrFormat("process %d of user %s on %s since %s", getpid(), UserName(), host, Now());
  if (!command.empty()) text += absl::StrFormat(" (%s)", command);
  if (text.size() > kMaxHolderBytes) text = text.substr(0, kMaxHolderBytes - 4) + "…)";
  const fs::path partial = path.native() + ".partial";
  std::ofstream(partial, std::ios::binary) << text;
  std::error_code ignored;
  fs::rename(partial, path, ignored);
}

absl::Status InUse(const fs::path& dir) {
  const std::string holder = ReadHolder(dir / "holder");
  return absl::UnavailableError(
      absl::StrFormat("the store %s is in use by %s; wait for it, or give another --store",
                      dir.string(), holder.empty() ? "another process" : holder));
}

// `dir` may be new, empty, or a store; anything else is not ours to write into.
absl::Status PrepareFolder(const fs::path& dir, const DatabaseOptions& options) {
  std::error_code error;
  const bool exists = fs::exists(dir / "db" / "CURRENT", error);
  if (!exists && !options.create) {
    return absl::NotFoundError(absl::StrFormat("there is no store in %s", dir.string()));
  }
  if (!exists && fs::exists(dir, error) && !fs::exists(dir / "db", error) &&
      !fs::is_empty(dir, error)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s is not a store and not empty: give --store a folder of its own", dir.string()));
  }
  if (dir.has_parent_path()) fs::create_directories(dir.parent_path(), error);
  if (mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) error = {errno, std::generic_category()};
  // It may have been there, open to others; what is in it names blobs by their ids.
  if (!error && chmod(dir.c_str(), 0700) != 0) error = {errno, std::generic_category()};
  if (!error) fs::create_directories(dir / "db", error);
  if (error) {
    return absl::UnavailableError(
        absl::StrFormat("cannot make the store %s: %s", dir.string(), error.message()));
  }
  return absl::OkStatus();
}

// Rows of incident states that end before their cause still parse: only the number changes, so that an
// older unsprawl does not take the new rows for damage.
absl::Status FromSchema1(Database&, rocksdb::WriteBatch*) { return absl::OkStatus(); }

// Shards are rows of a new kind: only the number changes, for the same reason.
absl::Status FromSchema2(Database&, rocksdb::WriteBatch*) { return absl::OkStatus(); }

constexpr Migration kMigrations[] = {{1, FromSchema1}, {2, FromSchema2}};

}  // namespace

std::span<const Migration> BuiltinMigrations() { return kMigrations; }

absl::Status Translate(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = absl::StrFormat("%s: %s", what, status.ToString());
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(message);
  if (status.IsCorruption()) return absl::DataLossError(message);
  if (status.IsNotFound()) return absl::NotFoundError(message);
  if (status.IsIOError() || status.IsBusy() || status.IsTryAgain()) {
    return absl::UnavailableError(message);
  }
  return absl::InternalError(message);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const fs::path& dir,
                                                         const DatabaseOptions& options) {
  RETURN_IF_ERROR(PrepareFolder(dir, options));
  std::unique_ptr<Database> database(new Database(dir, false));
  RETURN_IF_ERROR(database->OpenRocks(options));
  // From here on nobody else has it: what an earlier process left half-way goes away.
  std::error_code ignored;
  fs::remove_all(dir / "staging", ignored);
  fs::create_directories(dir / "staging", ignored);
  WriteHolder(dir / "holder", options.command);
  database->holds_ = true;
  RETURN_IF_ERROR(database->CheckSchema(options));
  return database;
}

absl::StatusOr<std::unique_ptr<Database>> Database::OpenReader(const fs::path& dir,
                                                               const DatabaseOptions& options) {
  DatabaseOptions existing = options;
  existing.create = false;
  RETURN_IF_ERROR(PrepareFolder(dir, existing));
  std::unique_ptr<Database> database(new Database(dir, true));
  std::string pattern = (fs::temp_directory_path() / "unsprawl-reader-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    return absl::UnavailableError(absl::StrFormat("cannot make %s", pattern));
  }
  database->reader_dir_ = pattern;
  RETURN_IF_ERROR(database->OpenRocks(existing));
  RETURN_IF_ERROR(database->CheckSchema(existing));
  return database;
}

absl::Status Database::OpenRocks(const DatabaseOptions& options) {
  const std::shared_ptr<rocksdb::Cache> cache =
      rocksdb::NewLRUCache(options.block_cache_bytes, /*num_shard_bits=*/2);
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (size_t i = 0; i < kFamilies; ++i) {
    descriptors.emplace_back(kFamilyNames[i], FamilyOptions(static_cast<Family>(i), cache));
  }
  rocksdb::DBOptions base = BaseOptions(options);
  const std::string path = (dir_ / "db").string();
  rocksdb::DB* db = nullptr;
  rocksdb::Status status;
  if (reader_) {
    base.max_open_files = -1;  // files must stay open: the writer may delete them
    status = rocksdb::DB::OpenAsSecondary(base, path, reader_dir_.string(), descriptors, &families_,
                                          &db);
  } else {
    status = rocksdb::DB::Open(base, path, descriptors, &families_, &db);
  }
  db_.reset(db);
  if (status.ok()) return absl::OkStatus();
  const std::string message = status.ToString();
  if (message.find("olumn families not opened") != std::string::npos) {
    return absl::FailedPreconditionError(
        absl::StrFormat("the store %s was made by a newer unsprawl: use that one", dir_.string()));
  }
  if (status.IsIOError() && message.find("LOCK") != std::string::npos) return InUse(dir_);
  return Translate(status, absl::StrFormat("cannot open the store %s", dir_.string()));
}

absl::Status Database::CheckSchema(const DatabaseOptions& options) {
  ASSIGN_OR_RETURN(const std::optional<std::string> bytes, Get(Family::kMeta, SchemaKey()));
  if (!bytes) {
    if (reader_ || !Empty(Family::kMeta)) {
      return absl::DataLossError(
          absl::StrFormat("the store %s names no schema version", dir_.string()));
    }
    rocksdb::WriteBatch batch;
    std::string schema, created;
    AppendVarint(&schema, options.schema);
    AppendVarint(&created, static_cast<uint64_t>(time(nullptr)));
    batch.Put(SchemaKey(), schema);
    batch.Put(CreatedKey(), created);
    return Write(&batch);
  }
  std::string_view rest = *bytes;
  const std::optional<uint64_t> schema = TakeVarint(&rest);
  if (!schema || *schema > UINT32_MAX) {
    return absl::DataLossError(
        absl::StrFormat("the store %s has an unreadable schema version", dir_.string()));
  }
  if (*schema > options.schema) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the store %s has schema %d and this unsprawl knows up to %d: use a newer unsprawl",
        dir_.string(), *schema, options.schema));
  }
  return Migrate(static_cast<uint32_t>(*schema), options);
}

absl::Status Database::Migrate(uint32_t schema, const DatabaseOptions& options) {
  for (; schema < options.schema; ++schema) {
    if (reader_) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "the store %s has the older schema %d: run `unsprawl store migrate` first", dir_.string(),
          schema));
    }
    const Migration* step = nullptr;
    for (const Migration& migration : options.migrations) {
      if (migration.from == schema) step = &migration;
    }
    if (step == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrFormat("the store %s has schema %d, from which this unsprawl cannot migrate: "
                          "scan into a new one",
                          dir_.string(), schema));
    }
    rocksdb::WriteBatch batch;
    RETURN_IF_ERROR(step->run(*this, &batch));
    std::string next;
    AppendVarint(&next, schema + 1);
    batch.Put(SchemaKey(), next);
    RETURN_IF_ERROR(Write(&batch));
    RETURN_IF_ERROR(SyncLog());
  }
  return absl::OkStatus();
}

Database::~Database() {
  std::error_code ignored;
  if (holds_) fs::remove(dir_ / "holder", ignored);  // while the lock is still ours
  for (rocksdb::ColumnFamilyHandle* family : families_) {
    if (db_ != nullptr) db_->DestroyColumnFamilyHandle(family);
  }
  db_.reset();
  if (!reader_dir_.empty()) fs::remove_all(reader_dir_, ignored);
}

absl::StatusOr<std::optional<std::string>> Database::Get(Family family, std::string_view key,
                                                         const rocksdb::Snapshot* snapshot) const {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  rocksdb::PinnableSlice value;
  const rocksdb::Status status = db_->Get(options, this->family(family), ToSlice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  RETURN_IF_ERROR(Translate(status, "reading the store"));
  return std::optional<std::string>(value.ToString());
}

absl::Status Database::VisitPrefix(
    Family family, std::string_view prefix, const rocksdb::Snapshot* snapshot,
    absl::FunctionRef<absl::Status(std::string_view, std::string_view)> visit) const {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> row(db_->NewIterator(options, this->family(family)));
  for (row->Seek(ToSlice(prefix)); row->Valid() && row->key().starts_with(ToSlice(prefix));
       row->Next()) {
    RETURN_IF_ERROR(visit(ToView(row->key()), ToView(row->value())));
  }
  return Translate(row->status(), "reading the store");
}

bool Database::Empty(Family family) const {
  const std::unique_ptr<rocksdb::Iterator> row(
      db_->NewIterator(rocksdb::ReadOptions(), this->family(family)));
  row->SeekToFirst();
  return !row->Valid();
}

uint64_t Database::EstimateRows(Family family, uint64_t row_bytes) const {
  // RocksDB's own estimate needs every file opened first.
  uint64_t in_files = 0, in_memory = 0;
  db_->GetIntProperty(this->family(family), rocksdb::DB::Properties::kLiveSstFilesSize, &in_files);
  db_->GetIntProperty(this->family(family), rocksdb::DB::Properties::kNumEntriesActiveMemTable,
                      &in_memory);
  return in_files / row_bytes + in_memory;
}

// After a write that the disk was too full for RocksDB goes on by itself when there is room, but not always: where
// nothing was in memory its log stays one that failed, and Debian's, built with assertions, aborts at the next write.
absl::Status Database::Writable() const {
  if (reader_) {
    return absl::FailedPreconditionError(
        absl::StrFormat("the store %s was opened for reading only", dir_.string()));
  }
  std::error_code unknown;
  const uint64_t left = fs::space(dir_, unknown).available;
  if (unknown || left >= kReserveBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrFormat("writing to the store %s: No space left on device: %d MB are free, and %d MB are to stay so",
                      dir_.string(), left >> 20, kReserveBytes >> 20));
}

absl::Status Database::Write(rocksdb::WriteBatch* batch) {
  RETURN_IF_ERROR(Writable());
  return Translate(db_->Write(rocksdb::WriteOptions(), batch), "writing to the store");
}

absl::StatusOr<std::string> Database::Stage(Family family, SortedRows& rows) {
  RETURN_IF_ERROR(Writable());
  CHECK(!rows.empty());
  rows.Sort();
  const std::string path =
      (dir_ / "staging" / absl::StrFormat("%d.sst", staged_files_.fetch_add(1))).string();
  rocksdb::ColumnFamilyHandle* const handle = this->family(family);
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), db_->GetOptions(handle), handle,
                                /*invalidate_page_cache=*/false);
  rocksdb::Status status = writer.Open(path);
  if (status.ok()) status = rows.WriteTo(writer);
  if (status.ok()) status = writer.Finish();
  if (status.ok()) return path;
  std::error_code ignored;
  fs::remove(path, ignored);
  return Translate(status, "writing a file of sorted rows");
}

absl::Status Database::Ingest(std::vector<Staged> staged) {
  std::vector<rocksdb::IngestExternalFileArg> arguments;
  for (Staged& part : staged) {
    if (part.files.empty()) continue;
    rocksdb::IngestExternalFileArg argument;
    argument.column_family = family(part.family);
    argument.external_files = part.files;
    argument.options.move_files = true;
    argument.options.write_global_seqno = false;
    arguments.push_back(std::move(argument));
  }
  if (arguments.empty()) return absl::OkStatus();
  return Translate(db_->IngestExternalFiles(arguments), "taking sorted rows into the store");
}

absl::Status Database::SyncLog() {
  if (reader_) return absl::OkStatus();
  return Translate(db_->FlushWAL(/*sync=*/true), "syncing the store's log");
}

absl::Status Database::CatchUp() {
  return Translate(db_->TryCatchUpWithPrimary(), "reading what was written since");
}

}  // namespace unsprawl
