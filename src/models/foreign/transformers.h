#pragma once
/// State dicts of transformers, brought to the names and the cut of the builders "vit" and "bert".
#include "models/foreign/state_dict.h"

namespace rarefy::models::foreign {

/// timm's ViT and DeiT: "attn.qkv" becomes q, k and v; class token and positions become tables; the patch embedding, a
/// convolution, becomes a linear layer. What is not known stays as it is.
StateDict timm_vit(StateDict dict);
/// Swin of timm and of its authors: as timm_vit; what merges patches takes its inputs in our order (channel, line,
/// column) and belongs to the stage that it leads to; tables of positions and masks go.
StateDict timm_swin(StateDict dict);
/// Whichever of the two the names say.
StateDict timm(StateDict dict);
/// Hugging Face's BERT: the prefix "bert." goes, and what a sentence encoder has no use for (pooler, position ids).
StateDict hugging_face_bert(StateDict dict);

}  // namespace rarefy::models::foreign
