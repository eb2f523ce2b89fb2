/* A stranger's program in C: the installed rarefy/c.h and librarefy_c.so, nothing else. Usage: c_user MODEL */
#include <rarefy/c.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  rarefy_model* model = NULL;
  if (rarefy_model_load("missing.safetensors", &model) != RAREFY_IO_ERROR || model != NULL) return 3;
  if (strstr(rarefy_last_error(), "missing.safetensors") == NULL) return 4;
  rarefy_session* session = NULL;
  float wall[400][3];
  for (int i = 0; i < 400; ++i) {
    wall[i][0] = 0.1f * (float)(i % 20);
    wall[i][1] = 2.0f;
    wall[i][2] = 0.1f * (float)(i / 20);
  }
  uint8_t labels[400];
  const rarefy_points scan = {wall, 400, 12, 0, 4, 8, -1};
  memset(labels, 99, sizeof labels);
  if (rarefy_model_load(argv[1], &model) != RAREFY_OK || rarefy_session_open(model, 2, &session) != RAREFY_OK ||
      rarefy_session_label(session, &scan, labels) != RAREFY_OK) {
    fprintf(stderr, "failed: %s\n", rarefy_last_error());
    return 1;
  }
  for (int i = 0; i < 400; ++i)
    if (labels[i] >= 5) return 5;
  rarefy_session_free(session);
  rarefy_model_free(model);
  return 0;
}
