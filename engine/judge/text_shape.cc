#include "engine/judge/text_shape.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace unsprawl {
namespace {

// kPairs[a][b]: 5 + log2 of how much likelier letter b follows a than by chance, from '0' to '9'.
// Counted over the distinct words (square root of their frequency) of 49 MB of documentation, headers
// and sources of a Debian installation. Of random letter strings of 8, half score below 3.4 and 95 %
// below 5.0; of words of 5 letters and more, 95 % score above 5.1.
constexpr std::array<std::string_view, 26> kPairs = {
    "25652352504767050767443241",
    "64447331642733630664710342",
    "62437317516531730547511130",
    "64358333711533630553522030",
    "53664542322557343776243530",
    "63446611800523720655602040",
    "62438356600546630764521033",
    "71128121702443730646502030",
    "55655450002658640566140304",
    "73447322624233742272603010",
    "63348344713434641464513041",
    "73257331722632630155530061",
    "75238120712452670252501030",
    "62666472614324630267431031",
    "34563442323667550755645221",
    "71337225502622650756511040",
    "33332011410432212452932000",
    "72448341704454630566431050",
    "51527326604433651368622041",
    "61437316701432640655403151",
    "56545540502667350767110211",
    "72319130700332520242211110",
    "72347126702426620653204110",
    "53646413601352470268310440",
    "64436342502566670575424023",
    "73218315702542520343323045",};
constexpr double kWordScore = 4.9;
// Of 5 to 7 small letters alone: of words 1 to 4 % score below, of random ones three of four.
constexpr double kShortWordScore = 4.3;
// Of text that is drawn more likely than not: short runs, or digits between them.
constexpr double kDoubtfulWordScore = 5.7;

int PairScore(char a, char b) { return kPairs[static_cast<size_t>(a - 'a')][static_cast<size_t>(b - 'a')] - '0'; }

// What the runs of letters in a text add up to. A run ends at any other byte and where a capital
// follows a small letter.
struct Letters {
  int letters = 0, digits = 0, other = 0, runs = 0;
  int pairs = 0, score = 0;
  int long_runs = 0;     // of 3 letters and more
  int digit_runs = 0;
  int inner_digit_runs = 0;  // with a letter after them
  int longest_digits = 0;
  // Small letters after two capitals, as in no word: "NIc"; a leading abbreviation ("TKToken") may.
  int odd_capitals = 0;
};

Letters CountLetters(std::string_view text) {
  Letters count;
  char previous = 0;
  int run = 0, digits = 0;
  const auto end_run = [&count, &run] {
    if (run >= 3) ++count.long_runs;
    run = 0;
  };
  for (const char c : text) {
    if (IsAlpha(c)) {
      const bool continues = run > 0 && !(IsUpper(c) && IsLower(previous));
      if (!continues) {
        end_run();
        ++count.runs;
      } else {
        const char a = static_cast<char>(previous | 0x20), b = static_cast<char>(c | 0x20);
        count.score += PairScore(a, b);
        ++count.pairs;
        if (run >= 2 && count.runs > 1 && IsLower(c) && IsUpper(previous)) ++count.odd_capitals;
      }
      ++run;
      ++count.letters;
      // A single 2 joins words: symbol2label.
      const bool joins = digits == 1 && previous == '2';
      if (digits > 0 && count.letters > 1 && !joins) ++count.inner_digit_runs;
      digits = 0;
    } else {
      end_run();
      if (IsDigit(c)) {
        if (digits++ == 0) ++count.digit_runs;
        ++count.digits;
        count.longest_digits = std::max(count.longest_digits, digits);
      } else {
        ++count.other;
        digits = 0;
      }
    }
    previous = c;
  }
  end_run();
  return count;
}

// Several words and numbers with dashes, dots or underscores between them: "us-east-1", "user_session_2019".
bool IsJoinedWords(std::string_view text) {
  constexpr std::string_view kJoints = "_-.";
  if (text.find_first_of(kJoints) == std::string_view::npos) return false;
  int words = 0;
  while (!text.empty()) {
    const size_t end = text.find_first_of(kJoints);
    const std::string_view piece = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const bool number = piece.size() <= 4 && std::all_of(piece.begin(), piece.end(), IsDigit);
    if (number) continue;
    if (!std::all_of(piece.begin(), piece.end(), IsAlpha)) return false;
    const Letters count = CountLetters(piece);
    if (count.odd_capitals > 0 || (piece.size() > 3 && count.score < kWordScore * count.pairs)) return false;
    words += piece.size() > 3 ? 1 : 0;
  }
  return words > 0;
}

// Between the separators of a name: a word or a short abbreviation ("MYSQL", "s3", "password2").
bool IsShowablePiece(std::string_view piece) {
  const Letters count = CountLetters(piece);
  if (piece.size() <= 3) return true;
  if (count.digits == 0 && piece.size() <= 6) return true;
  if (count.inner_digit_runs > 0 || count.longest_digits > 4 || count.odd_capitals > 1) return false;
  return count.pairs > 0 && count.letters >= 3 * count.runs && count.score >= 4.7 * count.pairs;
}

}  // namespace

double Entropy(std::string_view text) {
  if (text.empty()) return 0;
  std::array<uint32_t, 256> counts{};
  for (const char c : text) ++counts[static_cast<unsigned char>(c)];
  double bits = 0;
  const double total = static_cast<double>(text.size());
  for (const uint32_t count : counts) {
    if (count == 0) continue;
    const double share = count / total;
    bits -= share * std::log2(share);
  }
  return bits;
}

bool IsWordLike(std::string_view text) {
  // two_words: an identifier, whatever its letters; and a short word that is all small letters.
  const bool small = std::all_of(text.begin(), text.end(), [](char c) { return IsLower(c) || c == '_' || c == '-'; });
  const bool joined = text.size() > 2 && text.find('_', 1) != std::string_view::npos;
  if (small && (joined || (text.size() >= 3 && text.size() <= 4))) return true;
  const Letters count = CountLetters(text);
  if (IsJoinedWords(text)) return true;
  if (small && text.size() <= 7 && count.pairs > 0) return count.score >= kShortWordScore * count.pairs;
  if (count.letters < 3 || count.pairs == 0) return false;
  // Digits within words are drawn; a number at the end, or a few between words, are not.
  if (count.digits * 3 > count.letters || count.digit_runs > 2) return false;
  if (count.long_runs * 2 < count.runs) return false;
  if (count.odd_capitals > 1) return false;
  const bool doubtful = count.inner_digit_runs > 0 || count.odd_capitals > 0 ||
                        (count.runs > 1 && count.letters < 4 * count.runs);
  return count.score >= (doubtful ? kDoubtfulWordScore : kWordScore) * count.pairs;
}

bool IsChosen(std::string_view text) {
  constexpr size_t kLeast = 6, kMost = 40;
  constexpr std::string_view kSigns = "!#$%&*+?@^~", kJoints = "_-.";
  // What is numbered, or named by a number.
  static constexpr std::string_view kNumbered[] = {
      "sha",   "md",    "base",   "utf",  "oauth", "x",    "pkcs", "rsa",   "aes",    "des",    "ed",      "curve",  "secp",  "win",
      "linux", "amd",   "arm",    "iso",  "crc",   "ipv",  "http", "tls",   "ssl",    "python", "php",     "java",   "node",  "host",
      "web",   "db",    "server", "page", "item",  "line", "part", "version", "level", "step",  "group",   "client", "service", "account",
      "field", "param", "value",  "name", "string", "label", "text", "id", "key", "col", "column", "row", "type", "mode", "int"};
  if (text.size() < kLeast || text.size() > kMost) return false;
  int lower = 0, upper = 0, digits = 0, signs = 0, joints = 0;
  for (const char c : text) {
    lower += IsLower(c), upper += IsUpper(c), digits += IsDigit(c);
    signs += kSigns.find(c) != std::string_view::npos, joints += kJoints.find(c) != std::string_view::npos;
    if (!IsAlnum(c) && kSigns.find(c) == std::string_view::npos && kJoints.find(c) == std::string_view::npos) return false;
  }
  if (lower + upper < 3 || digits == 0 || joints > 2) return false;
  if (digits < 2 && signs == 0 && !(text.size() >= 8 && CountLetters(text).inner_digit_runs > 0)) return false;
  if (joints > 0 && signs == 0 && (lower == 0 || upper == 0)) return false;
  const size_t stem = static_cast<size_t>(std::find_if_not(text.begin(), text.end(), IsAlpha) - text.begin());
  const std::string word = LowerAscii(text.substr(0, stem));
  return std::find(std::begin(kNumbered), std::end(kNumbered), word) == std::end(kNumbered);
}

bool IsDrawn(std::string_view text) {
  constexpr int kLeast = 8;
  const Letters count = CountLetters(text);
  return count.letters >= kLeast && count.score < kWordScore * count.pairs;
}

bool IsShowableName(std::string_view text) {
  constexpr int kMaxPieces = 10;
  int pieces = 0;
  bool letters = false;
  while (!text.empty()) {
    const size_t end = text.find_first_of("_.-$");
    const std::string_view piece = text.substr(0, end);
    if (!piece.empty() && (++pieces > kMaxPieces || !IsShowablePiece(piece))) return false;
    letters = letters || std::any_of(piece.begin(), piece.end(), IsAlpha);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return letters;
}

bool IsDigestShape(std::string_view text) {
  switch (text.size()) {
    case 32: case 40: case 56: case 64: case 96: case 128: break;
    default: return false;
  }
  const bool lower = std::all_of(text.begin(), text.end(),
                                 [](char c) { return IsDigit(c) || (c >= 'a' && c <= 'f'); });
  const bool upper = std::all_of(text.begin(), text.end(),
                                 [](char c) { return IsDigit(c) || (c >= 'A' && c <= 'F'); });
  return lower || upper;
}

bool IsUuidShape(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool hex = IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (dash ? c != '-' : !hex) return false;
  }
  return true;
}

bool ContainsAny(std::string_view text, std::span<const std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [text](std::string_view part) { return text.find(part) != std::string_view::npos; });
}

bool StartsWithAny(std::string_view text, std::span<const std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [text](std::string_view part) { return text.starts_with(part); });
}

bool EndsWithAny(std::string_view text, std::span<const std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [text](std::string_view part) { return text.ends_with(part); });
}

std::string LowerAscii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = IsUpper(c) ? static_cast<char>(c | 0x20) : c;
  return lower;
}

}  // namespace unsprawl
