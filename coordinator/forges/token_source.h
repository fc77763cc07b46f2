// Where the tokens for a forge come from.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "worker/http_client.h"

namespace unsprawl {

// A token to be given away: to a worker.
struct GivenToken {
  std::string value;  // "": none is needed
  // OK: it reads one repository and nothing else. Else it has all that its owner has, and this is why. Unimplemented:
  // there is no other of its kind.
  absl::Status scoped;
};

// One identity towards a forge. Thread-safe. The values stay in memory: never in argv, a URL, a log, the
// store or a message.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  // For messages: "GITHUB_TOKEN", "installation 77". Never the value.
  virtual const std::string& name() const = 0;
  // Equal for all that a forge's limits take for one. May hold the value: never shown.
  virtual std::string identity() const = 0;
  // The token to use now. `renew`: the last one was refused.
  virtual absl::StatusOr<std::string> Value(absl::Time now, bool renew) = 0;
  // A token for git that reads the repository with this id and nothing else, where the forge makes such; else Value.
  // Unavailable: the forge did not say.
  virtual absl::StatusOr<GivenToken> ValueFor(const std::string& repository, absl::Time now);
  // When the value given out last stops working; InfiniteFuture if that is not known.
  virtual absl::Time expires() const = 0;
};

// A token from the environment, a file or a configuration: it stays what it is.
std::unique_ptr<TokenSource> StaticToken(std::string name, std::string value);

// The first line of a token file, without blanks at the ends.
// NotFound: no such file. PermissionDenied: others can read it. InvalidArgument: empty or binary.
absl::StatusOr<std::string> ReadTokenFile(const std::string& file);

}  // namespace unsprawl
