#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace unsprawl {

// A clone URL without what must not be stored or shown. Credentials in it are moved aside.
struct CloneUrl {
  std::string scheme;         // "https", "http", "ssh", "file", "git"
  std::string url;            // without user information (but an ssh user is kept: "git@")
  std::string name;           // "host/path", for people and for the mirror's folder
  std::string authorization;  // value of an HTTP Authorization header, or empty
};

// InvalidArgument: not a URL of a supported scheme (https, http, ssh, file, scp-like), or a password in
// one that cannot be passed on without showing it (ssh, git).
absl::StatusOr<CloneUrl> ParseCloneUrl(const std::string& text);

// The value of an Authorization header: "Basic …".
std::string BasicAuthorization(std::string_view user, std::string_view password);

// Whether it leads away from this machine, by https, http, ssh or git. A path without a host, which ParseCloneUrl takes for
// ssh's, does not.
bool IsRemoteUrl(const std::string& text);

// `word` without user information, if it is a URL or meant to be one: what may be shown of it.
std::string WithoutUser(std::string word);

// One that was parsed or built before.
CloneUrl CloneUrlOf(const std::string& url, const std::string& name, const std::string& authorization);

}  // namespace unsprawl
