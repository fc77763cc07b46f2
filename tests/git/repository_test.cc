// FindRepository and ReadRepositoryState against git's own view of the same repositories.
#include "engine/git/repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_format.h"
#include "engine/git/config_file.h"
#include "engine/git/ref_files.h"
#include "tests/support/git_repo.h"
#include "tests/support/status_matchers.h"

namespace unsprawl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

RepositoryState StateOf(const std::filesystem::path& path) {
  const absl::StatusOr<RepositoryPaths> paths = FindRepository(path);
  EXPECT_THAT(paths, IsOk());
  if (!paths.ok()) return {};
  absl::StatusOr<RepositoryState> state = ReadRepositoryState(*paths);
  EXPECT_THAT(state, IsOk());
  return state.ok() ? *std::move(state) : RepositoryState{};
}

std::string Listed(const RepositoryState& state) {
  std::string text;
  for (const Ref& ref : state.refs) text += ref.target.ToHex() + " " + ref.name + "\n";
  if (!text.empty()) text.pop_back();
  return text;
}

// What git lists, without replacement refs.
std::string GitsList(GitRepo& repo) {
  std::istringstream lines(repo.Git({"for-each-ref", "--format=%(objectname) %(refname)"}));
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" refs/replace/") != std::string::npos) continue;
    text += (text.empty() ? "" : "\n") + line;
  }
  return text;
}

class RepositoryTest : public testing::Test {
 protected:
  TempDir dir_;
  std::filesystem::path At(const std::string& name) const { return dir_.path() / name; }
};

TEST_F(RepositoryTest, RefsAreThoseOfForEachRefLooseAndPacked) {
  GitRepo repo(At("r"));
  const std::string first = repo.Commit("one");
  repo.Git({"branch", "topic/a"});
  repo.Git({"tag", "-a", "-m", "annotated", "v1"});
  repo.Git({"pack-refs", "--all"});
  const std::string second = repo.Commit("two");  // refs/heads/main is packed and loose now
  repo.Git({"branch", "topic/b", first});
  repo.Git({"update-ref", "refs/pull/7/head", second});
  repo.Git({"update-ref", "refs/tree", repo.Git({"rev-parse", "HEAD^{tree}"})});
  repo.Git({"symbolic-ref", "refs/remotes/origin/HEAD", "refs/heads/topic/a"});
  repo.Git({"symbolic-ref", "refs/remotes/other/HEAD", "refs/remotes/other/gone"});
  repo.Git({"replace", first, second});
  const RepositoryState state = StateOf(repo.path());
  EXPECT_EQ(Listed(state), GitsList(repo));
  EXPECT_EQ(state.head_ref, repo.Git({"symbolic-ref", "HEAD"}));
  EXPECT_EQ(ToHex(state.head_target), second);
  EXPECT_THAT(state.broken_refs, IsEmpty());
  repo.Git({"pack-refs", "--all", "--prune"});
  EXPECT_EQ(TipsDigest(StateOf(repo.path())), TipsDigest(state));
}

TEST_F(RepositoryTest, BrokenRefsAreNamedAndTheOthersRead) {
  GitRepo repo(At("r"));
  repo.Commit();
  repo.Write(".git/refs/heads/empty", "");
  repo.Write(".git/refs/heads/zero", std::string(40, '0') + "\n");
  repo.Write(".git/refs/heads/short", "abcdef\n");
  repo.Write(".git/refs/heads/long", std::string(41, 'a') + "\n");
  repo.Write(".git/refs/heads/bad..name", std::string(40, 'a') + "\n");
  repo.Write(".git/refs/heads/loop1", "ref: refs/heads/loop2\n");
  repo.Write(".git/refs/heads/loop2", "ref: refs/heads/loop1\n");
  repo.Write(".git/refs/heads/to_broken", "ref: refs/heads/short\n");
  repo.Write(".git/refs/heads/held.lock", "");
  repo.Write(".git/refs/heads/absent", std::string(40, 'e') + "\n");
  ASSERT_EQ(mkfifo((repo.path() / ".git/refs/heads/pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("../..", repo.path() / ".git/refs/heads/folder_link");
  std::filesystem::create_symlink("refs/heads/main", repo.path() / ".git/refs/heads/old_symref");
  const RepositoryState state = StateOf(repo.path());
  std::vector<std::string> names;
  for (const Ref& ref : state.refs) names.push_back(ref.name);
  EXPECT_THAT(names, ElementsAre("refs/heads/absent", "refs/heads/main", "refs/heads/old_symref"));
  EXPECT_THAT(state.broken_refs,
              ElementsAre("refs/heads/bad..name", "refs/heads/empty", "refs/heads/folder_link",
                          "refs/heads/long", "refs/heads/loop1", "refs/heads/loop2",
                          "refs/heads/pipe", "refs/heads/short", "refs/heads/to_broken",
                          "refs/heads/zero"));
}

TEST_F(RepositoryTest, NamesThatGitRefusesAreNotRefNames) {
  TempDir dir;
  for (const std::string name :
       {"refs/heads/a", "refs/a", "refs/heads/a.b", "refs/heads/.a", "refs/heads/a/.b", "refs/heads/a.",
        "refs/heads/a..b", "refs/heads/a.lock", "refs/heads/a.lock/b", "refs/heads/a b",
        "refs/heads/a~", "refs/heads/a^", "refs/heads/a:", "refs/heads/a?", "refs/heads/a*",
        "refs/heads/a[", "refs/heads/a\\", "refs/heads/a@{b", "refs/heads/a@", "refs/heads//a",
        "refs/heads/", "refs/heads/a\x7f", "refs/heads/a\x1b", "refs/heads/\xff", "refs/heads/@"}) {
    const std::string said =
        unsprawl::Run(dir.path(), {"sh", "-c", "git check-ref-format \"$1\" && echo yes || echo no",
                                   "sh", name});
    EXPECT_EQ(IsRefName(name) ? "yes\n" : "no\n", said) << testing::PrintToString(name);
  }
}

TEST_F(RepositoryTest, HeadMayBeDetachedUnbornMissingOrBroken) {
  GitRepo repo(At("r"));
  RepositoryState state = StateOf(repo.path());
  EXPECT_EQ(state.head_ref, "refs/heads/main");
  EXPECT_EQ(state.head_target, "");
  EXPECT_THAT(state.refs, IsEmpty());
  const std::string id = repo.Commit();
  repo.Git({"checkout", "-q", "--detach"});
  state = StateOf(repo.path());
  EXPECT_EQ(state.head_ref, "");
  EXPECT_EQ(ToHex(state.head_target), id);
  repo.Write(".git/HEAD", "nonsense\n");
  state = StateOf(repo.path());
  EXPECT_THAT(state.broken_refs, ElementsAre("HEAD"));
  EXPECT_EQ(state.head_target, "");
  repo.Remove(".git/HEAD");
  state = StateOf(repo.path());
  EXPECT_THAT(state.broken_refs, IsEmpty());
  EXPECT_EQ(state.head_ref + state.head_target, "");
  EXPECT_EQ(state.refs.size(), 1u);
}

TEST_F(RepositoryTest, LinkedWorktreesShareRefsAndHaveTheirOwnHead) {
  GitRepo repo(At("r"));
  repo.Commit();
  repo.Git({"worktree", "add", "-q", "-b", "side", At("w")});
  const std::string head = repo.Git({"rev-parse", "HEAD"});
  repo.Git({"update-ref", "refs/bisect/bad", head});
  unsprawl::Run(At("w"), {"git", "update-ref", "refs/worktree/mine", head});
  unsprawl::Run(At("w"), {"git", "update-ref", "refs/bisect/good", head});
  const absl::StatusOr<RepositoryPaths> paths = FindRepository(At("w"));
  ASSERT_THAT(paths, IsOk());
  EXPECT_TRUE(std::filesystem::equivalent(paths->common_dir, repo.path() / ".git"));
  EXPECT_TRUE(std::filesystem::equivalent(paths->git_dir, repo.path() / ".git/worktrees/w"));
  const RepositoryState state = StateOf(At("w"));
  EXPECT_EQ(state.head_ref, "refs/heads/side");
  EXPECT_EQ(Listed(state) + "\n",
            unsprawl::Run(At("w"), {"git", "for-each-ref", "--format=%(objectname) %(refname)"}));
  EXPECT_EQ(Listed(StateOf(repo.path())), GitsList(repo));
}

TEST_F(RepositoryTest, AlternatesAndSubmodulesAreFollowed) {
  GitRepo repo(At("origin"));
  repo.Commit();
  unsprawl::Run(dir_.path(), {"git", "clone", "-q", "--shared", "origin", "shared"});
  unsprawl::Run(dir_.path(), {"git", "clone", "-q", "--shared", "--bare", "shared", "second.git"});
  const absl::StatusOr<RepositoryPaths> paths = FindRepository(At("second.git"));
  ASSERT_THAT(paths, IsOk());
  EXPECT_THAT(paths->object_dirs,
              ElementsAre(std::filesystem::canonical(At("second.git/objects")),
                          std::filesystem::canonical(At("shared/.git/objects")),
                          std::filesystem::canonical(repo.objects())));
  unsprawl::Run(At("shared"), {"git", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add",
                     At("origin").string(), "sub"});
  EXPECT_EQ(StateOf(At("shared/sub")).head_ref, "refs/heads/main");
}

TEST_F(RepositoryTest, NoRepositoryIsNotFoundAndABrokenPointerIsDataLoss) {
  std::filesystem::create_directories(At("empty"));
  EXPECT_THAT(FindRepository(At("empty")),
              FailsWith(absl::StatusCode::kNotFound, HasSubstr("not a git repository")));
  EXPECT_THAT(FindRepository(At("absent")), FailsWith(absl::StatusCode::kNotFound, HasSubstr("absent")));
  std::filesystem::create_directories(At("pointer"));
  std::ofstream(At("pointer/.git")) << "gitdir: ../nowhere\n";
  EXPECT_THAT(FindRepository(At("pointer")),
              FailsWith(absl::StatusCode::kDataLoss, HasSubstr("nowhere")));
  std::ofstream(At("pointer/.git")) << "hello\n";
  EXPECT_THAT(FindRepository(At("pointer")),
              FailsWith(absl::StatusCode::kDataLoss, HasSubstr("gitdir:")));
}

absl::Status StatusAt(const std::filesystem::path& path) {
  const absl::StatusOr<RepositoryPaths> paths = FindRepository(path);
  return paths.ok() ? ReadRepositoryState(*paths).status() : paths.status();
}

TEST_F(RepositoryTest, FormatsThatWeCannotReadAreRefusedWithAReason) {
  GitRepo sha256(At("sha256"), {"--object-format=sha256"});
  EXPECT_THAT(StatusAt(At("sha256")),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("SHA-1 repositories only")));
  GitRepo reftable(At("reftable"));
  reftable.Git({"config", "extensions.refStorage", "reftable"});
  EXPECT_THAT(StatusAt(At("reftable")),
              FailsWith(absl::StatusCode::kFailedPrecondition, HasSubstr("git refs migrate")));
  GitRepo broken(At("broken"));
  broken.Write(".git/config", "[core]\n\tbare = \"x\n");
  EXPECT_THAT(StatusAt(At("broken")), FailsWith(absl::StatusCode::kDataLoss, HasSubstr("config: line 2")));
  GitRepo packed(At("packed"));
  packed.Write(".git/packed-refs", "# pack-refs with: peeled\nhello world\n");
  EXPECT_THAT(StatusAt(At("packed")),
              FailsWith(absl::StatusCode::kDataLoss, HasSubstr("packed-refs: line 2")));
}

TEST_F(RepositoryTest, ShallowAndPartialClonesAreSeen) {
  GitRepo repo(At("r"));
  repo.Commit();
  const std::string second = repo.Commit();
  repo.Git({"config", "uploadpack.allowFilter", "true"});
  const std::string url = "file://" + At("r").string();
  unsprawl::Run(dir_.path(), {"git", "clone", "-q", "--depth=1", url, "shallow"});
  unsprawl::Run(dir_.path(), {"git", "clone", "-q", "--filter=blob:none", "--bare", url, "partial.git"});
  const RepositoryState shallow = StateOf(At("shallow"));
  EXPECT_TRUE(shallow.is_shallow);
  EXPECT_FALSE(shallow.is_partial);
  EXPECT_THAT(shallow.shallow, ElementsAre(*ObjectId::FromHex(second)));
  EXPECT_TRUE(StateOf(At("partial.git")).is_partial);
  EXPECT_FALSE(StateOf(At("r")).is_partial || StateOf(At("r")).is_shallow);
}

TEST_F(RepositoryTest, AnyMovedTipChangesTheDigest) {
  GitRepo repo(At("r"));
  repo.Commit();
  const RepositoryState state = StateOf(repo.path());
  EXPECT_EQ(TipsDigest(state).size(), 32u);
  std::vector<RepositoryState> others(6, state);
  others[0].refs[0].name += "x";
  others[1].refs[0].target.bytes[19] ^= 1;
  others[2].head_ref.clear();
  others[3].head_target.clear();
  others[4].shallow.push_back(state.refs[0].target);
  others[5].refs.push_back(state.refs[0]);
  for (const RepositoryState& other : others) EXPECT_NE(TipsDigest(other), TipsDigest(state));
}

TEST_F(RepositoryTest, ConfigurationReadsAsGitReadsIt) {
  const std::string text =
      "\xef\xbb\xbf; comment\n[core] bare = true # inline\r\n\tAlone\n key-2=a\\\n b\n"
      "[Remote \"a \\\"b\\\\ C\"]\n url = \"x ; y\"  z  \n  t = \"\\t\"\\n\n[old.Sub] k =\n"
      "[branch \"m]\"] merge = refs/heads/m ; c";
  std::ofstream(At("config"), std::ios::binary) << text;
  const std::string listed =
      unsprawl::Run(dir_.path(), {"git", "config", "--file", At("config").string(), "--list", "-z"});
  const absl::StatusOr<std::vector<ConfigEntry>> entries = ParseConfig(text);
  ASSERT_THAT(entries, IsOk());
  std::string ours;
  for (const ConfigEntry& entry : *entries) {
    ours += entry.name + (entry.name == "core.alone" ? "" : "\n" + entry.value) + '\0';
  }
  EXPECT_EQ(ours, listed);
  for (const std::string bad : {"[core", "x = 1", "[a]\n1 = 2", "[a]\nb c", "[a \"b]\n", "[a]\nb = \\q",
                                "[a]\nb = c\\", "[a]\nb = \"c"}) {
    EXPECT_THAT(ParseConfig(bad), FailsWith(absl::StatusCode::kDataLoss, HasSubstr("line "))) << bad;
  }
  EXPECT_TRUE(ConfigIsTrue("Yes") && ConfigIsTrue("on") && ConfigIsTrue("1") && ConfigIsTrue("TRUE"));
  EXPECT_FALSE(ConfigIsTrue("") || ConfigIsTrue("0") || ConfigIsTrue("off") || ConfigIsTrue("no"));
}

TEST_F(RepositoryTest, AHundredThousandRefsAreReadAsGitListsThem) {
  GitRepo repo(At("r"));
  const std::string id = repo.Commit();
  std::string packed = "# pack-refs with: peeled fully-peeled\n";  // not sorted, and git reads it so
  for (int i = 0; i < 100'000; ++i) {
    packed += absl::StrFormat("%s refs/pull/%d/head\n", id, i * 7919 % 100'003);
  }
  repo.Write(".git/packed-refs", packed);
  const auto begin = std::chrono::steady_clock::now();
  const RepositoryState state = StateOf(repo.path());
  RecordProperty("milliseconds", static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                     std::chrono::steady_clock::now() - begin).count()));
  EXPECT_EQ(state.refs.size(), 100'001u);
  EXPECT_EQ(Listed(state), GitsList(repo));
}

}  // namespace
}  // namespace unsprawl
