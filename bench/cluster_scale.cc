// How many shards one coordinator keeps going: a real one on loopback, a stand-in forge that lists repositories, and
// workers that say what workers say without fetching or scanning anything.
//
//   UNSPRAWL_BINARY=…/unsprawl cluster_scale [REPOSITORIES [WORKERS [BLOBS-IN-STORE [SHARDS-TO-DO]]]]
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <deque>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/status.h"
#include "engine/match/ruleset.h"
#include "store/rocksdb_ledger.h"
#include "tests/support/cluster.h"
#include "tests/support/cluster_calls.h"
#include "tests/support/forge_server.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

constexpr size_t kThreads = 16;
constexpr int kAsked = 100, kRecorded = 50;  // blobs of a shard
constexpr int kBatch = 100'000;

// The same ids for the same seed.
std::string Ids(std::mt19937_64& random, int count) {
  std::string ids(static_cast<size_t>(count) * 20, '\0');
  for (char& c : ids) c = static_cast<char>(random());
  return ids;
}

void FillStore(const std::filesystem::path& store, uint64_t blobs) {
  auto ledger = RocksdbLedger::Open(store, RocksdbLedger::Options());
  CHECK(ledger.ok());
  const RuleListId rules = *(*ledger)->InternRules(Ruleset::Builtin()->keys());
  for (uint64_t i = 0; i < blobs; i += kBatch) {
    std::mt19937_64 random(i);
    v1::BlobBatch batch;
    *batch.mutable_clean() = Ids(random, static_cast<int>(std::min<uint64_t>(kBatch, blobs - i)));
    batch.mutable_clean_bytes()->Resize(static_cast<int>(batch.clean().size() / ObjectId::kBytes), 1000);
    CHECK((*ledger)->RecordBlobs(batch, rules).ok());
  }
  CHECK((*ledger)->Flush().ok());
}

double CpuSeconds(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  uint64_t user = 0, system = 0;
  std::sscanf(text.c_str() + text.rfind(')') + 2, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64,
              &user, &system);
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::string Memory(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string line, text;
  while (std::getline(status, line)) {
    if (line.starts_with("VmRSS") || line.starts_with("RssAnon") || line.starts_with("VmHWM")) text += line + "  ";
  }
  return text;
}

double Since(absl::Time start) { return absl::ToDoubleSeconds(absl::Now() - start); }

class Worker {
 public:
  Worker(const std::string& name, const std::shared_ptr<grpc::Channel>& channel) : raw_(name, channel), random_(0) {}

  void Join() { CHECK(raw_.Join().ok()); }
  // Nothing is to be fetched for it.
  void Acquire() {
    const auto lent = raw_.Acquire();
    CHECK(lent.ok());
    lease_ = lent->lease();
    Renew();
  }
  void Renew() {
    v1::RenewRequest request;
    request.set_worker(raw_.name());
    request.add_held()->set_shard(lease_.shard());
    request.mutable_held(0)->set_epoch(lease_.epoch());
    v1::RenewReply reply;
    absl::Status renewed;
    do {  // As workers do, until the connection is there again.
      renewed = raw_.Call(&v1::WorkerService::Stub::Renew, request, &reply);
    } while (absl::IsUnavailable(renewed));
    CHECK(renewed.ok() && reply.held(0));
  }
  void Carry(const std::string& known) {
    random_.seed(lease_.shard() * 1'000'003);
    const std::string unknown = Ids(random_, kAsked);
    CHECK(raw_.Begin(lease_, 1).ok());
    uint32_t sequence = 0;
    const auto tell = [&](const v1::ShardEvent& event) {
      const auto told = raw_.Tell(lease_, 1, ++sequence, event);
      if (!told.ok()) std::fprintf(stderr, "%s\n", told.status().ToString().c_str());
      CHECK(told.ok() && !told->begin_again());
    };
    for (const std::string* blobs : {&known, &unknown}) {
      v1::ShardEvent lookup;
      lookup.mutable_lookup()->set_blobs(*blobs);
      tell(lookup);
    }
    v1::ShardEvent blobs, scanned, located;
    blobs.mutable_blobs()->set_clean(unknown.substr(0, 20 * kRecorded));
    blobs.mutable_blobs()->mutable_clean_bytes()->Resize(kRecorded, 1000);
    tell(blobs);
    scanned.mutable_scan_completed()->set_blobs(kAsked);
    tell(scanned);
    located.mutable_locate_completed()->set_commits(10);
    tell(located);
    const absl::Status ended = raw_.End(lease_, v1::TargetEnd::SCANNED);
    CHECK(ended.ok());
  }

 private:
  const RawWorker raw_;
  std::mt19937_64 random_;
  v1::LeaseRef lease_;
};

v1::ClusterStatus Status(const Cluster& cluster) {
  v1::StatusRequest request;
  *request.mutable_version() = OurVersion();
  v1::ClusterStatus status;
  grpc::ClientContext context;
  CHECK(v1::AdminService::NewStub(PlainChannel(cluster.address()))->Status(&context, request, &status).ok());
  return status;
}

void RunScale(uint64_t repositories, size_t worker_count, uint64_t blobs, uint64_t shards) {
  TempDir home;
  Cli cli(home.path());
  absl::Time start = absl::Now();
  std::filesystem::create_directories(home.path() / "cluster");
  if (blobs > 0) FillStore(home.path() / "cluster" / "store", blobs);
  std::printf("store with %" PRIu64 " blobs made in %.1f s\n", blobs, Since(start));
  const ForgeServer forge({{"generate", {{"owner", "big"}, {"count", repositories}}},
                           {"tokens", {{"reader", {{"value", "reader"}, {"rate_limit", 1'000'000}}}}}});
  cli.SetVariable("GITHUB_TOKEN", "reader");
  Cluster cluster(cli, {"--api-url", forge.ApiUrl(), "--ca-file", forge.CaFile(), "--fetch-jobs", "64",
                        "--lease-seconds", "600"}, {});
  CHECK(cluster.coordinator().running());
  start = absl::Now();
  CHECK(SubmitRun(PlainChannel(cluster.address()), {"github:big"}).ok());
  while (Status(cluster).run().state() < v1::RUN_STATE_SCANNING) absl::SleepFor(absl::Milliseconds(100));
  std::printf("%" PRIu64 " repositories listed and made shards in %.1f s; %s\n", Status(cluster).pending(),
              Since(start), Memory(cluster.coordinator().pid()).c_str());

  std::deque<Worker> workers;  // They stay where they are.
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (size_t i = 0; i < kThreads; ++i) {
    grpc::ChannelArguments own = ChannelArguments();
    own.SetInt("unsprawl.scale", static_cast<int>(i));  // a connection of its own
    channels.push_back(*OpenChannel(cluster.address(), {}, absl::Now(), own));
  }
  for (size_t i = 0; i < worker_count; ++i) workers.emplace_back("w" + std::to_string(i), channels[i % kThreads]);
  const auto on_all = [&](const std::function<bool(Worker&)>& act) {
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (size_t i = t; i < workers.size(); i += kThreads) {
          if (!act(workers[i])) return;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  };
  start = absl::Now();
  on_all([](Worker& worker) {
    worker.Join();
    worker.Acquire();
    return true;
  });
  std::printf("%zu workers joined and took a lease each in %.2f s\n", worker_count, Since(start));

  std::mt19937_64 random(0);
  const std::string known = Ids(random, kAsked);
  const pid_t pid = cluster.coordinator().pid();
  const double cpu = CpuSeconds(pid);
  std::atomic<uint64_t> done = 0;
  start = absl::Now();
  while (done < shards) {
    on_all([&](Worker& worker) {
      if (done >= shards) return false;
      worker.Carry(known);
      worker.Acquire();
      ++done;
      return true;
    });
  }
  const double seconds = Since(start), used = CpuSeconds(pid) - cpu;
  const double all = static_cast<double>(done);
  std::printf("%.0f shards in %.1f s: %.0f leases/s and completions/s, %.0f blobs/s asked (half of them known), "
              "%.0f blobs/s recorded, %.2f ms CPU of the coordinator for each shard\n%s\n",
              all, seconds, all / seconds, 2 * kAsked * all / seconds, kRecorded * all / seconds, 1000 * used / all,
              Memory(pid).c_str());

  cluster.coordinator().SignalAll(SIGKILL);
  cluster.coordinator().Wait();
  start = absl::Now();
  cluster.StartCoordinator();
  const double serving = Since(start);
  on_all([](Worker& worker) {  // Until they do, all that is lent counts as being fetched.
    worker.Renew();
    return true;
  });
  const double renewed = Since(start);
  Worker late("late", PlainChannel(cluster.address()));
  late.Acquire();
  std::printf("killed and started again: it serves after %.2f s, has heard of all leases after %.2f s, lends after "
              "%.2f s; %s\n", serving, renewed, Since(start), Memory(cluster.coordinator().pid()).c_str());
}

}  // namespace
}  // namespace unsprawl

int main(int argc, char** argv) {
  const auto argument = [&](int i, uint64_t otherwise) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  setvbuf(stdout, nullptr, _IOLBF, 0);
  unsprawl::RunScale(argument(1, 100'000), argument(2, 1000), argument(3, 10'000'000), argument(4, 20'000));
}
