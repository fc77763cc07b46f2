// The webhook, taken by a real HTTP server on loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

// Appends "signature body" lines to a file; answers 500 as often as its argument says.
constexpr char kServer[] = R"(
import http.server, sys
failures = int(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global failures
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        failures -= 1
        if failures < 0:
            open(sys.argv[1], "a").write(self.headers["X-Unsprawl-Signature-256"] + " " + body + "\n")
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
  ~WebhookTest() override {
    if (server_ <= 0) return;
    kill(server_, SIGTERM);
    waitpid(server_, nullptr, 0);
  }

  CliResult Scan(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--webhook", absl::StrFormat("http://127.0.0.1:%d/hook", port_), repo_.path()});
    return cli_.Scan(more);
  }
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
}

}  // namespace
}  // namespace unsprawl
