#include "engine/judge/path_class.h"

#include <algorithm>
#include <span>
#include <string>

#include "engine/judge/text_shape.h"

namespace unsprawl {
namespace {

bool IsOneOf(std::string_view text, std::span<const std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// Folder names, or words of a file name between its dots, dashes and underscores.
constexpr std::string_view kTestWords[] = {
    "test", "tests", "testing", "spec", "specs", "mock", "mocks", "__tests__", "__mocks__", "e2e", "unittest", "unittests",
    "selftest", "testsuite", "testcase", "testcases", "t"};
constexpr std::string_view kFixtureWords[] = {"testdata", "test-data", "test_data", "fixture", "fixtures", "__fixtures__", "cassettes"};
constexpr std::string_view kExampleWords[] = {
    "example", "examples", "sample", "samples", "demo", "demos", "doc", "docs", "documentation", "tutorial",
    "tutorials", "template", "templates", "playground"};
constexpr std::string_view kGeneratedNames[] = {
    "package-lock.json", "yarn.lock", "pnpm-lock.yaml", "composer.lock", "poetry.lock", "cargo.lock",
    "gemfile.lock",      "go.sum",    "pipfile.lock",   "flake.lock",    "packages.lock.json",
    "npm-shrinkwrap.json"};
// Folders of texts in human languages.
constexpr std::string_view kTextWords[] = {"i18n", "l10n", "locale", "locales", "lang", "langs", "languages", "translations",
                                           "translation", "intl"};
constexpr std::string_view kGeneratedSuffixes[] = {".min.js", ".min.css", ".map", ".po",  ".pot",
                                                   ".svg",    ".xlf",     ".resx", ".bundle.js", ".strings", ".arb"};
constexpr std::string_view kExampleSuffixes[] = {".example", ".sample", ".dist", ".template", ".tmpl", ".tpl"};

PathClass ClassifyWords(std::string_view name) {
  PathClass result = PathClass::kOrdinary;
  while (!name.empty()) {
    const size_t end = name.find_first_of("._- ");
    const std::string_view word = name.substr(0, end);
    if ((word.size() > 1 && IsOneOf(word, kTestWords)) || IsOneOf(word, kFixtureWords)) return PathClass::kTest;
    if (IsOneOf(word, kExampleWords)) result = PathClass::kExample;
    name.remove_prefix(end == std::string_view::npos ? name.size() : end + 1);
  }
  return result;
}

}  // namespace

PathClass ClassifyPath(std::string_view path) {
  const std::string lower = LowerAscii(path);
  std::string_view rest = lower;
  PathClass folders = PathClass::kOrdinary;
  for (size_t slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
    const std::string_view folder = rest.substr(0, slash);
    if (IsOneOf(folder, kTextWords)) return PathClass::kGenerated;
    if (IsOneOf(folder, kFixtureWords)) folders = PathClass::kFixture;
    if (folders != PathClass::kFixture && IsOneOf(folder, kTestWords)) folders = PathClass::kTest;
    if (folders == PathClass::kOrdinary && IsOneOf(folder, kExampleWords)) folders = PathClass::kExample;
    rest.remove_prefix(slash + 1);
  }
  if (IsOneOf(rest, kGeneratedNames) || EndsWithAny(rest, kGeneratedSuffixes)) return PathClass::kGenerated;
  if (rest.starts_with("messages") && rest.ends_with(".properties")) return PathClass::kGenerated;
  if (folders != PathClass::kOrdinary) return folders;
  // ThingTest.java, thing_test.go and test_thing.py all name a test.
  static constexpr std::string_view kTestSuffixes[] = {"test.java", "tests.java", "test.kt", "tests.cs",
                                                       "test.php",  "test.scala", "test.swift"};
  if (EndsWithAny(rest, kTestSuffixes)) return PathClass::kTest;
  if (EndsWithAny(rest, kExampleSuffixes)) return PathClass::kExample;
  return ClassifyWords(rest);
}

}  // namespace unsprawl
