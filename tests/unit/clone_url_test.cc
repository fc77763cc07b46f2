#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "worker/mirror.h"

namespace unsprawl {
namespace {

using testing::Not;
using testing::HasSubstr;

TEST(CloneUrlTest, CredentialsAreTakenOutOfTheUrl) {
  const auto url = ParseCloneUrl("https://user:" "pass" "word@forge.example.com/team/app.git");
  ASSERT_THAT(url, IsOk());
  EXPECT_EQ(url->url, "https://forge.example.com/team/app.git");
  EXPECT_EQ(url->name, "forge.example.com/team/app");
  EXPECT_EQ(url->authorization, "Basic dXNlcjpwYXNzd29yZA==");
}

TEST(CloneUrlTest, UserInformationMeansWhatGitTakesItFor) {
  const auto alone = ParseCloneUrl("https://tok" "en@forge.example.com/a");
  ASSERT_THAT(alone, IsOk());
  EXPECT_EQ(alone->authorization, "Basic dG9rZW46");  // "token:"
  const auto escaped = ParseCloneUrl("https://me%40x:p%3Aq%zz@forge.example.com/a");
  ASSERT_THAT(escaped, IsOk());
  EXPECT_EQ(escaped->authorization, "Basic bWVAeDpwOnEleno=");  // "me@x:p:q%zz"
}

TEST(CloneUrlTest, AnAtSignInThePathIsNoUser) {
  const auto url = ParseCloneUrl("https://forge.example.com/@team/app");
  ASSERT_THAT(url, IsOk());
  EXPECT_EQ(url->url, "https://forge.example.com/@team/app");
  EXPECT_EQ(url->authorization, "");
}

TEST(CloneUrlTest, SshFormsKeepTheirUserAndNameTheSameMirror) {
  const auto scp = ParseCloneUrl("git@forge.example.com:team/app.git");
  const auto ssh = ParseCloneUrl("ssh://git@forge.example.com/team/app.git/");
  ASSERT_THAT(scp, IsOk());
  ASSERT_THAT(ssh, IsOk());
  EXPECT_EQ(scp->url, "git@forge.example.com:team/app.git");
  EXPECT_EQ(scp->name, "forge.example.com/team/app");
  EXPECT_EQ(ssh->name, scp->name);
}

TEST(CloneUrlTest, WhatCannotBeClonedIsRefusedWithoutRepeatingWhatMayBeASecret) {
  for (const char* text : {"ftp://user:hunter7@host/x", "https://", "ext::sh -c x", "file:///",
                           "ssh://git:hunter7@host/x", "git://me:hunter7@host/x"}) {
    const auto url = ParseCloneUrl(text);
    EXPECT_FALSE(url.ok()) << text;
    EXPECT_THAT(std::string(url.status().message()), Not(HasSubstr("hunter7")));
  }
}

}  // namespace
}  // namespace unsprawl
