// The bytes of the store: every key and every small value of the RocksDB form. docs/store-format.md
// is the page to read; tests/unit/store_layout_test.cc freezes the bytes. Integers in keys are
// big-endian, so that bytewise order is numeric order; integers in values are LEB128 ("varint").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/object_id.h"
#include "engine/base/secret.h"
#include "store/ledger.h"
#include "unsprawl/v1/types.pb.h"

namespace unsprawl {

// Raised with every change of a key or value below; Migration (store/database.h) brings older stores
// up to it. 2: incident states have a cause and a rule. 3: shards.
inline constexpr uint32_t kSchemaVersion = 3;

// Column families, in the order of kFamilyNames.
enum class Family : uint8_t {
  kMeta,         // everything small, by a one-byte prefix
  kBlobs,        // blob id → BlobRow
  kMatches,      // blob id → BlobHit without object_id and object_bytes
  kOccurrences,  // secret, repository, generation, sequence → Occurrence without its secret's id
  kPlaces,       // repository, generation, secret, sequence → nothing: the index to delete by
  kCommits,      // repository, generation, commit id → Commit without id
  kHistory,      // incident states and coverage by run
};
inline constexpr size_t kFamilies = 7;
inline constexpr const char* kFamilyNames[kFamilies] = {
    "default", "blobs", "matches", "occurrences", "places", "commits", "history"};

// ---- meta keys
std::string SchemaKey();                              // → varint
std::string CreatedKey();                             // → varint, seconds since the epoch
std::string KeyEpochKey(uint32_t epoch);              // → 16 bytes, KeyCheck
std::string RuleListKey(RuleListId id);               // → rule keys, 8 bytes each, big-endian
std::string RepositoryNameKey(std::string_view key);  // → varint, repository id
std::string RepositoryKey(uint64_t id);               // → RecordRow
std::string DoomedKey(uint64_t repository, uint64_t generation);  // → nothing: rows to delete
std::string RunKey(uint64_t id);                                  // → RunRecord
std::string AliasKey(const SecretId& replaced);  // → 16 bytes, the id that replaces it
std::string NextRepositoryKey();                 // → varint, the id that comes next
std::string NoteKey(std::string_view name);      // → bytes, the coordinator's
std::string NextShardKey();                      // → varint, the id that comes next
std::string ShardKey(uint64_t id);               // → Shard without payload and result
std::string ShardPayloadKey(uint64_t id);        // → bytes, the coordinator's; as long as the shard
std::string ShardResultKey(uint64_t id);         // → bytes, the coordinator's; once it was done

// First byte of those that are many.
enum MetaPrefix : char {
  kKeyEpochPrefix = 'k',
  kRuleListPrefix = 'l',
  kRepositoryNamePrefix = 'n',
  kRepositoryPrefix = 'r',
  kDoomedPrefix = 'd',
  kRunPrefix = 'u',
  kAliasPrefix = 'a',
  kNotePrefix = 'o',
  kShardPrefix = 's',
  kShardPayloadPrefix = 'p',
  kShardResultPrefix = 'q',
  kSinglePrefix = 'm',
};

// ---- rows of occurrences, places, commits
struct OccurrenceKey {
  SecretId secret;
  uint64_t repository = 0;
  uint64_t generation = 0;
  uint32_t sequence = 0;  // order of Recording::Add
  bool operator==(const OccurrenceKey&) const = default;
};
std::string EncodeOccurrenceKey(const OccurrenceKey& key);  // 36 bytes
std::string EncodePlaceKey(const OccurrenceKey& key);       // 36 bytes
std::optional<OccurrenceKey> DecodeOccurrenceKey(std::string_view bytes);
std::optional<OccurrenceKey> DecodePlaceKey(std::string_view bytes);

// The first 16 bytes of place and commit keys; with generation + 1 the end of its rows.
std::string GenerationPrefix(uint64_t repository, uint64_t generation);
std::string CommitKey(uint64_t repository, uint64_t generation,
                      std::string_view commit);  // 36 bytes

// ---- history: 'i' secret run → IncidentState, 'c' repository run → Coverage
inline constexpr char kIncidentPrefix = 'i';
inline constexpr char kCoveragePrefix = 'c';
std::string IncidentKey(const SecretId& secret, uint64_t run);
std::string CoverageKey(uint64_t repository, uint64_t run);
// Without its secret: varint(presence << 1 | open), varint(repositories), varint(cause), rule:8. Rows of
// schema 1 end after the second: cause and rule are not known.
std::string EncodeIncidentState(const IncidentState& state);
std::optional<IncidentState> DecodeIncidentState(const SecretId& secret, std::string_view bytes);

// ---- values
// clean: varint(rules << 1), varint(bytes); hit: varint(rules << 1 | 1), varint(bytes), varint(key
// epoch). Three or four bytes for most.
struct BlobRow {
  RuleListId rules = 0;
  bool hit = false;
  uint64_t bytes = 0;      // of content; 0: not known
  uint32_t key_epoch = 0;  // under which a hit's secret ids were made; 0 when clean
  bool operator==(const BlobRow&) const = default;
};
std::string EncodeBlobRow(const BlobRow& row);
std::optional<BlobRow> DecodeBlobRow(std::string_view bytes);

// varint(key epoch), varint(occurrences), varint(commits), then the RepositoryRecord.
struct RecordRow {
  uint32_t key_epoch = 0;    // under which its occurrences were recorded
  uint64_t occurrences = 0;  // rows of the visible generation, exactly
  uint64_t commits = 0;      // rows of the visible generation, at most
  v1::RepositoryRecord record;
};
std::string EncodeRecordRow(const RecordRow& row);
std::optional<RecordRow> DecodeRecordRow(std::string_view bytes);

std::string EncodeRuleList(std::span<const uint64_t> keys);
std::optional<std::vector<uint64_t>> DecodeRuleList(std::string_view bytes);

// ---- pieces
void AppendVarint(std::string* out, uint64_t value);
// Takes a varint off the front of *bytes; nullopt when it is cut short or too long.
std::optional<uint64_t> TakeVarint(std::string_view* bytes);
void AppendBigEndian64(std::string* out, uint64_t value);
uint64_t ReadBigEndian64(const char* bytes);                      // reads 8 bytes
std::optional<SecretId> SecretIdFromRaw(std::string_view bytes);  // nullopt unless 16 bytes

// `coverage` with its skips as one row per reason, without ids and details.
v1::Coverage SmallCoverage(const v1::Coverage& coverage);

}  // namespace unsprawl
