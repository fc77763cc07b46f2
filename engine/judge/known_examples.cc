#include <algorithm>
#include <iterator>

#include "engine/base/sha256.h"
#include "engine/judge/value_shape.h"

namespace unsprawl {
namespace {

// The first 8 bytes, big endian, of the SHA-256 of values printed as examples in public documents: AWS's
// key pairs, the default token of jwt.io, Stripe's and Cloudflare's documentation, the fixed keys of
// Azure's storage and Cosmos emulators, the examples of RFC 6749, 6750 and 7617. Sorted.
constexpr uint64_t kExamples[] = {
    0x0011cc25eb432071, 0x0e9d220616f08345, 0x1a5d44a2dca19669, 0x2cafc0970149a84f,
    0x2cd1f6f312c5f208, 0x5e6a8235e121de87, 0x687da00b09c83361, 0x6c96130f130ab0d6,
    0x73f71af093fdf154, 0x78314b11be2e5815, 0x7f75367e78812551, 0x94eb7a80f07d44a4,
    0x976b57ee8acdfcf4, 0x9c846fdf0fa8955c, 0xaa6547439583c3a2, 0xad62d48d8b069026,
    0xad71fb4165536675, 0xb8e148545b13c78b, 0xbdfeaef44475711c, 0xc6ea27c534f993d3,
    0xcf4d418ed3de92d7, 0xda816f9f2c16e6c5, 0xe21b597ba6b9cafa, 0xe4da07ad200089ce,
    0xf2d6ca16515033e5,
};

}  // namespace

bool IsKnownExample(std::string_view secret) {
  // AWS ends all of its documented keys so.
  for (const std::string_view suffix : {"EXAMPLE", "EXAMPLEKEY"}) {
    if (secret.size() > suffix.size() && secret.substr(secret.size() - suffix.size()) == suffix) return true;
  }
  const std::string digest = Sha256(secret);
  uint64_t prefix = 0;
  for (size_t i = 0; i < 8; ++i) prefix = prefix << 8 | static_cast<uint8_t>(digest[i]);
  return std::binary_search(std::begin(kExamples), std::end(kExamples), prefix);
}

}  // namespace unsprawl
