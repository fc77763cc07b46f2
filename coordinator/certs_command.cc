#include "coordinator/certs_command.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/base/object_id.h"
#include "engine/base/status.h"
#include "worker/certificate.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

constexpr int kAuthorityDays = 3650;
// Clocks differ, and a certificate of the future is refused.
constexpr absl::Duration kBackdate = absl::Hours(1);
constexpr int kSerialBytes = 16;

// One pair of files, and what its certificate says.
struct Subject {
  std::string file;  // without .pem and .key
  std::string common_name;
  std::string names;  // subjectAltName, as OpenSSL's configuration files write it, sorted
  CertificateUse use = CertificateUse::kClient;
};

struct Authority {
  Certificate certificate;
  PrivateKey key;
};

fs::path PemOf(const fs::path& dir, const std::string& file) { return dir / (file + ".pem"); }
fs::path KeyOf(const fs::path& dir, const std::string& file) { return dir / (file + ".key"); }

std::string Date(absl::Time time) { return absl::FormatTime("%Y-%m-%d", time, absl::UTCTimeZone()); }

absl::Status Failed(std::string_view what, const fs::path& path) {
  return absl::UnavailableError(absl::StrFormat("cannot %s %s: %s", what, path.string(), strerror(errno)));
}

// `bytes` of an IPv4 or IPv6 address as text, in its usual form.
std::string AddressText(std::string_view bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(bytes.size() == sizeof(in_addr) ? AF_INET : AF_INET6, bytes.data(), text, sizeof text);
  return text;
}

// The address that `host` is, in its usual form; empty: it is none.
std::string AddressOf(const std::string& host) {
  char address[sizeof(in6_addr)];
  if (inet_pton(AF_INET, host.c_str(), address) == 1) return AddressText({address, sizeof(in_addr)});
  if (inet_pton(AF_INET6, host.c_str(), address) == 1) return AddressText({address, sizeof(in6_addr)});
  return "";
}

bool IsHostName(std::string_view host) {
  constexpr size_t kMaxBytes = 253;
  return !host.empty() && host.size() <= kMaxBytes && host.find("..") == std::string_view::npos &&
         host.front() != '.' && host.front() != '-' && host.back() != '.' &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

absl::StatusOr<Subject> CoordinatorSubject(const std::vector<std::string>& hosts) {
  std::set<std::string> names;
  for (const std::string& host : hosts) {
    const std::string address = AddressOf(host);
    if (address.empty() && !IsHostName(host)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: neither the name of a host nor an address (no port, no URL)", host));
    }
    names.insert(address.empty() ? "DNS:" + host : "IP:" + address);
  }
  return Subject{.file = "coordinator", .common_name = "unsprawl coordinator",
                 .names = absl::StrJoin(names, ","), .use = CertificateUse::kServer};
}

absl::StatusOr<Subject> PeerSubject(Peer::Role role, const std::string& name) {
  const std::string_view kind = RoleName(role);
  if (!IsPeerName(name)) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: not a name for %s %s (letters, digits, '.', '_', '-')", name,
                                                      role == Peer::Role::kAdmin ? "an" : "a", kind));
  }
  return Subject{.file = absl::StrFormat("%s-%s", kind, name), .common_name = absl::StrFormat("unsprawl %s", kind),
                 .names = "URI:" + PeerUri(role, name), .use = CertificateUse::kClient};
}

// All that is named, each once.
absl::StatusOr<std::vector<Subject>> SubjectsOf(const CertsOptions& options) {
  std::vector<Subject> subjects;
  if (!options.coordinator_hosts.empty()) {
    ASSIGN_OR_RETURN(Subject coordinator, CoordinatorSubject(options.coordinator_hosts));
    subjects.push_back(std::move(coordinator));
  }
  std::vector<std::pair<Peer::Role, std::string>> peers;
  for (int i = 1; i <= options.workers; ++i) peers.emplace_back(Peer::Role::kWorker, absl::StrFormat("%d", i));
  for (const std::string& name : options.worker_names) peers.emplace_back(Peer::Role::kWorker, name);
  for (const std::string& name : options.pool_names) peers.emplace_back(Peer::Role::kPool, name);
  for (const std::string& name : options.admin_names) peers.emplace_back(Peer::Role::kAdmin, name);
  for (const auto& [role, name] : peers) {
    ASSIGN_OR_RETURN(Subject peer, PeerSubject(role, name));
    const bool again = std::any_of(subjects.begin(), subjects.end(),
                                   [&](const Subject& subject) { return subject.file == peer.file; });
    if (!again) subjects.push_back(std::move(peer));
  }
  if (subjects.empty()) {
    return absl::InvalidArgumentError(
        "say for whom: --coordinator HOST, --workers N, --worker NAME, --pool NAME, --admin NAME");
  }
  return subjects;
}

absl::Status PrepareFolder(const fs::path& dir) {
  std::error_code error;
  if (!dir.parent_path().empty()) fs::create_directories(dir.parent_path(), error);
  if (!error && mkdir(dir.c_str(), 0700) == 0) return absl::OkStatus();
  if (error) return absl::UnavailableError(absl::StrFormat("cannot make %s: %s", dir.string(), error.message()));
  struct stat info = {};
  if (errno != EEXIST || stat(dir.c_str(), &info) != 0) return Failed("make", dir);
  if (!S_ISDIR(info.st_mode)) return absl::FailedPreconditionError(dir.string() + " is not a folder");
  if ((info.st_mode & 022) != 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "others can put files into %s (mode %o): chmod 700 it", dir.string(), info.st_mode & 0777));
  }
  return absl::OkStatus();
}

// Writes all of `text` to a new file, durable, then calls it `path`: at once, and never instead of another file
// unless `replace`. Until then it has no other name than a temporary one.
absl::Status WriteNew(const fs::path& path, std::string_view text, mode_t mode, bool replace) {
  std::string temporary = path.string() + ".XXXXXX";
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);  // mode 0600
  if (fd < 0) return Failed("write", path);
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       fchmod(fd, mode) == 0 && fsync(fd) == 0;
  const bool named = written && (replace ? rename(temporary.c_str(), path.c_str())
                                         : link(temporary.c_str(), path.c_str())) == 0;
  const absl::Status failed = named ? absl::OkStatus() : Failed("write", path);
  close(fd);
  if (!named || !replace) unlink(temporary.c_str());
  return failed;
}

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(bytes));
}

// The key in KeyOf, made if there is none.
absl::StatusOr<PrivateKey> ReadOrMakeKey(const fs::path& path) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(path, error))) return ReadPrivateKey(path.string());
  PrivateKey key(EVP_EC_gen("P-256"));
  CHECK(key != nullptr);
  const Bio bio(BIO_new(BIO_s_secmem()), BIO_free);
  CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  std::string pem = TextOf(bio.get());
  const absl::Status written = WriteNew(path, pem, 0600, /*replace=*/false);
  OPENSSL_cleanse(pem.data(), pem.size());
  RETURN_IF_ERROR(written);
  return key;
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()), X509_EXTENSION_free);
  CHECK(extension != nullptr);
  CHECK(X509_add_ext(certificate, extension.get(), -1) == 1);
}

// Without extensions and signature; it has no issuer yet.
Certificate Unsigned(EVP_PKEY* key, const std::string& common_name, absl::Time now, absl::Time end) {
  Certificate certificate(X509_new());
  CHECK(X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  uint8_t serial[kSerialBytes];
  CHECK(RAND_bytes(serial, sizeof serial) == 1);
  serial[0] = (serial[0] & 0x7f) | 0x40;  // positive, and of one length (RFC 5280, 4.1.2.2)
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> number(BN_bin2bn(serial, sizeof serial, nullptr), BN_free);
  CHECK(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) != nullptr);
  CHECK(ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(now - kBackdate)) != nullptr);
  CHECK(ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(end)) != nullptr);
  CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                                   reinterpret_cast<const uint8_t*>(common_name.c_str()), -1, -1, 0) == 1);
  CHECK(X509_set_pubkey(certificate.get(), key) == 1);
  return certificate;
}

absl::Status SignAndWrite(X509* certificate, const Authority& authority, const fs::path& path, bool replace) {
  if (X509_sign(certificate, authority.key.get(), EVP_sha256()) <= 0) {  // somebody's own, of a kind we do not make
    return absl::FailedPreconditionError("cannot sign with the authority's key: " + OpensslError());
  }
  const Bio bio(BIO_new(BIO_s_mem()), BIO_free);
  CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return WriteNew(path, TextOf(bio.get()), 0644, replace);
}

// The authority of `dir`, made if there is none. `text` is what to tell of it.
absl::StatusOr<Authority> ReadOrMakeAuthority(const fs::path& dir, absl::Time now, std::string* text) {
  const fs::path pem = PemOf(dir, "ca"), key_file = KeyOf(dir, "ca");
  std::error_code error;
  if (!fs::exists(pem, error)) {
    Authority authority;
    ASSIGN_OR_RETURN(authority.key, ReadOrMakeKey(key_file));
    uint8_t tag[4];
    CHECK(RAND_bytes(tag, sizeof tag) == 1);
    // Two authorities of one name are hard to tell apart, for people and for OpenSSL.
    const std::string name = "unsprawl CA " + ToHex({reinterpret_cast<const char*>(tag), sizeof tag});
    authority.certificate = Unsigned(authority.key.get(), name, now, now + absl::Hours(24) * kAuthorityDays);
    X509* certificate = authority.certificate.get();
    CHECK(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1);
    AddExtension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    AddExtension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
    AddExtension(certificate, certificate, NID_subject_key_identifier, "hash");
    RETURN_IF_ERROR(SignAndWrite(certificate, authority, pem, /*replace=*/false));
    *text = absl::StrFormat("made ca.pem, ca.key: the authority, until %s\n", Date(NotAfter(*certificate)));
    return authority;
  }
  ASSIGN_OR_RETURN(std::vector<Certificate> certificates, ReadCertificates(pem.string()));
  if (!fs::exists(key_file, error)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s is not there: certificates are made where the authority's key is", key_file.string()));
  }
  Authority authority{.certificate = std::move(certificates[0]), .key = nullptr};
  ASSIGN_OR_RETURN(authority.key, ReadPrivateKey(key_file.string()));
  if (X509_check_private_key(authority.certificate.get(), authority.key.get()) != 1) {
    OpensslError();
    return absl::FailedPreconditionError(
        absl::StrFormat("%s is not the key of %s", key_file.string(), pem.string()));
  }
  if (X509_check_ca(authority.certificate.get()) != 1) {
    return absl::FailedPreconditionError(pem.string() + " may not sign certificates: it is no authority's");
  }
  const absl::Time end = NotAfter(*authority.certificate);
  if (end <= now) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s expired on %s: make a new authority in another folder", pem.string(), Date(end)));
  }
  return authority;
}

absl::StatusOr<Certificate> MakeCertificate(const Subject& subject, const Authority& authority,
                                            const CertsOptions& options, absl::Time now) {
  ASSIGN_OR_RETURN(const PrivateKey key, ReadOrMakeKey(KeyOf(options.dir, subject.file)));
  const absl::Time end = std::min(now + absl::Hours(24) * options.days, NotAfter(*authority.certificate));
  Certificate certificate = Unsigned(key.get(), subject.common_name, now, end);
  X509* issuer = authority.certificate.get();
  CHECK(X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer)) == 1);
  AddExtension(certificate.get(), issuer, NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(certificate.get(), issuer, NID_key_usage, "critical,digitalSignature");
  AddExtension(certificate.get(), issuer, NID_ext_key_usage,
               subject.use == CertificateUse::kServer ? "serverAuth" : "clientAuth");
  AddExtension(certificate.get(), issuer, NID_subject_alt_name, subject.names);
  AddExtension(certificate.get(), issuer, NID_subject_key_identifier, "hash");
  AddExtension(certificate.get(), issuer, NID_authority_key_identifier, "keyid");
  RETURN_IF_ERROR(SignAndWrite(certificate.get(), authority, PemOf(options.dir, subject.file), options.renew));
  return certificate;
}

// As Subject::names; of other kinds none.
std::string NamesOf(const X509& certificate) {
  const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)),
      GENERAL_NAMES_free);
  std::set<std::string> found;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const auto* value =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    if (type != GEN_DNS && type != GEN_URI && type != GEN_IPADD) continue;
    const std::string bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                            static_cast<size_t>(ASN1_STRING_length(value)));
    found.insert(type == GEN_IPADD ? "IP:" + AddressText(bytes) : (type == GEN_DNS ? "DNS:" : "URI:") + bytes);
  }
  return absl::StrJoin(found, ",");
}

// What is there for `subject`, if it is what would be made. Its key may have gone where it belongs.
absl::StatusOr<Certificate> KeepCertificate(const Subject& subject, const fs::path& dir, absl::Time now) {
  const fs::path pem = PemOf(dir, subject.file), key = KeyOf(dir, subject.file);
  std::error_code error;
  const CertificateFiles files{.ca = PemOf(dir, "ca").string(),
                               .certificate = pem.string(),
                               .key = fs::exists(key, error) ? key.string() : ""};
  const absl::Status usable = CheckCertificate(files, subject.use, now);
  ASSIGN_OR_RETURN(std::vector<Certificate> certificates, ReadCertificates(pem.string()));
  if (!usable.ok()) {
    const bool expired = NotAfter(*certificates[0]) < now;
    return absl::Status(usable.code(), absl::StrFormat("%s%s", std::string(usable.message()),
                                                       expired ? ": --renew makes it anew" : ""));
  }
  const std::string names = NamesOf(*certificates[0]);
  if (names != subject.names) {
    return absl::FailedPreconditionError(absl::StrFormat("%s is for %s, not %s: --renew makes it anew",
                                                         pem.string(), names, subject.names));
  }
  return std::move(certificates[0]);
}

}  // namespace

absl::StatusOr<std::string> MakeCerts(const CertsOptions& options, absl::Time now) {
  ASSIGN_OR_RETURN(const std::vector<Subject> subjects, SubjectsOf(options));
  const fs::path dir = options.dir.has_filename() ? options.dir : options.dir.parent_path();  // without the last /
  RETURN_IF_ERROR(PrepareFolder(dir));
  std::string text;
  ASSIGN_OR_RETURN(const Authority authority, ReadOrMakeAuthority(dir, now, &text));
  for (const Subject& subject : subjects) {
    std::error_code error;
    const bool there = fs::exists(PemOf(dir, subject.file), error);
    const bool kept = there && !options.renew;
    ASSIGN_OR_RETURN(const Certificate certificate,
                     kept ? KeepCertificate(subject, dir, now) : MakeCertificate(subject, authority, options, now));
    text += absl::StrFormat("%s %s.pem, %s.key: %s, until %s\n", kept ? "kept" : there ? "renewed" : "made",
                            subject.file, subject.file, subject.names, Date(NotAfter(*certificate)));
  }
  text += absl::StrFormat(
      "In %s. ca.pem goes to every machine, a .pem and its .key to the one they are named after, ca.key to none: "
      "who has it can make workers and admins.\n",
      dir.string());
  return text;
}

}  // namespace unsprawl
