// A process that records is killed with SIGKILL at random moments. Whatever was acknowledged as
// durable is there, nothing half-done shows, and going on ends where an undisturbed ledger ends.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <random>

#include "store/maintenance.h"
#include "store/rocksdb_ledger.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"
#include "tests/support/store_rows.h"

namespace unsprawl {
namespace {

constexpr int kRounds = 60, kOperations = 2000, kBlobs = 300, kRepositories = 4;

RocksdbLedger::Options SmallLimits(bool ingest) {
  RocksdbLedger::Options options;
  options.blobs.buffer_rows = 60;
  options.blobs.ingest_rows = ingest ? 40 : 5000;
  options.ingest_rows = ingest ? 40 : 5000;
  options.recording_bytes = 4 << 10;
  return options;
}

// Shared with the child: how many operations it has started, and finished.
struct Progress {
  std::atomic<int> started{0}, finished{0};
};

// The same operation for parent and child.
RandomOperation Operation(int round, int number) {
  std::mt19937 random(static_cast<uint32_t>(round * kOperations + number));
  return RandomOperation(random, kBlobs, kRepositories);
}

[[noreturn]] void Work(const std::filesystem::path& store, int round, bool ingest,
                       Progress* progress) {
  auto ledger = RocksdbLedger::Open(store, SmallLimits(ingest));
  if (!ledger.ok()) _exit(3);
  for (int i = 0; i < kOperations; ++i) {
    const RandomOperation operation = Operation(round, i);
    progress->started = i + 1;
    operation.Apply(**ledger);
    if (testing::Test::HasFailure()) _exit(4);
    progress->finished = i + 1;
  }
  _exit(5);  // the operations ran out before the signal came
}

// What was flushed is known still; it may have been scanned again since.
void ExpectNoBlobIsLost(const Ledger& survivor, const Ledger& flushed) {
  std::vector<ObjectId> ids;
  for (int blob = 0; blob < kBlobs; ++blob) ids.push_back(BlobId(blob));
  const auto now = survivor.Lookup(ids), then = flushed.Lookup(ids);
  ASSERT_THAT(now, IsOk());
  for (size_t i = 0; i < ids.size(); ++i) {
    if ((*then)[i].known == BlobState::Known::kUnscanned) continue;
    EXPECT_NE((*now)[i].known, BlobState::Known::kUnscanned) << "blob " << i;
  }
}

TEST(StoreKill, AKilledWriterLosesNothingThatWasAcknowledged) {
  void* const shared =
      mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  Progress* const progress = new (shared) Progress;
  std::mt19937 random(11);
  int killed_inside = 0, cut_between = 0;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    const bool ingest = round % 2 == 0;
    TempDir dir;
    const std::filesystem::path store = dir.path() / "store";
    progress->started = progress->finished = 0;
    const pid_t child = fork();
    if (child == 0) Work(store, round, ingest, progress);
    while (progress->started == 0) usleep(200);
    usleep(random() % 60'000);
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
    const int finished = progress->finished, started = progress->started;
    if (started > finished) ++killed_inside;

    // The truth: all that was acknowledged; and the same up to the last that makes blobs durable.
    const std::unique_ptr<Ledger> truth = NewMemoryLedger(), flushed = NewMemoryLedger();
    int last_flush = 0;
    for (int i = 0; i < finished; ++i) {
      const RandomOperation operation = Operation(round, i);
      operation.Apply(*truth);
      if (operation.flushes()) last_flush = i + 1;
    }
    for (int i = 0; i < last_flush; ++i) Operation(round, i).Apply(*flushed);
    auto survivor = RocksdbLedger::Open(store, SmallLimits(ingest));
    ASSERT_THAT(survivor, IsOk());
    const auto checked = CheckStore((*survivor)->database());
    ASSERT_THAT(checked, IsOk());
    EXPECT_THAT(checked->examples, testing::IsEmpty());
    EXPECT_EQ(checked->doomed, 0u);
    ExpectNoBlobIsLost(**survivor, *flushed);
    const std::string now = DumpRepositories(**survivor, kRepositories);
    if (now != DumpRepositories(*truth, kRepositories)) {
      // Only of the operation that the signal cut may more be there: a whole step of it.
      ASSERT_GT(started, finished);
      Operation(round, finished).ApplyUntil(*truth, now, kRepositories);
      ASSERT_EQ(now, DumpRepositories(*truth, kRepositories));
      ++cut_between;
    }

    // The next process does again what was forgotten; then everything is as if nothing had
    // happened.
    for (int i = last_flush; i < finished; ++i) {
      const RandomOperation operation = Operation(round, i);
      if (operation.records_blobs()) operation.Apply(**survivor);
    }
    const RandomOperation cut = Operation(round, finished);
    if (started > finished && cut.one_step()) {
      cut.Apply(**survivor);
      cut.Apply(*truth);
    }
    ASSERT_EQ(Dump(**survivor, kBlobs, kRepositories), Dump(*truth, kBlobs, kRepositories));
  }
  munmap(shared, sizeof(Progress));
  EXPECT_GE(killed_inside, kRounds / 2);  // or the moments were not random enough to mean anything
  std::printf("%d of %d killed inside an operation, %d between its steps\n", killed_inside, kRounds,
              cut_between);
}

}  // namespace
}  // namespace unsprawl
