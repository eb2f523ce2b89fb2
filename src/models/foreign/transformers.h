#pragma once
/// State dicts of transformers, brought to the names and the cut of the builders "vit" and "bert".
#include "models/foreign/state_dict.h"

namespace rarefy::models::foreign {

/// timm's ViT and DeiT: "attn.qkv" becomes q, k and v; class token and positions become tables; the patch embedding, a
/// convolution, becomes a linear layer. What is not known stays as it is.
StateDict timm_vit(StateDict dict);
/// Hugging Face's BERT: the prefix "bert." goes, and what a sentence encoder has no use for (pooler, position ids).
StateDict hugging_face_bert(StateDict dict);

}  // namespace rarefy::models::foreign
