#include "tests/support/random_history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <sstream>
#include <tuple>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace unsprawl {
namespace {

std::vector<std::string> Lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Writes a stream for git fast-import.
class HistoryWriter {
 public:
  explicit HistoryWriter(const RandomHistoryOptions& options) : options_(options), random_(options.seed) {}

  std::string Write() {
    Blob(1, "nothing\n");
    for (int i = 0; i < options_.commits; ++i) Commit(i);
    return out_;
  }
  int branches() const { return static_cast<int>(tips_.size()); }

 private:
  using Files = std::map<std::string, std::string>;  // path to content

  int Below(int limit) { return static_cast<int>(random_() % static_cast<uint32_t>(limit)); }
  bool Chance(int percent) { return Below(100) < percent; }

  std::string Path(int number) const {
    const int folder = number % (options_.folders + 1);
    if (folder == 0) return absl::StrFormat("file%d", number);
    return absl::StrFormat("dir%d/deep/file%d", folder, number);
  }
  std::string Content() {
    std::string text = absl::StrFormat("version %d\n", Below(5));
    for (int secret = 0; secret < options_.secrets; ++secret) {
      if (Chance(25)) text += absl::StrFormat("secret %d\n", secret);
    }
    return text;
  }

  // Mostly those that the file `number` had last, whatever branch that was on.
  std::string MoreLines(int number) {
    std::vector<std::string>& lines = lines_[number];
    lines.resize(static_cast<size_t>(options_.lines));
    for (std::string& line : lines) {
      if (line.empty() || Chance(5)) line = absl::StrFormat("file %d number %d\n", number, Below(1 << 30));
    }
    return absl::StrJoin(lines, "");
  }

  void Change(Files& files) {
    const int number = Below(options_.paths);
    const std::string path = Path(number);
    const std::string other = Path(Below(options_.paths));
    switch (Below(8)) {
      case 0: files.erase(path); break;
      case 1:
      case 2:  // rename
        if (files.count(path) > 0 && path != other) {
          files[other] = files[path];
          files.erase(path);
        }
        break;
      case 3:  // copy
        if (files.count(path) > 0) files[other] = files[path];
        break;
      default: files[path] = Content() + MoreLines(number);
    }
  }

  void Commit(int number) {
    std::vector<int> parents;  // commits
    int branch = Below(5);
    if (tips_.count(branch) > 0 && !Chance(2)) parents.push_back(tips_[branch]);
    if (parents.empty() && !tips_.empty() && Chance(85)) {
      parents.push_back(std::next(tips_.begin(), Below(static_cast<int>(tips_.size())))->second);
    }
    if (!parents.empty() && Chance(25)) {
      for (int more = 1 + (Chance(25) ? 2 : 0); more > 0; --more) {
        const int other = Chance(70) ? std::next(tips_.begin(), Below(static_cast<int>(tips_.size())))->second
                                     : Below(number);
        if (std::find(parents.begin(), parents.end(), other) == parents.end()) parents.push_back(other);
      }
    }
    Files files;
    if (!parents.empty()) files = history_[static_cast<size_t>(parents[0])];
    for (size_t i = 1; i < parents.size(); ++i) {  // a merge takes some files from each side
      const Files& theirs = history_[static_cast<size_t>(parents[i])];
      for (const auto& file : theirs) {
        if (Chance(50)) files[file.first] = file.second;
      }
      if (Chance(30)) std::erase_if(files, [&](const auto& f) { return theirs.count(f.first) == 0; });
    }
    if (number > 0 && Chance(8)) files = history_[static_cast<size_t>(Below(number))];  // a revert
    const bool merge_only = parents.size() > 1 && Chance(60);
    for (int changes = merge_only ? 0 : Below(3); changes > 0; --changes) Change(files);
    tips_[branch] = number;
    history_.push_back(files);
    WriteCommit(number, branch, parents, files);
  }

  void Blob(int mark, const std::string& content) {
    absl::StrAppendFormat(&out_, "blob\nmark :%d\ndata %d\n%s\n", mark, content.size(), content);
  }

  void WriteCommit(int number, int branch, const std::vector<int>& parents, const Files& files) {
    const int64_t time = 1'700'000'000 + 60 * (number / 3) + (Chance(10) ? Below(4000) - 2000 : 0);
    absl::StrAppendFormat(&out_, "reset refs/heads/b%d\n\ncommit refs/heads/b%d\nmark :%d\n", branch, branch,
                          1000 + number);
    absl::StrAppendFormat(&out_, "author A%d <a@x> %d +0130\ncommitter C <c@x> %d +0000\ndata 2\nm\n",
                          Below(3), time, time);
    for (size_t i = 0; i < parents.size(); ++i) {
      absl::StrAppendFormat(&out_, "%s :%d\n", i == 0 ? "from" : "merge", 1000 + parents[i]);
    }
    absl::StrAppendFormat(&out_, "deleteall\n");
    for (int folder = 1; folder <= options_.folders; ++folder) {  // so that trees become deltas
      for (int i = 0; i < 25; ++i) {
        absl::StrAppendFormat(&out_, "M 100644 :1 dir%d/deep/still-%02d\nM 100755 :1 dir%d/%c%d\n", folder, i,
                              folder, 'a' + i, i);
      }
    }
    absl::StrAppendFormat(&out_, "M 160000 %d%039d sub%d\n", 1 + Below(3), 0, Below(2));
    for (const auto& file : files) {
      absl::StrAppendFormat(&out_, "M %s inline %s\ndata %d\n%s\n", Chance(5) ? "120000" : "100644",
                            file.first, file.second.size(), file.second);
    }
  }

  const RandomHistoryOptions options_;
  std::mt19937 random_;
  std::map<int, std::vector<std::string>> lines_;  // by number of the file
  std::map<int, int> tips_;  // branch to its last commit
  std::vector<Files> history_;
  std::string out_;
};

// What git says of one commit.
struct Known {
  std::vector<std::string> parents;
  int64_t time = 0;
  int generation = 0;
  std::map<std::pair<uint32_t, std::string>, uint32_t> holds;  // (secret, path) to target
};

using HeldAt = std::map<std::pair<uint32_t, std::string>, uint32_t>;

class Oracle {
 public:
  Oracle(GitRepo& repo, const std::vector<LocateTarget>& targets) : repo_(repo), targets_(targets) {
    for (uint32_t i = 0; i < targets.size(); ++i) numbers_[targets[i].blob.ToHex()] = i;
    ReadCommits();
    for (const std::string& id : Lines(repo.Git({"rev-list", "--all", "HEAD"}))) reachable_.insert(id);
  }

  std::vector<std::string> Places() {
    for (const std::string& id : order_) Follow(id);
    SetPresence();
    AddHomeless();
    std::sort(places_.begin(), places_.end(), [&](const Found& a, const Found& b) { return Key(a) < Key(b); });
    std::vector<std::string> lines;
    for (const Found& place : places_) lines.push_back(Line(place));
    return lines;
  }

 private:
  struct Found {
    uint32_t secret, target;
    std::string commit;
    std::vector<std::string> paths;
    std::set<std::pair<int64_t, std::string>> removals;
    int presence = 4;
  };

  HeldAt Held(const std::string& treeish) {
    HeldAt held;
    for (const std::string& line : Lines(repo_.Git({"ls-tree", "-r", "--full-tree", treeish}))) {
      const auto number = numbers_.find(line.substr(12, 40));
      if (number == numbers_.end() || line.substr(7, 4) != "blob") continue;
      for (const uint32_t secret : targets_[number->second].secrets) {
        held[{secret, line.substr(53)}] = number->second;
      }
    }
    return held;
  }

  void ReadCommits() {
    std::vector<std::string> ids;
    for (const std::string& line : Lines(repo_.Git(
             {"cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"}))) {
      if (line.substr(0, 7) == "commit ") ids.push_back(line.substr(7));
    }
    std::map<std::string, HeldAt> by_tree;
    for (const std::string& id : ids) {
      Known& known = commits_[id];
      std::string tree;
      for (const std::string& line : Lines(repo_.Git({"cat-file", "commit", id}))) {
        if (line.empty()) break;
        if (line.substr(0, 5) == "tree ") tree = line.substr(5);
        if (line.substr(0, 7) == "parent ") known.parents.push_back(line.substr(7));
        if (line.substr(0, 10) == "committer ") known.time = std::stoll(line.substr(line.find('>') + 2));
      }
      if (by_tree.count(tree) == 0) by_tree[tree] = Held(tree);
      known.holds = by_tree[tree];
    }
    for (const std::string& id : ids) Generation(id);
    order_ = ids;
    std::sort(order_.begin(), order_.end(), [&](const std::string& a, const std::string& b) {
      const Known &x = commits_[a], &y = commits_[b];
      return std::tie(x.generation, x.time, a) < std::tie(y.generation, y.time, b);
    });
  }

  int Generation(const std::string& id) {
    Known& known = commits_[id];
    if (known.generation == 0) {
      for (const std::string& parent : known.parents) {
        known.generation = std::max(known.generation, Generation(parent));
      }
      ++known.generation;
    }
    return known.generation;
  }

  using Location = std::pair<uint32_t, std::string>;

  // The places that are at a location in any parent.
  std::set<size_t> Before(const Known& commit, const Location& location) {
    std::set<size_t> before;
    for (const std::string& parent : commit.parents) {
      const std::set<size_t>& there = alive_[parent][location];
      before.insert(there.begin(), there.end());
    }
    return before;
  }

  // By the definitions at the top of engine/history/locate.h, one after another.
  void Follow(const std::string& id) {
    const Known& commit = commits_[id];
    std::vector<Location> entered, left;
    for (const auto& held : commit.holds) {
      bool known = false;
      for (const std::string& parent : commit.parents) known |= commits_[parent].holds.count(held.first) > 0;
      if (!known) entered.push_back(held.first);
    }
    if (!commit.parents.empty()) {
      for (const auto& held : commits_[commit.parents[0]].holds) {
        bool everywhere = commit.holds.count(held.first) == 0;
        for (const std::string& parent : commit.parents) {
          everywhere &= commits_[parent].holds.count(held.first) > 0;
        }
        if (everywhere) left.push_back(held.first);
      }
    }
    std::map<Location, Location> moved;  // to, from
    if (reachable_.count(id) > 0) {
      std::vector<Location> kept;
      for (const Location& from : left) {  // both lists are sorted by secret and path
        const auto to = std::find_if(entered.begin(), entered.end(), [&](const Location& l) {
          return l.first == from.first && moved.count(l) == 0;
        });
        if (to == entered.end()) kept.push_back(from); else moved[*to] = from;
      }
      left = kept;
    }
    for (const auto& held : commit.holds) {
      const Location& location = held.first;
      std::set<size_t>& alive = alive_[id][location];
      if (moved.count(location) > 0) {
        alive = Before(commit, moved[location]);
        for (const size_t place : alive) {
          if (places_[place].paths.back() != location.second) places_[place].paths.push_back(location.second);
        }
      } else if (std::find(entered.begin(), entered.end(), location) != entered.end()) {
        alive = {places_.size()};
        places_.push_back({location.first, held.second, id, {location.second}, {}, 4});
      } else {
        for (const std::string& parent : commit.parents) {
          if (commits_[parent].holds.count(location) == 0) continue;
          const std::set<size_t>& there = alive_[parent][location];
          alive.insert(there.begin(), there.end());
        }
      }
    }
    for (const Location& location : left) {
      for (const size_t place : Before(commit, location)) {
        if (reachable_.count(id) == 0 && reachable_.count(places_[place].commit) > 0) continue;
        places_[place].removals.insert({commit.time, id});
      }
    }
  }

  void SetPresence() {
    std::string head = repo_.Git({"rev-parse", "--verify", "-q", "HEAD^{commit}"});
    for (Found& place : places_) place.presence = reachable_.count(place.commit) > 0 ? 3 : 4;
    const auto raise = [&](const HeldAt& held, int presence) {
      for (Found& place : places_) {
        for (const std::string& path : place.paths) {
          if (held.count({place.secret, path}) > 0) place.presence = std::min(place.presence, presence);
        }
      }
    };
    raise(commits_[head].holds, 1);
    for (const std::string& ref : Lines(repo_.Git({"for-each-ref", "--format=%(refname)"}))) {
      const std::string id = repo_.Git({"rev-parse", ref + "^{}"});
      const std::string type = repo_.Git({"cat-file", "-t", id});
      if (type == "blob") {
        if (numbers_.count(id) > 0) tip_blobs_.insert(numbers_[id]);
        continue;
      }
      const HeldAt held = Held(id);
      raise(held, 2);
      for (const auto& entry : held) tip_blobs_.insert(entry.second);
      if (type == "tree") continue;
    }
    for (const std::string& ref : Lines(repo_.Git({"for-each-ref", "--format=%(refname)"}))) {
      const auto number = numbers_.find(repo_.Git({"rev-parse", ref + "^{}"}));
      if (number == numbers_.end()) continue;
      for (Found& place : places_) {
        if (place.target == number->second) place.presence = std::min(place.presence, 2);
      }
    }
  }

  void AddHomeless() {
    std::set<uint32_t> in_commits;
    for (const auto& commit : commits_) {
      for (const auto& held : commit.second.holds) in_commits.insert(held.second);
    }
    for (uint32_t i = 0; i < targets_.size(); ++i) {
      if (in_commits.count(i) > 0) continue;
      for (const uint32_t secret : targets_[i].secrets) {
        places_.push_back({secret, i, "", {}, {}, tip_blobs_.count(i) > 0 ? 2 : 4});
      }
    }
  }

  std::tuple<uint32_t, bool, int64_t, std::string, std::vector<std::string>, uint32_t> Key(const Found& p) {
    return {p.secret, p.commit.empty(), p.commit.empty() ? 0 : commits_[p.commit].time, p.commit, p.paths,
            p.target};
  }

  std::string Line(const Found& place) {
    std::string line = absl::StrFormat("secret %d blob %s commit %s presence %d paths", place.secret,
                                       targets_[place.target].blob.ToHex(), place.commit, place.presence);
    for (const std::string& path : place.paths) line += " " + path;
    line += " removed";
    for (const auto& removal : place.removals) line += " " + removal.second;
    return line;
  }

  GitRepo& repo_;
  const std::vector<LocateTarget>& targets_;
  std::map<std::string, uint32_t> numbers_;  // of targets
  std::map<std::string, Known> commits_;
  std::vector<std::string> order_;
  std::set<std::string> reachable_;
  std::map<std::string, std::map<Location, std::set<size_t>>> alive_;
  std::set<uint32_t> tip_blobs_;
  std::vector<Found> places_;
};

}  // namespace

void MakeRandomHistory(const RandomHistoryOptions& options, GitRepo& repo) {
  HistoryWriter writer(options);
  repo.Git({"fast-import", "--quiet", "--force"}, writer.Write());
  const std::vector<std::string> branches =
      Lines(repo.Git({"for-each-ref", "--format=%(refname)", "refs/heads/"}));
  ASSERT_FALSE(branches.empty());
  std::mt19937 random(options.seed * 7 + 1);
  const auto pick = [&] { return branches[random() % branches.size()]; };
  // A dangling blob, blobs and trees named by refs and by tags of tags, some in no commit.
  repo.Git({"hash-object", "-w", "--stdin"}, "dangling\nsecret 0\n");
  const std::string blob = repo.Git({"hash-object", "-w", "--stdin"}, "tagged\nsecret 1\nsecret 2\n");
  repo.Git({"tag", "-a", "-m", "t", "blob-tag", blob});
  repo.Git({"tag", "-a", "-m", "t", "blob-tag-tag", "blob-tag"});
  const std::string tree =
      repo.Git({"mktree"}, absl::StrFormat("100644 blob %s\tfile0\n", repo.Git({"hash-object", "-w", "--stdin"},
                                                                              "in a tree\nsecret 1\n")));
  repo.Git({"tag", "-a", "-m", "t", "tree-tag", tree});
  repo.Git({"update-ref", "refs/odd/tree", repo.Git({"rev-parse", pick() + "^{tree}"})});
  const std::string young = pick(), old = repo.Git({"rev-list", "-1", "--skip=5", young}).substr(0, 40);
  repo.Git({"tag", "old", old.empty() ? young : old});
  repo.Git({"symbolic-ref", "HEAD", pick()});
  if (options.seed % 3 == 0) repo.Git({"update-ref", "--no-deref", "HEAD", repo.Git({"rev-parse", "HEAD"})});
  const std::string head = repo.Git({"rev-parse", "--symbolic-full-name", "HEAD"});
  for (size_t i = 0; i < branches.size(); ++i) {  // what only they reach becomes unreachable
    if (i % 2 == options.seed % 2 && branches[i] != head) repo.Git({"update-ref", "-d", branches[i]});
  }
}

std::vector<LocateTarget> TargetsOf(GitRepo& repo) {
  std::vector<LocateTarget> targets;
  for (const std::string& line : Lines(repo.Git(
           {"cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"}))) {
    if (line.substr(0, 5) != "blob ") continue;
    LocateTarget target{*ObjectId::FromHex(line.substr(5)), {}};
    for (const std::string& text : Lines(repo.Git({"cat-file", "blob", line.substr(5)}))) {
      if (text.substr(0, 7) == "secret ") target.secrets.push_back(static_cast<uint32_t>(std::stoi(text.substr(7))));
    }
    if (!target.secrets.empty()) targets.push_back(target);
  }
  return targets;
}

std::vector<std::string> OraclePlaces(GitRepo& repo, const std::vector<LocateTarget>& targets) {
  return Oracle(repo, targets).Places();
}

std::vector<std::string> Describe(const LocateResult& result, const std::vector<LocateTarget>& targets) {
  std::vector<std::string> lines;
  for (const Place& place : result.places) {
    const bool in_commit = place.commit != UINT32_MAX;
    std::string line = absl::StrFormat("secret %d blob %s commit %s presence %d paths", place.secret,
                                       targets[place.target].blob.ToHex(),
                                       in_commit ? result.commits[place.commit].id.ToHex() : "",
                                       static_cast<int>(place.presence));
    for (const std::string& path : place.paths) line += " " + path;
    line += " removed";
    for (const uint32_t commit : place.removals) line += " " + result.commits[commit].id.ToHex();
    lines.push_back(line);
  }
  return lines;
}

}  // namespace unsprawl
