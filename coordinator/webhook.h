#pragma once

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "coordinator/report/report.h"
#include "store/ledger.h"
#include "worker/http_client.h"

namespace unsprawl {

struct WebhookOptions {
  std::string url;          // https, or http on this machine; empty: none
  std::string secret_file;  // what the message is signed with; empty: the variable UNSPRAWL_WEBHOOK_SECRET
};

// The message about a run: counts, and the ids of incidents that are new by a commit, reopened, or removed;
// never a value, a path, or a repository's name. docs/webhook.md has the fields.
std::string WebhookMessage(uint64_t run, const ReportTotals& report);

// Notes in the ledger that the message about a run is owed: when something is new or reopened, or when coverage
// dropped; never for backlog. To be called before the run is finished: what a run that never finishes owes is
// found again by the next.
absl::Status OweWebhook(const WebhookOptions& options, uint64_t run, const ReportTotals& report, Ledger& ledger);

// Posts what runs that have finished owe, oldest first, and strikes out what was taken; what nobody takes, or took
// without our hearing of it, is posted again by the next run. Signed: X-Unsprawl-Signature-256: sha256=<HMAC-SHA-256
// of the body, hexadecimal>. Each is tried 3 times. InvalidArgument: no secret, an unusable address. Unavailable:
// nobody took it. Cancelled: `stop`.
absl::Status SettleWebhook(const WebhookOptions& options, const NetworkOptions& network, Ledger& ledger,
                           const std::atomic<bool>* stop);

}  // namespace unsprawl
