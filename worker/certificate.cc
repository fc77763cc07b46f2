#include "worker/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/private_file.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr std::string_view kScheme = "unsprawl:";
constexpr std::pair<Peer::Role, std::string_view> kRoles[] = {
    {Peer::Role::kWorker, "worker"}, {Peer::Role::kPool, "pool"}, {Peer::Role::kAdmin, "admin"}};
constexpr size_t kMaxNameBytes = 63;

struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, BioDeleter>;

int NoPassphrase(char*, int, int, void*) { return 0; }

absl::StatusOr<Bio> OpenFile(const std::string& file) {
  errno = 0;
  Bio bio(BIO_new_file(file.c_str(), "r"));
  if (bio != nullptr) return bio;
  ERR_clear_error();
  return absl::NotFoundError(absl::StrFormat("cannot read %s: %s", file, strerror(errno)));
}

// All that one PEM text holds; empty if there is none, or if one of them is damaged.
std::vector<Certificate> ReadAll(BIO* bio) {
  std::vector<Certificate> certificates;
  while (Certificate next{PEM_read_bio_X509(bio, nullptr, NoPassphrase, nullptr)}) {
    certificates.push_back(std::move(next));
  }
  const bool damaged = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (damaged) certificates.clear();
  return certificates;
}

// The URIs of ours in the certificate's subjectAltName.
std::vector<std::string> OurUris(const X509& certificate) {
  struct NamesDeleter {
    void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  };
  const std::unique_ptr<GENERAL_NAMES, NamesDeleter> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> uris;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier));
    std::string uri(text, static_cast<size_t>(ASN1_STRING_length(name->d.uniformResourceIdentifier)));
    if (uri.starts_with(kScheme)) uris.push_back(std::move(uri));
  }
  return uris;
}

std::optional<Peer> PeerFromUri(std::string_view uri) {
  uri.remove_prefix(kScheme.size());
  const size_t slash = uri.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view word = uri.substr(0, slash), name = uri.substr(slash + 1);
  for (const auto& [role, role_word] : kRoles) {
    if (word == role_word && IsPeerName(name)) return Peer{.role = role, .name = std::string(name)};
  }
  return std::nullopt;
}

// Why no chain leads from the first of `chain` to one of `authorities`; empty if one does.
std::string ChainError(const std::vector<Certificate>& chain, const std::vector<Certificate>& authorities,
                       CertificateUse use, absl::Time now) {
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(), X509_STORE_free);
  for (const Certificate& authority : authorities) CHECK(X509_STORE_add_cert(store.get(), authority.get()) == 1);
  const std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> between(
      sk_X509_new_null(), [](STACK_OF(X509) * stack) { sk_X509_free(stack); });
  for (size_t i = 1; i < chain.size(); ++i) CHECK(sk_X509_push(between.get(), chain[i].get()) > 0);
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> context(X509_STORE_CTX_new(),
                                                                                X509_STORE_CTX_free);
  CHECK(X509_STORE_CTX_init(context.get(), store.get(), chain[0].get(), between.get()) == 1);
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context.get()), absl::ToTimeT(now));
  X509_STORE_CTX_set_purpose(context.get(), use == CertificateUse::kClient ? X509_PURPOSE_SSL_CLIENT
                                                                           : X509_PURPOSE_SSL_SERVER);
  const bool valid = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  return valid ? "" : X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
}

}  // namespace

bool Peer::MayBe(std::string_view worker) const {
  switch (role) {
    case Role::kWorker: return worker == name;
    case Role::kPool: return worker.size() > name.size() + 1 && worker.starts_with(name) && worker[name.size()] == '.';
    case Role::kAdmin: return false;
    case Role::kLocal: return true;
  }
  return false;
}

std::string_view RoleName(Peer::Role role) {
  for (const auto& [each, word] : kRoles) {
    if (each == role) return word;
  }
  return "local";
}

std::string PeerUri(Peer::Role role, std::string_view name) {
  return absl::StrFormat("%s%s/%s", kScheme, RoleName(role), name);
}

bool IsPeerName(std::string_view name) {
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= kMaxNameBytes && alphanumeric(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

absl::StatusOr<Peer> PeerFromPem(std::string_view pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr));
  if (certificate == nullptr) return absl::InvalidArgumentError("not a certificate: " + OpensslError());
  return PeerOf(*certificate);
}

absl::StatusOr<Peer> PeerOf(const X509& certificate) {
  const std::vector<std::string> uris = OurUris(certificate);
  if (uris.size() != 1) {
    return absl::PermissionDeniedError(
        absl::StrFormat("the certificate names %d roles, not one (%s… in subjectAltName)", uris.size(), kScheme));
  }
  std::optional<Peer> peer = PeerFromUri(uris[0]);
  if (!peer) {
    return absl::PermissionDeniedError(
        absl::StrFormat("the certificate's role is none of %s, %s and %s: %s", PeerUri(Peer::Role::kWorker, "NAME"),
                        PeerUri(Peer::Role::kPool, "NAME"), PeerUri(Peer::Role::kAdmin, "NAME"), uris[0]));
  }
  peer->not_after = NotAfter(certificate);
  return *std::move(peer);
}

absl::StatusOr<std::vector<Certificate>> ReadCertificates(const std::string& file) {
  ASSIGN_OR_RETURN(const Bio bio, OpenFile(file));
  std::vector<Certificate> certificates = ReadAll(bio.get());
  if (certificates.empty()) return absl::InvalidArgumentError(file + " is not a certificate in PEM, or damaged");
  return certificates;
}

absl::StatusOr<PrivateKey> ReadPrivateKey(const std::string& file) {
  RETURN_IF_ERROR(CheckPrivate(file));
  ASSIGN_OR_RETURN(const Bio bio, OpenFile(file));
  PrivateKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    return absl::InvalidArgumentError(file + " is not a private key in PEM without a passphrase, or damaged");
  }
  return key;
}

absl::Time NotAfter(const X509& certificate) {
  std::tm time = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &time) != 1) return absl::InfinitePast();
  return absl::FromTM(time, absl::UTCTimeZone());
}

absl::Status CheckCertificate(const CertificateFiles& files, CertificateUse use, absl::Time now) {
  ASSIGN_OR_RETURN(const std::vector<Certificate> authorities, ReadCertificates(files.ca));
  ASSIGN_OR_RETURN(const std::vector<Certificate> chain, ReadCertificates(files.certificate));
  if (!files.key.empty()) {
    ASSIGN_OR_RETURN(const PrivateKey key, ReadPrivateKey(files.key));
    const bool own = X509_check_private_key(chain[0].get(), key.get()) == 1;
    ERR_clear_error();
    if (!own) {
      return absl::FailedPreconditionError(absl::StrFormat("%s is not the key of %s", files.key, files.certificate));
    }
  }
  const absl::Time end = NotAfter(*chain[0]);
  if (end < now) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s expired on %s", files.certificate, absl::FormatTime("%Y-%m-%d %H:%M UTC", end, absl::UTCTimeZone())));
  }
  const std::string error = ChainError(chain, authorities, use, now);
  if (!error.empty()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s is not valid for a %s under %s: %s", files.certificate,
                        use == CertificateUse::kClient ? "client" : "server", files.ca, error));
  }
  return absl::OkStatus();
}

std::string OpensslError() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  std::string text = reason == nullptr ? "unknown error" : reason;
  ERR_clear_error();
  return text;
}

}  // namespace unsprawl
