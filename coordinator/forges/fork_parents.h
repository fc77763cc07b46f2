#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/forges/api_client.h"
#include "store/ledger.h"
#include "unsprawl/v1/forge.pb.h"

namespace unsprawl {

// Sets `parent` of those forks among `repositories` of which the listing did not say it, to the furthest
// ancestor that GitHub's GraphQL API at `graphql_url` names: a request for every hundred of them, at most
// 100. What was learned is kept in the ledger under `scope` and not asked for again: no fork changes its
// parent. What cannot be learned stays empty; nothing but sharing depends on it.
// Cancelled: the client's stop. An error of the ledger.
// https://docs.github.com/en/graphql/reference/queries#repository
absl::Status LearnForkParents(const std::string& graphql_url, const std::string& scope, ApiClient& client,
                              Ledger& ledger, std::vector<v1::ForgeRepository>* repositories);

}  // namespace unsprawl
