#include "engine/history/mailmap.h"

#include <git2.h>

namespace unsprawl {

struct Mailmap::Handle {
  git_mailmap* map = nullptr;
  Handle() { git_libgit2_init(); }
  ~Handle() {
    git_mailmap_free(map);
    git_libgit2_shutdown();
  }
};

Mailmap::Mailmap() = default;
Mailmap::~Mailmap() = default;
Mailmap::Mailmap(Mailmap&&) noexcept = default;
Mailmap& Mailmap::operator=(Mailmap&&) noexcept = default;

Mailmap::Mailmap(std::string_view text) {
  auto handle = std::make_unique<Handle>();
  if (git_mailmap_from_buffer(&handle->map, text.data(), text.size()) == 0) handle_ = std::move(handle);
}

void Mailmap::Resolve(std::string& name, std::string& email) const {
  if (handle_ == nullptr) return;
  const char* real_name = nullptr;
  const char* real_email = nullptr;
  if (git_mailmap_resolve(&real_name, &real_email, handle_->map, name.c_str(), email.c_str()) != 0) {
    return;
  }
  // Copied first: they may point into the strings that are replaced. What holds a zero byte stays.
  const std::string new_name = real_name == name.c_str() ? name : real_name;
  email = real_email == email.c_str() ? email : std::string(real_email);
  name = new_name;
}

}  // namespace unsprawl
