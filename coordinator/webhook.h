#pragma once

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "coordinator/http_client.h"
#include "coordinator/report/report.h"

namespace unsprawl {

struct WebhookOptions {
  std::string url;          // https, or http on this machine; empty: none
  std::string secret_file;  // what the message is signed with; empty: the variable UNSPRAWL_WEBHOOK_SECRET
};

// The message about a run: counts, and the ids of incidents that are new by a commit, reopened, or removed;
// never a value, a path, or a repository's name. docs/webhook.md has the fields.
std::string WebhookMessage(uint64_t run, const ReportTotals& report);

// Posts the message when something is new or reopened, or when coverage dropped; does nothing otherwise, and
// nothing for backlog. Signed: X-Unsprawl-Signature-256: sha256=<HMAC-SHA-256 of the body, hexadecimal>.
// Tried 3 times. InvalidArgument: no secret, an unusable address. Unavailable: nobody took it.
absl::Status SendWebhook(const WebhookOptions& options, const NetworkOptions& network, uint64_t run,
                         const ReportTotals& report, const std::atomic<bool>* stop);

}  // namespace unsprawl
