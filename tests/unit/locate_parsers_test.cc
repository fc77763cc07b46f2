// The parsers of what strangers wrote: commits, tags, mailmaps, tree entries.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "engine/history/commit_parser.h"
#include "engine/history/mailmap.h"
#include "engine/history/path_table.h"
#include "engine/history/tree_entry.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kTree(40, 'a'), kOne(40, '1'), kTwo(40, '2');

ParsedCommit Parse(std::string_view content) {
  ParsedCommit commit;
  commit.parents.resize(3);  // what an earlier commit left behind must not stay
  commit.co_authors.resize(2);
  commit.author_time = 7;
  ParseCommit(content, commit);
  return commit;
}

TEST(CommitParser, ReadsAWholeCommit) {
  const std::string text = "tree " + kTree + "\nparent " + kOne + "\nparent " + kTwo + "\nparent " + kOne +
                           "\nauthor Ann  B <ann@x> 1700000000 +0530\ncommitter C <c@x> 1700000001 -0100\n"
                           "gpgsig -----\n tree 0\n author Fake <f@x> 1 +0000\n\nsubject\n\n"
                           "author Fake <f@x> 1 +0000\nCo-authored-by: Bob <b@x>\nco-AUTHORED-by:Cy<c@y>\n";
  const ParsedCommit commit = Parse(text);
  EXPECT_EQ(commit.tree, ObjectId::FromHex(kTree));
  EXPECT_THAT(commit.parents, ElementsAre(*ObjectId::FromHex(kOne), *ObjectId::FromHex(kTwo)));
  EXPECT_EQ(commit.author.name, "Ann  B");
  EXPECT_EQ(commit.author.email, "ann@x");
  EXPECT_EQ(commit.author_time, 1700000000);
  EXPECT_EQ(commit.author_offset, 330);
  EXPECT_EQ(commit.committer_time, 1700000001);
  ASSERT_EQ(commit.co_authors.size(), 2u);
  EXPECT_EQ(commit.co_authors[0].name, "Bob");
  EXPECT_EQ(commit.co_authors[1].email, "c@y");
}

TEST(CommitParser, WhateverIsMalformedReadsAsAbsent) {
  for (const std::string text :
       {"", "\n", "tree", "tree abc\n", "parent x\n", "author\ncommitter\n", "author A\n",
        "author A <a\n", "author A a> 5 +0000\n", "author > < 5\n", "\n\nmessage"}) {
    const ParsedCommit commit = Parse(text);
    EXPECT_FALSE(commit.tree) << text;
    EXPECT_THAT(commit.parents, IsEmpty()) << text;
    EXPECT_EQ(commit.author_offset, 0) << text;
    EXPECT_EQ(commit.committer_time, 0) << text;
  }
  EXPECT_EQ(Parse("author A <a> 99999999999999999999 +0000\n").author_time, 0);
  EXPECT_EQ(Parse("author A <a> -5 +0000\n").author_time, -5);
  EXPECT_EQ(Parse("author A <a> 12x +0000\n").author_time, 0);
  EXPECT_EQ(Parse("author A <a> 12 +9999\n").author_offset, 0);
  EXPECT_EQ(Parse("author A <a> 12 +-100\n").author_offset, 0);
  EXPECT_EQ(Parse("author A <a> 12 <b> 13 +0100\n").author_time, 13);
  EXPECT_EQ(Parse("author A \xff\x1b[0m <\x01> 12 +0100\n").author.name, "A \xff\x1b[0m");
  const std::string long_name(5000, 'n');
  EXPECT_EQ(Parse("author " + long_name + " <e> 1 +0000\n").author.name.size(), Identity::kMaxBytes);
  std::string many = "\n";
  for (int i = 0; i < 100; ++i) many += "Co-authored-by: A <a>\n";
  EXPECT_EQ(Parse(many).co_authors.size(), ParsedCommit::kMaxCoAuthors);
}

TEST(CommitParser, ATagNamesItsObject) {
  EXPECT_EQ(ParseTagTarget("object " + kOne + "\ntype commit\n"), ObjectId::FromHex(kOne));
  EXPECT_EQ(ParseTagTarget("object " + kOne), ObjectId::FromHex(kOne));
  EXPECT_FALSE(ParseTagTarget("object 12\n"));
  EXPECT_FALSE(ParseTagTarget("type commit\nobject " + kOne));
  EXPECT_FALSE(ParseTagTarget(""));
}

TEST(Mailmap, ResolvesAsGitDoes) {
  const std::string map =
      "# comment <a@x>\nReal A <a@x>\n<b@real> <b@x>\nReal C <c@real> <c@x>\n"
      "Real D <d@real> Nick D <d@x>\nOther D <d2@real> Nick E <d@x>\nAny D <d@x>\n"
      "Second A <A@X>\n broken\n Trim Me \t <t@real> \t Old  <T@x> trailing\nNobody <>\n<only@x>\n"
      "Empty <e@real> <>\nReal F <f@real> <f@x\nReal G<g@real><g@x>\n<h@real> Nick H <h@x>";
  const TempDir dir;
  std::ofstream(dir.path() / "map") << map;
  std::string people;
  for (const std::string name : {"Nick D", "NICK e", "nick h", "old", "Someone"}) {
    for (const std::string email : {"a@x", "A@x", "b@X", "c@x", "d@x", "D@X", "e@x", "t@X", "f@x", "g@x",
                                    "h@x", "only@x", "", "none@x", "b@real"}) {
      people += name + " <" + email + ">\n";
    }
  }
  unsprawl::Run(dir.path(), {"git", "init", "-q"});
  const std::string expected = unsprawl::Run(
      dir.path(), {"git", "-c", "mailmap.file=" + (dir.path() / "map").string(), "check-mailmap", "--stdin"},
      people);
  const Mailmap mailmap(map);
  std::string ours;
  for (size_t at = 0; at < people.size();) {
    const size_t end = people.find('\n', at);
    const Identity who = ParseIdentity(std::string_view(people).substr(at, end - at));
    std::string name(who.name), email(who.email);
    mailmap.Resolve(name, email);
    ours += name + " <" + email + ">\n";
    at = end + 1;
  }
  EXPECT_EQ(ours, expected);
}

TEST(Mailmap, MakesNobodysNameLongerThanACommitCould) {
  const Mailmap mailmap(std::string(5000, 'N') + " <" + std::string(5000, 'm') + "> <a@x>\n");
  std::string name = "A", email = "a@x";
  mailmap.Resolve(name, email);
  EXPECT_EQ(name, std::string(Identity::kMaxBytes, 'N'));
  EXPECT_EQ(email, std::string(Identity::kMaxBytes, 'm'));
}

TEST(TreeEntry, NoBytesMakeItReadBeyondTheEnd) {
  std::mt19937 random(1);
  std::string valid("100644 name\0", 12);
  valid += std::string(20, 'x');
  ParsedTreeEntry entry;
  ASSERT_TRUE(ParseTreeEntry(valid, 0, entry));
  EXPECT_EQ(entry.name, "name");
  EXPECT_EQ(entry.mode, 0100644u);
  EXPECT_EQ(entry.next, valid.size());
  for (size_t cut = 0; cut < valid.size(); ++cut) {
    const std::string exact(valid, 0, cut);  // on the heap: the sanitizer sees a byte beyond
    EXPECT_FALSE(ParseTreeEntry(std::string_view(exact.data(), cut), 0, entry)) << cut;
  }
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = valid;
    for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (ParseTreeEntry(bytes, 0, entry)) {
      EXPECT_LE(entry.next, bytes.size());
      EXPECT_LE(entry.name.data() + entry.name.size(), entry.id);
    }
  }
}

TEST(PathTable, RendersWithoutWhatTellsDuplicatesApart) {
  const std::vector<std::string_view> names = {"a", std::string_view("a\0" "1", 3), "", "b/c"};
  PathTable paths;
  const uint32_t a = paths.Add(PathTable::kRoot, 0);
  EXPECT_EQ(paths.Add(PathTable::kRoot, 0), a);
  EXPECT_EQ(paths.Render(a, names), "a");
  EXPECT_EQ(paths.Render(paths.Add(a, 1), names), "a/a");
  EXPECT_EQ(paths.Render(paths.Add(a, 3), names), "a/b/c");
  PathTable other;
  const uint32_t deep = other.Add(other.Add(PathTable::kRoot, 3), 0);
  EXPECT_EQ(paths.Render(paths.AddAll(other)[deep], names), "b/c/a");
}

}  // namespace
}  // namespace unsprawl
