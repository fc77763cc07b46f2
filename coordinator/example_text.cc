#include "coordinator/example_text.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <vector>

#include "absl/strings/str_format.h"
#include "engine/base/sha256.h"
#include "engine/base/status.h"
#include "engine/judge/checksum.h"

namespace unsprawl {
namespace {

constexpr std::string_view kBase62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr std::string_view kBech32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
constexpr std::string_view kBase58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
constexpr int64_t kMaxPiece = 20000;  // characters of one piece

// splitmix64: small, and the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t value = (state_ += 0x9E3779B97F4A7C15u);
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
  }
  size_t Below(size_t limit) { return static_cast<size_t>(Next() % limit); }
  std::string From(std::string_view alphabet, size_t length) {
    std::string text;
    for (size_t i = 0; i < length; ++i) text.push_back(alphabet[Below(alphabet.size())]);
    return text;
  }
  std::string Bytes(size_t length) {
    std::string bytes;
    for (size_t i = 0; i < length; ++i) bytes.push_back(static_cast<char>(Next()));
    return bytes;
  }

 private:
  uint64_t state_;
};

std::string ToBase64(std::string_view bytes, bool url) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      if (j <= count) {
        const char c = kBase64[(bits >> (18 - 6 * j)) & 63];
        text.push_back(url && c == '+' ? '-' : url && c == '/' ? '_' : c);
      } else if (!url) {
        text.push_back('=');
      }
    }
  }
  return text;
}

std::string Uuid(Random& random) {
  std::string hex = random.From("0123456789abcdef", 32);
  hex[12] = '4';
  hex[16] = "89ab"[random.Below(4)];
  return hex.substr(0, 8) + '-' + hex.substr(8, 4) + '-' + hex.substr(12, 4) + '-' + hex.substr(16, 4) +
         '-' + hex.substr(20);
}

std::string Jwt(Random& random, std::string_view kind) {
  // Expires in 2100, or did in 2020.
  const int64_t expiry = kind == "expired" ? 1577836800 : 4102444800;
  const std::string header = R"({"alg":"HS256","typ":"JWT"})";
  const std::string payload = absl::StrFormat(R"({"sub":"%s","iss":"%s","exp":%d})", Uuid(random),
                                              random.From("abcdefghijklmnop", 9), expiry);
  const std::string body = ToBase64(header, true) + '.' + ToBase64(payload, true);
  return kind == "unsigned" ? body + '.' : body + '.' + ToBase64(random.Bytes(32), true);
}

// DER: a SEQUENCE whose length is right; its content is noise.
std::string DerSequence(Random& random, size_t length) {
  std::string bytes = {'\x30', '\x82', static_cast<char>(length >> 8), static_cast<char>(length)};
  return bytes + random.Bytes(length);
}

struct Frame {
  std::string_view name, label;
};
constexpr Frame kFrames[] = {{"rsa", "RSA PRIVATE KEY"},         {"dsa", "DSA PRIVATE KEY"},
                             {"ec", "EC PRIVATE KEY"},           {"openssh", "OPENSSH PRIVATE KEY"},
                             {"pkcs8", "PRIVATE KEY"},           {"encrypted", "ENCRYPTED PRIVATE KEY"}};

// A key block: `line_end` after each line but the last, `indent` before each.
std::optional<std::string> Pem(Random& random, std::string_view kind, std::string_view line_end,
                               std::string_view indent) {
  const Frame* frame = std::find_if(std::begin(kFrames), std::end(kFrames),
                                    [kind](const Frame& one) { return one.name == kind; });
  if (frame == std::end(kFrames)) return std::nullopt;
  std::string body = kind == "openssh" ? std::string("openssh-key-v1\0", 15) + random.Bytes(500)
                                       : DerSequence(random, kind == "ec" ? 300 : 600);
  body = ToBase64(body, false);
  std::string text = absl::StrFormat("%s-----BEGIN %s-----%s", indent, frame->label, line_end);
  for (size_t i = 0; i < body.size(); i += 64) {
    text += absl::StrFormat("%s%s%s", indent, body.substr(i, 64), line_end);
  }
  return text + absl::StrFormat("%s-----END %s-----", indent, frame->label);
}

std::string Pgp(Random& random) {
  const std::string bytes = random.Bytes(300);
  const std::string body = ToBase64(bytes, false);
  std::string text = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n";
  for (size_t i = 0; i < body.size(); i += 64) text += body.substr(i, 64) + "\n";
  const uint32_t crc = Crc24(bytes);
  const std::string sum = {static_cast<char>(crc >> 16), static_cast<char>(crc >> 8), static_cast<char>(crc)};
  return text + "=" + ToBase64(sum, false) + "\n-----END PGP PRIVATE KEY BLOCK-----";
}

// Bech32 (BIP 173) of 32 bytes under age's prefix, in capitals.
std::string Age(Random& random) {
  const std::string prefix = "age-secret-key-";
  std::vector<uint32_t> data;
  for (int i = 0; i < 52; ++i) data.push_back(static_cast<uint32_t>(random.Below(32)));
  data.back() &= 0x10;  // 256 bits leave 4 bits of padding
  uint32_t sum = 1;
  const auto feed = [&sum](uint32_t value) {
    constexpr uint32_t kGenerator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
    const uint32_t top = sum >> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    for (int i = 0; i < 5; ++i) sum ^= ((top >> i) & 1) != 0 ? kGenerator[i] : 0;
  };
  for (const char c : prefix) feed(static_cast<uint32_t>(c) >> 5);
  feed(0);
  for (const char c : prefix) feed(static_cast<uint32_t>(c) & 31);
  for (const uint32_t value : data) feed(value);
  for (int i = 0; i < 6; ++i) feed(0);
  sum ^= 1;
  std::string text = prefix + "1";
  for (const uint32_t value : data) text.push_back(kBech32[value]);
  for (int i = 0; i < 6; ++i) text.push_back(kBech32[(sum >> (5 * (5 - i))) & 31]);
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return text;
}

// The bytes with their checksum, in base 58 (Bitcoin).
std::string Base58Check(std::string bytes) {
  bytes += Sha256(Sha256(bytes)).substr(0, 4);
  std::vector<uint32_t> digits;  // little endian
  for (const char c : bytes) {
    uint32_t carry = static_cast<unsigned char>(c);
    for (uint32_t& digit : digits) {
      carry += digit << 8;
      digit = carry % 58;
      carry /= 58;
    }
    for (; carry > 0; carry /= 58) digits.push_back(carry % 58);
  }
  std::string text;
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) text.push_back(kBase58[*digit]);
  return text;
}

// A BIP 32 extended private key of the main network.
std::string Xprv(Random& random) {
  return Base58Check(std::string("\x04\x88\xAD\xE4", 4) + random.Bytes(41) + '\0' + random.Bytes(32));
}

// A key of 32 bytes in Bitcoin's wallet import format; "compressed": of a compressed public key.
std::string Wif(Random& random, std::string_view kind) {
  return Base58Check("\x80" + random.Bytes(32) + (kind == "compressed" ? "\x01" : ""));
}

// "05020000": the bytes that these hexadecimal digits stand for.
std::optional<std::string> FromHex(std::string_view digits) {
  if (digits.empty() || digits.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    uint8_t byte = 0;
    const char* const end = digits.data() + i + 2;
    if (std::from_chars(digits.data() + i, end, byte, 16).ptr != end) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

std::string CrcHex(std::string_view text, bool upper) {
  return upper ? absl::StrFormat("%08X", Crc32(text)) : absl::StrFormat("%08x", Crc32(text));
}

// A GitLab routable token: payload, version, its length in base 36, and the checksum.
std::string Gitlab(Random& random, std::string_view prefix) {
  const std::string payload = random.From(kBase62, 36);
  const std::string body = absl::StrFormat("%s%s.01.%s", prefix, payload,
                                           Base36(static_cast<uint32_t>(payload.size()), 2));
  return body + Base36(Crc32(body), 7);
}

// A password that a person or a tool may have chosen: letters, digits, one sign.
std::string Password(Random& random) {
  return random.From("ABCDEFGHJKLMNPQRSTUVWXYZ", 1) + random.From("bcdfghjklmnpqrstvwxz", 3) +
         random.From("23456789", 2) + random.From("!.+~", 1) + random.From(kBase62, 5) +
         random.From("23456789", 1);
}

std::string AwsKey(Random& random, std::string_view prefix) {
  // The account number lies above the first bit; a first bit of 0 keeps it below 10^12.
  return std::string(prefix) + random.From("ABCDEFGH", 1) + random.From(kBase32, 15);
}

struct Alphabet {
  std::string_view name, characters;
};
constexpr Alphabet kAlphabets[] = {
    {"b62", kBase62},
    {"hex", "0123456789abcdef"},
    {"HEX", "0123456789ABCDEF"},
    {"b32", kBase32},
    {"b64", kBase64},
    {"b64url", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"},
    {"digits", "123456789"},  // no leading zero, wherever a piece begins
    {"upper", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
    {"lower", "abcdefghijklmnopqrstuvwxyz"},
    {"alnum", "abcdefghijklmnopqrstuvwxyz0123456789"},
    {"up36", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"},
    {"django", "abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*(-_=+)"},
};

std::optional<int64_t> Number(std::string_view text) {
  int64_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  if (number < 0 || number > kMaxPiece) return std::nullopt;
  return number;
}

// "40" or "20-40".
std::optional<size_t> Length(Random& random, std::string_view text) {
  const size_t dash = text.find('-');
  const auto low = Number(text.substr(0, dash));
  if (!low) return std::nullopt;
  if (dash == std::string_view::npos) return static_cast<size_t>(*low);
  const auto high = Number(text.substr(dash + 1));
  if (!high || *high < *low) return std::nullopt;
  return static_cast<size_t>(*low) + random.Below(static_cast<size_t>(*high - *low + 1));
}

// "ghp_,30": a prefix and a length.
struct Prefixed {
  std::string prefix;
  size_t length = 0;
};
std::optional<Prefixed> SplitPrefix(std::string_view text) {
  const size_t comma = text.find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  const auto length = Number(text.substr(comma + 1));
  if (!length) return std::nullopt;
  return Prefixed{std::string(text.substr(0, comma)), static_cast<size_t>(*length)};
}

std::string Pick(Random& random, std::string_view choices) {
  std::vector<std::string_view> all;
  for (size_t bar = choices.find('|'); bar != std::string_view::npos; bar = choices.find('|')) {
    all.push_back(choices.substr(0, bar));
    choices.remove_prefix(bar + 1);
  }
  all.push_back(choices);
  return std::string(all[random.Below(all.size())]);
}

std::optional<std::string> Checksummed(Random& random, std::string_view name, std::string_view arguments) {
  const auto parts = SplitPrefix(arguments);
  if (!parts) return std::nullopt;
  if (name == "crc62") {
    const std::string body = random.From(kBase62, parts->length);
    return parts->prefix + body + Base62(Crc32(body), 6);
  }
  const std::string_view alphabet = name == "atlassianhex" ? "0123456789abcdef" : kBase62;
  std::string body = parts->prefix + random.From(alphabet, parts->length);
  if (name == "atlassian") body += '=';
  return body + CrcHex(body, true);
}

// The piece that {name:arguments} stands for; nullopt when the arguments are wrong.
std::optional<std::string> Piece(Random& random, std::string_view name, std::string_view arguments) {
  if (name == "uuid") return Uuid(random);
  if (name == "any") return random.Below(2) == 0 ? random.From(kBase62, 32) : random.From("0123456789abcdef", 40);
  if (name == "jwt") return Jwt(random, arguments);
  if (name == "pw") return Password(random);
  if (name == "word") {
    return Pick(random, "orchard|harbour|lantern|meadow|pebble|willow|cobalt|saffron");
  }
  if (name == "pick") return Pick(random, arguments);
  if (name == "pem") return Pem(random, arguments, "\n", "");
  if (name == "pemindent") return Pem(random, arguments, "\n", "  ");
  if (name == "pemescaped") return Pem(random, arguments, "\\n", "");
  if (name == "pgp") return Pgp(random);
  if (name == "age") return Age(random);
  if (name == "xprv") return Xprv(random);
  if (name == "wif") return Wif(random, arguments);
  if (name == "bytes") return FromHex(arguments);
  if (name == "awskey") return AwsKey(random, arguments);
  if (name == "gitlab") return Gitlab(random, arguments);
  if (name == "basic") return ToBase64("svc-shop:" + Password(random), false);
  if (name == "grafana") {
    const std::string body = "glsa_" + random.From(kBase62, 32);
    return body + absl::StrFormat("_%08x", __builtin_bswap32(Crc32(body)));
  }
  if (name == "discord") {
    const std::string id = "1" + random.From("0123456789", 17);
    return ToBase64(id, true) + '.' + random.From(kBase62, 6) + '.' + random.From(kBase62, 38);
  }
  if (name == "crc62" || name == "atlassian" || name == "atlassianapp" || name == "atlassianhex") {
    return Checksummed(random, name, arguments);
  }
  const auto length = Length(random, name == "django" ? "50" : arguments);
  if (!length) return std::nullopt;
  if (name == "raw") return random.Bytes(*length);
  if (name == "b64of") return ToBase64(random.Bytes(*length), false);
  if (name == "json64") {
    // Base64 without padding of a JSON object of about this many bytes.
    const size_t filler = *length / 3 * 3 - 12;
    return ToBase64(absl::StrFormat(R"({"key":"%s"})", random.From(kBase62, filler + 2)), false);
  }
  for (const Alphabet& alphabet : kAlphabets) {
    if (alphabet.name == name) return random.From(alphabet.characters, *length);
  }
  return std::nullopt;
}

bool IsKnown(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "uuid",  "any", "jwt",  "pw",     "word",   "pick",  "pem",     "pemindent", "pemescaped", "pgp",  "age", "xprv", "wif",
      "awskey", "gitlab", "basic", "grafana", "discord", "crc62", "atlassian", "atlassianapp",
      "atlassianhex", "b64of", "json64", "bytes", "raw"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) ||
         std::any_of(std::begin(kAlphabets), std::end(kAlphabets),
                     [name](const Alphabet& alphabet) { return alphabet.name == name; });
}

}  // namespace

uint64_t HashText(std::string_view text, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325u ^ seed;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

absl::StatusOr<std::string> ExpandExample(std::string_view text, uint64_t seed) {
  Random random(HashText(text, seed));
  std::string result;
  while (!text.empty()) {
    const size_t open = text.find('{');
    const size_t close = open == std::string_view::npos ? open : text.find_first_of("{}", open + 1);
    result.append(text.substr(0, open));
    if (close == std::string_view::npos) {
      if (open != std::string_view::npos) result.append(text.substr(open));
      break;
    }
    const std::string_view inside = text.substr(open + 1, close - open - 1);
    const size_t colon = inside.find(':');
    const std::string_view name = inside.substr(0, colon);
    if (text[close] == '{' || !IsKnown(name)) {
      result.append(text.substr(open, close - open));
      text.remove_prefix(close);
      if (!text.empty() && text.front() == '}') {
        result.push_back('}');
        text.remove_prefix(1);
      }
      continue;
    }
    const std::string_view arguments = colon == std::string_view::npos ? "" : inside.substr(colon + 1);
    const std::optional<std::string> piece = Piece(random, name, arguments);
    if (!piece) {
      return absl::InvalidArgumentError(
          absl::StrFormat("{%s}: %s does not take \"%s\"; docs/rules.md lists the pieces of an example",
                          inside, name, arguments));
    }
    result += *piece;
    text.remove_prefix(close + 1);
  }
  return result;
}

}  // namespace unsprawl
