#include "coordinator/webhook.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "coordinator/forges/token_source.h"
#include "coordinator/pause.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr int kAttempts = 3;

absl::StatusOr<std::string> Secret(const WebhookOptions& options) {
  if (!options.secret_file.empty()) return ReadTokenFile(options.secret_file);
  const char* variable = std::getenv("UNSPRAWL_WEBHOOK_SECRET");
  if (variable == nullptr || *variable == '\0') {
    return absl::InvalidArgumentError(
        "a webhook is signed: put its secret into a file (--webhook-secret-file) or UNSPRAWL_WEBHOOK_SECRET");
  }
  return std::string(variable);
}

std::string Signature(const std::string& secret, const std::string& message) {
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned bytes = 0;
  CHECK(HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
             reinterpret_cast<const uint8_t*>(message.data()), message.size(), digest, &bytes) != nullptr);
  return "sha256=" + std::string(absl::BytesToHexString({reinterpret_cast<const char*>(digest), bytes}));
}

}  // namespace

std::string WebhookMessage(uint64_t run, const ReportTotals& report) {
  const ChangeSummary& changes = report.changes;
  const nlohmann::ordered_json message = {
      {"schema", 1},
      {"event", "run_finished"},
      {"run", run},
      {"complete", report.complete},
      {"incidents", report.incidents},
      {"open", report.open},
      {"new", changes.new_by_commit},
      {"reopened", changes.reopened},
      {"removed", changes.removed},
      {"backlog", changes.new_by_rule + changes.new_by_scope + changes.reopened_backlog},
      {"coverage_dropped", changes.dropped.size()},
      {"new_ids", changes.new_ids},
      {"reopened_ids", changes.reopened_ids},
      {"removed_ids", changes.removed_ids}};
  return message.dump();
}

absl::Status SendWebhook(const WebhookOptions& options, const NetworkOptions& network, uint64_t run,
                         const ReportTotals& report, const std::atomic<bool>* stop) {
  if (options.url.empty() || (!report.changes.HasNews() && report.changes.dropped.empty())) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string secret, Secret(options));
  const std::string origin = OriginOf(options.url);
  const bool local = origin.rfind("http://localhost", 0) == 0 || origin.rfind("http://127.0.0.1", 0) == 0;
  if (origin.rfind("https://", 0) != 0 && !local) {
    return absl::InvalidArgumentError("a webhook's address must begin with https://");
  }
  HttpRequest request;
  request.method = "POST";
  request.url = options.url;
  request.body = WebhookMessage(run, report);
  request.headers = {{"Content-Type", "application/json"},
                     {"User-Agent", "unsprawl"},
                     {"X-Unsprawl-Event", "run_finished"},
                     {"X-Unsprawl-Signature-256", Signature(secret, request.body)}};
  HttpClient http(network, stop);
  absl::Status last;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    RETURN_IF_ERROR(Pause(absl::Seconds(attempt), stop));
    const absl::StatusOr<HttpResponse> response = http.Send(request);
    if (response.ok() && response->status >= 200 && response->status < 300) return absl::OkStatus();
    last = response.ok() ? absl::UnavailableError(absl::StrFormat("%s answered %d", origin, response->status))
                         : response.status();
    if (!absl::IsUnavailable(last)) return last;
  }
  return last;
}

}  // namespace unsprawl
