// Servers that are slow, stop half-way, stand still, or never end: with real git, and with libgit2.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/support/small_organization.h"
#include "tests/support/status_matchers.h"
#include "worker/clone_url.h"
#include "worker/mirror.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::AnyOf;
using testing::HasSubstr;

constexpr const char* kBackends[] = {"git", "libgit2"};

// A fault of the answer that holds the objects of app1, whatever asks for them.
json FaultOfClone(json how) {
  how["match"] = "POST /acme/app1.git/git-upload-pack";
  how["match_body"] = "want ";
  return how;
}

class MisbehavingServerTest : public SmallOrganization {
 protected:
  CliResult ScanWith(const std::string& backend, std::vector<std::string> options = {}) {
    options.insert(options.end(), {"--ca-file", forge_.CaFile(), "--fetch-backend", backend, "github:acme"});
    return Scan(forge_, options);
  }
  // Everything was scanned but app1, which failed for this reason.
  void ExpectOnlyTheOneFailed(const CliResult& scan, const testing::Matcher<std::string>& reason) {
    EXPECT_EQ(scan.exit_code, 3) << scan.out << scan.err;
    EXPECT_EQ(Outcome("acme/app1")["status"], "failed");
    EXPECT_THAT(Outcome("acme/app1").value("reason", ""), reason);
    EXPECT_THAT(scan.out, HasSubstr("acme/app1"));
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories - 1);
  }

  // app1, asked directly.
  absl::Status ListOne(FetchOptions options) {
    options.network.ca_file = forge_.CaFile();
    const auto url = ParseCloneUrl(CloneUrl(forge_, 1));
    return url.ok() ? Mirror::List(*url, options).status() : url.status();
  }

  ForgeServer forge_{Settings()};
};

TEST_F(MisbehavingServerTest, ASlowCloneIsNoStall) {
  for (const char* backend : kBackends) {
    forge_.Fault(FaultOfClone({{"kind", "slow"}, {"bytes_per_second", 4000}}));
    const absl::Time start = absl::Now();
    const CliResult scan = ScanWith(backend, {"--stall-timeout", "2"});
    EXPECT_EQ(scan.exit_code, 1) << backend << scan.err << scan.out;
    EXPECT_GT(absl::Now() - start, absl::Seconds(3)) << backend;
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories) << backend;
  }
}

TEST_F(MisbehavingServerTest, ACloneThatStopsHalfWayIsTriedAgain) {
  for (const char* backend : kBackends) {
    forge_.ResetCounters();
    forge_.Fault(FaultOfClone({{"kind", "cut"}, {"bytes", 8000}, {"times", 2}}));
    const CliResult scan = ScanWith(backend);
    EXPECT_EQ(scan.exit_code, 1) << backend << scan.err << scan.out;
    EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories) << backend;
    EXPECT_EQ(forge_.Counters()["faults"], 2) << backend;
  }
}

TEST_F(MisbehavingServerTest, OneThatAlwaysStopsHalfWayFailsAlone) {
  for (const char* backend : kBackends) {
    forge_.Fault(FaultOfClone({{"kind", "cut"}, {"bytes", 8000}, {"times", nullptr}}));
    ExpectOnlyTheOneFailed(ScanWith(backend), testing::Not(""));
    // The others' packs and nothing of this one.
    EXPECT_LT(MirroredBytes(), 70'000u) << backend;
  }
}

TEST_F(MisbehavingServerTest, OneThatStandsStillForEverFailsAlone) {
  for (const char* backend : kBackends) {
    forge_.Fault(FaultOfClone({{"kind", "stall"}, {"bytes", 8000}, {"times", nullptr}}));
    ExpectOnlyTheOneFailed(ScanWith(backend, {"--stall-timeout", "2"}),
                           AnyOf(HasSubstr("too slow"), HasSubstr("stood still for 2s")));
  }
}

TEST_F(MisbehavingServerTest, CtrlCEndsARunThatWaitsForAServer) {
  for (const char* backend : kBackends) {
    forge_.ResetCounters();
    forge_.Fault(FaultOfClone({{"kind", "stall"}, {"bytes", 8000}, {"times", nullptr}}));
    absl::Time stopped;
    const CliResult scan = cli_.ScanMeanwhile(
        {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile(), "--store", ":memory:", "--mirrors",
         home_.path() / "stopped" / backend, "--fetch-backend", backend, "github:acme"},
        [&](pid_t program) {
          while (forge_.Counters()["faults"] == 0) usleep(50'000);
          stopped = absl::Now();
          kill(program, SIGINT);
        });
    EXPECT_LT(absl::Now() - stopped, absl::Seconds(10)) << backend;
    EXPECT_EQ(scan.exit_code, 3) << backend << scan.err;
    EXPECT_THAT(scan.err, HasSubstr("stopped"));
  }
}

TEST_F(MisbehavingServerTest, AListOfRefsThatStandsStillFailsAlone) {
  forge_.Fault({{"match", "GET /acme/app1.git/info/refs"}, {"kind", "stall"}, {"times", nullptr}});
  ExpectOnlyTheOneFailed(ScanWith("git", {"--stall-timeout", "2"}), HasSubstr("too slow"));
}

TEST_F(MisbehavingServerTest, OneThatNeverEndsIsGivenUpAndLeavesNothing) {
  for (const char* backend : kBackends) {
    forge_.ResetCounters();
    forge_.Fault(FaultOfClone({{"kind", "endless"}, {"times", nullptr}, {"bytes_per_second", 20'000'000}}));
    ExpectOnlyTheOneFailed(ScanWith(backend, {"--max-mirror-size", "5MB"}), HasSubstr("--max-mirror-size"));
    EXPECT_LT(MirroredBytes(), 70'000u) << backend;
    EXPECT_EQ(forge_.Counters()["faults"], 1) << backend;  // It is not asked again.
  }
}

// One byte now and then is no stall; a list without end is not kept in memory. In one test, since the first
// server that a process asks with libgit2 is the only one it trusts.
TEST_F(MisbehavingServerTest, LibgitsTalkIsBoundedInTimeAndInBytesAndItLeavesABusyServerAlone) {
  FetchOptions options;
  options.backend = FetchBackend::kLibgit2;
  options.attempts = 2;
  options.first_pause = absl::Milliseconds(1);
  EXPECT_THAT(ListOne(options), IsOk());

  options.timeout = absl::Seconds(2);
  forge_.Fault({{"match", "GET /acme/app1.git/info/refs"}, {"kind", "slow"}, {"bytes_per_second", 20}, {"times", 2}});
  EXPECT_THAT(ListOne(options), FailsWith(absl::StatusCode::kDeadlineExceeded, HasSubstr("longer than it may")));

  options.timeout = absl::Hours(1);
  forge_.Fault({{"match", "GET /acme/app1.git/info/refs"}, {"kind", "endless_refs"}, {"bytes", 400'000'000}, {"times", 2}});
  EXPECT_THAT(ListOne(options), FailsWith(absl::StatusCode::kResourceExhausted, HasSubstr("says too much")));

  // The other pause would be one of a day.
  options.first_pause = absl::Hours(24);
  options.limit_pause = absl::Milliseconds(1);
  forge_.Fault({{"match", "GET /acme/app1.git/info/refs"}, {"kind", "status"}, {"status", 429}});
  EXPECT_THAT(ListOne(options), IsOk());
}

TEST_F(MisbehavingServerTest, GitsTalkIsBoundedInTimeAndItLeavesABusyServerAlone) {
  FetchOptions options;
  options.attempts = 2;
  options.timeout = absl::Seconds(2);
  forge_.Fault({{"match", "GET /acme/app1.git/info/refs"}, {"kind", "slow"}, {"bytes_per_second", 20}});
  EXPECT_THAT(ListOne(options), FailsWith(absl::StatusCode::kDeadlineExceeded, HasSubstr("took longer")));

  // The other pause would be one of a day.
  options.timeout = absl::Hours(1);
  options.first_pause = absl::Hours(24);
  options.limit_pause = absl::Milliseconds(1);
  forge_.Fault({{"match", "GET /acme/app1.git/info/refs"}, {"kind", "status"}, {"status", 429}});
  EXPECT_THAT(ListOne(options), IsOk());
  std::swap(options.first_pause, options.limit_pause);
  forge_.Fault({{"match", "GET /acme/app1.git/info/refs"}, {"kind", "status"}, {"status", 503}});
  EXPECT_THAT(ListOne(options), IsOk());
}

TEST_F(MisbehavingServerTest, AnApiThatStandsStillIsAskedAgain) {
  forge_.Fault({{"match", "/orgs/acme/repos"}, {"kind", "stall"}});
  const CliResult scan = ScanWith("git", {"--stall-timeout", "2"});
  EXPECT_EQ(scan.exit_code, 1) << scan.err << scan.out;
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), kRepositories);
}

}  // namespace
}  // namespace unsprawl
