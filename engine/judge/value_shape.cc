#include "engine/judge/value_shape.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "engine/judge/examine.h"
#include "engine/judge/structure.h"
#include "engine/judge/text_shape.h"

namespace unsprawl {
namespace {

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool EqualsAny(std::string_view text, std::span<const std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// A run of `length` equal characters, or a value of which one character is all but a few.
bool HasRun(std::string_view text, size_t length) {
  size_t run = 1;
  for (size_t i = 1; i < text.size(); ++i) {
    run = text[i] == text[i - 1] ? run + 1 : 1;
    if (run >= length) return true;
  }
  return false;
}

// Runs of 3 and more characters of which each is the one before plus (or minus) one: "12345678", "cba".
struct Sequences {
  size_t longest = 0, total = 0;  // characters
};

Sequences FindSequences(std::string_view text) {
  Sequences found;
  for (size_t start = 0; start + 1 < text.size();) {
    size_t end = start + 1;
    const auto step_at = [text](size_t i) { return text[i - 1] == '9' && text[i] == '0' ? 1 : text[i] - text[i - 1]; };
    const int step = step_at(end);
    if (step == 1 || step == -1) {
      while (end + 1 < text.size() && step_at(end + 1) == step) ++end;
    }
    const size_t length = end - start + 1;
    if (length >= 3) found = {.longest = std::max(found.longest, length), .total = found.total + length};
    start = length >= 3 ? end + 1 : start + 1;
  }
  return found;
}

// At most `distinct` different characters in a value of 8 and more.
bool HasFewCharacters(std::string_view text, int distinct) {
  if (text.size() < 8) return false;
  bool seen[256] = {};
  int count = 0;
  for (const char c : text) {
    bool& known = seen[static_cast<unsigned char>(c)];
    count += known ? 0 : 1;
    known = true;
  }
  return count <= distinct;
}

// What shows in no random token by chance, whatever its alphabet: fit for class A.
bool IsObviousPlaceholder(std::string_view secret, std::string_view lower) {
  static constexpr std::string_view kParts[] = {
      "example",     "placeholder", "changeme", "change-me",  "change_me",  "your-",   "your_",
      "yourtoken",   "yourkey",     "yoursecret", "yourapi",  "insert-",    "insert_", "redacted",
      "replace-",    "replace_",    "replaceme", "xxxxxx",    "******",     "......",  "000000000",
      "dummy-",      "dummy_",      "dummytoken", "fake-",    "fake_",      "faketoken", "-here",
      "_here",       "todo-",       "deadbeefdeadbeef",       "foobar",     "sample-", "sample_",
      "not-a-real",  "notareal",    "abcdef0123456789",       "0123456789abcdef",      "lorem"};
  if (ContainsAny(lower, kParts)) return true;
  if (secret.size() >= 12 && (HasRun(secret, 7) || FindSequences(secret).longest >= 9)) return true;
  if (HasFewCharacters(secret, 3)) return true;
  return Contains(secret, "<") && Contains(secret, ">") && !Contains(secret, " ");
}

// What digits and signs that people write for letters stand for: "p455w0rd".
std::string WithoutLeet(std::string_view lower) {
  std::string plain(lower);
  for (char& c : plain) {
    constexpr std::string_view kFrom = "0134578$@!", kTo = "oieastbsai";
    if (const size_t at = kFrom.find(c); at != std::string_view::npos) c = kTo[at];
  }
  return plain;
}

// What a person writes where a value of their own belongs: for classes B and C.
bool IsPlaceholderText(std::string_view secret, std::string_view lower, std::string_view identifier) {
  static constexpr std::string_view kWords[] = {
      "password", "passwd",  "passw0rd", "pass",   "pwd",       "secret",   "token",   "none",
      "test",     "testing", "foo",      "bar",    "baz",       "qux",      "foobar",  "hidden",
      "admin",    "root",    "user",     "guest",  "username",  "default",  "empty",   "string",
      "value",    "key",     "apikey",   "api_key", "api-key",  "unknown",  "optional", "required",
      "masked",   "removed", "private",  "public", "asdf",      "qwerty",   "letmein", "abc",
      "invalid",  "wrong",   "correct",  "bad",    "good",      "basic",    "bearer",  "auth",
      "hunter2",  "swordfish", "secure", "n/a",    "tbd",       "todo",     "disabled", "enabled", "define", "files", "seekrit", "seeekrit"};
  static constexpr std::string_view kParts[] = {
      "example", "sample", "dummy",  "placeholder", "change",  "replace",    "insert", "your",
      "enter",   "fixme",  "redact", "xxxx",        "****",    "...",        "foobar", "notreal",
      "not_real", "invalid", "token", "secret",     "apikey",  "api_key",    "credential", "hidden",
      "whatever", "something", "asdfasdf", "qwertyui", "deadbeef"};
  // Letters that long random values have by chance.
  static constexpr std::string_view kShortParts[] = {"test", "mock", "stub", "fake", "pass", "pwd", "todo"};
  constexpr size_t kLong = 24;
  if (EqualsAny(lower, kWords) || ContainsAny(lower, kParts)) return true;
  if ((secret.size() < kLong || IsWordLike(secret)) && ContainsAny(lower, kShortParts)) return true;
  static constexpr std::string_view kDisguised[] = {"secret", "password", "changeme"};
  if (ContainsAny(WithoutLeet(lower), kDisguised)) return true;
  // "admin123", "Welcome1!": a word that stands for none, with what a form asked for.
  static constexpr std::string_view kWeak[] = {"admin", "administrator", "root", "user", "guest", "demo", "pass", "pwd", "pw", "login",
                                               "hello", "welcome", "qwerty", "qwert", "abc", "abcd", "letmein", "iloveyou", "dragon",
                                               "monkey", "master", "sunshine", "princess", "football", "foo", "bar", "baz", "default",
                                               "mysql", "postgres", "oracle", "redis", "mongo", "docker", "server", "manager", "system",
                                               "tomcat", "spring", "jenkins", "wordpress", "django", "username", "passwort", "secure"};
  const size_t stem = static_cast<size_t>(std::find_if_not(lower.begin(), lower.end(), IsAlpha) - lower.begin());
  const std::string_view behind = lower.substr(stem);
  const Sequences sequences = FindSequences(lower);
  constexpr size_t kMostBehind = 3;
  if ((behind.size() <= kMostBehind || behind.size() == sequences.longest) && EqualsAny(lower.substr(0, stem), kWeak) &&
      std::none_of(behind.begin(), behind.end(), IsAlpha)) {
    return true;
  }
  // "1234", "abc-123456": little else.
  constexpr size_t kLittle = 4;
  if (sequences.total > 0 && lower.size() - sequences.total <= (sequences.longest >= 5 ? kLittle : 0)) return true;
  if (HasRun(secret, std::min<size_t>(secret.size(), 5)) || HasFewCharacters(secret, 3)) return true;
  if (!secret.empty() && secret.front() == '<' && secret.back() == '>') return true;
  // The value repeats the name it is given to.
  const auto is_name = [](char c) { return IsAlnum(c) || c == '_'; };
  const auto last = std::find_if(identifier.rbegin(), identifier.rend(), is_name);
  const auto first = std::find_if_not(last, identifier.rend(), is_name);
  const std::string name = LowerAscii(std::string_view(first.base(), last.base()));
  return name.size() >= 3 && lower.size() >= 3 && (Contains(lower, name) || Contains(name, lower));
}

// Dotted, called, scoped or indexed names: settings.PASSWORD, getPass(), Foo::kBar, conf["x"], a->b.
bool IsExpression(std::string_view secret) {
  if (secret.empty()) return false;
  if (Contains(secret, "()") || Contains(secret, "::") || Contains(secret, "->") ||
      Contains(secret, "[\"") || Contains(secret, "['")) {
    return true;
  }
  const size_t open = secret.find('(');
  if (open != std::string_view::npos && open > 0 && IsWordLike(secret.substr(0, open)) &&
      std::all_of(secret.begin(), secret.begin() + static_cast<ptrdiff_t>(open),
                  [](char c) { return IsAlnum(c) || c == '_' || c == '.'; })) {
    return true;
  }
  const size_t dot = secret.find('.');
  const bool names = std::all_of(secret.begin(), secret.end(),
                                 [](char c) { return IsAlnum(c) || c == '_' || c == '.'; });
  const bool letters = std::all_of(secret.begin(), secret.end(), [](char c) { return IsAlpha(c) || c == '.'; });
  return names && dot != std::string_view::npos && dot > 0 && dot + 1 < secret.size() && IsAlpha(secret.front()) &&
         (letters || (IsWordLike(secret.substr(0, dot)) && IsWordLike(secret.substr(dot + 1))));
}

// DB_PASSWORD, MY_TOKEN: the name of an environment variable.
bool IsVariableName(std::string_view secret) {
  const bool capitals = std::all_of(secret.begin(), secret.end(), [](char c) {
    return IsUpper(c) || IsDigit(c) || c == '_';
  });
  if (!capitals || !Contains(secret, "_")) return false;
  static constexpr std::string_view kParts[] = {"_KEY", "TOKEN", "SECRET", "_PASS", "_PWD"};
  return IsWordLike(secret) || ContainsAny(secret, kParts) || std::count(secret.begin(), secret.end(), '_') >= 2;
}

// "/etc/pki/ca.key", "./keys/id_rsa", "~/.ssh/id", "C:\\keys": base 64 may begin with one slash, but words do not follow.
bool IsFilePath(std::string_view secret) {
  if (secret.starts_with("./") || secret.starts_with("../") || secret.starts_with("~/")) return true;
  if (secret.size() > 3 && IsAlpha(secret[0]) && secret[1] == ':' && (secret[2] == '\\' || secret[2] == '/')) return true;
  if (!secret.starts_with("/")) return false;
  const size_t slash = secret.find('/', 1);
  return IsWordLike(secret) || (slash != std::string_view::npos && slash <= 12 && IsShowableName(secret.substr(1, slash - 1)));
}

// "#3cba", "#1e90ff".
bool IsColour(std::string_view secret) {
  constexpr size_t kMost = 9;
  return secret.starts_with('#') && secret.size() <= kMost && std::all_of(secret.begin() + 1, secret.end(), [](char c) {
           return IsDigit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
         });
}

bool IsReference(std::string_view secret, std::string_view lower) {
  static constexpr std::string_view kParts[] = {
      "${",        "$(",        "{{",        "}}",       "<%",       "%(",         "#{",       "@{",
      "$env:",     "process.env", "os.environ", "getenv", "env[",    "environ[",   "env.",     "secrets.",
      "vault:",    "enc[",      "secretkeyref", "!ref",  "!sub",     "arn:aws:",   "op://",    "vault://",
      "ssm:/",     "{resolve:", "keyvault(", "$ansible_vault", "import.meta", "viper.get", "config[",
      "),", "})", "({", "){", ")(", "=>", "];", "};", "\\n\\t", " && ", " || ", "&lt", "&gt",
      // expressions
      "(?:", "(?=", "(?!", "[[:", ".+?", ".*?", "[0-9", "[a-z", "[A-Z", "]{", "\\d", "\\w",
      "system.get", "params[",  "lookup('", "sealed:", "sops:", "data.", "var.", "local.", "self.", "this.",
      // algorithms, character sets
      "iso-8859", "utf-8", "utf-16", "windows-125",
      "md5:", "sha1:", "bcrypt", "sha256", "sha384", "sha512", "sha-256", "sha-384", "sha-512", "hmacsha", "pbkdf2",
      "withrsa", "/cbc/", "/ecb/", "/gcm/"};
  static constexpr std::string_view kWords[] = {
      "null", "none", "nil", "true", "false", "undefined", "void", "nan", "yes", "no", "on", "off",
      "empty", "n/a", "str", "string", "bytes", "int", "bool", "object", "any", "varchar", "text"};
  if (EqualsAny(lower, kWords) || ContainsAny(lower, kParts)) return true;
  const char first = secret.empty() ? '\0' : secret.front();
  const char second = secret.size() > 1 ? secret[1] : '\0';
  if (first == '$' && (IsAlpha(second) || second == '_' || second == '{') &&
      std::all_of(secret.begin() + 1, secret.end(),
                  [](char c) { return IsAlnum(c) || c == '_' || c == '[' || c == ']' || c == '.'; })) {
    // "$2a$10$…" is a hash, "$ecret" may be a password: a variable reads as words.
    if (IsWordLike(secret.substr(1))) return true;
  }
  if (first == '$' && secret.size() <= 4) return true;                       // $2b$, $1
  if (IsColour(secret)) return true;
  if (first == '$' && IsUpper(second) && Contains(secret, "/")) return true;  // $DIR/file
  if (Contains(secret, "%s") || Contains(secret, "%d")) return true;           // a format
  if (first == '%' && secret.size() <= 4) return true;                       // %1$s
  const bool decimal = std::all_of(secret.begin(), secret.end(), [](char c) { return IsDigit(c) || c == '.'; });
  if (decimal && Contains(secret, ".")) return true;                         // a version, a time
  if (first == '%' && secret.back() == '%' && secret.size() > 2) return true;  // %VARIABLE%
  if (first == '{' && secret.back() == '}') return true;                     // a format's field
  if (first == '@' && secret.back() == '@' && secret.size() > 2) return true;  // @VARIABLE@
  if (Contains(lower, "://")) return true;                                   // an address
  if (IsFilePath(secret)) return true;
  if (first == ':' && IsAlpha(second) && IsWordLike(secret.substr(1))) return true;  // :bind, :symbol
  return IsExpression(secret) || IsVariableName(secret);
}

// Words of a human language: several of them, or letters beyond ASCII.
bool IsProse(std::string_view secret) {
  const auto spaces = std::count(secret.begin(), secret.end(), ' ');
  const auto foreign = std::count_if(secret.begin(), secret.end(),
                                     [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
  if (foreign * 4 >= static_cast<ptrdiff_t>(secret.size())) return true;
  const bool plain = std::all_of(secret.begin(), secret.end(),
                                 [](char c) {
                                   return IsAlpha(c) || static_cast<unsigned char>(c) >= 0x80 ||
                                          std::string_view(" .,:;!?'-").find(c) != std::string_view::npos;
                                 });
  return spaces >= 1 && (spaces >= 3 || plain || IsWordLike(secret));
}

// Whether a key in hexadecimal digits or a UUID is what may be given to such a name. A password is rather hashed.
bool AsksForDigest(std::string_view identifier) {
  const std::string name = LowerAscii(identifier);
  static constexpr std::string_view kParts[] = {"key", "secret", "token", "auth", "sess", "cookie", "salt", "seed"};
  return ContainsAny(name, kParts);
}

bool NamesDigest(std::string_view identifier) {
  static constexpr std::string_view kNames[] = {"md5", "sha1", "sha256", "sha512"};
  return ContainsAny(LowerAscii(identifier), kNames);
}

// What base64 hides where it is text that a person reads, the password of user:password alone; else empty.
std::string TextInBase64(std::string_view value) {
  if (value.size() < 8) return "";
  const std::optional<std::string> text = DecodeBase64(value);
  if (!text || text->size() < 4) return "";
  const bool readable = std::all_of(text->begin(), text->end(), [](char c) { return (c >= ' ' && c <= '~') || c == '\n'; });
  if (!readable) return "";
  std::string plain = *text;
  while (!plain.empty() && plain.back() == '\n') plain.pop_back();
  const size_t colon = plain.find(':');
  return colon == std::string::npos ? plain : plain.substr(colon + 1);
}

// What is called a token or a key and opens nothing, or holds no value but a name or a digest of one.
bool NamesSomethingElse(std::string_view identifier) {
  static constexpr std::string_view kParts[] = {
      "nexttoken",     "next_token",  "nextpage",     "continuation", "pagetoken",   "page_token",    "pagination", "requesttoken",
      "request_token", "clienttoken", "purchasetoken", "idempotency", "tokentype",   "token_type",    "tokenizer",  "publickey",
      "public_key",    "pubkey",      "key_spec",     "masterkeyspec",     "keytype",     "key_type",      "keyname",    "key_name",
      "secretname",    "secret_name", "_hash",        "hashed",       "checksum",    "digest",        "fingerprint", "keyid",
      "key_id",        "tokenid",     "token_id",     "secret_id_",   "secretref",   "secret_ref",    "tokenurl",   "token_url",
      "passwordfield", "password_field", "csrf",       "xsrf",         "length",      "lifetime",      "expir",      "keyword",
      "keyboard",      "keycode",     "primarykey",   "primary_key",  "foreign",     "label",         "title",      "placeholder",
      "prompt",        "forgot",      "message",      "error",        "hint",        "tooltip",       "description", "lastset",
      "publicresource", "public",     "passwordtime",  "pwdage",      "badpwd",       "pwdcount",     "policy",      "encoded",       "encrypted", "scheme",
      "resource",      "audience",    "sealed",       "existing",     "getbytes",
      "passwordhash",  "passhash",    "tokenhash",    "token.type"};
  std::string lower = LowerAscii(identifier);
  if (const size_t at = lower.find("unencrypted"); at != std::string::npos) lower.erase(at, 11);
  if (ContainsAny(lower, kParts)) return true;
  // CLIENT_ID, tenantId: public, other than ACCOUNT_SID and secret_id.
  const bool id = lower.ends_with("_id") || lower.ends_with("-id") || lower.ends_with(".id") || identifier.ends_with("Id") ||
                  identifier.ends_with("ID");
  static constexpr std::string_view kEnds[] = {"file", "path", "dir", "cmd", "command", "regex", "regexp", "pattern", "format", "prefix", "suffix",
                                              ".php", ".js", ".py", ".rb", ".go", ".java", ".ts", ".cs", ".htm", ".html", ".md"};
  if (EndsWithAny(lower, kEnds)) return true;
  return id && !Contains(lower, "secret_id") && !Contains(lower, "sid") && !Contains(lower, "sess") && !Contains(lower, "key");
}

// Whether what a rule looks for is called so by its provider: "API key ID", "public key".
bool LooksForSomethingElse(const Rule& rule) {
  std::string kind = rule.kind;
  std::erase(kind, ' ');
  return rule.is_named() && NamesSomethingElse(kind);
}

// "localhost:2022", "text/plain", "urn:oasis:names".
bool IsHostOrMediaType(std::string_view secret) {
  static constexpr std::string_view kTypes[] = {"application/", "text/", "image/", "audio/", "video/", "multipart/", "urn:", "HTTP/"};
  if (StartsWithAny(secret, kTypes)) return true;
  const size_t colon = secret.find(':');
  if (colon == std::string_view::npos || colon == 0 || secret.size() - colon < 3 || secret.size() - colon > 6) return false;
  return std::all_of(secret.begin() + static_cast<ptrdiff_t>(colon) + 1, secret.end(), IsDigit) &&
         (Contains(secret.substr(0, colon), ".") || IsWordLike(secret.substr(0, colon)));
}

// "^1.0.2", ">=2.3", "1.0.*".
bool IsVersion(std::string_view secret) {
  constexpr size_t kMost = 16;
  if (secret.size() > kMost) return false;
  while (!secret.empty() && std::string_view("^~<>=v ").find(secret.front()) != std::string_view::npos) secret.remove_prefix(1);
  const size_t dot = secret.find('.');
  if (secret.empty() || !IsDigit(secret.front()) || dot > 3 || dot + 1 >= secret.size()) return false;
  const std::string_view rest = secret.substr(dot + 1);
  return std::string_view("0123456789*x").find(rest.front()) != std::string_view::npos &&
         std::all_of(rest.begin(), rest.end(), [](char c) { return IsDigit(c) || std::string_view(".*x-+abcehlprt").find(c) != std::string_view::npos; });
}

// The length and the name of its kind, with which each public key of OpenSSH begins, in base64.
bool IsPublicKey(std::string_view secret) {
  static constexpr std::string_view kBeginnings[] = {"AAAAB3NzaC1", "AAAAC3NzaC1", "AAAAE2VjZHNhL"};
  return StartsWithAny(secret, kBeginnings);
}

// "ann@acme.org": an address.
bool IsMailAddress(std::string_view secret) {
  const size_t at = secret.find('@');
  if (at == std::string_view::npos || at == 0 || secret.find('@', at + 1) != std::string_view::npos) return false;
  const size_t dot = secret.rfind('.');
  const bool plain = std::all_of(secret.begin(), secret.end(),
                                 [](char c) { return IsAlnum(c) || std::string_view("@._+-").find(c) != std::string_view::npos; });
  return plain && dot != std::string_view::npos && dot > at + 1 && dot + 2 < secret.size();
}

// Whether what stands before a value begins an address of which it is a later part, and no parameter.
bool IsInPathOfAddress(std::string_view before) {
  const size_t scheme = before.rfind("://");
  return scheme != std::string_view::npos && before.find_first_of(" \t\n\"'?=@#<>(", scheme) == std::string_view::npos;
}

// What crypt(3) makes of a password, "$6$salt$…", perhaps behind the scheme's name, "{bcrypt}$2a$10$…".
bool IsCryptHash(std::string_view secret) {
  if (!secret.empty() && secret[0] == '{') secret.remove_prefix(std::min(secret.find('}'), secret.size() - 1) + 1);
  if (secret.size() < 5 || secret[0] != '$') return false;
  const size_t second = secret.find('$', 1);
  return second != std::string_view::npos && second <= 16 && secret.find('$', second + 1) != std::string_view::npos;
}

// "2019-11-22 22:48:38": a day, perhaps with its time.
bool IsDate(std::string_view secret) {
  static constexpr std::string_view kForm = "dddd-dd-dd";
  if (secret.size() < kForm.size()) return false;
  for (size_t i = 0; i < kForm.size(); ++i) {
    if (kForm[i] == 'd' ? !IsDigit(secret[i]) : secret[i] != kForm[i]) return false;
  }
  return true;
}

// Text of a human language whose letters are written as \\uXXXX.
bool IsEscapedText(std::string_view secret) {
  size_t escapes = 0;
  for (size_t at = secret.find("\\u"); at != std::string_view::npos; at = secret.find("\\u", at + 2)) ++escapes;
  return escapes >= 2 || (escapes == 1 && secret.size() < 24);
}

// One word in small letters, such as people choose.
bool IsPlainWord(std::string_view value) {
  constexpr size_t kLeast = 5, kMost = 24;
  return value.size() >= kLeast && value.size() <= kMost && std::all_of(value.begin(), value.end(), IsLower);
}

// Whether what is named for a password is given the value: nothing else, no comparison and no list.
bool AssignsPassword(const ValueContext& context) {
  std::string_view before = context.before;
  if (Contains(before, "://")) return true;
  // Without quotes behind " = " it is rather a variable.
  if (before.ends_with(" = ") || before.ends_with(" := ")) return false;
  while (!before.empty() && std::string_view(" \t\"'`@").find(before.back()) != std::string_view::npos) before.remove_suffix(1);
  if (before.empty()) return false;
  const char last = before.back(), previous = before.size() > 1 ? before[before.size() - 2] : ' ';
  const bool assigned = last == ':' || (last == '=' && previous != '=' && previous != '!') || (last == '>' && previous == '=');
  const std::string name = LowerAscii(context.identifier);
  static constexpr std::string_view kNames[] = {"password", "passwd", "pwd", "pass", "passwort"};
  return assigned && EndsWithAny(name, kNames);
}

// A key block, or what a rule of bytes that are no text finds: judged by structure.
bool IsBlock(std::string_view secret, const Rule& rule) {
  return std::any_of(secret.begin(), secret.end(), [&rule](char c) {
    return c == '\n' || (rule.rule_class == RuleClass::kDistinctive && static_cast<unsigned char>(c) < ' ' && c != '\t' && c != '\r');
  });
}

std::string_view WithoutPrefix(std::string_view secret, const Rule& rule) {
  for (const std::string& prefix : rule.prefixes) {
    if (secret.substr(0, prefix.size()) == prefix) return secret.substr(prefix.size());
  }
  return secret;
}

}  // namespace

uint32_t ShapeOfValue(std::string_view secret, const ValueContext& context, const Rule& rule) {
  constexpr size_t kLongestShape = 4096;  // what follows in a key block says nothing more
  const std::string_view value = WithoutPrefix(secret, rule).substr(0, kLongestShape);
  const std::string lower = LowerAscii(value);
  uint32_t flags = IsKnownExample(secret) ? uint32_t{kKnownExample} : 0;
  if (IsBlock(secret, rule)) return flags;
  if (IsObviousPlaceholder(value, lower)) flags |= kPlaceholder;
  if (Contains(value, "${") || Contains(value, "{{")) flags |= kReference;
  if (rule.rule_class == RuleClass::kDistinctive) return flags;
  const bool generic = rule.rule_class == RuleClass::kGeneric;
  if (generic) {
    // "cGFzc3dvcmQ=" is as weak as what it says.
    const std::string plain = TextInBase64(value);
    if (!plain.empty() && IsPlaceholderText(plain, LowerAscii(plain), context.identifier)) flags |= kPlaceholder;
    if (!plain.empty() && IsWordLike(plain) && !IsChosen(plain)) flags |= kWordLike;
  }
  // What a provider documents is no name, address or digest; of a keyword rule only what has another shape is doubted.
  if (generic || (rule.is_named() && !context.documented)) {
    if (IsPlaceholderText(value, lower, context.identifier)) flags |= kPlaceholder;
    if (IsReference(value, lower) || IsDate(value) || IsMailAddress(value) || IsHostOrMediaType(value) || IsVersion(value) ||
        IsPublicKey(value)) {
      flags |= kReference;
    }
    if (IsProse(value) || IsEscapedText(value)) flags |= kWordLike;
    const bool digest = !rule.is_named() && (IsDigestShape(value) || IsUuidShape(value));
    const bool asked = AsksForDigest(context.identifier) || AsksForDigest(context.before) || AsksForDigest(context.behind);
    if ((digest && (!asked || NamesDigest(context.identifier))) || IsCryptHash(value)) flags |= kDigestLike;
  }
  if (rule.is_named() && !context.documented && IsInPathOfAddress(context.before)) flags |= kReference;
  // What says itself what it is may have any name.
  const bool known = value.data() != secret.data();
  if ((generic || rule.is_named()) && !known && NamesSomethingElse(context.identifier) && !LooksForSomethingElse(rule)) {
    flags |= kOtherName;
  }
  if (IsWordLike(value) && !(rule.is_password() && IsChosen(value))) {
    const bool assigned = rule.is_password() && AssignsPassword(context);
    if (!assigned || !IsDrawn(value)) flags |= assigned && IsPlainWord(value) ? kPlainWord : kWordLike;
  }
  return flags;
}

}  // namespace unsprawl
