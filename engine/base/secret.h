// The value of a secret, and the keyed ids that stand for it everywhere else.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace unsprawl {

// Borrowed raw bytes of a secret. The only type that carries them: it has no operator<<, no ToString,
// no conversion, so that they cannot slip into a log, a message or a report. Valid as long as the
// blob's content it points into.
class SecretView {
 public:
  explicit SecretView(std::string_view bytes) : bytes_(bytes) {}
  // For matching, filters and the keyed hash, inside the scanning process only.
  std::string_view Expose() const { return bytes_; }

 private:
  std::string_view bytes_;
};

// The organization's HMAC key. Never stored beside the ledger; see store/key_file.h.
struct SecretKey {
  std::array<uint8_t, 32> bytes{};
};

// 128 bits of HMAC-SHA-256(key, normalised value): the identity of a secret in store and reports.
struct SecretId {
  std::array<uint8_t, 16> bytes{};

  std::string_view raw() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  auto operator<=>(const SecretId&) const = default;
};

// The id of `secret` under `key`. The caller has normalised the value (engine/judge). Thread-safe.
SecretId Fingerprint(const SecretKey& key, SecretView secret);

// 16 bytes that tell one key from another without revealing it: HMAC(key, "unsprawl key check").
SecretId KeyCheck(const SecretKey& key);

}  // namespace unsprawl
