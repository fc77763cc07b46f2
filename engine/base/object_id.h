#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace unsprawl {

// The SHA-1 name of a git object, 20 raw bytes. A value type; order is bytewise, as in a pack index.
struct ObjectId {
  static constexpr size_t kBytes = 20;

  std::array<uint8_t, kBytes> bytes{};

  // `raw` must point to kBytes readable bytes.
  static ObjectId FromRaw(const void* raw) {
    ObjectId id;
    std::memcpy(id.bytes.data(), raw, kBytes);
    return id;
  }

  // Reads exactly 40 hexadecimal digits of either case; nullopt for anything else.
  static std::optional<ObjectId> FromHex(std::string_view hex);

  // 40 lower-case hexadecimal digits. For messages to the person at the terminal and for git's own
  // tools only: a blob id is a plain hash of content and never goes into an export or a log.
  std::string ToHex() const;

  // The raw bytes, valid as long as this object.
  std::string_view raw() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  auto operator<=>(const ObjectId&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const ObjectId& id) {
    // All of it: an index made by hand can hold any number of ids that agree in a part.
    return H::combine_contiguous(std::move(h), id.bytes.data(), id.bytes.size());
  }
};

// The ids in `packed`, kBytes each, one after the other; what is left over at its end is none.
std::vector<ObjectId> UnpackObjectIds(std::string_view packed);

// Lower-case hexadecimal of any bytes.
std::string ToHex(std::string_view bytes);

}  // namespace unsprawl
