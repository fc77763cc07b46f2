// What a GitHub App asks with: as itself, and as one of its installations.
// https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/forges/api_client.h"
#include "coordinator/forges/token_source.h"

namespace unsprawl {

struct AppKey {
  std::string app_id;       // number, or client id
  std::string private_key;  // PEM, RSA
};

// The App's own token, valid for less than 10 minutes: a JWT signed with RS256.
// InvalidArgument: not an RSA private key in PEM.
absl::StatusOr<std::string> AppJwt(const AppKey& key, absl::Time now);

// A new JWT each time: for what no installation may ask.
std::unique_ptr<TokenSource> AppToken(AppKey key);

// Tokens of one installation, asked for through `app` (a client with an AppToken), renewed when three quarters
// of their hour are over: a run outlives it. Value() is PermissionDenied where the forge will not give one
// (no such installation, suspended, a wrong key), else fails as `app` does. ValueFor() asks each time.
std::unique_ptr<TokenSource> InstallationToken(std::string installation, std::unique_ptr<ApiClient> app);

}  // namespace unsprawl
