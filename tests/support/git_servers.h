// The programs that serve git where people work, each on a loopback port, in the foreground, with all of its files
// in a folder of its own: nginx with fcgiwrap and git http-backend, git daemon, OpenSSH's sshd with git-shell.
// What is missing fails the test and names the package.
#pragma once

#include <sys/types.h>

#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/git_repo.h"

namespace unsprawl {

// A program as a child process. It ends (SIGTERM) with this, and with the test.
class ServerProgram {
 public:
  ServerProgram() = default;
  ~ServerProgram();
  ServerProgram(const ServerProgram&) = delete;
  ServerProgram& operator=(const ServerProgram&) = delete;

  // Starts it with its output in `log`; `is_ready` is asked until it says so. False: it has ended instead.
  bool Start(const std::vector<std::string>& command, const std::filesystem::path& log,
             const std::function<bool()>& is_ready);
  // The same for a server of TCP, on a port of 127.0.0.1 that nobody else has; `command` is told which.
  // Returns the port.
  int StartOnPort(const std::function<std::vector<std::string>(int)>& command, const std::filesystem::path& log);

 private:
  void Stop();

  pid_t child_ = 0;
};

// HTTPS with Basic authentication, one user with one password, who may fetch and push.
class NginxServer {
 public:
  // Serves the bare repositories below `served`. What is below /api/ is answered by `api` ("https://localhost:PORT"),
  // if any, whatever its certificate.
  NginxServer(const std::filesystem::path& served, const std::string& user, const std::string& password,
              const std::string& api = "");

  // "https://localhost:PORT", without a slash at its end.
  std::string Url() const;
  std::filesystem::path CaFile() const { return folder_.path() / "ca.pem"; }
  // A line a request: its method, its path, its status, what it says in Git-Protocol ("-": nothing).
  std::filesystem::path Log() const { return folder_.path() / "access.log"; }

 private:
  TempDir folder_;
  std::array<ServerProgram, 4> fcgiwraps_;  // each answers one request at a time
  ServerProgram nginx_;
  int port_ = 0;
};

// Everybody may fetch and push what has a file git-daemon-export-ok.
class GitDaemon {
 public:
  explicit GitDaemon(const std::filesystem::path& served);

  // "git://localhost:PORT"
  std::string Url() const;
  std::filesystem::path Log() const { return folder_.path() / "log"; }

 private:
  TempDir folder_;
  ServerProgram daemon_;
  int port_ = 0;
};

// Public keys; whoever holds the client's may fetch and push, and run nothing else.
class SshServer {
 public:
  explicit SshServer(const std::filesystem::path& served);
  ~SshServer();

  // "ssh://USER@localhost:PORT" and the path of the served folder.
  std::string Url() const;
  // A line a session: the command it ran, what the client said in GIT_PROTOCOL.
  std::filesystem::path Log() const { return folder_.path() / "sessions"; }

  // A HOME for a client, whose known_hosts has this server; libgit2 looks there.
  std::filesystem::path Home() const { return folder_.path() / "home"; }
  // The two keys that there are are called "client", and "stranger": that one the server does not know.
  // The socket of an agent that holds it.
  std::filesystem::path Agent(const std::string& key) const { return folder_.path() / key / "agent"; }
  // A folder for the front of PATH, whose ssh knows the server and has the key: ssh itself asks the password
  // file, not HOME, where it finds them.
  std::filesystem::path Bin(const std::string& key) const { return folder_.path() / key; }

 private:
  TempDir folder_;
  const std::filesystem::path served_;
  ServerProgram sshd_;
  std::vector<pid_t> agents_;
  int port_ = 0;
};

}  // namespace unsprawl
