#include "coordinator/webhook.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "coordinator/forges/token_source.h"
#include "engine/base/status.h"
#include "worker/pause.h"

namespace unsprawl {
namespace {

constexpr int kAttempts = 3;
constexpr char kOwedNote[] = "webhook owed";  // messages, oldest first, each with a line's end after it
constexpr size_t kMaxOwed = 100;              // a receiver that is away for longer misses the oldest

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

absl::StatusOr<std::vector<std::string>> Owed(const Ledger& ledger) {
  ASSIGN_OR_RETURN(const std::optional<std::string> note, ledger.ReadNote(kOwedNote));
  std::vector<std::string> messages;
  std::istringstream lines(note.value_or(""));
  for (std::string line; std::getline(lines, line);) messages.push_back(line);
  return messages;
}

absl::Status WriteOwed(const std::vector<std::string>& messages, Ledger& ledger) {
  std::string note;
  for (const std::string& message : messages) note += message + "\n";
  RETURN_IF_ERROR(ledger.WriteNote(kOwedNote, note));
  return ledger.Flush();
}

// 0: none.
uint64_t RunOf(const std::string& message) {
  const nlohmann::json json = nlohmann::json::parse(message, nullptr, false);
  return json.is_object() ? json.value("run", uint64_t{0}) : 0;
}

absl::StatusOr<std::set<uint64_t>> FinishedRuns(const Ledger& ledger) {
  ASSIGN_OR_RETURN(const std::vector<v1::RunRecord> runs, ledger.Runs());
  std::set<uint64_t> finished;
  for (const v1::RunRecord& run : runs) {
    if (run.finished() > 0) finished.insert(run.id());
  }
  return finished;
}

absl::Status Post(const WebhookOptions& options, const std::string& secret, const std::string& message,
                  HttpClient& http, const std::atomic<bool>* stop) {
  const std::string origin = OriginOf(options.url);
  if (origin.rfind("https://", 0) != 0 && !IsLoopback(origin)) {
    return absl::InvalidArgumentError("a webhook's address must begin with https://");
  }
  HttpRequest request;
  request.method = "POST";
  request.url = options.url;
  request.body = message;
  request.headers = {{"Content-Type", "application/json"},
                     {"User-Agent", "unsprawl"},
                     {"X-Unsprawl-Event", "run_finished"},
                     {"X-Unsprawl-Signature-256", Signature(secret, request.body)}};
  absl::Status last;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    RETURN_IF_ERROR(Pause(absl::Seconds(attempt), stop));
    const absl::StatusOr<HttpResponse> response = http.Send(request);
    if (response.ok() && response->status >= 200 && response->status < 300) return absl::OkStatus();
    last = response.status();
    if (response.ok()) {
      const std::string answered = absl::StrFormat("%s answered %d", origin, response->status);
      const bool refused = response->status >= 400 && response->status < 500 && response->status != 408 &&
                           response->status != 429;
      last = refused ? absl::InvalidArgumentError(answered) : absl::UnavailableError(answered);
    }
    if (!absl::IsUnavailable(last)) return last;
  }
  return last;
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

absl::Status OweWebhook(const WebhookOptions& options, uint64_t run, const ReportTotals& report, Ledger& ledger) {
  if (options.url.empty() || (!report.changes.HasNews() && report.changes.dropped.empty())) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<std::string> owed, Owed(ledger));
  if (owed.size() >= kMaxOwed) owed.erase(owed.begin());
  owed.push_back(WebhookMessage(run, report));
  return WriteOwed(owed, ledger);
}

absl::Status SettleWebhook(const WebhookOptions& options, const NetworkOptions& network, Ledger& ledger,
                           const std::atomic<bool>* stop) {
  if (options.url.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<std::string> owed, Owed(ledger));
  if (owed.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string secret, Secret(options));
  ASSIGN_OR_RETURN(const std::set<uint64_t> finished, FinishedRuns(ledger));
  HttpClient http(network, stop);
  absl::Status refused;
  for (size_t next = 0; next < owed.size();) {
    const bool sent = finished.count(RunOf(owed[next])) > 0;
    const absl::Status posted = sent ? Post(options, secret, owed[next], http, stop) : absl::OkStatus();
    if (absl::IsInvalidArgument(posted)) {  // This one; another may be taken.
      refused = posted;
      ++next;
      continue;
    }
    RETURN_IF_ERROR(posted);
    owed.erase(owed.begin() + static_cast<ptrdiff_t>(next));
    RETURN_IF_ERROR(WriteOwed(owed, ledger));
  }
  return refused;
}

}  // namespace unsprawl
