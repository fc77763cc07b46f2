// Which files are taken to hold a secret.
#include "engine/base/private_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace unsprawl {
namespace {

constexpr uid_t kRoot = 0, kUser = 1000, kOther = 1001;

TEST(PrivateFileTest, AFileOfOnesOwnIsForNobodyElse) {
  for (const uid_t user : {kRoot, kUser}) {
    EXPECT_TRUE(IsPrivate(0600, user, user));
    EXPECT_TRUE(IsPrivate(0400, user, user));
    for (const mode_t bit : {0040, 0020, 0010, 0004, 0002, 0001}) EXPECT_FALSE(IsPrivate(0600 | bit, user, user));
  }
}

// A Secret with defaultMode 0400 in a pod with fsGroup.
TEST(PrivateFileTest, RootMayLetAGroupReadItsFile) {
  EXPECT_TRUE(IsPrivate(0440, kRoot, kUser));
  EXPECT_TRUE(IsPrivate(0640, kRoot, kUser));
  EXPECT_FALSE(IsPrivate(0660, kRoot, kUser));
  EXPECT_FALSE(IsPrivate(0444, kRoot, kUser));
  EXPECT_FALSE(IsPrivate(0440, kOther, kUser));
}

// Debian's list of password hashes is root's, 0640.
TEST(PrivateFileTest, TheSystemsOwnSecretsAreJudgedByWhoAsks) {
  EXPECT_EQ(CheckPrivate("/etc/shadow").ok(), geteuid() != 0);
  EXPECT_FALSE(CheckPrivate("/etc/passwd").ok());
}

}  // namespace
}  // namespace unsprawl
