#include "engine/match/hs_database.h"

#include <cstdlib>
#include <vector>

#include "absl/strings/str_format.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

struct HsErrorDeleter {
  void operator()(hs_compile_error_t* error) const { hs_free_compile_error(error); }
};
using HsError = std::unique_ptr<hs_compile_error_t, HsErrorDeleter>;

hs_platform_info_t ThisPlatform() {
  hs_platform_info_t platform = {};
  CHECK(hs_populate_platform(&platform) == HS_SUCCESS);
  return platform;
}

}  // namespace

absl::StatusOr<HsWidth> ExpressionWidth(const HsExpression& expression) {
  hs_expr_info_t* info = nullptr;
  hs_compile_error_t* raw_error = nullptr;
  if (hs_expression_info(expression.text.c_str(), expression.flags, &info, &raw_error) != HS_SUCCESS) {
    const HsError error(raw_error);
    return absl::InvalidArgumentError(absl::StrFormat("Hyperscan: %s", error->message));
  }
  const HsWidth width{info->min_width, info->max_width};
  std::free(info);
  return width;
}

absl::StatusOr<HsDatabase> CompileDatabase(std::span<const HsExpression> expressions,
                                           std::optional<size_t>* refused) {
  *refused = std::nullopt;
  if (hs_valid_platform() != HS_SUCCESS) {
    return absl::FailedPreconditionError("Hyperscan needs a processor with SSSE3");
  }
  std::vector<const char*> texts;
  std::vector<unsigned> flags, ids;
  for (const HsExpression& expression : expressions) {
    texts.push_back(expression.text.c_str());
    flags.push_back(expression.flags);
    ids.push_back(expression.id);
  }
  const hs_platform_info_t platform = ThisPlatform();
  hs_database_t* database = nullptr;
  hs_compile_error_t* raw_error = nullptr;
  if (hs_compile_multi(texts.data(), flags.data(), ids.data(), static_cast<unsigned>(texts.size()),
                       HS_MODE_BLOCK, &platform, &database, &raw_error) != HS_SUCCESS) {
    const HsError error(raw_error);
    if (error->expression >= 0) *refused = static_cast<size_t>(error->expression);
    return absl::InvalidArgumentError(absl::StrFormat("Hyperscan: %s", error->message));
  }
  return HsDatabase(database);
}

std::string SerializeDatabase(const hs_database_t& database) {
  char* bytes = nullptr;
  size_t length = 0;
  CHECK(hs_serialize_database(&database, &bytes, &length) == HS_SUCCESS);
  std::string result(bytes, length);
  std::free(bytes);
  return result;
}

HsDatabase DeserializeDatabase(std::string_view bytes) {
  hs_database_t* database = nullptr;
  if (hs_deserialize_database(bytes.data(), bytes.size(), &database) != HS_SUCCESS) return nullptr;
  return HsDatabase(database);
}

std::string HyperscanPlatform() {
  const hs_platform_info_t platform = ThisPlatform();
  return absl::StrFormat("%s tune %d features %x", hs_version(), platform.tune,
                         platform.cpu_features);
}

void GrowScratch(const hs_database_t* database, HsScratch* scratch) {
  if (database == nullptr) return;
  hs_scratch_t* raw = scratch->release();
  const hs_error_t error = hs_alloc_scratch(database, &raw);
  scratch->reset(raw);
  CHECK(error == HS_SUCCESS);  // Only out of memory or a foreign database end here.
}

}  // namespace unsprawl
