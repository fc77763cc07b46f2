#include "engine/judge/structure.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "engine/judge/text_shape.h"

namespace unsprawl {
namespace {

int Base64Value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

bool AllDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool IsHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// The number after `"name":` in a JSON text, wherever it stands; nullopt when absent or no integer.
std::optional<int64_t> JsonInteger(std::string_view json, std::string_view name) {
  const std::string quoted = '"' + std::string(name) + '"';
  size_t at = json.find(quoted);
  if (at == std::string_view::npos) return std::nullopt;
  at += quoted.size();
  while (at < json.size() && (json[at] == ' ' || json[at] == ':')) ++at;
  int64_t number = 0;
  const auto result = std::from_chars(json.data() + at, json.data() + json.size(), number);
  if (result.ec != std::errc()) return std::nullopt;
  return number;
}

bool LooksLikeJsonObject(const std::optional<std::string>& text) {
  return text && text->size() >= 2 && text->front() == '{' && text->find('"') != std::string::npos &&
         text->find_last_of('}') != std::string::npos;
}

// RFC 7519: header and payload are JSON objects in base64url; "exp" in the past means expired.
Check Jwt(std::string_view secret, std::string_view, int64_t now) {
  const size_t start = secret.find("eyJ");
  if (start == std::string_view::npos) return Check::kBad;
  secret.remove_prefix(start);
  const size_t first = secret.find('.');
  if (first == std::string_view::npos) return Check::kBad;
  const size_t second = secret.find('.', first + 1);
  const auto header = DecodeBase64(secret.substr(0, first));
  if (!LooksLikeJsonObject(header) || header->find("\"alg\"") == std::string::npos) return Check::kBad;
  const auto payload = DecodeBase64(secret.substr(first + 1, second - first - 1));
  if (!LooksLikeJsonObject(payload)) return Check::kBad;
  constexpr size_t kLeastPayload = 20;  // {"data":"test"}: nobody is let in by so little
  if (payload->size() < kLeastPayload) return Check::kBad;
  if (const auto expiry = JsonInteger(*payload, "exp"); expiry && *expiry < now) return Check::kDead;
  return Check::kOk;
}

// One JSON object in base64, after a prefix that ends with "_" (Grafana Cloud, 1Password).
Check Base64Json(std::string_view secret, std::string_view, int64_t) {
  const size_t underscore = secret.find('_');
  if (underscore != std::string_view::npos && underscore < 8) secret.remove_prefix(underscore + 1);
  if (const size_t next = secret.find('_'); next != std::string_view::npos) secret = secret.substr(0, next);
  while (secret.size() % 4 == 1) secret.remove_suffix(1);
  return LooksLikeJsonObject(DecodeBase64(secret)) ? Check::kOk : Check::kBad;
}

// AWS: after the 4-letter kind, 16 characters of base 32 whose first 40 bits hold, above one bit, the
// account's 12-digit number (aws: GetAccessKeyInfo; layout verified on public samples).
Check AwsKeyId(std::string_view secret, std::string_view, int64_t) {
  if (secret.size() != 20) return Check::kBad;
  uint64_t value = 0;
  for (size_t i = 4; i < 20; ++i) {
    const char c = secret[i];
    const bool letter = c >= 'A' && c <= 'Z';
    if (!letter && !(c >= '2' && c <= '7')) return Check::kBad;
    // The first 10 characters are 50 bits; the account is in the first 48.
    if (i < 14) value = value << 5 | static_cast<uint64_t>(letter ? c - 'A' : c - '2' + 26);
  }
  const uint64_t account = ((value >> 2) & 0x7fffffffff80) >> 7;
  // Keys older than 2019 do not carry it; their first character is I or J.
  if (secret[4] == 'I' || secret[4] == 'J') return Check::kNone;
  return account <= 999'999'999'999 ? Check::kOk : Check::kBad;
}

// Exactly N bytes in base64.
template <size_t kBytes>
Check Base64Of(std::string_view secret, std::string_view, int64_t) {
  const auto bytes = DecodeBase64(secret);
  return bytes && bytes->size() == kBytes ? Check::kOk : Check::kBad;
}

// Base64 of "user:password" in printable characters (RFC 7617).
Check BasicAuth(std::string_view secret, std::string_view, int64_t) {
  const auto text = DecodeBase64(secret);
  if (!text) return Check::kBad;
  const size_t colon = text->find(':');
  if (colon == std::string::npos || colon + 1 == text->size()) return Check::kBad;
  const bool printable = std::all_of(text->begin(), text->end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  return printable ? Check::kOk : Check::kBad;
}

Check AnyBase64(std::string_view secret, std::string_view, int64_t) {
  return DecodeBase64(secret) ? Check::kOk : Check::kBad;
}

// Discord: what precedes the first dot is the bot's number in base64.
Check Discord(std::string_view secret, std::string_view, int64_t) {
  const auto number = DecodeBase64(secret.substr(0, secret.find('.')));
  return number && AllDigits(*number) && number->size() >= 17 ? Check::kOk : Check::kBad;
}

// RFC 9562: 8-4-4-4-12 hexadecimal digits, a version from 1 to 8, the usual variant.
Check Uuid(std::string_view secret, std::string_view, int64_t) {
  if (secret.size() != 36) return Check::kBad;
  for (size_t i = 0; i < 36; ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? secret[i] != '-' : !IsHex(secret[i])) return Check::kBad;
  }
  const bool variant = std::string_view("89abAB").find(secret[19]) != std::string_view::npos;
  return secret[14] >= '1' && secret[14] <= '8' && variant ? Check::kOk : Check::kBad;
}

// The body of a PEM block without its frame, header lines and line breaks, real or escaped.
std::optional<std::string> PemBody(std::string_view pem) {
  const size_t begin = pem.find("-----BEGIN ");
  if (begin == std::string_view::npos) return std::nullopt;
  const size_t body = pem.find("-----", begin + 11);
  const size_t end = pem.find("-----END ", begin);
  if (body == std::string_view::npos || end == std::string_view::npos || body > end) return std::nullopt;
  std::string_view rest = pem.substr(body + 5, end - body - 5);
  if (const size_t headers = rest.find("DEK-Info:"); headers != std::string_view::npos) {
    rest.remove_prefix(rest.find_first_of("\n\\", headers) == std::string_view::npos
                           ? rest.size()
                           : rest.find_first_of("\n\\", headers));
  }
  std::string text;
  for (size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] == '\\' && i + 1 < rest.size()) {
      ++i;  // \n, \r or a line continuation
      continue;
    }
    if (Base64Value(rest[i]) >= 0 && rest[i] != '-' && rest[i] != '_') text.push_back(rest[i]);
  }
  return DecodeBase64(text);
}

// Whether `bytes` begin a DER SEQUENCE (ITU-T X.690, 8.1.3) that ends where they end.
bool IsDerSequence(std::string_view bytes) {
  if (bytes.size() < 4 || bytes[0] != 0x30) return false;
  const auto byte = [&bytes](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  size_t length = byte(1), header = 2;
  if (length == 0x81) {
    length = byte(2), header = 3;
  } else if (length == 0x82) {
    length = static_cast<size_t>(byte(2)) << 8 | byte(3), header = 4;
  } else if (length >= 0x80) {
    return false;
  }
  return header + length == bytes.size();
}

// A private key in PEM: DER of the stated length, or OpenSSH's own format, or an encrypted body.
Check Pem(std::string_view secret, std::string_view match, int64_t) {
  const std::string_view text = secret.find("-----BEGIN ") != std::string_view::npos ? secret : match;
  const auto body = PemBody(text);
  if (!body || body->size() < 40) return Check::kBad;
  if (text.find("Proc-Type: 4,ENCRYPTED") != std::string_view::npos) return Check::kNone;
  constexpr std::string_view kOpenSsh("openssh-key-v1\0", 15);
  if (std::string_view(*body).substr(0, kOpenSsh.size()) == kOpenSsh) return Check::kOk;
  if (IsDerSequence(*body)) return Check::kOk;
  // Whole base 64 of a key's size that says nothing: damaged, or in a form of its own.
  constexpr size_t kLeastKeyBytes = 90;
  return body->size() >= kLeastKeyBytes && Entropy(*body) >= 5 ? Check::kNone : Check::kBad;
}

// The seconds since the epoch of a UTC date and time (Howard Hinnant's days_from_civil).
int64_t EpochSeconds(int64_t year, int64_t month, int64_t day, int64_t seconds_of_day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return (era * 146097 + day_of_era - 719468) * 86400 + seconds_of_day;
}

std::optional<int64_t> Number(std::string_view text) {
  int64_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

// Azure SAS: se=2024-01-31T… is its end.
Check AzureSas(std::string_view, std::string_view match, int64_t now) {
  for (size_t at = match.find("se="); at != std::string_view::npos; at = match.find("se=", at + 1)) {
    const std::string_view date = match.substr(at + 3, 10);
    if (date.size() < 10 || date[4] != '-' || date[7] != '-') continue;
    const auto year = Number(date.substr(0, 4)), month = Number(date.substr(5, 2)),
               day = Number(date.substr(8, 2));
    if (!year || !month || !day) continue;
    return EpochSeconds(*year, *month, *day, 86399) < now ? Check::kDead : Check::kOk;
  }
  return Check::kNone;
}

// AWS presigned URL: X-Amz-Date=20240131T… plus X-Amz-Expires seconds is its end.
Check AwsPresigned(std::string_view, std::string_view match, int64_t now) {
  const size_t date = match.find("X-Amz-Date=");
  const size_t expires = match.find("X-Amz-Expires=");
  if (date == std::string_view::npos || expires == std::string_view::npos) return Check::kNone;
  const std::string_view day = match.substr(date + 11, 8);
  std::string_view seconds = match.substr(expires + 14);
  seconds = seconds.substr(0, seconds.find_first_not_of("0123456789"));
  const auto y = Number(day.substr(0, 4)), lifetime = Number(seconds);
  if (day.size() < 8 || !y || !lifetime) return Check::kNone;
  const auto m = Number(day.substr(4, 2)), d = Number(day.substr(6, 2));
  if (!m || !d) return Check::kNone;
  return EpochSeconds(*y, *m, *d, 86399) + *lifetime < now ? Check::kDead : Check::kOk;
}

// Of a service that has ended: whatever it is, it opens nothing.
Check Retired(std::string_view, std::string_view, int64_t) { return Check::kDead; }

// What no word and no name is: letters together with digits or signs. For places where any word may stand. A capital
// at the beginning is no letter of its own: "X1" is a name.
Check Mixed(std::string_view secret, std::string_view, int64_t) {
  bool letter = false, other = false;
  for (size_t i = 0; i < secret.size(); ++i) {
    letter |= IsLower(secret[i]) || (i > 0 && IsUpper(secret[i]));
    other |= IsDigit(secret[i]) || std::string_view("!#$%&*+?@^~").find(secret[i]) != std::string_view::npos;
  }
  return letter && other && !IsWordLike(secret) ? Check::kOk : Check::kBad;
}

// A password in a place where any word may stand: mixed, chosen by a person, or letters that no language has.
Check Password(std::string_view secret, std::string_view match, int64_t now) {
  constexpr size_t kLeast = 6;
  if (IsChosen(secret) || Mixed(secret, match, now) == Check::kOk) return Check::kOk;
  const bool letters = secret.size() >= kLeast && std::all_of(secret.begin(), secret.end(), IsAlpha);
  return letters && !IsWordLike(secret) ? Check::kNone : Check::kBad;
}

// A key under a name that anything may have: hexadecimal digits or base64, no id and no words.
Check Key(std::string_view secret, std::string_view match, int64_t now) {
  if (IsUuidShape(secret)) return Check::kBad;
  if (std::all_of(secret.begin(), secret.end(), [](char c) { return IsDigit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); })) {
    return Mixed(secret, match, now);
  }
  int runs = 0;  // of digits: a name has one at most
  for (size_t i = 0; i < secret.size(); ++i) runs += IsDigit(secret[i]) && (i == 0 || !IsDigit(secret[i - 1])) ? 1 : 0;
  return runs >= 2 ? Mixed(secret, match, now) : Check::kBad;
}

struct Entry {
  std::string_view name;
  StructureFunction function;
};
constexpr Entry kStructures[] = {
    {"aws-key-id", AwsKeyId},
    {"aws-presigned", AwsPresigned},
    {"azure-sas", AzureSas},
    {"base64", AnyBase64},
    {"base64-32-bytes", Base64Of<32>},
    {"base64-64-bytes", Base64Of<64>},
    {"base64-json", Base64Json},
    {"basic-auth", BasicAuth},
    {"discord", Discord},
    {"jwt", Jwt},
    {"key", Key},
    {"mixed", Mixed},
    {"password", Password},
    {"pem", Pem},
    {"retired", Retired},
    {"uuid", Uuid},
};

}  // namespace

StructureFunction FindStructure(std::string_view name) {
  for (const Entry& entry : kStructures) {
    if (entry.name == name) return entry.function;
  }
  return nullptr;
}

std::span<const std::string_view> StructureNames() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all;
    for (const Entry& entry : kStructures) all.push_back(entry.name);
    return all;
  }();
  return names;
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  size_t padding = 0;
  while (!text.empty() && text.back() == '=') text.remove_suffix(1), ++padding;
  if (padding > 2 || text.size() % 4 == 1 || (padding > 0 && (text.size() + padding) % 4 != 0)) {
    return std::nullopt;
  }
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = Base64Value(c);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<char>(bits >> count));
    }
  }
  return bytes;
}

}  // namespace unsprawl
