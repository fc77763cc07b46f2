#include "coordinator/mirror.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "coordinator/mirror_libgit2.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

constexpr size_t kKeptOutputBytes = 64 << 10;
constexpr int kStopPollMs = 200;

// Passed on from our own environment; everything else git would look at is left out.
constexpr const char* kKeptVariables[] = {
    "PATH",        "HOME",        "SSH_AUTH_SOCK", "TMPDIR",      "HTTPS_PROXY", "https_proxy",
    "HTTP_PROXY",  "http_proxy",  "ALL_PROXY",     "all_proxy",   "NO_PROXY",    "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"};

std::vector<std::string> GitEnvironment(const CloneUrl& url) {
  std::vector<std::string> environment = {
      "LC_ALL=C",
      "GIT_CONFIG_NOSYSTEM=1",
      "GIT_CONFIG_GLOBAL=/dev/null",
      "GIT_TERMINAL_PROMPT=0",
      "GIT_ASKPASS=true",  // answers every question with nothing
      "GIT_ALLOW_PROTOCOL=" + url.scheme,
      "GIT_SSH_COMMAND=ssh -oBatchMode=yes"};
  for (const char* name : kKeptVariables) {
    if (const char* value = std::getenv(name)) {
      environment.push_back(absl::StrFormat("%s=%s", name, value));
    }
  }
  if (!url.authorization.empty()) {
    environment.push_back("GIT_CONFIG_COUNT=1");
    environment.push_back(absl::StrFormat("GIT_CONFIG_KEY_0=http.%s.extraHeader", url.url));
    environment.push_back("GIT_CONFIG_VALUE_0=Authorization: " + url.authorization);
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Reads from `fd` to its end into *output (the last kKeptOutputBytes). Kills `child` on stop.
void ReadOutput(int fd, pid_t child, const std::atomic<bool>* stop, std::string* output) {
  char buffer[4096];
  for (;;) {
    pollfd wait = {.fd = fd, .events = POLLIN, .revents = 0};
    const int ready = poll(&wait, 1, kStopPollMs);
    if (stop != nullptr && *stop) kill(child, SIGTERM);
    if (ready <= 0) continue;
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    output->append(buffer, static_cast<size_t>(n));
    if (output->size() > kKeptOutputBytes) output->erase(0, output->size() - kKeptOutputBytes);
  }
}

// `text` with every object id in it blotted out: reports and logs hold none.
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

// What git says last is why it failed.
std::string_view LastLine(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text.substr(text.rfind('\n') + 1);
}

// Runs git; its output and errors together. Unavailable: it failed, with its last words.
absl::StatusOr<std::string> RunGit(std::vector<std::string> arguments,
                                   std::vector<std::string> environment,
                                   const std::atomic<bool>* stop) {
  arguments.insert(arguments.begin(),
                   {"git", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c",
                    "maintenance.auto=false", "-c", "http.followRedirects=false", "-c", "transfer.unpackLimit=1", "-c",
                    "fetch.recurseSubmodules=false", "-c", "protocol.version=2"});
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) {
    return absl::ResourceExhaustedError(absl::StrFormat("pipe: %s", std::strerror(errno)));
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, out[1], 2);
  pid_t child = 0;
  const int spawned = posix_spawnp(&child, "git", &actions, nullptr, Pointers(arguments).data(),
                                   Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  if (spawned != 0) {
    close(out[0]);
    return absl::FailedPreconditionError(absl::StrFormat(
        "git cannot be started (%s): install it (apt-get install git)", std::strerror(spawned)));
  }
  std::string output;
  ReadOutput(out[0], child, stop, &output);
  close(out[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (stop != nullptr && *stop) return absl::CancelledError("stopped");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return absl::UnavailableError(
        absl::StrFormat("git failed: %s", EscapeForTerminal(WithoutObjectIds(LastLine(output)))));
  }
  return output;
}

// "host/path" made into a relative folder that cannot leave the mirrors' folder.
std::string FolderName(std::string_view name) {
  std::string folder;
  for (const char c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '_' || c == '/' ||
                       (c == '.' && !folder.empty() && folder.back() != '/');
    folder += plain ? std::string(1, c) : absl::StrFormat("%%%02X", static_cast<uint8_t>(c));
  }
  return folder + ".git";
}

// The branch that the remote's HEAD names, from "ref: refs/heads/main\tHEAD"; empty if none.
std::string HeadBranch(const std::string& ls_remote) {
  constexpr std::string_view kStart = "ref: refs/heads/";
  const size_t start = ls_remote.find(kStart);
  if (start == std::string::npos) return "";
  const size_t end = ls_remote.find('\t', start);
  return end == std::string::npos ? "" : ls_remote.substr(start + 5, end - start - 5);
}

absl::Status FetchWithGit(const CloneUrl& url, const std::string& dir, const FetchOptions& options) {
  const std::vector<std::string> environment = GitEnvironment(url);
  ASSIGN_OR_RETURN(std::string ignored,
                   RunGit({"init", "-q", "--bare", "--template=", dir}, environment, options.stop));
  ASSIGN_OR_RETURN(ignored, RunGit({"--git-dir=" + dir, "fetch", "-q", "--prune", "--no-tags",
                                    "--no-write-fetch-head", "--end-of-options", url.url,
                                    "+refs/*:refs/*"},
                                   environment, options.stop));
  ASSIGN_OR_RETURN(const std::string heads,
                   RunGit({"ls-remote", "--symref", "--end-of-options", url.url, "HEAD"},
                          environment, options.stop));
  const std::string branch = HeadBranch(heads);
  if (branch.empty()) return absl::OkStatus();
  return RunGit({"--git-dir=" + dir, "symbolic-ref", "HEAD", branch}, environment, options.stop)
      .status();
}

std::string Basic(std::string_view user, std::string_view password) {
  return "Basic " + std::string(absl::Base64Escape(absl::StrFormat("%s:%s", user, password)));
}

// The Authorization header for a host whose token the environment holds, or empty.
std::string TokenFromEnvironment(std::string_view host) {
  const auto basic = [](const char* user, const char* variable) -> std::string {
    const char* token = std::getenv(variable);
    if (token == nullptr || *token == '\0') return "";
    return Basic(user, token);
  };
  if (host == "github.com") return basic("x-access-token", "GITHUB_TOKEN");
  if (host == "gitlab.com") return basic("oauth2", "GITLAB_TOKEN");
  return "";
}

// "%40" -> "@". What is no escape stays as it is.
std::string PercentDecoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view digits = text.substr(i + 1, 2);
    unsigned value = 0;
    const auto end = digits.data() + digits.size();
    if (text[i] == '%' && digits.size() == 2 && std::from_chars(digits.data(), end, value, 16).ptr == end) {
      decoded.push_back(static_cast<char>(value));
      i += 2;
    } else {
      decoded.push_back(text[i]);
    }
  }
  return decoded;
}

// The Authorization header for "user:password" or "user" of a URL.
std::string BasicAuthorization(std::string_view user_information) {
  const size_t colon = std::min(user_information.find(':'), user_information.size());
  return Basic(PercentDecoded(user_information.substr(0, colon)),
               PercentDecoded(user_information.substr(std::min(colon + 1, user_information.size()))));
}

}  // namespace

absl::StatusOr<CloneUrl> ParseCloneUrl(const std::string& text) {
  CloneUrl url;
  const size_t scheme_end = text.find("://");
  std::string scheme = scheme_end == std::string::npos ? "ssh" : text.substr(0, scheme_end);
  std::string rest = scheme_end == std::string::npos ? text : text.substr(scheme_end + 3);
  for (const char* known : {"https", "http", "ssh", "file", "git"}) {
    if (scheme == known) url.scheme = known;
  }
  if (url.scheme.empty() || rest.empty()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "a clone URL of the form %s:// is not supported (https, ssh, file are)",
        EscapeForTerminal(scheme)));
  }
  // git's "transport::address" runs programs.
  if (scheme_end == std::string::npos && rest.find("::") != std::string::npos) {
    return absl::InvalidArgumentError("a clone URL with a remote helper (::) is not supported");
  }
  const size_t authority_end = scheme_end == std::string::npos ? rest.find(':') : rest.find('/');
  const size_t at = rest.substr(0, authority_end).rfind('@');
  if (at != std::string::npos) {
    const std::string user = rest.substr(0, at);
    if (scheme == "https" || scheme == "http") {
      url.authorization = BasicAuthorization(user);
      rest.erase(0, at + 1);
    } else if (scheme_end != std::string::npos && user.find(':') != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "a password in a URL of the form %s:// would be seen by everybody on this machine; use a key",
          scheme));
    }
  }
  url.url = scheme_end == std::string::npos ? rest : scheme + "://" + rest;
  std::string name = scheme == "ssh" && at != std::string::npos ? rest.substr(at + 1) : rest;
  std::replace(name.begin(), name.end(), ':', '/');
  while (!name.empty() && name.back() == '/') name.pop_back();
  if (name.ends_with(".git")) name.resize(name.size() - 4);
  const size_t first = name.find_first_not_of('/');
  if (first == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrFormat("a %s clone URL without a path", EscapeForTerminal(scheme)));
  }
  url.name = name.substr(first);
  if (scheme == "https" && url.authorization.empty()) {
    url.authorization = TokenFromEnvironment(url.name.substr(0, url.name.find('/')));
  }
  return url;
}

std::string MirrorKey(const CloneUrl& url) { return "url:" + url.name; }

absl::StatusOr<RepositoryTarget> FetchMirror(const CloneUrl& url, const FetchOptions& options) {
  const fs::path dir = options.mirrors_dir / FolderName(url.name);
  std::error_code error;
  fs::create_directories(dir.parent_path(), error);
  if (error) {
    return absl::PermissionDeniedError(
        absl::StrFormat("%s: cannot be made (%s)", dir.parent_path().native(), error.message()));
  }
  if (options.backend == FetchBackend::kGit) {
    RETURN_IF_ERROR(FetchWithGit(url, dir.native(), options));
  } else {
    RETURN_IF_ERROR(FetchWithLibgit2(url, dir.native(), options.stop));
  }
  RepositoryTarget target;
  target.key = MirrorKey(url);
  target.name = url.name;
  target.path = dir;
  return target;
}

}  // namespace unsprawl
