// Packs and their indexes written by hand: what git would never write, or not so fast. Header-only, so
// that benchmarks can use it too.
#pragma once

#include <libdeflate.h>
#include <openssl/evp.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/object_id.h"
#include "engine/base/status.h"
#include "engine/git/object.h"

namespace unsprawl {

inline std::string BigEndian(uint64_t value, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
  return out;
}

inline std::string Sha1(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  CHECK(EVP_Digest(bytes.data(), bytes.size(), digest, nullptr, EVP_sha1(), nullptr) == 1);
  return {reinterpret_cast<const char*>(digest), ObjectId::kBytes};
}

// The id git gives to an object.
inline ObjectId HashObject(ObjectType type, std::string_view content) {
  const char* const names[] = {"", "commit", "tree", "blob", "tag"};
  const std::string header =
      std::string(names[static_cast<int>(type)]) + " " + std::to_string(content.size());
  std::string bytes(header.c_str(), header.size() + 1);
  bytes += content;
  return ObjectId::FromRaw(Sha1(bytes).data());
}

inline std::string Deflate(std::string_view content, int level = 6) {
  const std::unique_ptr<libdeflate_compressor, decltype(&libdeflate_free_compressor)> compressor(
      libdeflate_alloc_compressor(level), libdeflate_free_compressor);
  std::string out(libdeflate_zlib_compress_bound(compressor.get(), content.size()), 0);
  out.resize(libdeflate_zlib_compress(compressor.get(), content.data(), content.size(), out.data(),
                                      out.size()));
  return out;
}

// ---- deltas

inline std::string DeltaSize(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

// All seven operand bytes are written, which is valid if wasteful. 0 < length < 2^24.
inline std::string DeltaCopy(uint32_t offset, uint32_t length) {
  std::string out(1, static_cast<char>(0xff));
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(offset >> shift);
  for (int shift = 0; shift < 24; shift += 8) out += static_cast<char>(length >> shift);
  return out;
}

inline std::string DeltaInsert(std::string_view text) {
  std::string out;
  for (; !text.empty(); text.remove_prefix(std::min<size_t>(text.size(), 127))) {
    const std::string_view piece = text.substr(0, 127);
    out += static_cast<char>(piece.size());
    out += piece;
  }
  return out;
}

// ---- packs

class PackWriter {
 public:
  struct Entry {
    ObjectId id;
    uint64_t offset;
    uint32_t crc;
  };

  // Each returns the number of the entry, from 0. The last argument is the id it is indexed under.
  size_t AddWhole(ObjectType type, std::string_view content) {
    return AddRaw(static_cast<int>(type), content.size(), "", Deflate(content),
                  HashObject(type, content));
  }
  size_t AddOffsetDelta(size_t base, std::string_view delta, const ObjectId& id) {
    return AddRaw(6, delta.size(), Distance(next_offset() - entries_[base].offset), Deflate(delta), id);
  }
  size_t AddIdDelta(const ObjectId& base, std::string_view delta, const ObjectId& id) {
    return AddRaw(7, delta.size(), base.raw(), Deflate(delta), id);
  }
  // `between` stands between the header and the zlib stream.
  size_t AddRaw(int type, uint64_t claimed_bytes, std::string_view between, std::string_view stream,
                const ObjectId& id) {
    std::string bytes = Header(type, claimed_bytes);
    bytes += between;
    bytes += stream;
    return AddBytes(bytes, id);
  }
  // An entry of any bytes, header included.
  size_t AddBytes(std::string_view bytes, const ObjectId& id) {
    entries_.push_back({id, next_offset(), libdeflate_crc32(0, bytes.data(), bytes.size())});
    body_ += bytes;
    return entries_.size() - 1;
  }

  uint64_t next_offset() const { return 12 + body_.size(); }
  std::vector<Entry>& entries() { return entries_; }  // to tell lies in the index

  // The bytes of the .pack, with `count` entries claimed.
  std::string Pack(uint64_t count) const {
    std::string pack = "PACK" + BigEndian(2, 4) + BigEndian(count, 4) + body_;
    return pack + Sha1(pack);
  }
  // The bytes of the .idx for a pack that ends with `pack_checksum`.
  std::string Index(std::string_view pack_checksum) const {
    std::vector<Entry> sorted = entries_;
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Entry& a, const Entry& b) { return a.id < b.id; });
    std::string index = "\377tOc" + BigEndian(2, 4);
    size_t below = 0;
    for (int bucket = 0; bucket < 256; ++bucket) {
      while (below < sorted.size() && sorted[below].id.bytes[0] <= bucket) ++below;
      index += BigEndian(below, 4);
    }
    std::string large;
    for (const Entry& entry : sorted) index += entry.id.raw();
    for (const Entry& entry : sorted) index += BigEndian(entry.crc, 4);
    for (const Entry& entry : sorted) {
      const bool is_large = entry.offset >= 0x80000000;
      index += BigEndian(is_large ? 0x80000000 | (large.size() / 8) : entry.offset, 4);
      if (is_large) large += BigEndian(entry.offset, 8);
    }
    index += large;
    index += pack_checksum;
    return index + Sha1(index);
  }
  // Writes both files into `objects_dir`/pack.
  void Write(const std::filesystem::path& objects_dir, const std::string& name = "pack-made") const {
    std::filesystem::create_directories(objects_dir / "pack");
    const std::string pack = Pack(entries_.size());
    WriteFile(objects_dir / "pack" / (name + ".pack"), pack);
    WriteFile(objects_dir / "pack" / (name + ".idx"), Index(pack.substr(pack.size() - 20)));
  }

  static void WriteFile(const std::filesystem::path& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

 private:
  static std::string Header(int type, uint64_t bytes) {
    std::string out(1, static_cast<char>(type << 4 | (bytes & 0x0f)));
    for (bytes >>= 4; bytes > 0; bytes >>= 7) {
      out.back() = static_cast<char>(out.back() | 0x80);
      out += static_cast<char>(bytes & 0x7f);
    }
    return out;
  }
  static std::string Distance(uint64_t distance) {
    std::string out(1, static_cast<char>(distance & 0x7f));
    while (distance >>= 7) out.insert(out.begin(), static_cast<char>(0x80 | (--distance & 0x7f)));
    return out;
  }

  std::string body_;
  std::vector<Entry> entries_;
};

}  // namespace unsprawl
