// A coordinator's runs without a network: a keeper after another over one ledger is a coordinator that was started
// again, and the test is its worker.
#include "coordinator/cluster/run_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using How = v1::TargetEnd;

class RunKeeperTest : public testing::Test {
 protected:
  RunKeeperTest() { options_.output_dir = home_.path() / "reports"; }

  void Start() {
    keeper_ = nullptr;
    absl::StatusOr<std::unique_ptr<RunKeeper>> keeper = RunKeeper::Start({.options = &options_,
                                                                          .ruleset = &ruleset_,
                                                                          .keys = &keys_,
                                                                          .ledger = ledger_.get(),
                                                                          .clock = &clock_,
                                                                          .metrics = &metrics_,
                                                                          .cut_bytes = 1 << 30});
    ASSERT_THAT(keeper, IsOk());
    keeper_ = *std::move(keeper);
  }

  // Of a run over so many URLs, which nobody asks.
  uint64_t Submit(int targets) {
    v1::RunPlan plan;
    for (int i = 0; i < targets; ++i) plan.add_targets(absl::StrFormat("https://127.0.0.1:1/app%d.git", i));
    const absl::StatusOr<uint64_t> run = keeper_->Submit(plan, "");
    EXPECT_THAT(run, IsOk());
    return run.value_or(0);
  }

  // Asks until `done`; false: half a minute has passed.
  static bool Await(const std::function<bool()>& done) {
    for (int i = 0; i < 3000; ++i) {
      if (done()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  v1::LeaseRef Acquire(const std::string& worker) {
    v1::LeaseRef lease;
    v1::AcquireRequest request;
    request.set_worker(worker);
    EXPECT_TRUE(Await([&] {
      request.set_nonce(++nonce_);
      const absl::StatusOr<v1::AcquireReply> reply = keeper_->Acquire(request);
      EXPECT_THAT(reply, IsOk());
      if (!reply.ok() || !reply->has_shard()) return false;
      lease = reply->shard().lease();
      return true;
    }));
    return lease;
  }

  // A call as a worker makes it: what may pass is said again.
  template <typename Call>
  auto Patiently(const Call& call) {
    auto answer = call();
    Await([&] {
      const bool may_pass = absl::IsUnavailable(StatusOf(answer));
      if (may_pass) answer = call();
      return !may_pass;
    });
    return answer;
  }

  absl::StatusOr<v1::BeginReply> Begin(const v1::LeaseRef& lease, uint64_t nonce) {
    v1::BeginRequest request;
    *request.mutable_lease() = lease;
    request.set_nonce(nonce);
    request.set_ruleset_id(ruleset_.id());
    request.mutable_beginning()->mutable_opened()->set_tips_digest("tips");
    request.mutable_beginning()->set_sandboxed(true);
    return Patiently([&] { return keeper_->Begin(request); });
  }

  absl::StatusOr<v1::TellReply> Tell(const v1::LeaseRef& lease, uint64_t nonce, uint32_t sequence,
                                     v1::ShardEvent event) {
    const auto lent = Patiently([&] { return keeper_->Find(lease); });
    if (!lent.ok()) return lent.status();
    v1::TellRequest request;
    *request.mutable_lease() = lease;
    request.set_nonce(nonce);
    request.set_sequence(sequence);
    *request.mutable_event() = std::move(event);
    return (*lent)->Tell(&request);
  }

  // A whole pass over a repository with seven commits and nothing in them.
  void Pass(const v1::LeaseRef& lease) {
    ASSERT_THAT(Begin(lease, 5), IsOk());
    v1::ShardEvent event;
    event.mutable_scan_completed();
    absl::StatusOr<v1::TellReply> reply = Tell(lease, 5, 1, event);
    ASSERT_THAT(reply, IsOk());
    ASSERT_TRUE(reply->command().has_locate());
    event.mutable_locate_completed()->set_commits(7);
    reply = Tell(lease, 5, 2, event);
    ASSERT_THAT(reply, IsOk());
    ASSERT_FALSE(reply->command().has_locate());
  }

  absl::Status End(const v1::LeaseRef& lease, How::How how, const std::string& reason = "") {
    v1::EndRequest request;
    *request.mutable_lease() = lease;
    v1::TargetEnd& end = *request.mutable_end();
    end.set_how(how);
    end.set_reason(reason);
    if (how == How::FAILED) end.set_code(static_cast<int>(absl::StatusCode::kDataLoss));
    return Patiently([&] { return keeper_->End(request); });
  }

  v1::RunState StateOf(uint64_t run) { return keeper_->Status(run)->run().state(); }
  // What the report of `run` says of its repositories.
  json Repositories(uint64_t run) {
    EXPECT_TRUE(Await([&] { return StateOf(run) >= v1::RUN_STATE_DONE; }));
    EXPECT_EQ(StateOf(run), v1::RUN_STATE_DONE);
    const std::string name = home_.path() / "reports" / absl::StrFormat("run-%d", run) / "manifest.json";
    return json::parse(ReadFile(name), nullptr, false)["repositories"];
  }

  TempDir home_;
  ScanOptions options_;
  Ruleset ruleset_ = *Ruleset::Builtin();
  KeyRing keys_;
  std::unique_ptr<Ledger> ledger_ = NewMemoryLedger();
  SteadyClock clock_;
  ClusterMetrics metrics_;
  uint64_t nonce_ = 0;
  std::unique_ptr<RunKeeper> keeper_;
};

TEST_F(RunKeeperTest, ARepositoryEndsAfterARestartAsItDoesWithoutOne) {
  json reports[2];
  for (const bool restarted : {false, true}) {
    ledger_ = NewMemoryLedger();
    Start();
    const uint64_t run = Submit(4);
    std::vector<v1::LeaseRef> leases;
    for (int i = 0; i < 4; ++i) leases.push_back(Acquire("w"));
    Pass(leases[3]);
    if (restarted) Start();
    EXPECT_THAT(End(leases[0], How::FAILED, "its packs are damaged"), IsOk());
    EXPECT_THAT(End(leases[1], How::GONE, "its forge has it no longer"), IsOk());
    EXPECT_THAT(End(leases[2], How::UNCHANGED), IsOk());
    if (restarted) {  // What it said is forgotten, but not what was recorded.
      EXPECT_THAT(End(leases[3], How::SCANNED), FailsWith(absl::StatusCode::kFailedPrecondition, testing::_));
      EXPECT_TRUE(Begin(leases[3], 6)->begun().unchanged());
    }
    EXPECT_THAT(End(leases[3], How::SCANNED), IsOk());
    reports[restarted] = Repositories(run);
  }
  EXPECT_EQ(reports[0].size(), 4U);
  EXPECT_EQ(reports[1], reports[0]);
}

TEST_F(RunKeeperTest, WhoAsksWhileARunIsTakenUpAgainLosesNothing) {
  Start();
  const uint64_t run = Submit(2);
  const v1::LeaseRef held = Acquire("holder");
  v1::AcquireRequest request;
  request.set_worker("other");
  for (int i = 0; i < 30; ++i) {
    Start();
    // At once, and as the first.
    const absl::Status found = keeper_->Find(held).status();
    EXPECT_TRUE(found.ok() || absl::IsUnavailable(found)) << found;
    request.set_nonce(++nonce_);
    const absl::StatusOr<v1::AcquireReply> reply = keeper_->Acquire(request);
    ASSERT_THAT(reply, IsOk());
    if (reply->has_shard()) {
      EXPECT_THAT(keeper_->Release(reply->shard().lease()), IsOk());
    }
  }
  const v1::LeaseRef other = Acquire("other");
  EXPECT_EQ(ledger_->shards().Read(other.shard())->attempts(), 0U);
  for (const v1::LeaseRef& lease : {held, other}) EXPECT_THAT(End(lease, How::GONE, "gone"), IsOk());
  EXPECT_EQ(Repositories(run).size(), 2U);
}

TEST_F(RunKeeperTest, AnEndWhileARunIsTakenUpAgainIsRecorded) {
  for (int i = 0; i < 20; ++i) {
    Start();
    const uint64_t run = Submit(1);
    const v1::LeaseRef lease = Acquire("w");
    Start();
    EXPECT_THAT(End(lease, How::GONE, "gone"), IsOk());
    ASSERT_EQ(Repositories(run).size(), 1U);
  }
}

TEST_F(RunKeeperTest, AnEndThatIsSaidTwiceIsRecordedOnce) {
  Start();
  const uint64_t run = Submit(2);
  const v1::LeaseRef lease = Acquire("w");
  EXPECT_THAT(End(lease, How::GONE, "gone"), IsOk());
  EXPECT_THAT(End(lease, How::GONE, "gone"), IsOk());
  EXPECT_THAT(End(Acquire("w"), How::GONE, "gone"), IsOk());
  EXPECT_EQ(Repositories(run).size(), 2U);
}

TEST_F(RunKeeperTest, AStaleLeaseDisturbsNoPass) {
  Start();
  Submit(1);
  const v1::LeaseRef stale = Acquire("a");
  EXPECT_THAT(keeper_->Release(stale), IsOk());
  const v1::LeaseRef lease = Acquire("b");
  ASSERT_THAT(Begin(lease, 5), IsOk());
  EXPECT_TRUE(absl::IsAborted(keeper_->Release(stale)));
  EXPECT_TRUE(absl::IsAborted(End(stale, How::GONE, "gone")));
  v1::ShardEvent event;
  event.mutable_scan_completed();
  const absl::StatusOr<v1::TellReply> reply = Tell(lease, 5, 1, event);
  ASSERT_THAT(reply, IsOk());
  EXPECT_FALSE(reply->begin_again());
}

TEST_F(RunKeeperTest, WithOtherRulesARunBeginsAgain) {
  Start();
  const uint64_t run = Submit(2);
  const v1::LeaseRef done = Acquire("w"), held = Acquire("w");
  EXPECT_THAT(End(done, How::UNCHANGED), IsOk());
  absl::StatusOr<Ruleset> other = Ruleset::Parse("[[rules]]\nid = \"a\"\nregex = '''a{9}'''\n", "other.toml");
  ASSERT_THAT(other, IsOk());
  ruleset_ = *std::move(other);
  Start();
  EXPECT_TRUE(Await([&] { return absl::IsAborted(keeper_->Find(held).status()); }));
  for (int i = 0; i < 2; ++i) EXPECT_THAT(End(Acquire("w"), How::UNCHANGED), IsOk());
  EXPECT_EQ(Repositories(run).size(), 2U);
}

TEST_F(RunKeeperTest, AWorkerWithOtherRulesHandsBackAtOnce) {
  Start();
  Submit(1);
  v1::BeginRequest request;
  *request.mutable_lease() = Acquire("w");
  request.set_nonce(5);
  request.set_ruleset_id("of yesterday");
  EXPECT_TRUE(absl::IsAborted(keeper_->Begin(request).status()));
  EXPECT_EQ(Acquire("x").shard(), request.lease().shard());
}

TEST_F(RunKeeperTest, ACancelledRunStaysCancelled) {
  Start();
  for (int i = 0; i < 300; ++i) {
    const uint64_t run = Submit(1);
    if (i % 3 != 0) std::this_thread::sleep_for(std::chrono::microseconds(i * 5));
    ASSERT_THAT(keeper_->Cancel(run), IsOk());
    EXPECT_TRUE(absl::IsFailedPrecondition(keeper_->Cancel(run)));
    std::this_thread::sleep_for(std::chrono::microseconds(500));
    ASSERT_EQ(StateOf(run), v1::RUN_STATE_CANCELLED);
  }
  const uint64_t run = Submit(1);
  EXPECT_THAT(End(Acquire("w"), How::GONE, "gone"), IsOk());
  EXPECT_EQ(Repositories(run).size(), 1U);
}

TEST_F(RunKeeperTest, OfARunThatWasKilledWhileItEndedNoShardIsLent) {
  Start();
  const uint64_t over = Submit(1);
  EXPECT_THAT(keeper_->Cancel(over), IsOk());
  keeper_ = nullptr;
  v1::Shard left;
  left.set_run(over);
  left.set_repository("left");
  ASSERT_THAT(ledger_->shards().Add(std::vector<v1::Shard>{left}), IsOk());
  Start();
  EXPECT_EQ(ledger_->shards().Count(over)->pending, 0U);
}

}  // namespace
}  // namespace unsprawl
