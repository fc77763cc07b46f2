#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "store/maintenance.h"
#include "store/recording.h"

namespace unsprawl {
namespace {

absl::Status Unreadable(std::string_view what) {
  return absl::DataLossError(absl::StrFormat("the store holds an unreadable row of %s", what));
}

// Collects deletions and writes them a thousand at a time.
class Deleter {
 public:
  explicit Deleter(Database& database) : database_(database) {}
  absl::Status Delete(Family family, std::string_view key) {
    batch_.Delete(database_.family(family), ToSlice(key));
    return FinishIfMany();
  }
  void Put(Family family, std::string_view key, std::string_view value) {
    batch_.Put(database_.family(family), ToSlice(key), ToSlice(value));
  }
  absl::Status FinishIfMany() { return batch_.Count() < 1000 ? absl::OkStatus() : Finish(); }
  absl::Status Finish() {
    RETURN_IF_ERROR(database_.Write(&batch_));
    batch_.Clear();
    return absl::OkStatus();
  }

 private:
  Database& database_;
  rocksdb::WriteBatch batch_;
};

absl::StatusOr<RecordRow> FindRepository(const Database& database, std::string_view name) {
  std::vector<RecordRow> found;
  RETURN_IF_ERROR(
      database.VisitPrefix(Family::kMeta, std::string(1, kRepositoryPrefix), nullptr,
                           [&](std::string_view, std::string_view value) -> absl::Status {
                             std::optional<RecordRow> row = DecodeRecordRow(value);
                             if (!row) return Unreadable("repositories");
                             if (row->record.key() == name || row->record.name() == name)
                               found.push_back(*std::move(row));
                             return absl::OkStatus();
                           }));
  if (found.empty()) return absl::NotFoundError("the store knows no repository of this name");
  if (found.size() == 1) return found[0];
  for (const RecordRow& row : found) {
    if (row.record.key() == name) return row;
  }
  std::string keys;
  for (const RecordRow& row : found) keys += "\n  " + row.record.key();
  return absl::FailedPreconditionError(absl::StrFormat(
      "%d repositories have this name; give one of their keys:%s", found.size(), keys));
}

// Blobs named by occurrences of `repository` and of no other.
absl::StatusOr<std::set<std::string>> BlobsOnlyIn(const Database& database, uint64_t repository) {
  std::set<std::string> ours;
  v1::Occurrence row;
  for (const bool of_others : {false, true}) {
    RETURN_IF_ERROR(database.VisitPrefix(
        Family::kOccurrences, "", nullptr,
        [&](std::string_view bytes, std::string_view value) -> absl::Status {
          const std::optional<OccurrenceKey> key = DecodeOccurrenceKey(bytes);
          if (!key) return Unreadable("occurrences");
          if ((key->repository != repository) != of_others) return absl::OkStatus();
          if (!row.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
            return Unreadable("occurrences");
          }
          if (of_others) {
            ours.erase(row.blob());
          } else if (row.blob().size() == ObjectId::kBytes) {
            ours.insert(row.blob());
          }
          return absl::OkStatus();
        }));
  }
  return ours;
}

// Secrets with rows of `repository` and of no other.
absl::StatusOr<std::set<SecretId>> SecretsOnlyIn(const Database& database, uint64_t repository) {
  std::set<SecretId> ours;
  std::string prefix;
  AppendBigEndian64(&prefix, repository);
  RETURN_IF_ERROR(database.VisitPrefix(Family::kPlaces, prefix, nullptr,
                                       [&](std::string_view bytes, std::string_view) -> absl::Status {
                                         const std::optional<OccurrenceKey> key = DecodePlaceKey(bytes);
                                         if (!key) return Unreadable("places");
                                         ours.insert(key->secret);
                                         return absl::OkStatus();
                                       }));
  for (auto secret = ours.begin(); secret != ours.end();) {
    bool elsewhere = false;
    RETURN_IF_ERROR(database.VisitPrefix(
        Family::kOccurrences, secret->raw(), nullptr,
        [&](std::string_view bytes, std::string_view) -> absl::Status {
          const std::optional<OccurrenceKey> key = DecodeOccurrenceKey(bytes);
          if (!key) return Unreadable("occurrences");
          elsewhere |= key->repository != repository;
          return absl::OkStatus();
        }));
    secret = elsewhere ? ours.erase(secret) : std::next(secret);
  }
  return ours;
}

// Takes `secret` out of every row of matches; a blob without any other becomes clean.
absl::Status PurgeMatches(Database& database, const SecretId& secret, PurgeCounts* counts) {
  Deleter deleter(database);
  v1::BlobHit hit;
  const auto purge_row = [&](std::string_view key, std::string_view value) -> absl::Status {
    if (!hit.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
      return Unreadable("matches");
    }
    const int before = hit.matches_size();
    auto& matches = *hit.mutable_matches();
    const auto is_it = [&](const v1::Match& match) { return match.secret() == secret.raw(); };
    matches.erase(std::remove_if(matches.begin(), matches.end(), is_it), matches.end());
    if (matches.size() == before) return absl::OkStatus();
    counts->matches += static_cast<uint64_t>(before - matches.size());
    ++counts->blobs;
    if (!matches.empty()) {
      deleter.Put(Family::kMatches, key, hit.SerializeAsString());
      return deleter.FinishIfMany();
    }
    ASSIGN_OR_RETURN(const std::optional<std::string> blob, database.Get(Family::kBlobs, key));
    std::optional<BlobRow> row = blob ? DecodeBlobRow(*blob) : std::nullopt;
    if (!row) return Unreadable("blobs");
    row->hit = false;
    row->key_epoch = 0;
    deleter.Put(Family::kBlobs, key, EncodeBlobRow(*row));
    return deleter.Delete(Family::kMatches, key);  // in one batch with it
  };
  RETURN_IF_ERROR(database.VisitPrefix(Family::kMatches, "", nullptr, purge_row));
  return deleter.Finish();
}

// Deletes the occurrences of `secret`, and takes them off their repositories' counts, all at once.
absl::Status PurgeOccurrences(Database& database, const SecretId& secret, PurgeCounts* counts) {
  rocksdb::WriteBatch batch;
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> gone;  // by repository and generation
  RETURN_IF_ERROR(
      database.VisitPrefix(Family::kOccurrences, secret.raw(), nullptr,
                           [&](std::string_view bytes, std::string_view) -> absl::Status {
                             const std::optional<OccurrenceKey> key = DecodeOccurrenceKey(bytes);
                             if (!key) return Unreadable("occurrences");
                             batch.Delete(database.family(Family::kOccurrences), ToSlice(bytes));
                             batch.Delete(database.family(Family::kPlaces), EncodePlaceKey(*key));
                             ++gone[{key->repository, key->generation}];
                             return absl::OkStatus();
                           }));
  for (const auto& [from, rows] : gone) {
    ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                     database.Get(Family::kMeta, RepositoryKey(from.first)));
    std::optional<RecordRow> row = bytes ? DecodeRecordRow(*bytes) : std::nullopt;
    if (!row || row->record.generation() != from.second) continue;
    row->occurrences -= rows;
    batch.Put(database.family(Family::kMeta), RepositoryKey(from.first), EncodeRecordRow(*row));
    counts->occurrences += rows;
    ++counts->repositories;
  }
  return database.Write(&batch);
}

}  // namespace

absl::StatusOr<PurgeCounts> PurgeRepository(Database& database, std::string_view name) {
  ASSIGN_OR_RETURN(const RecordRow row, FindRepository(database, name));
  const uint64_t id = row.record.id(), generation = row.record.generation();
  PurgeCounts counts{.repositories = 1, .occurrences = row.occurrences, .commits = row.commits};
  ASSIGN_OR_RETURN(const std::set<std::string> blobs, BlobsOnlyIn(database, id));
  Deleter deleter(database);
  for (const std::string& blob : blobs) {
    ASSIGN_OR_RETURN(const std::optional<std::string> known, database.Get(Family::kBlobs, blob));
    if (!known) continue;
    ++counts.blobs;
    // Together: a hit without matches, or the reverse, must not be seen.
    rocksdb::WriteBatch pair;
    pair.Delete(database.family(Family::kBlobs), blob);
    pair.Delete(database.family(Family::kMatches), blob);
    RETURN_IF_ERROR(database.Write(&pair));
  }
  const auto delete_history = [&](std::string_view key, std::string_view) {
    ++counts.states;
    return deleter.Delete(Family::kHistory, key);
  };
  RETURN_IF_ERROR(database.VisitPrefix(Family::kHistory, CoverageKey(id, 0).substr(0, 9), nullptr,
                                       delete_history));
  // Or the next run would call them removed.
  ASSIGN_OR_RETURN(const std::set<SecretId> secrets, SecretsOnlyIn(database, id));
  for (const SecretId& secret : secrets) {
    RETURN_IF_ERROR(database.VisitPrefix(Family::kHistory, IncidentKey(secret, 0).substr(0, 17),
                                         nullptr, delete_history));
  }
  RETURN_IF_ERROR(deleter.Finish());
  // The record goes with a mark of doom for its rows: a crash leaves only what the next opening
  // deletes.
  rocksdb::WriteBatch record;
  record.Delete(database.family(Family::kMeta), RepositoryKey(id));
  record.Delete(database.family(Family::kMeta), RepositoryNameKey(row.record.key()));
  record.Put(database.family(Family::kMeta), DoomedKey(id, generation), "");
  RETURN_IF_ERROR(database.Write(&record));
  RETURN_IF_ERROR(DeleteGeneration(database, id, generation));
  return counts;
}

absl::StatusOr<PurgeCounts> PurgeSecret(Database& database, const SecretId& secret) {
  PurgeCounts counts;
  RETURN_IF_ERROR(PurgeMatches(database, secret, &counts));
  RETURN_IF_ERROR(PurgeOccurrences(database, secret, &counts));
  Deleter deleter(database);
  RETURN_IF_ERROR(database.VisitPrefix(Family::kHistory, IncidentKey(secret, 0).substr(0, 17),
                                       nullptr, [&](std::string_view key, std::string_view) {
                                         ++counts.states;
                                         return deleter.Delete(Family::kHistory, key);
                                       }));
  RETURN_IF_ERROR(
      database.VisitPrefix(Family::kMeta, std::string(1, kAliasPrefix), nullptr,
                           [&](std::string_view key, std::string_view value) -> absl::Status {
                             if (key.substr(1) != secret.raw() && value != secret.raw())
                               return absl::OkStatus();
                             ++counts.states;
                             return deleter.Delete(Family::kMeta, key);
                           }));
  RETURN_IF_ERROR(deleter.Finish());
  if (counts.matches + counts.occurrences + counts.states == 0) {
    return absl::NotFoundError("the store knows nothing of this secret");
  }
  return counts;
}

absl::Status DropHitsOfOldKeys(Database& database, uint64_t keys) {
  constexpr uint32_t kRowsAtOnce = 1000;
  rocksdb::WriteBatch batch;
  RETURN_IF_ERROR(database.VisitPrefix(
      Family::kBlobs, "", nullptr, [&](std::string_view key, std::string_view value) -> absl::Status {
        const std::optional<BlobRow> row = DecodeBlobRow(value);
        if (!row) return Unreadable("blobs");
        if (!row->hit || row->key_epoch >= keys) return absl::OkStatus();
        // Both or none: a hit without matches must not be seen.
        batch.Delete(database.family(Family::kBlobs), ToSlice(key));
        batch.Delete(database.family(Family::kMatches), ToSlice(key));
        if (batch.Count() < kRowsAtOnce) return absl::OkStatus();
        RETURN_IF_ERROR(database.Write(&batch));
        batch.Clear();
        return absl::OkStatus();
      }));
  return database.Write(&batch);
}

absl::Status CompactStore(Database& database) {
  RETURN_IF_ERROR(
      Translate(database.rocks().Flush(rocksdb::FlushOptions(), database.family(Family::kMeta)),
                "flushing the store"));
  for (size_t i = 0; i < kFamilies; ++i) {
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    RETURN_IF_ERROR(
        Translate(database.rocks().CompactRange(options, database.family(static_cast<Family>(i)),
                                                nullptr, nullptr),
                  "compacting the store"));
  }
  return absl::OkStatus();
}

}  // namespace unsprawl
