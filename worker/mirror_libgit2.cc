#include "worker/mirror_libgit2.h"

#include <git2.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "engine/base/status.h"
#include "worker/git_command.h"
#include "worker/libgit2_stream.h"

namespace unsprawl {
namespace {

template <typename T, void (*Free)(T*)>
struct Freer {
  void operator()(T* handle) const { Free(handle); }
};
using RepositoryHandle =
    std::unique_ptr<git_repository, Freer<git_repository, git_repository_free>>;
using RemoteHandle = std::unique_ptr<git_remote, Freer<git_remote, git_remote_free>>;

// What a server may say before objects come: refs, and how it goes on. As much as git may print.
constexpr uint64_t kMaxTalkBytes = 256 << 20;
constexpr absl::Duration kListTimeout = absl::Minutes(10);

absl::Status LastError(const char* doing, const std::string& url) {
  const git_error* error = git_error_last();
  std::string_view words = error != nullptr ? error->message : "no reason given";
  // Ours was parsed long ago: it is the proxy's, which may hold a password.
  if (words.rfind("malformed URL", 0) == 0) words = kBadProxy;
  const std::string message = absl::StrFormat("%s %s: %s%s", doing, url, WithoutObjectIds(words), NetworkHint(url, words));
  const auto says = [&](std::string_view text) { return words.find(text) != std::string_view::npos; };
  if (says("404") || says("not found")) return absl::NotFoundError(message);
  if (says("401") || says("403") || says("authenticat") || says("credential") || says("hostkey")) {
    return absl::PermissionDeniedError(message);
  }
  if (says("451")) return absl::AbortedError(message);
  if (says("429")) return LimitedError(message);
  if (says(kBadProxy) || says("certificate") || says("redirect")) return absl::FailedPreconditionError(message);
  return absl::UnavailableError(message);
}

// What may end a transfer while it goes on.
struct Watch {
  StreamLimits* limits = nullptr;
  const std::atomic<bool>* stop = nullptr;
  std::function<absl::Status()> ask;  // may be empty
  absl::Time next = absl::InfinitePast();
  absl::Status said;                  // not OK: why it was ended
  int ssh_attempts = 0;
};

// Anything but zero ends the transfer.
int OnTransfer(const git_indexer_progress*, void* payload) {
  auto* watch = static_cast<Watch*>(payload);
  watch->limits->LiftMaxBytes();  // Objects come, which are bounded on the disk.
  if (watch->ask && absl::Now() >= watch->next) {
    watch->said = watch->ask();
    watch->next = absl::Now() + absl::Milliseconds(500);
  }
  return (watch->stop != nullptr && *watch->stop) || !watch->said.ok() ? -1 : 0;
}

int SshCredential(git_credential** credential, const char*, const char* user, unsigned int allowed,
                  void* payload) {
  if ((allowed & GIT_CREDENTIAL_SSH_KEY) == 0) return GIT_PASSTHROUGH;
  // libgit2 asks again whenever the server refuses, and the agent has offered all of its keys.
  if (static_cast<Watch*>(payload)->ssh_attempts++ > 0) {
    git_error_set_str(GIT_ERROR_SSH, "authentication failed: the server accepts no key of the agent");
    return GIT_EAUTH;
  }
  return git_credential_ssh_key_from_agent(credential, user != nullptr ? user : "git");
}

absl::StatusOr<RepositoryHandle> OpenOrInit(const std::string& dir) {
  git_repository* repository = nullptr;
  if (git_repository_open_bare(&repository, dir.c_str()) == 0) return RepositoryHandle(repository);
  git_repository_init_options options;
  git_repository_init_options_init(&options, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
  options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH;
  if (git_repository_init_ext(&repository, dir.c_str(), &options) != 0) {
    return LastError("making a mirror in", dir);
  }
  return RepositoryHandle(repository);
}

// What git_remote_connect and git_remote_fetch have in common. Borrows from what it is made of.
struct Connection {
  Connection(const CloneUrl& url, Watch* watch)
      : header("Authorization: " + url.authorization), headers{header.data()} {
    git_remote_init_callbacks(&callbacks, GIT_REMOTE_CALLBACKS_VERSION);
    callbacks.transfer_progress = OnTransfer;
    callbacks.credentials = SshCredential;
    callbacks.payload = watch;
    git_proxy_options_init(&proxy, GIT_PROXY_OPTIONS_VERSION);
    proxy.type = GIT_PROXY_AUTO;  // HTTPS_PROXY and NO_PROXY, as git and libcurl take them.
    if (!url.authorization.empty()) custom_headers = {headers, 1};
  }
  std::string header;
  char* headers[1];
  git_strarray custom_headers = {nullptr, 0};
  git_remote_callbacks callbacks;
  git_proxy_options proxy;
};

absl::StatusOr<RemoteHandle> NameRemote(git_repository* repository, const CloneUrl& url) {
  git_remote* created = nullptr;
  const int made = repository == nullptr ? git_remote_create_detached(&created, url.url.c_str())
                                         : git_remote_create_anonymous(&created, repository, url.url.c_str());
  if (made != 0) return LastError("naming", url.url);
  return RemoteHandle(created);
}

absl::StatusOr<std::string> List(const CloneUrl& url, const FetchOptions& options, StreamLimits* limits) {
  ASSIGN_OR_RETURN(const RemoteHandle remote, NameRemote(nullptr, url));
  Watch watch;
  watch.limits = limits;
  watch.stop = options.stop;
  Connection connection(url, &watch);
  git_remote_connect_options connect;
  git_remote_connect_options_init(&connect, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
  connect.callbacks = connection.callbacks;
  connect.proxy_opts = connection.proxy;
  connect.custom_headers = connection.custom_headers;
  connect.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
  if (git_remote_connect_ext(remote.get(), GIT_DIRECTION_FETCH, &connect) != 0) {
    return LastError("connecting to", url.url);
  }
  const git_remote_head** heads = nullptr;
  size_t count = 0;
  if (git_remote_ls(&heads, &count, remote.get()) != 0) return LastError("listing", url.url);
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    if (heads[i]->symref_target != nullptr) {
      text += absl::StrFormat("ref: %s\t%s\n", heads[i]->symref_target, heads[i]->name);
    }
    char id[GIT_OID_HEXSZ + 1];
    text += absl::StrFormat("%s\t%s\n", git_oid_tostr(id, sizeof(id), &heads[i]->oid), heads[i]->name);
  }
  return text;
}

absl::Status Fetch(git_repository* repository, const CloneUrl& url, const FetchOptions& fetch,
                   const std::function<absl::Status()>& ask, StreamLimits* limits) {
  ASSIGN_OR_RETURN(const RemoteHandle remote, NameRemote(repository, url));
  Watch watch;
  watch.limits = limits;
  watch.stop = fetch.stop;
  watch.ask = ask;
  Connection connection(url, &watch);
  git_fetch_options options;
  git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
  options.prune = GIT_FETCH_PRUNE;
  options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
  options.update_fetchhead = 0;
  options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
  options.callbacks = connection.callbacks;
  options.proxy_opts = connection.proxy;
  options.custom_headers = connection.custom_headers;
  char all_refs[] = "+refs/*:refs/*";
  char* specs[] = {all_refs};
  const git_strarray refspecs = {specs, 1};
  if (git_remote_fetch(remote.get(), &refspecs, &options, nullptr) != 0) {
    return watch.said.ok() ? LastError("fetching", url.url) : watch.said;
  }
  git_buf branch = {};
  if (git_remote_default_branch(&branch, remote.get()) == 0) {
    git_repository_set_head(repository, branch.ptr);
    git_buf_dispose(&branch);
  }
  return absl::OkStatus();
}

// Once for the process: what it sets is the library's own, for all threads.
bool SetUpLibrary() {
  git_libgit2_init();
  // As for git: whatever a repository's owner, and without the configuration of this machine and its users.
  git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
  for (const git_config_level_t level : {GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL}) {
    git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
  }
  return true;
}

// Runs `work` with the library set up as the options say, and for so long at most.
template <typename Work>
auto WithLibrary(const FetchOptions& options, absl::Duration timeout, const Work& work)
    -> decltype(work(static_cast<StreamLimits*>(nullptr))) {
  static const bool set_up = SetUpLibrary();
  CHECK(set_up);
  StreamLimits limits(options.network, options.stop, absl::Now() + timeout, kMaxTalkBytes);
  auto done = work(&limits);
  if (!done.ok() && !limits.ended().ok()) return limits.ended();
  if (options.stop != nullptr && *options.stop) return absl::CancelledError("stopped");
  return done;
}

}  // namespace

absl::StatusOr<std::string> ListWithLibgit2(const CloneUrl& url, const FetchOptions& options) {
  return WithLibrary(options, std::min(options.timeout, kListTimeout),
                     [&](StreamLimits* limits) { return List(url, options, limits); });
}

absl::Status FetchWithLibgit2(const CloneUrl& url, const std::string& dir, const FetchOptions& options,
                              const std::function<absl::Status()>& watch) {
  return WithLibrary(options, options.timeout, [&](StreamLimits* limits) -> absl::Status {
    ASSIGN_OR_RETURN(const RepositoryHandle repository, OpenOrInit(dir));
    return Fetch(repository.get(), url, options, watch, limits);
  });
}

}  // namespace unsprawl
