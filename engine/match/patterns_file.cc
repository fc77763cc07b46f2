// The file of compiled patterns. It is read only by the machine that wrote it (the processor is in its
// name's hash), so numbers lie in it as in memory:
//   "UNSPHS01" · SHA-256 of the body · the body:
//   scans: count, then one RuleScan each · lines: length, bytes · wide: length, bytes
// where count and lengths are 64 bits and length 0 means that there is no such database.
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>
#include <type_traits>

#include "absl/strings/str_format.h"
#include "engine/base/object_id.h"
#include "engine/base/sha256.h"
#include "engine/match/patterns.h"

namespace unsprawl {
namespace {

constexpr std::string_view kMagic = "UNSPHS01";
// Change it when the rewriting for Hyperscan or the classes of rules change.
constexpr std::string_view kVersion = "patterns 2";

static_assert(std::is_trivially_copyable_v<RuleScan> && sizeof(RuleScan) == 12);

void AppendNumber(uint64_t number, std::string* out) {
  out->append(reinterpret_cast<const char*>(&number), sizeof(number));
}

void AppendBytes(std::string_view bytes, std::string* out) {
  AppendNumber(bytes.size(), out);
  out->append(bytes);
}

bool ReadNumber(std::string_view* in, uint64_t* number) {
  if (in->size() < sizeof(*number)) return false;
  std::memcpy(number, in->data(), sizeof(*number));
  in->remove_prefix(sizeof(*number));
  return true;
}

// Reads one database, which may be none.
bool ReadDatabase(std::string_view* in, HsDatabase* database) {
  uint64_t length;
  if (!ReadNumber(in, &length) || length > in->size()) return false;
  if (length > 0) *database = DeserializeDatabase(in->substr(0, length));
  in->remove_prefix(length);
  return length == 0 || *database != nullptr;
}

std::optional<CompiledPatterns> ReadBody(std::string_view body, size_t rules) {
  CompiledPatterns patterns;
  uint64_t count;
  if (!ReadNumber(&body, &count) || count != rules) return std::nullopt;
  if (body.size() / sizeof(RuleScan) < count) return std::nullopt;
  patterns.scans.resize(count);
  if (count > 0) std::memcpy(patterns.scans.data(), body.data(), count * sizeof(RuleScan));
  body.remove_prefix(count * sizeof(RuleScan));
  if (!ReadDatabase(&body, &patterns.lines) || !ReadDatabase(&body, &patterns.wide) || !body.empty()) {
    return std::nullopt;
  }
  return patterns;
}

std::filesystem::path FileOf(const std::filesystem::path& dir, std::string_view key) {
  return dir / absl::StrFormat("%s.hs", key);
}

}  // namespace

std::string PatternsKey(const std::vector<const Rule*>& rules) {
  std::string all;
  AppendBytes(kVersion, &all);
  AppendBytes(HyperscanPlatform(), &all);
  for (const Rule* rule : rules) {
    AppendBytes(rule->regex, &all);
    AppendBytes(rule->anchor, &all);
    AppendNumber(rule->is_named() ? 1 : 0, &all);
  }
  return ToHex(Sha256(all));
}

void SavePatterns(const CompiledPatterns& patterns, const std::filesystem::path& dir,
                  std::string_view key) {
  std::string body;
  AppendNumber(patterns.scans.size(), &body);
  body.append(reinterpret_cast<const char*>(patterns.scans.data()),
              patterns.scans.size() * sizeof(RuleScan));
  AppendBytes(patterns.lines ? SerializeDatabase(*patterns.lines) : "", &body);
  AppendBytes(patterns.wide ? SerializeDatabase(*patterns.wide) : "", &body);
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  const std::filesystem::path file = FileOf(dir, key);
  std::filesystem::path aside = file;
  aside += absl::StrFormat(".%d", getpid());
  std::ofstream out(aside, std::ios::binary);
  out << kMagic << Sha256(body) << body;
  out.close();
  if (out.good()) std::filesystem::rename(aside, file, error);
  if (!out.good() || error) std::filesystem::remove(aside, error);
}

std::optional<CompiledPatterns> LoadPatterns(const std::filesystem::path& dir, std::string_view key,
                                             size_t rules) {
  std::ifstream in(FileOf(dir, key), std::ios::binary | std::ios::ate);
  if (!in.good()) return std::nullopt;
  std::string bytes(static_cast<size_t>(in.tellg()), '\0');
  in.seekg(0).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  constexpr size_t kHeaderBytes = kMagic.size() + kSha256Bytes;
  const std::string_view view = bytes;
  if (!in.good() || bytes.size() < kHeaderBytes || !view.starts_with(kMagic)) return std::nullopt;
  const std::string_view body = view.substr(kHeaderBytes);
  if (view.substr(kMagic.size(), kSha256Bytes) != Sha256(body)) return std::nullopt;
  return ReadBody(body, rules);
}

}  // namespace unsprawl
