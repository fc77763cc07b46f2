#include "engine/history/lifetimes.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"

namespace unsprawl {
namespace {

// A secret at a path. Events are numbered as in Events::list.
struct Location {
  uint32_t secret;
  uint32_t path;
  std::vector<uint32_t> sources;  // introductions, and moves to here
  std::vector<uint32_t> sinks;    // removals, and moves from here
};

class Follower {
 public:
  Follower(const Events& events, const HistoryLog& log, const CommitGraph& graph,
           const MarkedTrees& trees, std::span<const std::span<const uint32_t>> secrets)
      : events_(events), log_(log), graph_(graph), trees_(trees), secrets_(secrets) {}

  std::vector<Life> Follow() {
    GroupByLocation();
    FindSources();
    return MakeLives();
  }

 private:
  void GroupByLocation() {
    absl::flat_hash_map<uint64_t, uint32_t> numbers;
    const auto at = [&](uint32_t secret, uint32_t path) -> Location& {
      const auto [it, fresh] = numbers.try_emplace(uint64_t{secret} << 32 | path,
                                                   static_cast<uint32_t>(locations_.size()));
      if (fresh) locations_.push_back({secret, path, {}, {}});
      return locations_[it->second];
    };
    for (uint32_t i = 0; i < events_.list.size(); ++i) {
      const Event& event = events_.list[i];
      if (event.kind == Event::kRemoval) {
        at(event.secret, event.path).sinks.push_back(i);
      } else {
        at(event.secret, event.path).sources.push_back(i);
        if (event.kind == Event::kMove) at(event.secret, event.from).sinks.push_back(i);
      }
    }
  }

  // For each sink the sources that reach it.
  void FindSources() {
    reached_by_.resize(events_.list.size());
    std::vector<Bit> batch;
    for (uint32_t number = 0; number < locations_.size(); ++number) {
      const Location& location = locations_[number];
      if (location.sinks.empty()) continue;
      if (location.sources.size() == 1) {  // wherever the secret is, it came from there
        for (const uint32_t sink : location.sinks) reached_by_[sink] = location.sources;
        continue;
      }
      for (const uint32_t source : location.sources) {
        batch.push_back({number, source});
        if (batch.size() == 64) {
          Sweep(batch);
          batch.clear();
        }
      }
    }
    if (!batch.empty()) Sweep(batch);
  }

  struct Bit {
    uint32_t location;
    uint32_t source;
  };
  // What happens to the bits of a sweep in one commit.
  struct Stop {
    uint32_t commit;
    uint64_t set = 0;
    uint64_t clear = 0;
    uint32_t sink = kNone;  // the event that clears
  };

  // Carries a bit from each source down to all commits that hold the secret at that place without
  // interruption, and notes which bits arrive at each sink.
  void Sweep(const std::vector<Bit>& bits) {
    const std::vector<Stop> stops = StopsOf(bits);
    std::vector<uint32_t> stop_of(graph_.size(), kNone);  // first stop in that commit
    for (uint32_t i = static_cast<uint32_t>(stops.size()); i-- > 0;) stop_of[stops[i].commit] = i;
    std::vector<uint64_t> held(graph_.size(), 0);
    for (const uint32_t commit : graph_.order()) {
      uint64_t any = 0, all = ~uint64_t{0};
      for (const uint32_t parent : graph_.Parents(commit)) {
        any |= held[parent];
        all &= held[parent];
      }
      uint64_t mask = any;
      for (uint32_t i = stop_of[commit]; i < stops.size() && stops[i].commit == commit; ++i) {
        for (size_t bit = 0; stops[i].sink != kNone && bit < bits.size(); ++bit) {
          if ((any & stops[i].clear) >> bit & 1) reached_by_[stops[i].sink].push_back(bits[bit].source);
        }
        mask &= ~stops[i].clear;
        mask |= stops[i].set;
      }
      // A merge may have dropped what only some of its parents have, which is no event.
      if (const uint64_t unsure = mask & any & ~all; unsure != 0) mask &= ~Absent(bits, unsure, commit);
      held[commit] = mask;
    }
  }

  // Ordered by commit.
  std::vector<Stop> StopsOf(const std::vector<Bit>& bits) const {
    std::vector<Stop> stops;
    for (size_t first = 0, end; first < bits.size(); first = end) {
      uint64_t mask = 0;  // the bits of one location
      for (end = first; end < bits.size() && bits[end].location == bits[first].location; ++end) {
        mask |= uint64_t{1} << end;
        stops.push_back({.commit = events_.list[bits[end].source].commit, .set = uint64_t{1} << end});
      }
      for (const uint32_t sink : locations_[bits[first].location].sinks) {
        stops.push_back({.commit = events_.list[sink].commit, .clear = mask, .sink = sink});
      }
    }
    std::stable_sort(stops.begin(), stops.end(),
                     [](const Stop& a, const Stop& b) { return a.commit < b.commit; });
    return stops;
  }

  // Those of `unsure` whose location does not hold the secret in `commit`.
  uint64_t Absent(const std::vector<Bit>& bits, uint64_t unsure, uint32_t commit) const {
    uint64_t absent = 0;
    uint32_t asked = kNone;
    bool holds = false;
    for (size_t bit = 0; bit < bits.size(); ++bit) {
      if ((unsure >> bit & 1) == 0) continue;
      if (bits[bit].location != asked) {
        asked = bits[bit].location;
        holds = Holds(commit, locations_[asked]);
      }
      if (!holds) absent |= uint64_t{1} << bit;
    }
    return absent;
  }

  bool Holds(uint32_t commit, const Location& location) const {
    const std::vector<uint32_t> names = events_.paths.NamesOf(location.path);
    ListId list = trees_.list(log_.commits[commit].tree);
    for (size_t i = 0; i + 1 < names.size() && list != 0; ++i) {
      list = trees_.list(trees_.Find(list, names[i] << 1 | 1));
    }
    const uint32_t target = list == 0 ? kNone : trees_.Find(list, names.back() << 1);
    return target != kNone && std::binary_search(secrets_[target].begin(), secrets_[target].end(),
                                                 location.secret);
  }

  // Every event comes after those it is reached by, so lives are known when they are asked for.
  std::vector<Life> MakeLives() {
    std::vector<Life> lives;
    std::vector<std::vector<uint32_t>> lives_of(events_.list.size());  // by source
    for (uint32_t i = 0; i < events_.list.size(); ++i) {
      const Event& event = events_.list[i];
      std::vector<uint32_t> taken;
      for (const uint32_t source : reached_by_[i]) {
        taken.insert(taken.end(), lives_of[source].begin(), lives_of[source].end());
      }
      std::sort(taken.begin(), taken.end());
      taken.erase(std::unique(taken.begin(), taken.end()), taken.end());
      if (event.kind == Event::kRemoval) {
        for (const uint32_t life : taken) {
          if (!graph_.reachable(event.commit) && graph_.reachable(lives[life].commit)) continue;
          lives[life].removals.push_back(event.commit);
        }
      } else if (taken.empty()) {  // an introduction (or a move whose history was cut off)
        lives_of[i] = {static_cast<uint32_t>(lives.size())};
        lives.push_back({event.secret, event.target, event.commit, {event.path}, {}});
      } else {
        for (const uint32_t life : taken) {
          if (lives[life].paths.back() != event.path) lives[life].paths.push_back(event.path);
        }
        lives_of[i] = std::move(taken);
      }
    }
    return lives;
  }

  const Events& events_;
  const HistoryLog& log_;
  const CommitGraph& graph_;
  const MarkedTrees& trees_;
  const std::span<const std::span<const uint32_t>> secrets_;
  std::vector<Location> locations_;
  std::vector<std::vector<uint32_t>> reached_by_;  // by event: sources, for sinks
};

}  // namespace

std::vector<Life> FollowEvents(const Events& events, const HistoryLog& log, const CommitGraph& graph,
                               const MarkedTrees& trees,
                               std::span<const std::span<const uint32_t>> secrets) {
  return Follower(events, log, graph, trees, secrets).Follow();
}

}  // namespace unsprawl
