#include "store/report_rows.h"

#include <algorithm>
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

// One pass over everything. Counts what it passes on; false when the visitor ended it.
absl::StatusOr<bool> VisitAll(const Database& database, const rocksdb::Snapshot* snapshot,
                              const std::vector<Visible>& visible, uint64_t* passed,
                              OccurrenceVisitor visit) {
  absl::flat_hash_map<uint64_t, uint64_t> generations;
  for (const Visible& one : visible) generations.emplace(one.repository, one.generation);
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  options.fill_cache = false;
  options.readahead_size = 256 << 10;
  const std::unique_ptr<rocksdb::Iterator> row(
      database.rocks().NewIterator(options, database.family(Family::kOccurrences)));
  v1::Occurrence occurrence;
  for (row->SeekToFirst(); row->Valid(); row->Next()) {
    const std::optional<OccurrenceKey> key = DecodeOccurrenceKey(ToView(row->key()));
    if (!key) return Unreadable("occurrences");
    const auto generation = generations.find(key->repository);
    if (generation == generations.end() || generation->second != key->generation) continue;
    ++*passed;
    ASSIGN_OR_RETURN(const bool go_on, Pass(*key, ToView(row->value()), &occurrence, visit));
    if (!go_on) return false;
  }
  RETURN_IF_ERROR(Translate(row->status(), "reading occurrences"));
  return true;
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
  std::vector<Source> sources;
  using Next =
      std::pair<std::string, size_t>;  // key in the occurrences' order; index of its source
  std::priority_queue<Next, std::vector<Next>, std::greater<>> next;
  const auto push = [&](size_t index) -> absl::Status {
    const Source& source = sources[index];
    if (!source.row->Valid()) return Translate(source.row->status(), "reading places");
    if (!source.row->key().starts_with(source.prefix)) return absl::OkStatus();
    const std::optional<OccurrenceKey> key = DecodePlaceKey(ToView(source.row->key()));
    if (!key) return Unreadable("places");
    next.emplace(EncodeOccurrenceKey(*key), index);
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
    const auto [key, index] = next.top();
    next.pop();
    ASSIGN_OR_RETURN(const std::optional<std::string> value,
                     database.Get(Family::kOccurrences, key, snapshot));
    if (value) {
      ++*passed;
      ASSIGN_OR_RETURN(const bool go_on,
                       Pass(*DecodeOccurrenceKey(key), *value, &occurrence, visit));
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
  const std::unique_ptr<rocksdb::Iterator> row(
      database.rocks().NewIterator(rocksdb::ReadOptions(), database.family(Family::kHistory)));
  rocksdb::WriteBatch batch;
  for (const IncidentState& state : states) {
    const std::string key = IncidentKey(state.secret, run);
    const std::string value = EncodeIncidentState(state);
    row->SeekForPrev(key);
    RETURN_IF_ERROR(Translate(row->status(), "reading incident states"));
    const rocksdb::Slice same_secret(key.data(), key.size() - 8);
    if (row->Valid() && row->key().starts_with(same_secret) && row->value() == value) continue;
    batch.Put(database.family(Family::kHistory), key, value);
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

absl::Status VisitIncidentRows(const Database& database, const SecretId& secret,
                               absl::FunctionRef<void(uint64_t, const IncidentState&)> visit) {
  const std::string prefix = IncidentKey(secret, 0).substr(0, 17);
  return database.VisitPrefix(Family::kHistory, prefix, nullptr,
                              [&](std::string_view key, std::string_view value) -> absl::Status {
                                const std::optional<IncidentState> state =
                                    DecodeIncidentState(secret, value);
                                if (!state || key.size() != 25)
                                  return Unreadable("incident states");
                                visit(ReadBigEndian64(key.data() + 17), *state);
                                return absl::OkStatus();
                              });
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
