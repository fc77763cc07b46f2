// Archives for tests, written by libarchive.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unsprawl {

using Files = std::vector<std::pair<std::string, std::string>>;  // names and contents

// `format`: "zip", "7zip", "ustar", "gnutar", "pax", "raw"; `filter`: "", "gzip", "bzip2", "xz", "zstd"; `options`: as
// archive_write_set_options has them.
inline std::string Packed(const std::string& format, const std::string& filter, const Files& files,
                          const std::string& options = "", const std::string& passphrase = "") {
  std::string packed(8 << 20, '\0');
  for (const auto& [name, content] : files) packed.resize(packed.size() + content.size());
  size_t used = 0;
  archive* const a = archive_write_new();
  archive_write_set_format_by_name(a, format.c_str());
  if (!filter.empty()) archive_write_add_filter_by_name(a, filter.c_str());
  archive_write_set_bytes_in_last_block(a, 1);
  if (!options.empty() && archive_write_set_options(a, options.c_str()) != ARCHIVE_OK) return "";
  if (!passphrase.empty()) archive_write_set_passphrase(a, passphrase.c_str());
  archive_write_open_memory(a, packed.data(), packed.size(), &used);
  for (const auto& [name, content] : files) {
    archive_entry* const entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_write_header(a, entry);
    archive_write_data(a, content.data(), content.size());
    archive_entry_free(entry);
  }
  archive_write_close(a);
  archive_write_free(a);
  packed.resize(used);
  return packed;
}

}  // namespace unsprawl
