#include "coordinator/store_command.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "engine/base/object_id.h"
#include "engine/base/status.h"
#include "store/maintenance.h"
#include "store/rocksdb_ledger.h"

namespace unsprawl {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<std::unique_ptr<RocksdbLedger>> OpenExisting(const fs::path& store) {
  RocksdbLedger::Options options;
  options.database.create = false;
  options.database.command = "unsprawl store";
  return RocksdbLedger::Open(store, options);
}

std::string Describe(const StoreFindings& found) {
  std::string text = absl::StrFormat(
      "schema        %d\nkeys          %d\nrule lists    %d\nruns          %d\nrepositories  %d\n"
      "blobs         %d clean, %d with matches\noccurrences   %d\ncommits       %d\nhistory       "
      "%d\n"
      "aliases       %d\n",
      found.schema, found.keys, found.rule_lists, found.runs, found.repositories, found.clean,
      found.hits, found.occurrences, found.commits, found.states, found.aliases);
  if (found.hits_of_old_keys + found.repositories_of_old_keys > 0) {
    text += absl::StrFormat("old keys      %d blobs, %d repositories still to scan\n",
                            found.hits_of_old_keys, found.repositories_of_old_keys);
  }
  if (found.doomed > 0) text += absl::StrFormat("leftovers     %d rows to delete\n", found.doomed);
  for (const std::string& example : found.examples) text += "problem: " + example + "\n";
  if (found.problems > found.examples.size()) {
    text += absl::StrFormat("… and %d more problems\n", found.problems - found.examples.size());
  }
  if (found.problems == 0) text += "no problems\n";
  return text;
}

// Every secret with an occurrence or a match whose id starts with `hex`.
absl::StatusOr<SecretId> FindSecret(const Database& database, std::string_view hex) {
  std::string wanted(hex);
  std::transform(wanted.begin(), wanted.end(), wanted.begin(), [](char c) {
    return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (wanted.size() < 12 || wanted.size() > 32 ||
      wanted.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return absl::InvalidArgumentError("a secret's id is 12 to 32 hexadecimal digits");
  }
  std::set<SecretId> found;
  const auto consider = [&](std::string_view raw) {
    const std::optional<SecretId> id = SecretIdFromRaw(raw);
    if (id && ToHex(raw).compare(0, wanted.size(), wanted) == 0) found.insert(*id);
  };
  RETURN_IF_ERROR(database.VisitPrefix(Family::kOccurrences, "", nullptr,
                                       [&](std::string_view key, std::string_view) {
                                         consider(key.substr(0, sizeof(SecretId::bytes)));
                                         return absl::OkStatus();
                                       }));
  v1::BlobHit hit;
  RETURN_IF_ERROR(database.VisitPrefix(
      Family::kMatches, "", nullptr, [&](std::string_view, std::string_view value) -> absl::Status {
        if (!hit.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
          return absl::DataLossError("the store holds an unreadable row of matches");
        }
        for (const v1::Match& match : hit.matches()) consider(match.secret());
        return absl::OkStatus();
      }));
  if (found.empty()) return absl::NotFoundError("the store knows no secret with this id");
  if (found.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d secrets have ids that start so: give all 32 digits", found.size()));
  }
  return *found.begin();
}

// Deleted rows leave the files, and their keys the list of files that an opening writes anew.
absl::Status WipeDeleted(std::unique_ptr<RocksdbLedger> ledger, const fs::path& store) {
  RETURN_IF_ERROR(CompactStore(ledger->database()));
  ledger.reset();
  return OpenExisting(store).status();
}

std::string DescribePurge(const PurgeCounts& counts) {
  return absl::StrFormat(
      "forgotten: %d occurrences in %d repositories, %d commits, %d matches, %d blobs' results, "
      "%d rows of history\nBackups of this store still hold them.\n",
      counts.occurrences, counts.repositories, counts.commits, counts.matches, counts.blobs,
      counts.states);
}

}  // namespace

absl::Status StoreCheck(const fs::path& store, std::string* text) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RocksdbLedger> ledger, OpenExisting(store));
  ASSIGN_OR_RETURN(const StoreFindings found, CheckStore(ledger->database()));
  *text = Describe(found);
  if (found.problems == 0) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrFormat("the store %s has %d problems; scan into a new one, or "
                      "restore a backup",
                      store.string(), found.problems));
}

absl::StatusOr<std::string> StoreBackup(const fs::path& store, const fs::path& target) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RocksdbLedger> ledger, OpenExisting(store));
  RETURN_IF_ERROR(ledger->Flush());
  RETURN_IF_ERROR(BackUpStore(ledger->database(), target));
  return absl::StrFormat("backed up %s to %s; the key is not in it\n", store.string(),
                         target.string());
}

absl::StatusOr<std::string> StoreRestore(const fs::path& backup, const fs::path& store) {
  RETURN_IF_ERROR(RestoreStore(backup, store));
  std::string text;
  RETURN_IF_ERROR(StoreCheck(store, &text));
  return absl::StrFormat("restored %s from %s\n%s", store.string(), backup.string(), text);
}

absl::StatusOr<std::string> StoreMigrate(const fs::path& store) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RocksdbLedger> ledger, OpenExisting(store));
  return absl::StrFormat("%s has schema %d\n", store.string(), kSchemaVersion);
}

absl::StatusOr<std::string> StorePurgeRepository(const fs::path& store, std::string_view name) {
  ASSIGN_OR_RETURN(std::unique_ptr<RocksdbLedger> ledger, OpenExisting(store));
  ASSIGN_OR_RETURN(const PurgeCounts counts, PurgeRepository(ledger->database(), name));
  RETURN_IF_ERROR(WipeDeleted(std::move(ledger), store));
  return DescribePurge(counts);
}

absl::StatusOr<std::string> StorePurgeSecret(const fs::path& store, std::string_view id) {
  ASSIGN_OR_RETURN(std::unique_ptr<RocksdbLedger> ledger, OpenExisting(store));
  ASSIGN_OR_RETURN(const SecretId secret, FindSecret(ledger->database(), id));
  ASSIGN_OR_RETURN(const PurgeCounts counts, PurgeSecret(ledger->database(), secret));
  RETURN_IF_ERROR(WipeDeleted(std::move(ledger), store));
  return DescribePurge(counts);
}

}  // namespace unsprawl
