// An index from strangers over a pack of ours, its checksum made right so that more of it is believed.
#include "tests/fuzz/pack_fuzz.h"

namespace {

// A few whole objects and deltas of both kinds.
const std::string& Pack() {
  static const std::string pack = [] {
    using namespace unsprawl;
    PackWriter writer;
    const std::string delta = DeltaSize(6) + DeltaSize(9) + DeltaCopy(0, 6) + DeltaInsert("new");
    const size_t base = writer.AddWhole(ObjectType::kBlob, "whole\n");
    writer.AddOffsetDelta(base, delta, HashObject(ObjectType::kBlob, "whole\nnew"));
    writer.AddIdDelta(writer.entries()[base].id, delta, HashObject(ObjectType::kBlob, "other"));
    writer.AddWhole(ObjectType::kTree, "");
    return writer.Pack(writer.entries().size());
  }();
  return pack;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kTrailer = 2 * unsprawl::ObjectId::kBytes;
  std::string idx(reinterpret_cast<const char*>(data), size);
  if (idx.size() >= kTrailer) {
    idx.resize(idx.size() - kTrailer);
    idx += Pack().substr(Pack().size() - unsprawl::ObjectId::kBytes);
    idx += unsprawl::Sha1(idx);
  }
  unsprawl::ReadEverything(Pack(), idx);
  return 0;
}
