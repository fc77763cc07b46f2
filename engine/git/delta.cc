#include "engine/git/delta.h"

#include <cstring>

namespace unsprawl {
namespace {

// Little-endian groups of seven bits, the last one without its high bit.
bool ReadSize(std::string_view bytes, size_t* at, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (*at == bytes.size()) return false;
    const uint8_t byte = static_cast<uint8_t>(bytes[(*at)++]);
    if (shift == 63 && (byte & 0x7e) != 0) return false;
    *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

// How many operand bytes the copy instruction `op` has.
int OperandBytes(uint8_t op) {
  int count = 0;
  for (int bit = 0; bit < 7; ++bit) count += (op >> bit) & 1;
  return count;
}

struct CopyInstruction {
  uint64_t offset, length;
};

// Operands of the copy instruction `op`; `at` has as many bytes as `op` has operand bits.
CopyInstruction ReadCopy(uint8_t op, const uint8_t*& at) {
  uint32_t offset = 0, length = 0;
  if (op & 0x01) offset = *at++;
  if (op & 0x02) offset |= static_cast<uint32_t>(*at++) << 8;
  if (op & 0x04) offset |= static_cast<uint32_t>(*at++) << 16;
  if (op & 0x08) offset |= static_cast<uint32_t>(*at++) << 24;
  if (op & 0x10) length = *at++;
  if (op & 0x20) length |= static_cast<uint32_t>(*at++) << 8;
  if (op & 0x40) length |= static_cast<uint32_t>(*at++) << 16;
  // Size zero means 0x10000 (gitformat-pack).
  return {offset, length == 0 ? 0x10000 : length};
}

void AddRun(uint64_t base_offset, uint64_t offset, uint64_t length, std::vector<CopyRun>* copies) {
  if (!copies->empty()) {
    CopyRun& last = copies->back();
    if (last.offset + last.length == offset && last.base_offset + last.length == base_offset) {
      last.length += length;
      return;
    }
  }
  copies->push_back({base_offset, offset, length});
}

}  // namespace

std::optional<DeltaHeader> ParseDeltaHeader(std::string_view delta) {
  DeltaHeader header{};
  if (!ReadSize(delta, &header.header_bytes, &header.base_bytes)) return std::nullopt;
  if (!ReadSize(delta, &header.header_bytes, &header.result_bytes)) return std::nullopt;
  return header;
}

bool ApplyDelta(std::string_view instructions, std::string_view base, std::span<char> out,
                std::vector<CopyRun>* copies) {
  const uint8_t* at = reinterpret_cast<const uint8_t*>(instructions.data());
  const uint8_t* const end = at + instructions.size();
  uint64_t filled = 0;
  while (at != end) {
    const uint8_t op = *at++;
    const uint64_t left = out.size() - filled;
    if (op & 0x80) {
      if (end - at < 7 && end - at < OperandBytes(op)) return false;
      const CopyInstruction copy = ReadCopy(op, at);
      if (copy.offset > base.size() || copy.length > base.size() - copy.offset) return false;
      if (copy.length > left) return false;
      std::memcpy(out.data() + filled, base.data() + copy.offset, copy.length);
      if (copies != nullptr) AddRun(copy.offset, filled, copy.length, copies);
      filled += copy.length;
    } else {
      if (op == 0 || op > left || op > end - at) return false;
      // Not memcpy: for 127 bytes at most gcc makes "rep movsq" of it, and resolving takes 10 % longer.
      std::memmove(out.data() + filled, at, op);
      at += op;
      filled += op;
    }
  }
  return filled == out.size();
}

}  // namespace unsprawl
