// The ledger: what is known of every blob, where secrets lie, and how far each repository was
// scanned.
//
// Two forms: in memory (tests, TSan) and RocksDB (store/rocksdb_ledger.h). docs/store-format.md has
// the key layout. All methods are thread-safe unless said; ids are raw bytes, never hexadecimal.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/object_id.h"
#include "engine/base/secret.h"
#include "store/shard_table.h"
#include "unsprawl/v1/types.pb.h"

namespace unsprawl {

// Number of a distinct sorted list of rule keys in this ledger ("scanned under").
using RuleListId = uint32_t;

struct BlobState {
  enum class Known : uint8_t { kUnscanned, kClean, kHit };
  Known known = Known::kUnscanned;
  RuleListId rules = 0;  // meaningful unless kUnscanned
  uint64_t bytes = 0;    // content, as recorded (clean_bytes, object_bytes); 0: never said
};

// What made a secret be reported (docs/design.md, "What changed").
enum class Cause : uint8_t {
  kUnknown = 0,  // noted by an unsprawl that did not say
  kNewCommit = 1,
  kNewRule = 2,
  kScope = 3,    // a repository, or a doubtfulness, that no run before had looked at
};

// How far one secret had spread when a run ended.
struct IncidentState {
  SecretId secret;
  // Best of its occurrences; unspecified: has none, or (before any row that is not) none that was shown.
  v1::Presence presence = v1::PRESENCE_UNSPECIFIED;
  bool open = false;                                 // at least one occurrence not removed
  uint64_t repositories = 0;                         // that hold an occurrence
  Cause cause = Cause::kUnknown;                     // of its first report, or of its last reopening
  uint64_t rule = 0;                                 // Rule::key of what names it; 0: not noted
  bool operator==(const IncidentState&) const = default;
};

// What runs noted of one secret, in order of runs.
struct IncidentHistory {
  struct Row {
    uint64_t run = 0;
    IncidentState state;
    bool operator==(const Row&) const = default;
  };
  SecretId secret;
  std::vector<Row> rows;  // at least one
};

class Ledger {
 public:
  virtual ~Ledger() = default;

  // ---- the key under which secret ids are made (docs/store-format.md, "Rotation")
  // Says which key (by its KeyCheck) makes the ids from now on; call it once, before any of the
  // rest. The first key is noted. Another one is taken over only if `previous` names the noted one:
  // then every earlier hit reads as kUnscanned and every watermark as empty, so that the next pass
  // makes new ids, and each new id is paired with the one it replaces (ResolveAlias).
  // FailedPrecondition: a foreign key, or one that was replaced before; nothing changed.
  virtual absl::Status UseKey(const SecretId& check, std::span<const SecretId> previous) = 0;
  // The id by which `secret` is known today: itself, unless a rotation has replaced it.
  virtual absl::StatusOr<SecretId> ResolveAlias(const SecretId& secret) const = 0;

  // ---- rules
  // The id of this list of keys (sorted, distinct), made when new.
  virtual absl::StatusOr<RuleListId> InternRules(std::span<const uint64_t> keys) = 0;
  // All lists, by id: index i is RuleListId i.
  virtual absl::StatusOr<std::vector<std::vector<uint64_t>>> RuleLists() const = 0;

  // ---- blobs
  virtual bool HasBlobs() const = 0;  // false: every lookup would say kUnscanned
  // One state per blob, same order. `blobs` may be in any order.
  virtual absl::StatusOr<std::vector<BlobState>> Lookup(std::span<const ObjectId> blobs) const = 0;
  // Records a batch scanned under `rules`: clean blobs, hits with their matches, all visible at
  // once or not at all. A blob that is known already keeps the matches of rules that this batch did
  // not run, takes the new ones, and is afterwards known under the union of both lists. A crash may
  // forget what was recorded after the last Flush or Recording::Commit (it costs a rescan).
  // InvalidArgument: an id of the wrong size, a list that is not known; nothing recorded.
  // Of a cluster the caller gives the lease under which it scanned as `fence` (null: one machine).
  // Aborted: it is stale, which cannot become so while this records; nothing recorded.
  virtual absl::Status RecordBlobs(const v1::BlobBatch& batch, RuleListId rules,
                                   const ShardLease* fence = nullptr) = 0;
  // Calls `visit` for each of `blobs` that is a hit, in the order given.
  virtual absl::Status ReadHits(std::span<const ObjectId> blobs,
                                absl::FunctionRef<void(const v1::BlobHit&)> visit) const = 0;

  // ---- repositories
  // The record of the repository `key`, made (with a new id and no watermark) when new; `name` is
  // kept, and replaces an older name; an empty one replaces none.
  virtual absl::StatusOr<v1::RepositoryRecord> OpenRepository(std::string_view key,
                                                              std::string_view name) = 0;
  virtual absl::StatusOr<std::optional<v1::RepositoryRecord>> ReadRepository(uint64_t id) const = 0;
  virtual absl::StatusOr<std::vector<v1::RepositoryRecord>> Repositories() const = 0;  // by id

  // Replaces the occurrences of one repository and moves its watermark. Rows written by Add stay
  // invisible until Commit, which makes them, the record and the disappearance of the old rows
  // visible at once. Destroyed without Commit: nothing changed. Not thread-safe; one per repository
  // at a time.
  class Recording {
   public:
    virtual ~Recording() = default;
    virtual absl::Status Add(const v1::Occurrence& occurrence) = 0;
    virtual absl::Status AddCommits(
        const google::protobuf::RepeatedPtrField<v1::Commit>& commits) = 0;
    // `record.id` names the repository; `generation` is set by the ledger. Everything recorded of
    // blobs before is on disk when it returns. At most once, and last. `fence`: as RecordBlobs.
    virtual absl::Status Commit(v1::RepositoryRecord record, const ShardLease* fence = nullptr) = 0;
  };
  // NotFound: no such repository.
  virtual absl::StatusOr<std::unique_ptr<Recording>> StartRecording(uint64_t repository) = 0;

  // ---- reading for reports
  // Visits the visible occurrences of `repositories` (distinct ids) ordered by (secret, place in
  // `repositories`, order of Add). Streaming: holds at most a megabyte of one secret's rows. `visit`
  // returns false to end early.
  virtual absl::Status VisitOccurrences(
      std::span<const uint64_t> repositories,
      absl::FunctionRef<bool(uint64_t repository, const v1::Occurrence&)> visit) const = 0;
  // Visits the visible occurrences of one secret in all repositories, by number of the repository.
  virtual absl::Status VisitSecret(
      const SecretId& secret,
      absl::FunctionRef<bool(uint64_t repository, const v1::Occurrence&)> visit) const = 0;
  // Visits distinct commits recorded for `repositories`, ordered by id.
  virtual absl::Status VisitCommits(std::span<const uint64_t> repositories,
                                    absl::FunctionRef<bool(const v1::Commit&)> visit) const = 0;

  // ---- runs
  virtual absl::StatusOr<v1::RunRecord> StartRun(v1::RunRecord run) = 0;  // gives it its id
  virtual absl::Status FinishRun(const v1::RunRecord& run) = 0;
  virtual absl::StatusOr<std::vector<v1::RunRecord>> Runs() const = 0;  // by id

  // ---- what was known when
  // Writes a row for each of `states`. To keep the store small a caller leaves out what does not differ
  // from what the last *finished* run noted: rows of runs that never finish are not to be believed.
  virtual absl::Status RecordIncidentStates(uint64_t run,
                                            std::span<const IncidentState> states) = 0;
  // Histories of the first `limit` secrets that have one, from id `from` on, by id. Rows of runs that
  // did not finish are among them.
  virtual absl::StatusOr<std::vector<IncidentHistory>> IncidentHistories(const SecretId& from,
                                                                         size_t limit) const = 0;
  // Moves the histories of ids that a rotation has replaced to the ids that replace them (ResolveAlias);
  // of two rows of one run the younger id's stays. Call it when everything was recorded, before
  // histories are read.
  virtual absl::Status CarryHistoriesOver() = 0;
  // Appends only what differs from the latest earlier run's row; `run` never goes back. Of `coverage`,
  // skips are kept as one row per reason.
  virtual absl::Status RecordRunCoverage(uint64_t run, uint64_t repository,
                                         const v1::Coverage& coverage) = 0;
  // Changes of one repository's coverage, in order of runs.
  virtual absl::Status VisitRunCoverage(
      uint64_t repository,
      absl::FunctionRef<void(uint64_t run, const v1::Coverage&)> visit) const = 0;

  // ---- notes: small facts that the coordinator keeps between runs (pages of listings, what was fetched)
  virtual absl::StatusOr<std::optional<std::string>> ReadNote(std::string_view name) const = 0;
  virtual absl::Status WriteNote(std::string_view name, std::string_view value) = 0;  // replaces
  virtual absl::Status EraseNote(std::string_view name) = 0;  // if there is one

  // ---- shards, when workers share the work (store/shard_table.h)
  virtual ShardTable& shards() = 0;

  // Makes everything recorded so far survive a power cut.
  virtual absl::Status Flush() = 0;
};

// Everything is lost at the end. For tests and for `--store :memory:`.
std::unique_ptr<Ledger> NewMemoryLedger(const ShardTableOptions& shards = {});

}  // namespace unsprawl
