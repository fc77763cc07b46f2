// A scan cut into pieces that other clones scan finds what one scan finds.
#include "engine/git/cut.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "absl/strings/str_format.h"
#include "engine/match/detector.h"
#include "tests/support/git_repo.h"
#include "tests/support/pack_writer.h"
#include "tests/support/random_history.h"
#include "tests/support/status_matchers.h"
#include "worker/scan_session.h"
#include "worker/scanner_process.h"

namespace unsprawl {
namespace {

using testing::IsEmpty;

constexpr std::string_view kRules = R"(
[[rules]]
id = "secret"
regex = '''secret [0-9]{1,3}'''
[[rules]]
id = "number"
regex = '''number [0-9]{3,12}'''
)";

const Detector& TestDetector() {
  static const auto ruleset = Ruleset::Parse(kRules, "test");
  static const auto detector = Detector::Create(*ruleset, {}, {});
  return **detector;
}

std::string Pack(const std::set<ObjectId>& ids) {
  std::string packed;
  for (const ObjectId& id : ids) packed += id.raw();
  return packed;
}

// A ledger: what was recorded of each blob, as bytes. A blob that is in `older` was scanned by another
// program without the rule "number".
struct Known {
  std::map<ObjectId, std::string> blobs;
  std::set<ObjectId> older;
};

struct Answer {
  std::map<uint32_t, std::vector<ObjectId>> pieces;  // by number
  std::map<uint32_t, uint64_t> piece_bytes;
  int piece_messages = 0;
  size_t largest_message = 0;
  v1::ScanCut cut;
  v1::ScanCompleted completed;
  std::map<uint32_t, uint64_t> recorded;  // blobs by the rules they were scanned with, BlobBatch::rules
  absl::Status failure;
  bool was_cut = false;
};

// Talks to ServeRepository as a coordinator does.
class Client {
 public:
  explicit Client(const std::filesystem::path& repository, Known& known) : known_(known) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    near_ = std::make_unique<FrameChannel>(ends[0]);
    server_ = std::thread([this, far = ends[1]] {
      FrameChannel channel(far);
      ServeRepository(channel, TestDetector(), notes_.data());
    });
    v1::ShardCommand command;
    command.mutable_open()->set_path(repository.native());
    command.mutable_open()->set_max_object_bytes(64 << 20);
    command.mutable_open()->set_threads(2);
    EXPECT_THAT(near_->Send(command), IsOk());
    v1::ShardEvent event;
    EXPECT_THAT(near_->Receive(&event), IsOk());
    EXPECT_TRUE(event.has_opened()) << event.DebugString();
  }
  ~Client() {
    near_ = nullptr;
    server_.join();
  }

  Answer Scan(uint64_t cut_bytes, const std::string& only = "") {
    v1::ShardCommand command;
    command.mutable_scan()->set_key(std::string(32, 'k'));
    command.mutable_scan()->set_cut_bytes(cut_bytes);
    command.mutable_scan()->set_only(only);
    EXPECT_THAT(near_->Send(command), IsOk());
    Answer answer;
    v1::ShardEvent event;
    while (near_->Receive(&event).ok()) {
      switch (event.event_case()) {
        case v1::ShardEvent::kLookup: AnswerLookup(event.lookup()); break;
        case v1::ShardEvent::kBlobs: Record(event.blobs(), &answer); break;
        case v1::ShardEvent::kPiece: Take(event.piece(), &answer); break;
        case v1::ShardEvent::kScanCut: answer.cut = event.scan_cut(); answer.was_cut = true; return answer;
        case v1::ShardEvent::kScanCompleted: answer.completed = event.scan_completed(); return answer;
        case v1::ShardEvent::kFailure:
          answer.failure = absl::Status(static_cast<absl::StatusCode>(event.failure().code()), event.failure().message());
          return answer;
        default: break;
      }
    }
    ADD_FAILURE() << "the scanner is gone";
    return answer;
  }

 private:
  void AnswerLookup(const v1::LookupRequest& request) {
    v1::ShardCommand command;
    v1::LookupAnswer* lookup = command.mutable_lookup();
    if (std::exchange(first_lookup_, false) && !known_.older.empty()) {
      lookup->add_known()->add_missing(TestDetector().ruleset().rules()[1].key);
    }
    for (const ObjectId& id : UnpackObjectIds(request.blobs())) {
      const bool is_known = known_.blobs.count(id) > 0;
      lookup->mutable_answers()->push_back(is_known ? 1 : known_.older.count(id) > 0 ? 2 : 0);
    }
    EXPECT_THAT(near_->Send(command), IsOk());
  }

  void Record(const v1::BlobBatch& batch, Answer* answer) {
    EXPECT_THAT(batch.skips(), IsEmpty());
    const auto add = [&](std::string_view id, const std::string& what) {
      EXPECT_TRUE(known_.blobs.emplace(ObjectId::FromRaw(id.data()), what).second) << "scanned twice";
      ++answer->recorded[batch.rules()];
    };
    for (const v1::BlobHit& hit : batch.hits()) add(hit.object_id(), hit.SerializeAsString());
    for (const ObjectId& id : UnpackObjectIds(batch.clean())) add(id.raw(), "clean");
  }

  static void Take(const v1::Piece& piece, Answer* answer) {
    EXPECT_EQ(piece.blobs().size() % ObjectId::kBytes, 0u);
    EXPECT_FALSE(piece.blobs().empty());
    const std::vector<ObjectId> ids = UnpackObjectIds(piece.blobs());
    auto& all = answer->pieces[piece.number()];
    all.insert(all.end(), ids.begin(), ids.end());
    answer->piece_bytes[piece.number()] = piece.bytes();
    ++answer->piece_messages;
    answer->largest_message = std::max(answer->largest_message, piece.blobs().size());
  }

  Known& known_;
  bool first_lookup_ = true;
  std::array<std::atomic<uint32_t>, kMaxScanThreads> notes_{};
  std::unique_ptr<FrameChannel> near_;
  std::thread server_;
};

// The blobs that git says are stored, and of those the ones that something reaches.
std::set<ObjectId> BlobsOf(GitRepo& repo, const std::string& ids) {
  std::set<ObjectId> blobs;
  std::istringstream lines(repo.Git({"cat-file", "--batch-check=%(objecttype) %(objectname)"}, ids));
  for (std::string line; std::getline(lines, line);) {
    if (line.substr(0, 5) == "blob ") blobs.insert(*ObjectId::FromHex(line.substr(5)));
  }
  return blobs;
}
std::set<ObjectId> StoredBlobs(GitRepo& repo) {
  return BlobsOf(repo, repo.Git({"cat-file", "--batch-all-objects", "--batch-check=%(objectname)"}) + "\n");
}
std::set<ObjectId> ReachableBlobs(GitRepo& repo) {
  return BlobsOf(repo, repo.Git({"rev-list", "--objects", "--no-object-names", "--all"}) + "\n");
}

// The union of all pieces; fails the test if a blob is in two of them, or the answer's sums are wrong.
std::set<ObjectId> UnionOf(const Answer& answer) {
  std::set<ObjectId> all;
  uint64_t listed = 0;
  for (const auto& piece : answer.pieces) {
    all.insert(piece.second.begin(), piece.second.end());
    listed += piece.second.size();
  }
  EXPECT_EQ(all.size(), listed) << "a blob is in two pieces";
  EXPECT_EQ(answer.cut.blobs(), listed);
  EXPECT_EQ(answer.cut.pieces(), answer.pieces.size());
  EXPECT_EQ(answer.pieces.empty() ? 0 : answer.pieces.rbegin()->first + 1, answer.pieces.size());
  return all;
}

uint64_t Sum(const std::map<uint32_t, uint64_t>& bytes) {
  uint64_t sum = 0;
  for (const auto& piece : bytes) sum += piece.second;
  return sum;
}

// A repository with several packs, loose objects, what nothing reaches, and objects that it borrows.
class CutTest : public testing::Test {
 protected:
  GitRepo& MakeRepository(uint32_t seed) {
    RandomHistoryOptions options;
    options.seed = seed;
    options.lines = 100;
    options.commits = 250;
    lender_ = std::make_unique<GitRepo>(dir_.path() / absl::StrFormat("lender%d", seed));
    MakeRandomHistory(options, *lender_);
    lender_->Git({"repack", "-adfkq", "--window=20", "--depth=6"});
    repo_ = std::make_unique<GitRepo>(dir_.path() / absl::StrFormat("repo%d", seed));
    std::ofstream(repo_->objects() / "info/alternates") << lender_->objects().native() << "\n";
    repo_->Git({"fetch", "-q", "--no-tags", lender_->path(), "+refs/*:refs/lent/*"});
    for (uint32_t part = 1; part <= 3; ++part) {
      if (part > 1) repo_->Git({"tag", "-d", "blob-tag", "blob-tag-tag", "tree-tag", "old"});
      options.seed = seed + 100 * part;
      options.commits = 80;
      MakeRandomHistory(options, *repo_);  // leaves a pack and loose objects
      const std::string loose = absl::StrFormat("secret %d\nloose %d\n", part, seed);
      repo_->Git({"update-ref", "refs/odd/loose", repo_->Git({"hash-object", "-w", "--stdin"}, loose)});
      if (part < 3) repo_->Git({"repack", "-dlq"});
    }
    return *repo_;
  }

  // A clone of what `repo` reaches, packed anew by git repack with `options`; "loose": not packed at all.
  std::filesystem::path Clone(GitRepo& repo, const std::vector<std::string>& options) {
    const std::filesystem::path clone = dir_.path() / absl::StrFormat("clone%d", ++clones_);
    unsprawl::Run(dir_.path(), {"git", "clone", "-q", "--mirror", "--no-local", repo.path(), clone});
    if (options[0] != "loose") {
      std::vector<std::string> command = {"git", "repack", "-adfq"};
      command.insert(command.end(), options.begin(), options.end());
      unsprawl::Run(clone, command);
      return clone;
    }
    std::filesystem::rename(clone / "objects/pack", clone / "packs");
    for (const auto& file : std::filesystem::directory_iterator(clone / "packs")) {
      if (file.path().extension() != ".pack") continue;
      unsprawl::Run(clone, {"sh", "-c", "git unpack-objects -q < " + file.path().native()});
    }
    return clone;
  }

  TempDir dir_;
  std::unique_ptr<GitRepo> lender_, repo_;
  int clones_ = 0;
};

TEST_F(CutTest, PiecesPartitionTheStoredBlobs) {
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    GitRepo& repo = MakeRepository(seed);
    const std::set<ObjectId> stored = StoredBlobs(repo), reachable = ReachableBlobs(repo);
    ASSERT_TRUE(std::includes(stored.begin(), stored.end(), reachable.begin(), reachable.end()));
    Known known;
    Client client(repo.path(), known);
    const Answer finest = client.Scan(1);
    ASSERT_TRUE(finest.was_cut);
    EXPECT_EQ(UnionOf(finest), stored);
    const uint64_t total = Sum(finest.piece_bytes);
    for (const uint64_t pieces : {2, 3, 7, 16, 50}) {
      const Answer answer = client.Scan(total / pieces);
      ASSERT_TRUE(answer.was_cut);
      EXPECT_EQ(UnionOf(answer), stored);
      EXPECT_EQ(Sum(answer.piece_bytes), total);
      EXPECT_LE(answer.pieces.size(), pieces + 1);
      EXPECT_GE(answer.pieces.size(), pieces / 2);
    }
    EXPECT_THAT(known.blobs, IsEmpty()) << "a cut scanned";
    EXPECT_FALSE(client.Scan(total).was_cut);
    EXPECT_EQ(known.blobs.size(), stored.size());
  }
}

TEST_F(CutTest, PiecesScannedInOtherClonesAndAWholePassFindWhatOneScanFinds) {
  for (uint32_t seed = 11; seed <= 14; ++seed) {
    GitRepo& repo = MakeRepository(seed);
    Known reference;
    Client(repo.path(), reference).Scan(0);
    const std::set<ObjectId> stored = StoredBlobs(repo);
    ASSERT_EQ(reference.blobs.size(), stored.size());
    const std::vector<std::filesystem::path> places = {
        repo.path(), Clone(repo, {"--window=50", "--depth=200"}), Clone(repo, {"--window=2", "--depth=1"}),
        Clone(repo, {"loose"})};
    Known known;
    Client whole(repo.path(), known);
    const Answer cut = whole.Scan(seed % 2 == 0 ? 3000 : 20000);
    ASSERT_TRUE(cut.was_cut);
    EXPECT_EQ(UnionOf(cut), stored);
    uint64_t passed_over = 0;
    for (const auto& [number, ids] : cut.pieces) {
      const Answer scanned = Client(places[number % places.size()], known)
                                 .Scan(0, Pack(std::set<ObjectId>(ids.begin(), ids.end())));
      EXPECT_EQ(scanned.completed.blobs_scanned(), scanned.completed.blobs());
      EXPECT_THAT(scanned.completed.skips(), IsEmpty());
      passed_over += ids.size() - scanned.completed.blobs();
    }
    EXPECT_GT(passed_over, 0u) << "what nothing reaches is in no clone";
    EXPECT_EQ(known.blobs.size() + passed_over, stored.size());
    EXPECT_EQ(whole.Scan(0).completed.blobs_scanned(), passed_over);
    EXPECT_TRUE(known.blobs == reference.blobs);
  }
}

TEST_F(CutTest, PiecesTogetherResolveAndMatchNoMoreThanOneScan) {
  GitRepo& repo = MakeRepository(21);
  repo.Git({"repack", "-adfkq", "--window=20", "--depth=8"});
  Known reference, known;
  const v1::ScanCompleted one = Client(repo.path(), reference).Scan(0).completed;
  ASSERT_LT(one.bytes_scanned(), one.bytes_resolved() / 2) << "there are hardly any deltas";
  Client client(repo.path(), known);
  const Answer cut = client.Scan(5000);
  ASSERT_GT(cut.pieces.size(), 5u);
  uint64_t resolved = 0, scanned = 0;
  for (const auto& piece : cut.pieces) {
    const Answer answer = client.Scan(0, Pack({piece.second.begin(), piece.second.end()}));
    resolved += answer.completed.bytes_resolved();
    scanned += answer.completed.bytes_scanned();
  }
  EXPECT_EQ(resolved, one.bytes_resolved());
  EXPECT_EQ(scanned, one.bytes_scanned());
  EXPECT_TRUE(known.blobs == reference.blobs);
}

TEST_F(CutTest, PiecesAreOfOneSizeAndTheSameEveryTime) {
  GitRepo& repo = MakeRepository(22);
  repo.Git({"repack", "-adfkq", "--depth=3"});
  std::vector<ObjectNumber> blobs;
  const auto store = ObjectStore::Open(repo.objects(), {.threads = 1});
  ASSERT_THAT(store, IsOk());
  for (ObjectNumber i = 0; i < (*store)->size(); ++i) {
    if ((*store)->type(i) == ObjectType::kBlob) blobs.push_back(i);
  }
  const std::vector<Piece> all = CutIntoPieces(**store, blobs, UINT64_MAX);
  ASSERT_EQ(all.size(), 1u);
  for (const uint64_t count : {2, 3, 5, 8}) {
    const uint64_t mean = all[0].bytes / count;
    const std::vector<Piece> pieces = CutIntoPieces(**store, blobs, mean + 1);
    ASSERT_EQ(pieces.size(), count);
    for (const Piece& piece : pieces) EXPECT_LE(piece.bytes, mean * 13 / 10);
    std::reverse(blobs.begin(), blobs.end());
    const auto again = ObjectStore::Open(repo.objects(), {.threads = 3});
    ASSERT_THAT(again, IsOk());
    const std::vector<Piece> same = CutIntoPieces(**again, blobs, mean + 1);
    ASSERT_EQ(same.size(), pieces.size());
    for (size_t i = 0; i < pieces.size(); ++i) EXPECT_EQ(same[i].objects, pieces[i].objects);
  }
}

TEST_F(CutTest, WhatIsKnownIsInNoPieceAndWhatIsKnownInPartIs) {
  GitRepo& repo = MakeRepository(23);
  Known known;
  Client(repo.path(), known).Scan(0);
  std::set<ObjectId> left;
  int number = 0;
  for (const auto& blob : known.blobs) {
    if (number % 3 < 2) left.insert(blob.first);
    if (number % 3 == 0) known.older.insert(blob.first);
    ++number;
  }
  for (const ObjectId& id : left) known.blobs.erase(id);
  Client client(repo.path(), known);
  const Answer cut = client.Scan(5000);
  ASSERT_TRUE(cut.was_cut);
  EXPECT_EQ(UnionOf(cut), left);
  std::map<uint32_t, uint64_t> recorded;
  for (const auto& piece : cut.pieces) {
    const Answer answer = Client(repo.path(), known).Scan(0, Pack({piece.second.begin(), piece.second.end()}));
    for (const auto& rules : answer.recorded) recorded[rules.first] += rules.second;
  }
  EXPECT_EQ(recorded[1], known.older.size());
  EXPECT_EQ(recorded[0] + recorded[1], left.size());
  EXPECT_EQ(client.Scan(1).completed.blobs_scanned(), 0u);
}

TEST_F(CutTest, AListOfAnythingCostsNoBlob) {
  GitRepo& repo = MakeRepository(24);
  const std::set<ObjectId> stored = StoredBlobs(repo);
  const ObjectId commit = *ObjectId::FromHex(repo.Git({"rev-parse", "HEAD"}));
  const std::string some = Pack({*stored.begin(), *stored.rbegin()});
  Known known;
  Client client(repo.path(), known);
  EXPECT_EQ(client.Scan(0, std::string(20, 'x') + std::string(commit.raw())).completed.blobs(), 0u);
  EXPECT_THAT(known.blobs, IsEmpty());
  const Answer twice = client.Scan(0, some + std::string(40, '\0') + some);
  EXPECT_EQ(twice.completed.blobs(), 2u);
  EXPECT_EQ(twice.completed.blobs_scanned(), 2u);
  EXPECT_EQ(known.blobs.size(), 2u);
  EXPECT_THAT(Client(repo.path(), known).Scan(0, some + "x").failure,
              FailsWith(absl::StatusCode::kInvalidArgument, testing::HasSubstr("part of an id")));
  EXPECT_EQ(client.Scan(0).completed.blobs(), stored.size());
  EXPECT_EQ(known.blobs.size(), stored.size());
}

TEST_F(CutTest, BrokenFilesAreToldByTheWholePassAlone) {
  GitRepo& repo = MakeRepository(25);
  const std::string some = Pack({*StoredBlobs(repo).begin()});
  std::ofstream(repo.objects() / "pack" / "pack-1111111111111111111111111111111111111111.idx") << "no index";
  Known known;
  Client client(repo.path(), known);
  EXPECT_THAT(client.Scan(0, some).completed.skips(), IsEmpty());
  EXPECT_THAT(client.Scan(0).completed.skips(), testing::SizeIs(1));
}

TEST_F(CutTest, NothingIsCutIntoNothing) {
  GitRepo repo(dir_.path() / "empty");
  Known known;
  Client client(repo.path(), known);
  const Answer answer = client.Scan(1);
  EXPECT_FALSE(answer.was_cut);
  EXPECT_EQ(answer.completed.blobs(), 0u);
  repo.Write("file", "secret 1\n");
  repo.Commit();
  const Answer one = Client(repo.path(), known).Scan(1);
  EXPECT_FALSE(one.was_cut);
  EXPECT_EQ(one.completed.blobs_scanned(), 1u);
}

// A blob and `length` - 1 deltas, each upon the one before. (git asks for too long what they are.)
void AddChain(PackWriter& pack, int length, const std::string& name, std::set<ObjectId>* ids) {
  std::string content = name + " number 000000";
  size_t entry = pack.AddWhole(ObjectType::kBlob, content);
  ids->insert(HashObject(ObjectType::kBlob, content));
  for (int i = 1; i < length; ++i) {
    const size_t kept = content.size() - 6;
    content = absl::StrFormat("%s number %06d", name, i);
    const std::string delta = DeltaSize(content.size()) + DeltaSize(content.size()) + DeltaCopy(0, kept) +
                              DeltaInsert(content.substr(kept));
    const ObjectId id = HashObject(ObjectType::kBlob, content);
    entry = pack.AddOffsetDelta(entry, delta, id);
    ids->insert(id);
  }
}

TEST_F(CutTest, AGiantTreeIsOnePieceInSeveralMessages) {
  GitRepo repo(dir_.path() / "giant");
  PackWriter pack;
  std::set<ObjectId> ids;
  AddChain(pack, 120'000, "giant", &ids);
  pack.Write(repo.objects());
  {
    Known known;
    const Answer alone = Client(repo.path(), known).Scan(1);
    EXPECT_FALSE(alone.was_cut);
    EXPECT_EQ(alone.completed.blobs_scanned(), 120'000u);
  }
  GitRepo two(dir_.path() / "two");
  AddChain(pack, 10, "small", &ids);
  pack.Write(two.objects());
  Known known;
  Client client(two.path(), known);
  const Answer cut = client.Scan(1'000'000);
  ASSERT_TRUE(cut.was_cut);
  EXPECT_EQ(UnionOf(cut), ids);
  ASSERT_EQ(cut.pieces.size(), 2u);
  EXPECT_EQ(cut.pieces.at(0).size(), 120'000u);
  EXPECT_EQ(cut.pieces.at(1).size(), 10u);
  EXPECT_EQ(cut.piece_messages, 4);
  EXPECT_LE(cut.largest_message, size_t{1} << 20);
}

}  // namespace
}  // namespace unsprawl
