#include "store/report_rows.h"

#include <algorithm>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "store/ledger_semantics.h"

namespace unsprawl {
namespace {

absl::Status Unreadable(std::string_view what) {
  return absl::DataLossError(absl::StrFormat("the store holds an unreadable row of %s", what));
}

bool Parse(std::string_view bytes, google::protobuf::MessageLite* message) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// Which rows of which repository show.
struct Visible {
  uint64_t repository = 0;
  uint64_t generation = 0;
  uint64_t occurrences = 0;
  uint64_t commits = 0;
};

absl::StatusOr<std::vector<Visible>> ReadVisible(const Database& database,
                                                 const rocksdb::Snapshot* snapshot,
                                                 std::span<const uint64_t> repositories) {
  std::vector<Visible> visible;
  for (const uint64_t id : repositories) {
    ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                     database.Get(Family::kMeta, RepositoryKey(id), snapshot));
    if (!bytes) continue;
    const std::optional<RecordRow> row = DecodeRecordRow(*bytes);
    if (!row) return Unreadable("repositories");
    visible.push_back({id, row->record.generation(), row->occurrences, row->commits});
  }
  return visible;
}

// Passes one row on; false to end.
using OccurrenceVisitor = absl::FunctionRef<bool(uint64_t, const v1::Occurrence&)>;
absl::StatusOr<bool> Pass(const OccurrenceKey& key, std::string_view value, v1::Occurrence* scratch,
                          OccurrenceVisitor visit) {
  if (!Parse(value, scratch)) return Unreadable("occurrences");
  scratch->set_secret(std::string(key.secret.raw()));
  return visit(key.repository, *scratch);
}

// Passes rows on in the order asked for. They come ordered by (secret, number of the repository); when that
// is another order than the one of ranks, a secret's rows wait here until all have come.
class RankedRows {
 public:
  // `ascending`: numbers are in the order of ranks. `passed` counts rows passed on.
  RankedRows(const Database& database, const rocksdb::Snapshot* snapshot, bool ascending,
             OccurrenceVisitor visit, uint64_t* passed)
      : database_(database), snapshot_(snapshot), ascending_(ascending), visit_(visit), passed_(passed) {}

  // False: the visitor ended it.
  absl::StatusOr<bool> Take(const OccurrenceKey& key, size_t rank, std::string_view value) {
    if (ascending_) return Hand(key, value);
    if (secret_ != key.secret) {
      ASSIGN_OR_RETURN(const bool go_on, Finish());
      if (!go_on) return false;
      secret_ = key.secret;
    }
    if (!too_many_.empty()) {
      too_many_.emplace(rank, key);
      return true;
    }
    rows_.push_back({rank, arena_.size(), value.size(), key});
    arena_.append(value);
    if (arena_.size() + rows_.size() * sizeof(Row) < kHeldBytes) return true;
    for (const Row& row : rows_) too_many_.emplace(row.rank, row.key);
    Clear();
    return true;
  }

  // Passes on what waits.
  absl::StatusOr<bool> Finish() {
    const auto by_rank = [](const Row& a, const Row& b) { return a.rank < b.rank; };
    if (!std::is_sorted(rows_.begin(), rows_.end(), by_rank)) {
      std::stable_sort(rows_.begin(), rows_.end(), by_rank);
    }
    for (const Row& row : rows_) {
      ASSIGN_OR_RETURN(const bool go_on,
                       Hand(row.key, std::string_view(arena_).substr(row.offset, row.bytes)));
      if (!go_on) return false;
    }
    Clear();
    for (const auto& [rank, first] : std::exchange(too_many_, {})) {
      ASSIGN_OR_RETURN(const bool go_on, ReadAgain(first));
      if (!go_on) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kHeldBytes = 1 << 20;
  struct Row {
    size_t rank, offset, bytes;  // of its value in arena_
    OccurrenceKey key;
  };

  void Clear() {
    rows_.clear();
    arena_.clear();
  }
  absl::StatusOr<bool> Hand(const OccurrenceKey& key, std::string_view value) {
    ++*passed_;
    return Pass(key, value, &scratch_, visit_);
  }
  // All rows of the secret and repository of `first`.
  absl::StatusOr<bool> ReadAgain(const OccurrenceKey& first) {
    const std::string start = EncodeOccurrenceKey(first);
    const std::string prefix = start.substr(0, start.size() - sizeof(first.sequence));
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    options.fill_cache = false;
    const std::unique_ptr<rocksdb::Iterator> row(
        database_.rocks().NewIterator(options, database_.family(Family::kOccurrences)));
    for (row->Seek(start); row->Valid() && row->key().starts_with(prefix); row->Next()) {
      const std::optional<OccurrenceKey> key = DecodeOccurrenceKey(ToView(row->key()));
      if (!key) return Unreadable("occurrences");
      ASSIGN_OR_RETURN(const bool go_on, Hand(*key, ToView(row->value())));
      if (!go_on) return false;
    }
    RETURN_IF_ERROR(Translate(row->status(), "reading occurrences"));
    return true;
  }

  const Database& database_;
  const rocksdb::Snapshot* const snapshot_;
  const bool ascending_;
  OccurrenceVisitor visit_;
  uint64_t* const passed_;
  v1::Occurrence scratch_;
  SecretId secret_;
  std::vector<Row> rows_;
  std::string arena_;
  // Of a secret with more rows than may wait: the first one of each repository, to read from again.
  std::map<size_t, OccurrenceKey> too_many_;
};

// One pass over everything. Counts what it passes on; false when the visitor ended it.
absl::StatusOr<bool> VisitAll(const Database& database, const rocksdb::Snapshot* snapshot,
                              const std::vector<Visible>& visible, uint64_t* passed,
                              OccurrenceVisitor visit) {
  struct Shown {
    uint64_t generation;
    size_t rank;
  };
  absl::flat_hash_map<uint64_t, Shown> shown;
  for (const Visible& one : visible) shown.emplace(one.repository, Shown{one.generation, shown.size()});
  const bool ascending = std::is_sorted(
      visible.begin(), visible.end(),
      [](const Visible& a, const Visible& b) { return a.repository < b.repository; });
  RankedRows rows(database, snapshot, ascending, visit, passed);
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  options.fill_cache = false;
  options.readahead_size = 256 << 10;
  const std::unique_ptr<rocksdb::Iterator> row(
      database.rocks().NewIterator(options, database.family(Family::kOccurrences)));
  for (row->SeekToFirst(); row->Valid(); row->Next()) {
    const std::optional<OccurrenceKey> key = DecodeOccurrenceKey(ToView(row->key()));
    if (!key) return Unreadable("occurrences");
    const auto place = shown.find(key->repository);
    if (place == shown.end() || place->second.generation != key->generation) continue;
    ASSIGN_OR_RETURN(const bool go_on, rows.Take(*key, place->second.rank, ToView(row->value())));
    if (!go_on) return false;
  }
  RETURN_IF_ERROR(Translate(row->status(), "reading occurrences"));
  return rows.Finish();
}

// The same from the index of a few repositories, merged by secret, reading row by row.
absl::StatusOr<bool> VisitFew(const Database& database, const rocksdb::Snapshot* snapshot,
                              const std::vector<Visible>& visible, uint64_t* passed,
                              OccurrenceVisitor visit) {
  struct Source {
    std::unique_ptr<rocksdb::Iterator> row;
    std::string prefix;
  };
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  std::vector<Source> sources;  // in the order asked for
  std::vector<OccurrenceKey> keys(visible.size());  // the next one of each source
  using Next = std::pair<SecretId, size_t>;         // … by secret, then source
  std::priority_queue<Next, std::vector<Next>, std::greater<>> next;
  const auto push = [&](size_t index) -> absl::Status {
    const Source& source = sources[index];
    if (!source.row->Valid()) return Translate(source.row->status(), "reading places");
    if (!source.row->key().starts_with(source.prefix)) return absl::OkStatus();
    const std::optional<OccurrenceKey> key = DecodePlaceKey(ToView(source.row->key()));
    if (!key) return Unreadable("places");
    keys[index] = *key;
    next.emplace(key->secret, index);
    return absl::OkStatus();
  };
  for (const Visible& one : visible) {
    sources.push_back({std::unique_ptr<rocksdb::Iterator>(
                           database.rocks().NewIterator(options, database.family(Family::kPlaces))),
                       GenerationPrefix(one.repository, one.generation)});
    sources.back().row->Seek(sources.back().prefix);
    RETURN_IF_ERROR(push(sources.size() - 1));
  }
  v1::Occurrence occurrence;
  while (!next.empty()) {
    const size_t index = next.top().second;
    const OccurrenceKey key = keys[index];
    next.pop();
    ASSIGN_OR_RETURN(const std::optional<std::string> value,
                     database.Get(Family::kOccurrences, EncodeOccurrenceKey(key), snapshot));
    if (value) {
      ++*passed;
      ASSIGN_OR_RETURN(const bool go_on, Pass(key, *value, &occurrence, visit));
      if (!go_on) return false;
    }
    sources[index].row->Next();
    RETURN_IF_ERROR(push(index));
  }
  return true;
}

struct CommitRow {
  std::string id, bytes;  // bytes: the Commit without its id
  auto operator<=>(const CommitRow&) const = default;
};

}  // namespace

absl::Status VisitOccurrenceRows(const Database& database, std::span<const uint64_t> repositories,
                                 OccurrenceVisitor visit) {
  constexpr size_t kFewRepositories = 64;  // each source of a merge pins some blocks
  constexpr uint64_t kLookupCost = 16;     // of a row read by its key, in rows of a pass
  constexpr uint64_t kRowBytes = 80;
  const SnapshotOf snapshot(database);
  ASSIGN_OR_RETURN(const std::vector<Visible> visible,
                   ReadVisible(database, snapshot.get(), repositories));
  uint64_t wanted = 0, passed = 0;
  for (const Visible& one : visible) wanted += one.occurrences;
  if (wanted == 0) return absl::OkStatus();
  const uint64_t stored = database.EstimateRows(Family::kOccurrences, kRowBytes);
  const bool few = visible.size() <= kFewRepositories && wanted < stored / kLookupCost;
  ASSIGN_OR_RETURN(const bool finished,
                   few ? VisitFew(database, snapshot.get(), visible, &passed, visit)
                       : VisitAll(database, snapshot.get(), visible, &passed, visit));
  if (!finished || passed == wanted) return absl::OkStatus();
  if (database.reader()) {
    return absl::UnavailableError("the store was written to while it was read: read again");
  }
  return absl::DataLossError(
      absl::StrFormat("the store shows %d occurrences where %d were recorded", passed, wanted));
}

absl::Status VisitSecretRows(const Database& database, const SecretId& secret,
                             OccurrenceVisitor visit) {
  const SnapshotOf snapshot(database);
  rocksdb::ReadOptions options;
  options.snapshot = snapshot.get();
  const std::unique_ptr<rocksdb::Iterator> row(
      database.rocks().NewIterator(options, database.family(Family::kOccurrences)));
  std::optional<Visible> shown;  // of the repository that rows are of now
  uint64_t repository = 0;       // numbers start at 1
  v1::Occurrence occurrence;
  for (row->Seek(ToSlice(secret.raw()));
       row->Valid() && row->key().starts_with(ToSlice(secret.raw())); row->Next()) {
    const std::optional<OccurrenceKey> key = DecodeOccurrenceKey(ToView(row->key()));
    if (!key) return Unreadable("occurrences");
    if (key->repository != repository) {
      repository = key->repository;
      ASSIGN_OR_RETURN(const std::vector<Visible> found,
                       ReadVisible(database, snapshot.get(), std::span(&repository, 1)));
      shown = found.empty() ? std::nullopt : std::optional(found[0]);
    }
    if (!shown || shown->generation != key->generation) continue;
    ASSIGN_OR_RETURN(const bool go_on, Pass(*key, ToView(row->value()), &occurrence, visit));
    if (!go_on) return absl::OkStatus();
  }
  return Translate(row->status(), "reading occurrences");
}

absl::Status VisitCommitRows(const Database& database, std::span<const uint64_t> repositories,
                             absl::FunctionRef<bool(const v1::Commit&)> visit) {
  constexpr uint64_t kRowsAtOnce = 100'000;
  const SnapshotOf snapshot(database);
  ASSIGN_OR_RETURN(const std::vector<Visible> visible,
                   ReadVisible(database, snapshot.get(), repositories));
  uint64_t total = 0;
  for (const Visible& one : visible) total += one.commits;
  // Ids are uniform, so equal shares of their first 16 bits hold about equally many rows.
  const uint64_t shares = std::min<uint64_t>(total / kRowsAtOnce + 1, 1 << 16);
  const auto share_start = [&](uint64_t share) {
    const uint64_t first = (share << 16) / shares;
    return std::string{static_cast<char>(first >> 8), static_cast<char>(first)};
  };

  rocksdb::ReadOptions options;
  options.snapshot = snapshot.get();
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> row(
      database.rocks().NewIterator(options, database.family(Family::kCommits)));
  std::vector<CommitRow> rows;
  v1::Commit commit;
  for (uint64_t share = 0; share < shares; ++share) {
    rows.clear();
    for (const Visible& one : visible) {
      const std::string prefix = GenerationPrefix(one.repository, one.generation);
      const std::string end = share + 1 == shares
                                  ? GenerationPrefix(one.repository, one.generation + 1)
                                  : prefix + share_start(share + 1);
      for (row->Seek(prefix + share_start(share)); row->Valid() && row->key().compare(end) < 0;
           row->Next()) {
        rows.push_back({std::string(ToView(row->key()).substr(prefix.size())),
                        std::string(ToView(row->value()))});
      }
      RETURN_IF_ERROR(Translate(row->status(), "reading commits"));
    }
    // Of a commit's rows (forks may map its author differently) the smallest is shown.
    std::sort(rows.begin(), rows.end());
    const CommitRow* last = nullptr;
    for (const CommitRow& one : rows) {
      if (last != nullptr && last->id == one.id) continue;
      last = &one;
      if (!Parse(one.bytes, &commit)) return Unreadable("commits");
      commit.set_id(one.id);
      if (!visit(commit)) return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> LastRun(const Database& database) {
  const std::unique_ptr<rocksdb::Iterator> row(
      database.rocks().NewIterator(rocksdb::ReadOptions(), database.family(Family::kMeta)));
  row->SeekForPrev(RunKey(UINT64_MAX));
  RETURN_IF_ERROR(Translate(row->status(), "reading runs"));
  if (!row->Valid() || row->key().size() != 9 || row->key()[0] != kRunPrefix) return 0;
  return ReadBigEndian64(row->key().data() + 1);
}

absl::Status WriteIncidentStates(Database& database, uint64_t run,
                                 std::span<const IncidentState> states) {
  constexpr int kRowsAtOnce = 5000;
  rocksdb::WriteBatch batch;
  for (const IncidentState& state : states) {
    batch.Put(database.family(Family::kHistory), IncidentKey(state.secret, run),
              EncodeIncidentState(state));
    if (batch.Count() < kRowsAtOnce) continue;
    RETURN_IF_ERROR(database.Write(&batch));
    batch.Clear();
  }
  return batch.Count() == 0 ? absl::OkStatus() : database.Write(&batch);
}

absl::Status WriteRunCoverage(Database& database, uint64_t run, uint64_t repository,
                              const v1::Coverage& coverage) {
  const std::string key = CoverageKey(repository, run);
  const std::string value = SmallCoverage(coverage).SerializeAsString();
  const std::unique_ptr<rocksdb::Iterator> row(
      database.rocks().NewIterator(rocksdb::ReadOptions(), database.family(Family::kHistory)));
  row->SeekForPrev(key);
  RETURN_IF_ERROR(Translate(row->status(), "reading coverage"));
  const rocksdb::Slice same_repository(key.data(), key.size() - 8);
  if (row->Valid() && row->key().starts_with(same_repository) && row->value() == value) {
    return absl::OkStatus();
  }
  rocksdb::WriteBatch batch;
  batch.Put(database.family(Family::kHistory), key, value);
  return database.Write(&batch);
}

absl::StatusOr<std::vector<IncidentHistory>> ReadIncidentHistories(const Database& database,
                                                                   const SecretId& from,
                                                                   size_t limit) {
  std::vector<IncidentHistory> histories;
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> row(
      database.rocks().NewIterator(options, database.family(Family::kHistory)));
  for (row->Seek(IncidentKey(from, 0)); row->Valid() && row->key()[0] == kIncidentPrefix; row->Next()) {
    const std::string_view key = ToView(row->key());
    const std::optional<SecretId> secret =
        key.size() == 25 ? SecretIdFromRaw(key.substr(1, 16)) : std::nullopt;
    if (!secret) return Unreadable("incident states");
    const std::optional<IncidentState> state = DecodeIncidentState(*secret, ToView(row->value()));
    if (!state) return Unreadable("incident states");
    if (histories.empty() || histories.back().secret != *secret) {
      if (histories.size() == limit) break;
      histories.push_back({*secret, {}});
    }
    histories.back().rows.push_back({ReadBigEndian64(key.data() + 17), *state});
  }
  RETURN_IF_ERROR(Translate(row->status(), "reading incident states"));
  return histories;
}

absl::Status MoveIncidentHistory(Database& database, const SecretId& from, const SecretId& to) {
  rocksdb::WriteBatch batch;
  rocksdb::ColumnFamilyHandle* const history = database.family(Family::kHistory);
  RETURN_IF_ERROR(database.VisitPrefix(
      Family::kHistory, IncidentKey(from, 0).substr(0, 17), nullptr,
      [&](std::string_view key, std::string_view value) -> absl::Status {
        if (key.size() != 25) return Unreadable("incident states");
        batch.Delete(history, ToSlice(key));
        const std::string moved = IncidentKey(to, ReadBigEndian64(key.data() + 17));
        ASSIGN_OR_RETURN(const std::optional<std::string> there, database.Get(Family::kHistory, moved));
        if (!there) batch.Put(history, moved, ToSlice(value));
        return absl::OkStatus();
      }));
  return batch.Count() == 0 ? absl::OkStatus() : database.Write(&batch);
}

absl::Status VisitCoverageRows(const Database& database, uint64_t repository,
                               absl::FunctionRef<void(uint64_t, const v1::Coverage&)> visit) {
  const std::string prefix = CoverageKey(repository, 0).substr(0, 9);
  v1::Coverage coverage;
  return database.VisitPrefix(Family::kHistory, prefix, nullptr,
                              [&](std::string_view key, std::string_view value) -> absl::Status {
                                if (key.size() != 17 || !Parse(value, &coverage)) {
                                  return Unreadable("coverage");
                                }
                                visit(ReadBigEndian64(key.data() + 9), coverage);
                                return absl::OkStatus();
                              });
}

}  // namespace unsprawl
