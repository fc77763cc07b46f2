// The command line: reads arguments, calls one command, turns its status into an exit code.
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "coordinator/certs_command.h"
#include "coordinator/cli_docs.h"
#include "coordinator/cluster/client_command.h"
#include "coordinator/cluster/coordinator_command.h"
#include "coordinator/doctor.h"
#include "coordinator/explain.h"
#include "coordinator/key_command.h"
#include "coordinator/places.h"
#include "coordinator/report/report.h"
#include "coordinator/rules_command.h"
#include "coordinator/rules_convert.h"
#include "coordinator/rules_cost.h"
#include "coordinator/run_config.h"
#include "coordinator/runs_command.h"
#include "coordinator/scan_command.h"
#include "coordinator/signals.h"
#include "worker/worker_command.h"
#include "coordinator/store_command.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"
#include "worker/clone_url.h"
#include "worker/http_client.h"

namespace unsprawl {
namespace {

int Fail(const absl::Status& status) {
  const std::string message(status.message());
  std::fprintf(stderr, "unsprawl: %s\n", EscapeForTerminal(message).c_str());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kDataLoss:           // a damaged store or key
    case absl::StatusCode::kUnavailable:        // a store in use
    case absl::StatusCode::kResourceExhausted:  // a full disk
      return kExitUsage;
    case absl::StatusCode::kCancelled: return kExitIncomplete;
    default: return kExitInternal;
  }
}

// The command as it was typed, without user information in URLs, and of a webhook's address only whose it is:
// the rest of it is often a secret.
std::string CommandLine(int argc, char** argv) {
  constexpr std::string_view kWebhook = "--webhook";
  std::string line = "unsprawl";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (i > 1 && argv[i - 1] == kWebhook) {
      line += absl::StrFormat(" %s/…", OriginOf(word));
    } else if (word.rfind("--webhook=", 0) == 0) {
      line += absl::StrFormat(" %s=%s/…", kWebhook, OriginOf(word.substr(kWebhook.size() + 1)));
    } else {
      line += " " + WithoutUser(word);
    }
  }
  return line;
}

// One value each time that a list is named: what follows may be a target.
void OneByOne(CLI::Option* list) { list->allow_extra_args(false); }

// A subcommand that runs `command` and keeps its exit code.
template <typename Options>
CLI::App* AddCommand(CLI::App& parent, const char* name, const char* description, Options* options,
                     absl::StatusOr<int> (*command)(const Options&), int* exit_code) {
  CLI::App* added = parent.add_subcommand(name, description);
  added->callback([options, command, exit_code] {
    const absl::StatusOr<int> done = command(*options);
    *exit_code = done.ok() ? *done : Fail(done.status());
  });
  return added;
}

// How something is fetched from elsewhere, and where it is kept.
void AddFetching(CLI::App& app, NetworkOptions* network, PipelineOptions* pipeline) {
  app.add_option("--ca-file", network->ca_file, "certificate authorities to trust (PEM), and no others")
      ->check(CLI::ExistingFile);
  app.add_option("--client-cert", network->client_cert, "client certificate (PEM)")
      ->check(CLI::ExistingFile);
  app.add_option("--client-key", network->client_key, "its private key (PEM)")
      ->check(CLI::ExistingFile);
  app.add_option_function<int>(
          "--stall-timeout",
          [network](const int& seconds) { network->stall_timeout = absl::Seconds(seconds); },
          "a transfer that stands still for so many seconds has failed (default 60)")
      ->check(CLI::Range(1, 86400));
  app.add_option("--mirrors", pipeline->mirrors_dir, "folder for what is fetched (default: XDG cache)");
  app.add_option("--mirrors-budget", pipeline->mirrors_budget_bytes,
                  "bytes that mirrors may take (500GB); the longest unused go first")
      ->transform(CLI::AsSizeValue(true));
  app.add_option("--max-mirror-size", pipeline->fetch.max_mirror_bytes,
                  "give up a fetch that makes a mirror larger (default 100GB; 0: no bound)")
      ->transform(CLI::AsSizeValue(true));
}

void AddBackend(CLI::App& app, PipelineOptions* pipeline) {
  static const std::map<std::string, FetchBackend> kBackends = {
      {"auto", FetchBackend::kGit}, {"git", FetchBackend::kGit}, {"libgit2", FetchBackend::kLibgit2}};
  app.add_option("--fetch-backend", pipeline->fetch.backend, "what fetches clone URLs")
      ->transform(CLI::CheckedTransformer(kBackends))
      ->option_text("auto|git|libgit2");
}

// How forges and remote repositories are reached.
void AddNetwork(CLI::App& scan, ScanOptions* options) {
  ForgeOptions& forge = options->groups[0].forge;
  scan.add_option("--api-url", forge.api_url, "API of a forge of your own (https://HOST/api/v3)");
  OneByOne(scan.add_option("--token-file", forge.token_files,
                           "file with a token (default: GITHUB_TOKEN, GITLAB_TOKEN, …); several are used by turns"));
  scan.add_option("--app-id", forge.app_id, "scan as a GitHub App");
  scan.add_option("--app-key-file", forge.app_key_file, "the App's private key (PEM)")->needs("--app-id");
  AddFetching(scan, &options->network, &options->pipeline);
  scan.add_option("--fetch-jobs", options->fetch_jobs, "fetches at a time from one host")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  PipelineOptions& pipeline = options->pipeline;
  scan.add_option("--max-pull-requests", pipeline.fetch.max_pull_requests,
                  "leave out pull requests where there are more refs of them (0: always)");
  scan.add_option("--dropped-commits", options->max_dropped_commits,
                  "fetch what force pushes and deleted branches dropped before the first scan, of at most this many "
                  "repositories in one run (GitHub; two API calls for each)")
      ->capture_default_str();
  scan.add_option_function<int>(
          "--audit-days", [options](const int& days) { options->audit_every = absl::Hours(24 * days); },
          "compare all refs of what a forge calls unchanged after this many days (default 7; 0: always)")
      ->check(CLI::Range(0, 10000));
}

// Which repositories of a forge are wanted.
void AddSelection(CLI::App& scan, ScanOptions* options) {
  ForgeOptions& forge = options->groups[0].forge;
  Selection& selection = forge.selection;
  OneByOne(scan.add_option("--include-repos", selection.include,
                           "only repositories like this (web-*, acme/legacy-*)"));
  OneByOne(scan.add_option("--exclude-repos", selection.exclude, "no repositories like this"));
  scan.add_flag("!--exclude-forks", selection.forks, "no forks");
  scan.add_flag("!--exclude-archived", selection.archived, "no archived repositories");
  OneByOne(scan.add_option_function<std::vector<std::string>>(
          "--visibility",
          [&selection](const std::vector<std::string>& names) {
            selection.visibilities.insert(names.begin(), names.end());
          },
          "only those")
      ->check(CLI::IsMember({"public", "private", "internal"}))
      ->delimiter(',')
      ->option_text("public,private,internal"));
  OneByOne(scan.add_option_function<std::vector<std::string>>(
          "--topics",
          [&selection](const std::vector<std::string>& names) { selection.topics.insert(names.begin(), names.end()); },
          "only repositories with one of these topics")
      ->delimiter(','));
  scan.add_option_function<uint64_t>(
          "--max-repo-size", [&selection](const uint64_t& bytes) { selection.max_size_kb = bytes / 1024; },
          "no repositories that their forge calls larger (10GB)")
      ->transform(CLI::AsSizeValue(false));
  scan.add_option_function<std::string>(
          "--pushed-since",
          [&selection](const std::string& day) {
            const absl::StatusOr<int64_t> begin = SecondsAtDay(day);
            if (!begin.ok()) throw CLI::ValidationError("--pushed-since", std::string(begin.status().message()));
            selection.pushed_since = *begin;
          },
          "only repositories that were pushed to since (2025-01-31)");
  scan.add_option("--wikis", forge.max_wikis, "scan wikis as well, at most this many");
  scan.add_option("--gists", forge.max_gists,
                  "scan gists (of a user, or of an organization's members: their public ones) and snippets of GitLab "
                  "and Bitbucket Cloud as well, at most this many; an API call for each member or project");
}

void AddFailOn(CLI::App& app, FailOn* fail_on) {
  app.add_option_function<int>(
         "--fail-on", [fail_on](const int& number) { *fail_on = FailOnOf(number); },
         "exit with 1 when an incident is at or above this; new: when one is new or reopened, unless "
         "a new rule or repository brought it")
      ->transform(CLI::CheckedTransformer(FailOnNames()))
      ->option_text("none|low|medium|high|critical|new");
}

// What a report leaves out.
void AddIgnores(CLI::App& scan, ScanOptions* options) {
  OneByOne(scan.add_option("-i,--ignore-file,--gitleaks-ignore-path", options->ignores.ignore_files,
                           "leave out the findings that this file names, as a .gitleaksignore does (docs/rules.md)"));
  OneByOne(scan.add_option("--baseline-path", options->ignores.baselines,
                           "leave out what an earlier report has: gitleaks' JSON, incidents.jsonl, or a report's folder"));
  scan.add_flag("--trust-repo-ignores", options->trust_repo_ignores,
                "leave out what repositories themselves want ignored (.gitleaksignore, gitleaks:allow)");
}

// All that says what a run does.
void AddScanOptions(CLI::App* scan, const char* rules, ScanOptions* options) {
  scan->add_option("TARGET", options->groups[0].targets,
                   "repositories, folders of repositories, clone URLs, or organizations: github:ORG, gitlab:GROUP, "
                   "bitbucket:WORKSPACE, gitea:ORG, azure:ORG/PROJECT");
  scan->add_option("--targets-from", options->groups[0].targets_from, "a file of targets, one a line (-: stdin)");
  scan->add_option("-o,--output", options->output_dir, "folder for the report")->capture_default_str();
  scan->add_option("--store", options->store_dir,
                   "folder of the ledger (default: XDG state folder; \":memory:\" keeps nothing)");
  scan->add_option("--key-file", options->key_file, "the HMAC key for secret ids (default: XDG config)");
  scan->add_option(rules, options->config, "rules to use instead of the built-in ones")
      ->envname("GITLEAKS_CONFIG");
  scan->add_option("--policy", options->groups[0].policy, "TOML file of accepted skips");
  static const std::map<std::string, bool> kModes = {{"delta", false}, {"full", true}};
  scan->add_option("--scan-mode", options->full_mode, "delta: only what changed; full: every byte")
      ->transform(CLI::CheckedTransformer(kModes))
      ->option_text("delta|full");
  scan->add_flag("--archives", options->archives,
                 "look inside archives and documents as well (zip, jar, docx, xlsx, odt, tar, 7z; gzip, bzip2, xz, zstd), "
                 "three within one another");
  scan->add_option("-j,--jobs", options->threads, "threads (default: one per processor)")
      ->check(CLI::Range(1, 256));
  scan->add_option("--max-object-size", options->max_object_bytes,
                   "larger objects are skipped and counted (bytes; 10MB, 1GB)")
      ->transform(CLI::AsSizeValue(true))
      ->check(CLI::Range(uint64_t{1} << 10, uint64_t{1} << 31));
  scan->add_option("--memory-limit", options->memory_bytes, "private memory of one scanning process")
      ->transform(CLI::AsSizeValue(true));
  scan->add_option("--min-confidence", options->min_confidence, "report findings from this up (0 to 1)")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  AddFailOn(*scan, &options->fail_on);
  AddIgnores(*scan, options);
  AddBackend(*scan, &options->pipeline);
  AddNetwork(*scan, options);
  AddSelection(*scan, options);
  scan->add_flag("-q,--quiet", options->quiet, "no progress");
  scan->add_option("--webhook", options->webhook.url, "called when something is new or reopened, or coverage drops");
  scan->add_option("--webhook-secret-file", options->webhook.secret_file,
                   "what its calls are signed with (default: UNSPRAWL_WEBHOOK_SECRET)");
  scan->add_flag("!--no-sandbox", options->sandbox,
                 "do not confine the process that parses repositories");
}

// By which certificates the parts of a cluster know each other.
void AddTls(CLI::App& app, CertificateFiles* tls) {
  CLI::Option* ca = app.add_option("--tls-ca", tls->ca, "authority of the cluster's certificates (PEM; docs/certificates.md)")
                        ->envname("UNSPRAWL_TLS_CA");
  CLI::Option* cert =
      app.add_option("--tls-cert", tls->certificate, "certificate to show (PEM)")->envname("UNSPRAWL_TLS_CERT");
  CLI::Option* key = app.add_option("--tls-key", tls->key, "its private key (PEM)")->envname("UNSPRAWL_TLS_KEY");
  ca->needs(cert);
  cert->needs(key);
  key->needs(ca);
}

void AddMetrics(CLI::App& app, std::string* address) {
  app.add_option("--metrics", *address,
                 "serve figures for Prometheus at http://HOST:PORT/metrics, to whoever asks (a port alone: this machine)");
}

void AddLogLevel(CLI::App& app, std::string* level) {
  app.add_option("--log-level", *level, "what is said on stderr (default: info)")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->option_text("debug|info|warning|error");
}

struct ScanCommandOptions {
  ScanOptions scan;
  ClusterOptions cluster;
  CLI::App* app = nullptr;
};

absl::StatusOr<int> ScanHereOrThere(const ScanCommandOptions& options) {
  if (options.cluster.coordinator.empty()) return RunScan(options.scan);
  // What the coordinator's configuration decides would be passed over here.
  static constexpr const char* kDecidedThere[] = {
      "--store", "--key-file", "--config", "--policy", "--archives", "--jobs", "--max-object-size", "--memory-limit",
      "--fetch-backend", "--api-url", "--token-file", "--app-id", "--app-key-file", "--ca-file", "--client-cert", "--client-key",
      "--stall-timeout", "--mirrors", "--fetch-jobs", "--mirrors-budget", "--max-mirror-size", "--max-pull-requests",
      "--dropped-commits", "--audit-days", "--webhook", "--webhook-secret-file", "--no-sandbox", "--ignore-file",
      "--baseline-path", "--trust-repo-ignores"};
  if (options.scan.list_only) {
    return absl::InvalidArgumentError("--list-only is for a scan without --coordinator: list there, with its configuration");
  }
  for (const char* name : kDecidedThere) {
    if (options.app->get_option(name)->count() > 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s is decided where `unsprawl coordinator` or `unsprawl worker` is started", name));
    }
  }
  static constexpr const char* kSelects[] = {"--include-repos", "--exclude-repos", "--exclude-forks",
                                             "--exclude-archived", "--visibility", "--topics", "--max-repo-size",
                                             "--pushed-since", "--wikis", "--gists"};
  bool selects = false;
  for (const char* name : kSelects) selects |= options.app->get_option(name)->count() > 0;
  return RunScanInCluster(options.scan, options.cluster, selects);
}

void AddScan(CLI::App& app, ScanCommandOptions* options, int* exit_code) {
  options->app = AddCommand(app, "scan", "Scan repositories and write the sprawl report", options, ScanHereOrThere,
                            exit_code);
  AddScanOptions(options->app, "-c,--config", &options->scan);
  options->app->add_flag("--list-only", options->scan.list_only,
                         "say what would be scanned, and what it would cost");
  options->app->add_option("--coordinator", options->cluster.coordinator,
                           "let the workers of a coordinator (HOST:PORT) do it, follow, and fetch the report; without "
                           "a TARGET what it is configured for");
  AddTls(*options->app, &options->cluster.tls);
}

void AddCoordinator(CLI::App& app, CoordinatorOptions* options, int* exit_code) {
  CLI::App* coordinator = AddCommand(app, "coordinator", "Plan runs, lend their shards to workers, and report", options,
                                     RunCoordinator, exit_code);
  AddScanOptions(coordinator, "-c,--rules", &options->scan);
  coordinator->add_option("--config", options->config, "what `unsprawl run` takes, instead of these options");
  coordinator->add_option("--listen", options->listen, "HOST:PORT; beyond this machine with certificates only")
      ->capture_default_str();
  AddTls(*coordinator, &options->tls);
  AddMetrics(*coordinator, &options->metrics);
  AddLogLevel(*coordinator, &options->log_level);
  coordinator->add_option_function<int>(
          "--lease-seconds", [options](const int& s) { options->lease_time = absl::Seconds(s); },
          "a worker that is not heard of for so long has lost its shards (default 60)")
      ->check(CLI::Range(1, 3600));
  coordinator->add_option_function<int>(
          "--retry-seconds", [options](const int& s) { options->retry_pause = absl::Seconds(s); },
          "before a repository that failed is tried again; four times as long each time, four attempts (default 15)")
      ->check(CLI::Range(0, 3600));
  coordinator->add_option("--cut-size", options->cut_bytes,
                          "a repository with more than this to scan is divided among the workers (bytes of packs)")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
}

absl::StatusOr<int> Work(const WorkerOptions& asked) {
  WorkerOptions options = asked;
  options.rules_cache_dir = CacheDir() / "rules";
  std::filesystem::path& mirrors = options.pipeline.mirrors_dir;
  if (mirrors.empty()) mirrors = CacheDir() / "mirrors";
  mirrors = std::filesystem::absolute(mirrors).lexically_normal();  // Mirrors are known by where they are below it.
  RETURN_IF_ERROR(RunWorker(options, CatchSignals()));
  return kExitClean;
}

void AddWorker(CLI::App& app, WorkerOptions* options, int* exit_code) {
  CLI::App* worker =
      AddCommand(app, "worker", "Fetch and scan what a coordinator lends, until SIGTERM", options, Work, exit_code);
  worker->add_option("--coordinator", options->coordinator, "HOST:PORT")->required();
  worker->add_option("--name", options->name,
                     "stays the same, since mirrors are known by it (default: the certificate's, or the host's)");
  AddTls(*worker, &options->tls);
  AddMetrics(*worker, &options->metrics);
  AddLogLevel(*worker, &options->log_level);
  worker->add_option("-j,--jobs", options->threads, "threads (default: one per processor)")->check(CLI::Range(1, 256));
  worker->add_option("--fetch-jobs", options->fetch_jobs, "fetches at a time")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  worker->add_option("--memory-limit", options->memory_bytes, "private memory of one scanning process")
      ->transform(CLI::AsSizeValue(true));
  AddBackend(*worker, &options->pipeline);
  AddFetching(*worker, &options->network, &options->pipeline);
  worker->add_flag("!--no-sandbox", options->sandbox, "do not confine the process that parses repositories");
  worker->add_flag("-q,--quiet", options->quiet, "no progress on a terminal");
}

void AddCluster(CLI::App& app, ClusterOptions* options, int* exit_code) {
  const auto add = [&](const char* name, const char* description,
                       absl::StatusOr<int> (*command)(const ClusterOptions&),
                       const char* default_run = "its number (default: the run under way, or the last)") {
    CLI::App* added = AddCommand(app, name, description, options, command, exit_code);
    added->add_option("--coordinator", options->coordinator, "HOST:PORT")->required();
    added->add_option("--run", options->run, default_run);
    AddTls(*added, &options->tls);
    return added;
  };
  CLI::App* status = add("status", "Show a coordinator's runs, repositories, shards and workers", ClusterStatusCommand);
  status->add_flag("--json", options->json, "as JSON");
  status->add_flag("--watch", options->watch, "keep it up to date until the run is over");
  CLI::App* report =
      add("report", "Fetch the report of a coordinator's run", ClusterReportCommand,
          "its number (default: the last run that is done)");
  report->add_option("-o,--output", options->output_dir, "folder for the report")->capture_default_str();
  AddFailOn(*report, &options->fail_on);
  add("cancel", "End a coordinator's run", ClusterCancelCommand);
  add("retry", "Try again what a coordinator's run has parked", ClusterRetryCommand)
      ->add_option("REPOSITORY", options->repository, "its name (default: all)");
}

struct RunOptions {
  std::string file;
  ScanOptions defaults;
};

absl::StatusOr<int> Examine(const RunOptions& options) {
  if (options.file.empty()) return RunDoctor(options.defaults);
  ASSIGN_OR_RETURN(const ScanOptions configured, LoadRunConfig(options.file, options.defaults));
  return RunDoctor(configured);
}

// The options of a scan that say what to scan and how it is reached, or the configuration of a run, which says all.
void AddDoctor(CLI::App& app, RunOptions* options, int* exit_code) {
  CLI::App* doctor = AddCommand(app, "doctor", "Say what would stand in the way of a complete scan", options,
                                Examine, exit_code);
  ScanOptions& scan = options->defaults;
  doctor->add_option("TARGET", scan.groups[0].targets, "what would be scanned");
  doctor->add_option("--targets-from", scan.groups[0].targets_from, "a file of targets, one a line (-: stdin)");
  doctor->add_option("--store", scan.store_dir, "folder of the ledger (default: XDG state folder)");
  doctor->add_option("--key-file", scan.key_file, "the HMAC key for secret ids (default: XDG config)");
  AddNetwork(*doctor, &scan);
  AddSelection(*doctor, &scan);
  const std::vector<CLI::Option*> others = doctor->get_options();
  CLI::Option* config = doctor->add_option("--config", options->file, "what `unsprawl run` takes, instead of all that");
  for (CLI::Option* other : others) {
    if (other != doctor->get_help_ptr()) config->excludes(other);
  }
}

absl::StatusOr<int> RunConfigured(const RunOptions& options) {
  ASSIGN_OR_RETURN(const ScanOptions scan, LoadRunConfig(options.file, options.defaults));
  return RunScan(scan);
}

void AddRun(CLI::App& app, RunOptions* options, int* exit_code) {
  CLI::App* run = AddCommand(app, "run", "Scan what a configuration file names: the nightly audit", options,
                             RunConfigured, exit_code);
  run->add_option("FILE", options->file, "TOML: places, limits, and a [[scope]] for each organization")->required();
  run->add_flag("--list-only", options->defaults.list_only, "say what would be scanned, and what it would cost");
  run->add_flag("-q,--quiet", options->defaults.quiet, "no progress");
}

struct RulesOptions {
  std::string file, id, format = "unsprawl";
  RulesCheckOptions check;
  bool cost = false;
  bool markdown = false;
  std::vector<std::string> paths;  // what to look at
  ExplainOptions explain;
};

// The rules named on the command line, or the built-in ones.
absl::StatusOr<Ruleset> RulesOf(const RulesOptions& options) {
  return options.file.empty() ? Ruleset::Builtin() : Ruleset::Load(options.file);
}

absl::StatusOr<int> CheckRules(const RulesOptions& options) {
  ASSIGN_OR_RETURN(const Ruleset ruleset, RulesOf(options));
  ASSIGN_OR_RETURN(const int problems, RulesCheck(ruleset, std::cout, options.check));
  if (options.cost) RETURN_IF_ERROR(RulesCost(ruleset, std::cout));
  return problems == 0 ? kExitClean : kExitFindings;
}

absl::StatusOr<int> ListRules(const RulesOptions& options) {
  ASSIGN_OR_RETURN(const Ruleset ruleset, RulesOf(options));
  (options.markdown ? RulesPage : RulesList)(ruleset, std::cout);
  return kExitClean;
}

absl::StatusOr<int> CountRules(const RulesOptions& options) {
  ASSIGN_OR_RETURN(const Ruleset ruleset, RulesOf(options));
  RulesStats(ruleset, std::cout);
  return kExitClean;
}

absl::StatusOr<int> ConvertRules(const RulesOptions& options) {
  ASSIGN_OR_RETURN(const Ruleset ruleset, options.file == "builtin" ? Ruleset::Builtin() : Ruleset::Load(options.file));
  (options.format == "gitleaks" ? WriteGitleaksRules : WriteRules)(ruleset, std::cout);
  return kExitClean;
}

absl::StatusOr<int> ShowRule(const RulesOptions& options) {
  ASSIGN_OR_RETURN(const Ruleset ruleset, RulesOf(options));
  RETURN_IF_ERROR(RulesShow(ruleset, options.id, std::cout));
  return kExitClean;
}

absl::StatusOr<int> LookAt(const RulesOptions& options) {
  ASSIGN_OR_RETURN(const Ruleset ruleset, RulesOf(options));
  ASSIGN_OR_RETURN(const auto detector, Detector::Create(ruleset, {}, {.cache_dir = CacheDir() / "rules"}));
  ASSIGN_OR_RETURN(const int shown, ExplainFiles(*detector, options.paths, options.explain, std::cout));
  return shown == 0 ? kExitClean : kExitFindings;
}

absl::StatusOr<int> TestRules(const RulesOptions& options) {
  RulesOptions brief = options;
  brief.explain.steps = false;
  return LookAt(brief);
}

// FILE or FILE:LINE.
absl::StatusOr<int> ExplainPlace(const RulesOptions& options) {
  RulesOptions one = options;
  std::string& path = one.paths[0];
  const size_t colon = path.rfind(':');
  uint32_t line = 0;
  if (colon != std::string::npos && !std::filesystem::exists(path) && absl::SimpleAtoi(path.substr(colon + 1), &line)) {
    one.explain.line = line;
    path.resize(colon);
  }
  return LookAt(one);
}

void AddExplain(CLI::App& app, RulesOptions* options, int* exit_code) {
  CLI::App* explain = AddCommand(app, "explain", "Say why what a file holds is reported, or is not", options, ExplainPlace,
                                 exit_code);
  explain->add_option("FILE", options->paths, "a file, a folder, or a line of a file (FILE:LINE)")->required()->expected(1);
  explain->add_option("-c,--config", options->file, "rules to use (default: the built-in ones)");
  explain->add_flag("--archives", options->explain.archives, "look inside archives and documents as well");
  explain->add_option("--min-confidence", options->explain.min_confidence, "what counts as reported (0 to 1)")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
}

void AddRules(CLI::App& app, RulesOptions* options, int* exit_code) {
  CLI::App* rules = app.add_subcommand("rules", "Look at the types of secrets, and prove them");
  rules->require_subcommand(1);
  CLI::App* check = AddCommand(*rules, "check", "run every rule's examples and negatives", options,
                               CheckRules, exit_code);
  check->add_option("FILE", options->file, "rules to check (default: the built-in ones)");
  check->add_flag("--widths", options->check.widths, "print every rule's class and width");
  check->add_flag("--cost", options->cost, "scan some text, and print which rules take longest, and which are dear by nature");
  CLI::App* list = AddCommand(*rules, "list", "one line a rule", options, ListRules, exit_code);
  list->add_option("FILE", options->file, "rules to list (default: the built-in ones)");
  list->add_flag("--markdown", options->markdown, "a table a category, as docs/types.md");
  CLI::App* stats = AddCommand(*rules, "stats", "how many rules there are of which kinds", options, CountRules, exit_code);
  stats->add_option("FILE", options->file, "rules to count (default: the built-in ones)");
  CLI::App* show = AddCommand(*rules, "show", "all about one rule", options, ShowRule, exit_code);
  show->add_option("ID", options->id, "the rule's id")->required();
  show->add_option("-c,--config", options->file, "rules to look in (default: the built-in ones)");
  CLI::App* convert = AddCommand(*rules, "convert", "print all rules that a file means as one file", options, ConvertRules,
                                 exit_code);
  convert->add_option("FILE", options->file, "rules to print; builtin: the program's own")->required();
  convert->add_option("--to", options->format, "whose format")
      ->check(CLI::IsMember({"unsprawl", "gitleaks"}))->capture_default_str();
  CLI::App* test = AddCommand(*rules, "test", "what the rules find in files, a line each; 1 if anything", options, TestRules,
                              exit_code);
  test->add_option("FILE", options->paths, "files and folders on this disk")->required();
  test->add_option("-c,--config", options->file, "rules to use (default: the built-in ones)");
  test->add_flag("--archives", options->explain.archives, "look inside archives and documents as well");
  test->add_option("--min-confidence", options->explain.min_confidence, "show findings from this up (0 to 1)")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
}

// Prints what a command says.
absl::StatusOr<int> Print(const absl::StatusOr<std::string>& text) {
  if (!text.ok()) return text.status();
  std::cout << *text;
  if (!text->empty() && text->back() != '\n') std::cout << '\n';
  return kExitClean;
}

struct StoreOptions {
  std::string store, other, repository, secret;

  std::filesystem::path dir() const {
    return store.empty() ? StateDir() / "store" : std::filesystem::path(store);
  }
};

absl::StatusOr<int> CheckStore(const StoreOptions& options) {
  std::string text;
  const absl::Status checked = StoreCheck(options.dir(), &text);
  std::cout << text;
  if (!checked.ok()) return checked;
  return kExitClean;
}
absl::StatusOr<int> BackupStore(const StoreOptions& options) {
  return Print(StoreBackup(options.dir(), options.other));
}
absl::StatusOr<int> RestoreStore(const StoreOptions& options) {
  return Print(StoreRestore(options.other, options.dir()));
}
absl::StatusOr<int> MigrateStore(const StoreOptions& options) {
  return Print(StoreMigrate(options.dir()));
}
absl::StatusOr<int> PurgeStore(const StoreOptions& options) {
  if (options.repository.empty() == options.secret.empty()) {
    return absl::InvalidArgumentError("say what to forget: --repository NAME or --secret ID");
  }
  return Print(options.secret.empty() ? StorePurgeRepository(options.dir(), options.repository)
                                      : StorePurgeSecret(options.dir(), options.secret));
}

void AddStore(CLI::App& app, StoreOptions* options, int* exit_code) {
  CLI::App* store = app.add_subcommand("store", "Look after the ledger of what was scanned");
  store->require_subcommand(1);
  const auto add = [&](const char* name, const char* description,
                       absl::StatusOr<int> (*command)(const StoreOptions&)) {
    CLI::App* added = AddCommand(*store, name, description, options, command, exit_code);
    added->add_option("--store", options->store, "folder of the ledger (default: XDG state folder)");
    return added;
  };
  add("check", "read everything and check what must hold", CheckStore);
  add("backup", "copy the store", BackupStore)
      ->add_option("TARGET", options->other, "new or empty folder")->required();
  add("restore", "fill a new store from a backup", RestoreStore)
      ->add_option("BACKUP", options->other, "folder of the backup")->required();
  add("migrate", "bring the store to this program's schema", MigrateStore);
  CLI::App* purge = add("purge", "forget a repository or a secret for good", PurgeStore);
  purge->add_option("--repository", options->repository, "name or key of the repository");
  purge->add_option("--secret", options->secret, "id of the secret, at least 12 digits");
}

struct RunsOptions {
  std::string store;
  bool json = false;
};

absl::StatusOr<int> ShowRuns(const RunsOptions& options) {
  const StoreOptions place{.store = options.store, .other = {}, .repository = {}, .secret = {}};
  return Print(ListRuns(place.dir(), options.json));
}

void AddRuns(CLI::App& app, RunsOptions* options, int* exit_code) {
  CLI::App* runs =
      AddCommand(app, "runs", "List the runs that the ledger recorded", options, ShowRuns, exit_code);
  runs->add_option("--store", options->store, "folder of the ledger (default: XDG state folder)");
  runs->add_flag("--json", options->json, "one JSON object a line");
}

struct KeyOptions {
  std::string file, store;
};

absl::StatusOr<int> InitKey(const KeyOptions& options) { return Print(KeyInit(options.file)); }
absl::StatusOr<int> ShowKeyFingerprint(const KeyOptions& options) {
  return Print(KeyFingerprintCommand(options.file));
}
absl::StatusOr<int> RotateKey(const KeyOptions& options) { return Print(KeyRotate(options.file)); }
absl::StatusOr<int> ForgetKey(const KeyOptions& options) {
  return Print(KeyForget(options.file, StoreOptions{.store = options.store, .other = {},
                                                    .repository = {}, .secret = {}}.dir()));
}

void AddKey(CLI::App& app, KeyOptions* options, int* exit_code) {
  CLI::App* key = app.add_subcommand("key", "The key behind the ids of secrets");
  key->require_subcommand(1);
  const auto add = [&](const char* name, const char* description,
                       absl::StatusOr<int> (*command)(const KeyOptions&)) {
    CLI::App* added = AddCommand(*key, name, description, options, command, exit_code);
    added->add_option("--key-file", options->file, "the key (default: XDG config)");
    return added;
  };
  add("init", "make a key where there is none", InitKey);
  add("fingerprint", "what tells this key from another", ShowKeyFingerprint);
  add("rotate", "make a new key; the next scan carries ids over", RotateKey);
  add("forget", "forget replaced keys, once every id is carried over", ForgetKey)
      ->add_option("--store", options->store, "folder of the ledger (default: XDG state folder)");
}

absl::StatusOr<int> MakeCertificates(const CertsOptions& options) { return Print(MakeCerts(options, absl::Now())); }

void AddCerts(CLI::App& app, CertsOptions* options, int* exit_code) {
  CLI::App* certs = AddCommand(app, "certs", "Make the certificates of a coordinator, its workers and admins",
                               options, MakeCertificates, exit_code);
  certs->add_option("DIR", options->dir, "folder of the authority and all it signs; run again, it adds what is missing")
      ->required()
      ->type_name("DIR");
  OneByOne(certs->add_option("--coordinator", options->coordinator_hosts,
                             "names and addresses by which the coordinator is reached")
               ->delimiter(','));
  certs->add_option("--workers", options->workers, "as many workers, named 1, 2, 3…")->check(CLI::Range(1, 10000));
  OneByOne(certs->add_option("--worker", options->worker_names, "a worker of this name")->delimiter(','));
  OneByOne(certs->add_option("--pool", options->pool_names, "workers that come and go, with one certificate for all")
               ->delimiter(','));
  OneByOne(certs->add_option("--admin", options->admin_names, "somebody who may command the coordinator")
               ->delimiter(','));
  certs->add_option("--days", options->days, "how long they are valid")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();
  certs->add_flag("--renew", options->renew, "new certificates for those named that are there already; keys stay");
}

}  // namespace
}  // namespace unsprawl

int main(int argc, char** argv) {
  const rlimit no_core = {.rlim_cur = 0, .rlim_max = 0};  // It would hold tokens, secrets and the key.
  setrlimit(RLIMIT_CORE, &no_core);
  CLI::App app("Finds secrets in the whole history of an organization's repositories");
  app.set_version_flag("--version", "unsprawl " UNSPRAWL_VERSION);
  app.require_subcommand(1);
  int exit_code = unsprawl::kExitClean;
  unsprawl::ScanCommandOptions scan_command;
  unsprawl::ScanOptions& scan = scan_command.scan;
  scan.version = UNSPRAWL_VERSION;
  scan.command_line = unsprawl::CommandLine(argc, argv);
  unsprawl::AddScan(app, &scan_command, &exit_code);
  unsprawl::CoordinatorOptions coordinator;
  coordinator.scan.version = scan.version;
  coordinator.scan.command_line = scan.command_line;
  unsprawl::AddCoordinator(app, &coordinator, &exit_code);
  unsprawl::WorkerOptions worker;
  worker.version = scan.version;
  unsprawl::AddWorker(app, &worker, &exit_code);
  unsprawl::ClusterOptions cluster;
  unsprawl::AddCluster(app, &cluster, &exit_code);
  unsprawl::RunOptions doctor;
  unsprawl::AddDoctor(app, &doctor, &exit_code);
  unsprawl::RunOptions run;
  run.defaults.version = scan.version;
  run.defaults.command_line = scan.command_line;
  run.defaults.fail_on.severity = std::nullopt;  // A nightly audit that finds what was there has not failed.
  unsprawl::AddRun(app, &run, &exit_code);
  unsprawl::RulesOptions rules;
  unsprawl::AddRules(app, &rules, &exit_code);
  unsprawl::AddExplain(app, &rules, &exit_code);
  unsprawl::StoreOptions store;
  unsprawl::AddStore(app, &store, &exit_code);
  unsprawl::RunsOptions runs;
  unsprawl::AddRuns(app, &runs, &exit_code);
  unsprawl::KeyOptions key;
  unsprawl::AddKey(app, &key, &exit_code);
  unsprawl::CertsOptions certs;
  unsprawl::AddCerts(app, &certs, &exit_code);
  unsprawl::AddDocsCommands(app, &exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? unsprawl::kExitClean : unsprawl::kExitUsage;
  }
  return exit_code;
}
