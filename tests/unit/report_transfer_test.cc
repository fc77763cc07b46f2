// A report between a coordinator and who fetches it, without a network.
#include "coordinator/cluster/report_transfer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/support/cli.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ReportTransferTest : public testing::Test {
 protected:
  ReportTransferTest() { Write('a'); }

  // A report whose every byte is `letter`, in place of the one that is there.
  void Write(char letter) const {
    fs::create_directories(there_);
    for (const auto& [name, size] : std::map<std::string, size_t>{
             {"empty", 0}, {"large", (5 << 20) + 7}, {"manifest.json", 9}, {"megabyte", 1 << 20}, {"z", 1}}) {
      WriteFile(home_.path() / "new", std::string(size, letter));
      fs::rename(home_.path() / "new", there_ / name);
    }
  }
  static std::map<std::string, std::string> Files(const fs::path& dir) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(dir)) files[entry.path().filename()] = ReadFile(entry.path());
    return files;
  }
  // One call, whose connection breaks after `chunks`.
  absl::Status Fetch(ReportDownload& download, int chunks = 1000) {
    const v1::RunRequest request = download.Request();
    absl::Status taken;
    const absl::Status sent = SendReport(7, there_, request.from(), [&](const v1::ReportChunk& chunk) {
      if (chunks-- == 0) return false;
      sent_ += chunk.content().size();
      last_file_ = chunk.file().empty() ? last_file_ : chunk.file();
      taken = download.Take(chunk);
      return taken.ok();
    });
    return taken.ok() ? sent : taken;
  }
  static v1::ReportChunk Chunk(const std::string& file, const std::string& content) {
    v1::ReportChunk chunk;
    chunk.set_file(file);
    chunk.set_content(content);
    return chunk;
  }

  TempDir home_;
  const fs::path there_ = home_.path() / "there", here_ = home_.path() / "here";
  uint64_t sent_ = 0;
  std::string last_file_;
};

TEST_F(ReportTransferTest, WhereverItBreaksItGoesOnThere) {
  for (int chunks = 2; chunks <= 12; ++chunks) {  // One is what a place may answer with, where a file ends.
    SCOPED_TRACE(chunks);
    fs::remove_all(here_);
    sent_ = 0;
    ReportDownload download(0, here_);
    int calls = 1;
    for (uint64_t before = 0; !Fetch(download, chunks).ok() && calls < 30; ++calls, before = download.farthest()) {
      EXPECT_GE(download.farthest(), before);
    }
    ASSERT_THAT(download.Publish(), IsOk());
    EXPECT_TRUE(Files(here_) == Files(there_));
    EXPECT_EQ(sent_, download.farthest());  // No byte twice.
    EXPECT_EQ(calls > 1, chunks < 10);
    EXPECT_EQ(last_file_, "manifest.json");
    EXPECT_EQ(download.Request().run(), 7U);
  }
}

TEST_F(ReportTransferTest, OneThatIsReplacedMeanwhileIsFetchedFromItsBeginning) {
  ReportDownload download(7, here_);
  EXPECT_FALSE(Fetch(download, 4).ok());
  Write('b');
  ASSERT_THAT(Fetch(download), IsOk());
  ASSERT_THAT(download.Publish(), IsOk());
  EXPECT_TRUE(Files(here_) == Files(there_));
  // While it is sent.
  ReportDownload other(7, here_);
  const absl::Status sent = SendReport(7, there_, {}, [&](const v1::ReportChunk& chunk) {
    if (chunk.file() == "large") Write('c');
    return other.Take(chunk).ok();
  });
  EXPECT_THAT(sent, FailsWith(absl::StatusCode::kUnavailable, HasSubstr("is being replaced")));
  ASSERT_THAT(Fetch(other), IsOk());
  ASSERT_THAT(other.Publish(), IsOk());
  EXPECT_TRUE(Files(here_) == Files(there_));
}

TEST_F(ReportTransferTest, TheFolderIsAsItWasUntilAllHasCome) {
  fs::create_directory(here_);
  WriteFile(here_ / "large", "of an earlier run");
  const auto before = Files(here_);
  {
    ReportDownload download(7, here_);
    EXPECT_FALSE(Fetch(download, 9).ok());
    EXPECT_EQ(ReadFile(here_ / "large"), "of an earlier run");
  }
  EXPECT_EQ(Files(here_), before);
}

// It says nothing of places and sizes, and always begins at the first file.
TEST_F(ReportTransferTest, ACoordinatorOfBeforeIsUnderstood) {
  ReportDownload download(7, here_);
  for (int call = 0; call < 3; ++call) {
    EXPECT_FALSE(download.Request().has_from());
    ASSERT_THAT(download.Take(Chunk("a", "one")), IsOk());
    ASSERT_THAT(download.Take(Chunk("", "two")), IsOk());
    EXPECT_EQ(download.farthest(), 6U);
  }
  ASSERT_THAT(download.Take(Chunk("b", "")), IsOk());
  ASSERT_THAT(download.Publish(), IsOk());
  EXPECT_EQ(Files(here_), (std::map<std::string, std::string>{{"a", "onetwo"}, {"b", ""}}));
}

TEST_F(ReportTransferTest, WhatNoCoordinatorSaysIsRefused) {
  for (const char* name : {"../a", "b/a", "/a", ".", ".."}) {
    EXPECT_THAT(ReportDownload(7, here_).Take(Chunk(name, "")), FailsWith(absl::StatusCode::kDataLoss, HasSubstr("name")));
  }
  EXPECT_THAT(ReportDownload(7, here_).Take(Chunk("", "content")), FailsWith(absl::StatusCode::kDataLoss, HasSubstr("no file")));
  EXPECT_THAT(ReportDownload(7, here_).Publish(), FailsWith(absl::StatusCode::kDataLoss, HasSubstr("without files")));
  ReportDownload shortened(7, here_);
  v1::ReportChunk chunk = Chunk("a", "12");
  chunk.set_report("r");
  chunk.set_size(3);
  ASSERT_THAT(shortened.Take(chunk), IsOk());
  EXPECT_THAT(shortened.Publish(), FailsWith(absl::StatusCode::kDataLoss, HasSubstr("2 bytes have come, of 3")));
  EXPECT_THAT(shortened.Take(Chunk("b", "")), FailsWith(absl::StatusCode::kDataLoss, HasSubstr("2 bytes have come, of 3")));
}

TEST_F(ReportTransferTest, APlaceThatThereIsNotIsRefused) {
  v1::ReportPlace place;
  const auto keep = [&](const v1::ReportChunk& chunk) {
    if (!chunk.report().empty()) place.set_report(chunk.report());
    return true;
  };
  ASSERT_THAT(SendReport(7, there_, {}, keep), IsOk());
  for (const auto& [file, offset] : std::map<std::string, uint64_t>{{"large", 6 << 20}, {"z", UINT64_MAX}, {"none", 0}}) {
    place.set_file(file);
    place.set_offset(offset);
    EXPECT_THAT(SendReport(7, there_, place, keep), FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("place")));
  }
  place.set_report("another");
  EXPECT_THAT(SendReport(7, there_, place, keep), IsOk());
}

}  // namespace
}  // namespace unsprawl
