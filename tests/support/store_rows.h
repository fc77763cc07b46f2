// Rows for ledgers in tests: everything is made from small numbers, so that tests can speak of
// them.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "store/ledger.h"

namespace unsprawl {

ObjectId BlobId(int number);        // spread over the whole space
SecretId SecretNumber(int number);  // ordered as the numbers are

struct MatchAt {
  uint64_t rule, offset;
  uint32_t length;
  int secret;
};
v1::BlobHit Hit(int blob, const std::vector<MatchAt>& matches);
v1::BlobBatch Batch(const std::vector<int>& clean, const std::vector<v1::BlobHit>& hits);
v1::Commit CommitNumber(int number);
v1::Occurrence Place(int secret, const std::string& path, int commit);

// Records the whole of a repository; fails the test on any error.
void RecordPlaces(Ledger& ledger, uint64_t repository, const std::vector<v1::Occurrence>& places,
                  const std::vector<v1::Commit>& commits, const std::string& tips = "");

// All bytes of a message, as text that is equal when the message is.
std::string Text(const google::protobuf::MessageLite& message);
// What VisitOccurrences gives: "<repository> <path> <bytes>" a row.
std::vector<std::string> Places(const Ledger& ledger, const std::vector<uint64_t>& repositories);
std::vector<std::string> CommitsOf(const Ledger& ledger, const std::vector<uint64_t>& repositories);

// One operation with fixed arguments: what it does to one ledger it does to the other.
class RandomOperation {
 public:
  RandomOperation(std::mt19937& random, int blobs, int repositories);
  void Apply(Ledger& ledger) const;
  // Applies as many of its steps as it takes until DumpRepositories gives `wanted`.
  void ApplyUntil(Ledger& ledger, const std::string& wanted, int repositories) const;

  bool records_blobs() const { return kind_ == 0; }  // which a kill may take back
  bool flushes() const {
    return kind_ == 1 || kind_ == 2 || kind_ == 4;
  }  // blobs recorded before it
  bool one_step() const { return kind_ == 0 || kind_ == 3 || kind_ == 4; }

 private:
  int kind_ = 0;  // 0 blobs, 1 a recording, 2 a run, 3 states, 4 flush
  v1::BlobBatch batch_;
  std::vector<uint64_t> rules_;
  int repository_ = 0;
  std::vector<v1::Occurrence> places_;
  std::vector<v1::Commit> commits_;
  std::vector<IncidentState> states_;
  std::string tips_;
};

// Everything that a ledger shows of blobs 0 … `blobs` - 1 and of the repositories.
std::string Dump(Ledger& ledger, int blobs, int repositories);
// Only what a commit or a flush must have made durable.
std::string DumpRepositories(Ledger& ledger, int repositories);

}  // namespace unsprawl
