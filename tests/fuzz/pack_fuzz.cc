// Entries of a pack from strangers, under an index that is right about where they lie: the input is a
// sequence of entries, each a length of two bytes, a first byte of its id, and its bytes.
#include "tests/fuzz/pack_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using unsprawl::ObjectId;
  unsprawl::PackWriter pack;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  for (int count = 0; input.size() > 3 && count < 200; ++count) {
    ObjectId id;
    id.bytes[0] = static_cast<uint8_t>(input[2]);
    const size_t length = static_cast<uint8_t>(input[0]) << 8 | static_cast<uint8_t>(input[1]);
    const std::string_view bytes = input.substr(3, length);
    input.remove_prefix(3 + bytes.size());
    if (!bytes.empty()) pack.AddBytes(bytes, id);
  }
  const std::string bytes = pack.Pack(pack.entries().size());
  unsprawl::ReadEverything(bytes, pack.Index(bytes.substr(bytes.size() - ObjectId::kBytes)));
  return 0;
}
