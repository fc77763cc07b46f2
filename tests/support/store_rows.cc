#include "tests/support/store_rows.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

int Below(std::mt19937& random, int limit) {
  return static_cast<int>(random() % static_cast<uint32_t>(limit));
}

std::string RepositoryKeyOf(int number) { return absl::StrFormat("local:/repository/%d", number); }

}  // namespace

ObjectId BlobId(int number) {
  ObjectId id;
  std::mt19937_64 random(static_cast<uint64_t>(number) + 1);
  for (uint8_t& byte : id.bytes) byte = static_cast<uint8_t>(random());
  return id;
}

SecretId SecretNumber(int number) {
  SecretId id;
  id.bytes[0] = static_cast<uint8_t>(number >> 8);
  id.bytes[1] = static_cast<uint8_t>(number);
  id.bytes[15] = 0xee;
  return id;
}

v1::BlobHit Hit(int blob, const std::vector<MatchAt>& matches) {
  v1::BlobHit hit;
  hit.set_object_id(std::string(BlobId(blob).raw()));
  hit.set_object_bytes(1000);
  for (const MatchAt& at : matches) {
    v1::Match& match = *hit.add_matches();
    match.set_rule(at.rule);
    match.set_offset(at.offset);
    match.set_length(at.length);
    match.set_secret(std::string(SecretNumber(at.secret).raw()));
    match.set_identifier("name");
  }
  return hit;
}

v1::BlobBatch Batch(const std::vector<int>& clean, const std::vector<v1::BlobHit>& hits) {
  v1::BlobBatch batch;
  for (const int blob : clean) {
    batch.mutable_clean()->append(BlobId(blob).raw());
    batch.add_clean_bytes(static_cast<uint64_t>(blob));
  }
  for (const v1::BlobHit& hit : hits) *batch.add_hits() = hit;
  return batch;
}

v1::Commit CommitNumber(int number) {
  v1::Commit commit;
  commit.set_id(std::string(BlobId(1'000'000 + number).raw()));
  commit.set_author_time(1'700'000'000 + number);
  commit.set_committer_time(1'700'000'100 + number);
  commit.set_author_name(absl::StrFormat("Author %d", number % 7));
  commit.set_author_email(absl::StrFormat("author%d@example.com", number % 7));
  return commit;
}

v1::Occurrence Place(int secret, const std::string& path, int commit) {
  v1::Occurrence place;
  place.set_secret(std::string(SecretNumber(secret).raw()));
  place.mutable_match()->set_secret(place.secret());
  place.mutable_match()->set_rule(1);
  place.add_paths(path);
  *place.mutable_commit() = CommitNumber(commit);
  place.set_presence(v1::PRESENCE_HEAD);
  place.set_blob(std::string(BlobId(commit).raw()));
  return place;
}

void RecordPlaces(Ledger& ledger, uint64_t repository, const std::vector<v1::Occurrence>& places,
                  const std::vector<v1::Commit>& commits, const std::string& tips) {
  auto recording = ledger.StartRecording(repository);
  ASSERT_THAT(recording, IsOk());
  for (const v1::Occurrence& place : places) ASSERT_THAT((*recording)->Add(place), IsOk());
  ASSERT_THAT((*recording)->AddCommits({commits.begin(), commits.end()}), IsOk());
  v1::RepositoryRecord record = **ledger.ReadRepository(repository);
  record.set_tips_digest(tips);
  ASSERT_THAT((*recording)->Commit(record), IsOk());
}

std::string Text(const google::protobuf::MessageLite& message) {
  return ToHex(message.SerializeAsString());
}

std::vector<std::string> Places(const Ledger& ledger, const std::vector<uint64_t>& repositories) {
  std::vector<std::string> rows;
  EXPECT_THAT(ledger.VisitOccurrences(repositories,
                                      [&](uint64_t repository, const v1::Occurrence& row) {
                                        rows.push_back(absl::StrFormat("%d %s %s", repository,
                                                                       row.paths(0), Text(row)));
                                        return true;
                                      }),
              IsOk());
  return rows;
}

std::vector<std::string> CommitsOf(const Ledger& ledger,
                                   const std::vector<uint64_t>& repositories) {
  std::vector<std::string> rows;
  EXPECT_THAT(ledger.VisitCommits(repositories,
                                  [&](const v1::Commit& row) {
                                    rows.push_back(Text(row));
                                    return true;
                                  }),
              IsOk());
  return rows;
}

RandomOperation::RandomOperation(std::mt19937& random, int blobs, int repositories) {
  const int dice = Below(random, 20);
  kind_ = dice < 11 ? 0 : dice < 16 ? 1 : dice < 18 ? 2 : dice < 19 ? 3 : 4;
  for (uint64_t rule = 1; rule <= 4; ++rule) {
    if (Below(random, 3) > 0) rules_.push_back(rule);
  }
  if (rules_.empty()) rules_.push_back(1);
  std::vector<int> clean;
  std::vector<v1::BlobHit> hits;
  for (int i = Below(random, 40); i > 0; --i) clean.push_back(Below(random, blobs));
  for (int i = Below(random, 8); i > 0; --i) {
    std::vector<MatchAt> matches;
    for (uint64_t offset = 0; offset < 3; ++offset) {
      if (Below(random, 2) == 0) {
        const uint64_t rule =
            rules_[static_cast<size_t>(Below(random, static_cast<int>(rules_.size())))];
        matches.push_back({rule, 10 * offset, 4, Below(random, 30)});
      }
    }
    hits.push_back(Hit(Below(random, blobs), matches));
  }
  batch_ = Batch(clean, hits);
  repository_ = Below(random, repositories);
  for (int i = Below(random, 60); i > 0; --i) {
    places_.push_back(Place(Below(random, 30), absl::StrFormat("path/%d", i), Below(random, 100)));
  }
  for (int i = Below(random, 80); i > 0; --i) commits_.push_back(CommitNumber(Below(random, 100)));
  for (int secret = 0; secret < 10; ++secret) {
    states_.push_back({SecretNumber(secret), static_cast<v1::Presence>(1 + Below(random, 4)),
                       Below(random, 2) == 0, static_cast<uint64_t>(Below(random, 2)),
                       static_cast<Cause>(Below(random, 4)), random()});
  }
  tips_ = absl::StrFormat("tips %d", random());
}

void RandomOperation::Apply(Ledger& ledger) const {
  if (kind_ == 0) {
    ASSERT_THAT(ledger.RecordBlobs(batch_, *ledger.InternRules(rules_)), IsOk());
  } else if (kind_ == 1) {
    const std::string key = RepositoryKeyOf(repository_);
    RecordPlaces(ledger, ledger.OpenRepository(key, key)->id(), places_, commits_, tips_);
  } else if (kind_ == 2) {
    v1::RunRecord run = *ledger.StartRun(v1::RunRecord());
    run.set_finished(static_cast<int64_t>(run.id()));
    ASSERT_THAT(ledger.FinishRun(run), IsOk());
  } else if (kind_ == 3) {
    const uint64_t run = ledger.Runs()->size() + 1;
    ASSERT_THAT(ledger.RecordIncidentStates(run, states_), IsOk());
  } else {
    ASSERT_THAT(ledger.Flush(), IsOk());
  }
}

void RandomOperation::ApplyUntil(Ledger& ledger, const std::string& wanted,
                                 int repositories) const {
  const std::string key = RepositoryKeyOf(repository_);
  if (kind_ == 1) {
    const uint64_t id = ledger.OpenRepository(key, key)->id();
    if (DumpRepositories(ledger, repositories) == wanted) return;
    RecordPlaces(ledger, id, places_, commits_, tips_);
  } else if (kind_ == 2) {
    v1::RunRecord run = *ledger.StartRun(v1::RunRecord());
    if (DumpRepositories(ledger, repositories) == wanted) return;
    run.set_finished(static_cast<int64_t>(run.id()));
    ASSERT_THAT(ledger.FinishRun(run), IsOk());
  }
}

std::string DumpRepositories(Ledger& ledger, int repositories) {
  std::string text;
  std::vector<uint64_t> ids;
  const auto records = ledger.Repositories();
  EXPECT_THAT(records, IsOk());
  for (const v1::RepositoryRecord& record : *records) {
    ids.push_back(record.id());
    text += absl::StrFormat("repository %s\n", Text(record));
  }
  EXPECT_LE(ids.size(), static_cast<size_t>(repositories));
  for (const std::string& row : Places(ledger, ids)) text += row + "\n";
  for (const std::string& row : CommitsOf(ledger, ids)) text += row + "\n";
  for (const uint64_t id : ids) {
    text += absl::StrFormat("alone: %d places\n", Places(ledger, {id}).size());
  }
  const auto runs = ledger.Runs();
  EXPECT_THAT(runs, IsOk());
  for (const v1::RunRecord& run : *runs) text += absl::StrFormat("run %s\n", Text(run));
  return text;
}

std::string Dump(Ledger& ledger, int blobs, int repositories) {
  std::string text = DumpRepositories(ledger, repositories);
  std::vector<ObjectId> ids;
  for (int blob = 0; blob < blobs; ++blob) ids.push_back(BlobId(blob));
  const auto lists = ledger.RuleLists();
  const auto states = ledger.Lookup(ids);
  EXPECT_THAT(states, IsOk());
  for (size_t i = 0; i < ids.size(); ++i) {
    text += absl::StrFormat("blob %d of %d known %d", i, (*states)[i].bytes,
                            static_cast<int>((*states)[i].known));
    if ((*states)[i].known != BlobState::Known::kUnscanned) {
      for (const uint64_t rule : (*lists)[(*states)[i].rules]) text += absl::StrFormat(" %d", rule);
    }
    text += "\n";
  }
  EXPECT_THAT(ledger.ReadHits(ids, [&](const v1::BlobHit& hit) { text += Text(hit) + "\n"; }),
              IsOk());
  const auto histories = ledger.IncidentHistories(SecretId(), 1000);
  EXPECT_THAT(histories, IsOk());
  for (const IncidentHistory& history : *histories) {
    for (const auto& [run, state] : history.rows) {
      text += absl::StrFormat("%s %d %d %d %d %d %d\n", ToHex(history.secret.raw()), run,
                              static_cast<int>(state.presence), state.open, state.repositories,
                              static_cast<int>(state.cause), state.rule);
    }
  }
  return text;
}

}  // namespace unsprawl
