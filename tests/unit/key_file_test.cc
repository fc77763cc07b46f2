#include "store/key_file.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class KeyFileTest : public testing::Test {
 protected:
  KeyFileTest() {
    unsetenv("UNSPRAWL_KEY");
    unsetenv("CREDENTIALS_DIRECTORY");
    setenv("XDG_CONFIG_HOME", dir_.path().c_str(), 1);
  }
  ~KeyFileTest() override {
    unsetenv("UNSPRAWL_KEY");
    unsetenv("CREDENTIALS_DIRECTORY");
  }

  std::string Read(const std::filesystem::path& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  TempDir dir_;
  const std::filesystem::path path_ = dir_.path() / "sub" / "key";
};

TEST_F(KeyFileTest, AMissingKeyIsMadeOnceAndForItsOwnerOnly) {
  EXPECT_THAT(LoadKey(path_), FailsWith(absl::StatusCode::kNotFound, HasSubstr("sub/key")));
  const auto first = LoadOrCreateKey(path_);
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(LoadOrCreateKey(path_)->current.bytes, first->current.bytes);
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(path_.parent_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_NE(LoadOrCreateKey(dir_.path() / "other")->current.bytes, first->current.bytes);
}

TEST_F(KeyFileTest, TheDefaultPlaceIsTheConfigurationFolder) {
  ASSERT_THAT(LoadOrCreateKey(), IsOk());
  EXPECT_TRUE(std::filesystem::exists(dir_.path() / "unsprawl" / "key"));
}

TEST_F(KeyFileTest, AFileOpenToOthersIsRefused) {
  ASSERT_THAT(CreateKeyFile(path_), IsOk());
  for (const mode_t mode : {0640, 0604, 0620}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    EXPECT_THAT(LoadOrCreateKey(path_),
                FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("open to others")));
  }
  ASSERT_EQ(chmod(path_.c_str(), 0400), 0);
  EXPECT_THAT(LoadOrCreateKey(path_), IsOk());
}

TEST_F(KeyFileTest, AnotherFileIsNotTakenForAKey) {
  for (const std::string text :
       {"", "hello\n", "unsprawl key 1\n", "unsprawl key 1\nabc\n", "unsprawl key 2\n"}) {
    std::ofstream(dir_.path() / "odd") << text;
    ASSERT_EQ(chmod((dir_.path() / "odd").c_str(), 0600), 0);
    EXPECT_THAT(LoadOrCreateKey(dir_.path() / "odd"),
                FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("odd")))
        << text;
    EXPECT_EQ(Read(dir_.path() / "odd"), text);  // left alone
  }
  std::filesystem::create_directory(dir_.path() / "folder");
  EXPECT_THAT(LoadOrCreateKey(dir_.path() / "folder"),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("not a file")));
}

TEST_F(KeyFileTest, ErrorsNeverShowWhatIsInTheFile) {
  const std::string almost = std::string(63, '7');
  std::ofstream(dir_.path() / "odd") << "unsprawl key 1\n" << almost << "\n";
  ASSERT_EQ(chmod((dir_.path() / "odd").c_str(), 0600), 0);
  const auto ring = LoadKey(dir_.path() / "odd");
  EXPECT_THAT(std::string(ring.status().message()), testing::Not(HasSubstr("777")));
}

TEST_F(KeyFileTest, TheEnvironmentGivesTheKeyAndThoseItReplaced) {
  const std::string now(64, '1'), before(64, '2');
  setenv("UNSPRAWL_KEY", (now + "," + before).c_str(), 1);
  const auto ring = LoadOrCreateKey();
  ASSERT_THAT(ring, IsOk());
  EXPECT_EQ(ring->current.bytes[0], 0x11);
  ASSERT_THAT(ring->previous, SizeIs(1));
  EXPECT_EQ(ring->previous[0].bytes[31], 0x22);
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "unsprawl"));
  setenv("UNSPRAWL_KEY", "too short", 1);
  EXPECT_THAT(LoadOrCreateKey(),
              FailsWith(absl::StatusCode::kInvalidArgument, HasSubstr("$UNSPRAWL_KEY")));
  EXPECT_THAT(LoadOrCreateKey(path_), IsOk());  // a path that is named comes first
}

TEST_F(KeyFileTest, ASystemdCredentialIsUsed) {
  std::ofstream(dir_.path() / "unsprawl-key") << std::string(64, 'a') << "\n";
  ASSERT_EQ(chmod((dir_.path() / "unsprawl-key").c_str(), 0440), 0);
  setenv("CREDENTIALS_DIRECTORY", dir_.path().c_str(), 1);
  const auto ring = LoadOrCreateKey();
  ASSERT_THAT(ring, IsOk());
  EXPECT_EQ(ring->current.bytes[5], 0xaa);
}

TEST_F(KeyFileTest, RotationKeepsTheReplacedKeysUntilTheyAreForgotten) {
  const SecretKey first = LoadOrCreateKey(path_)->current;
  ASSERT_THAT(RotateKeyFile(path_), IsOk());
  const SecretKey second = LoadKey(path_)->current;
  ASSERT_THAT(RotateKeyFile(path_), IsOk());
  const auto ring = LoadKey(path_);
  ASSERT_THAT(ring, IsOk());
  ASSERT_THAT(ring->previous, SizeIs(2));
  EXPECT_EQ(ring->previous[0].bytes, second.bytes);
  EXPECT_EQ(ring->previous[1].bytes, first.bytes);
  EXPECT_EQ(PreviousChecks(*ring)[1], KeyCheck(first));
  ASSERT_THAT(ForgetPreviousKeys(path_), IsOk());
  EXPECT_THAT(LoadKey(path_)->previous, IsEmpty());
  EXPECT_EQ(LoadKey(path_)->current.bytes, ring->current.bytes);
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(KeyFileTest, AnExistingKeyIsNeverReplacedByInit) {
  ASSERT_THAT(CreateKeyFile(path_), IsOk());
  const std::string before = Read(path_);
  EXPECT_THAT(CreateKeyFile(path_), FailsWith(absl::StatusCode::kAlreadyExists, HasSubstr("key")));
  EXPECT_EQ(Read(path_), before);
}

TEST_F(KeyFileTest, ManyWhoMakeItAtOnceAllGetTheSameKey) {
  for (int round = 0; round < 20; ++round) {
    const std::filesystem::path path = dir_.path() / std::to_string(round) / "key";
    std::vector<std::string> checks(4);
    {
      std::vector<std::jthread> threads;
      for (std::string& check : checks) {
        threads.emplace_back([&check, &path] {
          const auto ring = LoadOrCreateKey(path);
          if (ring.ok()) check = KeyFingerprint(ring->current);
        });
      }
    }
    EXPECT_THAT(std::set<std::string>(checks.begin(), checks.end()), SizeIs(1));
    EXPECT_THAT(checks[0], SizeIs(12));
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path.parent_path())) {
      files += entry.is_regular_file() ? 1 : 0;
    }
    EXPECT_EQ(files, 1u);  // no temporary ones are left
  }
}

}  // namespace
}  // namespace unsprawl
