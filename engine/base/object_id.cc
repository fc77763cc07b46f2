#include "engine/base/object_id.h"

namespace unsprawl {
namespace {

constexpr uint8_t kNoDigit = 0xff;

// By character: ids are read by the hundred thousand.
constexpr std::array<uint8_t, 256> kHexValues = [] {
  std::array<uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (uint8_t i = 0; i < 10; ++i) values['0' + i] = i;
  for (uint8_t i = 0; i < 6; ++i) values['a' + i] = values['A' + i] = 10 + i;
  return values;
}();

}  // namespace

std::optional<ObjectId> ObjectId::FromHex(std::string_view hex) {
  if (hex.size() != 2 * kBytes) return std::nullopt;
  ObjectId id;
  uint8_t all = 0;
  for (size_t i = 0; i < kBytes; ++i) {
    const uint8_t high = kHexValues[static_cast<uint8_t>(hex[2 * i])];
    const uint8_t low = kHexValues[static_cast<uint8_t>(hex[2 * i + 1])];
    all |= high | low;
    id.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  if ((all & 0xf0) != 0) return std::nullopt;  // there was a kNoDigit
  return id;
}

std::string ObjectId::ToHex() const { return unsprawl::ToHex(raw()); }

std::vector<ObjectId> UnpackObjectIds(std::string_view packed) {
  std::vector<ObjectId> ids(packed.size() / ObjectId::kBytes);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = ObjectId::FromRaw(packed.data() + i * ObjectId::kBytes);
  return ids;
}

std::string ToHex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const char c : bytes) {
    hex.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    hex.push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
  return hex;
}

}  // namespace unsprawl
