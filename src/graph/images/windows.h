#pragma once
/// What ops on windows of tokens share.
#include "graph/example.h"
#include "graph/tokens.h"
#include "sparse/windows.h"

namespace rarefy {

/// Largest edge of a window: all scores of a window and head are held at once.
inline constexpr std::int64_t kMostWindow = 32;

/// "height", "width", "window", "shift".
std::vector<AttributeSpec> window_attributes();
/// The attributes of a node. @throws ShapeError
WindowGrid window_grid(const Node& node);
/// Images of tokens with three channels: several, one, none. `make` returns what becomes output "y".
std::vector<OpExample> window_examples(
    std::uint64_t seed, const std::function<ValueId(Builder&, ValueId x, const WindowOptions&, Rng&)>& make);

}  // namespace rarefy
