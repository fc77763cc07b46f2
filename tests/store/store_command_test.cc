// `unsprawl store …` and `unsprawl key …` as a person uses them.
#include "coordinator/store_command.h"

#include <stdlib.h>

#include "coordinator/key_command.h"
#include "store/key_file.h"
#include "store/rocksdb_ledger.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"
#include "tests/support/store_rows.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class StoreCommandTest : public testing::Test {
 protected:
  StoreCommandTest() {
    unsetenv("UNSPRAWL_KEY");
    unsetenv("CREDENTIALS_DIRECTORY");
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", dir_.path().c_str(), 1);
  }

  std::unique_ptr<RocksdbLedger> Open() {
    auto ledger = RocksdbLedger::Open(store_, {});
    EXPECT_THAT(ledger, IsOk());
    const auto ring = LoadOrCreateKey(key_);
    EXPECT_THAT(ring, IsOk());
    EXPECT_THAT((*ledger)->UseKey(KeyCheck(ring->current), PreviousChecks(*ring)), IsOk());
    return *std::move(ledger);
  }
  void Scan(int secret) {
    const auto ledger = Open();
    const std::vector<uint64_t> keys = {1};
    ASSERT_THAT(
        ledger->RecordBlobs(Batch({1}, {Hit(2, {{1, 0, 4, secret}})}), *ledger->InternRules(keys)),
        IsOk());
    const uint64_t id = ledger->OpenRepository("local:/a", "a")->id();
    RecordPlaces(*ledger, id, {Place(secret, "path", 2)}, {CommitNumber(1)}, "tips");
  }

  TempDir dir_;
  const fs::path store_ = dir_.path() / "store", key_ = dir_.path() / "key";
};

TEST_F(StoreCommandTest, CheckPrintsCounts) {
  std::string text;
  EXPECT_THAT(StoreCheck(store_, &text),
              FailsWith(absl::StatusCode::kNotFound, HasSubstr("no store")));
  Scan(7);
  ASSERT_THAT(StoreCheck(store_, &text), IsOk());
  EXPECT_THAT(text, HasSubstr("1 clean, 1 with matches"));
  EXPECT_THAT(text, HasSubstr("no problems"));
  EXPECT_THAT(*StoreMigrate(store_), HasSubstr("has schema 3"));
}

TEST_F(StoreCommandTest, CheckFailsOnADamagedStore) {
  Scan(7);
  {
    const auto ledger = Open();
    rocksdb::WriteBatch batch;
    batch.Delete(ledger->database().family(Family::kMatches), ToSlice(BlobId(2).raw()));
    ASSERT_THAT(ledger->database().Write(&batch), IsOk());
  }
  std::string text;
  EXPECT_THAT(StoreCheck(store_, &text),
              FailsWith(absl::StatusCode::kDataLoss, HasSubstr("1 problems")));
  EXPECT_THAT(text, HasSubstr("problem: 1 hits and 0 rows of matches"));
}

TEST_F(StoreCommandTest, BackupAndRestoreGoThereAndBack) {
  Scan(7);
  ASSERT_THAT(StoreBackup(store_, dir_.path() / "backup/"), IsOk());
  EXPECT_THAT(StoreRestore(dir_.path() / "backup", store_),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("not empty")));
  fs::remove_all(store_);
  const auto restored = StoreRestore(dir_.path() / "backup", store_);
  ASSERT_THAT(restored, IsOk());
  EXPECT_THAT(*restored, HasSubstr("no problems"));
  EXPECT_EQ(Places(*Open(), {1}).size(), 1u);
}

TEST_F(StoreCommandTest, PurgeForgetsByNameAndById) {
  Scan(7);
  const std::string id = ToHex(SecretNumber(7).raw());
  EXPECT_THAT(StorePurgeSecret(store_, "0007"),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("12 to 32")));
  EXPECT_THAT(StorePurgeSecret(store_, std::string(32, 'f')),
              FailsWith(absl::StatusCode::kNotFound, HasSubstr("no secret")));
  const auto secret = StorePurgeSecret(store_, id.substr(0, 12));
  ASSERT_THAT(secret, IsOk());
  EXPECT_THAT(*secret, HasSubstr("1 occurrences in 1 repositories, 0 commits, 1 matches"));
  const auto repository = StorePurgeRepository(store_, "a");
  ASSERT_THAT(repository, IsOk());
  EXPECT_THAT(*repository, HasSubstr("1 commits"));
  std::string text;
  ASSERT_THAT(StoreCheck(store_, &text), IsOk());
  EXPECT_THAT(text, HasSubstr("repositories  0"));
}

TEST_F(StoreCommandTest, TheStoreInUseIsLeftAlone) {
  const auto ledger = Open();
  std::string text;
  EXPECT_THAT(StoreCheck(store_, &text),
              FailsWith(absl::StatusCode::kUnavailable, HasSubstr("in use")));
  EXPECT_THAT(StorePurgeRepository(store_, "a"),
              FailsWith(absl::StatusCode::kUnavailable, HasSubstr("in use")));
}

TEST_F(StoreCommandTest, AKeyIsRotatedAndForgottenOnlyWhenAllIsScanned) {
  ASSERT_THAT(KeyInit(key_), IsOk());
  EXPECT_THAT(KeyInit(key_), FailsWith(absl::StatusCode::kAlreadyExists, HasSubstr("key")));
  Scan(7);
  const std::string before = KeyFingerprint(LoadKey(key_)->current);
  const auto rotated = KeyRotate(key_);
  ASSERT_THAT(rotated, IsOk());
  EXPECT_THAT(*rotated, HasSubstr(before + " is kept"));
  EXPECT_THAT(*KeyFingerprintCommand(key_), HasSubstr(before + "  replaced"));
  EXPECT_THAT(KeyForget(key_, store_), FailsWith(absl::StatusCode::kFailedPrecondition,
                                                 HasSubstr("1 repositories")));
  Scan(57);
  EXPECT_EQ(*Open()->ResolveAlias(SecretNumber(7)), SecretNumber(57));
  ASSERT_THAT(KeyForget(key_, store_), IsOk());
  std::string text;
  EXPECT_THAT(StoreCheck(store_, &text), IsOk()) << text;
  EXPECT_THAT(LoadKey(key_)->previous, testing::IsEmpty());
  Open();  // the store goes on with the new key
  ASSERT_TRUE(fs::remove(key_));
  ASSERT_THAT(KeyInit(key_), IsOk());
  const auto ring = LoadKey(key_);
  EXPECT_THAT((*RocksdbLedger::Open(store_, {}))->UseKey(KeyCheck(ring->current), {}),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("made with another key")));
}

TEST_F(StoreCommandTest, AKeyFromTheEnvironmentIsNotRotatedHere) {
  setenv("UNSPRAWL_KEY", std::string(64, '1').c_str(), 1);
  EXPECT_THAT(KeyRotate({}),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("$UNSPRAWL_KEY")));
  unsetenv("UNSPRAWL_KEY");
}

}  // namespace
}  // namespace unsprawl
