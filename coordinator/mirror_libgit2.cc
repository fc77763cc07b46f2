#include "coordinator/mirror_libgit2.h"

#include <git2.h>

#include <cstdlib>
#include <memory>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

template <typename T, void (*Free)(T*)>
struct Freer {
  void operator()(T* handle) const { Free(handle); }
};
using RepositoryHandle =
    std::unique_ptr<git_repository, Freer<git_repository, git_repository_free>>;
using RemoteHandle = std::unique_ptr<git_remote, Freer<git_remote, git_remote_free>>;

absl::Status LastError(const char* doing, const std::string& url) {
  const git_error* error = git_error_last();
  return absl::UnavailableError(absl::StrFormat("%s %s: %s", doing, url,
                                                error != nullptr ? error->message : "no reason given"));
}

// Anything but zero ends the transfer.
int StopTransfer(const git_indexer_progress*, void* stop) {
  const auto* flag = static_cast<const std::atomic<bool>*>(stop);
  return flag != nullptr && *flag ? -1 : 0;
}

int SshCredential(git_credential** credential, const char*, const char* user, unsigned int allowed,
                  void*) {
  if ((allowed & GIT_CREDENTIAL_SSH_KEY) == 0) return GIT_PASSTHROUGH;
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

absl::Status Fetch(git_repository* repository, const CloneUrl& url, const std::atomic<bool>* stop) {
  git_remote* created = nullptr;
  if (git_remote_create_anonymous(&created, repository, url.url.c_str()) != 0) {
    return LastError("naming", url.url);
  }
  const RemoteHandle remote(created);
  git_fetch_options options;
  git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
  options.prune = GIT_FETCH_PRUNE;
  options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
  options.update_fetchhead = 0;
  options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
  options.callbacks.transfer_progress = StopTransfer;
  options.callbacks.credentials = SshCredential;
  options.callbacks.payload = const_cast<std::atomic<bool>*>(stop);
  std::string header = "Authorization: " + url.authorization;
  char* headers[] = {header.data()};
  if (!url.authorization.empty()) options.custom_headers = {headers, 1};
  char all_refs[] = "+refs/*:refs/*";
  char* specs[] = {all_refs};
  const git_strarray refspecs = {specs, 1};
  if (git_remote_fetch(remote.get(), &refspecs, &options, nullptr) != 0) {
    return LastError("fetching", url.url);
  }
  git_buf branch = {};
  if (git_remote_default_branch(&branch, remote.get()) == 0) {
    git_repository_set_head(repository, branch.ptr);
    git_buf_dispose(&branch);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FetchWithLibgit2(const CloneUrl& url, const std::string& dir,
                              const std::atomic<bool>* stop) {
  git_libgit2_init();
  // As git takes it; libgit2 looks at no variable of its own.
  if (const char* file = std::getenv("GIT_SSL_CAINFO")) {
    git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, file, nullptr);
  }
  absl::Status done;
  {
    absl::StatusOr<RepositoryHandle> repository = OpenOrInit(dir);
    done = repository.ok() ? Fetch(repository->get(), url, stop) : repository.status();
  }
  git_libgit2_shutdown();
  if (stop != nullptr && *stop) return absl::CancelledError("stopped");
  return done;
}

}  // namespace unsprawl
