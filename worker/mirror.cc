#include "worker/mirror.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/base/escape.h"
#include "engine/base/object_id.h"
#include "engine/base/sha256.h"
#include "engine/base/status.h"
#include "worker/git_command.h"
#include "worker/mirror_libgit2.h"
#include "worker/pause.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

constexpr char kTipsFile[] = "unsprawl-tips";  // before a fetch: what the refs named until then
constexpr char kFetchedFile[] = "unsprawl-fetched";  // after a fetch: v1::FetchNote
constexpr char kLostFile[] = "unsprawl-lost";  // tips that no ref reaches any more
constexpr char kServed[] = " served";    // behind one of them: the remote serves it nevertheless
constexpr char kMissing[] = " missing";  // or: it cannot be had
constexpr char kGoneFile[] = "unsprawl-gone";  // empty: the remote serves it no longer
constexpr char kIdFile[] = "unsprawl-id";  // random: tells a mirror from a later one in its place
constexpr char kLenderIdFile[] = "unsprawl-lender-id";
constexpr char kAlternatesFile[] = "objects/info/alternates";
constexpr char kCloneFolder[] = "tmp_clone";
constexpr char kLockFile[] = "unsprawl-lock";  // locked by whoever changes the mirror, and by its git
constexpr absl::Duration kLockPatience = absl::Minutes(1);  // with the git of a run that was killed
constexpr absl::Duration kLockPoll = absl::Milliseconds(50);

// Of an annotated tag the commit: that is what a walk names.
constexpr char kTipFormat[] = "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)";

constexpr size_t kIdDigits = 2 * ObjectId::kBytes;

// Where forges keep the refs of proposals.
constexpr const char* kPullRequestRefs[] = {"refs/pull/", "refs/pull-requests/", "refs/merge-requests/",
                                            "refs/changes/"};

bool IsPullRequest(std::string_view ref) {
  return std::any_of(std::begin(kPullRequestRefs), std::end(kPullRequestRefs),
                     [ref](const char* prefix) { return ref.rfind(prefix, 0) == 0; });
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

std::string ReadWhole(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<std::string> ReadLines(const fs::path& file) { return Lines(ReadWhole(file)); }

// Replaces `file` at once.
absl::Status WriteWhole(const fs::path& file, const std::string& text) {
  const fs::path beside = file.native() + ".new";
  {
    std::ofstream stream(beside, std::ios::trunc | std::ios::binary);
    if (!stream.write(text.data(), static_cast<std::streamsize>(text.size())).flush()) {
      return absl::ResourceExhaustedError(absl::StrFormat("%s cannot be written", beside.native()));
    }
  }
  std::error_code error;
  fs::rename(beside, file, error);
  if (error) return absl::ResourceExhaustedError(absl::StrFormat("%s: %s", file.native(), error.message()));
  return absl::OkStatus();
}

absl::Status WriteLines(const fs::path& file, const std::set<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  return WriteWhole(file, text);
}

std::string NewId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x\n", random(), random(), random(), random());
}

// Runs `attempt` until it succeeds or fails for good.
template <typename Attempt>
auto Persist(const FetchOptions& options, const Attempt& attempt) -> decltype(attempt()) {
  for (int made = 1;; ++made) {
    auto result = attempt();
    const absl::Status& status = [&]() -> const absl::Status& {
      if constexpr (std::is_same_v<decltype(attempt()), absl::Status>) {
        return result;
      } else {
        return result.status();
      }
    }();
    if (!absl::IsUnavailable(status) || made >= options.attempts) return result;
    const absl::Duration pause = IsLimited(status) ? options.limit_pause : options.first_pause;
    RETURN_IF_ERROR(Pause(WithJitter(pause * (1 << (made - 1))), options.stop));
  }
}

// The right to change a mirror. Every git that is given `fd` shares it: those that a killed run has left
// behind have ended when it is had.
class MirrorLock {
 public:
  // Waits a while. Unavailable: somebody works there. Cancelled: `stop`.
  static absl::StatusOr<MirrorLock> Take(const fs::path& dir, const std::atomic<bool>* stop) {
    const fs::path file = dir / kLockFile;
    MirrorLock lock(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (lock.fd_ < 0) return absl::PermissionDeniedError(absl::StrFormat("%s cannot be written", file.native()));
    for (absl::Duration waited; flock(lock.fd_, LOCK_EX | LOCK_NB) != 0; waited += kLockPoll) {
      if (waited >= kLockPatience) {
        return absl::UnavailableError(absl::StrFormat("%s: another process fetches into it", dir.native()));
      }
      RETURN_IF_ERROR(Pause(kLockPoll, stop));
    }
    return lock;
  }
  ~MirrorLock() {
    if (fd_ >= 0) close(fd_);
  }
  MirrorLock(MirrorLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  MirrorLock& operator=(MirrorLock&&) = delete;

  int fd() const { return fd_; }

 private:
  explicit MirrorLock(int fd) : fd_(fd) {}

  int fd_;
};

// Removes what a git that was killed left half done: nobody would ever, and its locks stop the next one.
void RemoveLeftovers(const fs::path& dir) {
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (fs::recursive_directory_iterator entries(dir, error);
       !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename();
    const bool temporary = name.starts_with("tmp_") || name.starts_with(".tmp-") || name.starts_with("pack_git2_");
    const bool of_objects = entries->path().native().compare(dir.native().size(), 9, "/objects/") == 0;
    if (name.ends_with(".lock") || (temporary && of_objects) || entries->path() == dir / kCloneFolder) {
      leftovers.push_back(entries->path());
    }
  }
  for (const fs::path& leftover : leftovers) fs::remove_all(leftover, error);
}

// git leaves a folder of another owner alone, whatever our settings say: they do not reach the git that serves
// it, which is made to take hostile repositories.
std::vector<std::string> UploadPack(const CloneUrl& url) {
  if (url.scheme != "file") return {};
  return {"--upload-pack=git -c 'safe.directory=*' upload-pack"};
}

GitCommand Local(const fs::path& dir, std::vector<std::string> arguments, const FetchOptions& options) {
  GitCommand command;
  command.arguments = std::move(arguments);
  command.arguments.insert(command.arguments.begin(), "--git-dir=" + dir.native());
  command.stop = options.stop;
  return command;
}

// `verb` with its options, asked of `url`, `what` of it.
GitCommand Remote(std::vector<std::string> verb, const CloneUrl& url, const std::vector<std::string>& what,
                  const FetchOptions& options) {
  GitCommand command;
  command.arguments = std::move(verb);
  for (std::string& argument : UploadPack(url)) command.arguments.push_back(std::move(argument));
  command.arguments.insert(command.arguments.end(), {"--end-of-options", url.url});
  command.arguments.insert(command.arguments.end(), what.begin(), what.end());
  command.remote = &url;
  command.network = &options.network;
  command.stop = options.stop;
  command.timeout = options.timeout;
  return command;
}

absl::StatusOr<std::string> ListWithGit(const CloneUrl& url, const FetchOptions& options) {
  GitCommand command = Remote({"ls-remote", "--symref"}, url, {}, options);
  command.timeout = std::min(options.timeout, absl::Minutes(10));
  return RunGit(command);
}

// Without refspecs: it reads them, or ids, from its input.
GitCommand FetchCommand(const fs::path& dir, const CloneUrl& url, const FetchOptions& options,
                        const std::vector<std::string>& refspecs) {
  std::vector<std::string> verb = {"--git-dir=" + dir.native(), "fetch", "-q", "--no-tags", "--no-write-fetch-head"};
  verb.push_back(refspecs.empty() ? "--stdin" : "--prune");
  return Remote(std::move(verb), url, refspecs, options);
}

// Whether it was the server that said no, as it does to what it does not have.
bool IsRefusal(const absl::Status& status) {
  return absl::StrContains(status.message(), "remote error:") ||
         absl::StrContains(status.message(), "not our ref") ||  // of a folder's git, which may say it by itself
         absl::StrContains(status.message(), "unadvertised object");
}

}  // namespace

bool Mirror::exists() const {
  std::error_code error;
  return fs::exists(dir_ / "HEAD", error);
}

uint64_t Mirror::bytes() const {
  uint64_t sum = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entries(dir_ / "objects", error);
       !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    std::error_code unreadable;
    const uint64_t size = entries->is_regular_file(unreadable) ? entries->file_size(unreadable) : 0;
    if (!unreadable) sum += size;
  }
  return sum;
}

absl::StatusOr<Mirror::Refs> Mirror::List(const CloneUrl& url, const FetchOptions& options) {
  ASSIGN_OR_RETURN(const std::string listed, Persist(options, [&] {
                     return options.backend == FetchBackend::kGit ? ListWithGit(url, options)
                                                                  : ListWithLibgit2(url, options);
                   }));
  Refs refs;
  std::string text, pull_requests;
  constexpr std::string_view kSymbolic = "ref: ";
  for (const std::string& line : Lines(listed)) {
    const size_t tab = line.find('\t');
    if (tab == std::string::npos) continue;
    if (tab == 64 && line[0] != 'r') {
      return absl::UnimplementedError("a repository with SHA-256 object names, which are not read yet");
    }
    const std::string_view ref = std::string_view(line).substr(tab + 1);
    if (line.rfind(kSymbolic, 0) == 0) {
      if (ref == "HEAD") refs.head = line.substr(kSymbolic.size(), tab - kSymbolic.size());
    } else if (IsPullRequest(ref)) {
      ++refs.pull_request_refs;
      pull_requests += line + "\n";
    } else if (ref.rfind("refs/", 0) == 0) {
      text += line + "\n";
    } else if (ref == "HEAD") {
      refs.detached_head = line.substr(0, tab);  // unless a line says which branch it is
    }
  }
  if (!refs.head.empty()) refs.detached_head.clear();
  refs.pull_requests = refs.pull_request_refs <= options.max_pull_requests;
  if (refs.pull_requests) text += pull_requests;
  text += "HEAD " + refs.head + refs.detached_head;
  refs.digest = Sha256(text);
  return refs;
}

absl::Status Mirror::Fetch(const CloneUrl& url, const Refs& refs, const FetchOptions& options) {
  if (options.backend == FetchBackend::kLibgit2 && !refs.pull_requests) {
    return absl::FailedPreconditionError("libgit2 cannot leave out pull requests: use --fetch-backend git");
  }
  std::error_code error;
  fs::create_directories(dir_, error);
  if (error) {
    return absl::PermissionDeniedError(
        absl::StrFormat("%s: cannot be made (%s)", dir_.native(), error.message()));
  }
  fs::remove(dir_ / kFetchedFile, error);
  RETURN_IF_ERROR(Persist(options, [&] { return FetchOnce(url, refs, options); }));
  fs::remove(dir_ / kGoneFile, error);
  return absl::OkStatus();
}

absl::Status Mirror::FetchOnce(const CloneUrl& url, const Refs& refs, const FetchOptions& options) {
  ASSIGN_OR_RETURN(const MirrorLock lock, MirrorLock::Take(dir_, options.stop));
  RemoveLeftovers(dir_);
  const absl::Status fetched = FetchLocked(url, refs, options, lock.fd());
  if (!fetched.ok()) RemoveLeftovers(dir_);
  return fetched;
}

absl::Status Mirror::FetchLocked(const CloneUrl& url, const Refs& refs, const FetchOptions& options, int lock) {
  ForgetLostLender();
  if (!exists() || id().empty()) RETURN_IF_ERROR(WriteWhole(dir_ / kIdFile, NewId()));
  const auto watch = [&] { return CheckRoom(options); };
  if (options.backend == FetchBackend::kLibgit2) {
    if (exists()) RETURN_IF_ERROR(NoteTips(options));
    RETURN_IF_ERROR(FetchWithLibgit2(url, dir_.native(), options, watch));
    return NoteLost(options);
  }
  const auto change = [&](GitCommand command) {
    command.inherited_fd = lock;
    command.watch = watch;
    return RunGit(command).status();
  };
  // Leaving refs out is something that only fetch can.
  if (!exists() && refs.pull_requests) {
    std::vector<std::string> clone = {"clone", "-q", "--mirror", "--template="};
    if (!lender().empty()) clone.insert(clone.end(), {"--reference", lender().native()});
    RETURN_IF_ERROR(change(Remote(std::move(clone), url, {(dir_ / kCloneFolder).native()}, options)));
    return MoveCloneUp();
  }
  GitCommand init;
  init.arguments = {"init", "-q", "--bare", "--template=", dir_.native()};
  init.stop = options.stop;
  RETURN_IF_ERROR(change(init));
  RETURN_IF_ERROR(NoteTips(options));
  std::vector<std::string> refspecs = {"+refs/*:refs/*"};
  if (!refs.pull_requests) {
    for (const char* prefix : kPullRequestRefs) refspecs.push_back(absl::StrFormat("^%s*", prefix));
  }
  if (!refs.detached_head.empty()) refspecs.push_back("HEAD");
  RETURN_IF_ERROR(change(FetchCommand(dir_, url, options, refspecs)));
  if (!refs.head.empty()) {
    RETURN_IF_ERROR(change(Local(dir_, {"symbolic-ref", "HEAD", refs.head}, options)));
  } else if (!refs.detached_head.empty()) {
    RETURN_IF_ERROR(change(Local(dir_, {"update-ref", "--no-deref", "HEAD", refs.detached_head}, options)));
  }
  return NoteLost(options);
}

// The first fetch: clone writes all refs into one file, where fetch writes a file for each of what may be a
// hundred thousand. It wants a folder of its own, whose content then moves up, HEAD last (`exists`).
absl::Status Mirror::MoveCloneUp() {
  const fs::path fresh = dir_ / kCloneFolder;
  std::error_code error;
  if (!lender().empty()) {  // It was written as an absolute path.
    fs::copy_file(dir_ / kAlternatesFile, fresh / kAlternatesFile, fs::copy_options::overwrite_existing, error);
  }
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fresh, error)) {
    if (entry.path().filename() != "HEAD") names.push_back(entry.path().filename());
  }
  names.emplace_back("HEAD");
  for (const std::string& name : names) {
    if (!error) fs::remove_all(dir_ / name, error);
    if (!error) fs::rename(fresh / name, dir_ / name, error);
  }
  if (!error) fs::remove(fresh, error);
  if (error) return absl::ResourceExhaustedError(absl::StrFormat("%s: %s", dir_.native(), error.message()));
  return absl::OkStatus();
}

absl::Status Mirror::Borrow(const Mirror& lender) {
  const fs::path file = dir_ / kAlternatesFile;
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  RETURN_IF_ERROR(WriteWhole(dir_ / kLenderIdFile, lender.id()));
  // Relative: the mirrors' folder may be moved.
  return WriteLines(file, {(lender.dir_ / "objects").lexically_relative(dir_ / "objects").native()});
}

fs::path Mirror::lender() const {
  const std::vector<std::string> lines = ReadLines(dir_ / kAlternatesFile);
  return lines.empty() ? "" : (dir_ / "objects" / lines[0]).lexically_normal().parent_path();
}

bool Mirror::IsLenderLost() const {
  const fs::path from = lender();
  if (from.empty()) return false;
  return !Mirror(from).exists() || Mirror(from).id() != ReadWhole(dir_ / kLenderIdFile);
}

// Without the lender's objects refs and lost tips name what is not there, and git would not even fetch.
void Mirror::ForgetLostLender() {
  if (!IsLenderLost()) return;
  std::error_code error;
  fs::remove(dir_ / "packed-refs", error);
  fs::remove_all(dir_ / "refs", error);
  fs::remove(dir_ / kLostFile, error);
  fs::remove(dir_ / kIdFile, error);  // It is no longer what it was.
  fs::remove(dir_ / kAlternatesFile, error);
}

std::string Mirror::id() const { return ReadWhole(dir_ / kIdFile); }

absl::Status Mirror::SetFetched(const v1::FetchNote& note) {
  return WriteWhole(dir_ / kFetchedFile, note.SerializeAsString());
}

v1::FetchNote Mirror::fetched() const {
  v1::FetchNote note;
  if (IsLenderLost() || !note.ParseFromString(ReadWhole(dir_ / kFetchedFile))) note.Clear();
  return note;
}

absl::Status Mirror::CheckRoom(const FetchOptions& options) const {
  if (options.max_mirror_bytes > 0 && bytes() + Mirror(dir_ / kCloneFolder).bytes() > options.max_mirror_bytes) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "it takes more than %s and was given up: allow more with --max-mirror-size, or leave it out",
        HumanBytes(options.max_mirror_bytes)));
  }
  std::error_code error;
  const fs::space_info space = fs::space(dir_, error);
  if (!error && space.available < options.disk_reserve_bytes) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "%s: the disk has %s left, so its fetch was given up: make room, or bound the mirrors with "
        "--mirrors-budget",
        dir_.native(), HumanBytes(space.available)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Mirror::Tips(const FetchOptions& options) const {
  ASSIGN_OR_RETURN(const std::string named, RunGit(Local(dir_, {"for-each-ref", kTipFormat}, options)));
  std::vector<std::string> tips = Lines(named);
  const std::vector<std::string> head = ReadLines(dir_ / "HEAD");
  if (!head.empty() && ObjectId::FromHex(head[0])) tips.push_back(head[0]);
  std::sort(tips.begin(), tips.end());
  tips.erase(std::unique(tips.begin(), tips.end()), tips.end());
  return tips;
}

// Keeps what the refs name now, together with what an interrupted fetch has noted.
absl::Status Mirror::NoteTips(const FetchOptions& options) {
  const std::vector<std::string> noted = ReadLines(dir_ / kTipsFile);
  ASSIGN_OR_RETURN(const std::vector<std::string> now, Tips(options));
  std::set<std::string> tips(noted.begin(), noted.end());
  tips.insert(now.begin(), now.end());
  return WriteLines(dir_ / kTipsFile, tips);
}

// Finds those of the noted tips that no ref reaches any more.
absl::Status Mirror::NoteLost(const FetchOptions& options) {
  const std::vector<std::string> noted = ReadLines(dir_ / kTipsFile);
  std::set<std::string> moved(noted.begin(), noted.end());
  ASSIGN_OR_RETURN(const std::vector<std::string> now, Tips(options));
  for (const std::string& tip : now) moved.erase(tip);
  std::set<std::string> broken;
  ASSIGN_OR_RETURN(const auto here, TypesOf(moved, options));
  ASSIGN_OR_RETURN(std::set<std::string> lost, UnreachedOf(here, options, &broken));
  lost.merge(broken);
  RETURN_IF_ERROR(AddLost(lost, {}));
  std::error_code error;
  fs::remove(dir_ / kTipsFile, error);
  return absl::OkStatus();
}

// Of TypesOf those that no ref reaches: commits by a walk; of anything else a tag named, once its tag is gone, nobody knows.
// *broken: those that are here without all of their history, which stops a walk.
absl::StatusOr<std::set<std::string>> Mirror::UnreachedOf(const std::map<std::string, std::string>& tips,
                                                          const FetchOptions& options,
                                                          std::set<std::string>* broken) const {
  std::set<std::string> unreached;
  std::vector<std::string> commits;
  for (const auto& [id, type] : tips) {
    if (type == "commit") {
      commits.push_back(id);
    } else {
      unreached.insert(id);
    }
  }
  const auto walk = [&](const std::vector<std::string>& from) -> absl::Status {
    GitCommand command = Local(dir_, {"rev-list", "--stdin", "--not", "--all"}, options);
    command.input = absl::StrJoin(from, "\n") + "\n";
    ASSIGN_OR_RETURN(const std::string reached, RunGit(command));
    for (std::string& id : Lines(reached)) {
      if (tips.count(id) > 0) unreached.insert(std::move(id));
    }
    return absl::OkStatus();
  };
  if (commits.empty()) return unreached;
  const absl::Status whole = walk(commits);
  if (absl::IsCancelled(whole)) return whole;
  if (whole.ok()) return unreached;
  for (const std::string& commit : commits) {
    const absl::Status one = walk({commit});
    if (absl::IsCancelled(one)) return one;
    if (!one.ok()) broken->insert(commit);
  }
  return unreached;
}

// The types of those that are here.
absl::StatusOr<std::map<std::string, std::string>> Mirror::TypesOf(const std::set<std::string>& ids,
                                                                   const FetchOptions& options) const {
  std::map<std::string, std::string> types;
  if (ids.empty()) return types;
  GitCommand check = Local(dir_, {"cat-file", "--batch-check=%(objecttype) %(objectname)"}, options);
  for (const std::string& id : ids) check.input += id + "\n";
  ASSIGN_OR_RETURN(const std::string said, RunGit(check));
  for (const std::string& line : Lines(said)) {
    const size_t space = line.find(' ');
    if (!line.ends_with(" missing")) types.emplace(line.substr(space + 1), line.substr(0, space));
  }
  return types;
}

// `served`: those of them that the remote serves although no ref reaches them.
absl::Status Mirror::AddLost(const std::set<std::string>& ids, const std::map<std::string, std::string>& served) {
  if (ids.empty()) return absl::OkStatus();
  const std::vector<std::string> before = ReadLines(dir_ / kLostFile);
  std::set<std::string> all(before.begin(), before.end());
  for (const std::string& id : ids) {
    all.erase(id + kMissing);
    if (all.count(id + kServed) > 0) continue;
    if (served.count(id) > 0) all.erase(id);
    all.insert(served.count(id) > 0 ? id + kServed : id);
  }
  // git repacks and prunes around packs with a .keep file.
  std::error_code error;
  std::vector<fs::path> packs;
  for (fs::directory_iterator entries(dir_ / "objects" / "pack", error);
       !error && entries != fs::directory_iterator(); entries.increment(error)) {
    if (entries->path().extension() == ".pack") packs.push_back(entries->path());
  }
  for (fs::path pack : packs) std::ofstream(pack.replace_extension(".keep"), std::ios::app);
  return WriteLines(dir_ / kLostFile, all);
}

absl::Status Mirror::NoteMissing(const std::vector<std::string>& ids) {
  if (ids.empty()) return absl::OkStatus();
  const std::vector<std::string> before = ReadLines(dir_ / kLostFile);
  std::set<std::string> all(before.begin(), before.end());
  for (const std::string& id : ids) all.insert(id + kMissing);
  return WriteLines(dir_ / kLostFile, all);
}

std::vector<std::string> Mirror::Marked(bool missing) const {
  std::vector<std::string> tips = ReadLines(dir_ / kLostFile);
  std::erase_if(tips, [&](const std::string& line) { return line.ends_with(kMissing) != missing; });
  for (std::string& tip : tips) tip.resize(std::min(tip.size(), kIdDigits));
  return tips;
}
std::vector<std::string> Mirror::lost_tips() const { return Marked(false); }
std::vector<std::string> Mirror::missing_tips() const { return Marked(true); }

void Mirror::SetGone(bool gone) {
  std::error_code error;
  if (!gone) {
    fs::remove(dir_ / kGoneFile, error);
  } else if (exists()) {
    std::ofstream(dir_ / kGoneFile, std::ios::app);
  }
}

bool Mirror::is_irreplaceable() const {
  std::error_code error;
  const std::vector<std::string> lost = ReadLines(dir_ / kLostFile);
  return fs::exists(dir_ / kGoneFile, error) || fs::exists(dir_ / kTipsFile, error) ||
         std::any_of(lost.begin(), lost.end(), [](const std::string& line) { return line.size() == kIdDigits; });
}

absl::StatusOr<std::vector<std::string>> Mirror::FetchLost(const CloneUrl* url, const std::vector<std::string>& ids,
                                                           const FetchOptions& options) {
  std::set<std::string> known;
  for (const std::string& id : ids) {
    if (ObjectId::FromHex(id)) known.insert(id);
  }
  std::vector<std::string> missing;
  if (known.empty()) return missing;
  ASSIGN_OR_RETURN(const MirrorLock lock, MirrorLock::Take(dir_, options.stop));
  ASSIGN_OR_RETURN(auto here, TypesOf(known, options));
  std::set<std::string> broken;
  ASSIGN_OR_RETURN(std::set<std::string> lost, UnreachedOf(here, options, &broken));
  std::set<std::string> wanted;
  for (const std::string& id : known) {
    if (here.count(id) == 0 || broken.count(id) > 0) wanted.insert(id);
  }
  std::map<std::string, std::string> served;
  if (url != nullptr && !wanted.empty()) {
    RETURN_IF_ERROR(FetchIds(*url, wanted, options, lock.fd()));
    broken.clear();
    ASSIGN_OR_RETURN(served, TypesOf(wanted, options));
    here.insert(served.begin(), served.end());
    ASSIGN_OR_RETURN(lost, UnreachedOf(here, options, &broken));
    for (const std::string& id : broken) served.erase(id);
  }
  for (const std::string& id : wanted) {
    if (served.count(id) == 0) missing.push_back(id);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> tips, Tips(options));
  for (const std::string& tip : tips) lost.erase(tip);
  RETURN_IF_ERROR(AddLost(lost, served));
  // What a ref reaches by now is neither lost nor missing.
  std::vector<std::string> lines = ReadLines(dir_ / kLostFile);
  const size_t obtained = std::erase_if(lines, [&](const std::string& line) {
    const std::string id = line.substr(0, kIdDigits);
    return line.ends_with(kMissing) && known.count(id) > 0 && !std::binary_search(missing.begin(), missing.end(), id);
  });
  if (obtained > 0) RETURN_IF_ERROR(WriteLines(dir_ / kLostFile, {lines.begin(), lines.end()}));
  return missing;
}

// Fetches those that can be had. One that cannot makes a server refuse all that are asked for with it, and say
// which one it was.
absl::Status Mirror::FetchIds(const CloneUrl& url, std::set<std::string> ids, const FetchOptions& options,
                              int lock) const {
  if (options.backend == FetchBackend::kLibgit2) return absl::OkStatus();  // It cannot ask for an id.
  while (!ids.empty()) {
    GitCommand command = FetchCommand(dir_, url, options, {});
    command.input = absl::StrJoin(ids, "\n") + "\n";
    command.inherited_fd = lock;
    command.watch = [&] { return CheckRoom(options); };
    std::string said;
    command.errors = &said;
    bool refused = false;
    RETURN_IF_ERROR(Persist(options, [&] {
      const absl::Status status = RunGit(command).status();
      refused = IsRefusal(status);
      return refused ? absl::OkStatus() : status;
    }));
    if (!refused) break;
    if (std::erase_if(ids, [&](const std::string& id) { return absl::StrContains(said, id); }) == 0) break;
  }
  return absl::OkStatus();
}

std::string MirrorFolder(std::string_view name) {
  std::string folder;
  for (const char c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '_' || c == '/' ||
                       (c == '.' && !folder.empty() && folder.back() != '/');
    folder += plain ? std::string(1, c) : absl::StrFormat("%%%02X", static_cast<uint8_t>(c));
  }
  return folder + ".git";
}

}  // namespace unsprawl
