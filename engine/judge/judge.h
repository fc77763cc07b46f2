// Which of several matches on the same bytes names the secret.
#pragma once

#include "engine/judge/examine.h"
#include "engine/match/ruleset.h"

namespace unsprawl {

// Whether `a` names a secret that both match rather than `b`: class A before B before C, then the
// higher confidence, then the smaller id. A strict order over rules of distinct ids.
bool Beats(const Rule& a, const Rule& b);

}  // namespace unsprawl
