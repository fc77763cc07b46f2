#include "tests/support/git_servers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_format.h"
#include "tests/support/cli.h"
#include "tests/support/forge_server.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// One that nobody had a moment ago: these servers take a number, none takes a socket that is open already.
int FreePort() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(listener);
  return ntohs(address.sin_port);
}

bool Listens(int port) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(port);
  const bool connected = connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(connection);
  return connected;
}

void MakeExecutable(const fs::path& file, const std::string& text) {
  WriteFile(file, "#!/bin/sh\n" + text);
  chmod(file.c_str(), 0700);
}

std::string UserName() {
  const passwd* user = getpwuid(geteuid());
  EXPECT_NE(user, nullptr);
  return user != nullptr ? user->pw_name : "";
}

}  // namespace

ServerProgram::~ServerProgram() { Stop(); }

void ServerProgram::Stop() {
  if (child_ <= 0) return;
  kill(child_, SIGTERM);
  waitpid(child_, nullptr, 0);
  child_ = 0;
}

bool ServerProgram::Start(const std::vector<std::string>& command, const fs::path& log,
                          const std::function<bool()>& is_ready) {
  Stop();
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  child_ = fork();
  if (child_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(open("/dev/null", O_RDONLY), 0);
    dup2(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), 1);
    dup2(1, 2);
    execv(argv[0], argv.data());
    _exit(127);
  }
  while (!is_ready()) {
    int status = 0;
    if (waitpid(child_, &status, WNOHANG) == child_) {
      child_ = 0;
      EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 127) << command[0] << " is missing: deploy/bootstrap all";
      return false;
    }
    usleep(10'000);
  }
  return true;
}

int ServerProgram::StartOnPort(const std::function<std::vector<std::string>(int)>& command, const fs::path& log) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    const int port = FreePort();
    if (Start(command(port), log, [port] { return Listens(port); })) return port;
  }
  ADD_FAILURE() << command(0)[0] << " did not start:\n" << ReadFile(log);
  return 0;
}

NginxServer::NginxServer(const fs::path& served, const std::string& user, const std::string& password,
                         const std::string& api) {
  const fs::path& folder = folder_.path();
  MakeTlsCertificate(folder);
  WriteFile(folder / "users", absl::StrFormat("%s:{PLAIN}%s\n", user, password));
  // Not one with -c: what that forks outlives it.
  std::string sockets;
  for (size_t i = 0; i < fcgiwraps_.size(); ++i) {
    const std::string socket = folder / absl::StrFormat("fcgiwrap%d", i);
    EXPECT_TRUE(fcgiwraps_[i].Start({"/usr/sbin/fcgiwrap", "-f", "-s", "unix:" + socket}, folder / "log",
                                    [&] { return fs::exists(socket); }))
        << ReadFile(folder / "log");
    sockets += absl::StrFormat("server unix:%s;\n", socket);
  }
  std::string settings = "daemon off;\nmaster_process off;\nevents {}\n";
  settings += absl::StrFormat("pid %s/pid;\nerror_log %s/log;\nhttp {\n", folder.native(), folder.native());
  settings += absl::StrFormat("upstream git {\nleast_conn;\n%s}\n", sockets);
  settings += "log_format git '$request_method $request_uri $status $http_git_protocol';\n";
  settings += absl::StrFormat("access_log %s git;\n", Log().native());
  for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
    settings += absl::StrFormat("%s_temp_path %s/%s;\n", kind, folder.native(), kind);
  }
  const auto server = [&](int port) {
    std::string text = absl::StrFormat("server {\nlisten 127.0.0.1:%d ssl;\nclient_max_body_size 0;\n", port);
    text += absl::StrFormat("ssl_certificate %s/ca.pem;\nssl_certificate_key %s/tls.key;\n", folder.native(),
                            folder.native());
    text += absl::StrFormat("location / {\nauth_basic git;\nauth_basic_user_file %s/users;\n", folder.native());
    text += "fastcgi_pass git;\nfastcgi_buffering off;\nfastcgi_request_buffering off;\n";
    for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
             {"SCRIPT_FILENAME", "/usr/lib/git-core/git-http-backend"},
             {"GIT_PROJECT_ROOT", served},
             {"GIT_HTTP_EXPORT_ALL", "1"},
             {"GIT_CONFIG_NOSYSTEM", "1"},
             {"GIT_CONFIG_GLOBAL", "/dev/null"},
             {"PATH", "/usr/bin:/bin"},
             {"PATH_INFO", "$uri"},
             {"QUERY_STRING", "$query_string"},
             {"REQUEST_METHOD", "$request_method"},
             {"CONTENT_TYPE", "$content_type"},
             {"CONTENT_LENGTH", "$content_length"},
             {"REMOTE_USER", "$remote_user"},
             {"REMOTE_ADDR", "$remote_addr"},
             {"HTTP_CONTENT_ENCODING", "$http_content_encoding"},
             {"HTTP_GIT_PROTOCOL", "$http_git_protocol"}}) {
      text += absl::StrFormat("fastcgi_param %s %s;\n", name, value);
    }
    text += "}\n";
    if (!api.empty()) {
      text += absl::StrFormat("location /api/ {\nproxy_pass %s;\nproxy_set_header Host $http_host;\n}\n", api);
    }
    return text + "}\n";
  };
  port_ = nginx_.StartOnPort(
      [&](int port) -> std::vector<std::string> {
        WriteFile(folder / "nginx.conf", settings + server(port) + "}\n");
        return {"/usr/sbin/nginx", "-c", folder / "nginx.conf", "-e", folder / "log", "-p", folder};
      },
      folder / "log");
}

std::string NginxServer::Url() const { return absl::StrFormat("https://localhost:%d", port_); }

GitDaemon::GitDaemon(const fs::path& served) {
  port_ = daemon_.StartOnPort(
      [&](int port) -> std::vector<std::string> {
        return {"/usr/lib/git-core/git-daemon", "--listen=127.0.0.1", absl::StrFormat("--port=%d", port), "--reuseaddr",
                "--base-path=" + served.native(), "--enable=receive-pack", "--informative-errors", "--verbose",
                served};
      },
      Log());
}

std::string GitDaemon::Url() const { return absl::StrFormat("git://localhost:%d", port_); }

SshServer::SshServer(const fs::path& served) : served_(served) {
  const fs::path& folder = folder_.path();
  // OpenSSH insists on it where it starts as root, and only the system's own service makes it.
  if (geteuid() == 0) fs::create_directories("/run/sshd");
  for (const char* key : {"server", "client", "stranger"}) {
    fs::create_directories(folder / key);
    unsprawl::Run(folder / key, {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"});
  }
  MakeExecutable(folder / "session", absl::StrFormat("echo \"$SSH_ORIGINAL_COMMAND $GIT_PROTOCOL\" >>%s\n"
                                                     "exec git-shell -c \"$SSH_ORIGINAL_COMMAND\"\n",
                                                     Log().native()));
  const auto settings = [&](int port) {
    return absl::StrFormat(
        "ListenAddress 127.0.0.1:%d\nHostKey %s/server/key\nPidFile none\nUsePAM no\nStrictModes no\n"
        "AuthorizedKeysFile %s/client/key.pub\nAuthenticationMethods publickey\nPermitRootLogin prohibit-password\n"
        "ForceCommand %s/session\nAcceptEnv GIT_PROTOCOL\nPermitUserRC no\n"
        "SetEnv GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null\n",
        port, folder.native(), folder.native(), folder.native());
  };
  port_ = sshd_.StartOnPort(
      [&](int port) -> std::vector<std::string> {
        WriteFile(folder / "sshd_config", settings(port));
        return {"/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"};
      },
      folder / "log");

  WriteFile(Home() / ".ssh" / "known_hosts",
            absl::StrFormat("[localhost]:%d %s", port_, ReadFile(folder / "server" / "key.pub")));
  for (const std::string name : {"client", "stranger"}) {
    const std::string key = folder / name / "key";
    MakeExecutable(Bin(name) / "ssh",
                   absl::StrFormat("exec /usr/bin/ssh -F /dev/null -oUserKnownHostsFile=%s/.ssh/known_hosts "
                                   "-oIdentityAgent=none -oIdentitiesOnly=yes -oIdentityFile=%s \"$@\"\n",
                                   Home().native(), key));
    const std::string started = unsprawl::Run(folder, {"ssh-agent", "-s", "-a", Agent(name)});
    agents_.push_back(std::stoi(started.substr(started.find("AGENT_PID=") + 10)));
    unsprawl::Run(folder, {"env", "SSH_AUTH_SOCK=" + Agent(name).native(), "ssh-add", "-q", key});
  }
}

SshServer::~SshServer() {
  for (const pid_t agent : agents_) kill(agent, SIGTERM);
}

std::string SshServer::Url() const {
  return absl::StrFormat("ssh://%s@localhost:%d%s", UserName(), port_, served_.native());
}

}  // namespace unsprawl
