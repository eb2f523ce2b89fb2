#pragma once
/// Weights in 16 bits: half the file, and half the memory of weights and features at run time.
#include "rarefy/model.h"

namespace rarefy::compress {

/// The same model with the weights of convolutions and linear layers, and the tables of embeddings, rounded to f16, to
/// nearest, ties to even. A
/// runtime that finds them so keeps the features between such layers in 16 bits too (Storage::as_weights). Layers with
/// integer weights keep what they have.
/// @throws UnsupportedError naming a weight beyond 65504; when no layer's weights could be rounded
Model halve(const Model& model);

}  // namespace rarefy::compress
