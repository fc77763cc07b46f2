#include "engine/git/inflater.h"

#include <libdeflate.h>
#include <zlib.h>

#include "engine/base/status.h"

namespace unsprawl {

Inflater::Inflater() : decompressor_(libdeflate_alloc_decompressor()) {
  CHECK(decompressor_ != nullptr);
}
Inflater::~Inflater() = default;

void Inflater::Release::operator()(libdeflate_decompressor* decompressor) const {
  libdeflate_free_decompressor(decompressor);
}

bool Inflater::Inflate(std::span<const uint8_t> in, std::span<char> out) {
  size_t consumed;
  // A null actual_out makes libdeflate insist on exactly out.size() bytes.
  return libdeflate_zlib_decompress_ex(decompressor_.get(), in.data(), in.size(), out.data(),
                                       out.size(), &consumed, nullptr) == LIBDEFLATE_SUCCESS;
}

size_t InflatePrefix(std::span<const uint8_t> in, std::span<char> out) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return 0;
  stream.next_in = const_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = inflate(&stream, Z_SYNC_FLUSH);
  const size_t written = out.size() - stream.avail_out;
  inflateEnd(&stream);
  // Z_BUF_ERROR: no more input or output, which is what a prefix means.
  return result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR ? written : 0;
}

}  // namespace unsprawl
