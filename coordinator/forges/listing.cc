#include "coordinator/forges/listing.h"

#include <algorithm>
#include <deque>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_format.h"
#include "coordinator/report/report.h"
#include "engine/base/escape.h"
#include "engine/base/status.h"

namespace unsprawl {
namespace {

constexpr int kMaxPasses = 6;
constexpr size_t kMaxRepositories = 1'000'000;  // GitHub's cap for an organization is a tenth of it
constexpr size_t kMaxPages = 50'000;            // of one pass

class Lister {
 public:
  Lister(const Forge& forge, const ForgeScope& scope, ApiClient& client, Ledger& ledger,
         absl::FunctionRef<void(size_t)> on_page, const std::vector<std::string>& further)
      : forge_(forge), scope_(scope), client_(client), ledger_(ledger), on_page_(on_page), further_(further) {}

  absl::StatusOr<Listing> Run() {
    const absl::Status listed = ListUntilStable();
    if (absl::IsCancelled(listed)) return listed;
    if (ledger_failed_) return listed;
    if (!listed.ok()) listing_.incomplete.emplace_back(listed.message());
    std::sort(listing_.repositories.begin(), listing_.repositories.end(),
              [](const v1::ForgeRepository& a, const v1::ForgeRepository& b) {
                return std::tie(a.full_name(), a.id()) < std::tie(b.full_name(), b.id());
              });
    return std::move(listing_);
  }

 private:
  absl::Status ListUntilStable() {
    std::deque<std::string> first(further_.begin(), further_.end());
    const absl::StatusOr<std::string> page = forge_.FirstPage(scope_);
    if (!page.ok()) Note(std::string(page.status().message()));
    if (page.ok() && !page->empty()) first.push_front(*page);
    for (int pass = 0; pass < kMaxPasses; ++pass) {
      const size_t before = listing_.repositories.size();
      all_not_modified_ = true;
      pages_ = 0;
      paged_ = false;
      RETURN_IF_ERROR(ListOnce(first));
      // Unchanged pages were consistent when they were stored.
      if (!paged_ || all_not_modified_) return absl::OkStatus();
      if (pass > 0 && listing_.repositories.size() == before) return absl::OkStatus();
    }
    return absl::UnavailableError(absl::StrFormat(
        "%s changed each of the %d times that it was listed", scope_.text, kMaxPasses));
  }

  absl::Status ListOnce(std::deque<std::string> open) {
    absl::flat_hash_set<std::string> seen;
    while (!open.empty()) {
      std::string url = std::move(open.front());
      open.pop_front();
      if (seen.contains(url)) continue;  // A page that shifted names again what one before it did.
      while (!url.empty()) {
        if (!seen.insert(url).second || ++pages_ > kMaxPages) {
          return absl::FailedPreconditionError(absl::StrFormat("the pages of %s go in circles", scope_.text));
        }
        absl::StatusOr<v1::ForgePage> read = ReadPage(url);
        if (absl::IsNotFound(read.status()) || absl::IsPermissionDenied(read.status())) {
          if (ledger_failed_) return read.status();
          Note(std::string(read.status().message()));
          break;
        }
        RETURN_IF_ERROR(read.status());
        v1::ForgePage& page = *read;
        for (v1::ForgeRepository& repository : *page.mutable_repositories()) Take(std::move(repository));
        if (listing_.repositories.size() > kMaxRepositories) {
          return absl::FailedPreconditionError(absl::StrFormat("%s lists more than %d repositories", scope_.text,
                                                               kMaxRepositories));
        }
        if (!page.incomplete().empty()) Note(page.incomplete());
        for (const std::string& further : page.further()) open.push_back(further);
        on_page_(listing_.repositories.size());
        url = page.next();
        paged_ |= !url.empty();
      }
    }
    return absl::OkStatus();
  }

  // From the forge, or from the ledger if the forge says that nothing changed.
  absl::StatusOr<v1::ForgePage> ReadPage(const std::string& url) {
    // Several scopes may have one URL (/installation/repositories), and other answers.
    const std::string name = absl::StrFormat("page %s %s %s", client_.base_url(), scope_.text, url);
    v1::ForgePage kept;
    ASSIGN_OR_RETURN(const auto stored, FromLedger(ledger_.ReadNote(name)));
    const bool have = stored.has_value() && kept.ParseFromString(*stored) && !kept.etag().empty();
    HttpHeaders headers = forge_.Headers();
    if (have && !MayHaveFollower(kept)) headers.emplace_back("If-None-Match", kept.etag());
    ASSIGN_OR_RETURN(const HttpResponse response, client_.Get(url, headers));
    if (response.status == 304 && have) {
      if (std::string next = NextLink(response); !next.empty() && next != kept.next()) {
        all_not_modified_ = false;
        kept.set_next(std::move(next));
      }
      SetListedAt(response, &kept);
      return kept;
    }
    ASSIGN_OR_RETURN(v1::ForgePage page, forge_.ParsePage(scope_, response));
    page.set_etag(std::string(response.header("etag")));
    all_not_modified_ &= have && page.etag() == kept.etag() && page.next() == kept.next();
    SetListedAt(response, &page);
    if (!page.etag().empty()) {
      RETURN_IF_ERROR(FromLedger(ledger_.WriteNote(name, page.SerializeAsString())));
    }
    return page;
  }

  // Whether a page may have one that follows by now and be itself as it was: a last page that is full. Pages are of
  // tens everywhere.
  static bool MayHaveFollower(const v1::ForgePage& page) {
    const int rows = page.repositories_size() + page.further_size();
    return page.next().empty() && rows > 0 && rows % 10 == 0;
  }

  static void SetListedAt(const HttpResponse& response, v1::ForgePage* page) {
    const absl::Time now = ServerTime(response);
    const int64_t seconds = now == absl::InfinitePast() ? 0 : absl::ToUnixSeconds(now);
    for (v1::ForgeRepository& repository : *page->mutable_repositories()) repository.set_listed_at(seconds);
  }

  void Take(v1::ForgeRepository repository) {
    if (repository.id().empty() || repository.full_name().empty() || !IsCleanPath(repository.clone_path())) {
      Note(absl::StrFormat("%s lists a repository with a name that is no name: %s", scope_.text,
                           EscapeForTerminal(repository.full_name().substr(0, 200))));
      return;
    }
    const auto [known, is_new] = index_.try_emplace(repository.id(), listing_.repositories.size());
    if (is_new) {
      listing_.repositories.push_back(std::move(repository));
    } else {
      listing_.repositories[known->second] = std::move(repository);  // Later is truer.
    }
  }

  void Note(const std::string& note) {
    auto& notes = listing_.incomplete;
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) notes.push_back(note);
  }

  // Marks errors that are not the forge's.
  template <typename T>
  absl::StatusOr<T> FromLedger(absl::StatusOr<T> result) {
    ledger_failed_ |= !result.ok();
    return result;
  }
  absl::Status FromLedger(absl::Status status) {
    ledger_failed_ |= !status.ok();
    return status;
  }

  const Forge& forge_;
  const ForgeScope& scope_;
  ApiClient& client_;
  Ledger& ledger_;
  const absl::FunctionRef<void(size_t)> on_page_;
  const std::vector<std::string>& further_;
  Listing listing_;
  absl::flat_hash_map<std::string, size_t> index_;  // by id
  bool all_not_modified_ = true;
  bool paged_ = false;  // some listing had more than one page
  bool ledger_failed_ = false;
  size_t pages_ = 0;
};

}  // namespace

bool IsCleanPath(std::string_view path) {
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == ".." || part.front() == '-') return false;
    for (const char c : part) {
      const bool clean = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         std::string_view("-._~%+{}").find(c) != std::string_view::npos ||
                         static_cast<unsigned char>(c) >= 0x80;
      if (!clean) return false;
    }
    begin = end + 1;
  }
  return true;
}

absl::StatusOr<Listing> ListScope(const Forge& forge, const ForgeScope& scope, ApiClient& client,
                                  Ledger& ledger, absl::FunctionRef<void(size_t)> on_page,
                                  const std::vector<std::string>& further) {
  return Lister(forge, scope, client, ledger, on_page, further).Run();
}

}  // namespace unsprawl
