// Files that rules of paths alone found, as rows: what a worker says of them is checked.
#include "coordinator/occurrence_writer.h"

#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class OccurrenceWriterTest : public testing::Test {
 protected:
  v1::PlaceBatch::Place File(const std::string& path) const {
    v1::PlaceBatch::Place place;
    place.add_paths(path);
    place.set_presence(v1::PRESENCE_HEAD);
    place.set_blob(std::string(20, 'b'));
    place.mutable_match()->set_rule(ruleset_.FindById("file")->key);
    place.mutable_match()->set_secret(std::string(16, 's'));
    return place;
  }
  absl::Status Write(const v1::PlaceBatch::Place& place) {
    v1::PlaceBatch batch;
    *batch.add_places() = place;
    return writer_.Write(batch, *recording_);
  }

  const Ruleset ruleset_ =
      Ruleset::Parse("[[rules]]\nid = 'file'\npath = 'p12$'\n[[rules]]\nid = 'value'\nregex = 'abc'\n", "test").value();
  const std::unique_ptr<Ledger> ledger_ = NewMemoryLedger();
  const v1::RepositoryRecord record_ = ledger_->OpenRepository("local:/a", "a").value();
  std::unique_ptr<Ledger::Recording> recording_ = ledger_->StartRecording(record_.id()).value();
  OccurrenceWriter writer_{ruleset_, *ledger_};
};

TEST_F(OccurrenceWriterTest, AFileIsARowAndNothingButItsIdsIsBelieved) {
  v1::PlaceBatch::Place place = File("a.p12");
  place.set_secret(7), place.set_target(9);  // of no meaning here
  place.mutable_match()->set_preview("a value");
  place.mutable_match()->set_identifier("\x1b[2J");
  place.mutable_match()->set_flags(~0u);
  place.mutable_match()->set_length(1 << 30);
  ASSERT_THAT(Write(place), IsOk());
  ASSERT_THAT(recording_->Commit(record_), IsOk());
  std::vector<v1::Occurrence> rows;
  const std::vector<uint64_t> ids = {record_.id()};
  const auto visit = [&rows](uint64_t, const v1::Occurrence& row) { return rows.push_back(row), true; };
  ASSERT_THAT(ledger_->VisitOccurrences(ids, visit), IsOk());
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].secret(), std::string(16, 's'));
  EXPECT_EQ(rows[0].blob(), std::string(20, 'b'));
  EXPECT_THAT(rows[0].paths(), ElementsAre("a.p12"));
  v1::Match match;
  match.set_rule(ruleset_.FindById("file")->key);
  match.set_start_line(1), match.set_start_column(1), match.set_end_line(1), match.set_end_column(1);
  EXPECT_EQ(rows[0].match().SerializeAsString(), match.SerializeAsString());
  EXPECT_TRUE(writer_.identifiers().empty());
}

TEST_F(OccurrenceWriterTest, WhatCannotBeIsRefused) {
  const auto with = [this](auto change) {
    v1::PlaceBatch::Place place = File("a.p12");
    change(&place);
    return Write(place);
  };
  using Place = v1::PlaceBatch::Place;
  EXPECT_THAT(with([this](Place* place) { place->mutable_match()->set_rule(ruleset_.FindById("value")->key); }),
              FailsWith(absl::StatusCode::kInternal, HasSubstr("none of paths alone")));
  EXPECT_THAT(with([](Place* place) { place->mutable_match()->set_rule(77); }),
              FailsWith(absl::StatusCode::kInternal, HasSubstr("none of paths alone")));
  EXPECT_THAT(with([](Place* place) { place->set_blob("short"); }),
      FailsWith(absl::StatusCode::kInternal, HasSubstr("5 bytes")));
  EXPECT_THAT(with([](Place* place) { place->mutable_match()->set_secret("short"); }),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("secret id")));
  EXPECT_THAT(with([](Place* place) { place->set_presence(static_cast<v1::Presence>(9)); }),
              FailsWith(absl::StatusCode::kInternal, HasSubstr("presence 9")));
  EXPECT_THAT(with([](Place* place) { place->clear_match(); }), FailsWith(absl::StatusCode::kInternal, HasSubstr("not given")));
  EXPECT_THAT(with([](Place* place) { place->mutable_commit()->set_id("x"); }),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("commit id")));
}

}  // namespace
}  // namespace unsprawl
