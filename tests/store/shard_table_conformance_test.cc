// Every form of the shard table keeps the same promises; the last is opened anew before each call, as after
// a crash that lost nothing but what is not written.
#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "absl/strings/str_format.h"
#include "store/maintenance.h"
#include "store/rocksdb_ledger.h"
#include "store/shard_rows.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"
#include "tests/support/store_rows.h"

namespace unsprawl {
namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::StatusCode kAborted = absl::StatusCode::kAborted;
const absl::Time kStart = absl::FromUnixSeconds(1'700'000'000);

enum class Form { kMemory, kRocksdb, kReopened };

class ShardTableTest : public testing::TestWithParam<Form> {
 protected:
  Ledger& ledger() {
    if (ledger_ == nullptr) ledger_ = Make();
    return *ledger_;
  }
  // The table, closed and opened again when this form is.
  ShardTable& table() {
    if (GetParam() == Form::kReopened && !stays_open_) ledger_.reset();
    return ledger().shards();
  }
  std::unique_ptr<Ledger> Make() {
    if (GetParam() == Form::kMemory) return NewMemoryLedger(options_);
    RocksdbLedger::Options options;
    options.shards = options_;
    auto ledger = RocksdbLedger::Open(dir_.path() / "store", options);
    EXPECT_THAT(ledger, IsOk());
    return *std::move(ledger);
  }
  // Lets every lease run out: an opened table gives them a lease time from its first call on.
  void RunOut() {
    ShardTable& opened = table();
    EXPECT_THAT(opened.Expire(now_), IsOk());
    now_ += options_.lease_time;
    EXPECT_THAT(opened.Expire(now_), IsOk());
  }

  static v1::Shard Repository(const std::string& name, uint64_t size = 1, const std::string& group = "") {
    v1::Shard shard;
    shard.set_run(1);
    shard.set_repository(name);
    shard.set_group(group);
    shard.set_host("host");
    shard.set_size(size);
    shard.set_payload("payload of " + name);
    return shard;
  }
  uint64_t Add(std::vector<v1::Shard> shards) {
    const auto first = table().Add(shards);
    EXPECT_THAT(first, IsOk());
    return first.value_or(0);
  }
  std::optional<v1::Shard> AcquireShard(const std::string& worker, bool ahead = false) {
    auto shard = table().Acquire(worker, ahead, now_);
    EXPECT_THAT(shard, IsOk());
    return shard.ok() ? *shard : std::nullopt;
  }
  // The name of the repository of what is lent; "": nothing.
  std::string Acquire(const std::string& worker, bool ahead = false) {
    const std::optional<v1::Shard> shard = AcquireShard(worker, ahead);
    if (!shard) return "";
    lease_ = {worker, shard->id(), shard->epoch()};
    leases_[shard->repository()] = lease_;
    return shard->repository();
  }
  v1::Shard Read(uint64_t shard) {
    const auto row = table().Read(shard);
    EXPECT_THAT(row, IsOk());
    return row.value_or(v1::Shard());
  }
  bool Renew(const ShardLease& lease, bool fetching = true) {
    const ShardTable::Renewal renewal{lease.shard, lease.epoch, fetching};
    const auto held = table().Renew(lease.worker, {&renewal, 1}, now_);
    EXPECT_THAT(held, IsOk());
    return held->front();
  }
  absl::Status Fail(const ShardLease& lease, v1::ErrorClass error) {
    const absl::StatusOr<v1::Shard> failed = table().Fail(lease, error, "why", now_);
    if (failed.ok()) {
      EXPECT_EQ(failed->state(), Read(lease.shard).state());
    }
    return failed.status();
  }
  ShardTable::Counts Count() { return *table().Count(1); }
  std::vector<ShardTable::Worker> Workers() {
    std::vector<ShardTable::Worker> workers = *table().Workers(now_);
    EXPECT_EQ(*table().HasSeveralWorkers(now_), workers.size() > 1);
    return workers;
  }

  TempDir dir_;
  ShardTableOptions options_;
  std::unique_ptr<Ledger> ledger_;
  bool stays_open_ = false;  // for what is not written: who is live, who fetches
  absl::Time now_ = kStart;
  ShardLease lease_;                          // the last
  std::map<std::string, ShardLease> leases_;  // the last of each repository
};

std::string NameOf(const testing::TestParamInfo<Form>& form) {
  switch (form.param) {
    case Form::kMemory: return "Memory";
    case Form::kRocksdb: return "Rocksdb";
    case Form::kReopened: return "Reopened";
  }
  return "";
}
INSTANTIATE_TEST_SUITE_P(Forms, ShardTableTest,
                         testing::Values(Form::kMemory, Form::kRocksdb, Form::kReopened), NameOf);

TEST_P(ShardTableTest, AnEmptyTableLendsNothing) {
  EXPECT_EQ(Acquire("w"), "");
  EXPECT_THAT(table().Read(1), FailsWith(absl::StatusCode::kNotFound, HasSubstr("1")));
  EXPECT_EQ(Count(), ShardTable::Counts());
}

TEST_P(ShardTableTest, AShardIsLentOnceAndDoneOnce) {
  ASSERT_EQ(Add({Repository("a")}), 1u);
  EXPECT_EQ(Count().pending, 1u);
  const std::optional<v1::Shard> shard = AcquireShard("w");
  ASSERT_TRUE(shard.has_value());
  EXPECT_EQ(shard->payload(), "payload of a");
  EXPECT_EQ(shard->group(), "a");
  EXPECT_EQ(shard->kind(), v1::SHARD_KIND_REPOSITORY);
  EXPECT_EQ(Acquire("other"), "");
  EXPECT_EQ(Count().leased, 1u);
  const ShardLease lease{"w", shard->id(), shard->epoch()};
  EXPECT_THAT(table().Complete({"other", lease.shard, lease.epoch}, "x", now_), FailsWith(kAborted, _));
  EXPECT_THAT(table().Complete(lease, "result", now_), IsOk());
  EXPECT_THAT(table().Complete(lease, "again", now_), IsOk());  // sent twice
  EXPECT_EQ(Read(1).result(), "result");
  EXPECT_EQ(Read(1).payload(), "payload of a");
  EXPECT_EQ(Read(1).state(), v1::SHARD_STATE_DONE);
  EXPECT_TRUE(Count().over());
  EXPECT_EQ(Acquire("w"), "");
  EXPECT_THAT(table().Release(lease, now_), FailsWith(kAborted, HasSubstr("shard 1")));
}

TEST_P(ShardTableTest, ALeaseThatIsNotRenewedRunsOut) {
  Add({Repository("a")});
  ASSERT_EQ(Acquire("w"), "a");
  const ShardLease old = lease_;
  now_ += absl::Seconds(59);
  EXPECT_EQ(Acquire("other"), "");
  RunOut();
  EXPECT_EQ(Read(1).state(), v1::SHARD_STATE_PENDING);
  EXPECT_EQ(Read(1).attempts(), 1u);
  EXPECT_EQ(Read(1).error(), v1::ERROR_CLASS_LOST);
  EXPECT_EQ(Acquire("other"), "a");
  EXPECT_GT(lease_.epoch, old.epoch);
  EXPECT_FALSE(Renew(old));
  EXPECT_TRUE(Renew(lease_));
  EXPECT_THAT(table().Complete(old, "", now_), FailsWith(kAborted, _));
}

// Its worker was stopped for a while, or whoever runs the table was.
TEST_P(ShardTableTest, ALeaseThatRanOutGoesOnUnlessAnotherTookIt) {
  Add({Repository("a", 9), Repository("b", 8)});
  ASSERT_EQ(Acquire("w"), "a");
  const ShardLease a = lease_;
  ASSERT_EQ(Acquire("w"), "b");
  const ShardLease b = lease_;
  for (int i = 0; i < 9; ++i) {  // more often than it has attempts
    RunOut();
    EXPECT_EQ(table().Count(1)->pending, 2u);
    EXPECT_TRUE(Renew(a));
    EXPECT_TRUE(Renew(b));
    EXPECT_EQ(table().Count(1)->leased, 2u);
    EXPECT_EQ(Read(a.shard).attempts(), 0u);
  }
  RunOut();
  EXPECT_EQ(Acquire("other"), "a");
  EXPECT_FALSE(Renew(a));
  EXPECT_TRUE(Renew(b));
  EXPECT_EQ(Acquire("third"), "");
  EXPECT_EQ(Read(a.shard).attempts(), 1u);
  EXPECT_THAT(table().Complete(b, "", now_), IsOk());
}

TEST_P(ShardTableTest, ARenewedLeaseGoesOn) {
  stays_open_ = true;
  Add({Repository("a")});
  ASSERT_EQ(Acquire("w"), "a");
  for (int i = 0; i < 5; ++i) {
    now_ += absl::Seconds(50);
    EXPECT_TRUE(Renew(lease_));
    EXPECT_EQ(Acquire("other"), "");
  }
  EXPECT_FALSE(Renew({"other", lease_.shard, lease_.epoch}));
  EXPECT_FALSE(Renew({"w", lease_.shard, lease_.epoch + 1}));
  EXPECT_FALSE(Renew({"w", 99, 1}));
}

TEST_P(ShardTableTest, AfterARestartALeaseLivesOneLeaseTime) {
  if (GetParam() == Form::kMemory) stays_open_ = true;
  Add({Repository("a")});
  ASSERT_EQ(Acquire("w"), "a");
  if (GetParam() == Form::kMemory) return;
  ledger_.reset();
  stays_open_ = true;
  now_ += absl::Hours(5);
  EXPECT_EQ(Acquire("other"), "");
  now_ += absl::Seconds(59);
  EXPECT_EQ(Acquire("other"), "");
  now_ += absl::Seconds(1);
  EXPECT_EQ(Acquire("other"), "a");
}

TEST_P(ShardTableTest, ALeaseThatRanOutIsGoodUntilSomebodyTakesIt) {
  Add({Repository("a"), Repository("b")});
  ASSERT_EQ(Acquire("w"), "a");
  ASSERT_EQ(Acquire("w"), "b");
  RunOut();
  EXPECT_THAT(table().Complete(leases_["a"], "late", now_), IsOk());
  EXPECT_EQ(Read(1).state(), v1::SHARD_STATE_DONE);
  EXPECT_EQ(Read(1).attempts(), 0u);
  EXPECT_THAT(table().Release(leases_["b"], now_), IsOk());
  EXPECT_EQ(Read(2).attempts(), 0u);  // it was there after all
  EXPECT_THAT(table().Complete(leases_["b"], "", now_), FailsWith(kAborted, _));
}

TEST_P(ShardTableTest, AShardThatLosesItsWorkersIsParked) {
  Add({Repository("a")});
  for (uint32_t attempt = 1; attempt <= 4; ++attempt) {
    ASSERT_EQ(Acquire("w"), "a") << attempt;
    RunOut();
    EXPECT_EQ(Read(1).attempts(), attempt);
  }
  EXPECT_EQ(Read(1).state(), v1::SHARD_STATE_PARKED);
  EXPECT_EQ(Acquire("w"), "");
  EXPECT_EQ(Count().parked, 1u);
  EXPECT_TRUE(Count().over());
  EXPECT_EQ(*table().Retry(1, 0), 1u);
  EXPECT_EQ(Acquire("w"), "a");
  EXPECT_EQ(Read(1).attempts(), 0u);
}

TEST_P(ShardTableTest, ADrainedShardIsPendingAtOnceAndNotCounted) {
  Add({Repository("a")});
  ASSERT_EQ(Acquire("w"), "a");
  const ShardLease old = lease_;
  EXPECT_THAT(table().Release(old, now_), IsOk());
  EXPECT_EQ(Read(1).attempts(), 0u);
  EXPECT_THAT(table().Release(old, now_), FailsWith(kAborted, _));
  EXPECT_EQ(Acquire("other"), "a");
}

TEST_P(ShardTableTest, WhatIsReleasedForAHomeIsKeptForThatWhileItLives) {
  stays_open_ = true;
  Add({Repository("a")});
  ASSERT_EQ(Acquire("other"), "a");
  EXPECT_EQ(Acquire("home"), "");
  EXPECT_THAT(table().Release(lease_, now_, "home"), IsOk());
  EXPECT_EQ(Read(1).attempts(), 0u);
  EXPECT_EQ(Acquire("other"), "");
  now_ += options_.lease_time / 2;
  EXPECT_EQ(Acquire("home"), "a");
  EXPECT_TRUE(Read(1).home_only());
  EXPECT_THAT(table().Release(lease_, now_), IsOk());
  EXPECT_EQ(Acquire("other"), "");
  now_ += options_.lease_time;
  EXPECT_EQ(Acquire("other"), "a");
}

TEST_P(ShardTableTest, WhatFailedWaitsLongerEachTimeAndIsParked) {
  Add({Repository("a")});
  absl::Duration least = absl::Seconds(15);
  for (int attempt = 1; attempt <= 3; ++attempt) {
    ASSERT_EQ(Acquire("w"), "a");
    ASSERT_THAT(Fail(lease_, v1::ERROR_CLASS_RETRY), IsOk());
    EXPECT_EQ(Read(1).reason(), "why");
    now_ += least - absl::Seconds(1);
    EXPECT_EQ(Acquire("w"), "");
    now_ += least / 2 + absl::Seconds(1);  // at most half as long on top
    least *= 4;
  }
  ASSERT_EQ(Acquire("w"), "a");
  ASSERT_THAT(Fail(lease_, v1::ERROR_CLASS_RETRY), IsOk());
  EXPECT_EQ(Read(1).state(), v1::SHARD_STATE_PARKED);
  EXPECT_EQ(Read(1).attempts(), 4u);
}

TEST_P(ShardTableTest, TheClassSaysWhatBecomesOfAShard) {
  const struct {
    v1::ErrorClass error;
    v1::ShardState state;
  } cases[] = {{v1::ERROR_CLASS_UNSPECIFIED, v1::SHARD_STATE_PARKED},
               {v1::ERROR_CLASS_RETRY, v1::SHARD_STATE_PENDING},
               {v1::ERROR_CLASS_DENIED, v1::SHARD_STATE_PARKED}};
  for (const auto& [error, state] : cases) {
    const uint64_t shard = Add({Repository("a")});
    ASSERT_EQ(Acquire("w"), "a");
    ASSERT_THAT(Fail(lease_, error), IsOk());
    EXPECT_EQ(Read(shard).state(), state) << error;
    EXPECT_EQ(Read(shard).error(), error);
    EXPECT_EQ(Read(shard).result(), "");
    EXPECT_THAT(Fail(lease_, error), FailsWith(kAborted, _));
  }
}

TEST_P(ShardTableTest, TheLargestGoesFirst) {
  Add({Repository("small", 1), Repository("large", 9), Repository("middle", 5)});
  EXPECT_EQ(Acquire("w"), "large");
  EXPECT_EQ(Acquire("w"), "middle");
  EXPECT_EQ(Acquire("w"), "small");
}

TEST_P(ShardTableTest, AWorkerGetsWhatItHasTheMirrorOf) {
  stays_open_ = true;
  std::vector<v1::Shard> shards = {Repository("large", 9), Repository("mine", 1), Repository("fork", 2, "network"),
                                   Repository("first", 3, "network")};
  shards[0].set_home("other");
  shards[1].set_home("w");
  shards[2].set_home("w");
  Add(shards);
  EXPECT_EQ(Acquire("other"), "large");
  EXPECT_EQ(Acquire("w"), "first");  // its group's mirror is here
  EXPECT_EQ(Acquire("w"), "fork");
  EXPECT_EQ(Acquire("w"), "mine");
}

TEST_P(ShardTableTest, WhatIsLargeBesideAllOthersIsBegunFirstAndNotHeldAhead) {
  stays_open_ = true;
  const struct {
    const char *home, *ahead, *first;
  } cases[] = {{"", "", "large"}, {"a", "b1", "large"}, {"b", "", "a0"}};
  for (const auto& [home, ahead, first] : cases) {
    std::vector<v1::Shard> shards = {Repository("large", 30)};
    shards[0].set_home(home);
    for (int i = 0; i < 6; ++i) {
      v1::Shard& small = shards.emplace_back(Repository(absl::StrFormat("%s%d", i % 2 == 0 ? "a" : "b", i), 10));
      small.set_home(i % 2 == 0 ? "a" : "b");
    }
    Add(shards);
    for (const char* const worker : {"a", "b"}) EXPECT_THAT(table().Renew(worker, {}, now_), IsOk());
    EXPECT_EQ(Acquire("b", true), ahead) << home;
    EXPECT_EQ(Acquire("a"), first) << home;
    if (lease_.shard == leases_["large"].shard) {
      EXPECT_THAT(table().Release(lease_, now_), IsOk());  // By now it is home to who had it.
    }
    while (Acquire("b", true) != "") EXPECT_NE(lease_.shard, leases_["large"].shard);
    EXPECT_EQ(Acquire("b"), "large");
    ASSERT_THAT(table().Cancel(1), IsOk());
    ASSERT_THAT(table().Erase(1), IsOk());
  }
  Add({Repository("alone")});
  now_ += options_.lease_time / 2;
  EXPECT_THAT(table().Renew("a", {}, now_), IsOk());
  EXPECT_EQ(Acquire("a", true), "");
  now_ += options_.lease_time / 2;
  EXPECT_EQ(Acquire("a", true), "alone");  // The other is gone.
}

TEST_P(ShardTableTest, WhoHasNothingOfItsOwnTakesOthersWholeGroupsFirst) {
  stays_open_ = true;
  std::vector<v1::Shard> shards = {Repository("a1", 9, "a"), Repository("a2", 8, "a"), Repository("b", 1)};
  for (v1::Shard& shard : shards) shard.set_home("w");
  Add(shards);
  EXPECT_EQ(Acquire("w"), "a1");
  EXPECT_EQ(Acquire("thief"), "b");   // nobody works on it
  EXPECT_EQ(Acquire("thief"), "a2");  // better than nothing
}

TEST_P(ShardTableTest, WhatOnlyItsHomeHasNobodyElseTakesWhileThatLives) {
  stays_open_ = true;
  std::vector<v1::Shard> shards = {Repository("gone", 9), Repository("other", 1)};
  for (v1::Shard& shard : shards) shard.set_home("w");
  shards[0].set_home_only(true);
  EXPECT_EQ(Acquire("w"), "");  // It lives.
  Add(shards);
  EXPECT_EQ(Acquire("thief"), "other");
  EXPECT_EQ(Acquire("thief"), "");
  EXPECT_EQ(Acquire("w"), "gone");
  Add({shards[0]});
  now_ += 2 * options_.lease_time;
  EXPECT_EQ(Acquire("thief"), "gone");
}

TEST_P(ShardTableTest, WhoTakesAPartFirstIsNotTheHomeOfItsWhole) {
  stays_open_ = true;
  std::vector<v1::Shard> shards = {Repository("giant", 100)};
  shards[0].set_home("w");
  shards[0].set_home_only(true);
  Add(shards);
  ASSERT_EQ(Acquire("w"), "giant");
  const std::vector<ShardTable::Piece> pieces = {{30, "one"}, {70, "two"}};
  ASSERT_THAT(table().Cut(lease_, pieces, now_), IsOk());
  const std::optional<v1::Shard> two = AcquireShard("thief"), one = AcquireShard("w");
  ASSERT_TRUE(one && two);
  EXPECT_THAT(table().Complete({"thief", two->id(), two->epoch()}, "", now_), IsOk());
  EXPECT_THAT(table().Complete({"w", one->id(), one->epoch()}, "", now_), IsOk());
  EXPECT_EQ(Acquire("thief"), "");
  EXPECT_EQ(Acquire("w"), "giant");
}

TEST_P(ShardTableTest, AfterARestartWhatOnlyItsHomeHasWaitsOneLeaseTimeForThat) {
  stays_open_ = true;
  std::vector<v1::Shard> shards = {Repository("gone", 9), Repository("unobtainable", 8), Repository("first", 1)};
  for (v1::Shard& shard : shards) shard.set_home_only(true);
  shards[0].set_home("w");
  shards[1].set_home("dead");
  Add(shards);
  if (GetParam() != Form::kMemory) ledger_.reset();
  EXPECT_EQ(Acquire("thief"), "first");  // has no home yet
  EXPECT_EQ(Acquire("thief"), "");       // w has not called yet
  EXPECT_EQ(Acquire("w"), "gone");
  EXPECT_THAT(table().Complete(lease_, "", now_), IsOk());
  EXPECT_EQ(Acquire("w"), "");
  now_ += options_.lease_time;
  EXPECT_EQ(Acquire("thief"), "unobtainable");
}

TEST_P(ShardTableTest, WhoFetchesAGroupsFirstKeepsTheRestOfIt) {
  stays_open_ = true;
  std::vector<v1::Shard> shards = {Repository("fork", 9, "network"), Repository("first", 1, "network")};
  shards[1].set_leads(true);
  for (v1::Shard& shard : shards) shard.set_home_only(true);
  Add(shards);
  EXPECT_EQ(Acquire("w"), "first");
  EXPECT_THAT(table().Complete(lease_, "", now_), IsOk());
  EXPECT_EQ(Acquire("thief"), "");
  EXPECT_EQ(Acquire("w"), "fork");
}

TEST_P(ShardTableTest, TheRestOfAGroupWaitsForItsFirst) {
  stays_open_ = true;
  std::vector<v1::Shard> shards = {Repository("fork", 9, "network"), Repository("first", 1, "network")};
  shards[1].set_leads(true);
  Add(shards);
  EXPECT_EQ(Acquire("w"), "first");
  EXPECT_EQ(Acquire("other"), "");
  EXPECT_TRUE(Renew(lease_, /*fetching=*/false));
  EXPECT_EQ(Acquire("other"), "fork");
  EXPECT_THAT(table().Release(leases_["first"], now_), IsOk());
  EXPECT_THAT(table().Release(leases_["fork"], now_), IsOk());
  EXPECT_EQ(Acquire("w"), "first");  // it may have been fetched, but not for long enough
  EXPECT_THAT(Fail(lease_, v1::ERROR_CLASS_DENIED), IsOk());
  EXPECT_EQ(Acquire("w"), "fork");
}

TEST_P(ShardTableTest, AHostHasOnlySoManyFetchesAtATime) {
  stays_open_ = true;
  options_.max_fetches_per_host = 2;
  std::vector<v1::Shard> shards = {Repository("a", 9), Repository("b", 8), Repository("c", 7),
                                   Repository("elsewhere", 1)};
  shards[3].set_host("other host");
  Add(shards);
  EXPECT_EQ(Acquire("w"), "a");
  EXPECT_EQ(Acquire("w"), "b");
  EXPECT_EQ(Acquire("w"), "elsewhere");
  EXPECT_EQ(Acquire("w"), "");
  EXPECT_TRUE(Renew(leases_["a"], /*fetching=*/false));
  EXPECT_EQ(Acquire("w"), "c");
  EXPECT_TRUE(Renew(leases_["a"], /*fetching=*/true));  // what was said before came late
  EXPECT_THAT(table().Complete(leases_["b"], "", now_), IsOk());
  Add({Repository("d")});
  EXPECT_EQ(Acquire("w"), "d");
}

TEST_P(ShardTableTest, AShardThatIsCutWaitsForItsParts) {
  Add({Repository("a", 100)});
  ASSERT_EQ(Acquire("w"), "a");
  const ShardLease whole = lease_;
  EXPECT_THAT(table().Cut(whole, {}, now_), FailsWith(absl::StatusCode::kInvalidArgument, _));
  const std::vector<ShardTable::Piece> pieces = {{30, "one"}, {70, "two"}};
  ASSERT_THAT(table().Cut(whole, pieces, now_), IsOk());
  EXPECT_THAT(table().Cut(whole, pieces, now_), FailsWith(kAborted, _));  // sent twice
  EXPECT_EQ(Count().pending, 3u);
  EXPECT_EQ(*table().CountRepositories(1), (ShardTable::Counts{.pending = 1}));
  const std::optional<v1::Shard> two = AcquireShard("w"), one = AcquireShard("other");
  ASSERT_TRUE(one && two);
  EXPECT_EQ(two->payload(), "two");
  EXPECT_EQ(one->payload(), "one");
  EXPECT_EQ(one->kind(), v1::SHARD_KIND_PART);
  EXPECT_EQ(one->whole(), 1u);
  EXPECT_EQ(one->repository(), "a");
  EXPECT_EQ(Acquire("w"), "");
  const ShardLease lease_of_two{"w", two->id(), two->epoch()};
  EXPECT_THAT(table().Cut(lease_of_two, pieces, now_), FailsWith(absl::StatusCode::kFailedPrecondition, _));
  EXPECT_THAT(table().Complete(lease_of_two, "", now_), IsOk());
  EXPECT_EQ(Acquire("w"), "");
  EXPECT_THAT(Fail({"other", one->id(), one->epoch()}, v1::ERROR_CLASS_DENIED), IsOk());
  ASSERT_EQ(Acquire("w"), "a");
  EXPECT_EQ(Count(), (ShardTable::Counts{.leased = 1, .done = 1, .parked = 1}));
  EXPECT_EQ(*table().CountRepositories(1), (ShardTable::Counts{.leased = 1}));
  EXPECT_TRUE(Read(1).cut());
  EXPECT_THAT(table().Cut(lease_, pieces, now_), FailsWith(absl::StatusCode::kFailedPrecondition, _));
  EXPECT_THAT(table().Complete(lease_, "", now_), IsOk());
  // A person retries the part: its whole is to be located once more.
  EXPECT_EQ(*table().Retry(1, 1), 1u);
  EXPECT_THAT(table().Complete(lease_, "", now_), FailsWith(kAborted, _));
  const std::optional<v1::Shard> again = AcquireShard("w");
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->payload(), "one");
  EXPECT_THAT(table().Complete({"w", again->id(), again->epoch()}, "", now_), IsOk());
  EXPECT_EQ(Acquire("w"), "a");
}

TEST_P(ShardTableTest, ACancelledRunLendsNothingAndTakesNothing) {
  Add({Repository("a"), Repository("b"), Repository("c")});
  ASSERT_EQ(Acquire("w"), "a");
  ASSERT_EQ(Acquire("w"), "b");
  EXPECT_THAT(table().Complete(leases_["a"], "", now_), IsOk());
  EXPECT_THAT(table().Erase(1), FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("1 shards pending")));
  EXPECT_THAT(table().Cancel(1), IsOk());
  EXPECT_EQ(Count(), (ShardTable::Counts{.done = 1, .cancelled = 2}));
  EXPECT_EQ(Acquire("w"), "");
  EXPECT_FALSE(Renew(leases_["b"]));
  EXPECT_THAT(table().Complete(leases_["b"], "", now_), FailsWith(kAborted, _));
}

TEST_P(ShardTableTest, RunsAreApartAndAnErasedOnesIdsDoNotComeBack) {
  std::vector<v1::Shard> shards = {Repository("a"), Repository("b")};
  Add(shards);
  shards[0].set_run(2);
  EXPECT_EQ(Add({shards[0]}), 3u);
  EXPECT_THAT(table().Cancel(1), IsOk());
  EXPECT_EQ(*table().Count(2), (ShardTable::Counts{.pending = 1}));
  std::vector<uint64_t> ids;
  EXPECT_THAT(table().Visit(1, [&](const v1::Shard& shard) { ids.push_back(shard.id()); }), IsOk());
  EXPECT_THAT(ids, ElementsAre(1, 2));
  EXPECT_THAT(table().Cancel(2), IsOk());
  EXPECT_THAT(table().Erase(2), IsOk());
  EXPECT_THAT(table().Erase(1), IsOk());
  EXPECT_THAT(table().Read(1), FailsWith(absl::StatusCode::kNotFound, _));
  EXPECT_EQ(Add({Repository("c")}), 4u);
}

TEST_P(ShardTableTest, AClockThatJumpsParksNothingAndKeepsNothing) {
  stays_open_ = true;
  Add({Repository("a")});
  ASSERT_EQ(Acquire("w"), "a");
  now_ -= absl::Hours(24 * 365);
  EXPECT_TRUE(Renew(lease_));
  EXPECT_EQ(Acquire("other"), "");
  now_ += absl::Seconds(60);
  EXPECT_EQ(Acquire("other"), "a");  // time went on meanwhile
  now_ += absl::Hours(24 * 365);
  ASSERT_EQ(Acquire("w"), "a");
  ASSERT_THAT(Fail(lease_, v1::ERROR_CLASS_RETRY), IsOk());
  // By the clock that came back its wait is over in a year.
  now_ -= absl::Hours(24 * 365);
  if (GetParam() != Form::kMemory) {  // After a restart nobody knows how long it was to wait.
    ledger_.reset();
    EXPECT_EQ(Acquire("w"), "a");
    return;
  }
  EXPECT_EQ(Acquire("w"), "");
  now_ += absl::Hours(1);
  EXPECT_EQ(Acquire("w"), "a");
}

TEST_P(ShardTableTest, WorkersAreThoseSeenOfLate) {
  stays_open_ = true;
  Add({Repository("a")});
  ASSERT_EQ(Acquire("w1"), "a");
  now_ += absl::Seconds(30);
  EXPECT_TRUE(Renew(lease_, /*fetching=*/false));
  EXPECT_EQ(Acquire("w2"), "");
  now_ += absl::Seconds(31);
  EXPECT_EQ(Acquire("w2"), "");
  const auto workers = Workers();
  ASSERT_THAT(workers, SizeIs(2));
  EXPECT_EQ(workers[0].name, "w1");
  EXPECT_EQ(workers[0].seen, kStart + absl::Seconds(30));
  ASSERT_THAT(workers[0].held, SizeIs(1));
  EXPECT_EQ(workers[0].held[0].shard, 1u);
  EXPECT_FALSE(workers[0].held[0].fetching);
  EXPECT_EQ(workers[0].held[0].until, kStart + absl::Seconds(90));
  EXPECT_THAT(workers[1].held, IsEmpty());
  now_ += absl::Seconds(40);
  EXPECT_THAT(Workers(), SizeIs(1));
}

TEST_P(ShardTableTest, WhatAWorkerWasGivenIsSaidForAsLongAsItHoldsTheLease) {
  Add({Repository("a"), Repository("b")});
  ASSERT_EQ(Acquire("other"), "a");
  ASSERT_EQ(Acquire("w"), "b");
  const ShardLease first = lease_;
  // To w; a worker that holds a lease is named, whoever has called since the restart.
  const auto given = [&] {
    const auto workers = Workers();
    EXPECT_THAT(workers, SizeIs(2));
    EXPECT_EQ(workers[0].name, "other");
    EXPECT_EQ(workers[0].held[0].given, v1::CREDENTIALS_NONE);
    EXPECT_EQ(workers[1].name, "w");
    EXPECT_EQ(workers[1].seen, GetParam() == Form::kReopened ? absl::InfinitePast() : now_);
    EXPECT_THAT(workers[1].held, SizeIs(1));
    EXPECT_EQ(workers[1].held[0].shard, 2u);
    return workers[1].held[0].given;
  };
  EXPECT_EQ(given(), v1::CREDENTIALS_NONE);
  EXPECT_THAT(table().Give(first, v1::CREDENTIALS_SCOPED, now_), IsOk());
  EXPECT_EQ(given(), v1::CREDENTIALS_SCOPED);
  EXPECT_THAT(table().Give(first, v1::CREDENTIALS_UNSCOPED, now_), IsOk());
  EXPECT_EQ(given(), v1::CREDENTIALS_UNSCOPED);
  EXPECT_THAT(table().Give(first, v1::CREDENTIALS_SCOPED, now_), IsOk());
  EXPECT_EQ(given(), v1::CREDENTIALS_UNSCOPED);
  EXPECT_THAT(table().Release(first, now_), IsOk());
  ASSERT_EQ(Acquire("w"), "b");
  EXPECT_EQ(given(), v1::CREDENTIALS_NONE);
  EXPECT_THAT(table().Give(first, v1::CREDENTIALS_SCOPED, now_), FailsWith(kAborted, HasSubstr("epoch")));
  EXPECT_EQ(given(), v1::CREDENTIALS_NONE);
}

TEST(ShardTableOfBefore, ItsLeasesMayHaveBeenGivenAnything) {
  const std::unique_ptr<ShardRows> rows = NewMemoryShardRows();
  v1::Shard row;
  row.set_id(1);
  row.set_run(1);
  row.set_kind(v1::SHARD_KIND_REPOSITORY);
  row.set_state(v1::SHARD_STATE_LEASED);
  row.set_worker("w");
  row.set_epoch(1);
  ASSERT_THAT(rows->Write({.added = {&row, 1}, .changed = {}, .erased = {}, .next = 2}), IsOk());
  const std::unique_ptr<ShardTable> table = NewShardTable(*rows, {});
  ASSERT_THAT(table->Give({"w", 1, 1}, v1::CREDENTIALS_SCOPED, kStart), IsOk());
  EXPECT_EQ(table->Workers(kStart)->at(0).held.at(0).given, v1::CREDENTIALS_UNSPECIFIED);
}

// ---- fences

TEST_P(ShardTableTest, TheLedgerTakesNothingUnderAStaleLease) {
  Add({Repository("a")});
  ASSERT_EQ(Acquire("w"), "a");
  const ShardLease stale = lease_;
  RunOut();
  ASSERT_EQ(Acquire("other"), "a");
  (void)table();
  const RuleListId rules = *ledger().InternRules(std::vector<uint64_t>{1});
  EXPECT_THAT(ledger().RecordBlobs(Batch({1}, {}), rules, &stale), FailsWith(kAborted, HasSubstr("epoch 1")));
  EXPECT_FALSE(ledger().HasBlobs());
  EXPECT_THAT(ledger().RecordBlobs(Batch({1}, {}), rules, &lease_), IsOk());
  EXPECT_TRUE(ledger().HasBlobs());

  const v1::RepositoryRecord record = *ledger().OpenRepository("a", "a");
  for (const ShardLease* const lease : std::initializer_list<const ShardLease*>{&stale, &lease_}) {
    auto recording = *ledger().StartRecording(record.id());
    ASSERT_THAT(recording->Add(Place(7, "a.txt", 1)), IsOk());
    v1::RepositoryRecord moved = record;
    moved.set_tips_digest("tips");
    const bool good = lease == &lease_;
    EXPECT_EQ(absl::IsAborted(recording->Commit(moved, lease)), !good);
    EXPECT_THAT(Places(ledger(), {record.id()}), SizeIs(good ? 1 : 0));
    EXPECT_EQ((*ledger().ReadRepository(record.id()))->tips_digest(), good ? "tips" : "");
  }
}

TEST_P(ShardTableTest, BlobsOfADoneShardSurviveACrash) {
  if (GetParam() == Form::kMemory) return;  // it has no crash that it survives
  stays_open_ = true;
  Add({Repository("a")});
  ASSERT_EQ(Acquire("w"), "a");
  const RuleListId rules = *ledger().InternRules(std::vector<uint64_t>{1});
  ASSERT_THAT(ledger().RecordBlobs(Batch({1}, {}), rules, &lease_), IsOk());
  ASSERT_THAT(table().Complete(lease_, "", now_), IsOk());
  // What a reader beside it sees is what a crash now would leave.
  auto reader = RocksdbLedger::OpenReader(dir_.path() / "store", {});
  ASSERT_THAT(reader, IsOk());
  EXPECT_TRUE((*reader)->HasBlobs());
  EXPECT_EQ((*reader)->shards().Count(1)->done, 1u);
  EXPECT_THAT((*reader)->shards().Acquire("w", false, now_), IsOk());
  ASSERT_THAT(table().Retry(1, 0), IsOk());
  const uint64_t next = Add({Repository("b")});
  ASSERT_THAT((*reader)->CatchUp(), IsOk());
  EXPECT_THAT((*reader)->shards().Read(next), IsOk());
  EXPECT_THAT((*reader)->shards().Acquire("w", false, now_), FailsWith(absl::StatusCode::kFailedPrecondition, _));
}

TEST_P(ShardTableTest, ACommitHoldsUpOnlyItsOwnShard) {
  stays_open_ = true;
  Add({Repository("a", 9), Repository("b", 1)});
  ASSERT_EQ(Acquire("w"), "a");
  ShardTable& shards = table();
  std::atomic<bool> committing = false, finish = false, cancelled = false;
  std::jthread commit([&] {
    EXPECT_THAT(shards.Fenced(leases_.at("a"), [&] {
      committing = true;
      while (!finish) std::this_thread::yield();
      EXPECT_FALSE(cancelled);
      return absl::OkStatus();
    }), IsOk());
  });
  while (!committing) std::this_thread::yield();
  const ShardLease first = lease_;
  EXPECT_TRUE(Renew(first));
  now_ += absl::Seconds(100);
  EXPECT_EQ(Acquire("other"), "b");  // and not a, whose lease ran out
  EXPECT_EQ(Read(1).state(), v1::SHARD_STATE_LEASED);
  std::jthread cancel([&] {
    EXPECT_THAT(shards.Cancel(1), IsOk());
    cancelled = true;
  });
  // What else could be cancelled is, and then no new commit of `a` gets in before the cancellation.
  while (shards.Count(1)->cancelled == 0) std::this_thread::yield();
  EXPECT_FALSE(cancelled);
  finish = true;
  commit.join();
  cancel.join();
  EXPECT_THAT(shards.Fenced(first, [] { return absl::OkStatus(); }), FailsWith(kAborted, _));
  EXPECT_EQ(Count().cancelled, 2u);
}

TEST_P(ShardTableTest, ManyWorkersAtATimeDoEachShardOnce) {
  stays_open_ = true;
  options_.max_fetches_per_host = 3;
  std::vector<v1::Shard> added;
  for (int i = 0; i < 300; ++i) added.push_back(Repository(absl::StrFormat("r%d", i), 1, absl::StrFormat("g%d", i / 3)));
  Add(added);
  ShardTable& shards = table();
  std::atomic<int> commits[301] = {};
  {
    std::vector<std::jthread> workers;
    for (int w = 0; w < 4; ++w) {
      workers.emplace_back([&, w] {
        std::mt19937 random(static_cast<uint32_t>(w));
        const std::string name = absl::StrFormat("w%d", w);
        while (!shards.Count(1)->over()) {
          const auto shard = *shards.Acquire(name, false, kStart);
          if (!shard) continue;
          const ShardLease lease{name, shard->id(), shard->epoch()};
          const ShardTable::Renewal renewal{lease.shard, lease.epoch, false};
          EXPECT_TRUE(shards.Renew(name, {&renewal, 1}, kStart)->front());
          if (random() % 4 == 0) {
            EXPECT_THAT(shards.Release(lease, kStart), IsOk());
            continue;
          }
          EXPECT_THAT(shards.Fenced(lease, [&] {
            ++commits[shard->id()];
            return absl::OkStatus();
          }), IsOk());
          EXPECT_THAT(shards.Complete(lease, name, kStart), IsOk());
        }
      });
    }
  }
  for (size_t i = 1; i <= 300; ++i) EXPECT_EQ(commits[i], 1) << i;
  EXPECT_EQ(Count(), (ShardTable::Counts{.done = 300}));
}

TEST_P(ShardTableTest, TheStoreIsSound) {
  if (GetParam() == Form::kMemory) return;  // there is no store
  Add({Repository("a"), Repository("b")});
  ASSERT_EQ(Acquire("w"), "a");
  ASSERT_THAT(table().Cut(lease_, std::vector<ShardTable::Piece>{{1, "x"}}, now_), IsOk());
  ASSERT_EQ(Acquire("w"), "b");
  ASSERT_THAT(table().Complete(lease_, "result", now_), IsOk());
  Database& database = static_cast<RocksdbLedger&>(ledger()).database();
  EXPECT_THAT(CheckStore(database)->examples, IsEmpty());
  rocksdb::WriteBatch damage;
  damage.Delete(database.family(Family::kMeta), ShardPayloadKey(2));
  damage.Delete(database.family(Family::kMeta), ShardKey(1));
  damage.Put(database.family(Family::kMeta), ShardKey(2), "\xff");
  ASSERT_THAT(database.Write(&damage), IsOk());
  EXPECT_THAT(CheckStore(database)->examples,
              testing::UnorderedElementsAre("a payload or result of no shard", "a shard is unreadable",
                                            "shard 3 is a part of none"));
  damage.Clear();
  damage.Delete(database.family(Family::kMeta), ShardPayloadKey(3));
  ASSERT_THAT(database.Write(&damage), IsOk());
  EXPECT_THAT(CheckStore(database)->examples, testing::Contains("shard 3 has no payload"));
  ledger_.reset();
  EXPECT_THAT(table().Count(1), FailsWith(absl::StatusCode::kDataLoss, HasSubstr("shards")));
}

// ---- placement: a preference, which a form over a shared database may approximate

// Which of 200 shards a worker gets before it turns to others'.
std::set<uint64_t> OwnOf(const std::string& worker, const std::vector<std::string>& live,
                         const std::vector<std::string>& dead = {}) {
  const std::unique_ptr<Ledger> ledger = NewMemoryLedger({.max_fetches_per_host = 1000});
  ShardTable& shards = ledger->shards();
  for (const std::string& name : dead) EXPECT_THAT(shards.Renew(name, {}, kStart), IsOk());
  std::vector<v1::Shard> added(200);
  for (size_t i = 0; i < added.size(); ++i) added[i].set_repository(absl::StrFormat("repository %d", i));
  EXPECT_THAT(shards.Add(added), IsOk());
  const absl::Time now = kStart + absl::Seconds(60);
  for (const std::string& name : live) EXPECT_THAT(shards.Renew(name, {}, now), IsOk());
  std::set<uint64_t> own;
  // Of equal sizes they come by id; what is others' begins from below again.
  while (const std::optional<v1::Shard> shard = *shards.Acquire(worker, false, now)) {
    if (!own.empty() && shard->id() < *own.rbegin()) break;
    own.insert(shard->id());
  }
  return own;
}

TEST(ShardPlacement, EachShardIsOneWorkersAndAWorkerThatComesMovesOnlyItsShare) {
  const std::vector<std::string> three = {"w1", "w2", "w3"}, four = {"w4", "w2", "w1", "w3"};
  std::set<uint64_t> all;
  size_t sum = 0;
  for (const std::string& worker : three) {
    const std::set<uint64_t> own = OwnOf(worker, three), later = OwnOf(worker, four);
    EXPECT_GT(own.size(), 40u);
    sum += own.size();
    all.insert(own.begin(), own.end());
    EXPECT_LT(later.size(), own.size());
    EXPECT_TRUE(std::includes(own.begin(), own.end(), later.begin(), later.end()));
    EXPECT_EQ(OwnOf(worker, {"w3", "w1", "w2"}), own);
    EXPECT_EQ(OwnOf(worker, three, {"w4", "w5"}), own);  // who went has nothing
  }
  EXPECT_EQ(sum, 200u);
  EXPECT_THAT(all, SizeIs(200));
}

}  // namespace
}  // namespace unsprawl
