// The ledger on disk: recording new blobs, looking them up again, reading hits, opening. Times are
// CPU of the whole process (RocksDB's own threads included) beside wall; items are rows.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "engine/base/status.h"
#include "store/rocksdb_ledger.h"

namespace unsprawl {
namespace {

constexpr int kBlobs = 165'000;  // as git/git has
constexpr int kBatch = 4'000;

class Folder {
 public:
  Folder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "unsprawl-bench-XXXXXX").string();
    CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path store() const { return path_ / "store"; }

 private:
  std::filesystem::path path_;
};

std::vector<ObjectId> RandomBlobs(int count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<ObjectId> blobs(static_cast<size_t>(count));
  for (ObjectId& blob : blobs) {
    for (uint8_t& byte : blob.bytes) byte = static_cast<uint8_t>(random());
  }
  return blobs;
}

// `hits_every`: one blob in so many is a hit with two matches; 0: all are clean.
std::vector<v1::BlobBatch> Batches(const std::vector<ObjectId>& blobs, int hits_every) {
  std::vector<v1::BlobBatch> batches;
  for (size_t i = 0; i < blobs.size(); ++i) {
    if (i % kBatch == 0) batches.emplace_back();
    v1::BlobBatch& batch = batches.back();
    if (hits_every == 0 || i % static_cast<size_t>(hits_every) != 0) {
      batch.mutable_clean()->append(blobs[i].raw());
      batch.add_clean_bytes(10'000 + i % 50'000);
      continue;
    }
    v1::BlobHit& hit = *batch.add_hits();
    hit.set_object_id(std::string(blobs[i].raw()));
    for (uint64_t offset = 0; offset < 2; ++offset) {
      v1::Match& match = *hit.add_matches();
      match.set_rule(0x1234567890abcdef);
      match.set_offset(100 * offset);
      match.set_length(40);
      match.set_secret(blobs[i].raw().substr(0, 16).data(), 16);
      match.set_entropy(4.5f);
      match.set_identifier("API_KEY");
    }
  }
  return batches;
}

std::unique_ptr<RocksdbLedger> OpenLedger(const Folder& folder) {
  auto ledger = RocksdbLedger::Open(folder.store(), RocksdbLedger::Options());
  CHECK(ledger.ok());
  return *std::move(ledger);
}

void RecordAll(Ledger& ledger, const std::vector<v1::BlobBatch>& batches) {
  const std::vector<uint64_t> keys = {1, 2, 3};
  const RuleListId rules = *ledger.InternRules(keys);
  for (const v1::BlobBatch& batch : batches) CHECK(ledger.RecordBlobs(batch, rules).ok());
  CHECK(ledger.Flush().ok());
}

uint64_t BytesIn(const std::filesystem::path& folder) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".sst") bytes += entry.file_size();
  }
  return bytes;
}

void RecordNewBlobs(benchmark::State& state) {
  const std::vector<v1::BlobBatch> batches =
      Batches(RandomBlobs(kBlobs, 1), static_cast<int>(state.range(0)));
  for (auto _ : state) {
    state.PauseTiming();
    Folder folder;
    std::unique_ptr<RocksdbLedger> ledger = OpenLedger(folder);
    state.ResumeTiming();
    RecordAll(*ledger, batches);
    state.PauseTiming();
    ledger.reset();
    state.counters["bytes_per_blob"] = static_cast<double>(BytesIn(folder.store())) / kBlobs;
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kBlobs);
}
BENCHMARK(RecordNewBlobs)->Arg(0)->Arg(100)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

// Looks up batches of `range(0)` blobs, known or (range(1) = 1) unknown.
void LookUp(benchmark::State& state) {
  Folder folder;
  std::vector<ObjectId> blobs = RandomBlobs(kBlobs, 1);
  {
    std::unique_ptr<RocksdbLedger> ledger = OpenLedger(folder);
    RecordAll(*ledger, Batches(blobs, 100));
  }
  std::unique_ptr<RocksdbLedger> ledger = OpenLedger(folder);
  if (state.range(1) == 1) blobs = RandomBlobs(kBlobs, 2);
  const size_t some = static_cast<size_t>(state.range(0));
  if (state.range(2) == 1) std::sort(blobs.begin(), blobs.end());
  for (auto _ : state) {
    for (size_t at = 0; at < blobs.size(); at += some) {
      const auto states =
          ledger->Lookup(std::span(blobs).subspan(at, std::min(some, blobs.size() - at)));
      CHECK(states.ok());
      benchmark::DoNotOptimize(states->front());
    }
  }
  state.SetItemsProcessed(state.iterations() * kBlobs);
}
BENCHMARK(LookUp)
    ->ArgNames({"batch", "unknown", "sorted"})
    ->Args({4000, 0, 0})
    ->Args({4000, 1, 0})
    ->Args({4000, 0, 1})
    ->Args({kBlobs, 0, 0})
    ->Args({kBlobs, 1, 0})
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime();

void ReadHitsOfARepository(benchmark::State& state) {
  Folder folder;
  const std::vector<ObjectId> blobs = RandomBlobs(kBlobs, 1);
  std::unique_ptr<RocksdbLedger> ledger = OpenLedger(folder);
  RecordAll(*ledger, Batches(blobs, 100));
  std::vector<ObjectId> hits;
  for (size_t i = 0; i < blobs.size(); i += 100) hits.push_back(blobs[i]);
  for (auto _ : state) {
    size_t matches = 0;
    CHECK(ledger
              ->ReadHits(hits,
                         [&](const v1::BlobHit& hit) {
                           matches += static_cast<size_t>(hit.matches_size());
                         })
              .ok());
    CHECK(matches == 2 * hits.size());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(hits.size()));
}
BENCHMARK(ReadHitsOfARepository)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

void OpenAndClose(benchmark::State& state) {
  Folder folder;
  RecordAll(*OpenLedger(folder), Batches(RandomBlobs(kBlobs, 1), 100));
  for (auto _ : state) OpenLedger(folder);
}
BENCHMARK(OpenAndClose)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();

void MakeAStore(benchmark::State& state) {
  for (auto _ : state) {
    Folder folder;
    OpenLedger(folder);
  }
}
BENCHMARK(MakeAStore)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();

v1::Commit CommitOf(const ObjectId& id, size_t number) {
  v1::Commit commit;
  commit.set_id(std::string(id.raw()));
  commit.set_author_time(1'400'000'000 + static_cast<int64_t>(number) * 5000);
  commit.set_committer_time(commit.author_time() + 100);
  commit.set_author_name("Author Number " + std::to_string(number % 700));
  commit.set_author_email("author" + std::to_string(number % 700) + "@example.com");
  return commit;
}

// A repository of 80,000 commits and range(0) occurrences, recorded and read for a report.
void RecordAndReadARepository(benchmark::State& state) {
  const std::vector<ObjectId> ids = RandomBlobs(80'000, 3);
  google::protobuf::RepeatedPtrField<v1::Commit> commits;
  for (size_t i = 0; i < ids.size(); ++i) *commits.Add() = CommitOf(ids[i], i);
  Folder folder;
  std::unique_ptr<RocksdbLedger> ledger = OpenLedger(folder);
  v1::RepositoryRecord record = *ledger->OpenRepository("local:/r", "r");
  v1::Occurrence place;
  place.mutable_match()->set_rule(1);
  place.add_paths("src/some/folder/config.yml");
  const std::vector<uint64_t> all = {record.id()};
  for (auto _ : state) {
    auto recording = ledger->StartRecording(record.id());
    CHECK(recording.ok() && (*recording)->AddCommits(commits).ok());
    for (int64_t i = 0; i < state.range(0); ++i) {
      const size_t at = static_cast<size_t>(i) % ids.size();
      place.set_secret(ids[at].raw().substr(0, 16).data(), 16);
      *place.mutable_commit() = commits[at];
      CHECK((*recording)->Add(place).ok());
    }
    CHECK((*recording)->Commit(record).ok());
    int64_t rows = 0;
    CHECK(ledger->VisitOccurrences(all, [&](uint64_t, const v1::Occurrence&) { return ++rows > 0; })
              .ok());
    CHECK(rows == state.range(0));
    CHECK(ledger->VisitCommits(all, [&](const v1::Commit&) { return ++rows > 0; }).ok());
    CHECK(rows == state.range(0) + 80'000);
    state.counters["bytes_per_commit"] = static_cast<double>(BytesIn(folder.store())) / 80'000;
  }
}
BENCHMARK(RecordAndReadARepository)
    ->Arg(0)
    ->Arg(20'000)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime();

// 400,000 occurrences of 40,000 secrets in 2,000 repositories, read for a report in the order of their
// numbers (range(0) = 0) or in another one (1), as when the store grew in another order than that of names.
void ReadManyRepositories(benchmark::State& state) {
  constexpr uint64_t kRepositories = 2'000, kPlaces = 200;
  const std::vector<ObjectId> ids = RandomBlobs(40'000, 4);
  Folder folder;
  std::unique_ptr<RocksdbLedger> ledger = OpenLedger(folder);
  v1::Occurrence place;
  place.mutable_match()->set_rule(1);
  place.add_paths("src/some/folder/config.yml");
  std::mt19937_64 random(5);
  std::vector<uint64_t> order;
  for (uint64_t i = 0; i < kRepositories; ++i) {
    const std::string name = "local:/" + std::to_string(i);
    const v1::RepositoryRecord record = *ledger->OpenRepository(name, name);
    auto recording = ledger->StartRecording(record.id());
    CHECK(recording.ok());
    for (uint64_t row = 0; row < kPlaces; ++row) {
      const size_t at = random() % ids.size();
      place.set_secret(ids[at].raw().substr(0, 16).data(), 16);
      *place.mutable_commit() = CommitOf(ids[at], at);
      CHECK((*recording)->Add(place).ok());
    }
    CHECK((*recording)->Commit(record).ok());
    order.push_back(record.id());
  }
  if (state.range(0) == 1) std::shuffle(order.begin(), order.end(), random);
  for (auto _ : state) {
    int64_t rows = 0;
    CHECK(ledger->VisitOccurrences(order, [&](uint64_t, const v1::Occurrence&) { return ++rows > 0; })
              .ok());
    CHECK(rows == kRepositories * kPlaces);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRepositories * kPlaces));
}
BENCHMARK(ReadManyRepositories)
    ->ArgName("shuffled")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime();

// ---- the shard table: a run of 100,000 repositories and 1,000 workers

constexpr int kShards = 100'000, kWorkers = 1'000;

std::vector<v1::Shard> ShardsOfARun() {
  std::vector<v1::Shard> shards(kShards);
  std::mt19937_64 random(6);
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].set_run(1);
    shards[i].set_repository("github.com/" + std::to_string(i));
    // A tenth are forks, of networks of ten.
    if (i % 10 == 0) shards[i].set_group("network " + std::to_string(i / 100));
    shards[i].set_host("github.com");
    shards[i].set_size(random() % (1 << 30));
    shards[i].set_payload(std::string(200, 'x'));
  }
  return shards;
}

std::string WorkerName(int64_t i) { return "worker-" + std::to_string(i % kWorkers); }

// All shards lent, renewed once, fenced, and done, by 1,000 workers in turn; items are shards. range(0): 0 in
// memory, 1 RocksDB.
void LendAndComplete(benchmark::State& state) {
  const std::vector<v1::Shard> shards = ShardsOfARun();
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  for (auto _ : state) {
    state.PauseTiming();
    Folder folder;
    std::unique_ptr<Ledger> ledger = state.range(0) == 0 ? NewMemoryLedger() : OpenLedger(folder);
    ShardTable& table = ledger->shards();
    CHECK(table.Add(shards).ok());
    for (int i = 0; i < kWorkers; ++i) CHECK(table.Renew(WorkerName(i), {}, now).ok());
    state.ResumeTiming();
    for (int64_t i = 0; i < kShards; ++i) {
      const std::string worker = WorkerName(i);
      const auto shard = table.Acquire(worker, false, now);
      CHECK(shard.ok() && *shard);
      const ShardLease lease{worker, (*shard)->id(), (*shard)->epoch()};
      const ShardTable::Renewal renewal{lease.shard, lease.epoch, false};
      CHECK(table.Renew(worker, {&renewal, 1}, now)->front());
      CHECK(table.Fenced(lease, [] { return absl::OkStatus(); }).ok());
      CHECK(table.Complete(lease, "result", now).ok());
    }
    state.PauseTiming();
    ledger.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kShards);
}
BENCHMARK(LendAndComplete)->ArgName("rocksdb")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

// 1,000 workers turn up, all of them gone a lease time later; items are workers.
void WorkersComeAndGo(benchmark::State& state) {
  const std::unique_ptr<Ledger> ledger = NewMemoryLedger();
  ShardTable& table = ledger->shards();
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  CHECK(table.Add(ShardsOfARun()).ok());
  for (auto _ : state) {
    for (int i = 0; i < kWorkers; ++i) CHECK(table.Renew(WorkerName(i), {}, now).ok());
    now += absl::Minutes(1);
    CHECK(table.Expire(now).ok());
  }
  state.SetItemsProcessed(state.iterations() * kWorkers);
}
BENCHMARK(WorkersComeAndGo)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

void AddShards(benchmark::State& state) {
  const std::vector<v1::Shard> shards = ShardsOfARun();
  for (auto _ : state) {
    state.PauseTiming();
    Folder folder;
    std::unique_ptr<RocksdbLedger> ledger = OpenLedger(folder);
    state.ResumeTiming();
    CHECK(ledger->shards().Add(shards).ok());
    state.PauseTiming();
    ledger.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kShards);
}
BENCHMARK(AddShards)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

// Opening a store with them, up to the first lease.
void LoadShards(benchmark::State& state) {
  Folder folder;
  CHECK(OpenLedger(folder)->shards().Add(ShardsOfARun()).ok());
  for (auto _ : state) {
    std::unique_ptr<RocksdbLedger> ledger = OpenLedger(folder);
    CHECK(ledger->shards().Acquire("worker", false, absl::FromUnixSeconds(1'700'000'000)).ok());
    state.PauseTiming();
    ledger.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kShards);
}
BENCHMARK(LoadShards)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

}  // namespace
}  // namespace unsprawl
