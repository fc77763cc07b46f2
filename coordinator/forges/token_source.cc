#include "coordinator/forges/token_source.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "coordinator/forges/rate_limit.h"
#include "engine/base/mutex.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

// GitHub refuses more than 10 minutes, and clocks differ.
constexpr absl::Duration kJwtLifetime = absl::Minutes(9);
constexpr absl::Duration kJwtBackdate = absl::Seconds(60);
constexpr size_t kMaxTokenBytes = 8 << 10;

class Static final : public TokenSource {
 public:
  Static(std::string name, std::string value) : name_(std::move(name)), value_(std::move(value)) {}
  const std::string& name() const override { return name_; }
  absl::StatusOr<std::string> Value(absl::Time, bool renew) override {
    if (renew) return absl::PermissionDeniedError(name_ + " was refused");
    return value_;
  }
  absl::Time expires() const override { return absl::InfiniteFuture(); }

 private:
  const std::string name_, value_;
};

class Installation final : public TokenSource {
 public:
  Installation(AppKey key, std::string installation, std::string api_url, const NetworkOptions& network,
               const std::atomic<bool>* stop)
      : name_("installation " + installation),
        key_(std::move(key)),
        url_(absl::StrFormat("%s/app/installations/%s/access_tokens", api_url, installation)),
        http_(network, stop) {}

  const std::string& name() const override { return name_; }

  absl::StatusOr<std::string> Value(absl::Time now, bool renew) override {
    MutexLock lock(mutex_);
    if (renew || now >= renew_at_) RETURN_IF_ERROR(Renew(now));
    return value_;
  }

  absl::Time expires() const override {
    MutexLock lock(mutex_);
    return expires_;
  }

 private:
  absl::Status Renew(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ASSIGN_OR_RETURN(const std::string jwt, AppJwt(key_, now));
    HttpRequest request;
    request.method = "POST";
    request.url = url_;
    request.headers = {{"Authorization", "Bearer " + jwt},
                       {"Accept", "application/vnd.github+json"},
                       {"User-Agent", "unsprawl"}};
    ASSIGN_OR_RETURN(const HttpResponse response, http_.Send(request));
    if (response.status != 201) {
      const std::string what = absl::StrFormat("a token for %s was refused (%d: %s)", name_,
                                               response.status, MessageOf(response));
      return Classify(response) == ApiAnswer::kRetry || Classify(response) == ApiAnswer::kLimited
                 ? absl::UnavailableError(what)
                 : absl::PermissionDeniedError(what);
    }
    const auto json = nlohmann::json::parse(response.body, nullptr, false);
    if (!json.is_object() || !json.value("token", nlohmann::json()).is_string()) {
      return absl::UnavailableError(absl::StrFormat("a token for %s: an answer without one", name_));
    }
    value_ = json["token"].get<std::string>();
    absl::Time expires = now + absl::Hours(1);
    std::string error;
    if (json.contains("expires_at") && json["expires_at"].is_string()) {
      absl::ParseTime(absl::RFC3339_full, json["expires_at"].get<std::string>(), &expires, &error);
    }
    // By the server's clock, which may differ from ours.
    const absl::Time server_now = ServerTime(response);
    const absl::Duration lifetime = expires - (server_now == absl::InfinitePast() ? now : server_now);
    expires_ = now + lifetime;
    renew_at_ = now + lifetime * 3 / 4;
    return absl::OkStatus();
  }

  const std::string name_;
  const AppKey key_;
  const std::string url_;
  mutable Mutex mutex_;
  HttpClient http_ ABSL_GUARDED_BY(mutex_);
  std::string value_ ABSL_GUARDED_BY(mutex_);
  absl::Time renew_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time expires_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

std::string Base64Url(std::string_view bytes) {
  std::string text(absl::WebSafeBase64Escape({bytes.data(), bytes.size()}));
  while (!text.empty() && text.back() == '=') text.pop_back();
  return text;
}

}  // namespace

std::unique_ptr<TokenSource> StaticToken(std::string name, std::string value) {
  return std::make_unique<Static>(std::move(name), std::move(value));
}

absl::Status CheckPrivate(const std::string& file) {
  struct stat info = {};
  if (stat(file.c_str(), &info) != 0) return absl::NotFoundError(absl::StrFormat("%s: no such file", file));
  const char* credentials = std::getenv("CREDENTIALS_DIRECTORY");
  const bool from_systemd = credentials != nullptr && *credentials != '\0' &&
                            file.rfind(std::string(credentials) + "/", 0) == 0;
  if (!from_systemd && (info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrFormat("%s is open to others (mode %o): chmod 600 it", file, info.st_mode & 0777));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& file) {
  RETURN_IF_ERROR(CheckPrivate(file));
  std::ifstream opened(file);
  std::string token;
  std::getline(opened, token);
  while (!token.empty() && (token.back() == ' ' || token.back() == '\r' || token.back() == '\t')) token.pop_back();
  const bool printable = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!opened || token.empty() || token.size() > kMaxTokenBytes || !printable) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: its first line is not a token", file));
  }
  return token;
}

absl::StatusOr<std::string> AppJwt(const AppKey& key, absl::Time now) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> pem(
      BIO_new_mem_buf(key.private_key.data(), static_cast<int>(key.private_key.size())), BIO_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> rsa(
      PEM_read_bio_PrivateKey(pem.get(), nullptr, [](char*, int, int, void*) { return 0; }, nullptr),
      EVP_PKEY_free);
  if (rsa == nullptr || EVP_PKEY_base_id(rsa.get()) != EVP_PKEY_RSA) {
    return absl::InvalidArgumentError("the App's key is not an RSA private key in PEM without a passphrase");
  }
  const nlohmann::json claims = {{"iat", absl::ToUnixSeconds(now - kJwtBackdate)},
                                 {"exp", absl::ToUnixSeconds(now - kJwtBackdate + kJwtLifetime)},
                                 {"iss", key.app_id}};
  const std::string text = Base64Url(R"({"alg":"RS256","typ":"JWT"})") + "." + Base64Url(claims.dump());
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  size_t bytes = 0;
  const auto* data = reinterpret_cast<const uint8_t*>(text.data());
  CHECK(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, rsa.get()) == 1);
  CHECK(EVP_DigestSign(context.get(), nullptr, &bytes, data, text.size()) == 1);
  std::string signature(bytes, '\0');
  CHECK(EVP_DigestSign(context.get(), reinterpret_cast<uint8_t*>(signature.data()), &bytes, data, text.size()) == 1);
  signature.resize(bytes);
  return text + "." + Base64Url(signature);
}

std::unique_ptr<TokenSource> InstallationToken(AppKey key, std::string installation, std::string api_url,
                                               const NetworkOptions& network,
                                               const std::atomic<bool>* stop) {
  return std::make_unique<Installation>(std::move(key), std::move(installation), std::move(api_url),
                                        network, stop);
}

}  // namespace unsprawl
