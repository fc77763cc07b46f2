#include "store/rocksdb_ledger.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "store/ledger_semantics.h"
#include "store/recording.h"
#include "store/report_rows.h"

namespace unsprawl {
namespace {

absl::Status Unreadable(std::string_view what) {
  return absl::DataLossError(absl::StrFormat("the store holds an unreadable row of %s", what));
}

}  // namespace

// A recording is its rows until Commit hands them to the ledger.
class RocksdbRecording final : public Ledger::Recording {
 public:
  RocksdbRecording(RocksdbLedger& ledger, uint64_t repository, uint64_t base_generation)
      : ledger_(ledger),
        base_generation_(base_generation),
        rows_(*ledger.database_, repository, base_generation + 1, ledger.options_.recording_bytes) {
  }

  absl::Status Add(const v1::Occurrence& occurrence) override { return rows_.Add(occurrence); }
  absl::Status AddCommits(
      const google::protobuf::RepeatedPtrField<v1::Commit>& commits) override {
    return rows_.AddCommits(commits);
  }
  absl::Status Commit(v1::RepositoryRecord record, const ShardLease* fence = nullptr) override {
    const auto commit = [&] {
      return ledger_.CommitRecording(std::move(record), base_generation_, rows_);
    };
    return fence == nullptr ? commit() : ledger_.shards().Fenced(*fence, commit);
  }

 private:
  RocksdbLedger& ledger_;
  const uint64_t base_generation_;
  RecordingRows rows_;
};

RocksdbLedger::RocksdbLedger(std::unique_ptr<Database> database, const Options& options)
    : options_(options),
      database_(std::move(database)),
      rules_(*database_),
      blobs_(*database_, rules_, options.blobs),
      shard_rows_(NewRocksdbShardRows(*database_, blobs_)),
      shards_(NewShardTable(*shard_rows_, options.shards)) {}

RocksdbLedger::~RocksdbLedger() {
  // A failure here forgets blobs, which costs a rescan; who must know calls Flush before.
  (void)blobs_.Flush();
}

absl::StatusOr<std::unique_ptr<RocksdbLedger>> RocksdbLedger::Open(const std::filesystem::path& dir,
                                                                   const Options& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(dir, options.database));
  std::unique_ptr<RocksdbLedger> ledger(new RocksdbLedger(std::move(database), options));
  RETURN_IF_ERROR(ledger->Load());
  RETURN_IF_ERROR(DeleteDoomed(*ledger->database_));
  return ledger;
}

absl::StatusOr<std::unique_ptr<RocksdbLedger>> RocksdbLedger::OpenReader(
    const std::filesystem::path& dir, const Options& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::OpenReader(dir, options.database));
  std::unique_ptr<RocksdbLedger> ledger(new RocksdbLedger(std::move(database), options));
  RETURN_IF_ERROR(ledger->Load());
  return ledger;
}

absl::Status RocksdbLedger::CatchUp() {
  RETURN_IF_ERROR(database_->CatchUp());
  blobs_.CatchUp();
  shards_ = NewShardTable(*shard_rows_, options_.shards);
  return Load();
}

absl::Status RocksdbLedger::Load() {
  RETURN_IF_ERROR(rules_.Load());
  std::vector<SecretId> checks;
  RETURN_IF_ERROR(database_->VisitPrefix(
      Family::kMeta, std::string(1, kKeyEpochPrefix), nullptr,
      [&](std::string_view key, std::string_view value) -> absl::Status {
        const std::optional<SecretId> check = SecretIdFromRaw(value);
        if (!check || key != KeyEpochKey(static_cast<uint32_t>(checks.size() + 1))) {
          return Unreadable("keys");
        }
        checks.push_back(*check);
        return absl::OkStatus();
      }));
  const MutexLock lock(meta_mutex_);
  epoch_ = static_cast<uint32_t>(checks.size());
  checks_ = std::move(checks);
  return absl::OkStatus();
}

// ---- keys

absl::Status RocksdbLedger::UseKey(const SecretId& check, std::span<const SecretId> previous) {
  const MutexLock lock(meta_mutex_);
  RETURN_IF_ERROR(CheckKey(checks_, check, previous));
  if (!checks_.empty() && checks_.back() == check) return absl::OkStatus();
  RETURN_IF_ERROR(blobs_.Flush());
  rocksdb::WriteBatch batch;
  batch.Put(database_->family(Family::kMeta),
            KeyEpochKey(static_cast<uint32_t>(checks_.size() + 1)), ToSlice(check.raw()));
  RETURN_IF_ERROR(database_->Write(&batch));
  RETURN_IF_ERROR(database_->SyncLog());
  checks_.push_back(check);
  epoch_ = static_cast<uint32_t>(checks_.size());
  return absl::OkStatus();
}

absl::StatusOr<SecretId> RocksdbLedger::ResolveAlias(const SecretId& secret) const {
  SecretId id = secret;
  // Each step leads to a younger key, so there are no circles unless the store is damaged.
  for (uint32_t steps = 0; steps <= epoch_; ++steps) {
    ASSIGN_OR_RETURN(const std::optional<SecretId> next, blobs_.Alias(id));
    if (!next) return id;
    id = *next;
  }
  return Unreadable("aliases");
}

// ---- rules and blobs

absl::StatusOr<RuleListId> RocksdbLedger::InternRules(std::span<const uint64_t> keys) {
  return rules_.Intern(std::vector<uint64_t>(keys.begin(), keys.end()));
}

absl::StatusOr<std::vector<std::vector<uint64_t>>> RocksdbLedger::RuleLists() const {
  return rules_.Lists();
}

bool RocksdbLedger::HasBlobs() const { return blobs_.HasBlobs(); }

absl::StatusOr<std::vector<BlobState>> RocksdbLedger::Lookup(
    std::span<const ObjectId> blobs) const {
  return blobs_.Lookup(blobs, epoch_);
}

absl::Status RocksdbLedger::RecordBlobs(const v1::BlobBatch& batch, RuleListId rules,
                                        const ShardLease* fence) {
  RETURN_IF_ERROR(database_->Writable());
  const auto record = [&] { return blobs_.Record(batch, rules, epoch_); };
  return fence == nullptr ? record() : shards_->Fenced(*fence, record);
}

absl::Status RocksdbLedger::ReadHits(std::span<const ObjectId> blobs,
                                     absl::FunctionRef<void(const v1::BlobHit&)> visit) const {
  return blobs_.ReadHits(blobs, epoch_, visit);
}

// ---- repositories

v1::RepositoryRecord RocksdbLedger::Current(const RecordRow& row) const {
  v1::RepositoryRecord record = row.record;
  if (row.key_epoch != epoch_) ForgetWatermark(&record);
  return record;
}

absl::StatusOr<RecordRow> RocksdbLedger::ReadRecord(uint64_t id) const {
  ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                   database_->Get(Family::kMeta, RepositoryKey(id)));
  if (!bytes) return absl::NotFoundError(absl::StrFormat("no repository %d in the store", id));
  std::optional<RecordRow> row = DecodeRecordRow(*bytes);
  if (!row) return Unreadable("repositories");
  return *std::move(row);
}

absl::StatusOr<v1::RepositoryRecord> RocksdbLedger::OpenRepository(std::string_view key,
                                                                   std::string_view name) {
  const MutexLock lock(meta_mutex_);
  rocksdb::ColumnFamilyHandle* const meta = database_->family(Family::kMeta);
  rocksdb::WriteBatch batch;
  RecordRow row;
  ASSIGN_OR_RETURN(const std::optional<std::string> known,
                   database_->Get(Family::kMeta, RepositoryNameKey(key)));
  if (known) {
    std::string_view rest = *known;
    const std::optional<uint64_t> id = TakeVarint(&rest);
    if (!id) return Unreadable("repository names");
    ASSIGN_OR_RETURN(row, ReadRecord(*id));
    if (row.record.name() == name || name.empty()) return Current(row);
  } else {
    ASSIGN_OR_RETURN(const std::optional<std::string> next,
                     database_->Get(Family::kMeta, NextRepositoryKey()));
    std::string_view rest = next ? std::string_view(*next) : std::string_view("\x01");
    const std::optional<uint64_t> id = TakeVarint(&rest);
    if (!id) return Unreadable("meta");
    row.key_epoch = epoch_;
    row.record.set_id(*id);
    row.record.set_key(std::string(key));
    std::string id_bytes, next_bytes;
    AppendVarint(&id_bytes, *id);
    AppendVarint(&next_bytes, *id + 1);
    batch.Put(meta, RepositoryNameKey(key), id_bytes);
    batch.Put(meta, NextRepositoryKey(), next_bytes);
  }
  row.record.set_name(std::string(name));
  batch.Put(meta, RepositoryKey(row.record.id()), EncodeRecordRow(row));
  RETURN_IF_ERROR(database_->Write(&batch));
  return Current(row);
}

absl::StatusOr<std::optional<v1::RepositoryRecord>> RocksdbLedger::ReadRepository(
    uint64_t id) const {
  const absl::StatusOr<RecordRow> row = ReadRecord(id);
  if (absl::IsNotFound(row.status())) return std::optional<v1::RepositoryRecord>();
  if (!row.ok()) return row.status();
  return std::optional<v1::RepositoryRecord>(Current(*row));
}

absl::StatusOr<std::vector<v1::RepositoryRecord>> RocksdbLedger::Repositories() const {
  std::vector<v1::RepositoryRecord> records;
  RETURN_IF_ERROR(
      database_->VisitPrefix(Family::kMeta, std::string(1, kRepositoryPrefix), nullptr,
                             [&](std::string_view, std::string_view value) -> absl::Status {
                               const std::optional<RecordRow> row = DecodeRecordRow(value);
                               if (!row) return Unreadable("repositories");
                               records.push_back(Current(*row));
                               return absl::OkStatus();
                             }));
  return records;
}

absl::StatusOr<std::unique_ptr<Ledger::Recording>> RocksdbLedger::StartRecording(
    uint64_t repository) {
  RETURN_IF_ERROR(database_->Writable());
  ASSIGN_OR_RETURN(const RecordRow row, ReadRecord(repository));
  return std::make_unique<RocksdbRecording>(*this, repository, row.record.generation());
}

absl::Status RocksdbLedger::CommitRecording(v1::RepositoryRecord record, uint64_t base_generation,
                                            RecordingRows& rows) {
  CHECK(record.id() == rows.repository());
  RETURN_IF_ERROR(blobs_.Flush());  // the watermark comes last
  const uint64_t repository = record.id();
  {
    const MutexLock lock(meta_mutex_);
    ASSIGN_OR_RETURN(const RecordRow before, ReadRecord(repository));
    if (before.record.generation() != base_generation) {
      return absl::AbortedError(
          absl::StrFormat("repository %d was recorded by another process meanwhile", repository));
    }
    record.set_generation(rows.generation());
    SortedRows meta;
    const bool replaces = before.occurrences + before.commits > 0;
    if (replaces) meta.Put(DoomedKey(repository, base_generation), "");
    meta.Put(RepositoryKey(repository), EncodeRecordRow({.key_epoch = epoch_,
                                                         .occurrences = rows.occurrences(),
                                                         .commits = rows.commits(),
                                                         .record = std::move(record)}));
    if (rows.in_memory() && rows.rows_in_memory() < options_.ingest_rows) {
      rocksdb::WriteBatch batch;
      RETURN_IF_ERROR(rows.AppendTo(&batch));
      RETURN_IF_ERROR(
          Translate(meta.AppendTo(&batch, database_->family(Family::kMeta)), "a batch"));
      RETURN_IF_ERROR(database_->Write(&batch));
    } else {
      RETURN_IF_ERROR(
          database_->SyncLog());  // files are durable at once: nothing before them may lack
      ASSIGN_OR_RETURN(std::vector<Database::Staged> staged, rows.TakeFiles());
      ASSIGN_OR_RETURN(std::string file, database_->Stage(Family::kMeta, meta));
      staged.push_back({Family::kMeta, {std::move(file)}});
      RETURN_IF_ERROR(database_->Ingest(std::move(staged)));
    }
    if (!replaces) return absl::OkStatus();
  }
  // Committed. What cannot be deleted now is marked, and goes away at the next Open.
  (void)DeleteGeneration(*database_, repository, base_generation);
  return absl::OkStatus();
}

// ---- reading for reports

absl::Status RocksdbLedger::VisitOccurrences(
    std::span<const uint64_t> repositories,
    absl::FunctionRef<bool(uint64_t, const v1::Occurrence&)> visit) const {
  return VisitOccurrenceRows(*database_, repositories, visit);
}

absl::Status RocksdbLedger::VisitSecret(
    const SecretId& secret, absl::FunctionRef<bool(uint64_t, const v1::Occurrence&)> visit) const {
  return VisitSecretRows(*database_, secret, visit);
}

absl::Status RocksdbLedger::VisitCommits(std::span<const uint64_t> repositories,
                                         absl::FunctionRef<bool(const v1::Commit&)> visit) const {
  return VisitCommitRows(*database_, repositories, visit);
}

// ---- runs

absl::StatusOr<v1::RunRecord> RocksdbLedger::StartRun(v1::RunRecord run) {
  const MutexLock lock(meta_mutex_);
  ASSIGN_OR_RETURN(const uint64_t last, LastRun(*database_));
  run.set_id(last + 1);
  rocksdb::WriteBatch batch;
  batch.Put(database_->family(Family::kMeta), RunKey(run.id()), run.SerializeAsString());
  RETURN_IF_ERROR(database_->Write(&batch));
  return run;
}

absl::Status RocksdbLedger::FinishRun(const v1::RunRecord& run) {
  const MutexLock lock(meta_mutex_);
  ASSIGN_OR_RETURN(const std::optional<std::string> known,
                   database_->Get(Family::kMeta, RunKey(run.id())));
  if (!known) return absl::NotFoundError(absl::StrFormat("no run %d in the store", run.id()));
  RETURN_IF_ERROR(blobs_.Flush());
  rocksdb::WriteBatch batch;
  batch.Put(database_->family(Family::kMeta), RunKey(run.id()), run.SerializeAsString());
  return database_->Write(&batch);
}

absl::StatusOr<std::optional<std::string>> RocksdbLedger::ReadNote(std::string_view name) const {
  return database_->Get(Family::kMeta, NoteKey(name));
}

absl::Status RocksdbLedger::WriteNote(std::string_view name, std::string_view value) {
  RETURN_IF_ERROR(database_->Writable());
  rocksdb::WriteBatch batch;
  batch.Put(database_->family(Family::kMeta), NoteKey(name), rocksdb::Slice(value.data(), value.size()));
  return database_->Write(&batch);
}

absl::Status RocksdbLedger::EraseNote(std::string_view name) {
  ASSIGN_OR_RETURN(const auto note, ReadNote(name));
  if (!note) return absl::OkStatus();  // also on a full disk
  RETURN_IF_ERROR(database_->Writable());
  rocksdb::WriteBatch batch;
  batch.Delete(database_->family(Family::kMeta), NoteKey(name));
  return database_->Write(&batch);
}

absl::StatusOr<std::vector<v1::RunRecord>> RocksdbLedger::Runs() const {
  std::vector<v1::RunRecord> runs;
  RETURN_IF_ERROR(database_->VisitPrefix(
      Family::kMeta, std::string(1, kRunPrefix), nullptr,
      [&](std::string_view, std::string_view value) -> absl::Status {
        if (!runs.emplace_back().ParseFromArray(value.data(), static_cast<int>(value.size()))) {
          return Unreadable("runs");
        }
        return absl::OkStatus();
      }));
  return runs;
}

absl::Status RocksdbLedger::RecordIncidentStates(uint64_t run,
                                                 std::span<const IncidentState> states) {
  return WriteIncidentStates(*database_, run, states);
}

absl::Status RocksdbLedger::RecordRunCoverage(uint64_t run, uint64_t repository,
                                              const v1::Coverage& coverage) {
  return WriteRunCoverage(*database_, run, repository, coverage);
}

absl::StatusOr<std::vector<IncidentHistory>> RocksdbLedger::IncidentHistories(const SecretId& from,
                                                                              size_t limit) const {
  return ReadIncidentHistories(*database_, from, limit);
}

absl::Status RocksdbLedger::CarryHistoriesOver() {
  RETURN_IF_ERROR(database_->Writable());
  RETURN_IF_ERROR(blobs_.Flush());  // aliases are on their way in with the blobs they came from
  return database_->VisitPrefix(
      Family::kMeta, std::string(1, kAliasPrefix), nullptr,
      [&](std::string_view key, std::string_view) -> absl::Status {
        const std::optional<SecretId> replaced = SecretIdFromRaw(key.substr(1));
        if (!replaced) return Unreadable("aliases");
        ASSIGN_OR_RETURN(const SecretId id, ResolveAlias(*replaced));
        return MoveIncidentHistory(*database_, *replaced, id);
      });
}

absl::Status RocksdbLedger::VisitRunCoverage(
    uint64_t repository, absl::FunctionRef<void(uint64_t, const v1::Coverage&)> visit) const {
  return VisitCoverageRows(*database_, repository, visit);
}

absl::Status RocksdbLedger::Flush() {
  RETURN_IF_ERROR(blobs_.Flush());
  return database_->SyncLog();
}

}  // namespace unsprawl
