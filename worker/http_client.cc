#include "worker/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr int kMaxRedirects = 5;
constexpr size_t kMaxHeaderBytes = 256 << 10;
constexpr size_t kMaxUrlBytes = 64 << 10;  // servers take an eighth of it; libcurl takes 8 MB

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return text;
}

// What a transfer collects.
struct Transfer {
  HttpResponse response;
  size_t header_bytes = 0;
  bool too_large = false;
};

size_t OnBody(char* data, size_t size, size_t count, void* sink) {
  auto* transfer = static_cast<Transfer*>(sink);
  if (transfer->response.body.size() + size * count > HttpClient::kMaxBodyBytes) {
    transfer->too_large = true;
    return 0;
  }
  transfer->response.body.append(data, size * count);
  return size * count;
}

size_t OnHeader(char* data, size_t size, size_t count, void* sink) {
  auto* transfer = static_cast<Transfer*>(sink);
  const std::string_view line(data, size * count);
  if (line.rfind("HTTP/", 0) == 0) transfer->response.headers.clear();  // After an interim answer.
  transfer->header_bytes += line.size();
  if (transfer->header_bytes > kMaxHeaderBytes) {
    transfer->too_large = true;
    return 0;
  }
  if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    transfer->response.headers.emplace_back(Lower(line.substr(0, colon)),
                                            Trimmed(line.substr(colon + 1)));
  }
  return line.size();
}

int OnProgress(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto* flag = static_cast<const std::atomic<bool>*>(stop);
  return flag != nullptr && *flag ? 1 : 0;
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// A Location made absolute: it may be a path on the same host.
std::string Resolve(std::string_view location, const std::string& base) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), curl_url_cleanup);
  char* text = nullptr;
  if (curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK ||
      curl_url_set(url.get(), CURLUPART_URL, std::string(location).c_str(), 0) != CURLUE_OK ||
      curl_url_get(url.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) {
    return "";
  }
  std::string resolved = text;
  curl_free(text);
  return resolved;
}

bool Says(std::string_view words, std::string_view text) { return words.find(text) != std::string_view::npos; }

// Whether a server ended the connection because we showed it no certificate, or one it does not like: in TLS 1.3,
// and as earlier versions say it.
bool WantsCertificate(std::string_view words) {
  return Says(words, "alert certificate required") || Says(words, "alert handshake failure") ||
         Says(words, "alert bad certificate") || Says(words, "alert unknown ca");
}

// The proxy that libcurl and git take for `url`, and the variable that names it; empty: none. NO_PROXY is not
// looked at.
struct NamedProxy {
  std::string variable, host;
};
NamedProxy ProxyOf(std::string_view url) {
  const bool https = url.rfind("https:", 0) == 0;
  for (const char* variable :
       {https ? "https_proxy" : "http_proxy", https ? "HTTPS_PROXY" : "", "all_proxy", "ALL_PROXY"}) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') continue;
    std::string_view host = value;
    if (const size_t scheme = host.find("://"); scheme != std::string_view::npos) host.remove_prefix(scheme + 3);
    // First: a password that is not encoded may hold a slash.
    if (const size_t at = host.rfind('@'); at != std::string_view::npos) host.remove_prefix(at + 1);
    host = host.substr(0, host.find('/'));
    return {variable, std::string(host)};
  }
  return {};
}

// `details`: libcurl's own, more exact words, or empty.
absl::Status TransferError(CURLcode code, const std::string& url, std::string_view details) {
  // Its details about a proxy's address show it, with a password.
  const bool bad_proxy = Says(details, "Unsupported proxy");
  const std::string_view words = bad_proxy                                                 ? kBadProxy
                                 : details.empty() || code == CURLE_COULDNT_RESOLVE_PROXY ? curl_easy_strerror(code)
                                                                                          : details;
  const std::string message = absl::StrFormat("%s: %s%s", OriginOf(url), words, NetworkHint(url, words));
  if (bad_proxy || WantsCertificate(words) || Says(words, "response 407")) return absl::FailedPreconditionError(message);
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK: return absl::CancelledError("stopped");
    case CURLE_PEER_FAILED_VERIFICATION:
      return absl::FailedPreconditionError(
          message + ". If the server has a certificate of your own authority, name that with --ca-file.");
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT: return absl::FailedPreconditionError(message);
    default: return absl::UnavailableError(message);
  }
}

// libcurl wants to be set up once, before threads use it.
void InitCurl() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(done == CURLE_OK);
}

}  // namespace

std::string_view HttpResponse::header(std::string_view name) const {
  for (auto it = headers.rbegin(); it != headers.rend(); ++it) {
    if (it->first == name) return it->second;
  }
  return {};
}

std::string NetworkHint(std::string_view url, std::string_view words) {
  // GnuTLS, which is git's, does not say which alert it was.
  if (WantsCertificate(words) || Says(words, "TLS fatal alert")) {
    return " (does the server want a client certificate? --client-cert, --client-key)";
  }
  if (!Says(words, "proxy") && !Says(words, "Proxy") && !Says(words, "CONNECT")) return "";
  const NamedProxy proxy = ProxyOf(url);
  return proxy.host.empty() ? "" : absl::StrFormat(" (the proxy is %s, by %s)", proxy.host, proxy.variable);
}

std::string OriginOf(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return "";
  const std::string name = Lower(url.substr(0, scheme));
  if (name != "https" && name != "http") return "";
  const size_t end = url.find_first_of("/?#", scheme + 3);
  std::string_view authority = url.substr(scheme + 3, end == std::string_view::npos ? end : end - scheme - 3);
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  std::string origin = name + "://" + Lower(authority);
  const std::string standard = name == "https" ? ":443" : ":80";
  if (origin.ends_with(standard)) origin.resize(origin.size() - standard.size());
  return origin;
}

std::string HostOf(std::string_view url) {
  const std::string origin = OriginOf(url);
  return origin.substr(origin.find("://") + 3);
}

bool IsLoopback(std::string_view url) {
  std::string host = HostOf(url);
  if (host.starts_with("[")) return host.starts_with("[::1]");
  host.erase(std::min(host.find(':'), host.size()));
  const bool address = host.find_first_not_of("0123456789.") == std::string::npos;
  return host == "localhost" || (address && host.starts_with("127."));
}

HttpClient::HttpClient(const NetworkOptions& options, const std::atomic<bool>* stop)
    : options_(options), stop_(stop), curl_((InitCurl(), curl_easy_init())) {
  CHECK(curl_ != nullptr);
}

HttpClient::~HttpClient() { curl_easy_cleanup(curl_); }

absl::StatusOr<HttpResponse> HttpClient::Send(const HttpRequest& request) {
  std::string url = request.url;
  for (int redirects = 0;; ++redirects) {
    ASSIGN_OR_RETURN(HttpResponse response, SendOnce(request, url));
    if (request.method != "GET" || !IsRedirect(response.status)) return response;
    const std::string next = Resolve(response.header("location"), url);
    if (next.empty() || OriginOf(next) != OriginOf(url)) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "%s redirects to %s, which is not followed: credentials would go along",
          OriginOf(url), next.empty() ? "no place" : OriginOf(next)));
    }
    if (redirects == kMaxRedirects) {
      return absl::FailedPreconditionError(absl::StrFormat("%s redirects in circles", OriginOf(url)));
    }
    url = next;
  }
}

absl::StatusOr<HttpResponse> HttpClient::SendOnce(const HttpRequest& request, const std::string& url) {
  if (url.size() > kMaxUrlBytes) {
    return absl::FailedPreconditionError(absl::StrFormat("%s: an address of %d bytes", OriginOf(url), url.size()));
  }
  CURL* curl = curl_;
  curl_easy_reset(curl);  // Options; connections and caches stay.
  Transfer transfer;
  char details[CURL_ERROR_SIZE] = "";
  transfer.response.url = url;
  const auto set = [curl](CURLoption option, auto value) {
    CHECK(curl_easy_setopt(curl, option, value) == CURLE_OK);
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_ERRORBUFFER, details);
  set(CURLOPT_PROTOCOLS_STR, "https,http");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_ACCEPT_ENCODING, "");  // Whatever it can decode.
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(options_.connect_timeout)));
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(absl::ToInt64Seconds(options_.stall_timeout)));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, OnProgress);
  set(CURLOPT_XFERINFODATA, const_cast<std::atomic<bool>*>(stop_));
  set(CURLOPT_WRITEFUNCTION, OnBody);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_HEADERFUNCTION, OnHeader);
  set(CURLOPT_HEADERDATA, &transfer);
  if (!options_.ca_file.empty()) {
    set(CURLOPT_CAINFO, options_.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));  // or it trusts the system's as well
  }
  if (!options_.client_cert.empty()) set(CURLOPT_SSLCERT, options_.client_cert.c_str());
  if (!options_.client_key.empty()) set(CURLOPT_SSLKEY, options_.client_key.c_str());
  if (request.method != "GET") {
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_POSTFIELDS, request.body.data());
  }
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(nullptr, curl_slist_free_all);
  for (const auto& [name, value] : request.headers) {
    curl_slist* longer = curl_slist_append(headers.get(), (name + ": " + value).c_str());
    CHECK(longer != nullptr);
    (void)headers.release();
    headers.reset(longer);
  }
  set(CURLOPT_HTTPHEADER, headers.get());
  const CURLcode code = curl_easy_perform(curl);
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(nullptr));  // It ends with this call.
  if (transfer.too_large) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s: an answer above %d bytes", OriginOf(url), kMaxBodyBytes));
  }
  if (code != CURLE_OK) return TransferError(code, url, details);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  transfer.response.status = static_cast<int>(status);
  return std::move(transfer.response);
}

}  // namespace unsprawl
