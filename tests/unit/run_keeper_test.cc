// A coordinator's runs without a network: a keeper after another over one ledger is a coordinator that was started
// again, and the test is its worker.
#include "coordinator/cluster/run_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <latch>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "coordinator/known_target.h"
#include "tests/support/cli.h"
#include "store/rocksdb_ledger.h"
#include "tests/support/git_repo.h"
#include "tests/support/small_disk.h"
#include "tests/support/status_matchers.h"
#include "worker/log.h"
#include "worker/pipeline.h"

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
    keeper_ = nullptr;  // it still ends the run of before
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

TEST_F(RunKeeperTest, AnEndThatIsSaidTwiceAtOnceIsCountedOnce) {
  Start();
  Submit(2);
  const v1::LeaseRef lease = Acquire("w");
  const auto lent = keeper_->Find(lease);  // by both, before either ends it
  ASSERT_THAT(lent, IsOk());
  v1::TargetEnd end;
  end.set_how(How::GONE);
  for (int i = 0; i < 2; ++i) EXPECT_THAT((*lent)->End(end), IsOk());
  EXPECT_EQ(keeper_->Status(0)->workers(0).shards_done(), 1U);
}

TEST_F(RunKeeperTest, ACallForAShardThatComesLateIsLentNothingMore) {
  Start();
  v1::AcquireRequest in_vain;
  in_vain.set_worker("w");
  in_vain.set_nonce(++nonce_);
  EXPECT_FALSE(keeper_->Acquire(in_vain)->has_shard());  // There is no run yet.
  const uint64_t run = Submit(100);
  const v1::LeaseRef lease = Acquire("w");
  v1::AcquireRequest heard = in_vain;
  heard.set_nonce(nonce_);
  EXPECT_EQ(keeper_->Acquire(heard)->shard().lease().shard(), lease.shard());
  for (int i = 0; i < 50; ++i) EXPECT_THAT(End(Acquire("w"), How::GONE, "gone"), IsOk());
  EXPECT_FALSE(keeper_->Acquire(in_vain)->has_shard());
  EXPECT_FALSE(keeper_->Acquire(heard)->has_shard());  // Its answer is forgotten by now.
  EXPECT_EQ(keeper_->Status(run)->leased(), 1U);
}

TEST_F(RunKeeperTest, ACallForAShardThatComesTwiceAtOnceIsLentOne) {
  Start();
  const uint64_t run = Submit(200);
  EXPECT_THAT(keeper_->Release(Acquire("w")), IsOk());  // It is under way.
  for (int i = 0; i < 200; ++i) {
    v1::AcquireRequest request;
    request.set_worker("w");
    request.set_nonce(++nonce_);
    v1::LeaseRef leases[4];
    std::vector<std::thread> calls;
    std::latch together(4);
    for (v1::LeaseRef& lease : leases) {
      calls.emplace_back([&] {
        together.arrive_and_wait();
        lease = keeper_->Acquire(request)->shard().lease();
      });
    }
    for (std::thread& call : calls) call.join();
    for (const v1::LeaseRef& lease : leases) ASSERT_EQ(lease.shard(), leases[0].shard());
    ASSERT_EQ(keeper_->Status(run)->leased(), 1U);
    EXPECT_THAT(End(leases[0], How::GONE, "gone"), IsOk());
  }
}

TEST_F(RunKeeperTest, ABeginningThatComesLateDisturbsNoPass) {
  Start();
  Submit(1);
  const v1::LeaseRef lease = Acquire("w");
  ASSERT_THAT(Begin(lease, 4), IsOk());
  ASSERT_THAT(Begin(lease, 5), IsOk());  // Its scanner had died.
  v1::ShardEvent event;
  event.mutable_scan_completed();
  ASSERT_THAT(Tell(lease, 5, 1, event), IsOk());
  EXPECT_TRUE(absl::IsAborted(Begin(lease, 4).status()));
  EXPECT_THAT(Begin(lease, 5), IsOk());
  event.mutable_locate_completed();
  const absl::StatusOr<v1::TellReply> reply = Tell(lease, 5, 2, event);
  ASSERT_THAT(reply, IsOk());
  EXPECT_FALSE(reply->begin_again());
  EXPECT_THAT(Begin(lease, 5), IsOk());
  EXPECT_THAT(End(lease, How::SCANNED), IsOk());
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

TEST_F(RunKeeperTest, ACallThatOutlivesItsLeaseDisturbsNoPass) {
  Start();
  Submit(1);
  for (int i = 0; i < 3000; ++i) {
    const v1::LeaseRef stale = Acquire("a");
    std::vector<std::jthread> calls;
    for (int call = 0; call < 4; ++call) {
      calls.emplace_back([&] {
        for (int tries = 0; tries < 30; ++tries) (void)keeper_->Find(stale);
      });
    }
    ASSERT_THAT(keeper_->Release(stale), IsOk());
    const v1::LeaseRef lease = Acquire("b");
    ASSERT_THAT(Begin(lease, 5), IsOk());
    calls.clear();
    EXPECT_TRUE(absl::IsAborted(keeper_->Find(stale).status()));
    v1::ShardEvent event;
    event.mutable_scan_completed();
    const absl::StatusOr<v1::TellReply> reply = Tell(lease, 5, 1, event);
    ASSERT_THAT(reply, IsOk());
    ASSERT_FALSE(reply->begin_again());
    ASSERT_THAT(keeper_->Release(lease), IsOk());
  }
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

// Shards name a group of the configuration by its number: another group's tokens must not go to their forge.
TEST_F(RunKeeperTest, WithAnotherConfigurationARunBeginsAgain) {
  options_.groups.resize(2);
  options_.groups[0].targets = {"https://127.0.0.1:1/a.git"};
  options_.groups[1].targets = {"https://127.0.0.1:1/b.git"};
  Start();
  const uint64_t run = Submit(0);
  const v1::LeaseRef held = Acquire("w");
  options_.groups[1].forge.selection.pushed_since += 9;  // "30d" is another date every time.
  Start();
  EXPECT_THAT(End(held, How::UNCHANGED), IsOk());
  const std::function<void()> changes[] = {
      [&] { std::swap(options_.groups[0], options_.groups[1]); },
      [&] { options_.groups[0].targets = {"https://127.0.0.1:1/c.git"}; },
      [&] { options_.max_object_bytes /= 2; },
      [&] { keys_.current.bytes[0] ^= 1; },
      [&] { options_.groups.pop_back(); },
  };
  for (const auto& change : changes) {
    const v1::LeaseRef lease = Acquire("w");
    change();
    Start();
    EXPECT_TRUE(Await([&] { return absl::IsAborted(keeper_->Find(lease).status()); }));
  }
  EXPECT_THAT(End(Acquire("w"), How::UNCHANGED), IsOk());
  EXPECT_EQ(Repositories(run).size(), 1U);
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
    ASSERT_THAT(keeper_->Cancel(run), IsOk());
    std::this_thread::sleep_for(std::chrono::microseconds(500));
    ASSERT_EQ(StateOf(run), v1::RUN_STATE_CANCELLED);
  }
  const uint64_t run = Submit(1);
  EXPECT_THAT(End(Acquire("w"), How::GONE, "gone"), IsOk());
  EXPECT_EQ(Repositories(run).size(), 1U);
}

// For anything but patience a worker ends.
TEST_F(RunKeeperTest, WhoAsksForWorkWhileARunIsCancelledIsToldToWait) {
  Start();
  std::atomic<bool> stop = false;
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&, i] {
      v1::AcquireRequest request;
      request.set_worker(absl::StrFormat("w%d", i));
      for (uint64_t nonce = 1; !stop; ++nonce) {
        request.set_nonce(nonce);
        ASSERT_THAT(keeper_->Acquire(request), IsOk());
      }
    });
  }
  for (int i = 0; i < 400; ++i) {
    const uint64_t run = Submit(20);
    EXPECT_TRUE(Await([&] { return StateOf(run) >= v1::RUN_STATE_SCANNING; }));
    std::this_thread::sleep_for(std::chrono::microseconds(i % 200));
    EXPECT_THAT(keeper_->Cancel(run), IsOk());
  }
  stop = true;
  for (std::thread& worker : workers) worker.join();
}

TEST_F(RunKeeperTest, ARetryThatIsPromisedHappensThoughTheLastShardEndsJustThen) {
  Start();
  int promised = 0;
  for (int i = 0; i < 300; ++i) {
    const uint64_t run = Submit(2);
    const v1::LeaseRef parked = Acquire("w"), last = Acquire("w");
    ASSERT_THAT(ledger_->shards().Fail({"w", parked.shard(), parked.epoch()}, v1::ERROR_CLASS_DENIED, "parked",
                                       clock_.Now()),
                IsOk());
    std::thread end([&] { EXPECT_THAT(End(last, How::GONE, "gone"), IsOk()); });
    std::this_thread::sleep_for(std::chrono::microseconds(i));
    const absl::StatusOr<uint64_t> retried = keeper_->Retry(run, "");
    end.join();
    if (retried.ok() && *retried == 1) {
      ++promised;
      EXPECT_THAT(End(Acquire("w"), How::GONE, "gone"), IsOk());
    }
    const json repositories = Repositories(run);
    const bool failed = repositories.dump().find("\"failed\"") != std::string::npos ||
                        repositories.dump().find("\"refused\"") != std::string::npos;
    ASSERT_EQ(failed, !retried.ok() || *retried == 0) << repositories;
  }
  EXPECT_GT(promised, 0);
}

TEST_F(RunKeeperTest, WhatCannotBeRecordedAnyMoreIsRefusedAndNotKept) {
  Start();
  Submit(1);
  const v1::LeaseRef lease = Acquire("w");
  ASSERT_THAT(Begin(lease, 5), IsOk());
  const auto lent = keeper_->Find(lease);
  ASSERT_THAT(lent, IsOk());
  ASSERT_THAT(ledger_->shards().Release({"w", lease.shard(), lease.epoch()}, clock_.Now()), IsOk());
  int taken = 0;
  for (uint32_t sequence = 1; sequence < 1000; ++sequence, ++taken) {
    v1::TellRequest request;
    request.set_nonce(5);
    request.set_sequence(sequence);
    v1::BlobBatch& batch = *request.mutable_event()->mutable_blobs();
    batch.mutable_clean()->resize(8192 * ObjectId::kBytes, static_cast<char>(sequence));
    for (int i = 0; i < 8192; ++i) batch.add_clean_bytes(100);
    const absl::StatusOr<v1::TellReply> reply = (*lent)->Tell(&request);
    if (!reply.ok() || reply->begin_again()) break;
  }
  EXPECT_LT(taken, 100);
}

TEST_F(RunKeeperTest, OfALeaseThatIsVoidNothingIsAnswered) {
  Start();
  Submit(2);
  const v1::LeaseRef parked = Acquire("w");
  ASSERT_THAT(Begin(parked, 5), IsOk());
  EXPECT_GT(keeper_->figures().oldest_lease, absl::ZeroDuration());
  ASSERT_THAT(ledger_->shards().Fail({"w", parked.shard(), parked.epoch()}, v1::ERROR_CLASS_DENIED, "parked",
                                     clock_.Now()),
              IsOk());
  EXPECT_THAT(keeper_->Find(parked), FailsWith(absl::StatusCode::kAborted, testing::_));
  EXPECT_EQ(keeper_->figures().oldest_lease, absl::ZeroDuration());
}

TEST_F(RunKeeperTest, WhatAWorkerSaysOfItselfMakesNoStatusLarge) {
  Start();
  const uint64_t run = Submit(1);
  v1::JoinRequest join;
  join.set_worker("w");
  join.set_program(std::string(1 << 20, 'x'));
  ASSERT_THAT(keeper_->Join(join), IsOk());
  Acquire("w");
  const auto status = keeper_->Status(run);
  ASSERT_THAT(status, IsOk());
  ASSERT_EQ(status->workers_size(), 1);
  EXPECT_LT(status->ByteSizeLong(), 10'000U);
}

TEST_F(RunKeeperTest, AFullDiskHoldsARunUpAndFailsNothing) {
  const SmallDisk disk(home_.path() / "disk");
  if (!disk.mounted()) GTEST_SKIP() << "mounting a disk takes root";
  absl::StatusOr<std::unique_ptr<RocksdbLedger>> ledger = RocksdbLedger::Open(home_.path() / "disk" / "store", {});
  ASSERT_THAT(ledger, IsOk());
  ledger_ = *std::move(ledger);
  Start();
  uint64_t run = Submit(1);
  v1::LeaseRef lease = Acquire("w");
  ASSERT_TRUE(disk.Fill(1 << 20));
  EXPECT_TRUE(absl::IsResourceExhausted(End(lease, How::GONE, "gone")));
  EXPECT_TRUE(absl::IsResourceExhausted(keeper_->Cancel(run)));
  v1::RunPlan plan;
  plan.add_targets("https://127.0.0.1:1/more.git");
  EXPECT_TRUE(absl::IsResourceExhausted(keeper_->Submit(plan, "").status()));
  disk.Empty();
  EXPECT_THAT(End(lease, How::GONE, "gone"), IsOk());
  ASSERT_TRUE(disk.Fill(1 << 20));  // Mostly before the report.
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  disk.Empty();
  EXPECT_EQ(Repositories(run).size(), 1U);
  run = Submit(3);
  lease = Acquire("w");
  EXPECT_THAT(keeper_->Cancel(run), IsOk());
  ASSERT_TRUE(disk.Fill(1 << 20));  // Mostly before its shards are erased.
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  disk.Empty();
  run = Submit(1);
  EXPECT_THAT(End(Acquire("w"), How::GONE, "gone"), IsOk());
  EXPECT_EQ(Repositories(run).size(), 1U);
  keeper_ = nullptr;
  ledger_ = nullptr;
}

TEST_F(RunKeeperTest, WhoOnlyJoinsIsNotWaitedFor) {
  ledger_ = NewMemoryLedger({.lease_time = absl::Milliseconds(200)});
  Start();
  v1::JoinRequest join;
  join.set_worker("w");
  ASSERT_THAT(keeper_->Join(join), IsOk());
  EXPECT_EQ(keeper_->Status(0)->workers_size(), 0);
  v1::AcquireRequest ask;
  ask.set_worker("w");
  ask.set_nonce(++nonce_);
  ASSERT_THAT(keeper_->Acquire(ask), IsOk());
  EXPECT_EQ(keeper_->Status(0)->workers_size(), 1);  // though there is no run

  // A mirror of w's alone has what no ref reaches any more.
  v1::MirrorNote note;
  note.set_worker("w");
  note.set_lost_tips(std::string(20, 'x'));
  ASSERT_THAT(WriteMirrorNote("url:" + ParseCloneUrl("https://127.0.0.1:1/app0.git")->name, note, *ledger_), IsOk());
  Submit(1);
  v1::RenewRequest nothing;
  nothing.set_worker("w");
  ask.set_worker("other");
  const auto is_lent = [&] {
    EXPECT_THAT(keeper_->Join(join), IsOk());
    EXPECT_THAT(keeper_->Renew(nothing), IsOk());
    ask.set_nonce(++nonce_);
    const absl::StatusOr<v1::AcquireReply> reply = keeper_->Acquire(ask);
    return reply.ok() && reply->has_shard();
  };
  EXPECT_TRUE(Await(is_lent));
}

TEST_F(RunKeeperTest, AWorkersClockThatIsAheadIsNotBelieved) {
  Start();
  Submit(1);
  v1::EndRequest request;
  *request.mutable_lease() = Acquire("w");
  v1::FetchNote& fetched = *request.mutable_end()->mutable_note()->mutable_fetched();
  fetched.set_pushed_at(5);
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  fetched.set_checked_at(now + 3 * 24 * 3600);
  EXPECT_FALSE(IsUnmoved(5, fetched, absl::Hours(24 * 7), now));
  request.mutable_end()->set_how(How::UNCHANGED);
  ASSERT_THAT(keeper_->End(request), IsOk());
  const auto stored = ledger_->ReadNote("mirror url:" + ParseCloneUrl("https://127.0.0.1:1/app0.git")->name);
  ASSERT_THAT(stored, IsOk());
  v1::MirrorNote note;
  ASSERT_TRUE(note.ParseFromString(stored->value()));
  EXPECT_GE(note.fetched().checked_at(), now);
  EXPECT_LE(note.fetched().checked_at(), now + 100);
  EXPECT_TRUE(IsUnmoved(5, note.fetched(), absl::Hours(24 * 7), now + 100));
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
  EXPECT_EQ(*ledger_->shards().Count(over), ShardTable::Counts());
}

TEST_F(RunKeeperTest, EveryLineAboutALeaseNamesItsRun) {
  testing::internal::CaptureStderr();
  StartLog("debug");
  Start();
  std::vector<std::string> expected;
  for (int i = 0; i < 20; ++i) {
    const uint64_t run = Submit(1);
    const v1::LeaseRef given_back = Acquire("w");
    Start();
    EXPECT_THAT(keeper_->Release(given_back), IsOk());  // At once, while its run is not taken up again yet.
    const v1::LeaseRef done = Acquire("w");
    EXPECT_THAT(End(done, How::GONE, "gone"), IsOk());
    for (const auto& [event, lease] : {std::pair("given_back", given_back), {"done", done}}) {
      expected.push_back(absl::StrFormat("event=%s run=%d shard=%d worker=w epoch=%d\n", event, run, lease.shard(),
                                         lease.epoch()));
    }
  }
  keeper_ = nullptr;
  StartLog("error");
  const std::string said = testing::internal::GetCapturedStderr();
  for (const std::string& line : expected) EXPECT_THAT(said, testing::HasSubstr(line));
}

TEST_F(RunKeeperTest, WhatBecameOfARunsRepositoriesIsKnownAsLongAsTheRun) {
  Start();
  const uint64_t run = Submit(4);
  EXPECT_THAT(End(Acquire("w"), How::GONE, "gone"), IsOk());
  Acquire("w");
  v1::ClusterStatus status = *keeper_->Status(run);
  EXPECT_EQ(status.run().repositories().ShortDebugString(), "all: 4 to_do: 3 done: 1");
  EXPECT_EQ(status.leased(), 1U);
  EXPECT_THAT(keeper_->Cancel(run), IsOk());
  const auto is_erased = [&] { return *ledger_->shards().Count(run) == ShardTable::Counts(); };
  for (const bool restarted : {false, true}) {
    if (restarted) Start();
    // At every moment, whether its shards are still there or not.
    do {
      status = *keeper_->Status(run);
      EXPECT_EQ(status.run().repositories().ShortDebugString(), "all: 4 done: 1 cancelled: 3");
      EXPECT_EQ(status.done(), 1U);
      EXPECT_EQ(status.cancelled(), 3U);
    } while (!is_erased());
  }
  // What is parked, and why, likewise.
  const uint64_t incomplete = Submit(2);
  const v1::LeaseRef parked = Acquire("w");
  ASSERT_THAT(ledger_->shards().Fail({"w", parked.shard(), parked.epoch()}, v1::ERROR_CLASS_DENIED, "no token of it",
                                     clock_.Now()),
              IsOk());
  EXPECT_THAT(End(Acquire("w"), How::GONE, "gone"), IsOk());
  for (const bool restarted : {false, true}) {
    if (restarted) Start();
    do {
      status = *keeper_->Status(incomplete);
      ASSERT_EQ(status.parked_size(), 1);
      EXPECT_EQ(status.parked(0).reason(), "no token of it");
      EXPECT_NE(status.parked(0).repository(), "");
    } while (*ledger_->shards().Count(incomplete) != ShardTable::Counts());
  }
  EXPECT_TRUE(Await([&] { return !ledger_->ReadNote(absl::StrFormat("cluster settled %d", incomplete))->has_value(); }));
  // Others, of which the last are listed.
  std::vector<uint64_t> others;
  for (int i = 0; i < 6; ++i) {
    others.push_back(Submit(2));
    for (int shard = 0; shard < 2; ++shard) EXPECT_THAT(End(Acquire("w"), How::GONE, "gone"), IsOk());
    EXPECT_TRUE(Await([&] { return StateOf(others.back()) == v1::RUN_STATE_DONE; }));
  }
  EXPECT_EQ(keeper_->Status(0)->run().id(), others.back());
  status = *keeper_->Status(run);
  ASSERT_EQ(status.last_size(), 5);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(status.last(static_cast<int>(i)).id(), others[5 - i]);
  EXPECT_TRUE(Await([&] { return keeper_->Status(run)->last(0).repositories().done() == 2; }));
  EXPECT_FALSE(status.last(0).has_plan());
  EXPECT_TRUE(status.parked().empty());
  EXPECT_TRUE(status.last(0).complete());
  EXPECT_GT(status.last(0).ended(), 0);
}

}  // namespace
}  // namespace unsprawl
