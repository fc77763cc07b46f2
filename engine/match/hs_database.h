// A set of patterns compiled by Hyperscan for block mode, and how it is written down.
#pragma once

#include <hs/hs.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace unsprawl {

struct HsScratchDeleter {
  void operator()(hs_scratch_t* scratch) const { hs_free_scratch(scratch); }
};
using HsScratch = std::unique_ptr<hs_scratch_t, HsScratchDeleter>;

struct HsDatabaseDeleter {
  void operator()(hs_database_t* database) const { hs_free_database(database); }
};
// Immutable once made; scanned by many threads, each with a scratch of its own.
using HsDatabase = std::unique_ptr<hs_database_t, HsDatabaseDeleter>;

struct HsExpression {
  std::string text;
  unsigned flags = 0;  // HS_FLAG_*
  unsigned id = 0;     // reported for a match
};

// Widths of the matches of one expression, bytes.
struct HsWidth {
  uint32_t min = 0;
  uint32_t max = UINT32_MAX;  // UINT32_MAX: unbounded
};

// InvalidArgument: Hyperscan's words about an expression it does not take.
absl::StatusOr<HsWidth> ExpressionWidth(const HsExpression& expression);

// Compiles `expressions` for this machine. InvalidArgument: refused; *refused is then the index of the
// expression at fault, or nullopt if none is named. FailedPrecondition: a processor without SSSE3.
absl::StatusOr<HsDatabase> CompileDatabase(std::span<const HsExpression> expressions,
                                           std::optional<size_t>* refused);

// Bytes that Deserialize reads back on a machine of the same kind with the same Hyperscan.
std::string SerializeDatabase(const hs_database_t& database);
// Null if Hyperscan refuses the bytes (its own version, platform and CRC checks).
HsDatabase DeserializeDatabase(std::string_view bytes);

// Names this Hyperscan and the features of this processor: databases differ when it differs.
std::string HyperscanPlatform();

// Adds to *scratch what `database` needs. `database` may be null.
void GrowScratch(const hs_database_t* database, HsScratch* scratch);

}  // namespace unsprawl
