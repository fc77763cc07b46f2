#include "store/layout.h"

#include <bit>
#include <cstring>
#include <map>

namespace unsprawl {
namespace {

static_assert(std::endian::native == std::endian::little);
constexpr size_t kSecretBytes = sizeof(SecretId::bytes);
constexpr size_t kOccurrenceKeyBytes = kSecretBytes + 8 + 8 + 4;

void AppendBigEndian32(std::string* out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

uint32_t ReadBigEndian32(const char* bytes) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

std::string Prefixed64(char prefix, uint64_t value) {
  std::string key(1, prefix);
  AppendBigEndian64(&key, value);
  return key;
}

std::string Prefixed32(char prefix, uint32_t value) {
  std::string key(1, prefix);
  AppendBigEndian32(&key, value);
  return key;
}

SecretId ReadSecret(const char* bytes) {
  SecretId id;
  std::memcpy(id.bytes.data(), bytes, kSecretBytes);
  return id;
}

}  // namespace

std::string SchemaKey() { return "mschema"; }
std::string CreatedKey() { return "mcreated"; }
std::string NoteKey(std::string_view name) { return std::string(1, kNotePrefix).append(name); }
std::string NextRepositoryKey() { return "mnext_repository"; }
std::string NextShardKey() { return "mnext_shard"; }
std::string ShardKey(uint64_t id) { return Prefixed64(kShardPrefix, id); }
std::string ShardPayloadKey(uint64_t id) { return Prefixed64(kShardPayloadPrefix, id); }
std::string ShardResultKey(uint64_t id) { return Prefixed64(kShardResultPrefix, id); }
std::string KeyEpochKey(uint32_t epoch) { return Prefixed32(kKeyEpochPrefix, epoch); }
std::string RuleListKey(RuleListId id) { return Prefixed32(kRuleListPrefix, id); }
std::string RepositoryNameKey(std::string_view key) {
  return std::string(1, kRepositoryNamePrefix).append(key);
}
std::string RepositoryKey(uint64_t id) { return Prefixed64(kRepositoryPrefix, id); }
std::string DoomedKey(uint64_t repository, uint64_t generation) {
  std::string key = Prefixed64(kDoomedPrefix, repository);
  AppendBigEndian64(&key, generation);
  return key;
}
std::string RunKey(uint64_t id) { return Prefixed64(kRunPrefix, id); }
std::string AliasKey(const SecretId& replaced) {
  return std::string(1, kAliasPrefix).append(replaced.raw());
}

std::string EncodeOccurrenceKey(const OccurrenceKey& key) {
  std::string bytes(key.secret.raw());
  bytes.reserve(kOccurrenceKeyBytes);
  AppendBigEndian64(&bytes, key.repository);
  AppendBigEndian64(&bytes, key.generation);
  AppendBigEndian32(&bytes, key.sequence);
  return bytes;
}

std::string EncodePlaceKey(const OccurrenceKey& key) {
  std::string bytes;
  bytes.reserve(kOccurrenceKeyBytes);
  AppendBigEndian64(&bytes, key.repository);
  AppendBigEndian64(&bytes, key.generation);
  bytes.append(key.secret.raw());
  AppendBigEndian32(&bytes, key.sequence);
  return bytes;
}

std::optional<OccurrenceKey> DecodeOccurrenceKey(std::string_view bytes) {
  if (bytes.size() != kOccurrenceKeyBytes) return std::nullopt;
  return OccurrenceKey{.secret = ReadSecret(bytes.data()),
                       .repository = ReadBigEndian64(bytes.data() + 16),
                       .generation = ReadBigEndian64(bytes.data() + 24),
                       .sequence = ReadBigEndian32(bytes.data() + 32)};
}

std::optional<OccurrenceKey> DecodePlaceKey(std::string_view bytes) {
  if (bytes.size() != kOccurrenceKeyBytes) return std::nullopt;
  return OccurrenceKey{.secret = ReadSecret(bytes.data() + 16),
                       .repository = ReadBigEndian64(bytes.data()),
                       .generation = ReadBigEndian64(bytes.data() + 8),
                       .sequence = ReadBigEndian32(bytes.data() + 32)};
}

std::string GenerationPrefix(uint64_t repository, uint64_t generation) {
  std::string bytes;
  AppendBigEndian64(&bytes, repository);
  AppendBigEndian64(&bytes, generation);
  return bytes;
}

std::string CommitKey(uint64_t repository, uint64_t generation, std::string_view commit) {
  return GenerationPrefix(repository, generation).append(commit);
}

std::string IncidentKey(const SecretId& secret, uint64_t run) {
  std::string key = std::string(1, kIncidentPrefix).append(secret.raw());
  AppendBigEndian64(&key, run);
  return key;
}

std::string CoverageKey(uint64_t repository, uint64_t run) {
  std::string key = Prefixed64(kCoveragePrefix, repository);
  AppendBigEndian64(&key, run);
  return key;
}

std::string EncodeIncidentState(const IncidentState& state) {
  std::string bytes;
  AppendVarint(&bytes, static_cast<uint64_t>(state.presence) << 1 | (state.open ? 1 : 0));
  AppendVarint(&bytes, state.repositories);
  AppendVarint(&bytes, static_cast<uint64_t>(state.cause));
  AppendBigEndian64(&bytes, state.rule);
  return bytes;
}

std::optional<IncidentState> DecodeIncidentState(const SecretId& secret, std::string_view bytes) {
  const std::optional<uint64_t> presence = TakeVarint(&bytes);
  const std::optional<uint64_t> repositories = TakeVarint(&bytes);
  if (!presence || !repositories) return std::nullopt;
  if (*presence >> 1 > static_cast<uint64_t>(v1::Presence_MAX)) return std::nullopt;
  IncidentState state{.secret = secret,
                      .presence = static_cast<v1::Presence>(*presence >> 1),
                      .open = (*presence & 1) != 0,
                      .repositories = *repositories};
  if (bytes.empty()) return state;
  const std::optional<uint64_t> cause = TakeVarint(&bytes);
  if (!cause || *cause > static_cast<uint64_t>(Cause::kScope) || bytes.size() != sizeof(state.rule)) {
    return std::nullopt;
  }
  state.cause = static_cast<Cause>(*cause);
  state.rule = ReadBigEndian64(bytes.data());
  return state;
}

std::string EncodeBlobRow(const BlobRow& row) {
  std::string bytes;
  AppendVarint(&bytes, static_cast<uint64_t>(row.rules) << 1 | (row.hit ? 1 : 0));
  AppendVarint(&bytes, row.bytes);
  if (row.hit) AppendVarint(&bytes, row.key_epoch);
  return bytes;
}

std::optional<BlobRow> DecodeBlobRow(std::string_view bytes) {
  const std::optional<uint64_t> first = TakeVarint(&bytes);
  const std::optional<uint64_t> content = TakeVarint(&bytes);
  if (!first || *first >> 1 > UINT32_MAX || !content) return std::nullopt;
  BlobRow row{
      .rules = static_cast<RuleListId>(*first >> 1), .hit = (*first & 1) != 0, .bytes = *content};
  if (row.hit) {
    const std::optional<uint64_t> epoch = TakeVarint(&bytes);
    if (!epoch || *epoch > UINT32_MAX) return std::nullopt;
    row.key_epoch = static_cast<uint32_t>(*epoch);
  }
  if (!bytes.empty()) return std::nullopt;
  return row;
}

std::string EncodeRecordRow(const RecordRow& row) {
  std::string bytes;
  AppendVarint(&bytes, row.key_epoch);
  AppendVarint(&bytes, row.occurrences);
  AppendVarint(&bytes, row.commits);
  return bytes.append(row.record.SerializeAsString());
}

std::optional<RecordRow> DecodeRecordRow(std::string_view bytes) {
  const std::optional<uint64_t> epoch = TakeVarint(&bytes);
  const std::optional<uint64_t> occurrences = TakeVarint(&bytes);
  const std::optional<uint64_t> commits = TakeVarint(&bytes);
  if (!epoch || *epoch > UINT32_MAX || !occurrences || !commits) return std::nullopt;
  RecordRow row{.key_epoch = static_cast<uint32_t>(*epoch),
                .occurrences = *occurrences,
                .commits = *commits,
                .record = {}};
  if (!row.record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  return row;
}

std::string EncodeRuleList(std::span<const uint64_t> keys) {
  std::string bytes;
  bytes.reserve(8 * keys.size());
  for (const uint64_t key : keys) AppendBigEndian64(&bytes, key);
  return bytes;
}

std::optional<std::vector<uint64_t>> DecodeRuleList(std::string_view bytes) {
  if (bytes.size() % 8 != 0) return std::nullopt;
  std::vector<uint64_t> keys;
  for (size_t at = 0; at < bytes.size(); at += 8)
    keys.push_back(ReadBigEndian64(bytes.data() + at));
  return keys;
}

void AppendVarint(std::string* out, uint64_t value) {
  while (value >= 128) {
    out->push_back(static_cast<char>(value | 128));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

std::optional<uint64_t> TakeVarint(std::string_view* bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes->empty(); shift += 7) {
    const uint8_t byte = static_cast<uint8_t>(bytes->front());
    if (shift == 63 && byte > 1) return std::nullopt;
    bytes->remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return value;
  }
  return std::nullopt;
}

void AppendBigEndian64(std::string* out, uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

uint64_t ReadBigEndian64(const char* bytes) {
  uint64_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return __builtin_bswap64(value);
}

std::optional<SecretId> SecretIdFromRaw(std::string_view bytes) {
  if (bytes.size() != kSecretBytes) return std::nullopt;
  return ReadSecret(bytes.data());
}

v1::Coverage SmallCoverage(const v1::Coverage& coverage) {
  struct Sum {
    uint64_t count = 0, object_bytes = 0;
  };
  std::map<v1::SkipReason, Sum> sums;
  for (const v1::Skip& skip : coverage.skips()) {
    Sum& sum = sums[skip.reason()];
    sum.count += skip.count() == 0 ? 1 : skip.count();
    sum.object_bytes += skip.object_bytes();
  }
  v1::Coverage small = coverage;
  small.clear_skips();
  for (const auto& [reason, sum] : sums) {
    v1::Skip& skip = *small.add_skips();
    skip.set_reason(reason);
    skip.set_count(sum.count);
    skip.set_object_bytes(sum.object_bytes);
  }
  return small;
}

}  // namespace unsprawl
