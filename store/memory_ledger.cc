// The ledger in memory: the plainest form, by which the RocksDB form is judged.
#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_format.h"
#include "engine/base/mutex.h"
#include "engine/base/status.h"
#include "store/layout.h"
#include "store/ledger.h"
#include "store/ledger_semantics.h"
#include "store/shard_rows.h"

namespace unsprawl {
namespace {

struct Blob {
  BlobRow row;
  v1::BlobHit hit;  // when row.hit
};

struct Repository {
  RecordRow row;
  std::multimap<SecretId, v1::Occurrence> occurrences;  // equal keys stay in order of Add
  std::map<std::string, v1::Commit> commits;
};

class MemoryLedger final : public Ledger {
 public:
  explicit MemoryLedger(const ShardTableOptions& shards)
      : shard_rows_(NewMemoryShardRows()), shards_(NewShardTable(*shard_rows_, shards)) {}

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

  absl::StatusOr<std::optional<std::string>> ReadNote(std::string_view name) const override {
    const MutexLock lock(mutex_);
    const auto found = notes_.find(std::string(name));
    if (found == notes_.end()) return std::nullopt;
    return found->second;
  }
  absl::Status WriteNote(std::string_view name, std::string_view value) override {
    const MutexLock lock(mutex_);
    notes_[std::string(name)] = value;
    return absl::OkStatus();
  }
  absl::Status EraseNote(std::string_view name) override {
    const MutexLock lock(mutex_);
    notes_.erase(std::string(name));
    return absl::OkStatus();
  }

  ShardTable& shards() override { return *shards_; }

  absl::Status Flush() override { return absl::OkStatus(); }

 private:
  friend class MemoryRecording;

  SecretId Resolve(const SecretId& secret) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint32_t epoch() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return static_cast<uint32_t>(checks_.size());
  }
  RuleListId Intern(std::vector<uint64_t> keys) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status RecordAll(const v1::BlobBatch& batch, RuleListId rules) ABSL_LOCKS_EXCLUDED(mutex_);
  void RecordBlob(const ObjectId& id, const v1::BlobHit& hit, RuleListId rules)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Current(const Blob& blob) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !blob.row.hit || blob.row.key_epoch == epoch();
  }
  v1::RepositoryRecord RecordOf(const Repository& repository) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::unique_ptr<ShardRows> shard_rows_;
  const std::unique_ptr<ShardTable> shards_;
  mutable Mutex mutex_;
  std::vector<SecretId> checks_ ABSL_GUARDED_BY(mutex_);  // of the keys used, oldest first
  std::map<SecretId, SecretId> aliases_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::vector<uint64_t>> rule_lists_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<ObjectId, Blob> blobs_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t, std::less<>> repository_ids_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Repository> repositories_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> notes_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::RunRecord> runs_ ABSL_GUARDED_BY(mutex_);
  std::map<SecretId, std::map<uint64_t, IncidentState>> incidents_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::map<uint64_t, v1::Coverage>> coverage_ ABSL_GUARDED_BY(mutex_);
};

class MemoryRecording final : public Ledger::Recording {
 public:
  MemoryRecording(MemoryLedger& ledger, uint64_t repository)
      : ledger_(ledger), repository_(repository) {}

  absl::Status Add(const v1::Occurrence& occurrence) override {
    RETURN_IF_ERROR(CheckOccurrence(occurrence));
    fresh_.occurrences.emplace(*SecretIdFromRaw(occurrence.secret()), occurrence);
    return absl::OkStatus();
  }

  absl::Status AddCommits(
      const google::protobuf::RepeatedPtrField<v1::Commit>& commits) override {
    for (const v1::Commit& commit : commits) {
      RETURN_IF_ERROR(CheckCommit(commit));
      fresh_.commits[commit.id()] = commit;
    }
    return absl::OkStatus();
  }

  absl::Status Commit(v1::RepositoryRecord record, const ShardLease* fence = nullptr) override {
    CHECK(record.id() == repository_);
    if (fence == nullptr) return Replace(std::move(record));
    return ledger_.shards().Fenced(*fence, [&] { return Replace(std::move(record)); });
  }

 private:
  absl::Status Replace(v1::RepositoryRecord record) {
    const MutexLock lock(ledger_.mutex_);
    const auto place = ledger_.repositories_.find(repository_);
    if (place == ledger_.repositories_.end()) {
      return absl::NotFoundError(absl::StrFormat("no repository %d in the store", repository_));
    }
    Repository& current = place->second;
    record.set_generation(current.row.record.generation() + 1);
    fresh_.row = {.key_epoch = ledger_.epoch(),
                  .occurrences = fresh_.occurrences.size(),
                  .commits = fresh_.commits.size(),
                  .record = std::move(record)};
    current = std::move(fresh_);
    return absl::OkStatus();
  }

  MemoryLedger& ledger_;
  const uint64_t repository_;
  Repository fresh_;
};

absl::Status MemoryLedger::UseKey(const SecretId& check, std::span<const SecretId> previous) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckKey(checks_, check, previous));
  if (checks_.empty() || checks_.back() != check) checks_.push_back(check);
  return absl::OkStatus();
}

absl::StatusOr<SecretId> MemoryLedger::ResolveAlias(const SecretId& secret) const {
  const MutexLock lock(mutex_);
  return Resolve(secret);
}

SecretId MemoryLedger::Resolve(const SecretId& secret) const {
  SecretId id = secret;
  for (auto next = aliases_.find(id); next != aliases_.end(); next = aliases_.find(id)) {
    id = next->second;
  }
  return id;
}

RuleListId MemoryLedger::Intern(std::vector<uint64_t> keys) {
  const auto place = std::find(rule_lists_.begin(), rule_lists_.end(), keys);
  const RuleListId id = static_cast<RuleListId>(place - rule_lists_.begin());
  if (place == rule_lists_.end()) rule_lists_.push_back(std::move(keys));
  return id;
}

absl::StatusOr<RuleListId> MemoryLedger::InternRules(std::span<const uint64_t> keys) {
  const MutexLock lock(mutex_);
  return Intern(std::vector<uint64_t>(keys.begin(), keys.end()));
}

absl::StatusOr<std::vector<std::vector<uint64_t>>> MemoryLedger::RuleLists() const {
  const MutexLock lock(mutex_);
  return rule_lists_;
}

bool MemoryLedger::HasBlobs() const {
  const MutexLock lock(mutex_);
  return !blobs_.empty();
}

absl::StatusOr<std::vector<BlobState>> MemoryLedger::Lookup(std::span<const ObjectId> blobs) const {
  const MutexLock lock(mutex_);
  std::vector<BlobState> states(blobs.size());
  for (size_t i = 0; i < blobs.size(); ++i) {
    const auto place = blobs_.find(blobs[i]);
    if (place == blobs_.end() || !Current(place->second)) continue;
    const BlobRow& row = place->second.row;
    states[i] = {row.hit ? BlobState::Known::kHit : BlobState::Known::kClean, row.rules, row.bytes};
  }
  return states;
}

void MemoryLedger::RecordBlob(const ObjectId& id, const v1::BlobHit& hit, RuleListId rules) {
  const auto [place, is_new] = blobs_.try_emplace(id);
  Blob& blob = place->second;
  const std::vector<v1::Match> found(hit.matches().begin(), hit.matches().end());
  std::vector<v1::Match> earlier(blob.hit.matches().begin(), blob.hit.matches().end());
  RuleListId known_under = rules;
  if (!is_new && Current(blob)) {
    known_under = Intern(UnionOf(rule_lists_[blob.row.rules], rule_lists_[rules]));
  } else {
    for (const auto& [replaced, id_now] : PairIds(earlier, found)) aliases_[replaced] = id_now;
    earlier.clear();  // their ids are another key's
  }
  const std::vector<v1::Match> merged = MergeMatches(earlier, rule_lists_[rules], found);
  const uint64_t bytes = hit.object_bytes() != 0 ? hit.object_bytes() : blob.row.bytes;
  blob.row = {.rules = known_under,
              .hit = !merged.empty(),
              .bytes = bytes,
              .key_epoch = merged.empty() ? 0 : epoch()};
  blob.hit.Clear();
  if (merged.empty()) return;
  blob.hit.set_object_id(std::string(id.raw()));
  blob.hit.set_object_bytes(bytes);
  blob.hit.mutable_matches()->Assign(merged.begin(), merged.end());
}

absl::Status MemoryLedger::RecordBlobs(const v1::BlobBatch& batch, RuleListId rules,
                                       const ShardLease* fence) {
  RETURN_IF_ERROR(CheckBatch(batch));
  if (fence == nullptr) return RecordAll(batch, rules);
  return shards_->Fenced(*fence, [&] { return RecordAll(batch, rules); });
}

absl::Status MemoryLedger::RecordAll(const v1::BlobBatch& batch, RuleListId rules) {
  const MutexLock lock(mutex_);
  if (rules >= rule_lists_.size()) {
    return absl::InvalidArgumentError(absl::StrFormat("rule list %d is not known", rules));
  }
  v1::BlobHit clean;
  const int count = static_cast<int>(batch.clean().size() / ObjectId::kBytes);
  for (int i = 0; i < count; ++i) {
    clean.set_object_bytes(batch.clean_bytes(i));
    RecordBlob(ObjectId::FromRaw(batch.clean().data() + i * ObjectId::kBytes), clean, rules);
  }
  for (const v1::BlobHit& hit : batch.hits()) {
    RecordBlob(ObjectId::FromRaw(hit.object_id().data()), hit, rules);
  }
  return absl::OkStatus();
}

absl::Status MemoryLedger::ReadHits(std::span<const ObjectId> blobs,
                                    absl::FunctionRef<void(const v1::BlobHit&)> visit) const {
  for (const ObjectId& id : blobs) {
    v1::BlobHit hit;
    {
      const MutexLock lock(mutex_);
      const auto place = blobs_.find(id);
      if (place == blobs_.end() || !place->second.row.hit || !Current(place->second)) continue;
      hit = place->second.hit;
    }
    visit(hit);
  }
  return absl::OkStatus();
}

v1::RepositoryRecord MemoryLedger::RecordOf(const Repository& repository) const {
  v1::RepositoryRecord record = repository.row.record;
  if (repository.row.key_epoch != epoch()) ForgetWatermark(&record);
  return record;
}

absl::StatusOr<v1::RepositoryRecord> MemoryLedger::OpenRepository(std::string_view key,
                                                                  std::string_view name) {
  const MutexLock lock(mutex_);
  const auto known = repository_ids_.find(key);
  const uint64_t id = known == repository_ids_.end() ? repository_ids_.size() + 1 : known->second;
  v1::RepositoryRecord& record = repositories_[id].row.record;
  if (!name.empty()) record.set_name(std::string(name));
  if (known == repository_ids_.end()) {
    repository_ids_.emplace(key, id);
    record.set_id(id);
    record.set_key(std::string(key));
  }
  return RecordOf(repositories_[id]);
}

absl::StatusOr<std::optional<v1::RepositoryRecord>> MemoryLedger::ReadRepository(
    uint64_t id) const {
  const MutexLock lock(mutex_);
  const auto place = repositories_.find(id);
  std::optional<v1::RepositoryRecord> record;
  if (place != repositories_.end()) record = RecordOf(place->second);
  return record;
}

absl::StatusOr<std::vector<v1::RepositoryRecord>> MemoryLedger::Repositories() const {
  const MutexLock lock(mutex_);
  std::vector<v1::RepositoryRecord> records;
  for (const auto& [id, repository] : repositories_) records.push_back(RecordOf(repository));
  return records;
}

absl::StatusOr<std::unique_ptr<Ledger::Recording>> MemoryLedger::StartRecording(
    uint64_t repository) {
  const MutexLock lock(mutex_);
  if (!repositories_.contains(repository)) {
    return absl::NotFoundError(absl::StrFormat("no repository %d in the store", repository));
  }
  return std::make_unique<MemoryRecording>(*this, repository);
}

absl::Status MemoryLedger::VisitOccurrences(
    std::span<const uint64_t> repositories,
    absl::FunctionRef<bool(uint64_t, const v1::Occurrence&)> visit) const {
  struct Row {
    SecretId secret;
    uint64_t repository;
    v1::Occurrence occurrence;
  };
  std::vector<Row> rows;  // in the order asked for and of Add, then stably by secret
  {
    const MutexLock lock(mutex_);
    for (const uint64_t id : repositories) {
      const auto place = repositories_.find(id);
      if (place == repositories_.end()) continue;
      for (const auto& [secret, row] : place->second.occurrences) rows.push_back({secret, id, row});
    }
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.secret < b.secret; });
  for (const Row& row : rows) {
    if (!visit(row.repository, row.occurrence)) break;
  }
  return absl::OkStatus();
}

absl::Status MemoryLedger::VisitSecret(
    const SecretId& secret, absl::FunctionRef<bool(uint64_t, const v1::Occurrence&)> visit) const {
  std::vector<std::pair<uint64_t, v1::Occurrence>> rows;
  {
    const MutexLock lock(mutex_);
    for (const auto& [id, repository] : repositories_) {
      const auto [first, end] = repository.occurrences.equal_range(secret);
      for (auto row = first; row != end; ++row) rows.emplace_back(id, row->second);
    }
  }
  for (const auto& [id, row] : rows) {
    if (!visit(id, row)) break;
  }
  return absl::OkStatus();
}

absl::Status MemoryLedger::VisitCommits(std::span<const uint64_t> repositories,
                                        absl::FunctionRef<bool(const v1::Commit&)> visit) const {
  std::map<std::string, std::string> rows;  // id → the smallest of its rows' bytes
  {
    const MutexLock lock(mutex_);
    for (const uint64_t id : repositories) {
      const auto place = repositories_.find(id);
      if (place == repositories_.end()) continue;
      for (const auto& [commit, row] : place->second.commits) {
        const std::string bytes = row.SerializeAsString();
        const auto [known, is_new] = rows.emplace(commit, bytes);
        if (!is_new) known->second = std::min(known->second, bytes);
      }
    }
  }
  for (const auto& [id, bytes] : rows) {
    v1::Commit commit;
    CHECK(commit.ParseFromString(bytes));
    if (!visit(commit)) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::RunRecord> MemoryLedger::StartRun(v1::RunRecord run) {
  const MutexLock lock(mutex_);
  run.set_id(runs_.size() + 1);
  runs_.push_back(run);
  return run;
}

absl::Status MemoryLedger::FinishRun(const v1::RunRecord& run) {
  const MutexLock lock(mutex_);
  if (run.id() == 0 || run.id() > runs_.size()) {
    return absl::NotFoundError(absl::StrFormat("no run %d in the store", run.id()));
  }
  runs_[run.id() - 1] = run;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::RunRecord>> MemoryLedger::Runs() const {
  const MutexLock lock(mutex_);
  return runs_;
}

absl::Status MemoryLedger::RecordIncidentStates(uint64_t run,
                                                std::span<const IncidentState> states) {
  const MutexLock lock(mutex_);
  for (const IncidentState& state : states) incidents_[state.secret][run] = state;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<IncidentHistory>> MemoryLedger::IncidentHistories(const SecretId& from,
                                                                             size_t limit) const {
  const MutexLock lock(mutex_);
  std::vector<IncidentHistory> histories;
  for (auto place = incidents_.lower_bound(from);
       place != incidents_.end() && histories.size() < limit; ++place) {
    IncidentHistory& history = histories.emplace_back(IncidentHistory{place->first, {}});
    for (const auto& [run, state] : place->second) history.rows.push_back({run, state});
  }
  return histories;
}

absl::Status MemoryLedger::CarryHistoriesOver() {
  const MutexLock lock(mutex_);
  for (const auto& [replaced, next] : aliases_) {
    const auto place = incidents_.find(replaced);
    if (place == incidents_.end()) continue;
    const SecretId id = Resolve(replaced);
    std::map<uint64_t, IncidentState> rows = std::move(place->second);
    incidents_.erase(place);
    for (auto& [run, state] : rows) {
      state.secret = id;
      incidents_[id].emplace(run, state);
    }
  }
  return absl::OkStatus();
}

absl::Status MemoryLedger::RecordRunCoverage(uint64_t run, uint64_t repository,
                                             const v1::Coverage& coverage) {
  const MutexLock lock(mutex_);
  const v1::Coverage small = SmallCoverage(coverage);
  std::map<uint64_t, v1::Coverage>& rows = coverage_[repository];
  const auto next = rows.upper_bound(run);
  if (next == rows.begin() ||
      std::prev(next)->second.SerializeAsString() != small.SerializeAsString()) {
    rows[run] = small;
  }
  return absl::OkStatus();
}

absl::Status MemoryLedger::VisitRunCoverage(
    uint64_t repository, absl::FunctionRef<void(uint64_t, const v1::Coverage&)> visit) const {
  std::map<uint64_t, v1::Coverage> rows;
  {
    const MutexLock lock(mutex_);
    const auto place = coverage_.find(repository);
    if (place != coverage_.end()) rows = place->second;
  }
  for (const auto& [run, coverage] : rows) visit(run, coverage);
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<Ledger> NewMemoryLedger(const ShardTableOptions& shards) {
  return std::make_unique<MemoryLedger>(shards);
}

}  // namespace unsprawl
