#include "coordinator/cluster/status_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace unsprawl {
namespace {

using testing::HasSubstr;

constexpr int64_t kThen = 1'700'000'000'000'000;

// Of an organization as large as they come.
v1::ClusterRun LargeRun(uint64_t id, v1::RunState state) {
  v1::ClusterRun run;
  run.set_id(id);
  run.set_state(state);
  v1::RepositoryCounts& repositories = *run.mutable_repositories();
  repositories.set_all(100'000);
  repositories.set_unchanged(99'000);
  repositories.set_done(900);
  repositories.set_to_do(95);
  repositories.set_parked(5);
  if (IsOver(state)) run.set_ended(kThen);
  if (state == v1::RUN_STATE_DONE) run.set_incidents(123'456);
  return run;
}

TEST(StatusTextTest, NumbersFitATerminalOf80Columns) {
  v1::ClusterStatus status;
  status.set_now(kThen);
  *status.mutable_run() = LargeRun(1007, v1::RUN_STATE_SCANNING);
  status.set_pending(90'000);
  status.set_leased(1'000);
  status.set_done(100'000);
  status.set_parked_count(100);
  status.set_seconds_left(100'000);
  status.set_shards_per_second(685.4);
  status.set_bytes_per_second(1e9);
  for (const v1::RunState state : {v1::RUN_STATE_DONE, v1::RUN_STATE_FAILED, v1::RUN_STATE_CANCELLED}) {
    *status.add_last() = LargeRun(1000 + static_cast<uint64_t>(status.last_size()), state);
  }
  status.mutable_last(1)->clear_repositories();  // of a listing that failed
  v1::ClusterStatus::Worker& worker = *status.add_workers();
  worker.set_name("worker-1000.unsprawl");
  worker.set_threads(64);
  worker.set_shards_done(100'000);
  worker.set_seen(kThen - 20'000'000);
  const std::string text = WholeText(status);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << line;
  EXPECT_THAT(text, HasSubstr("  repositories: 100000, of them 99000 unchanged, 900 done, 95 to do, 5 parked\n"));
  EXPECT_THAT(text, HasSubstr("    1000  done       2023-11-14T22:13:20Z  NO         99900 of 100000     123456\n"));
  EXPECT_THAT(text, HasSubstr("    1001  failed     2023-11-14T22:13:20Z  -                        -          -\n"));
}

TEST(StatusTextTest, WhoHoldsATokenIsNamedThoughItWasNotHeardOfSinceTheStart) {
  v1::ClusterStatus status;
  status.set_now(kThen);
  v1::ClusterStatus::Worker& worker = *status.add_workers();
  worker.set_name("w");
  v1::ClusterStatus::Lease& lease = *worker.add_leases();
  lease.set_repository("github.com/acme/app");
  lease.set_credentials(true);
  EXPECT_THAT(WholeText(status), HasSubstr("  w: not heard of since the coordinator started\n"
                                           "    github.com/acme/app (has a token for it alone)\n"));
}

}  // namespace
}  // namespace unsprawl
