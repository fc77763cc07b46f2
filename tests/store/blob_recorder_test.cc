#include "coordinator/blob_recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/ledger.h"
#include "tests/support/status_matchers.h"
#include "tests/support/store_rows.h"

namespace unsprawl {
namespace {

// More batches than are written at once, of two lists of rules.
TEST(BlobRecorderTest, EveryBlobOfEveryBatchIsRecordedWithItsOwnSize) {
  const std::unique_ptr<Ledger> ledger = NewMemoryLedger();
  const RuleListId lists[] = {*ledger->InternRules(std::vector<uint64_t>{1, 2}),
                              *ledger->InternRules(std::vector<uint64_t>{2})};
  std::vector<ObjectId> ids;
  {
    BlobRecorder recorder(*ledger);
    for (int first = 1; first < 3000; first += 7) {
      v1::BlobBatch batch = Batch({first, first + 1, first + 2, first + 3, first + 4, first + 5}, {Hit(first + 6, {{1, 0, 4, 7}})});
      for (int blob = first; blob < first + 7; ++blob) ids.push_back(BlobId(blob));
      ASSERT_THAT(recorder.Add(&batch, lists[first % 2]), IsOk());
    }
    EXPECT_THAT(recorder.Finish(), IsOk());
  }
  const auto states = ledger->Lookup(ids);
  ASSERT_THAT(states, IsOk());
  for (size_t i = 0; i < ids.size(); ++i) {
    const int blob = static_cast<int>(i) + 1, first = blob - static_cast<int>(i % 7);
    const bool hit = i % 7 == 6;
    EXPECT_EQ((*states)[i].known, hit ? BlobState::Known::kHit : BlobState::Known::kClean) << blob;
    EXPECT_EQ((*states)[i].rules, lists[first % 2]) << blob;
    EXPECT_EQ((*states)[i].bytes, hit ? 1000U : static_cast<uint64_t>(blob)) << blob;
  }
}

TEST(BlobRecorderTest, AfterAnErrorNothingIsTaken) {
  const std::unique_ptr<Ledger> ledger = NewMemoryLedger();
  BlobRecorder recorder(*ledger);
  v1::BlobBatch batch = Batch({1}, {});
  ASSERT_THAT(recorder.Add(&batch, 77), IsOk());  // There is no such list.
  const absl::Status finished = recorder.Finish();
  EXPECT_FALSE(finished.ok());
  batch = Batch({2}, {});
  EXPECT_EQ(recorder.Add(&batch, 77), finished);
}

}  // namespace
}  // namespace unsprawl
