#pragma once

#include <map>
#include <string>
#include <string_view>

namespace unsprawl {

// Real names and addresses of people (git: gitmailmap). Names and addresses compare without regard to
// the case of ASCII letters, as in git; libgit2 1.5 does not. Immutable; safe from many threads.
class Mailmap {
 public:
  // One that maps nothing.
  Mailmap() = default;
  // Lines that are no mapping are passed over; of two for the same person the later one counts. What somebody is called
  // instead is cut to Identity::kMaxBytes, as it is in commits.
  explicit Mailmap(std::string_view text);

  // Replaces both by what the map says of them.
  void Resolve(std::string& name, std::string& email) const;

 private:
  // What a person is called instead; an empty field keeps what was there.
  struct Person {
    std::string name, email;
  };
  struct Address {
    Person any;                            // whatever name goes with the address
    std::map<std::string, Person> named;   // by lower-case name
  };
  void AddLine(std::string_view line);

  std::map<std::string, Address> addresses_;  // by lower-case address
};

}  // namespace unsprawl
