// The man page: commands and options from the command line's own description; the rest is text here.
#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "coordinator/cli_docs.h"

namespace unsprawl {
namespace {

constexpr std::string_view kDescription =
    R"(.B unsprawl
reads every distinct blob of every history once, straight from git's packs, and writes a
.I sprawl report\c
: one row per secret, one row per place, with the commit that introduced it, its author, the paths it
moved to, and a statement of what was covered.
Nothing it writes holds a secret: values appear as keyed ids only.
.PP
Scanning the same targets again looks at what changed only.
A run that was stopped, or killed, is carried on by the next one.
)";

constexpr std::string_view kEnvironment =
    R"(.TP
.BR GITHUB_TOKEN ", " GITLAB_TOKEN ", " BITBUCKET_TOKEN ", " GITEA_TOKEN ", " AZURE_DEVOPS_TOKEN
The token for a forge, unless
.B \-\-token\-file
names another; the first two also for clone URLs on github.com and gitlab.com.
They reach git through its environment, never through an argument or a stored URL.
.TP
.B UNSPRAWL_WEBHOOK_SECRET
What calls of a webhook are signed with.
.TP
.B UNSPRAWL_KEY
The HMAC key behind the ids of secrets: 64 hexadecimal digits, those of replaced keys after commas.
.TP
.B CREDENTIALS_DIRECTORY
Set by
.BR systemd (1):
a file
.I unsprawl\-key
in it is the HMAC key.
.TP
.BR XDG_STATE_HOME ", " XDG_CACHE_HOME ", " XDG_CONFIG_HOME ", " HOME
Where the files below are.
.TP
.BR HTTPS_PROXY ", " HTTP_PROXY ", " ALL_PROXY ", " NO_PROXY
Proxies for fetching, as
.BR curl (1)
reads them.
.TP
.BR SSL_CERT_FILE ", " SSL_CERT_DIR ", " GIT_SSL_CAINFO
Certificates of authorities to trust when fetching.
.TP
.B SSH_AUTH_SOCK
The agent for clone URLs over ssh.
.TP
.B SOURCE_DATE_EPOCH
Seconds since 1970 that stand in for the time of the run, for reports that can be compared.
)";

constexpr std::string_view kFiles =
    R"(.TP
.I ~/.local/state/unsprawl/store
The ledger of what was scanned.
.TP
.I ~/.cache/unsprawl/mirrors
What was fetched.
.TP
.I ~/.config/unsprawl/key
The HMAC key. Keep it: the ledger refuses another one.
.TP
.I /etc/unsprawl/nightly.toml
What the systemd service
.I unsprawl\-nightly.service
scans; its state, key and reports are in
.IR /var/lib/unsprawl ,
what it fetched in
.IR /var/cache/unsprawl ,
its credentials in
.I /etc/credstore/unsprawl.*
(see
.BR "systemctl cat unsprawl\-nightly.service" ).
)";

constexpr std::string_view kExitStatus =
    R"(.TP
.B 0
Complete, and nothing at or above
.BR \-\-fail\-on .
.TP
.B 1
Findings.
.TP
.B 2
Something about the command line, the configuration or the store must be changed.
.TP
.B 3
Not everything could be scanned; the banner in the report says what and why.
.TP
.B 4
Internal error.
.PP
When several apply, 4 goes before 2, 2 before 3, 3 before 1.
)";

constexpr std::string_view kExamples =
    R"(Everything below a folder, and one repository elsewhere:
.PP
.RS 4
.EX
unsprawl scan ~/src https://github.com/redis/redis.git
.EE
.RE
.PP
Fail a build only for what is serious, with the report in a folder of its own:
.PP
.RS 4
.EX
unsprawl scan \-\-fail\-on high \-\-output out .
.EE
.RE
.PP
Run the nightly audit at once, and see how it went:
.PP
.RS 4
.EX
systemctl start unsprawl\-nightly.service
journalctl \-u unsprawl\-nightly.service
.EE
.RE
)";

// Plain text: what roff would read as a command is escaped, and options can be copied.
std::string Escaped(std::string_view text) {
  std::string escaped;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool line_start = i == 0 || text[i - 1] == '\n';
    if (line_start && (c == '.' || c == '\'')) escaped += "\\&";
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else if (c == '~') {
      escaped += "\\(ti";
    } else if (c == '^') {
      escaped += "\\(ha";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string Bold(std::string_view text) { return "\\fB" + Escaped(text) + "\\fR"; }
std::string Italic(std::string_view text) { return "\\fI" + Escaped(text) + "\\fR"; }

// "scan [OPTION]... [TARGET...]", for the synopsis and headings.
std::string Usage(const CommandDoc& command) {
  std::string usage = Bold("unsprawl " + command.path) + " [" + Italic("OPTION") + "]...";
  for (const OptionDoc& positional : command.positionals) {
    const std::string name = Italic(positional.names[0]) + (positional.repeated ? "..." : "");
    usage += positional.required ? " " + name : " [" + name + "]";
  }
  return usage + "\n";
}

void AppendOption(const OptionDoc& option, std::string* page) {
  page->append(".TP\n");
  for (size_t i = 0; i < option.names.size(); ++i) {
    const bool positional = option.names[i][0] != '-';
    if (i > 0) page->append(", ");
    page->append(positional ? Italic(option.names[i]) : Bold(option.names[i]));
    if (i + 1 == option.names.size() && !positional && !option.value_name.empty()) {
      page->append(" " + (option.choices.empty() ? Italic(option.value_name) : Escaped(option.value_name)));
    }
  }
  page->append("\n" + Escaped(option.description) + ".\n");
  if (!option.default_text.empty()) {
    page->append("Default: " + Escaped(option.default_text) + ".\n");
  }
  if (!option.variable.empty()) {
    page->append("Without it, the environment variable " + Bold(option.variable) + " counts.\n");
  }
}

bool IsHelp(const OptionDoc& option) { return option.names.back() == "--help"; }

std::string Sentence(std::string text) {
  if (!text.empty()) text[0] = absl::ascii_toupper(static_cast<unsigned char>(text[0]));
  return Escaped(text) + ".\n";
}

// Every command that can be run, in order.
void AppendRunnable(const CommandDoc& command, std::vector<const CommandDoc*>* runnable) {
  if (command.commands.empty()) runnable->push_back(&command);
  for (const CommandDoc& sub : command.commands) AppendRunnable(sub, runnable);
}

}  // namespace

std::string ManPage(const CommandDoc& program, std::string_view version) {
  std::vector<const CommandDoc*> runnable;
  AppendRunnable(program, &runnable);
  std::string what = program.description;  // man's NAME is no sentence
  if (!what.empty()) what[0] = absl::ascii_tolower(static_cast<unsigned char>(what[0]));

  std::string page = absl::StrFormat(".TH UNSPRAWL 1 \"\" \"%s\" \"User Commands\"\n", version);
  page += ".nh\n.ad l\n.SH NAME\nunsprawl \\- " + Escaped(what) + "\n.SH SYNOPSIS\n";
  for (size_t i = 0; i < runnable.size(); ++i) page += (i == 0 ? "" : ".br\n") + Usage(*runnable[i]);
  page.append(".SH DESCRIPTION\n").append(kDescription).append(".SH OPTIONS\n");
  page += "Every command has the first of these.\n";
  for (const OptionDoc& option : program.options) AppendOption(option, &page);
  page += ".SH COMMANDS\n";
  for (const CommandDoc* command : runnable) {
    page += ".SS " + Usage(*command) + Sentence(command->description);
    for (const OptionDoc& positional : command->positionals) AppendOption(positional, &page);
    for (const OptionDoc& option : command->options) {
      if (!IsHelp(option)) AppendOption(option, &page);
    }
  }
  page.append(".SH ENVIRONMENT\n").append(kEnvironment);
  page.append(".SH FILES\n").append(kFiles);
  page.append(".SH EXIT STATUS\n").append(kExitStatus);
  page.append(".SH EXAMPLES\n").append(kExamples);
  page += ".SH SEE ALSO\n.BR git (1),\n.BR systemd.exec (5)\n";
  return page;
}

}  // namespace unsprawl
