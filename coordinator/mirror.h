#pragma once

#include <atomic>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/repository_run.h"

namespace unsprawl {

enum class FetchBackend : uint8_t { kGit, kLibgit2 };

struct FetchOptions {
  std::filesystem::path mirrors_dir;         // one bare mirror per URL below it
  FetchBackend backend = FetchBackend::kGit;
  const std::atomic<bool>* stop = nullptr;
};

// A clone URL without what must not be stored or shown. Credentials in it are moved aside.
struct CloneUrl {
  std::string scheme;       // "https", "http", "ssh", "file", "git"
  std::string url;          // without user information (but an ssh user is kept: "git@")
  std::string name;         // "host/path", for people and for the mirror's folder
  std::string authorization;  // value of an HTTP Authorization header, or empty
};

// InvalidArgument: not a URL of a supported scheme (https, http, ssh, file, scp-like), or a password in
// one that cannot be passed on without showing it (ssh, git).
absl::StatusOr<CloneUrl> ParseCloneUrl(const std::string& text);

// Identity of the mirror of `url` in the ledger.
std::string MirrorKey(const CloneUrl& url);

// Fetches all refs of `url` into its mirror, made when new; an interrupted fetch is taken up again by
// the next call. Objects of refs that vanished stay. With git: a sanitised environment, no prompt, no
// hooks, no submodules; credentials travel in the environment, never in argv. Redirects to other hosts
// are refused (by git, all redirects): credentials would be taken along.
// Unavailable: the fetch failed, with git's own last words. Cancelled: `stop`.
absl::StatusOr<RepositoryTarget> FetchMirror(const CloneUrl& url, const FetchOptions& options);

}  // namespace unsprawl
