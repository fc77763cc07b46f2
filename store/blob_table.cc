#include "store/blob_table.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "store/ledger_semantics.h"

namespace unsprawl {
namespace {

// How many keys one MultiGet takes: bounds the blocks it pins.
constexpr size_t kKeysAtOnce = 256;
// Likewise, of hits: a hostile one has megabytes of matches.
constexpr size_t kHitsAtOnce = 64;

absl::Status Unreadable(std::string_view what) {
  return absl::DataLossError(absl::StrFormat("the store holds an unreadable row of %s", what));
}

// The first eight bytes, as a number in the same order as the ids: decides most comparisons.
uint64_t PrefixOf(const ObjectId& id) {
  return ReadBigEndian64(reinterpret_cast<const char*>(id.bytes.data()));
}

std::string EncodeMatches(const std::vector<v1::Match>& matches) {
  v1::BlobHit hit;
  hit.mutable_matches()->Assign(matches.begin(), matches.end());
  return hit.SerializeAsString();
}

}  // namespace

BlobTable::BlobTable(Database& database, RuleBook& rules, const BlobTableOptions& options)
    : database_(database),
      rules_(rules),
      options_(options),
      began_empty_(!database.reader() && database.Empty(Family::kBlobs)),
      has_rows_(!began_empty_),
      has_stored_(!began_empty_) {
  if (database.reader()) CatchUp();
}

void BlobTable::CatchUp() {
  const bool stored = !database_.Empty(Family::kBlobs);
  has_stored_ = stored;
  has_rows_ = stored;
}

absl::StatusOr<std::vector<BlobState>> BlobTable::Lookup(std::span<const ObjectId> blobs,
                                                         uint32_t epoch) const {
  std::vector<BlobState> states(blobs.size());
  if (!HasBlobs()) return states;
  std::vector<std::optional<BlobRow>> rows(blobs.size());
  std::vector<uint32_t> stored;  // indexes of those that the buffer lacks
  std::optional<SnapshotOf> snapshot;
  {
    const MutexLock lock(mutex_);
    for (size_t i = 0; i < blobs.size(); ++i) {
      const auto buffered = rows_.find(blobs[i]);
      if (buffered != rows_.end()) {
        rows[i] = buffered->second;
      } else if (!began_empty_ || seen_.MayContain(blobs[i])) {
        stored.push_back(static_cast<uint32_t>(i));
      }
    }
    snapshot.emplace(
        database_);  // what leaves the buffer later is seen in it or before, never missed
  }
  RETURN_IF_ERROR(ReadStoredRows(blobs, stored, snapshot->get(), &rows));
  for (size_t i = 0; i < blobs.size(); ++i) {
    if (!rows[i] || (rows[i]->hit && rows[i]->key_epoch != epoch)) continue;
    states[i] = {rows[i]->hit ? BlobState::Known::kHit : BlobState::Known::kClean, rows[i]->rules,
                 rows[i]->bytes};
  }
  return states;
}

absl::Status BlobTable::ReadStoredRows(std::span<const ObjectId> blobs,
                                       std::span<const uint32_t> which,
                                       const rocksdb::Snapshot* snapshot,
                                       std::vector<std::optional<BlobRow>>* rows) const {
  if (!has_stored_.load(std::memory_order_acquire) || which.empty()) return absl::OkStatus();
  std::vector<Wanted> order;
  order.reserve(which.size());
  for (const uint32_t i : which) {
    order.push_back({PrefixOf(blobs[i]), i});
  }
  const auto by_id = [&](const Wanted& a, const Wanted& b) {
    return a.prefix != b.prefix ? a.prefix < b.prefix : blobs[a.index] < blobs[b.index];
  };
  if (!std::is_sorted(order.begin(), order.end(), by_id)) {
    std::sort(order.begin(), order.end(), by_id);
  }
  return Dense(order) ? WalkRows(blobs, order, snapshot, rows)
                      : GetRows(blobs, order, snapshot, rows);
}

bool BlobTable::Dense(std::span<const Wanted> order) const {
  constexpr double kGetCost = 6;  // of one row found by its key, in steps of a walk
  constexpr uint64_t kRowBytes = 28;
  const uint64_t stored = database_.EstimateRows(Family::kBlobs, kRowBytes);
  // Ids are uniform: their part of the space is their part of the rows.
  const double part = static_cast<double>(order.back().prefix - order.front().prefix) / 0x1p64;
  return part * static_cast<double>(stored) < kGetCost * static_cast<double>(order.size());
}

absl::Status BlobTable::WalkRows(std::span<const ObjectId> blobs, std::span<const Wanted> order,
                                 const rocksdb::Snapshot* snapshot,
                                 std::vector<std::optional<BlobRow>>* rows) const {
  constexpr int kStepsBeforeSeek = 30;
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  const std::unique_ptr<rocksdb::Iterator> row(
      database_.rocks().NewIterator(options, database_.family(Family::kBlobs)));
  row->Seek(ToSlice(blobs[order.front().index].raw()));
  for (const Wanted& wanted : order) {
    const rocksdb::Slice key = ToSlice(blobs[wanted.index].raw());
    int steps = 0;
    int compared = -1;
    while (row->Valid() && (compared = row->key().compare(key)) < 0) {
      if (++steps < kStepsBeforeSeek) {
        row->Next();
      } else {
        row->Seek(key);
      }
    }
    if (!row->Valid()) break;
    if (compared != 0) continue;
    (*rows)[wanted.index] = DecodeBlobRow(ToView(row->value()));
    if (!(*rows)[wanted.index]) return Unreadable("blobs");
  }
  return Translate(row->status(), "looking up blobs");
}

absl::Status BlobTable::GetRows(std::span<const ObjectId> blobs, std::span<const Wanted> order,
                                const rocksdb::Snapshot* snapshot,
                                std::vector<std::optional<BlobRow>>* rows) const {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  std::vector<rocksdb::Slice> keys(kKeysAtOnce);
  std::vector<rocksdb::PinnableSlice> values(kKeysAtOnce);
  std::vector<rocksdb::Status> statuses(kKeysAtOnce);
  for (size_t at = 0; at < order.size(); at += kKeysAtOnce) {
    const size_t count = std::min(kKeysAtOnce, order.size() - at);
    for (size_t i = 0; i < count; ++i) keys[i] = ToSlice(blobs[order[at + i].index].raw());
    database_.rocks().MultiGet(options, database_.family(Family::kBlobs), count, keys.data(),
                               values.data(), statuses.data(), /*sorted_input=*/true);
    for (size_t i = 0; i < count; ++i) {
      if (!statuses[i].IsNotFound()) {
        RETURN_IF_ERROR(Translate(statuses[i], "looking up a blob"));
        std::optional<BlobRow>& row = (*rows)[order[at + i].index];
        row = DecodeBlobRow(ToView(values[i]));
        if (!row) return Unreadable("blobs");
      }
      values[i].Reset();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::optional<BlobRow>>> BlobTable::ReadRows(
    std::span<const ObjectId> blobs) const {
  std::vector<std::optional<BlobRow>> rows(blobs.size());
  std::vector<uint32_t> stored;
  for (size_t i = 0; i < blobs.size(); ++i) {
    const auto buffered = rows_.find(blobs[i]);
    if (buffered != rows_.end()) {
      rows[i] = buffered->second;
    } else if (!began_empty_ || seen_.MayContain(blobs[i])) {
      stored.push_back(static_cast<uint32_t>(i));
    }
  }
  RETURN_IF_ERROR(ReadStoredRows(blobs, stored, nullptr, &rows));
  return rows;
}

absl::StatusOr<std::optional<std::string>> BlobTable::ReadMatches(const ObjectId& id) const {
  const auto buffered = matches_.find(id);
  if (buffered == matches_.end()) return database_.Get(Family::kMatches, id.raw());
  if (buffered->second.empty()) return std::optional<std::string>();
  return std::optional<std::string>(buffered->second);
}

absl::Status BlobTable::ReadHits(std::span<const ObjectId> blobs, uint32_t epoch,
                                 absl::FunctionRef<void(const v1::BlobHit&)> visit) const {
  constexpr size_t kBlobsAtOnce = 16 << 10;
  v1::BlobHit hit;
  for (size_t at = 0; at < blobs.size(); at += kBlobsAtOnce) {
    const auto some = blobs.subspan(at, std::min(kBlobsAtOnce, blobs.size() - at));
    ASSIGN_OR_RETURN(const std::vector<BlobState> states, Lookup(some, epoch));
    std::vector<uint32_t> hits;
    for (uint32_t i = 0; i < some.size(); ++i) {
      if (states[i].known == BlobState::Known::kHit) hits.push_back(i);
    }
    for (size_t first = 0; first < hits.size(); first += kHitsAtOnce) {
      const auto which = std::span(hits).subspan(first, std::min(kHitsAtOnce, hits.size() - first));
      ASSIGN_OR_RETURN(const std::vector<std::optional<std::string>> rows, ReadMatches(some, which));
      for (size_t row = 0; row < which.size(); ++row) {
        const uint32_t i = which[row];
        if (!rows[row]) {  // gone: it was recorded clean meanwhile, or the store is damaged
          ASSIGN_OR_RETURN(const std::vector<BlobState> now, Lookup(some.subspan(i, 1), epoch));
          if (now[0].known != BlobState::Known::kHit) continue;
          return absl::DataLossError("the store has a hit without its matches");
        }
        if (!hit.ParseFromString(*rows[row])) return Unreadable("matches");
        hit.set_object_id(std::string(some[i].raw()));
        hit.set_object_bytes(states[i].bytes);
        visit(hit);
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::optional<std::string>>> BlobTable::ReadMatches(
    std::span<const ObjectId> blobs, std::span<const uint32_t> which) const {
  std::vector<std::optional<std::string>> rows(which.size());
  std::vector<size_t> stored;
  std::vector<rocksdb::Slice> keys;
  {
    const MutexLock lock(mutex_);
    for (size_t row = 0; row < which.size(); ++row) {
      const ObjectId& id = blobs[which[row]];
      const auto buffered = matches_.find(id);
      if (buffered == matches_.end()) {
        stored.push_back(row);
        keys.push_back(ToSlice(id.raw()));
      } else if (!buffered->second.empty()) {
        rows[row] = buffered->second;
      }
    }
  }
  // What has left the buffer since was written before.
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  database_.rocks().MultiGet({}, database_.family(Family::kMatches), keys.size(), keys.data(), values.data(),
                             statuses.data());
  for (size_t i = 0; i < stored.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    RETURN_IF_ERROR(Translate(statuses[i], "reading matches"));
    rows[stored[i]] = values[i].ToString();
  }
  return rows;
}

absl::Status BlobTable::Record(const v1::BlobBatch& batch, RuleListId rules, uint32_t epoch) {
  RETURN_IF_ERROR(CheckBatch(batch));
  ASSIGN_OR_RETURN(const std::vector<uint64_t> run, rules_.List(rules));
  std::vector<Scanned> scanned;
  const int clean = static_cast<int>(batch.clean().size() / ObjectId::kBytes);
  scanned.reserve(static_cast<size_t>(clean + batch.hits_size()));
  const auto add = [&](const void* raw, const v1::BlobHit* hit, uint64_t bytes) {
    const ObjectId id = ObjectId::FromRaw(raw);
    scanned.push_back({PrefixOf(id), id, hit, bytes});
  };
  for (int i = 0; i < clean; ++i) {
    add(batch.clean().data() + i * ObjectId::kBytes, nullptr, batch.clean_bytes(i));
  }
  for (const v1::BlobHit& hit : batch.hits()) add(hit.object_id().data(), &hit, hit.object_bytes());
  // Of one blob named twice the last stays, a hit rather than clean.
  const auto by_id = [](const Scanned& a, const Scanned& b) {
    return a.prefix != b.prefix ? a.prefix < b.prefix : a.id < b.id;
  };
  std::stable_sort(scanned.begin(), scanned.end(), by_id);
  std::vector<ObjectId> ids;
  size_t kept = 0;
  for (const Scanned& one : scanned) {
    if (!ids.empty() && ids.back() == one.id) {
      scanned[kept - 1] = one;
      continue;
    }
    ids.push_back(one.id);
    scanned[kept++] = one;
  }
  scanned.resize(kept);

  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const std::vector<std::optional<BlobRow>> known, ReadRows(ids));
  std::vector<Change> changes;
  for (size_t i = 0; i < scanned.size(); ++i) {
    ASSIGN_OR_RETURN(std::optional<Change> change,
                     ChangeOf(scanned[i], known[i], rules, run, epoch));
    if (change) changes.push_back(*std::move(change));
  }
  if (rows_.empty()) oldest_ = std::chrono::steady_clock::now();
  for (Change& change : changes) Apply(std::move(change));
  return Full() ? FlushLocked() : absl::OkStatus();
}

absl::StatusOr<std::optional<BlobTable::Change>> BlobTable::ChangeOf(
    const Scanned& scanned, const std::optional<BlobRow>& known, RuleListId rules,
    std::span<const uint64_t> run, uint32_t epoch) {
  const bool current = known && (!known->hit || known->key_epoch == epoch);
  RuleListId known_under = rules;
  if (current) {
    ASSIGN_OR_RETURN(known_under, rules_.Union(known->rules, rules));
  }
  const uint64_t bytes = scanned.bytes != 0 || !known ? scanned.bytes : known->bytes;
  const bool had_matches = known && known->hit;
  if (!had_matches && (scanned.hit == nullptr || scanned.hit->matches().empty())) {
    const BlobRow row{.rules = known_under, .bytes = bytes};
    if (current && row == *known) return std::optional<Change>();
    return std::optional<Change>({scanned.id, row, std::nullopt, {}});
  }

  v1::BlobHit earlier;
  if (had_matches) {
    ASSIGN_OR_RETURN(const std::optional<std::string> row, ReadMatches(scanned.id));
    if (!row || !earlier.ParseFromString(*row)) return Unreadable("matches");
  }
  std::vector<v1::Match> before(earlier.matches().begin(), earlier.matches().end());
  std::vector<v1::Match> found;
  if (scanned.hit != nullptr) {
    found.assign(scanned.hit->matches().begin(), scanned.hit->matches().end());
  }
  Change change{scanned.id, {.rules = known_under, .bytes = bytes}, std::string(), {}};
  if (!current) {  // made with an earlier key: its ids live on only as aliases
    change.aliases = PairIds(before, found);
    before.clear();
  }
  const std::vector<v1::Match> merged = MergeMatches(before, run, found);
  if (!merged.empty()) {
    change.row.hit = true;
    change.row.key_epoch = epoch;
    change.matches = EncodeMatches(merged);
  }
  return std::optional<Change>(std::move(change));
}

void BlobTable::Apply(Change change) {
  rows_[change.id] = change.row;
  if (began_empty_) seen_.Add(change.id);
  if (change.matches) {
    match_bytes_ += change.matches->size() + sizeof(std::string);
    matches_[change.id] = *std::move(change.matches);
  }
  aliases_.insert(aliases_.end(), change.aliases.begin(), change.aliases.end());
  has_rows_.store(true, std::memory_order_release);
}

bool BlobTable::Full() const {
  return rows_.size() >= options_.buffer_rows || match_bytes_ >= options_.buffer_match_bytes ||
         std::chrono::steady_clock::now() - oldest_ >= options_.buffer_time;
}

absl::Status BlobTable::Flush() {
  const MutexLock lock(mutex_);
  return FlushLocked();
}

absl::Status BlobTable::FlushLocked() {
  if (rows_.empty()) return absl::OkStatus();
  constexpr Family kInOrder[] = {Family::kMeta, Family::kMatches, Family::kBlobs};
  SortedRows parts[3];
  for (const auto& [replaced, id] : aliases_) parts[0].Put(AliasKey(replaced), id.raw());
  for (const auto& [id, bytes] : matches_) {
    if (bytes.empty()) {
      parts[1].Delete(id.raw());
    } else {
      parts[1].Put(id.raw(), bytes);
    }
  }
  for (const auto& [id, row] : rows_) parts[2].Put(id.raw(), EncodeBlobRow(row));
  if (rows_.size() < options_.ingest_rows) {
    rocksdb::WriteBatch batch;
    for (size_t i = 0; i < 3; ++i) {
      RETURN_IF_ERROR(
          Translate(parts[i].AppendTo(&batch, database_.family(kInOrder[i])), "a batch"));
    }
    RETURN_IF_ERROR(database_.Write(&batch));
  } else {
    std::vector<Database::Staged> staged;
    for (size_t i = 0; i < 3; ++i) {
      if (parts[i].empty()) continue;
      ASSIGN_OR_RETURN(std::string file, database_.Stage(kInOrder[i], parts[i]));
      staged.push_back({kInOrder[i], {std::move(file)}});
    }
    RETURN_IF_ERROR(database_.Ingest(std::move(staged)));
  }
  has_stored_.store(true, std::memory_order_release);
  rows_.clear();
  matches_.clear();
  aliases_.clear();
  match_bytes_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<SecretId>> BlobTable::Alias(const SecretId& replaced) const {
  const MutexLock lock(mutex_);
  for (const auto& [from, to] : aliases_) {
    if (from == replaced) return std::optional<SecretId>(to);
  }
  ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                   database_.Get(Family::kMeta, AliasKey(replaced)));
  if (!bytes) return std::optional<SecretId>();
  return SecretIdFromRaw(*bytes);
}

}  // namespace unsprawl
