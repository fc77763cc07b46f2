#include "coordinator/cluster/cluster_metrics.h"

#include <algorithm>
#include <string>

#include "engine/base/object_id.h"

namespace unsprawl {

std::string ErrorWord(v1::ErrorClass error) {
  constexpr size_t kPrefix = sizeof("ERROR_CLASS_") - 1;
  const std::string& name = v1::ErrorClass_Name(error);
  return name.size() > kPrefix ? name.substr(kPrefix) : "UNSPECIFIED";
}

ClusterMetrics::ClusterMetrics()
    : failed_(CounterFamily(*registry_, "unsprawl_shards_failed_total", "Attempts that failed, by class of error")),
      parked_(CounterFamily(*registry_, "unsprawl_shards_parked_total", "Shards given up, by class of error")),
      tokens_(CounterFamily(*registry_, "unsprawl_tokens_given_total",
                            "Tokens given to workers; OK: for one repository alone, else why for more")),
      lent_(CounterFamily(*registry_, "unsprawl_shards_lent_total", "Leases that were given").Add({})),
      completed_(CounterFamily(*registry_, "unsprawl_shards_completed_total", "Shards that are done").Add({})),
      asked_(CounterFamily(*registry_, "unsprawl_blobs_asked_total", "Blobs that workers asked about").Add({})),
      known_(CounterFamily(*registry_, "unsprawl_blobs_known_total",
                           "Of them, those that were scanned before under these rules")
                 .Add({})),
      blobs_(CounterFamily(*registry_, "unsprawl_blobs_recorded_total", "Blobs with a result").Add({})),
      bytes_(CounterFamily(*registry_, "unsprawl_bytes_recorded_total", "Content of them").Add({})),
      commits_(CounterFamily(*registry_, "unsprawl_commits_recorded_total", "Commits of repositories").Add({})),
      places_(CounterFamily(*registry_, "unsprawl_places_recorded_total", "Places of secrets in histories").Add({})),
      held_seconds_(SecondsHistogram(*registry_, "unsprawl_lease_seconds", "For how long leases were held that are over")) {}

void ClusterMetrics::GaveToken(const absl::Status& scoped) {
  tokens_.Add({{"code", CodeName(static_cast<int>(scoped.code()))}}).Increment();
}

void ClusterMetrics::Failed(v1::ErrorClass error, bool parked) {
  failed_.Add({{"class", ErrorWord(error)}}).Increment();
  if (parked) parked_.Add({{"class", ErrorWord(error)}}).Increment();
}

void ClusterMetrics::Looked(const v1::LookupAnswer& answer) {
  asked_.Increment(static_cast<double>(answer.answers().size()));
  known_.Increment(static_cast<double>(std::count(answer.answers().begin(), answer.answers().end(), '\1')));
}

ClusterMetrics::Content ClusterMetrics::Of(const v1::ShardEvent& event) {
  Content content;
  content.blobs = event.blobs().clean().size() / ObjectId::kBytes + static_cast<uint64_t>(event.blobs().hits_size());
  content.bytes = event.blobs().bytes_resolved();
  content.commits = static_cast<uint64_t>(event.commits().commits_size());
  content.places = static_cast<uint64_t>(event.places().places_size());
  return content;
}

void ClusterMetrics::Took(const Content& content) {
  blobs_.Increment(static_cast<double>(content.blobs));
  bytes_.Increment(static_cast<double>(content.bytes));
  commits_.Increment(static_cast<double>(content.commits));
  places_.Increment(static_cast<double>(content.places));
}

}  // namespace unsprawl
