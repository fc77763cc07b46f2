#include "engine/base/secret.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstring>

#include "engine/base/status.h"

namespace unsprawl {
namespace {

SecretId TruncatedHmac(const SecretKey& key, std::string_view message) {
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned int digest_bytes = 0;
  CHECK(HMAC(EVP_sha256(), key.bytes.data(), static_cast<int>(key.bytes.size()),
             reinterpret_cast<const uint8_t*>(message.data()), message.size(), digest,
             &digest_bytes) != nullptr);
  SecretId id;
  CHECK(digest_bytes >= id.bytes.size());
  std::memcpy(id.bytes.data(), digest, id.bytes.size());
  return id;
}

}  // namespace

SecretId Fingerprint(const SecretKey& key, SecretView secret) {
  return TruncatedHmac(key, secret.Expose());
}

SecretId KeyCheck(const SecretKey& key) { return TruncatedHmac(key, "unsprawl key check"); }

}  // namespace unsprawl
