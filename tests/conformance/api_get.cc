// Asks GitHub's API as unsprawl does, with its client, its forge and its parser, and prints a line of JSON for each
// page: where it came from in the end, and the repositories that it names. For the checks in .ci/conformance.
//
// usage: api_get BASE_URL PATH
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/forges/api_client.h"
#include "coordinator/forges/forge.h"
#include "coordinator/forges/json_fields.h"
#include "coordinator/forges/token_source.h"

namespace unsprawl {
namespace {

// The server of recorded answers has none for other words than those of the recording.
const HttpHeaders kRecordedHeaders = {{"Accept", "application/vnd.github.v3+json"}};
HttpHeaders RecordedAuthorization(const std::string& token) { return {{"Authorization", "token " + token}}; }

nlohmann::json Described(const HttpResponse& response) {
  const absl::StatusOr<Json> body = ParseBody(response);
  nlohmann::json repositories = nlohmann::json::array();
  if (body.ok()) {
    for (const Json& one : body->is_array() ? *body : Json::array({*body})) {
      const v1::ForgeRepository repository = GitHub().ParseRepository({}, one);
      repositories.push_back({{"id", repository.id()},
                              {"name", repository.full_name()},
                              {"clone_path", repository.clone_path()},
                              {"default_branch", repository.default_branch()},
                              {"visibility", repository.visibility()},
                              {"pushed_at", repository.pushed_at()}});
    }
  }
  return {{"url", response.url},
          {"etag", std::string(response.header("etag"))},
          {"next", NextLink(response)},
          {"repositories", repositories}};
}

int Main(const std::string& base_url, std::string page) {
  std::vector<std::unique_ptr<TokenSource>> tokens;
  tokens.push_back(StaticToken("recorded", std::string(39, '0') + "1"));
  ApiClient client(base_url, std::move(tokens), RecordedAuthorization, {});
  while (!page.empty()) {
    const absl::StatusOr<HttpResponse> response = client.Get(page, kRecordedHeaders);
    if (!response.ok()) {
      std::cout << nlohmann::json({{"error", response.status().ToString()}}) << "\n";
      return 1;
    }
    std::cout << Described(*response) << "\n";
    page = NextLink(*response);
  }
  return 0;
}

}  // namespace
}  // namespace unsprawl

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  return unsprawl::Main(argv[1], argv[2]);
}
