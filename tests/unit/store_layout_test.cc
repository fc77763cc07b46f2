// The bytes on disk are a promise to every store that exists: change them only with kSchemaVersion.
#include "store/layout.h"

#include <random>

#include "engine/base/object_id.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

SecretId Secret() {
  SecretId id;
  for (size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<uint8_t>(0xa0 + i);
  return id;
}

const OccurrenceKey kKey{.secret = Secret(), .repository = 258, .generation = 3, .sequence = 4};

TEST(StoreLayout, KeysAreTheseBytes) {
  EXPECT_EQ(kSchemaVersion, 3u);
  EXPECT_EQ(SchemaKey(), "mschema");
  EXPECT_EQ(CreatedKey(), "mcreated");
  EXPECT_EQ(NextRepositoryKey(), "mnext_repository");
  EXPECT_EQ(NoteKey("page /a"), "opage /a");
  EXPECT_EQ(NextShardKey(), "mnext_shard");
  EXPECT_EQ(ToHex(ShardKey(258)), "730000000000000102");
  EXPECT_EQ(ToHex(ShardPayloadKey(258)), "700000000000000102");
  EXPECT_EQ(ToHex(ShardResultKey(258)), "710000000000000102");
  EXPECT_EQ(ToHex(KeyEpochKey(1)), "6b00000001");
  EXPECT_EQ(ToHex(RuleListKey(258)), "6c00000102");
  EXPECT_EQ(RepositoryNameKey("local:/a"), "nlocal:/a");
  EXPECT_EQ(ToHex(RepositoryKey(258)), "720000000000000102");
  EXPECT_EQ(ToHex(DoomedKey(258, 3)), "6400000000000001020000000000000003");
  EXPECT_EQ(ToHex(RunKey(1)), "750000000000000001");
  EXPECT_EQ(ToHex(AliasKey(Secret())), "61a0a1a2a3a4a5a6a7a8a9aaabacadaeaf");
  EXPECT_EQ(ToHex(EncodeOccurrenceKey(kKey)),
            "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
            "0000000000000102"
            "0000000000000003"
            "00000004");
  EXPECT_EQ(ToHex(EncodePlaceKey(kKey)),
            "0000000000000102"
            "0000000000000003"
            "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
            "00000004");
  EXPECT_EQ(ToHex(GenerationPrefix(258, 3)), "00000000000001020000000000000003");
  EXPECT_EQ(ToHex(CommitKey(258, 3, std::string(20, '\x11'))),
            "00000000000001020000000000000003" + std::string(40, '1'));
  EXPECT_EQ(ToHex(IncidentKey(Secret(), 7)), "69a0a1a2a3a4a5a6a7a8a9aaabacadaeaf0000000000000007");
  EXPECT_EQ(ToHex(CoverageKey(258, 7)), "6300000000000001020000000000000007");
}

TEST(StoreLayout, SmallValuesAreTheseBytes) {
  EXPECT_EQ(ToHex(EncodeBlobRow({.rules = 5, .bytes = 3})), "0a03");
  EXPECT_EQ(ToHex(EncodeBlobRow({.rules = 5, .bytes = 300})), "0aac02");
  EXPECT_EQ(ToHex(EncodeBlobRow({.rules = 5, .hit = true, .bytes = 300, .key_epoch = 2})),
            "0bac0202");
  EXPECT_EQ(ToHex(EncodeBlobRow({.rules = 64, .bytes = 0})), "800100");
  const std::vector<uint64_t> keys = {1, 0x8000000000000002};
  EXPECT_EQ(ToHex(EncodeRuleList(keys)), "00000000000000018000000000000002");
  const IncidentState state{
      .secret = Secret(), .presence = v1::PRESENCE_BRANCH, .open = true, .repositories = 300,
      .cause = Cause::kNewRule, .rule = 258};
  EXPECT_EQ(ToHex(EncodeIncidentState(state)), "05ac02" "02" "0000000000000102");
  RecordRow row{.key_epoch = 1, .occurrences = 2, .commits = 300, .record = {}};
  row.record.set_id(9);
  EXPECT_EQ(ToHex(EncodeRecordRow(row)), "0102ac020809");
}

TEST(StoreLayout, EverythingDecodesToWhatItWas) {
  EXPECT_EQ(DecodeOccurrenceKey(EncodeOccurrenceKey(kKey)), kKey);
  EXPECT_EQ(DecodePlaceKey(EncodePlaceKey(kKey)), kKey);
  for (const BlobRow& row :
       {BlobRow{}, BlobRow{.rules = UINT32_MAX, .bytes = UINT64_MAX},
        BlobRow{.rules = 1, .hit = true, .bytes = 1, .key_epoch = UINT32_MAX}}) {
    EXPECT_EQ(DecodeBlobRow(EncodeBlobRow(row)), row);
  }
  IncidentState state{Secret(), v1::PRESENCE_UNREACHABLE, false, UINT64_MAX, Cause::kScope, UINT64_MAX};
  EXPECT_EQ(DecodeIncidentState(Secret(), EncodeIncidentState(state)), state);
  state.cause = Cause::kUnknown;  // a row of schema 1
  state.rule = 0;
  std::string old = EncodeIncidentState(state);
  old.resize(old.size() - 9);
  EXPECT_EQ(DecodeIncidentState(Secret(), old), state);
  const std::vector<uint64_t> keys = {1, 2, UINT64_MAX};
  EXPECT_EQ(DecodeRuleList(EncodeRuleList(keys)), keys);
}

TEST(StoreLayout, NumericOrderIsTheOrderOfKeys) {
  for (const uint64_t value : {uint64_t{0}, uint64_t{255}, uint64_t{65535}, UINT64_MAX - 1}) {
    EXPECT_LT(RepositoryKey(value), RepositoryKey(value + 1));
    EXPECT_LT(GenerationPrefix(1, value), GenerationPrefix(1, value + 1));
  }
}

TEST(StoreLayout, CutOrLongRowsAreRefused) {
  EXPECT_EQ(DecodeOccurrenceKey(EncodeOccurrenceKey(kKey).substr(1)), std::nullopt);
  EXPECT_EQ(DecodePlaceKey(EncodePlaceKey(kKey) + "x"), std::nullopt);
  EXPECT_EQ(DecodeBlobRow(""), std::nullopt);
  EXPECT_EQ(DecodeBlobRow("\x0b\x01"), std::nullopt);      // a hit without its key
  EXPECT_EQ(DecodeBlobRow("\x0a\x01\x01"), std::nullopt);  // more than a row
  EXPECT_EQ(DecodeRuleList("1234567"), std::nullopt);
  EXPECT_EQ(DecodeIncidentState(Secret(), "\x05"), std::nullopt);
  EXPECT_EQ(DecodeIncidentState(Secret(), "\x05\x01\x01"), std::nullopt);           // no rule
  EXPECT_EQ(DecodeIncidentState(Secret(), "\x05\x01\x01" "12345678x"), std::nullopt);
  EXPECT_EQ(DecodeIncidentState(Secret(), "\x05\x01\x04" "12345678"), std::nullopt);  // no such cause
  EXPECT_FALSE(DecodeRecordRow("\x01").has_value());
  std::string_view overlong("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
  EXPECT_EQ(TakeVarint(&overlong), std::nullopt);
}

TEST(StoreLayout, RandomBytesNeverCrashADecoder) {
  std::mt19937 random(3);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 40, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const std::optional<BlobRow> row = DecodeBlobRow(bytes);
    if (row) {
      EXPECT_EQ(DecodeBlobRow(EncodeBlobRow(*row)), row);
    }
    (void)DecodeOccurrenceKey(bytes);
    (void)DecodeRecordRow(bytes);
    (void)DecodeIncidentState(Secret(), bytes);
    (void)DecodeRuleList(bytes);
  }
}

}  // namespace
}  // namespace unsprawl
