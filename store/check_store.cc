#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"
#include "store/maintenance.h"

namespace unsprawl {
namespace {

template <typename Message>
bool Parses(std::string_view bytes) {
  Message message;
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

class Checker {
 public:
  explicit Checker(const Database& database) : database_(database), snapshot_(database) {}

  absl::StatusOr<StoreFindings> Check() {
    RETURN_IF_ERROR(Visit(Family::kMeta, &Checker::CheckMeta));
    RETURN_IF_ERROR(Visit(Family::kBlobs, &Checker::CheckBlob));
    RETURN_IF_ERROR(Visit(Family::kMatches, &Checker::CheckMatches));
    RETURN_IF_ERROR(Visit(Family::kOccurrences, &Checker::CheckOccurrenceRow));
    RETURN_IF_ERROR(Visit(Family::kPlaces, &Checker::CheckPlace));
    RETURN_IF_ERROR(Visit(Family::kCommits, &Checker::CheckCommitRow));
    RETURN_IF_ERROR(Visit(Family::kHistory, &Checker::CheckHistory));
    CheckCounts();
    return found_;
  }

 private:
  struct Repository {
    uint64_t generation = 0, occurrences = 0, commits = 0;  // as its record says
    uint64_t seen_occurrences = 0, seen_commits = 0;
    uint32_t key_epoch = 0;
  };
  using RowCheck = absl::Status (Checker::*)(std::string_view key, std::string_view value);

  absl::Status Visit(Family family, RowCheck check) {
    return database_.VisitPrefix(
        family, "", snapshot_.get(),
        [&](std::string_view key, std::string_view value) { return (this->*check)(key, value); });
  }

  void Problem(std::string text) {
    if (++found_.problems <= 20) found_.examples.push_back(std::move(text));
  }

  absl::Status CheckMeta(std::string_view key, std::string_view value) {
    switch (key[0]) {
      case kSinglePrefix:
        if (key == SchemaKey()) found_.schema = TakeVarint(&value).value_or(0);
        break;
      case kKeyEpochPrefix:
        ++found_.keys;
        if (!SecretIdFromRaw(value)) Problem("a key's check is unreadable");
        break;
      case kRuleListPrefix:
        ++found_.rule_lists;
        if (!DecodeRuleList(value)) Problem("a rule list is unreadable");
        break;
      case kRepositoryNamePrefix:
        ++names_;
        break;
      case kRepositoryPrefix:
        return CheckRepository(key, value);
      case kDoomedPrefix:
        if (key.size() == 17) {
          doomed_.emplace(ReadBigEndian64(key.data() + 1), ReadBigEndian64(key.data() + 9));
        } else {
          Problem("a mark of doom is unreadable");
        }
        break;
      case kRunPrefix:
        ++found_.runs;
        if (!Parses<v1::RunRecord>(value)) Problem("a run is unreadable");
        break;
      case kNotePrefix:
        break;  // Bytes of the coordinator's.
      case kShardPrefix:
        return CheckShard(key, value);
      case kShardPayloadPrefix:
      case kShardResultPrefix:
        return CheckOfShard(key);
      case kAliasPrefix:
        ++found_.aliases;
        if (key.size() != 17 || !SecretIdFromRaw(value)) Problem("an alias is unreadable");
        break;
      default:
        Problem(absl::StrFormat("a meta row of unknown kind %d", static_cast<uint8_t>(key[0])));
    }
    return absl::OkStatus();
  }

  absl::Status CheckRepository(std::string_view key, std::string_view value) {
    ++found_.repositories;
    const std::optional<RecordRow> row = DecodeRecordRow(value);
    if (!row || key != RepositoryKey(row->record.id())) {
      Problem("a repository is unreadable");
      return absl::OkStatus();
    }
    const uint64_t id = row->record.id();
    repositories_[id] = {.generation = row->record.generation(),
                         .occurrences = row->occurrences,
                         .commits = row->commits,
                         .key_epoch = row->key_epoch};
    ASSIGN_OR_RETURN(
        const std::optional<std::string> named,
        database_.Get(Family::kMeta, RepositoryNameKey(row->record.key()), snapshot_.get()));
    std::string_view rest = named ? std::string_view(*named) : std::string_view();
    if (TakeVarint(&rest) != id)
      Problem(absl::StrFormat("repository %d is not found by its key", id));
    return absl::OkStatus();
  }

  absl::Status CheckShard(std::string_view key, std::string_view value) {
    v1::Shard shard;
    if (!shard.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
        key != ShardKey(shard.id())) {
      Problem("a shard is unreadable");
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(
        const std::optional<std::string> payload,
        database_.Get(Family::kMeta, ShardPayloadKey(shard.id()), snapshot_.get()));
    if (!payload) Problem(absl::StrFormat("shard %d has no payload", shard.id()));
    if (shard.whole() == 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::optional<std::string> whole,
                     database_.Get(Family::kMeta, ShardKey(shard.whole()), snapshot_.get()));
    if (!whole) Problem(absl::StrFormat("shard %d is a part of none", shard.id()));
    return absl::OkStatus();
  }

  // A payload or a result.
  absl::Status CheckOfShard(std::string_view key) {
    std::optional<std::string> shard;
    if (key.size() == 9) {
      ASSIGN_OR_RETURN(shard, database_.Get(Family::kMeta, ShardKey(ReadBigEndian64(key.data() + 1)),
                                            snapshot_.get()));
    }
    if (!shard) Problem("a payload or result of no shard");
    return absl::OkStatus();
  }

  absl::Status CheckBlob(std::string_view key, std::string_view value) {
    const std::optional<BlobRow> row = DecodeBlobRow(value);
    if (!row || key.size() != ObjectId::kBytes) {
      Problem("a blob is unreadable");
      return absl::OkStatus();
    }
    ++(row->hit ? found_.hits : found_.clean);
    if (row->rules >= found_.rule_lists) {
      Problem(absl::StrFormat("a blob was scanned under unknown rules %d", row->rules));
    }
    if (row->key_epoch > found_.keys) {
      Problem(absl::StrFormat("a hit was made with unknown key %d", row->key_epoch));
    }
    if (row->hit && row->key_epoch != found_.keys) ++found_.hits_of_old_keys;
    return absl::OkStatus();
  }

  absl::Status CheckMatches(std::string_view key, std::string_view value) {
    ++matches_rows_;
    v1::BlobHit hit;
    if (!hit.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
        hit.matches().empty()) {
      Problem("a row of matches is unreadable or empty");
    }
    for (const v1::Match& match : hit.matches()) {
      if (!SecretIdFromRaw(match.secret())) Problem("a match has no secret");
    }
    ASSIGN_OR_RETURN(const std::optional<std::string> blob,
                     database_.Get(Family::kBlobs, key, snapshot_.get()));
    const std::optional<BlobRow> row = blob ? DecodeBlobRow(*blob) : std::nullopt;
    if (!row || !row->hit) Problem("matches without a hit");
    return absl::OkStatus();
  }

  // Counts a row of a generation; false when it is doomed. Anything else is a problem.
  bool Shown(uint64_t repository, uint64_t generation, std::string_view what) {
    if (doomed_.contains({repository, generation})) {
      ++found_.doomed;
      return false;
    }
    const auto known = repositories_.find(repository);
    if (known != repositories_.end() && known->second.generation == generation) return true;
    Problem(absl::StrFormat("%s of repository %d, generation %d, which nothing shows", what,
                            repository, generation));
    return false;
  }

  absl::Status CheckOccurrenceRow(std::string_view bytes, std::string_view value) {
    const std::optional<OccurrenceKey> key = DecodeOccurrenceKey(bytes);
    if (!key || !Parses<v1::Occurrence>(value)) {
      Problem("an occurrence is unreadable");
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::optional<std::string> place,
                     database_.Get(Family::kPlaces, EncodePlaceKey(*key), snapshot_.get()));
    if (!place)
      Problem(absl::StrFormat("an occurrence of repository %d has no place", key->repository));
    ++occurrence_rows_;
    if (!Shown(key->repository, key->generation, "an occurrence")) return absl::OkStatus();
    ++found_.occurrences;
    ++repositories_[key->repository].seen_occurrences;
    return absl::OkStatus();
  }

  absl::Status CheckPlace(std::string_view bytes, std::string_view) {
    ++place_rows_;
    if (!DecodePlaceKey(bytes)) Problem("a place is unreadable");
    return absl::OkStatus();
  }

  absl::Status CheckCommitRow(std::string_view key, std::string_view value) {
    if (key.size() != 16 + ObjectId::kBytes || !Parses<v1::Commit>(value)) {
      Problem("a commit is unreadable");
      return absl::OkStatus();
    }
    const uint64_t repository = ReadBigEndian64(key.data());
    if (!Shown(repository, ReadBigEndian64(key.data() + 8), "a commit")) return absl::OkStatus();
    ++found_.commits;
    ++repositories_[repository].seen_commits;
    return absl::OkStatus();
  }

  absl::Status CheckHistory(std::string_view key, std::string_view value) {
    ++found_.states;
    const bool incident = key[0] == kIncidentPrefix && key.size() == 25 &&
                          DecodeIncidentState(SecretId(), value).has_value();
    const bool coverage =
        key[0] == kCoveragePrefix && key.size() == 17 && Parses<v1::Coverage>(value);
    if (!incident && !coverage) Problem("a row of history is unreadable");
    return absl::OkStatus();
  }

  void CheckCounts() {
    if (matches_rows_ != found_.hits) {
      Problem(absl::StrFormat("%d hits and %d rows of matches", found_.hits, matches_rows_));
    }
    if (occurrence_rows_ != place_rows_) {
      Problem(absl::StrFormat("%d occurrences and %d places", occurrence_rows_, place_rows_));
    }
    if (names_ != found_.repositories) {
      Problem(absl::StrFormat("%d repositories and %d keys of them", found_.repositories, names_));
    }
    for (const auto& [id, repository] : repositories_) {
      if (repository.key_epoch != found_.keys) ++found_.repositories_of_old_keys;
      if (repository.seen_occurrences != repository.occurrences) {
        Problem(absl::StrFormat("repository %d shows %d occurrences where %d were recorded", id,
                                repository.seen_occurrences, repository.occurrences));
      }
      if (repository.seen_commits > repository.commits) {
        Problem(absl::StrFormat("repository %d shows %d commits where %d were recorded", id,
                                repository.seen_commits, repository.commits));
      }
    }
  }

  const Database& database_;
  const SnapshotOf snapshot_;
  StoreFindings found_;
  std::map<uint64_t, Repository> repositories_;
  std::set<std::pair<uint64_t, uint64_t>> doomed_;
  uint64_t names_ = 0, matches_rows_ = 0, occurrence_rows_ = 0, place_rows_ = 0;
};

}  // namespace

absl::StatusOr<StoreFindings> CheckStore(const Database& database) {
  return Checker(database).Check();
}

}  // namespace unsprawl
