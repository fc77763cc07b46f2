#include "coordinator/forges/fork_parents.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_format.h"
#include "coordinator/forges/json_fields.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr size_t kForksPerRequest = 100;
constexpr size_t kMaxRequests = 100;  // of one run: it takes few, and another day comes
constexpr char kAncestors[] = "{databaseId parent{databaseId parent{databaseId parent{databaseId}}}}";

// Asks for all of them at once, each under its number.
std::string Query(std::span<v1::ForgeRepository* const> forks) {
  std::string query = "query{";
  for (size_t i = 0; i < forks.size(); ++i) {
    const std::string& name = forks[i]->full_name();
    const size_t slash = name.find('/');
    query += absl::StrFormat("r%d:repository(owner:%s,name:%s)%s ", i, Json(name.substr(0, slash)).dump(),
                             Json(name.substr(std::min(name.size(), slash + 1))).dump(), kAncestors);
  }
  return Json{{"query", query + "}"}}.dump();
}

std::string FurthestAncestor(const Json& repository) {
  std::string furthest;
  for (const Json* at = &Child(repository, "parent"); !at->empty(); at = &Child(*at, "parent")) {
    furthest = IdField(*at, "databaseId");
  }
  return furthest;
}

}  // namespace

absl::Status LearnForkParents(const std::string& graphql_url, const std::string& scope, ApiClient& client,
                              Ledger& ledger, std::vector<v1::ForgeRepository>* repositories) {
  const std::string note_name = absl::StrFormat("forks %s %s", client.base_url(), scope);
  v1::ForkNote note;
  ASSIGN_OR_RETURN(const auto stored, ledger.ReadNote(note_name));
  if (stored && !note.ParseFromString(*stored)) note.Clear();
  auto& known = *note.mutable_parents();
  std::vector<v1::ForgeRepository*> unknown;
  for (v1::ForgeRepository& repository : *repositories) {
    if (!repository.fork() || !repository.parent().empty()) continue;
    if (const auto found = known.find(repository.id()); found != known.end()) {
      repository.set_parent(found->second);
    } else {
      unknown.push_back(&repository);
    }
  }
  if (unknown.empty()) return absl::OkStatus();
  for (size_t begin = 0, sent = 0; begin < unknown.size() && sent < kMaxRequests; begin += kForksPerRequest, ++sent) {
    const auto forks = std::span(unknown).subspan(begin, std::min(kForksPerRequest, unknown.size() - begin));
    const absl::StatusOr<HttpResponse> response = client.TryPost(graphql_url, Query(forks));
    if (absl::IsCancelled(response.status())) return response.status();
    if (!response.ok()) break;
    const absl::StatusOr<Json> body = ParseBody(*response);
    if (!body.ok()) break;
    const Json& data = Child(*body, "data");
    for (size_t i = 0; i < forks.size(); ++i) {
      const Json& repository = Child(data, absl::StrFormat("r%d", i));
      if (IdField(repository, "databaseId") != forks[i]->id()) continue;  // Renamed since, or withheld.
      forks[i]->set_parent(FurthestAncestor(repository));
      known[forks[i]->id()] = forks[i]->parent();
    }
  }
  return ledger.WriteNote(note_name, note.SerializeAsString());
}

}  // namespace unsprawl
