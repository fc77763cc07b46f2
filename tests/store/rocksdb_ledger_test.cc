// What only the ledger on disk promises: one writer, readers beside it, schema, backup, checking,
// forgetting. What both forms promise is in ledger_conformance_test.cc.
#include "store/rocksdb_ledger.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_format.h"
#include "store/maintenance.h"
#include "tests/support/git_repo.h"
#include "tests/support/small_disk.h"
#include "tests/support/status_matchers.h"
#include "tests/support/store_rows.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class RocksdbLedgerTest : public testing::Test {
 protected:
  std::unique_ptr<RocksdbLedger> Open(const RocksdbLedger::Options& options = {}) {
    auto ledger = RocksdbLedger::Open(store_, options);
    EXPECT_THAT(ledger, IsOk());
    return *std::move(ledger);
  }

  // Two repositories, one secret in both, one in the first only; blob 3 hits in both, blob 4 in
  // one.
  void Fill(RocksdbLedger& ledger) {
    const std::vector<uint64_t> keys = {1, 2};
    const RuleListId rules = *ledger.InternRules(keys);
    ASSERT_THAT(
        ledger.RecordBlobs(
            Batch({1, 2}, {Hit(3, {{1, 0, 4, 7}}), Hit(4, {{1, 0, 4, 8}, {2, 9, 4, 7}})}), rules),
        IsOk());
    for (const char* const key : {"local:/a", "local:/b"}) {
      ASSERT_THAT(ledger.OpenRepository(key, key + 6), IsOk());
    }
    RecordPlaces(ledger, 1, {Place(7, "one", 3), Place(8, "two", 4)}, {CommitNumber(3)}, "tips");
    RecordPlaces(ledger, 2, {Place(7, "three", 3)}, {CommitNumber(3), CommitNumber(5)}, "tips");
    const std::vector<IncidentState> states = {{SecretNumber(7), v1::PRESENCE_HEAD, true, 2}};
    ASSERT_THAT(ledger.RecordIncidentStates(1, states), IsOk());
    ASSERT_THAT(ledger.RecordRunCoverage(1, 1, v1::Coverage()), IsOk());
    ASSERT_THAT(ledger.Flush(), IsOk());
  }

  uint64_t Problems(RocksdbLedger& ledger) {
    const auto found = CheckStore(ledger.database());
    EXPECT_THAT(found, IsOk());
    for (const std::string& example : found->examples) std::printf("  %s\n", example.c_str());
    return found->problems;
  }

  TempDir dir_;
  const fs::path store_ = dir_.path() / "store";
};

TEST_F(RocksdbLedgerTest, AStoreIsItsOwnersOnly) {
  const auto ledger = Open();
  struct stat info;
  ASSERT_EQ(stat(store_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(RocksdbLedgerTest, ASecondOpenerIsToldWhoHoldsTheStore) {
  RocksdbLedger::Options options;
  options.database.command = "testing";
  auto ledger = Open(options);
  const auto us = AllOf(HasSubstr(absl::StrFormat("in use by process %d of user ", getpid())),
                        HasSubstr(" on "), HasSubstr(" since 20"), HasSubstr("(testing)"));
  EXPECT_THAT(RocksdbLedger::Open(store_, {}), FailsWith(absl::StatusCode::kUnavailable, us));
  const pid_t child = fork();
  if (child == 0) {  // another process, too
    const auto second = RocksdbLedger::Open(store_, {});
    _exit(second.ok() ? 1 : absl::IsUnavailable(second.status()) ? 0 : 2);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  ledger.reset();
  EXPECT_FALSE(fs::exists(store_ / "holder"));
  Open();
}

// Whatever was written before, memory holds it or not.
TEST_F(RocksdbLedgerTest, AFullDiskRefusesWhatIsWrittenUntilThereIsRoomAgain) {
  const SmallDisk disk(store_);
  if (!disk.mounted()) GTEST_SKIP() << "mounting a disk takes root";
  const std::string large(100'000, 'x');
  for (int round = 0; round < 6; ++round) {
    const auto ledger = Open();
    if (round % 3 > 0) {
      ASSERT_THAT(ledger->WriteNote("before", large), IsOk());
    }
    if (round % 3 > 1) {
      ASSERT_THAT(ledger->Flush(), IsOk());
    }
    for (int again = 0; again < 2; ++again) {
      ASSERT_TRUE(disk.Fill(round * 5'000));
      for (int i = 0; i < 3; ++i) {
        EXPECT_THAT(ledger->WriteNote("during", large),
                    FailsWith(absl::StatusCode::kResourceExhausted, HasSubstr("No space left on device")));
      }
      disk.Empty();
      absl::Status written = absl::UnknownError("");
      for (int tenths = 0; tenths < 300 && !written.ok(); ++tenths) {
        written = ledger->WriteNote("after", std::to_string(round));
        if (!written.ok()) usleep(100'000);
      }
      ASSERT_THAT(written, IsOk());
    }
    EXPECT_EQ(*ledger->ReadNote("after"), std::to_string(round));
  }
  EXPECT_EQ(Problems(*Open()), 0u);
}

TEST_F(RocksdbLedgerTest, AFolderThatHoldsOtherThingsIsLeftAlone) {
  fs::create_directories(store_);
  std::ofstream(store_ / "thesis.txt") << "years of work";
  EXPECT_THAT(RocksdbLedger::Open(store_, {}),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("not a store")));
  EXPECT_FALSE(fs::exists(store_ / "db"));
  RocksdbLedger::Options existing;
  existing.database.create = false;
  EXPECT_THAT(RocksdbLedger::Open(dir_.path() / "nowhere", existing),
              FailsWith(absl::StatusCode::kNotFound, HasSubstr("no store")));
  EXPECT_FALSE(fs::exists(dir_.path() / "nowhere"));
}

TEST_F(RocksdbLedgerTest, ANewerStoreIsRefusedAndKept) {
  RocksdbLedger::Options newer;
  newer.database.schema = kSchemaVersion + 1;
  Fill(*Open(newer));
  EXPECT_THAT(RocksdbLedger::Open(store_, {}),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("use a newer unsprawl")));
  EXPECT_EQ(Problems(*Open(newer)), 0u);
}

TEST_F(RocksdbLedgerTest, ANewersColumnFamilyIsRefused) {
  {
    const auto ledger = Open();
    rocksdb::ColumnFamilyHandle* handle = nullptr;
    rocksdb::DB& db = ledger->database().rocks();
    ASSERT_TRUE(db.CreateColumnFamily(rocksdb::ColumnFamilyOptions(), "tomorrow", &handle).ok());
    ASSERT_TRUE(db.DestroyColumnFamilyHandle(handle).ok());
  }
  EXPECT_THAT(RocksdbLedger::Open(store_, {}), FailsWith(absl::StatusCode::kFailedPrecondition,
                                                         HasSubstr("made by a newer unsprawl")));
}

absl::Status RenameRepositories(Database& database, rocksdb::WriteBatch* batch) {
  return database.VisitPrefix(Family::kMeta, std::string(1, kRepositoryPrefix), nullptr,
                              [&](std::string_view key, std::string_view value) -> absl::Status {
                                std::optional<RecordRow> row = DecodeRecordRow(value);
                                row->record.set_name("migrated " + row->record.name());
                                batch->Put(database.family(Family::kMeta), ToSlice(key),
                                           EncodeRecordRow(*row));
                                return absl::OkStatus();
                              });
}

absl::Status FailToMigrate(Database&, rocksdb::WriteBatch*) {
  return absl::UnavailableError("the disk is gone");
}

TEST_F(RocksdbLedgerTest, AStoreOfSchema1IsTakenOverWithItsStates) {
  RocksdbLedger::Options older;
  older.database.schema = 1;
  {
    const auto ledger = Open(older);
    Fill(*ledger);
    rocksdb::WriteBatch batch;  // as schema 1 wrote it
    batch.Put(ledger->database().family(Family::kHistory), IncidentKey(SecretNumber(7), 1), "\x03\x02");
    ASSERT_THAT(ledger->database().Write(&batch), IsOk());
  }
  RocksdbLedger::Options reader;
  EXPECT_THAT(RocksdbLedger::OpenReader(store_, reader),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("unsprawl store migrate")));
  const auto ledger = Open();
  const auto histories = ledger->IncidentHistories(SecretId(), 9);
  ASSERT_THAT(*histories, SizeIs(1));
  const IncidentState expected{SecretNumber(7), v1::PRESENCE_HEAD, true, 2, Cause::kUnknown, 0};
  EXPECT_THAT((*histories)[0].rows, ElementsAre(IncidentHistory::Row{1, expected}));
  EXPECT_EQ(Problems(*ledger), 0u);
}

TEST_F(RocksdbLedgerTest, AStoreOfSchema2IsTakenOverAndHasNoShards) {
  RocksdbLedger::Options older;
  older.database.schema = 2;
  Fill(*Open(older));
  const auto ledger = Open();
  EXPECT_EQ(CheckStore(ledger->database())->schema, kSchemaVersion);
  EXPECT_EQ(Problems(*ledger), 0u);
  std::vector<v1::Shard> shards(1);
  shards[0].set_repository("a");
  EXPECT_EQ(*ledger->shards().Add(shards), 1u);
  EXPECT_EQ(Problems(*ledger), 0u);
}

TEST_F(RocksdbLedgerTest, AnOlderStoreIsMigratedStepByStepAndOnce) {
  Fill(*Open());
  const Migration failing[] = {{kSchemaVersion, RenameRepositories},
                               {kSchemaVersion + 1, FailToMigrate}};
  RocksdbLedger::Options newer;
  newer.database.schema = kSchemaVersion + 2;
  EXPECT_THAT(RocksdbLedger::Open(store_, newer),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("cannot migrate")));
  newer.database.migrations = failing;
  EXPECT_THAT(RocksdbLedger::Open(store_, newer),
              FailsWith(absl::StatusCode::kUnavailable, HasSubstr("the disk is gone")));
  const Migration working[] = {{kSchemaVersion, FailToMigrate},
                               {kSchemaVersion + 1, RenameRepositories}};
  newer.database.migrations = working;  // the first step is done and not done again
  EXPECT_EQ((*Open(newer)->ReadRepository(1))->name(), "migrated migrated /a");
  EXPECT_EQ((*Open(newer)->ReadRepository(1))->name(), "migrated migrated /a");
}

TEST_F(RocksdbLedgerTest, ADamagedStoreIsAnErrorThatNamesIt) {
  Fill(*Open());
  for (const auto& entry : fs::directory_iterator(store_ / "db")) {
    if (entry.path().filename().string().starts_with("MANIFEST")) fs::resize_file(entry.path(), 10);
  }
  const auto ledger = RocksdbLedger::Open(store_, {});
  EXPECT_FALSE(ledger.ok());
  EXPECT_THAT(std::string(ledger.status().message()), HasSubstr(store_.string()));
}

TEST_F(RocksdbLedgerTest, CheckCountsEverything) {
  const auto ledger = Open();
  Fill(*ledger);
  const auto found = CheckStore(ledger->database());
  ASSERT_THAT(found, IsOk());
  EXPECT_THAT(found->examples, IsEmpty());
  EXPECT_EQ(found->schema, kSchemaVersion);
  EXPECT_EQ(found->clean, 2u);
  EXPECT_EQ(found->hits, 2u);
  EXPECT_EQ(found->repositories, 2u);
  EXPECT_EQ(found->occurrences, 3u);
  EXPECT_EQ(found->commits, 3u);
  EXPECT_EQ(found->states, 2u);
  EXPECT_EQ(found->doomed, 0u);
}

TEST_F(RocksdbLedgerTest, CheckSeesEveryBrokenInvariant) {
  const OccurrenceKey stray{
      .secret = SecretNumber(7), .repository = 9, .generation = 1, .sequence = 0};
  struct Damage {
    Family family;
    std::string key, value;
    bool remove;
    const char* problem;
  };
  const std::string hit(BlobId(3).raw()), unknown(BlobId(99).raw());
  const std::vector<Damage> damages = {
      {Family::kBlobs, "short", "\x01", false, "a blob is unreadable"},
      {Family::kBlobs, unknown, EncodeBlobRow({.rules = 77}), false, "unknown rules 77"},
      {Family::kBlobs, unknown, EncodeBlobRow({.hit = true, .key_epoch = 5}), false,
       "unknown key 5"},
      {Family::kMatches, hit, "", true, "hits and"},
      {Family::kMatches, unknown, Hit(1, {{1, 0, 1, 1}}).SerializeAsString(), false,
       "matches without a hit"},
      {Family::kMatches, hit, "\xff\xff", false, "unreadable or empty"},
      {Family::kOccurrences, EncodeOccurrenceKey(stray), "", false, "which nothing shows"},
      {Family::kPlaces, EncodePlaceKey(stray), "", false, "occurrences and"},
      {Family::kPlaces,
       EncodePlaceKey({.secret = SecretNumber(7), .repository = 1, .generation = 1, .sequence = 0}),
       "", true, "has no place"},
      {Family::kCommits, CommitKey(9, 1, hit), "", false, "which nothing shows"},
      {Family::kHistory, "x", "", false, "history is unreadable"},
      {Family::kMeta, RepositoryKey(1), "\x01", false, "a repository is unreadable"},
      {Family::kMeta, RepositoryNameKey("local:/a"), "\x02", false, "not found by its key"},
      {Family::kMeta, "?", "", false, "unknown kind"},
  };
  const auto ledger = Open();
  Fill(*ledger);
  Database& database = ledger->database();
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.problem);
    rocksdb::ColumnFamilyHandle* const family = database.family(damage.family);
    const std::optional<std::string> before = *database.Get(damage.family, damage.key);
    rocksdb::WriteBatch batch, repair;
    if (damage.remove) {
      batch.Delete(family, damage.key);
    } else {
      batch.Put(family, damage.key, damage.value);
    }
    ASSERT_THAT(database.Write(&batch), IsOk());
    const auto found = CheckStore(database);
    ASSERT_THAT(found, IsOk());
    EXPECT_THAT(found->examples, testing::Contains(HasSubstr(damage.problem)));
    if (before) {
      repair.Put(family, damage.key, *before);
    } else {
      repair.Delete(family, damage.key);
    }
    ASSERT_THAT(database.Write(&repair), IsOk());
    ASSERT_EQ(CheckStore(database)->problems, 0u);
  }
}

TEST_F(RocksdbLedgerTest, ALostOccurrenceIsAnErrorAndNeverAShorterReport) {
  const auto ledger = Open();
  Fill(*ledger);
  rocksdb::WriteBatch batch;
  batch.Delete(ledger->database().family(Family::kOccurrences),
               EncodeOccurrenceKey(
                   {.secret = SecretNumber(7), .repository = 1, .generation = 1, .sequence = 0}));
  ASSERT_THAT(ledger->database().Write(&batch), IsOk());
  const std::vector<uint64_t> all = {1, 2};
  EXPECT_THAT(ledger->VisitOccurrences(all, [](uint64_t, const v1::Occurrence&) { return true; }),
              FailsWith(absl::StatusCode::kDataLoss, HasSubstr("2 occurrences where 3")));
}

TEST_F(RocksdbLedgerTest, ABackupIsAStoreAndRestoresToTheSame) {
  auto ledger = Open();
  Fill(*ledger);
  const std::string before = Dump(*ledger, 10, 2);
  const fs::path backup = dir_.path() / "backup", restored = dir_.path() / "restored";
  ASSERT_THAT(BackUpStore(ledger->database(), backup), IsOk());
  RecordPlaces(*ledger, 1, {}, {});  // what comes later is not in it
  EXPECT_THAT(BackUpStore(ledger->database(), backup),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("not empty")));
  EXPECT_THAT(RestoreStore(backup, store_),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("not empty")));
  EXPECT_THAT(RestoreStore(dir_.path() / "nothing", restored),
              FailsWith(absl::StatusCode::kNotFound, HasSubstr("no backup")));
  ASSERT_THAT(RestoreStore(backup, restored), IsOk());
  ledger.reset();
  const auto again = RocksdbLedger::Open(restored, {});
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(Dump(**again, 10, 2), before);
  RecordPlaces(**again, 2, {}, {});  // the backup does not change with what was restored from it
  const auto kept = RocksdbLedger::Open(backup, {});
  ASSERT_THAT(kept, IsOk());
  EXPECT_EQ(Dump(**kept, 10, 2), before);
}

TEST_F(RocksdbLedgerTest, APurgedRepositoryLeavesNothingOfItsOwn) {
  auto ledger = Open();
  Fill(*ledger);
  const std::vector<IncidentState> of_a = {{SecretNumber(8), v1::PRESENCE_HEAD, true, 1}};
  ASSERT_THAT(ledger->RecordIncidentStates(1, of_a), IsOk());
  EXPECT_THAT(PurgeRepository(ledger->database(), "nobody"),
              FailsWith(absl::StatusCode::kNotFound, HasSubstr("no repository")));
  const auto counts = PurgeRepository(ledger->database(), "/a");
  ASSERT_THAT(counts, IsOk());
  EXPECT_EQ(counts->occurrences, 2u);
  EXPECT_EQ(counts->commits, 1u);
  EXPECT_EQ(counts->blobs, 1u);  // blob 4; blob 3 is the other's, too
  const auto histories = ledger->IncidentHistories(SecretId(), 9);  // so is secret 7, unlike 8
  ASSERT_THAT(*histories, SizeIs(1));
  EXPECT_EQ((*histories)[0].secret, SecretNumber(7));
  EXPECT_THAT(Places(*ledger, {1, 2}), SizeIs(1));
  EXPECT_EQ(Problems(*ledger), 0u);
  const std::vector<ObjectId> blobs = {BlobId(3), BlobId(4)};
  const auto states = ledger->Lookup(blobs);
  EXPECT_EQ((*states)[0].known, BlobState::Known::kHit);
  EXPECT_EQ((*states)[1].known, BlobState::Known::kUnscanned);
  ledger.reset();
  ledger = Open();
  EXPECT_EQ(ledger->OpenRepository("local:/a", "a")->id(), 3u);  // ids are never used twice
}

TEST_F(RocksdbLedgerTest, ANameOfTwoRepositoriesPurgesNeither) {
  const auto ledger = Open();
  ASSERT_THAT(ledger->OpenRepository("local:/x/a", "a"), IsOk());
  ASSERT_THAT(ledger->OpenRepository("local:/y/a", "a"), IsOk());
  EXPECT_THAT(PurgeRepository(ledger->database(), "a"),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("local:/y/a")));
  EXPECT_THAT(PurgeRepository(ledger->database(), "local:/y/a"), IsOk());
  EXPECT_THAT(*ledger->Repositories(), SizeIs(1));
}

TEST_F(RocksdbLedgerTest, APurgedSecretIsNowhereEvenInTheFiles) {
  auto ledger = Open();
  Fill(*ledger);
  const auto counts = PurgeSecret(ledger->database(), SecretNumber(7));
  ASSERT_THAT(counts, IsOk());
  EXPECT_EQ(counts->occurrences, 2u);
  EXPECT_EQ(counts->matches, 2u);
  EXPECT_EQ(counts->states, 1u);
  EXPECT_THAT(Places(*ledger, {1, 2}), ElementsAre(HasSubstr("two")));
  const std::vector<ObjectId> blobs = {BlobId(3), BlobId(4)};
  const auto states = ledger->Lookup(blobs);
  EXPECT_EQ((*states)[0].known, BlobState::Known::kClean);  // nothing else was in it
  EXPECT_EQ((*states)[1].known, BlobState::Known::kHit);
  EXPECT_EQ(Problems(*ledger), 0u);
  EXPECT_THAT(PurgeSecret(ledger->database(), SecretNumber(7)),
              FailsWith(absl::StatusCode::kNotFound, HasSubstr("nothing")));
  ASSERT_THAT(CompactStore(ledger->database()), IsOk());
  ledger.reset();
  Open();  // an opening writes RocksDB's list of files anew: it names the first key of each
  const std::string id(SecretNumber(7).raw());
  for (const auto& entry : fs::recursive_directory_iterator(store_)) {
    if (!entry.is_regular_file()) continue;
    std::stringstream bytes;
    bytes << std::ifstream(entry.path()).rdbuf();
    EXPECT_EQ(bytes.str().find(id), std::string::npos) << entry.path();
  }
}

TEST_F(RocksdbLedgerTest, AReaderSeesWhatTheWriterHasCommitted) {
  RocksdbLedger::Options options;
  options.blobs.buffer_rows = 10;
  for (const size_t ingest_rows : {size_t{0}, size_t{5000}}) {  // by files, and through the log
    fs::remove_all(store_);
    options.ingest_rows = options.blobs.ingest_rows = ingest_rows;
    const auto writer = Open(options);
    Fill(*writer);
    const auto opened = RocksdbLedger::OpenReader(store_, {});
    ASSERT_THAT(opened, IsOk());
    RocksdbLedger& reader = **opened;
    EXPECT_EQ(Dump(reader, 10, 2), Dump(*writer, 10, 2));
    const std::string before = Dump(reader, 10, 2);
    std::vector<v1::Occurrence> many;
    for (int i = 0; i < 500; ++i) many.push_back(Place(i % 9, absl::StrFormat("%d", i), i));
    RecordPlaces(*writer, 2, many, {CommitNumber(1)}, "newer");
    EXPECT_THAT(Places(reader, {1, 2}), SizeIs(3));
    ASSERT_THAT(reader.CatchUp(), IsOk());
    EXPECT_THAT(Places(reader, {1, 2}), SizeIs(502));
    EXPECT_EQ(Dump(reader, 10, 2), Dump(*writer, 10, 2));
    EXPECT_THAT(reader.InternRules(std::vector<uint64_t>{55}),
                FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("reading only")));
    EXPECT_THAT(reader.RecordBlobs(Batch({77}, {}), 0),
                FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("reading only")));
    EXPECT_THAT(reader.StartRecording(1),
                FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("reading only")));
  }
}

TEST_F(RocksdbLedgerTest, AReaderOfAnEmptyStoreSeesItsFirstBlobs) {
  const auto writer = Open();
  const auto reader = RocksdbLedger::OpenReader(store_, {});
  ASSERT_THAT(reader, IsOk());
  EXPECT_FALSE((*reader)->HasBlobs());
  Fill(*writer);
  ASSERT_THAT((*reader)->CatchUp(), IsOk());
  EXPECT_TRUE((*reader)->HasBlobs());
  EXPECT_EQ(Dump(**reader, 10, 2), Dump(*writer, 10, 2));
}

TEST_F(RocksdbLedgerTest, AnUnfinishedRecordingLeavesNoFiles) {
  RocksdbLedger::Options options;
  options.recording_bytes = 1 << 10;
  const auto ledger = Open(options);
  Fill(*ledger);
  {
    auto recording = *ledger->StartRecording(1);
    for (int i = 0; i < 200; ++i) ASSERT_THAT(recording->Add(Place(1, "x", i)), IsOk());
    EXPECT_FALSE(fs::is_empty(store_ / "staging"));
  }
  EXPECT_TRUE(fs::is_empty(store_ / "staging"));
}

TEST_F(RocksdbLedgerTest, FilesOfAKilledProcessAreRemoved) {
  Fill(*Open());
  std::ofstream(store_ / "staging" / "7.sst") << "left behind";
  const auto ledger = Open();
  EXPECT_TRUE(fs::is_empty(store_ / "staging"));
}

TEST_F(RocksdbLedgerTest, TwoRecordingsOfOneRepositoryDoNotMix) {
  const auto ledger = Open();
  Fill(*ledger);
  auto first = *ledger->StartRecording(1), second = *ledger->StartRecording(1);
  ASSERT_THAT(first->Add(Place(1, "first", 1)), IsOk());
  ASSERT_THAT(second->Add(Place(1, "second", 1)), IsOk());
  const v1::RepositoryRecord record = **ledger->ReadRepository(1);
  ASSERT_THAT(first->Commit(record), IsOk());
  EXPECT_THAT(second->Commit(record),
              FailsWith(absl::StatusCode::kAborted, HasSubstr("meanwhile")));
  EXPECT_THAT(Places(*ledger, {1}), ElementsAre(HasSubstr("first")));
  EXPECT_EQ(Problems(*ledger), 0u);
}

}  // namespace
}  // namespace unsprawl
