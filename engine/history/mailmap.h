#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace unsprawl {

// Real names and addresses of people (git: gitmailmap), read by libgit2. Not thread-safe.
class Mailmap {
 public:
  // One that maps nothing.
  Mailmap();
  // Lines that are no mapping are passed over.
  explicit Mailmap(std::string_view text);
  ~Mailmap();
  Mailmap(Mailmap&&) noexcept;
  Mailmap& operator=(Mailmap&&) noexcept;

  // Replaces both by what the map says of them.
  void Resolve(std::string& name, std::string& email) const;

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

}  // namespace unsprawl
