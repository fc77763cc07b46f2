#include "coordinator/forges/app_token.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "coordinator/forges/forge.h"
#include "coordinator/forges/json_fields.h"
#include "coordinator/forges/rate_limit.h"
#include "engine/base/mutex.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

// GitHub refuses more than 10 minutes, and clocks differ.
constexpr absl::Duration kJwtLifetime = absl::Minutes(9);
constexpr absl::Duration kJwtBackdate = absl::Seconds(60);

class App final : public TokenSource {
 public:
  explicit App(AppKey key) : name_("App " + key.app_id), key_(std::move(key)) {}
  const std::string& name() const override { return name_; }
  std::string identity() const override { return name_; }
  absl::StatusOr<std::string> Value(absl::Time now, bool) override { return AppJwt(key_, now); }
  absl::Time expires() const override { return absl::InfiniteFuture(); }

 private:
  const std::string name_;
  const AppKey key_;
};

class Installation final : public TokenSource {
 public:
  Installation(const std::string& installation, std::unique_ptr<ApiClient> app)
      : name_("installation " + installation),
        path_(absl::StrFormat("/app/installations/%s/access_tokens", PercentEncoded(installation))),
        app_(std::move(app)) {}

  const std::string& name() const override { return name_; }
  std::string identity() const override { return name_; }

  absl::StatusOr<std::string> Value(absl::Time now, bool renew) override {
    MutexLock lock(mutex_);
    if (!renew && now < renew_at_) return value_;
    const absl::Status renewed = Renew(now);
    // One that is still good is used on: by its end the App may have been answered.
    const bool still_good = !renew && now < expires_ && !absl::IsPermissionDenied(renewed);
    if (!renewed.ok() && !still_good) return renewed;
    return value_;
  }

  // A call of the App's own budget (thousands an hour) for each lease. When that is used up, a worker is given what
  // the installation has rather than nothing: a first scan of a hundred thousand repositories would stand still for a
  // day. So it is where the forge says that it makes no such token: of a repository that the installation was not given
  // (a public one). All else may be otherwise the next time.
  absl::StatusOr<GivenToken> ValueFor(const std::string& repository, absl::Time now) override {
    absl::StatusOr<std::string> one = Mint(repository);
    if (one.ok()) return GivenToken{*std::move(one), absl::OkStatus()};
    const absl::Status why = one.status();
    if (!absl::IsFailedPrecondition(why) && !absl::IsResourceExhausted(why)) return None(why);
    ASSIGN_OR_RETURN(std::string all, Value(now, false));
    return GivenToken{std::move(all), why};
  }

  absl::Time expires() const override {
    MutexLock lock(mutex_);
    return expires_;
  }

 private:
  // There is no token, and why.
  absl::Status None(const absl::Status& why) const {
    const std::string what = absl::StrFormat("a token for %s: %s", name_, std::string(why.message()));
    // To whoever wants the token it is all one: it is not to be had.
    const bool refused = absl::IsNotFound(why) || absl::IsFailedPrecondition(why);
    return refused ? absl::PermissionDeniedError(what) : absl::Status(why.code(), what);
  }

  // FailedPrecondition: the forge makes none for this repository alone.
  absl::StatusOr<std::string> Mint(const std::string& repository) {
    uint64_t id = 0;
    const auto [end, error] = std::from_chars(repository.data(), repository.data() + repository.size(), id);
    // A wiki's begins with its repository's; a gist's is no number, and no installation's.
    if (error != std::errc() || (end != repository.data() + repository.size() && *end != '.')) {
      return absl::FailedPreconditionError(absl::StrFormat("%s is no repository of an installation", repository));
    }
    const Json asked = {{"repository_ids", Json::array({id})}, {"permissions", {{"contents", "read"}}}};
    ASSIGN_OR_RETURN(const HttpResponse response, app_->TryPost(path_, asked.dump()));
    const absl::StatusOr<Json> json = ParseBody(response);
    std::string value = json.ok() ? TextField(*json, "token") : "";
    if (value.empty()) return absl::UnavailableError("an answer without one");
    return value;
  }

  absl::Status Renew(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const absl::StatusOr<HttpResponse> response = app_->Post(path_, "{}", GitHub().Headers());
    if (!response.ok()) return None(response.status());
    ASSIGN_OR_RETURN(const Json json, ParseBody(*response));
    std::string value = TextField(json, "token");
    if (value.empty()) return None(absl::UnavailableError("an answer without one"));
    value_ = std::move(value);
    absl::Time expires = now + absl::Hours(1);
    std::string error;
    absl::ParseTime(absl::RFC3339_full, TextField(json, "expires_at"), &expires, &error);
    // By the server's clock, which may differ from ours.
    const absl::Time server_now = ServerTime(*response);
    const absl::Duration lifetime = expires - (server_now == absl::InfinitePast() ? now : server_now);
    expires_ = now + lifetime;
    renew_at_ = now + lifetime * 3 / 4;
    return absl::OkStatus();
  }

  const std::string name_;
  const std::string path_;
  const std::unique_ptr<ApiClient> app_;
  mutable Mutex mutex_;
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

std::unique_ptr<TokenSource> AppToken(AppKey key) { return std::make_unique<App>(std::move(key)); }

std::unique_ptr<TokenSource> InstallationToken(std::string installation, std::unique_ptr<ApiClient> app) {
  return std::make_unique<Installation>(installation, std::move(app));
}

}  // namespace unsprawl
