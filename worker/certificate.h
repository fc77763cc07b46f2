// Certificates by which coordinator, workers and admins know each other, and what is read from them.
//
// Who somebody is stands in the certificate as one URI in subjectAltName, "unsprawl:worker/NAME", "unsprawl:pool/NAME"
// (workers that share a certificate) or "unsprawl:admin/NAME". The coordinator is known by its hosts, and has none.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace unsprawl {

struct OpensslDeleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Certificate = std::unique_ptr<X509, OpensslDeleter>;
using PrivateKey = std::unique_ptr<EVP_PKEY, OpensslDeleter>;

// Files in PEM. All empty: no certificates.
struct CertificateFiles {
  std::string ca;           // whom the other side's certificate has to come from; may hold several
  std::string certificate;  // one's own, then those between it and the CA, if any
  std::string key;          // its private key, without a passphrase
};

// Who calls.
struct Peer {
  // kPool: any worker whose name is the pool's, a dot, and more.
  // kLocal: somebody on this machine, without a certificate; may do what a worker and an admin may.
  enum class Role { kWorker, kPool, kAdmin, kLocal };

  Role role = Role::kLocal;
  std::string name;                                // empty for kLocal
  absl::Time not_after = absl::InfiniteFuture();   // a connection may live longer than its certificate

  // What is `wanted`: a worker of whatever name, or an admin.
  bool May(Role wanted) const {
    return role == wanted || role == Role::kLocal || (wanted == Role::kWorker && role == Role::kPool);
  }

  // Speak for the worker of this name.
  bool MayBe(std::string_view worker) const;
};

// As URIs and files have it: worker, pool, admin; "local" for kLocal, of which there are neither.
std::string_view RoleName(Peer::Role role);

// The URI that says who it is. `role` is not kLocal.
std::string PeerUri(Peer::Role role, std::string_view name);

// Letters, digits, '.', '_' and '-', up to 63, the first a letter or digit: fit for files, logs and URIs.
bool IsPeerName(std::string_view name);

// PermissionDenied: the certificate names no role, several, or one that we do not know.
// InvalidArgument: not a certificate.
absl::StatusOr<Peer> PeerFromPem(std::string_view pem);
absl::StatusOr<Peer> PeerOf(const X509& certificate);

// The first certificate is never missing. NotFound: no such file. InvalidArgument: no certificate in it.
absl::StatusOr<std::vector<Certificate>> ReadCertificates(const std::string& file);

// NotFound, PermissionDenied: as CheckPrivate. InvalidArgument: no key, or one with a passphrase.
absl::StatusOr<PrivateKey> ReadPrivateKey(const std::string& file);

absl::Time NotAfter(const X509& certificate);

// Where a certificate is shown: clients and servers do not take each other's.
enum class CertificateUse { kClient, kServer };

// What would make the other side refuse `files`, at this time (`files.key` empty: of the certificate alone).
// FailedPrecondition: expired, of another CA, for the other use, a key that is not its own; the message
// names the file. Otherwise as the readers above.
absl::Status CheckCertificate(const CertificateFiles& files, CertificateUse use, absl::Time now);

// Of what OpenSSL said last, and forgets it.
std::string OpensslError();

}  // namespace unsprawl
