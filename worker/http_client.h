// HTTP for forges' APIs and webhooks, over libcurl.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace unsprawl {

// How connections of a run are made: by libcurl, git and libgit2 alike. Proxies come from the environment
// (HTTPS_PROXY, NO_PROXY, in both spellings), which all three read. Where libgit2 falls behind:
// docs/decisions.md, 20.
struct NetworkOptions {
  std::filesystem::path ca_file;      // PEM; empty: the system's authorities
  std::filesystem::path client_cert;  // PEM; empty: none
  std::filesystem::path client_key;   // PEM; empty: in client_cert
  absl::Duration connect_timeout = absl::Seconds(30);
  // A transfer slower than a byte a second for this long has failed.
  absl::Duration stall_timeout = absl::Seconds(60);
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  HttpHeaders headers;
  std::string body;
};

struct HttpResponse {
  int status = 0;
  HttpHeaders headers;  // names in lower case
  std::string body;
  std::string url;      // where it came from, after redirects

  // The last value of a header named in lower case, or empty.
  std::string_view header(std::string_view name) const;
};

// Sends requests one at a time over a kept connection. One per thread.
class HttpClient {
 public:
  // `stop`, polled during transfers, may be null; it must outlive this.
  HttpClient(const NetworkOptions& options, const std::atomic<bool>* stop);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Any answer is a response, whatever its status. GET follows up to 5 redirects to the same scheme, host
  // and port; another place is not followed (credentials would go along) and fails.
  // Unavailable: no connection, a broken or stalled transfer. FailedPrecondition: a certificate that is not
  // trusted, or one of ours that is missing, a proxy's address that is none, a redirect elsewhere, a URL above
  // 64 kB, an answer above kMaxBodyBytes: trying again will not help. Cancelled: `stop`. Messages name the host (and the proxy), never headers or the query.
  absl::StatusOr<HttpResponse> Send(const HttpRequest& request);

  static constexpr uint64_t kMaxBodyBytes = 64 << 20;

 private:
  absl::StatusOr<HttpResponse> SendOnce(const HttpRequest& request, const std::string& url);

  const NetworkOptions options_;
  const std::atomic<bool>* const stop_;
  void* const curl_;  // CURL
};

// What a person wants to know besides the words of a connection that failed: which proxy it went through,
// where they are about a proxy; how to show a certificate, where the server asked for one. Empty: nothing.
// No credentials.
std::string NetworkHint(std::string_view url, std::string_view words);

// In place of words of a library that show a proxy's address with its password.
inline constexpr char kBadProxy[] = "the proxy's address cannot be used";

// "https://host:port" of a URL in lower case; empty for what is not http or https.
std::string OriginOf(std::string_view url);
// "host:port" of it.
std::string HostOf(std::string_view url);
// Whether a web address is on this machine: what goes there is read by nobody else.
bool IsLoopback(std::string_view url);

}  // namespace unsprawl
