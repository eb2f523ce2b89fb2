#pragma once
/* What plain.c, compiled as C11, offers to the test. */
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
/* Labels `count` points of 16 bytes with the model at `path`; 0, or the status of what failed. */
int32_t label_from_c(const char* path, const float* points, int64_t count, uint8_t* labels);
/* The sum of the float32 output `name` of a sparse model; NaN when a call failed. */
double run_sparse_from_c(const char* path, const char* input, int32_t* coords, int64_t dims, float* features,
                         int64_t rows, int64_t channels, const char* output);
#ifdef __cplusplus
}
#endif
