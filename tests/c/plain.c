/* The C interface as a C program meets it: this file knows rarefy/c.h and the C library only. */
#include "plain.h"

#include <math.h>

#include "rarefy/c.h"

int32_t label_from_c(const char* path, const float* points, int64_t count, uint8_t* labels) {
  rarefy_model* model = NULL;
  rarefy_session* session = NULL;
  const rarefy_points scan = {points, count, 16, 0, 4, 8, 12};
  rarefy_status status = rarefy_model_load(path, &model);
  if (status == RAREFY_OK) status = rarefy_session_open(model, 1, &session);
  rarefy_model_free(model); /* the session keeps what it needs */
  if (status == RAREFY_OK) status = rarefy_session_label(session, &scan, labels);
  rarefy_session_free(session);
  return status;
}

double run_sparse_from_c(const char* path, const char* input, int32_t* coords, int64_t dims, float* features,
                         int64_t rows, int64_t channels, const char* output) {
  rarefy_model* model = NULL;
  rarefy_session* session = NULL;
  rarefy_tensor sites = {coords, RAREFY_I32, {rows, 1 + dims}, {4 * (1 + dims), 4}};
  rarefy_tensor x = {features, RAREFY_F32, {rows, channels}, {4 * channels, 4}};
  rarefy_tensor y;
  double sum = NAN;
  if (rarefy_model_load(path, &model) == RAREFY_OK && rarefy_session_open(model, 2, &session) == RAREFY_OK &&
      rarefy_session_set_sparse(session, input, &sites, &x, -1) == RAREFY_OK &&
      rarefy_session_run(session) == RAREFY_OK && rarefy_session_output(session, output, &y) == RAREFY_OK &&
      y.dtype == RAREFY_F32) {
    sum = 0.0;
    for (int64_t r = 0; r < y.shape[0]; ++r)
      for (int64_t c = 0; c < y.shape[1]; ++c)
        sum += (double)*(const float*)((const char*)y.data + r * y.strides[0] + c * y.strides[1]);
  }
  rarefy_session_free(session);
  rarefy_model_free(model);
  return sum;
}
