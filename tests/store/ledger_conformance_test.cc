// Both forms of the ledger keep the same promises; a random campaign makes them judge each other.
#include <algorithm>
#include <functional>
#include <random>

#include "absl/strings/str_format.h"
#include "store/layout.h"
#include "store/rocksdb_ledger.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"
#include "tests/support/store_rows.h"

namespace unsprawl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// How a form of the ledger is made, and made again over the same bytes when it keeps any.
struct Form {
  const char* name;
  bool persistent;
  size_t buffer_rows;  // RocksDB: tiny buffers take every path that big scans take
  size_t ingest_rows;
  size_t recording_bytes;
};

std::unique_ptr<Ledger> Make(const Form& form, const std::filesystem::path& dir) {
  if (!form.persistent) return NewMemoryLedger();
  RocksdbLedger::Options options;
  options.blobs.buffer_rows = form.buffer_rows;
  options.blobs.ingest_rows = form.ingest_rows;
  options.ingest_rows = form.ingest_rows;
  options.recording_bytes = form.recording_bytes;
  auto ledger = RocksdbLedger::Open(dir / "store", options);
  EXPECT_THAT(ledger, IsOk());
  return *std::move(ledger);
}

class LedgerTest : public testing::TestWithParam<Form> {
 protected:
  LedgerTest() : ledger_(Make(GetParam(), dir_.path())) {}

  // Closes and opens a ledger that keeps anything.
  void Reopen() {
    if (!GetParam().persistent) return;
    ledger_.reset();
    ledger_ = Make(GetParam(), dir_.path());
  }

  RuleListId Rules(std::vector<uint64_t> keys) { return *ledger_->InternRules(keys); }
  BlobState StateOf(int blob) {
    const std::vector<ObjectId> ids = {BlobId(blob)};
    return ledger_->Lookup(ids)->front();
  }
  // Matches of one blob, or nullopt when it is no hit.
  std::optional<v1::BlobHit> HitOf(int blob) {
    std::optional<v1::BlobHit> hit;
    const std::vector<ObjectId> ids = {BlobId(blob)};
    EXPECT_THAT(ledger_->ReadHits(ids, [&](const v1::BlobHit& row) { hit = row; }), IsOk());
    return hit;
  }
  void Record(std::vector<int> clean, std::vector<v1::BlobHit> hits, RuleListId rules) {
    ASSERT_THAT(ledger_->RecordBlobs(Batch(clean, hits), rules), IsOk());
  }
  uint64_t Open(const std::string& key) { return ledger_->OpenRepository(key, key)->id(); }

  TempDir dir_;
  std::unique_ptr<Ledger> ledger_;
};

TEST_P(LedgerTest, AnEmptyLedgerKnowsNothing) {
  EXPECT_FALSE(ledger_->HasBlobs());
  EXPECT_EQ(StateOf(1).known, BlobState::Known::kUnscanned);
  EXPECT_EQ(HitOf(1), std::nullopt);
  EXPECT_THAT(*ledger_->Repositories(), IsEmpty());
  EXPECT_THAT(*ledger_->Runs(), IsEmpty());
  EXPECT_THAT(ledger_->StartRecording(1), FailsWith(absl::StatusCode::kNotFound, HasSubstr("1")));
}

TEST_P(LedgerTest, ARuleListKeepsItsNumber) {
  EXPECT_EQ(Rules({1, 2}), 0u);
  EXPECT_EQ(Rules({1, 2, 3}), 1u);
  Reopen();
  EXPECT_EQ(Rules({1, 2}), 0u);
  EXPECT_THAT(*ledger_->RuleLists(),
              ElementsAre(std::vector<uint64_t>{1, 2}, std::vector<uint64_t>{1, 2, 3}));
}

TEST_P(LedgerTest, ABlobIsUnscannedCleanOrAHit) {
  const RuleListId rules = Rules({1, 2});
  Record({1, 2}, {Hit(3, {{1, 10, 4, 7}})}, rules);
  for (int pass = 0; pass < 2; ++pass) {
    EXPECT_TRUE(ledger_->HasBlobs());
    EXPECT_EQ(StateOf(1).known, BlobState::Known::kClean);
    EXPECT_EQ(StateOf(3).known, BlobState::Known::kHit);
    EXPECT_EQ(StateOf(3).rules, rules);
    EXPECT_EQ(StateOf(4).known, BlobState::Known::kUnscanned);
    EXPECT_EQ(HitOf(1), std::nullopt);
    EXPECT_EQ(Text(*HitOf(3)), Text(Hit(3, {{1, 10, 4, 7}})));
    Reopen();
  }
}

TEST_P(LedgerTest, LookupAnswersInTheOrderOfTheQuestion) {
  const RuleListId rules = Rules({1});
  std::vector<int> clean;
  for (int i = 0; i < 2000; i += 2) clean.push_back(i);
  Record(clean, {}, rules);
  Reopen();
  std::vector<int> asked(3000);
  for (int i = 0; i < 3000; ++i) asked[static_cast<size_t>(i)] = (i * 7919) % 2500;  // repeats too
  std::vector<ObjectId> ids;
  for (const int i : asked) ids.push_back(BlobId(i));
  const auto states = ledger_->Lookup(ids);
  ASSERT_THAT(states, IsOk());
  for (size_t i = 0; i < asked.size(); ++i) {
    const bool known = asked[i] % 2 == 0 && asked[i] < 2000;
    EXPECT_EQ((*states)[i].known == BlobState::Known::kClean, known) << asked[i];
  }
}

TEST_P(LedgerTest, AnotherScanKeepsMatchesOfRulesItDidNotRun) {
  const RuleListId first = Rules({1, 2});
  Record({}, {Hit(5, {{1, 10, 4, 7}, {2, 30, 4, 8}})}, first);
  const RuleListId changed = Rules({2, 3});
  Record({}, {Hit(5, {{3, 20, 4, 9}})}, changed);  // rule 2 finds nothing any more
  EXPECT_EQ(Text(*HitOf(5)), Text(Hit(5, {{1, 10, 4, 7}, {3, 20, 4, 9}})));
  EXPECT_THAT((*ledger_->RuleLists())[StateOf(5).rules], ElementsAre(1, 2, 3));
}

TEST_P(LedgerTest, ACleanScanUnderOtherRulesKeepsAHit) {
  Record({}, {Hit(5, {{1, 10, 4, 7}})}, Rules({1}));
  Record({5}, {}, Rules({2}));
  EXPECT_EQ(StateOf(5).known, BlobState::Known::kHit);
  Record({5}, {}, Rules({1}));  // the rule that found it finds nothing now
  EXPECT_EQ(StateOf(5).known, BlobState::Known::kClean);
  EXPECT_EQ(HitOf(5), std::nullopt);
  Reopen();
  EXPECT_EQ(StateOf(5).known, BlobState::Known::kClean);
  EXPECT_EQ(HitOf(5), std::nullopt);
}

TEST_P(LedgerTest, AMalformedBatchRecordsNothing) {
  const RuleListId rules = Rules({1});
  v1::BlobBatch batch = Batch({1}, {Hit(2, {{1, 0, 4, 7}})});
  batch.mutable_clean()->push_back('x');
  EXPECT_THAT(ledger_->RecordBlobs(batch, rules),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("21 bytes")));
  batch = Batch({1}, {Hit(2, {{1, 0, 4, 7}})});
  batch.add_clean_bytes(9);
  EXPECT_THAT(ledger_->RecordBlobs(batch, rules),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("2 sizes of 1 clean")));
  batch = Batch({1}, {Hit(2, {{1, 0, 4, 7}})});
  batch.mutable_hits(0)->mutable_matches(0)->set_secret("short");
  EXPECT_THAT(ledger_->RecordBlobs(batch, rules),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("secret id")));
  EXPECT_THAT(ledger_->RecordBlobs(Batch({1}, {}), 99),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("99")));
  EXPECT_FALSE(ledger_->HasBlobs());
}

TEST_P(LedgerTest, ARepositoryKeepsItsIdAndTakesANewName) {
  const v1::RepositoryRecord first = *ledger_->OpenRepository("local:/a", "a");
  EXPECT_EQ(first.id(), 1u);
  EXPECT_EQ(first.tips_digest(), "");
  EXPECT_EQ(ledger_->OpenRepository("local:/b", "b")->id(), 2u);
  Reopen();
  const v1::RepositoryRecord again = *ledger_->OpenRepository("local:/a", "renamed");
  EXPECT_EQ(again.id(), 1u);
  EXPECT_EQ((*ledger_->ReadRepository(1))->name(), "renamed");
  EXPECT_EQ(*ledger_->ReadRepository(9), std::nullopt);
  EXPECT_THAT(*ledger_->Repositories(), SizeIs(2));
}

TEST_P(LedgerTest, RowsOfARecordingShowAtCommitAndNotBefore) {
  const uint64_t repository = Open("local:/a");
  auto recording = *ledger_->StartRecording(repository);
  ASSERT_THAT(recording->Add(Place(7, "a.txt", 1)), IsOk());
  google::protobuf::RepeatedPtrField<v1::Commit> commits;
  *commits.Add() = CommitNumber(1);
  ASSERT_THAT(recording->AddCommits(commits), IsOk());
  EXPECT_THAT(Places(*ledger_, {repository}), IsEmpty());
  EXPECT_THAT(CommitsOf(*ledger_, {repository}), IsEmpty());
  v1::RepositoryRecord record = **ledger_->ReadRepository(repository);
  record.set_tips_digest("tips");
  ASSERT_THAT(recording->Commit(record), IsOk());
  for (int pass = 0; pass < 2; ++pass) {
    EXPECT_THAT(Places(*ledger_, {repository}), SizeIs(1));
    EXPECT_THAT(CommitsOf(*ledger_, {repository}), SizeIs(1));
    EXPECT_EQ((*ledger_->ReadRepository(repository))->tips_digest(), "tips");
    Reopen();
  }
}

TEST_P(LedgerTest, ARecordingThatIsDroppedChangesNothing) {
  const uint64_t repository = Open("local:/a");
  RecordPlaces(*ledger_, repository, {Place(7, "kept", 1)}, {CommitNumber(1)});
  {
    auto recording = *ledger_->StartRecording(repository);
    for (int i = 0; i < 300; ++i) {
      ASSERT_THAT(recording->Add(Place(8, absl::StrFormat("dropped %d", i), 2)), IsOk());
    }
  }
  Reopen();
  EXPECT_THAT(Places(*ledger_, {repository}), ElementsAre(HasSubstr("kept")));
}

TEST_P(LedgerTest, ANewRecordingReplacesTheOldRows) {
  const uint64_t repository = Open("local:/a"), other = Open("local:/b");
  std::vector<v1::Occurrence> many;
  std::vector<v1::Commit> commits;
  for (int i = 0; i < 3000; ++i) {
    many.push_back(Place(i % 50, absl::StrFormat("old/%d", i), i));
    commits.push_back(CommitNumber(i));
  }
  RecordPlaces(*ledger_, repository, many, commits);
  RecordPlaces(*ledger_, other, {Place(3, "other", 1)}, {CommitNumber(1), CommitNumber(9999)});
  RecordPlaces(*ledger_, repository, {Place(3, "new", 1)}, {CommitNumber(1)});
  Reopen();
  EXPECT_THAT(Places(*ledger_, {repository, other}),
              ElementsAre(HasSubstr("1 new"), HasSubstr("2 other")));
  EXPECT_THAT(CommitsOf(*ledger_, {repository, other}), SizeIs(2));  // shared ones count once
  RecordPlaces(*ledger_, repository, {}, {});
  EXPECT_THAT(Places(*ledger_, {repository}), IsEmpty());
  EXPECT_THAT(Places(*ledger_, {other}), SizeIs(1));
}

TEST_P(LedgerTest, OccurrencesComeBySecretThenRepositoryThenOrderOfAdd) {
  const uint64_t a = Open("local:/a"), b = Open("local:/b"), c = Open("local:/c");
  RecordPlaces(*ledger_, b, {Place(2, "z", 1), Place(1, "y", 2), Place(2, "x", 3)}, {});
  RecordPlaces(*ledger_, a, {Place(3, "w", 4), Place(2, "v", 5)}, {});
  RecordPlaces(*ledger_, c, {Place(2, "not asked for", 5)}, {});
  std::vector<std::string> paths;
  const std::vector<uint64_t> asked = {a, b}, turned = {b, a};
  const auto note = [&](uint64_t repository, const v1::Occurrence& row) {
    paths.push_back(absl::StrFormat("%d%s", repository, row.paths(0)));
    return true;
  };
  ASSERT_THAT(ledger_->VisitOccurrences(asked, note), IsOk());
  EXPECT_THAT(paths, ElementsAre("2y", "1v", "2z", "2x", "1w"));
  paths.clear();
  ASSERT_THAT(ledger_->VisitOccurrences(turned, note), IsOk());
  EXPECT_THAT(paths, ElementsAre("2y", "2z", "2x", "1v", "1w"));
  int seen = 0;
  ASSERT_THAT(
      ledger_->VisitOccurrences(asked, [&](uint64_t, const v1::Occurrence&) { return ++seen < 2; }),
      IsOk());
  EXPECT_EQ(seen, 2);
}

TEST_P(LedgerTest, ASmallPartOfABigStoreIsReadTheSame) {
  std::vector<v1::Occurrence> many;
  for (int i = 0; i < 4000; ++i) many.push_back(Place(i % 40, absl::StrFormat("%d", i), i));
  const uint64_t big = Open("local:/big"), a = Open("local:/a"), b = Open("local:/b");
  RecordPlaces(*ledger_, big, many, {});
  RecordPlaces(*ledger_, b, {Place(2, "z", 1), Place(1, "y", 2), Place(2, "x", 3)}, {});
  RecordPlaces(*ledger_, a, {Place(3, "w", 4), Place(2, "v", 5)}, {});
  EXPECT_THAT(Places(*ledger_, {a, b}),
              ElementsAre(HasSubstr("3 y"), HasSubstr("2 v"), HasSubstr("3 z"), HasSubstr("3 x"),
                          HasSubstr("2 w")));
  EXPECT_THAT(Places(*ledger_, {b, a}),
              ElementsAre(HasSubstr("3 y"), HasSubstr("3 z"), HasSubstr("3 x"), HasSubstr("2 v"),
                          HasSubstr("2 w")));
}

TEST_P(LedgerTest, ASecretWithMoreRowsThanFitInMemoryComesInTheOrderAskedFor) {
  const std::string long_path(300, 'p');
  std::vector<uint64_t> order;
  for (const char* key : {"local:/a", "local:/b", "local:/c"}) {
    std::vector<v1::Occurrence> rows = {Place(1, "before", 1), Place(3, "after", 1)};
    for (int i = 0; i < 2000; ++i) rows.push_back(Place(2, absl::StrFormat("%d %s", i, long_path), i));
    order.push_back(Open(key));
    RecordPlaces(*ledger_, order.back(), rows, {});
  }
  std::reverse(order.begin(), order.end());
  std::vector<std::pair<SecretId, uint64_t>> seen;  // each run of rows once
  int in_a_row = 0;
  ASSERT_THAT(ledger_->VisitOccurrences(
                  order,
                  [&](uint64_t repository, const v1::Occurrence& row) {
                    const std::pair group(*SecretIdFromRaw(row.secret()), repository);
                    if (seen.empty() || seen.back() != group) seen.push_back(group), in_a_row = 0;
                    if (group.first == SecretNumber(2)) {
                      EXPECT_EQ(row.paths(0), absl::StrFormat("%d %s", in_a_row++, long_path));
                    }
                    return true;
                  }),
              IsOk());
  std::vector<std::pair<SecretId, uint64_t>> expected;
  for (int secret = 1; secret <= 3; ++secret) {
    for (const uint64_t repository : order) expected.emplace_back(SecretNumber(secret), repository);
  }
  EXPECT_EQ(seen, expected);
  int rows = 0;
  ASSERT_THAT(ledger_->VisitOccurrences(order, [&](uint64_t, const v1::Occurrence&) { return ++rows < 3000; }),
              IsOk());
  EXPECT_EQ(rows, 3000);
}

TEST_P(LedgerTest, OneSecretIsFoundInEveryRepositoryThatShowsIt) {
  const uint64_t a = Open("local:/a"), b = Open("local:/b"), c = Open("local:/c");
  RecordPlaces(*ledger_, c, {Place(2, "c1", 1), Place(1, "other", 1), Place(2, "c2", 1)}, {});
  RecordPlaces(*ledger_, a, {Place(2, "gone", 1)}, {});
  RecordPlaces(*ledger_, a, {Place(3, "other", 1)}, {});
  RecordPlaces(*ledger_, b, {Place(2, "b", 1)}, {});
  std::vector<std::string> paths;
  const auto note = [&](uint64_t repository, const v1::Occurrence& row) {
    EXPECT_EQ(row.secret(), SecretNumber(2).raw());
    paths.push_back(absl::StrFormat("%d%s", repository, row.paths(0)));
    return true;
  };
  ASSERT_THAT(ledger_->VisitSecret(SecretNumber(2), note), IsOk());
  EXPECT_THAT(paths, ElementsAre("2b", "3c1", "3c2"));
  int seen = 0;
  const auto one = [&](uint64_t, const v1::Occurrence&) { return ++seen < 1; };
  ASSERT_THAT(ledger_->VisitSecret(SecretNumber(2), one), IsOk());
  EXPECT_EQ(seen, 1);
  paths.clear();
  ASSERT_THAT(ledger_->VisitSecret(SecretNumber(9), note), IsOk());
  EXPECT_THAT(paths, IsEmpty());
}

TEST_P(LedgerTest, OfAForksCommitTheSameRowShowsWhateverTheOrder) {
  v1::Commit ours = CommitNumber(1), theirs = CommitNumber(1);
  theirs.set_author_name("mapped otherwise");
  const uint64_t a = Open("local:/a"), b = Open("local:/b");
  RecordPlaces(*ledger_, a, {}, {ours});
  RecordPlaces(*ledger_, b, {}, {theirs});
  const std::vector<std::string> before = CommitsOf(*ledger_, {a, b});
  RecordPlaces(*ledger_, a, {}, {theirs});
  RecordPlaces(*ledger_, b, {}, {ours});
  EXPECT_THAT(before, SizeIs(1));
  EXPECT_EQ(CommitsOf(*ledger_, {a, b}), before);
}

TEST_P(LedgerTest, RunsAreNumberedAndFinished) {
  v1::RunRecord run;
  run.set_started(5);
  EXPECT_EQ(ledger_->StartRun(run)->id(), 1u);
  Reopen();
  v1::RunRecord second = *ledger_->StartRun(run);
  EXPECT_EQ(second.id(), 2u);
  second.set_finished(9);
  second.add_repositories(1);
  ASSERT_THAT(ledger_->FinishRun(second), IsOk());
  Reopen();
  const std::vector<v1::RunRecord> runs = *ledger_->Runs();
  ASSERT_THAT(runs, SizeIs(2));
  EXPECT_EQ(runs[0].finished(), 0);
  EXPECT_EQ(runs[1].finished(), 9);
  second.set_id(17);
  EXPECT_THAT(ledger_->FinishRun(second), FailsWith(absl::StatusCode::kNotFound, HasSubstr("17")));
}

TEST_P(LedgerTest, CoverageIsKeptWhenItChanges) {
  v1::Coverage coverage;
  coverage.set_blobs(10);
  for (int i = 0; i < 3; ++i) {
    v1::Skip& skip = *coverage.add_skips();
    skip.set_reason(v1::SKIP_REASON_MISSING);
    skip.set_object_id(std::string(BlobId(i).raw()));
  }
  ASSERT_THAT(ledger_->RecordRunCoverage(1, 4, coverage), IsOk());
  ASSERT_THAT(ledger_->RecordRunCoverage(2, 4, coverage), IsOk());
  coverage.set_blobs(11);
  ASSERT_THAT(ledger_->RecordRunCoverage(3, 4, coverage), IsOk());
  Reopen();
  std::vector<std::string> rows;
  ASSERT_THAT(ledger_->VisitRunCoverage(4,
                                        [&](uint64_t run, const v1::Coverage& row) {
                                          ASSERT_EQ(row.skips_size(), 1);
                                          EXPECT_EQ(row.skips(0).object_id(), "");
                                          rows.push_back(absl::StrFormat("%d: %d blobs, %d skips",
                                                                         run, row.blobs(),
                                                                         row.skips(0).count()));
                                        }),
              IsOk());
  EXPECT_THAT(rows, ElementsAre("1: 10 blobs, 3 skips", "3: 11 blobs, 3 skips"));
}

TEST_P(LedgerTest, NotesAreKeptByName) {
  EXPECT_EQ(*ledger_->ReadNote("page /a"), std::nullopt);
  EXPECT_THAT(ledger_->WriteNote("page /a", std::string("\0one", 4)), IsOk());
  EXPECT_THAT(ledger_->WriteNote("page /ab", ""), IsOk());
  EXPECT_EQ(*ledger_->ReadNote("page /a"), std::string("\0one", 4));
  EXPECT_EQ(*ledger_->ReadNote("page /ab"), "");
  EXPECT_THAT(ledger_->WriteNote("page /a", "two"), IsOk());
  EXPECT_EQ(*ledger_->ReadNote("page /a"), "two");
  for (int i = 0; i < 2; ++i) EXPECT_THAT(ledger_->EraseNote("page /a"), IsOk());
  EXPECT_EQ(*ledger_->ReadNote("page /a"), std::nullopt);
  EXPECT_EQ(*ledger_->ReadNote("page /ab"), "");
}

IncidentState Noted(int secret, v1::Presence presence, bool open) {
  return {SecretNumber(secret), presence, open, 2, Cause::kNewCommit, 77};
}

TEST_P(LedgerTest, HistoriesComeByIdAndInPages) {
  const IncidentState open = Noted(1, v1::PRESENCE_HEAD, true), gone = Noted(1, v1::PRESENCE_HISTORY, false);
  const std::vector<IncidentState> first = {Noted(3, v1::PRESENCE_BRANCH, true), open}, second = {gone},
                                   again = {Noted(1, v1::PRESENCE_UNREACHABLE, false)},
                                   last = {Noted(2, v1::PRESENCE_HEAD, true)};
  ASSERT_THAT(ledger_->RecordIncidentStates(1, first), IsOk());
  ASSERT_THAT(ledger_->RecordIncidentStates(300, again), IsOk());
  ASSERT_THAT(ledger_->RecordIncidentStates(300, second), IsOk());  // of one run the last stays
  ASSERT_THAT(ledger_->RecordIncidentStates(2, last), IsOk());
  Reopen();
  const auto histories = ledger_->IncidentHistories(SecretId(), 2);
  ASSERT_THAT(histories, IsOk());
  ASSERT_THAT(*histories, SizeIs(2));
  EXPECT_EQ((*histories)[0].secret, SecretNumber(1));
  EXPECT_THAT((*histories)[0].rows, ElementsAre(IncidentHistory::Row{1, open}, IncidentHistory::Row{300, gone}));
  EXPECT_EQ((*histories)[1].secret, SecretNumber(2));
  const auto rest = ledger_->IncidentHistories(SecretNumber(3), 2);
  ASSERT_THAT(*rest, SizeIs(1));
  EXPECT_EQ((*rest)[0].secret, SecretNumber(3));
  EXPECT_THAT(*ledger_->IncidentHistories(SecretNumber(4), 2), IsEmpty());
  EXPECT_THAT(*ledger_->IncidentHistories(SecretId(), 0), IsEmpty());
}

TEST_P(LedgerTest, AForeignKeyIsRefused) {
  ASSERT_THAT(ledger_->UseKey(SecretNumber(100), {}), IsOk());
  ASSERT_THAT(ledger_->UseKey(SecretNumber(100), {}), IsOk());
  Reopen();
  const std::vector<SecretId> unrelated = {SecretNumber(102)};
  EXPECT_THAT(ledger_->UseKey(SecretNumber(101), unrelated),
              FailsWith(absl::StatusCode::kFailedPrecondition,
                        HasSubstr("made with another key (fingerprint " +
                                  ToHex(SecretNumber(100).raw()).substr(0, 12))));
}

TEST_P(LedgerTest, ARotationCarriesIdsOver) {
  const RuleListId rules = Rules({1, 2});
  ASSERT_THAT(ledger_->UseKey(SecretNumber(100), {}), IsOk());
  Record({1}, {Hit(2, {{1, 10, 4, 7}, {2, 20, 5, 8}})}, rules);
  const uint64_t repository = Open("local:/a");
  RecordPlaces(*ledger_, repository, {Place(7, "a", 1)}, {}, "tips");

  const std::vector<SecretId> previous = {SecretNumber(100)};
  ASSERT_THAT(ledger_->UseKey(SecretNumber(101), previous), IsOk());
  Reopen();
  ASSERT_THAT(ledger_->UseKey(SecretNumber(101), previous), IsOk());
  EXPECT_EQ(StateOf(1).known, BlobState::Known::kClean);      // holds no ids
  EXPECT_EQ(StateOf(2).known, BlobState::Known::kUnscanned);  // must be scanned for its new ones
  EXPECT_EQ(HitOf(2), std::nullopt);
  EXPECT_EQ((*ledger_->ReadRepository(repository))->tips_digest(), "");
  EXPECT_EQ(*ledger_->ResolveAlias(SecretNumber(7)), SecretNumber(7));

  Record({}, {Hit(2, {{1, 10, 4, 57}, {2, 20, 5, 58}, {2, 90, 5, 59}})}, rules);
  RecordPlaces(*ledger_, repository, {Place(57, "a", 1)}, {}, "tips");
  Reopen();
  EXPECT_EQ(*ledger_->ResolveAlias(SecretNumber(7)), SecretNumber(57));
  EXPECT_EQ(*ledger_->ResolveAlias(SecretNumber(8)), SecretNumber(58));
  EXPECT_EQ(*ledger_->ResolveAlias(SecretNumber(59)), SecretNumber(59));
  EXPECT_EQ(StateOf(2).known, BlobState::Known::kHit);
  EXPECT_EQ((*ledger_->ReadRepository(repository))->tips_digest(), "tips");

  // A second rotation: the first id leads to the third.
  const std::vector<SecretId> two = {SecretNumber(101), SecretNumber(100)};
  ASSERT_THAT(ledger_->UseKey(SecretNumber(102), two), IsOk());
  Record({}, {Hit(2, {{1, 10, 4, 77}})}, rules);
  EXPECT_EQ(*ledger_->ResolveAlias(SecretNumber(7)), SecretNumber(77));

  // Histories follow; a row that the younger id has of the same run stays.
  const std::vector<IncidentState> old_ids = {Noted(7, v1::PRESENCE_HEAD, true), Noted(8, v1::PRESENCE_HEAD, true)},
                                   middle = {Noted(57, v1::PRESENCE_BRANCH, true)},
                                   young = {Noted(77, v1::PRESENCE_HISTORY, false)};
  ASSERT_THAT(ledger_->RecordIncidentStates(1, old_ids), IsOk());
  ASSERT_THAT(ledger_->RecordIncidentStates(2, middle), IsOk());
  ASSERT_THAT(ledger_->RecordIncidentStates(3, old_ids), IsOk());
  ASSERT_THAT(ledger_->RecordIncidentStates(3, young), IsOk());
  for (int pass = 0; pass < 2; ++pass) {
    ASSERT_THAT(ledger_->CarryHistoriesOver(), IsOk());
    Reopen();
    const auto histories = ledger_->IncidentHistories(SecretId(), 10);
    ASSERT_THAT(*histories, SizeIs(2));
    EXPECT_EQ((*histories)[0].secret, SecretNumber(58));
    EXPECT_EQ((*histories)[1].secret, SecretNumber(77));
    EXPECT_THAT((*histories)[1].rows,
                ElementsAre(IncidentHistory::Row{1, Noted(77, v1::PRESENCE_HEAD, true)},
                            IncidentHistory::Row{2, Noted(77, v1::PRESENCE_BRANCH, true)},
                            IncidentHistory::Row{3, young[0]}));
  }
  EXPECT_THAT(ledger_->UseKey(SecretNumber(101), two),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("was rotated")));
}

INSTANTIATE_TEST_SUITE_P(Forms, LedgerTest,
                         testing::Values(Form{"Memory", false, 0, 0, 0},
                                         Form{"Rocksdb", true, 64 << 10, 5000, 8 << 20},
                                         Form{"RocksdbAlwaysIngesting", true, 1, 0, 64 << 10},
                                         Form{"RocksdbUnbuffered", true, 1, 5000, 8 << 20}),
                         [](const testing::TestParamInfo<Form>& form) { return form.param.name; });

// The memory form is the oracle: the same random operations, the same answers, in every
// configuration.
TEST(LedgerCampaign, RocksdbAnswersAsMemoryDoes) {
  constexpr int kBlobs = 400, kRepositories = 5;
  for (const Form& form :
       {Form{"", true, 50, 20, 2 << 10}, Form{"", true, 64 << 10, 5000, 8 << 20}}) {
    TempDir dir;
    const std::unique_ptr<Ledger> memory = NewMemoryLedger();
    std::unique_ptr<Ledger> rocks = Make(form, dir.path());
    std::mt19937 random(17);
    for (int step = 0; step < 240; ++step) {
      SCOPED_TRACE(step);
      RandomOperation operation(random, kBlobs, kRepositories);
      operation.Apply(*memory);
      operation.Apply(*rocks);
      if (step % 20 != 19) continue;
      ASSERT_EQ(Dump(*memory, kBlobs, kRepositories), Dump(*rocks, kBlobs, kRepositories));
      if (step % 60 != 59) continue;
      rocks.reset();
      rocks = Make(form, dir.path());
      ASSERT_EQ(Dump(*memory, kBlobs, kRepositories), Dump(*rocks, kBlobs, kRepositories));
    }
  }
}

}  // namespace
}  // namespace unsprawl
