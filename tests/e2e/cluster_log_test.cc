// What coordinator and workers say while they run: lines that a program can read, whatever strangers put into them, and
// nothing that is secret.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <iterator>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_calls.h"
#include "tests/support/small_organization.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

// Ends a value and a line, begins others, and clears the terminal that shows it, if it is let.
constexpr char kHostile[] = "\\\" level=error\nevent=parked run=999 \x1b[2J\\";

using Line = std::map<std::string, std::string>;

// A line of logfmt: key=value, one space between; nullopt: it is none.
std::optional<Line> Parse(const std::string& text) {
  Line line;
  for (size_t at = 0; at < text.size();) {
    const size_t equals = text.find('=', at);
    if (equals == std::string::npos || equals == at) return std::nullopt;
    const std::string key = text.substr(at, equals - at);
    if (key.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") != std::string::npos || line.contains(key)) return std::nullopt;
    std::string& value = line[key];
    at = equals + 1;
    if (at < text.size() && text[at] == '"') {
      for (++at; at < text.size() && text[at] != '"'; ++at) {
        if (text[at] == '\\' && ++at == text.size()) return std::nullopt;
        value += text[at];
      }
      if (at++ >= text.size()) return std::nullopt;
    } else {
      const size_t end = std::min(text.find(' ', at), text.size());
      value = text.substr(at, end - at);
      if (value.empty() || value.find_first_of("\"=") != std::string::npos) return std::nullopt;
      at = end;
    }
    if (at < text.size() && text[at++] != ' ') return std::nullopt;
  }
  return line;
}

class ClusterLogTest : public SmallOrganization {
 protected:
  // All that a program said; a line that is none fails the test.
  static std::vector<Line> Lines(const BackgroundProgram& program) {
    std::vector<Line> lines;
    const std::string err = program.err();
    for (size_t begin = 0; begin < err.size();) {
      const size_t end = std::min(err.find('\n', begin), err.size());
      const std::optional<Line> line = Parse(err.substr(begin, end - begin));
      EXPECT_TRUE(line && line->contains("time") && line->contains("level") && line->contains("event"))
          << err.substr(begin, end - begin);
      if (line) lines.push_back(*line);
      begin = end + 1;
    }
    return lines;
  }
  static std::vector<Line> Of(const std::string& event, const std::vector<Line>& lines) {
    std::vector<Line> found;
    for (const Line& line : lines) {
      if (line.at("event") == event) found.push_back(line);
    }
    return found;
  }
  static Line Ids(const Line& line) {
    Line ids;
    for (const char* key : {"run", "shard", "worker", "epoch", "attempt", "repository", "name"}) ids[key] = line.at(key);
    return ids;
  }
  // Runs, with words of theirs on either side.
  Cluster Start(const std::vector<std::string>& coordinator, const std::vector<std::string>& worker) const {
    std::vector<std::string> of = {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile(), "--log-level", "debug"};
    std::vector<std::string> by = {"--ca-file", forge_.CaFile(), "--log-level", "debug"};
    of.insert(of.end(), coordinator.begin(), coordinator.end());
    by.insert(by.end(), worker.begin(), worker.end());
    return Cluster(cli_, of, by);
  }

  ForgeServer forge_{Settings()};
};

TEST_F(ClusterLogTest, ALeaseIsFollowedByItsIdsOnBothSides) {
  Cluster cluster = Start({}, {});
  cluster.StartWorker("w0");
  ASSERT_EQ(cluster.Scan({"github:acme"}).exit_code, 1) << cluster.coordinator().err();
  const std::vector<Line> by = Lines(cluster.worker("w0")), of = Lines(cluster.coordinator());
  const std::vector<Line> lent = Of("lent", by);
  ASSERT_EQ(lent.size(), kRepositories);
  for (const Line& taken : lent) {
    const Line ids = Ids(taken);
    EXPECT_EQ(ids.at("run"), "1");
    EXPECT_EQ(ids.at("worker"), "w0");
    EXPECT_EQ(ids.at("attempt"), "1");
    EXPECT_THAT(ids.at("repository"), testing::MatchesRegex("localhost(:[0-9]+)?/10[0-2]"));
    EXPECT_THAT(ids.at("name"), testing::MatchesRegex("localhost(:[0-9]+)?/acme/app[0-2]"));
    std::vector<std::string> events;
    for (const Line& line : by) {
      if (line.contains("shard") && Ids(line) == ids) events.push_back(line.at("event"));
    }
    EXPECT_THAT(events, ElementsAre("lent", "fetch_ended", "scanned", "ended"));
    int done = 0, given = 0;
    for (const Line& line : of) {
      if (!line.contains("shard") || line.at("shard") != ids.at("shard")) continue;
      EXPECT_EQ(line.at("run"), "1");
      EXPECT_EQ(line.at("worker"), "w0");
      EXPECT_EQ(line.at("epoch"), ids.at("epoch"));
      done += line.at("event") == "done";
      if (line.at("event") != "lent") continue;
      ++given;
      EXPECT_EQ(Ids(line), ids);
    }
    EXPECT_EQ(done, 1);
    EXPECT_EQ(given, 1);
  }
  for (const Line& line : Of("scanned", by)) EXPECT_EQ(line.at("blobs"), "2");
  for (const Line& line : Of("ended", by)) {
    EXPECT_EQ(line.at("how"), "SCANNED");
    EXPECT_THAT(line.at("seconds"), testing::MatchesRegex("[0-9]+\\.[0-9]{3}"));
  }
}

TEST_F(ClusterLogTest, ALeaseThatRanOutIsSaidWithItsIds) {
  Cluster cluster = Start({"--lease-seconds", "1"}, {});
  const auto channel = PlainChannel(cluster.address());
  const RawWorker silent("silent", channel);
  ASSERT_THAT(SubmitRun(channel, {"github:acme"}), IsOk());
  const auto lent = silent.Acquire();
  ASSERT_THAT(lent, IsOk());
  ASSERT_TRUE(cluster.coordinator().WaitFor("event=expired "));
  const Line expired = Of("expired", Lines(cluster.coordinator())).at(0);
  EXPECT_EQ(expired.at("run"), "1");
  EXPECT_EQ(expired.at("shard"), absl::StrFormat("%d", lent->lease().shard()));
  EXPECT_EQ(expired.at("epoch"), absl::StrFormat("%d", lent->lease().epoch()));
  EXPECT_EQ(expired.at("worker"), "silent");
  EXPECT_EQ(expired.at("repository"), lent->target().key());
  EXPECT_EQ(expired.at("attempts"), "1");
}

TEST_F(ClusterLogTest, WhateverStrangersSayALineIsALineAndHoldsNoSecret) {
  Cluster cluster = Start({"--retry-seconds", "0", "--lease-seconds", "2"}, {});
  const auto channel = PlainChannel(cluster.address());
  // A repository whose name turns round what follows it, which cannot be fetched, and a worker that has its own words.
  forge_.ChangeRepository({{"id", 101}, {"name", "app1\u202e"}});
  forge_.Fault({{"match", "app1.*info/refs"}, {"times", nullptr}, {"kind", "status"}, {"status", 403}});
  const RawWorker raw("raw", channel);
  v1::JoinRequest join;
  join.set_worker("raw");
  join.set_program(kHostile);
  *join.mutable_version() = OurVersion();
  v1::JoinReply joined;
  ASSERT_THAT(raw.Call(&v1::WorkerService::Stub::Join, join, &joined), IsOk());
  EXPECT_THAT(SubmitRun(channel, {CloneUrl(forge_, 0)}), FailsWith(absl::StatusCode::kInvalidArgument, testing::_));
  ASSERT_THAT(SubmitRun(channel, {"github:acme"}), IsOk());
  const auto lent = raw.Acquire();
  ASSERT_THAT(lent, IsOk());
  v1::EndRequest end;
  *end.mutable_lease() = lent->lease();
  end.mutable_end()->set_how(v1::TargetEnd::FAILED);
  end.mutable_end()->set_code(static_cast<int>(absl::StatusCode::kUnavailable));
  end.mutable_end()->set_reason(kHostile);
  v1::EndReply ended;
  ASSERT_THAT(raw.Call(&v1::WorkerService::Stub::End, end, &ended), IsOk());
  cluster.StartWorker("w0");
  ASSERT_TRUE(cluster.coordinator().WaitFor("event=run run=1 state=RUN_STATE_DONE"));

  // Its lease is void, the coordinator goes and comes back, and it is sent away while it holds another.
  forge_.Set({{"faults", nlohmann::json::array()}, {"git_latency", 1}});
  ASSERT_THAT(SubmitRun(channel, {"github:acme"}), IsOk());
  ASSERT_TRUE(cluster.worker("w0").WaitFor("event=lent run=2 "));
  ASSERT_EQ(cli_.Run({"cancel", "--coordinator", cluster.address()}).exit_code, 0);
  ASSERT_TRUE(cluster.worker("w0").WaitFor("event=lost run=2 ")) << cluster.worker("w0").err();
  cluster.coordinator().Signal(SIGKILL);
  cluster.coordinator().Wait();
  ASSERT_TRUE(cluster.worker("w0").WaitFor("event=waiting "));
  cluster.StartCoordinator();
  ASSERT_TRUE(cluster.worker("w0").WaitFor("event=answered "));
  ASSERT_THAT(SubmitRun(PlainChannel(cluster.address()), {"github:acme"}), IsOk());
  ASSERT_TRUE(cluster.worker("w0").WaitFor("event=lent run=3 "));
  cluster.worker("w0").Signal(SIGTERM);
  EXPECT_EQ(cluster.worker("w0").Wait(), 0);
  cluster.coordinator().Signal(SIGTERM);
  EXPECT_EQ(cluster.coordinator().Wait(), 0);

  const std::vector<Line> by = Lines(cluster.worker("w0")), of = Lines(cluster.coordinator());
  std::vector<std::string> events;
  for (const Line& line : by) events.push_back(line.at("event"));
  EXPECT_THAT(events, IsSupersetOf({"joined", "lent", "fetch_ended", "failed", "ended", "lost", "waiting", "answered",
                                    "given_back", "drained"}));
  EXPECT_EQ(events.back(), "drained");
  EXPECT_EQ(Of("failed", by).front().at("code"), "PERMISSION_DENIED");
  EXPECT_EQ(Of("failed", by).front().at("level"), "warning");
  EXPECT_EQ(Of("waiting", by).front().at("code"), "UNAVAILABLE");
  for (const Line& line : Of("given_back", by)) EXPECT_EQ(line.at("run"), "3");
  events.clear();
  for (const Line& line : of) events.push_back(line.at("event"));
  EXPECT_THAT(events, IsSupersetOf({"serving", "joined", "run", "lent", "done", "parked", "failed", "stopping"}));
  // What was said is there to be read, as it was said but for what a terminal would obey.
  const std::string shown = "\\\" level=error\\x0aevent=parked run=999 \\x1b[2J\\";
  EXPECT_EQ(Of("joined", of).front().at("program"), shown);
  EXPECT_EQ(Of("failed", of).front().at("reason"), shown);
  EXPECT_THAT(Of("failed", by).front().at("name"), testing::EndsWith("acme/app1\\u{202e}"));
  const std::string said = cluster.worker("w0").err() + cluster.coordinator().err();
  for (const std::string& secret : Secrets()) EXPECT_THAT(said, Not(HasSubstr(secret)));
}

TEST_F(ClusterLogTest, AScannerThatDiesIsSaid) {
  Cluster cluster = Start({"--retry-seconds", "0"}, {});
  cluster.StartWorker("w0");
  ASSERT_TRUE(cluster.worker("w0").WaitFor("event=joined "));
  const auto children = [](pid_t process) {
    std::istringstream listed(ReadFile(absl::StrFormat("/proc/%d/task/%d/children", process, process)));
    return std::vector<pid_t>(std::istream_iterator<pid_t>(listed), {});
  };
  ASSERT_THAT(SubmitRun(PlainChannel(cluster.address()), {"github:acme"}), IsOk());
  // The program's child forks the one that forks scanners. They live for a moment only: one that is met is killed.
  const pid_t launcher = children(cluster.worker("w0").pid()).at(0), nursery = children(launcher).at(0);
  const absl::Time until = absl::Now() + absl::Seconds(30);
  for (int killed = 0; killed < 1 && absl::Now() < until;) {
    for (const pid_t scanner : children(nursery)) killed += kill(scanner, SIGKILL) == 0;
  }
  ASSERT_TRUE(cluster.worker("w0").WaitFor("event=scanner_died ")) << cluster.worker("w0").err();
  EXPECT_TRUE(cluster.coordinator().WaitFor("event=run run=1 state=RUN_STATE_DONE"));
  const std::vector<Line> died = Of("scanner_died", Lines(cluster.worker("w0")));
  EXPECT_EQ(died.front().at("code"), "UNAVAILABLE");
  EXPECT_EQ(Ids(died.front()).at("attempt"), "1");
}

TEST_F(ClusterLogTest, ALevelDecidesWhatIsSaid) {
  Cluster cluster(cli_, {"--api-url", forge_.ApiUrl(), "--ca-file", forge_.CaFile()}, {"--ca-file", forge_.CaFile()});
  cluster.StartWorker("w0");
  ASSERT_EQ(cluster.Scan({"github:acme"}).exit_code, 1);
  for (BackgroundProgram* program : {&cluster.coordinator(), &cluster.worker("w0")}) {
    EXPECT_EQ(Of("joined", Lines(*program)).size(), 1);
    for (const Line& line : Lines(*program)) EXPECT_NE(line.at("level"), "debug");
  }
  BackgroundProgram silent(cli_, "silent", {"worker", "--coordinator", cluster.address(), "--name", "silent",
                                            "--mirrors", home_.path() / "silent", "--log-level", "error"});
  ASSERT_TRUE(cluster.coordinator().WaitFor("event=joined worker=silent "));
  silent.Signal(SIGTERM);
  EXPECT_EQ(silent.Wait(), 0);
  EXPECT_EQ(silent.err(), "");
  EXPECT_EQ(cli_.Run({"worker", "--coordinator", cluster.address(), "--log-level", "loud"}).exit_code, 2);
}

}  // namespace
}  // namespace unsprawl
