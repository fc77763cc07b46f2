#include "worker/clone_url.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "coordinator/report/report.h"
#include "engine/base/escape.h"

namespace unsprawl {
namespace {

// The Authorization header for a host whose token the environment holds, or empty.
std::string TokenFromEnvironment(std::string_view host) {
  const auto basic = [](const char* user, const char* variable) -> std::string {
    const char* token = std::getenv(variable);
    if (token == nullptr || *token == '\0') return "";
    return BasicAuthorization(user, token);
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
std::string AuthorizationOf(std::string_view user_information) {
  const size_t colon = std::min(user_information.find(':'), user_information.size());
  return BasicAuthorization(PercentDecoded(user_information.substr(0, colon)),
               PercentDecoded(user_information.substr(std::min(colon + 1, user_information.size()))));
}

}  // namespace

std::string BasicAuthorization(std::string_view user, std::string_view password) {
  return "Basic " + std::string(absl::Base64Escape(absl::StrFormat("%s:%s", user, password)));
}

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
      url.authorization = AuthorizationOf(user);
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

bool IsRemoteUrl(const std::string& text) {
  if (text.find(':') >= text.find('/')) return false;
  const absl::StatusOr<CloneUrl> url = ParseCloneUrl(text);
  return url.ok() && url->scheme != "file";
}

std::string WithoutUser(std::string word) {
  const size_t scheme = word.find("://");
  if (scheme == std::string::npos) return word;
  const size_t start = scheme + 3, end = std::min(word.find('/', start), word.size());
  size_t at = word.substr(0, end).rfind('@');
  // A password with a slash in it is no URL any more, and still a password.
  if (at == std::string::npos && word.substr(start, end - start).find(':') != std::string::npos) at = word.rfind('@');
  if (at != std::string::npos && at >= start) word.erase(start, at + 1 - start);
  return word;
}

CloneUrl CloneUrlOf(const std::string& url, const std::string& name, const std::string& authorization) {
  const size_t scheme = url.find("://");
  return {.scheme = scheme == std::string::npos ? "ssh" : url.substr(0, scheme),
          .url = url,
          .name = name,
          .authorization = authorization};
}

}  // namespace unsprawl
