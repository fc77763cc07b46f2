#include "engine/judge/checksum.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "absl/strings/str_format.h"
#include "engine/base/sha256.h"

namespace unsprawl {
namespace {

std::array<uint32_t, 256> MakeCrc32Table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320u : 0);
    table[i] = value;
  }
  return table;
}

std::string ToBase(uint32_t number, uint32_t base, std::string_view alphabet, int width) {
  std::string text;
  for (; number > 0; number /= base) text.push_back(alphabet[number % base]);
  while (text.size() < static_cast<size_t>(width)) text.push_back('0');
  std::reverse(text.begin(), text.end());
  return text;
}

// What follows the last underscore of a prefix such as "ghp_": the random part with its checksum.
std::string_view AfterPrefix(std::string_view secret) {
  const size_t underscore = secret.find('_');
  return underscore == std::string_view::npos ? secret : secret.substr(underscore + 1);
}

// GitHub and npm: the last 6 characters are the CRC-32 of those after the prefix, in base 62.
Check Crc32Base62(std::string_view secret) {
  const std::string_view body = AfterPrefix(secret);
  if (body.size() < 7) return Check::kBad;
  const size_t random = body.size() - 6;
  return Base62(Crc32(body.substr(0, random)), 6) == body.substr(random) ? Check::kOk : Check::kBad;
}

// GitHub's fine-grained tokens end in such a checksum too, but over what is not documented: a token
// that fits one of the likely readings is confirmed, and none is refused.
Check GithubFineGrained(std::string_view secret) {
  constexpr std::string_view kPrefix = "github_pat_";
  if (secret.size() < kPrefix.size() + 7) return Check::kNone;
  const std::string_view sum = secret.substr(secret.size() - 6);
  const std::string_view whole = secret.substr(0, secret.size() - 6);
  const std::string_view body = whole.substr(kPrefix.size());
  const size_t underscore = body.find('_');
  for (const std::string_view part :
       {whole, body, underscore == std::string_view::npos ? body : body.substr(underscore + 1)}) {
    if (Base62(Crc32(part), 6) == sum) return Check::kOk;
  }
  return Check::kNone;
}

// GitLab's routable tokens: the last 7 characters are the CRC-32 of all before them in base 36. The
// layout is from memory, so that only agreement counts; classic tokens have no checksum.
Check GitlabRoutable(std::string_view secret) {
  if (secret.size() < 16 || secret.find('.') == std::string_view::npos) return Check::kNone;
  const size_t sum = secret.size() - 7;
  return Base36(Crc32(secret.substr(0, sum)), 7) == secret.substr(sum) ? Check::kOk : Check::kNone;
}

bool EndsInCrc32Hex(std::string_view secret, uint32_t crc) {
  const std::string sum = absl::StrFormat("%08x", crc);
  const std::string_view tail = secret.substr(secret.size() - 8);
  return std::equal(sum.begin(), sum.end(), tail.begin(),
                    [](char a, char b) { return a == (b >= 'A' && b <= 'F' ? b - 'A' + 'a' : b); });
}

// Atlassian: the last 8 characters are the CRC-32, big endian in hexadecimal, of all before them.
Check AtlassianCrc32(std::string_view secret) {
  if (secret.size() < 9) return Check::kBad;
  return EndsInCrc32Hex(secret, Crc32(secret.substr(0, secret.size() - 8))) ? Check::kOk : Check::kBad;
}

// The same where it is not certain (Bitbucket app passwords, Trello): only agreement counts.
Check AtlassianCrc32Maybe(std::string_view secret) {
  return AtlassianCrc32(secret) == Check::kOk ? Check::kOk : Check::kNone;
}

// Grafana service accounts (pkg/components/satokengen): CRC-32 of what precedes "_" and the sum, its
// bytes in little-endian order.
Check GrafanaCrc32(std::string_view secret) {
  if (secret.size() < 10 || secret[secret.size() - 9] != '_') return Check::kBad;
  return EndsInCrc32Hex(secret, __builtin_bswap32(Crc32(secret.substr(0, secret.size() - 9))))
             ? Check::kOk
             : Check::kBad;
}

// Bech32 (BIP 173): the polymod of the expanded prefix and data is 1.
Check Bech32(std::string_view secret) {
  constexpr std::string_view kAlphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
  static constexpr uint32_t kGenerator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
  std::string lower(secret);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const size_t separator = lower.rfind('1');
  if (separator == std::string::npos || separator == 0 || lower.size() - separator < 7) return Check::kBad;
  uint32_t sum = 1;
  const auto feed = [&sum](uint32_t value) {
    const uint32_t top = sum >> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    for (int i = 0; i < 5; ++i) sum ^= ((top >> i) & 1) != 0 ? kGenerator[i] : 0;
  };
  for (size_t i = 0; i < separator; ++i) feed(static_cast<unsigned char>(lower[i]) >> 5);
  feed(0);
  for (size_t i = 0; i < separator; ++i) feed(static_cast<unsigned char>(lower[i]) & 31);
  for (size_t i = separator + 1; i < lower.size(); ++i) {
    const size_t value = kAlphabet.find(lower[i]);
    if (value == std::string_view::npos) return Check::kBad;
    feed(static_cast<uint32_t>(value));
  }
  return sum == 1 ? Check::kOk : Check::kBad;
}

// Base58Check (Bitcoin): the last 4 of the decoded bytes begin the double SHA-256 of those before.
Check Base58Check(std::string_view secret) {
  constexpr std::string_view kAlphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  constexpr size_t kMaxText = 200;  // extended keys have 111 characters
  if (secret.empty() || secret.size() > kMaxText) return Check::kBad;
  std::vector<uint8_t> bytes;  // little endian while decoding
  for (const char c : secret) {
    const size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return Check::kBad;
    uint32_t carry = static_cast<uint32_t>(digit);
    for (uint8_t& byte : bytes) {
      carry += byte * 58u;
      byte = static_cast<uint8_t>(carry);
      carry >>= 8;
    }
    for (; carry > 0; carry >>= 8) bytes.push_back(static_cast<uint8_t>(carry));
  }
  for (const char c : secret) {
    if (c != '1') break;
    bytes.push_back(0);
  }
  if (bytes.size() < 5) return Check::kBad;
  std::reverse(bytes.begin(), bytes.end());
  const std::string digest = Sha256(Sha256({reinterpret_cast<const char*>(bytes.data()), bytes.size() - 4}));
  return std::memcmp(digest.data(), &bytes[bytes.size() - 4], 4) == 0 ? Check::kOk : Check::kBad;
}

// OpenPGP armour: the line "=" and 4 base64 characters is the CRC-24 of the decoded body. Optional in
// RFC 9580, so a block without it is only not confirmed.
Check PgpCrc24(std::string_view secret) {
  const size_t blank = secret.find("\n\n");
  const size_t blank_crlf = secret.find("\r\n\r\n");
  size_t at = std::min(blank, blank_crlf);
  if (at == std::string_view::npos) return Check::kNone;
  const size_t end = secret.find("-----END", at);
  if (end == std::string_view::npos) return Check::kNone;
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  std::string_view sum;
  bool line_start = true;
  for (; at < end; ++at) {
    const char c = secret[at];
    if (c == '\n' || c == '\r') {
      line_start = true;
      continue;
    }
    if (c == '=' && line_start) {
      sum = secret.substr(at + 1, 4);
      break;
    }
    line_start = false;
    int value = -1;
    if (c >= 'A' && c <= 'Z') value = c - 'A';
    if (c >= 'a' && c <= 'z') value = c - 'a' + 26;
    if (c >= '0' && c <= '9') value = c - '0' + 52;
    if (c == '+') value = 62;
    if (c == '/') value = 63;
    if (value < 0) continue;
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (++count % 4 != 1) bytes.push_back(static_cast<char>(bits >> (2 * (3 - (count - 1) % 4))));
  }
  if (sum.size() != 4) return Check::kNone;
  constexpr std::string_view kBase64 =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const uint32_t crc = Crc24(bytes);
  for (int i = 0; i < 4; ++i) {
    if (sum[static_cast<size_t>(i)] != kBase64[(crc >> (18 - 6 * i)) & 63]) return Check::kBad;
  }
  return Check::kOk;
}

struct Entry {
  std::string_view name;
  ChecksumFunction function;
};
constexpr Entry kChecksums[] = {
    {"atlassian-crc32", AtlassianCrc32},
    {"atlassian-crc32-maybe", AtlassianCrc32Maybe},
    {"base58check", Base58Check},
    {"bech32", Bech32},
    {"crc32-base62", Crc32Base62},
    {"github-fine-grained", GithubFineGrained},
    {"gitlab-routable", GitlabRoutable},
    {"grafana-crc32", GrafanaCrc32},
    {"pgp-crc24", PgpCrc24},
};

}  // namespace

ChecksumFunction FindChecksum(std::string_view name) {
  for (const Entry& entry : kChecksums) {
    if (entry.name == name) return entry.function;
  }
  return nullptr;
}

std::span<const std::string_view> ChecksumNames() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all;
    for (const Entry& entry : kChecksums) all.push_back(entry.name);
    return all;
  }();
  return names;
}

uint32_t Crc32(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = MakeCrc32Table();
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

uint32_t Crc24(std::string_view bytes) {
  uint32_t crc = 0xB704CE;
  for (const char c : bytes) {
    crc ^= static_cast<uint32_t>(static_cast<unsigned char>(c)) << 16;
    for (int bit = 0; bit < 8; ++bit) {
      crc <<= 1;
      if ((crc & 0x1000000) != 0) crc ^= 0x1864CFB;
    }
  }
  return crc & 0xFFFFFF;
}

std::string Base62(uint32_t number, int width) {
  return ToBase(number, 62, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", width);
}

std::string Base36(uint32_t number, int width) {
  return ToBase(number, 36, "0123456789abcdefghijklmnopqrstuvwxyz", width);
}

}  // namespace unsprawl
