// The ledger in memory under many threads (what it promises is in
// tests/store/ledger_conformance_test.cc).
#include <thread>

#include "absl/strings/str_format.h"
#include "store/ledger_semantics.h"
#include "tests/support/status_matchers.h"
#include "tests/support/store_rows.h"

namespace unsprawl {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST(MemoryLedger, ManyThreadsRecordAndLookUp) {
  const std::unique_ptr<Ledger> ledger = NewMemoryLedger();
  constexpr int kThreads = 4, kBlobs = 300;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&ledger, thread] {
        const std::vector<uint64_t> keys = {1, static_cast<uint64_t>(2 + thread)};
        const RuleListId rules = *ledger->InternRules(keys);
        const std::string name = absl::StrFormat("local:/%d", thread);
        const uint64_t repository = ledger->OpenRepository(name, name)->id();
        for (int blob = 0; blob < kBlobs; ++blob) {
          const v1::BlobBatch batch =
              blob % 3 == 0 ? Batch({}, {Hit(blob, {{1, 0, 4, blob}})}) : Batch({blob}, {});
          EXPECT_THAT(ledger->RecordBlobs(batch, rules), IsOk());
          const std::vector<ObjectId> ids = {BlobId(blob)};
          EXPECT_NE(ledger->Lookup(ids)->front().known, BlobState::Known::kUnscanned);
        }
        RecordPlaces(*ledger, repository, {Place(1, name, 1)}, {CommitNumber(1)});
      });
    }
  }
  int hits = 0;
  std::vector<ObjectId> ids;
  for (int blob = 0; blob < kBlobs; ++blob) ids.push_back(BlobId(blob));
  const auto states = ledger->Lookup(ids);
  ASSERT_THAT(states, IsOk());
  const auto lists = ledger->RuleLists();
  ASSERT_THAT(lists, IsOk());
  for (const BlobState& state : *states) {
    hits += state.known == BlobState::Known::kHit ? 1 : 0;
    EXPECT_THAT((*lists)[state.rules], SizeIs(1 + kThreads));  // the union of all that ran
  }
  EXPECT_EQ(hits, kBlobs / 3);
  EXPECT_THAT(Places(*ledger, {1, 2, 3, 4}), SizeIs(kThreads));
  EXPECT_THAT(CommitsOf(*ledger, {1, 2, 3, 4}), SizeIs(1));
}

TEST(LedgerSemantics, MatchesMergeByPlaceAndStaySorted) {
  const v1::BlobHit before = Hit(1, {{1, 50, 4, 1}, {2, 10, 4, 2}, {3, 10, 4, 3}});
  const v1::BlobHit found = Hit(1, {{2, 20, 4, 4}, {1, 50, 4, 5}});
  const std::vector<v1::Match> earlier(before.matches().begin(), before.matches().end());
  const std::vector<v1::Match> now(found.matches().begin(), found.matches().end());
  const std::vector<uint64_t> run = {2};
  std::vector<std::string> places;
  for (const v1::Match& match : MergeMatches(earlier, run, now)) {
    places.push_back(absl::StrFormat("%d@%d %d", match.rule(), match.offset(),
                                     static_cast<uint8_t>(match.secret()[1])));
  }
  EXPECT_THAT(places, ElementsAre("3@10 3", "2@20 4", "1@50 5"));
}

TEST(LedgerSemantics, IdsPairOnlyAtTheSameRuleAndBytes) {
  const v1::BlobHit before = Hit(1, {{1, 50, 4, 1}, {2, 10, 4, 2}, {3, 70, 4, 3}});
  const v1::BlobHit found =
      Hit(1, {{1, 50, 4, 11}, {2, 10, 5, 12}, {3, 71, 4, 13}, {4, 70, 4, 14}});
  const std::vector<v1::Match> earlier(before.matches().begin(), before.matches().end());
  const std::vector<v1::Match> now(found.matches().begin(), found.matches().end());
  EXPECT_THAT(PairIds(earlier, now), ElementsAre(std::pair(SecretNumber(1), SecretNumber(11))));
}

}  // namespace
}  // namespace unsprawl
