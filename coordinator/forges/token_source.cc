#include "coordinator/forges/token_source.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/private_file.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr size_t kMaxTokenBytes = 8 << 10;

class Static final : public TokenSource {
 public:
  Static(std::string name, std::string value) : name_(std::move(name)), value_(std::move(value)) {}
  const std::string& name() const override { return name_; }
  std::string identity() const override { return "value " + value_; }
  absl::StatusOr<std::string> Value(absl::Time, bool renew) override {
    if (renew) return absl::PermissionDeniedError(name_ + " was refused");
    return value_;
  }
  absl::Time expires() const override { return absl::InfiniteFuture(); }

 private:
  const std::string name_, value_;
};

}  // namespace

absl::StatusOr<GivenToken> TokenSource::ValueFor(const std::string& /*repository*/, absl::Time now) {
  ASSIGN_OR_RETURN(std::string value, Value(now, false));
  return GivenToken{std::move(value), absl::UnimplementedError(name() + " is for all that it was made for")};
}

std::unique_ptr<TokenSource> StaticToken(std::string name, std::string value) {
  return std::make_unique<Static>(std::move(name), std::move(value));
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& file) {
  RETURN_IF_ERROR(CheckPrivate(file));
  std::ifstream opened(file);
  std::string token;
  std::getline(opened, token);
  while (!token.empty() && (token.back() == ' ' || token.back() == '\r' || token.back() == '\t')) token.pop_back();
  const bool printable = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!opened || token.empty() || token.size() > kMaxTokenBytes || !printable) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: its first line is not a token", file));
  }
  return token;
}

}  // namespace unsprawl
