// The webhook, taken by a real HTTP server on loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

// Appends "signature body" lines to a file; answers 500 as often as its argument says. Less than
// nothing: it never answers.
constexpr char kServer[] = R"(
import http.server, sys, time
failures = int(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global failures
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        stands_still = int(sys.argv[2]) < 0
        failures -= 1
        if failures < 0:
            open(sys.argv[1], "a").write(self.headers["X-Unsprawl-Signature-256"] + " " + body + "\n")
        if stands_still: time.sleep(1000)
        self.send_response(500 if failures >= 0 else 204)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
)";

class WebhookTest : public testing::Test {
 protected:
  void Serve(int failures) {
    WriteFile(home_.path() / "server.py", kServer);
    int out[2];
    ASSERT_EQ(pipe(out), 0);
    server_ = fork();
    if (server_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      dup2(out[1], 1);
      execl("/usr/bin/python3", "python3", (home_.path() / "server.py").c_str(), taken_.c_str(),
            std::to_string(failures).c_str(), nullptr);
      _exit(127);
    }
    close(out[1]);
    FILE* answer = fdopen(out[0], "r");
    ASSERT_EQ(fscanf(answer, "%d", &port_), 1);
    fclose(answer);
  }
  void Stop() {
    if (server_ <= 0) return;
    kill(server_, SIGTERM);
    waitpid(server_, nullptr, 0);
    server_ = 0;
  }
  ~WebhookTest() override { Stop(); }

  std::vector<std::string> Arguments(std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--webhook", absl::StrFormat("http://127.0.0.1:%d/hook", port_), repo_.path()});
    return more;
  }
  CliResult Scan(std::vector<std::string> more = {}) { return cli_.Scan(Arguments(std::move(more))); }
  // The messages taken so far; each with a signature that the openssl program makes as well.
  std::vector<json> Taken() {
    std::vector<json> messages;
    std::istringstream lines(ReadFile(taken_));
    for (std::string line; std::getline(lines, line);) {
      const size_t space = line.find(' ');
      const std::string body = line.substr(space + 1);
      WriteFile(home_.path() / "body", body);
      const std::string digest =
          unsprawl::Run(home_.path(), {"openssl", "dgst", "-sha256", "-hmac", kSecret, "-hex", "body"});
      EXPECT_THAT(digest, HasSubstr(line.substr(7, space - 7)));
      messages.push_back(json::parse(body));
    }
    return messages;
  }

  static constexpr char kSecret[] = "signed-with-this";
  TempDir home_;
  const std::string taken_ = home_.path() / "taken";
  GitRepo repo_{home_.path() / "repo"};
  Cli cli_{home_.path()};
  pid_t server_ = 0;
  int port_ = 0;
};

TEST_F(WebhookTest, WhatIsNewIsToldOnceAndBacklogNever) {
  Serve(1);  // The first attempt fails.
  cli_.SetVariable("UNSPRAWL_WEBHOOK_SECRET", kSecret);
  repo_.Write("old.env", "t=" + FakeGithubToken(1) + "\n");
  repo_.Commit();
  EXPECT_EQ(Scan().exit_code, 1);
  EXPECT_TRUE(Taken().empty()) << "the first run of a repository is backlog";
  repo_.Write("new.env", "t=" + FakeGithubToken(2) + "\n");
  repo_.Commit();
  EXPECT_EQ(Scan().exit_code, 1);
  ASSERT_EQ(Taken().size(), 1u);
  const json message = Taken()[0];
  EXPECT_EQ(message["new"], 1);
  EXPECT_EQ(message["new_ids"].size(), 1u);
  EXPECT_EQ(message["incidents"], 2);
  EXPECT_THAT(message.dump(), Not(HasSubstr("env")));
  EXPECT_EQ(Scan().exit_code, 1);
  EXPECT_EQ(Taken().size(), 1u) << "nothing changed";
}

TEST_F(WebhookTest, WhenNobodyTakesItTheRunSaysSoAndEndsAsItWould) {
  Serve(1000);
  repo_.Write("a", "a\n");
  repo_.Commit();
  EXPECT_EQ(Scan().exit_code, 0);
  repo_.Write("new.env", "t=" + FakeGithubToken(2) + "\n");
  repo_.Commit();
  const CliResult unsigned_call = Scan();
  EXPECT_EQ(unsigned_call.exit_code, 1);
  EXPECT_THAT(unsigned_call.err, HasSubstr("UNSPRAWL_WEBHOOK_SECRET"));
  cli_.SetVariable("UNSPRAWL_WEBHOOK_SECRET", kSecret);
  repo_.Write("more.env", "t=" + FakeGithubToken(3) + "\n");
  repo_.Commit();
  const CliResult refused = Scan();
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("answered 500"));

  // What both owe is posted by the next that can, once.
  Stop();
  Serve(0);
  EXPECT_EQ(Scan().exit_code, 1);
  ASSERT_EQ(Taken().size(), 2u);
  EXPECT_EQ(Taken()[0]["run"], 2);
  EXPECT_EQ(Taken()[1]["run"], 3);
  EXPECT_EQ(Taken()[1]["new"], 1);
  EXPECT_EQ(Scan().exit_code, 1);
  EXPECT_EQ(Taken().size(), 2u);
}

TEST_F(WebhookTest, ARunThatIsKilledWhileItCallsOwesItsMessageToTheNext) {
  cli_.SetVariable("UNSPRAWL_WEBHOOK_SECRET", kSecret);
  Serve(-1);
  repo_.Write("a", "a\n");
  repo_.Commit();
  EXPECT_EQ(Scan().exit_code, 0);
  repo_.Write("new.env", "t=" + FakeGithubToken(2) + "\n");
  repo_.Commit();
  const CliResult killed = cli_.ScanMeanwhile(Arguments(), [&](pid_t program) {
    while (ReadFile(taken_).empty()) usleep(20'000);
    kill(program, SIGKILL);
  });
  EXPECT_EQ(killed.exit_code, 128 + SIGKILL);
  Stop();
  Serve(0);
  EXPECT_EQ(Scan().exit_code, 1);
  ASSERT_EQ(Taken().size(), 2u) << "whoever was killed cannot know that it was taken";
  EXPECT_EQ(Taken()[0], Taken()[1]);
  EXPECT_EQ(Taken()[0]["run"], 2);
}

TEST_F(WebhookTest, WhatComesBackIsToldAndWhatGoesIsNot) {
  cli_.SetVariable("UNSPRAWL_WEBHOOK_SECRET", kSecret);
  Serve(0);
  const auto write = [&](const std::string& content) {
    repo_.Write("s.env", content);
    repo_.Commit();
    EXPECT_NE(Scan().exit_code, 3);
  };
  write("t=" + FakeGithubToken(1) + "\n");
  write("t=\n");
  EXPECT_TRUE(Taken().empty());
  write("t=" + FakeGithubToken(1) + "\n");
  ASSERT_EQ(Taken().size(), 1u);
  EXPECT_EQ(Taken()[0]["reopened"], 1);
  EXPECT_EQ(Taken()[0]["reopened_ids"].size(), 1u);
  EXPECT_EQ(Taken()[0]["new"], 0);
}

TEST_F(WebhookTest, CoverageThatDropsIsTold) {
  cli_.SetVariable("UNSPRAWL_WEBHOOK_SECRET", kSecret);
  Serve(0);
  repo_.Write("a", "a\n");
  repo_.Commit();
  EXPECT_EQ(Scan().exit_code, 0);
  repo_.Write("b", "b\n");
  repo_.Commit();
  std::string id = repo_.Git({"rev-parse", "HEAD:b"});
  id.resize(40);
  ASSERT_TRUE(std::filesystem::remove(std::filesystem::path(repo_.path()) / ".git" / "objects" / id.substr(0, 2) /
                                      id.substr(2)));
  EXPECT_EQ(Scan().exit_code, 3);
  ASSERT_EQ(Taken().size(), 1u);
  EXPECT_EQ(Taken()[0]["coverage_dropped"], 1);
  EXPECT_EQ(Taken()[0]["complete"], false);
  EXPECT_EQ(Taken()[0]["new"], 0);
}

TEST_F(WebhookTest, WhatANewRuleFindsCallsNobody) {
  cli_.SetVariable("UNSPRAWL_WEBHOOK_SECRET", kSecret);
  Serve(0);
  repo_.Write("x", "key = xyzzy_739218465\n");
  repo_.Commit();
  EXPECT_EQ(Scan().exit_code, 0);
  const std::string rules = home_.path() / "more.toml";
  WriteFile(rules, "[extend]\nuseDefault = true\n[[rules]]\nid = \"x\"\nregex = \"xyzzy_[0-9]{9}\"\n"
                   "keywords = [\"xyzzy_\"]\n");
  EXPECT_EQ(Scan({"-c", rules}).exit_code, 1);
  EXPECT_EQ(cli_.Rows("incidents.jsonl").size(), 1u);
  EXPECT_TRUE(Taken().empty());
}

}  // namespace
}  // namespace unsprawl
