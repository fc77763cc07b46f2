#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "coordinator/forges/forge.h"
#include "store/ledger.h"

namespace unsprawl {

// What a forge says that a scope holds.
struct Listing {
  std::vector<v1::ForgeRepository> repositories;  // distinct by id, ascending by full_name
  // Why repositories may be missing; empty: none is.
  std::vector<std::string> incomplete;
};

// Lists `scope`: page by page, and again until a pass finds nothing new, because pages shift while they
// are read. One page is one moment, and so are many listings of one page each. Pages are kept in the ledger with their ETags and asked for conditionally: when every one is
// as it was, one pass is enough. Memory: the listing and one page. Repositories whose names cannot be
// made into a clone URL are left out and said in `incomplete`.
// `on_page` hears how many are known after each page.
// Whatever goes wrong on the way ends in `incomplete`, with what was listed until then; a listing that is
// refused or gone stops no other.
// Cancelled: the client's `stop`. An error of the ledger.
// `further`: listings that belong to the scope besides its first page.
absl::StatusOr<Listing> ListScope(const Forge& forge, const ForgeScope& scope, ApiClient& client,
                                  Ledger& ledger, absl::FunctionRef<void(size_t repositories)> on_page,
                                  const std::vector<std::string>& further = {});

// A path below a web address that means the same to every client: no dots that climb, no query, no
// control characters, nothing that needs quoting.
bool IsCleanPath(std::string_view path);

}  // namespace unsprawl
