#include "worker/git_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/report/report.h"
#include "engine/base/escape.h"
#include "engine/base/object_id.h"

namespace unsprawl {
namespace {

constexpr size_t kKeptErrorBytes = 64 << 10;
constexpr int kPollMs = 100;
constexpr absl::Duration kWatchEvery = absl::Milliseconds(500);
constexpr char kLimitedPayload[] = "unsprawl/limited";

// Passed on from our own environment; everything else git would look at is left out.
constexpr const char* kKeptVariables[] = {
    "PATH",       "SSH_AUTH_SOCK", "TMPDIR",    "HTTPS_PROXY", "https_proxy",   "HTTP_PROXY",   "http_proxy",
    "ALL_PROXY",  "all_proxy",     "NO_PROXY",  "no_proxy",    "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"};

std::vector<std::string> Environment(const GitCommand& command) {
  std::vector<std::string> environment = {
      "LC_ALL=C",
      "HOME=/nonexistent",  // There would be a .netrc. ssh looks at no HOME.
      "GIT_CONFIG_NOSYSTEM=1",
      "GIT_CONFIG_GLOBAL=/dev/null",
      "GIT_TERMINAL_PROMPT=0",
      "GIT_ASKPASS=true"};  // answers every question with nothing
  const NetworkOptions network = command.network != nullptr ? *command.network : NetworkOptions{};
  // ssh has no measure of a stall; it can tell that nobody is there any more.
  environment.push_back(absl::StrFormat(
      "GIT_SSH_COMMAND=ssh -oBatchMode=yes -oConnectTimeout=%d -oServerAliveInterval=%d -oServerAliveCountMax=3",
      absl::ToInt64Seconds(network.connect_timeout),
      std::max<int64_t>(1, absl::ToInt64Seconds(network.stall_timeout) / 3)));
  const bool own_ca = !network.ca_file.empty();
  for (const char* name : kKeptVariables) {
    if (own_ca && std::strcmp(name, "GIT_SSL_CAINFO") == 0) continue;
    if (const char* value = std::getenv(name)) environment.push_back(absl::StrFormat("%s=%s", name, value));
  }
  int settings = 0;
  const auto configure = [&](const std::string& key, const std::string& value) {
    environment.push_back(absl::StrFormat("GIT_CONFIG_KEY_%d=%s", settings, key));
    environment.push_back(absl::StrFormat("GIT_CONFIG_VALUE_%d=%s", settings++, value));
  };
  if (command.network != nullptr) {
    // The variable beats the setting, so it is the variable.
    if (own_ca) {
      environment.push_back("GIT_SSL_CAINFO=" + network.ca_file.native());
      environment.push_back("GIT_SSL_CAPATH=/nonexistent");  // or it trusts the system's as well
    }
    if (!network.client_cert.empty()) environment.push_back("GIT_SSL_CERT=" + network.client_cert.native());
    if (!network.client_key.empty()) environment.push_back("GIT_SSL_KEY=" + network.client_key.native());
    configure("http.lowSpeedLimit", "1");
    configure("http.lowSpeedTime", absl::StrFormat("%d", absl::ToInt64Seconds(network.stall_timeout)));
  }
  if (command.remote != nullptr) {
    environment.push_back("GIT_ALLOW_PROTOCOL=" + command.remote->scheme);
    if (!command.remote->authorization.empty()) {
      configure(absl::StrFormat("http.%s.extraHeader", command.remote->url),
                "Authorization: " + command.remote->authorization);
    }
  }
  environment.push_back(absl::StrFormat("GIT_CONFIG_COUNT=%d", settings));
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// What git says last is why it failed; "fatal:" says more than the hint after it, and less than the
// transport before it.
std::string_view LastWords(std::string_view text) {
  if (const size_t transport = text.rfind("error: RPC failed; "); transport != std::string_view::npos) {
    return text.substr(transport, text.find('\n', transport) - transport);
  }
  if (const size_t fatal = text.rfind("fatal: "); fatal != std::string_view::npos) {
    const std::string_view line = text.substr(fatal, text.find('\n', fatal) - fatal);
    // ssh says why before git says that it failed.
    if (line.find("Could not read from remote repository") == std::string_view::npos) return line;
    text = text.substr(0, fatal);
  }
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text.substr(text.rfind('\n') + 1);
}

absl::Status Failure(const GitCommand& command, std::string_view errors) {
  std::string words(LastWords(errors));
  for (const char* shows : {"proxy syntax", "proxy scheme", "Invalid proxy URL"}) {
    if (words.find(shows) != std::string::npos) words = kBadProxy;
  }
  const std::string message =
      absl::StrFormat("git failed: %s%s", EscapeForTerminal(WithoutObjectIds(words)),
                      command.remote == nullptr ? "" : NetworkHint(command.remote->url, words));
  const auto says = [&](std::string_view text) { return errors.find(text) != std::string_view::npos; };
  if (says("returned error: 451")) return absl::AbortedError(message);
  if (says("returned error: 429")) return LimitedError(message);
  if (says("Authentication failed") || says("returned error: 403") || says("returned error: 401") ||
      says("Permission denied (") || says("could not read Username") || says("Host key verification failed")) {
    return absl::PermissionDeniedError(message);
  }
  if (says("not found") || says("Repository not found") || says("returned error: 404") ||
      says("returned error: 410") || says("does not appear to be a git repository") ||
      says("access denied or repository not exported") || says("does not exist")) {
    return absl::NotFoundError(message);
  }
  if (says("No space left on device")) return absl::ResourceExhaustedError(message);
  if (says("returned error: 30")) return absl::FailedPreconditionError(message + " (a redirect, not followed)");
  const bool bad_proxy = words == kBadProxy;
  if (bad_proxy || says("certificate") || says("redirect") || says("response 407")) return absl::FailedPreconditionError(message);
  return absl::UnavailableError(message);
}

// A child with our ends of its three pipes.
struct Child {
  pid_t pid = 0;
  int in = -1, out = -1, err = -1;
};

struct Pipe {
  int read = -1, write = -1;
};

// In the forked child: only what is safe there, then git.
[[noreturn]] void Exec(const Pipe (&pipes)[3], int inherited_fd, char* const* arguments,
                       char* const* environment, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // No fetch goes on behind the back of the next run.
  if (getppid() != parent) _exit(126);
  setpgid(0, 0);  // What git starts (ssh, git-remote-https, index-pack) is ended with it.
  dup2(pipes[0].read, 0);
  dup2(pipes[1].write, 1);
  dup2(pipes[2].write, 2);
  if (inherited_fd >= 0) fcntl(inherited_fd, F_SETFD, 0);
  for (const int number : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_DFL);
  execvpe("git", arguments, environment);
  _exit(127);
}

absl::StatusOr<Child> Spawn(const GitCommand& command) {
  std::vector<std::string> arguments = {
      "git",  "-c", "core.hooksPath=/dev/null",     "-c", "gc.auto=0",
      "-c",   "maintenance.auto=false",             "-c", "http.followRedirects=false",
      "-c",   "transfer.unpackLimit=1",             "-c", "fetch.recurseSubmodules=false",
      "-c",   "protocol.version=2"};
  arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
  std::vector<std::string> environment = Environment(command);
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> environment_pointers = Pointers(environment);
  Pipe pipes[3];
  for (Pipe& made : pipes) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
      const int error = errno;
      for (const Pipe& open : pipes) {
        if (open.read >= 0) close(open.read), close(open.write);
      }
      return absl::ResourceExhaustedError(absl::StrFormat("pipe: %s", std::strerror(error)));
    }
    made = {ends[0], ends[1]};
  }
  Child child{.pid = 0, .in = pipes[0].write, .out = pipes[1].read, .err = pipes[2].read};
  const pid_t parent = getpid();
  child.pid = fork();
  if (child.pid == 0) {
    Exec(pipes, command.inherited_fd, argument_pointers.data(), environment_pointers.data(), parent);
  }
  const int error = errno;
  close(pipes[0].read);
  close(pipes[1].write);
  close(pipes[2].write);
  if (child.pid < 0) {
    close(child.in), close(child.out), close(child.err);
    return absl::ResourceExhaustedError(absl::StrFormat("fork: %s", std::strerror(error)));
  }
  setpgid(child.pid, child.pid);  // Whichever comes first.
  return child;
}

// Feeds and drains the pipes until both outputs have ended. Not OK: the child was killed for it.
absl::Status Converse(const GitCommand& command, const Child& child, std::string* out, std::string* err) {
  const absl::Time deadline = absl::Now() + command.timeout;
  absl::Time next_watch = absl::InfinitePast();
  size_t fed = 0;
  int in = child.in;
  fcntl(in, F_SETFL, O_NONBLOCK);
  bool out_open = true, err_open = true;
  absl::Status status;
  while (out_open || err_open) {
    if (in >= 0 && fed == command.input.size()) close(std::exchange(in, -1));
    pollfd waits[3] = {{.fd = out_open ? child.out : -1, .events = POLLIN, .revents = 0},
                       {.fd = err_open ? child.err : -1, .events = POLLIN, .revents = 0},
                       {.fd = in, .events = POLLOUT, .revents = 0}};
    poll(waits, 3, kPollMs);
    if (status.ok()) {
      if (command.stop != nullptr && *command.stop) status = absl::CancelledError("stopped");
      if (command.watch && absl::Now() >= next_watch) {
        status.Update(command.watch());
        next_watch = absl::Now() + kWatchEvery;
      }
      if (absl::Now() > deadline) {
        status = absl::DeadlineExceededError(absl::StrFormat("git took longer than %s",
                                                             absl::FormatDuration(command.timeout)));
      }
      if (out->size() > command.max_output_bytes) status = absl::ResourceExhaustedError("git says too much");
      if (!status.ok()) kill(-child.pid, SIGTERM);
    }
    char buffer[1 << 16];
    const auto drain = [&](const pollfd& wait, std::string* text) {
      if ((wait.revents & (POLLIN | POLLHUP | POLLERR)) == 0) return true;
      const ssize_t n = read(wait.fd, buffer, sizeof(buffer));
      if (n < 0) return errno == EINTR || errno == EAGAIN;
      if (text->size() <= command.max_output_bytes) text->append(buffer, static_cast<size_t>(n));
      return n > 0;
    };
    if (out_open) out_open = drain(waits[0], out);
    if (err_open) err_open = drain(waits[1], err);
    if (err->size() > 2 * kKeptErrorBytes) err->erase(0, err->size() - kKeptErrorBytes);
    if (in >= 0 && waits[2].revents != 0) {
      const ssize_t n = write(in, command.input.data() + fed, command.input.size() - fed);
      if (n > 0) fed += static_cast<size_t>(n);
      if (n < 0 && errno != EINTR && errno != EAGAIN) fed = command.input.size();
    }
  }
  if (in >= 0) close(in);
  return status;
}

}  // namespace

absl::Status LimitedError(const std::string& message) {
  absl::Status status = absl::UnavailableError(message);
  status.SetPayload(kLimitedPayload, {});
  return status;
}

bool IsLimited(const absl::Status& status) { return status.GetPayload(kLimitedPayload).has_value(); }

std::string WithoutObjectIds(std::string_view text) {
  std::string result;
  size_t digits = 0;  // at the end of `result`
  for (const char c : text) {
    result.push_back(c);
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    digits = digit ? digits + 1 : 0;
    if (digits < 2 * ObjectId::kBytes) continue;
    result.replace(result.size() - digits, digits, "(an object)");
    digits = 0;
  }
  return result;
}

absl::StatusOr<std::string> RunGit(const GitCommand& command) {
  absl::StatusOr<Child> child = Spawn(command);
  if (!child.ok()) return child.status();
  std::string out, err;
  const absl::Status conversation = Converse(command, *child, &out, &err);
  close(child->out);
  close(child->err);
  siginfo_t ended = {};
  while (waitid(P_PID, static_cast<id_t>(child->pid), &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  kill(-child->pid, SIGKILL);  // Whatever it left behind: the number is ours until it is waited for.
  int status = 0;
  while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!conversation.ok()) return conversation;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return out;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
    return absl::FailedPreconditionError("git cannot be started: install it (apt-get install git)");
  }
  if (command.errors != nullptr) *command.errors = err;
  return Failure(command, err);
}

}  // namespace unsprawl
