// Runs git for us: a sanitised environment, credentials out of sight, and its failures in one word.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/clone_url.h"
#include "worker/http_client.h"

namespace unsprawl {

struct GitCommand {
  std::vector<std::string> arguments;  // after "git"; no credentials
  std::string input;                   // for its stdin
  const CloneUrl* remote = nullptr;    // what it talks to; its authorization travels in the environment
  const NetworkOptions* network = nullptr;
  const std::atomic<bool>* stop = nullptr;
  absl::Duration timeout = absl::InfiniteDuration();
  size_t max_output_bytes = 256 << 20;
  // Asked at once and then every half second while git runs: what is not OK ends git, and is what comes of it. May be empty.
  std::function<absl::Status()> watch;
  std::string* errors = nullptr;       // gets what it printed on stderr when it fails, object ids and all
  int inherited_fd = -1;  // stays open in git and whatever it starts: what they hold is held until all have ended
};

// What it printed on stdout. No system or global configuration, no ~/.netrc, no prompt, no hooks, no submodules,
// no redirects, one transport; of our environment only what reaches proxies, certificates, keys and agents.
// Failures of the remote end: NotFound (gone), PermissionDenied (401, 403, a key), Aborted (451), LimitedError,
// Unavailable (everything else that may pass), with git's last words, object ids blotted out.
// DeadlineExceeded: `timeout`. ResourceExhausted: max_output_bytes, a full disk.
// FailedPrecondition: git is not installed; a certificate that is not trusted, or one of ours that is asked
// for. Cancelled: `stop`. What `watch` says.
absl::StatusOr<std::string> RunGit(const GitCommand& command);

// Unavailable, and to be left alone for a while: the remote end asks for fewer requests (429).
absl::Status LimitedError(const std::string& message);
bool IsLimited(const absl::Status& status);

// `text` with every object id in it blotted out: reports and logs hold none.
std::string WithoutObjectIds(std::string_view text);

}  // namespace unsprawl
