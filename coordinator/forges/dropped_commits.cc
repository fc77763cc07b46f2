#include "coordinator/forges/dropped_commits.h"

#include <string>
#include <utility>

#include "coordinator/forges/json_fields.h"
#include "coordinator/forges/listing.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr size_t kMaxDropped = 500;       // of one list
constexpr int64_t kClockSlack = 24 * 3600;  // between ours and a forge's, seconds

// Appends what the listing at `page` names since `since`, seconds since the epoch. False: it names more.
absl::StatusOr<bool> ListSince(const RemoteSource& source, std::string page, int64_t since,
                               v1::DroppedCommits* dropped) {
  size_t left = kMaxDropped;
  while (!page.empty()) {
    const absl::StatusOr<HttpResponse> response = source.client->Get(page, source.forge->Headers());
    // Not every token may ask, and not every server can be asked; the refs are covered anyway.
    if (absl::IsPermissionDenied(response.status()) || absl::IsNotFound(response.status())) return true;
    if (!response.ok()) return response.status();
    ASSIGN_OR_RETURN(const Json list, ParseBody(*response));
    if (!list.is_array() || list.empty()) return true;
    for (const Json& drop : list) {
      const int64_t time = TimeField(drop, "timestamp");
      if (time != 0 && time < since) return true;
      if (left-- == 0) return false;
      dropped->add_ids(TextField(drop, "before"));
    }
    page = NextLink(*response);
  }
  return true;
}

}  // namespace

absl::StatusOr<v1::DroppedCommits> ListDroppedCommits(const RemoteTarget& target, const v1::FetchNote& before,
                                                      int64_t now) {
  // Nobody knows when a clock was right that was ahead.
  const bool known = before.dropped_asked() && before.checked_at() <= now;
  const int64_t since = known ? before.checked_at() - kClockSlack : 0;
  v1::DroppedCommits dropped;
  for (const std::string& path : target.DroppedCommitsPaths()) {
    const absl::StatusOr<bool> whole = ListSince(*target.source, path, since, &dropped);
    if (absl::IsCancelled(whole.status()) || absl::IsDeadlineExceeded(whole.status())) return whole.status();
    if (!whole.ok()) return v1::DroppedCommits();
    if (!*whole) dropped.set_cut(true);
  }
  dropped.set_asked(true);
  return dropped;
}

}  // namespace unsprawl
