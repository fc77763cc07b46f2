// `--archives` from the outside: over repositories with archives made by real tools.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "absl/strings/str_format.h"
#include "tests/support/archives.h"
#include "tests/support/cli.h"
#include "tests/support/git_repo.h"

namespace unsprawl {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

std::string Env(uint32_t seed) { return "# settings\nTOKEN=" + FakeGithubToken(seed) + "\n"; }

class ArchivesTest : public testing::Test {
 protected:
  // What a Python program writes, given stdin.
  std::string Python(const std::string& program, std::string_view input) {
    const std::string begin = "import io,sys,tarfile,zipfile\nout=io.BytesIO()\nt=sys.stdin.buffer.read()\n";
    const std::string end = "\nsys.stdout.buffer.write(out.getvalue())";
    return unsprawl::Run(repos_.path(), {"python3", "-c", begin + program + end}, input);
  }
  std::string Zip(const std::string& name, std::string_view content) {
    return Python("z=zipfile.ZipFile(out,'w',zipfile.ZIP_DEFLATED)\nz.writestr('" + name + "',t)\nz.close()", content);
  }
  std::string Tar(const std::string& mode, const std::string& name, std::string_view content) {
    return Python("z=tarfile.open(fileobj=out,mode='w:" + mode + "')\ni=tarfile.TarInfo('" + name +
                      "')\ni.size=len(t)\nz.addfile(i,io.BytesIO(t))\nz.close()", content);
  }

  // "path:line:column" of every row.
  std::multiset<std::string> Places() {
    std::multiset<std::string> places;
    for (const nlohmann::json& row : cli_.Rows("occurrences.jsonl")) {
      places.insert(absl::StrFormat("%s:%d:%d", row["path"].get<std::string>(), row["start_line"].get<int>(),
                                    row["start_column"].get<int>()));
    }
    return places;
  }
  // Counts by reason.
  std::map<std::string, int> Skips() {
    std::map<std::string, int> skips;
    const nlohmann::json manifest = cli_.Json("manifest.json");
    for (const nlohmann::json& skip : manifest["repositories"][0]["skips"]) skips[skip["reason"]] = skip["count"];
    return skips;
  }
  std::map<std::string, std::string> FreshReport(const std::vector<std::string>& arguments) {
    TempDir home;
    std::filesystem::create_directories(home.path() / ".config");
    std::filesystem::copy(cli_.home() / ".config", home.path() / ".config",
                          std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
    const Cli fresh(home.path());
    fresh.Scan(arguments);
    return fresh.ReportFiles();
  }
  int Scanned() { return cli_.Json("run.json")["blobs_scanned"].get<int>(); }

  TempDir home_, repos_;
  Cli cli_{home_.path()};
};

TEST_F(ArchivesTest, WhatLiesInArchivesIsReportedWithItsPathInThem) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("a.tar.gz", Tar("gz", "b.tar", Tar("", "conf/c.env", Env(1))));
  repo.Write("lib/app.jar", Zip("application.properties", Env(2)));
  repo.Write("doc.docx", Zip("word/document.xml", "<w:t>key " + FakeGithubToken(3) + "</w:t>"));
  repo.Write("plain.tar", Tar("", "d.env", Env(4)));
  repo.Write("dump.sql.xz", unsprawl::Run(repos_.path(), {"xz", "-c"}, Env(5)));
  repo.Write("b.tar.bz2", Tar("bz2", "e.env", Env(6)));
  repo.Write("s.7z", Packed("7zip", "", {{"f.env", Env(7)}}));
  repo.Write("z.tar.zst", Packed("pax", "zstd", {{"g.env", Env(8)}}));
  repo.Write("log.gz", unsprawl::Run(repos_.path(), {"gzip", "-nc"}, Env(9)));
  repo.Commit();
  const CliResult scan = cli_.Scan({"--archives", repo.path()});
  EXPECT_EQ(scan.exit_code, 1) << scan.err;
  EXPECT_THAT(Places(), UnorderedElementsAre("a.tar.gz!b.tar!conf/c.env:2:7", "lib/app.jar!application.properties:2:7",
                                             "doc.docx!word/document.xml:1:10", "plain.tar!d.env:2:7", "dump.sql.xz:2:7",
                                             "b.tar.bz2!e.env:2:7", "s.7z!f.env:2:7", "z.tar.zst!g.env:2:7", "log.gz:2:7"));
  EXPECT_THAT(Skips(), IsEmpty());
  EXPECT_THAT(cli_.ReportFiles()["report.html"], HasSubstr("a.tar.gz!b.tar!conf/c.env"));
  // The sandbox took nothing away.
  EXPECT_EQ(cli_.Json("manifest.json")["sandboxed"], true);
}

TEST_F(ArchivesTest, WithoutTheFlagTheyAreCountedInEveryRunAndReadOnce) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("a.zip", Zip("c.env", Env(1)));
  repo.Write("plain.tar", Tar("", "d.env", Env(2)));
  repo.Write("log.gz", unsprawl::Run(repos_.path(), {"gzip", "-nc"}, "nothing\n"));
  repo.Write("x.pack", std::string("PACK\0\0\0\2\0\0\0\0", 12));
  repo.Commit();
  const CliResult scan = cli_.Scan({repo.path()});
  EXPECT_EQ(scan.exit_code, 1) << "a choice makes nothing incomplete";
  EXPECT_THAT(scan.out, HasSubstr("2 archives or documents not looked into; --archives does"));
  EXPECT_EQ(Skips(), (std::map<std::string, int>{{"archive", 2}, {"git-data", 1}}));
  EXPECT_EQ(cli_.Rows("occurrences.jsonl").size(), 1u) << "what is not compressed is in the bytes";
  repo.Write("more", "text\n");
  repo.Commit();
  cli_.Scan({repo.path()});
  EXPECT_EQ(Scanned(), 1);
  EXPECT_EQ(Skips(), (std::map<std::string, int>{{"archive", 2}, {"git-data", 1}}));
  EXPECT_EQ(cli_.ReportFiles(), FreshReport({repo.path()}));
}

TEST_F(ArchivesTest, WhenTheFlagComesLaterOnlyArchivesAreScannedAnew) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("a.zip", Zip("c.env", Env(1)));
  repo.Write("plain.tar", Tar("", "d.env", Env(2)));
  for (int i = 0; i < 20; ++i) repo.Write(absl::StrFormat("f%d.env", i), Env(static_cast<uint32_t>(100 + i)));
  repo.Commit();
  cli_.Scan({repo.path()});
  EXPECT_EQ(Scanned(), 22);
  cli_.Scan({"--archives", repo.path()});
  EXPECT_EQ(Scanned(), 2);
  EXPECT_THAT(Places(), Contains("a.zip!c.env:2:7"));
  EXPECT_THAT(Places(), Contains("plain.tar!d.env:2:7"));
  EXPECT_THAT(Places(), Not(Contains(testing::StartsWith("plain.tar:"))));
  EXPECT_THAT(Skips(), IsEmpty());
  EXPECT_EQ(cli_.ReportFiles(), FreshReport({"--archives", repo.path()}));
  // Gone again, what is known stays known; and back, nothing is left to scan.
  cli_.Scan({repo.path()});
  EXPECT_EQ(Scanned(), 0);
  EXPECT_THAT(Places(), Contains("a.zip!c.env:2:7"));
  cli_.Scan({"--archives", repo.path()});
  EXPECT_EQ(Scanned(), 0);
  EXPECT_EQ(cli_.ReportFiles(), FreshReport({"--archives", repo.path()}));
}

// A rule that came while archives were not looked into has not seen them.
TEST_F(ArchivesTest, ARuleThatCameMeanwhileIsRunInsideWhenTheFlagIsBack) {
  const std::filesystem::path rules = home_.path() / "rules.toml";
  const std::string first = "[[rules]]\nid = \"first\"\nregex = '''\\b(first-[0-9]{8})\\b'''\nclass = \"A\"\n";
  const std::string second = "[[rules]]\nid = \"second\"\nregex = '''\\b(second-[0-9]{8})\\b'''\nclass = \"A\"\n";
  GitRepo repo(repos_.path() / "app");
  repo.Write("a.zip", Zip("c.env", "a = first-" "29184756\nb = second-" "58203917\n"));
  repo.Write("text", "nothing\n");
  repo.Commit();
  WriteFile(rules, first);
  cli_.Scan({"--archives", "-c", rules, repo.path()});
  EXPECT_THAT(Places(), UnorderedElementsAre("a.zip!c.env:1:5"));
  WriteFile(rules, first + second);
  cli_.Scan({"-c", rules, repo.path()});
  EXPECT_EQ(Scanned(), 2);
  EXPECT_THAT(Places(), UnorderedElementsAre("a.zip!c.env:1:5"));
  EXPECT_EQ(Skips(), (std::map<std::string, int>{{"archive", 1}}));
  cli_.Scan({"--archives", "-c", rules, repo.path()});
  EXPECT_EQ(Scanned(), 1);
  EXPECT_THAT(Places(), UnorderedElementsAre("a.zip!c.env:1:5", "a.zip!c.env:2:5"));
  EXPECT_EQ(cli_.ReportFiles(), FreshReport({"--archives", "-c", rules, repo.path()}));
}

TEST_F(ArchivesTest, ADeltaScanFindsWhatAFullScanFinds) {
  GitRepo repo(repos_.path() / "app");
  std::string log;
  for (int i = 0; i < 300; ++i) log += absl::StrFormat("line %d of a log that is long enough for a delta\n", i);
  for (uint32_t version = 0; version < 5; ++version) {
    log += "token = " + FakeGithubToken(version) + "\n";
    repo.Write("logs.tar", Tar("", "deep/app.log", log));
    repo.Write("logs.zip", Python("z=zipfile.ZipFile(out,'w',zipfile.ZIP_STORED)\nz.writestr('app.log',t)\nz.close()", log));
    repo.Write("turns", version % 2 == 0 ? Tar("", "t.log", log) : log);
    repo.Commit();
  }
  repo.Git({"repack", "-adfq", "--depth=50"});
  cli_.Scan({"--archives", repo.path()});
  EXPECT_THAT(Places(), Contains("logs.tar!deep/app.log:305:9"));
  EXPECT_THAT(Places(), Contains("logs.zip!app.log:301:9"));
  EXPECT_THAT(Places(), Contains("turns!t.log:305:9"));
  const auto delta = cli_.ReportFiles();
  cli_.Scan({"--archives", "--scan-mode=full", "--store=:memory:", repo.path()});
  EXPECT_EQ(cli_.ReportFiles(), delta);
}

TEST_F(ArchivesTest, WhatCannotBeReadIsCountedInEveryRunAndTheRestIsScanned) {
  GitRepo repo(repos_.path() / "app");
  repo.Write("locked.zip", Packed("zip", "", {{"a.env", Env(1)}}, "zip:encryption=traditional", "word"));
  const std::string tar = Tar("", "b.env", Env(2)) ;
  repo.Write("cut.tar.gz", unsprawl::Run(repos_.path(), {"gzip", "-nc"}, tar + tar).substr(0, 190));
  repo.Write("cut.tar", Packed("ustar", "", {{"b.env", Env(3)}, {"c", std::string(4096, 'c')}}).substr(0, 2000));
  repo.Write("bomb.zip", Packed("zip", "", {{"zeros", std::string(20 << 20, '\0')}, {"c.env", Env(4)}}));
  repo.Write("fine.zip", Zip("d.env", Env(5)));
  repo.Write("old.rar", "Rar!\x1a\x07\x01 and so on");
  repo.Write("names.tar", Packed("gnutar", "", {{"\x1b[31m<b>\xff", Env(6)}, {"../../etc/x", Env(7)}}));
  repo.Commit();
  const std::vector<std::string> arguments = {"--archives", "--max-object-size=10MB", repo.path()};
  EXPECT_EQ(cli_.Scan(arguments).exit_code, 1);
  EXPECT_EQ(Skips(), (std::map<std::string, int>{{"archive-part", 5}}));
  EXPECT_THAT(Places(), Contains("cut.tar!b.env:2:7"));
  EXPECT_THAT(Places(), Contains("bomb.zip!c.env:2:7"));
  EXPECT_THAT(Places(), Contains("fine.zip!d.env:2:7"));
  EXPECT_THAT(Places(), Contains("names.tar!../../etc/x:2:7"));
  EXPECT_THAT(cli_.ReportFiles()["report.html"], Not(HasSubstr("\x1b")));
  repo.Write("more", "text\n");
  repo.Commit();
  cli_.Scan(arguments);
  EXPECT_EQ(Scanned(), 1) << "what cannot be read is not tried again";
  EXPECT_EQ(Skips(), (std::map<std::string, int>{{"archive-part", 5}}));
  EXPECT_EQ(cli_.ReportFiles(), FreshReport(arguments));
  // With more room what was too large is.
  cli_.Scan({"--archives", repo.path()});
  EXPECT_EQ(Scanned(), 1);
  EXPECT_EQ(Skips(), (std::map<std::string, int>{{"archive-part", 4}}));
}

TEST_F(ArchivesTest, PathsOfMembersAreJudged) {
  const std::filesystem::path rules = home_.path() / "rules.toml";
  WriteFile(rules, "[[rules]]\nid = \"one\"\nregex = '''\\b(first-[0-9]{8})\\b'''\nclass = \"A\"\n"
                   "path = '''a\\.zip!.*\\.env$'''\n"
                   "[[rules.allowlists]]\npaths = ['''known/''']\n");
  const std::string text = "a = first-" "29184756\n";
  GitRepo repo(repos_.path() / "app");
  repo.Write("a.zip", Packed("zip", "", {{"c.env", text}, {"c.txt", text}, {"known/c.env", text}}));
  repo.Write("c.env", text);
  repo.Commit();
  cli_.Scan({"--archives", "-c", rules, repo.path()});
  EXPECT_THAT(Places(), UnorderedElementsAre("a.zip!c.env:1:5"));
}

TEST_F(ArchivesTest, FilesOnDiskAreLookedIntoAsWell) {
  WriteFile(repos_.path() / "a.zip", Zip("c.env", Env(1)));
  const CliResult test = cli_.Run({"rules", "test", "--archives", repos_.path() / "a.zip"});
  EXPECT_EQ(test.exit_code, 1);
  EXPECT_THAT(test.out, HasSubstr("a.zip!c.env:2:7"));
  EXPECT_EQ(cli_.Run({"rules", "test", repos_.path() / "a.zip"}).exit_code, 0);
  EXPECT_THAT(cli_.Run({"explain", "--archives", repos_.path() / "a.zip"}).out, HasSubstr("a.zip!c.env:2:7"));
}

}  // namespace
}  // namespace unsprawl
