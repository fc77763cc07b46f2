#include "coordinator/doctor.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "coordinator/organization.h"
#include "coordinator/places.h"
#include "coordinator/policy.h"
#include "coordinator/report/coverage.h"
#include "coordinator/targets.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"
#include "engine/match/ruleset.h"
#include "store/key_file.h"
#include "store/rocksdb_ledger.h"
#include "worker/clone_url.h"
#include "worker/git_command.h"
#include "worker/mirror.h"

namespace unsprawl {
namespace {

constexpr size_t kTriedRepositories = 3;  // of a scope, with git

class Doctor {
 public:
  explicit Doctor(const ScanOptions& options) : options_(options), stop_(false) {}

  absl::StatusOr<int> Run() {
    std::vector<std::vector<std::string>> targets;
    for (const TargetGroup& group : options_.groups) {
      ASSIGN_OR_RETURN(targets.emplace_back(), TargetsOf(group));
    }
    CheckGit();
    CheckKey();
    std::unique_ptr<Ledger> ledger = CheckStore();
    CheckRules();
    for (size_t i = 0; i < targets.size(); ++i) RETURN_IF_ERROR(CheckGroup(options_.groups[i], targets[i], *ledger));
    CheckDisk();
    std::printf("\n%s\n", problems_ == 0 ? "Nothing stands in the way of a complete run."
                                         : absl::StrFormat("%d things to look at.", problems_).c_str());
    return problems_ == 0 ? kExitClean : kExitIncomplete;
  }

 private:
  void Say(bool good, const std::string& about, const std::string& text) {
    problems_ += good ? 0 : 1;
    std::printf("%-7s %s: %s\n", good ? "ok" : "PROBLEM", EscapeForTerminal(about).c_str(),
                EscapeForTerminal(text).c_str());
  }
  void Say(const std::string& about, const absl::Status& status, const std::string& good) {
    Say(status.ok(), about, status.ok() ? good : std::string(status.message()));
  }

  void CheckGit() {
    GitCommand version;
    version.arguments = {"version"};
    absl::StatusOr<std::string> said = RunGit(version);
    if (said.ok()) said->pop_back();
    Say("git", said.status(), said.ok() ? *said : "");
  }

  void CheckKey() {
    const absl::StatusOr<KeyRing> keys = LoadOrCreateKey(options_.key_file);
    Say("key", keys.status(), keys.ok() ? keys->source : "");
  }

  // The store, or one in memory where it cannot be opened.
  std::unique_ptr<Ledger> CheckStore() {
    const std::filesystem::path dir =
        options_.store_dir.empty() ? StateDir() / "store" : std::filesystem::path(options_.store_dir);
    std::error_code error;
    if (options_.store_dir == ":memory:" || !std::filesystem::exists(dir, error)) {
      Say(true, "store", dir.native() + " does not exist yet");
      return NewMemoryLedger();
    }
    absl::StatusOr<std::unique_ptr<Ledger>> ledger = RocksdbLedger::Open(dir, {});
    Say("store", ledger.status(), dir.native());
    return ledger.ok() ? *std::move(ledger) : NewMemoryLedger();
  }

  void CheckRules() {
    if (!options_.config.empty()) Say("rules", Ruleset::Load(options_.config).status(), options_.config);
  }

  absl::Status CheckGroup(const TargetGroup& group, const std::vector<std::string>& names, Ledger& ledger) {
    if (!group.policy.empty()) Say("policy", LoadPolicy(group.policy).status(), group.policy);
    ASSIGN_OR_RETURN(const Targets targets, FindTargets(names, stop_));
    for (const Targets::Unusable& unusable : targets.unusable) {
      Say(false, unusable.name, std::string(unusable.reason.message()));
    }
    ForgeOptions forge = group.forge;
    forge.inspect = true;
    forge.api.network = options_.network;
    forge.api.max_attempts = 2;
    ASSIGN_OR_RETURN(const Organization organization,
                     ListOrganization(targets.scopes, forge, ledger, [](const std::string&) {}));
    for (const Organization::Remark& remark : organization.remarks) Say(remark.good, remark.about, remark.text);
    for (const RepositoryOutcome& outcome : organization.outcomes) {
      Say(IsWhole(outcome.status), outcome.name, outcome.reason);
    }
    if (!targets.scopes.empty()) {
      Say(organization.listed > 0, "listing",
          absl::StrFormat("%d repositories, %d of them not selected", organization.listed, organization.not_selected));
    }
    if (!targets.local.empty()) Say(true, "here", absl::StrFormat("%d repositories", targets.local.size()));
    for (const RemoteTarget& target : organization.targets) Expect(target);
    TryGit(organization.targets);
    TryUrls(targets.urls);
    return absl::OkStatus();
  }

  // Adds what fetching it will take of the disk.
  void Expect(const RemoteTarget& target) {
    const Mirror mirror(MirrorsDir(options_) / target.folder());
    const uint64_t bytes = target.size_kb * 1024, kept = mirror.bytes();
    wanted_ += bytes > kept ? bytes - kept : 0;
    if (bytes == 0 && !mirror.exists() && target.gone.empty()) ++unknown_sizes_;
  }

  // URLs of the command line: what they want is not known, only whether they can be had.
  void TryUrls(const std::vector<std::string>& urls) {
    const RemoteSource source;
    std::vector<RemoteTarget> targets;
    for (size_t i = 0; i < urls.size(); ++i) {
      const absl::StatusOr<CloneUrl> url = ParseCloneUrl(urls[i]);
      if (!url.ok()) {  // Not shown: what is wrong in it may be a password.
        Say(absl::StrFormat("URL %d of %d", i + 1, urls.size()), url.status(), "");
        continue;
      }
      Expect(targets.emplace_back(TargetOfUrl(*url, source)));
    }
    TryGit(std::move(targets));
  }

  // Reads refs of a few repositories, as a run would: a token may list what it may not read.
  void TryGit(std::vector<RemoteTarget> targets) {
    std::stable_sort(targets.begin(), targets.end(),
                     [](const RemoteTarget& a, const RemoteTarget& b) { return a.size_kb < b.size_kb; });
    if (targets.size() > kTriedRepositories) {
      std::swap(targets[kTriedRepositories - 1], targets.back());  // The largest as well.
      targets.resize(kTriedRepositories);
    }
    FetchOptions fetch = options_.pipeline.fetch;
    fetch.network = options_.network;
    fetch.attempts = 1;
    for (const RemoteTarget& target : targets) {
      const absl::StatusOr<std::vector<std::string>> tokens = AuthorizationsFor(target);
      const absl::StatusOr<Mirror::Refs> refs =
          tokens.ok() ? Mirror::List(CloneUrlOf(target.url, target.name, tokens->front()), fetch) : tokens.status();
      Say("git " + target.name, refs.status(), "its refs can be read");
    }
  }

  void CheckDisk() {
    const std::filesystem::path dir = MirrorsDir(options_);
    std::error_code error;
    std::filesystem::path there = std::filesystem::absolute(dir, error);
    while (!std::filesystem::exists(there, error) && there.has_relative_path()) there = there.parent_path();
    const std::filesystem::space_info space = std::filesystem::space(there, error);
    if (error) return Say(false, "disk", absl::StrFormat("%s: %s", there.native(), error.message()));
    uint64_t wanted = wanted_;
    if (const uint64_t budget = options_.pipeline.mirrors_budget_bytes; budget > 0) wanted = std::min(wanted, budget);
    std::string text = absl::StrFormat("%s free for mirrors in %s, about %s wanted", HumanBytes(space.available),
                                       dir.native(), HumanBytes(wanted));
    if (unknown_sizes_ > 0) {
      text += absl::StrFormat(", and what %d repositories take whose size is not known", unknown_sizes_);
    }
    Say(space.available > wanted + kDiskReserveBytes, "disk", text);
  }

  const ScanOptions& options_;
  const std::atomic<bool> stop_;
  int problems_ = 0;
  uint64_t wanted_ = 0;         // bytes of all repositories, as forges say, beyond what is kept of them
  uint64_t unknown_sizes_ = 0;  // repositories of which nothing is kept, and no forge says how large they are
};

}  // namespace

absl::StatusOr<int> RunDoctor(const ScanOptions& options) { return Doctor(options).Run(); }

}  // namespace unsprawl
