#pragma once
/// What is done with single rows or elements of feature matrices on the device. Queued on the stream.
#include <cstdint>

#include "kernels/cuda/conv.h"
#include "kernels/cuda/device.h"

namespace rarefy::cuda {}
