#include "engine/git/entry_reader.h"

#include <libdeflate.h>

#include "absl/strings/str_format.h"
#include "engine/git/delta.h"

namespace unsprawl {
namespace {

bool Fail(const PackForest& forest, uint32_t entry, std::string_view what, ReadFault* fault) {
  *fault = {ObjectFault::kDamaged, 0,
            absl::StrFormat("%s: entry at %d: %s", forest.pack().name(), forest.offset(entry), what)};
  return false;
}

bool CrcFits(const PackForest& forest, uint32_t entry) {
  const uint32_t position = forest.position(entry);
  if (!forest.index().has_crc() || position == PackForest::kNone) return true;
  const auto bytes = forest.pack().Bytes(forest.offset(entry), forest.end(entry));
  return libdeflate_crc32(0, bytes.data(), bytes.size()) == forest.index().crc(position);
}

}  // namespace

ReadFault TooLarge(uint64_t bytes, uint64_t max_bytes) {
  return {ObjectFault::kTooLarge, bytes,
          absl::StrFormat("%d bytes, the limit is %d", bytes, max_bytes)};
}

ReadFault FaultOfState(const PackForest& forest, uint32_t entry) {
  ReadFault fault;
  switch (forest.state(entry)) {
    case EntryState::kBadPlace:
      Fail(forest, entry, "outside the pack, or claimed by two objects", &fault);
      break;
    case EntryState::kBadHeader:
      Fail(forest, entry, "bad header", &fault);
      break;
    case EntryState::kBaseMissing:
      Fail(forest, entry, "its delta base is not stored", &fault);
      fault.fault = ObjectFault::kBaseMissing;
      break;
    case EntryState::kCycle:
      Fail(forest, entry, "its delta bases form a cycle", &fault);
      break;
    default:
      Fail(forest, entry, "its delta base cannot be read", &fault);
  }
  return fault;
}

bool EntryReader::Read(const PackForest& forest, uint32_t entry, std::string_view base, Buffer* out,
                       std::vector<CopyRun>* copies, ReadFault* fault) {
  EntryHeader header;
  if (!forest.pack().ParseHeader(forest.offset(entry), forest.end(entry), &header)) {
    return Fail(forest, entry, "bad header", fault);
  }
  if (header.bytes > max_object_bytes_) {
    *fault = TooLarge(header.bytes, max_object_bytes_);
    return false;
  }
  if (!CrcFits(forest, entry)) return Fail(forest, entry, "bad CRC", fault);
  if (!header.is_delta()) return InflateEntry(forest, entry, header, out, fault);

  if (!InflateEntry(forest, entry, header, &delta_, fault)) return false;
  const auto delta = ParseDeltaHeader(delta_.view());
  if (!delta) return Fail(forest, entry, "bad delta header", fault);
  if (delta->base_bytes != base.size()) {
    return Fail(forest, entry, "its delta is for a base of another size", fault);
  }
  if (delta->result_bytes > max_object_bytes_) {
    *fault = TooLarge(delta->result_bytes, max_object_bytes_);
    return false;
  }
  if (copies != nullptr) copies->clear();
  out->Reset(delta->result_bytes);
  if (!ApplyDelta(delta_.view().substr(delta->header_bytes), base, {out->data(), out->size()}, copies)) {
    return Fail(forest, entry, "bad delta", fault);
  }
  return true;
}

bool EntryReader::InflateEntry(const PackForest& forest, uint32_t entry, const EntryHeader& header,
                               Buffer* out, ReadFault* fault) {
  const auto in = forest.pack().Bytes(header.data_offset, forest.end(entry));
  if (!CanInflateTo(in.size(), header.bytes)) {
    return Fail(forest, entry, "claims more bytes than its stream can hold", fault);
  }
  out->Reset(header.bytes);
  if (!inflater_.Inflate(in, {out->data(), out->size()})) {
    return Fail(forest, entry, "bad zlib stream, or not of the size it claims", fault);
  }
  return true;
}

}  // namespace unsprawl
