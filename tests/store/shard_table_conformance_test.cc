// Every form of the shard table keeps the same promises; the last is opened anew before each call, as after
// a crash that lost nothing but what is not written.
#include <atomic>
#include <functional>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_format.h"
#include "store/maintenance.h"
#include "store/rocksdb_ledger.h"
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
    if (GetParam() == Form::kReopened) ledger_.reset();
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
  std::optional<v1::Shard> AcquireShard(const std::string& worker) {
    auto shard = table().Acquire(worker, now_);
    EXPECT_THAT(shard, IsOk());
    return shard.ok() ? *shard : std::nullopt;
  }
  // The name of the repository of what is lent; "": nothing.
  std::string Acquire(const std::string& worker) {
    const std::optional<v1::Shard> shard = AcquireShard(worker);
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
  absl::Status Fail(const ShardLease& lease, v1::ErrorClass error, absl::Duration retry_after = {}) {
    return table().Fail(lease, {error, "why", retry_after}, now_);
  }
  ShardTable::Counts Count() { return *table().Count(1); }

  TempDir dir_;
  ShardTableOptions options_;
  std::unique_ptr<Ledger> ledger_;
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

}  // namespace
}  // namespace unsprawl
