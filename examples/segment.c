/* A LiDAR scan in, one label per point out, in C. Usage: segment_c MODEL.safetensors SCAN.bin
   The scan is a KITTI .bin: float32 x, y, z, intensity per point. */
#include <stdio.h>
#include <stdlib.h>

#include "rarefy/c.h"

static int fail(void) {
  fprintf(stderr, "segment_c: %s\n", rarefy_last_error());
  return 1;
}

/* The whole file, or NULL; *size receives its bytes. */
static void* read_file(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  void* bytes = NULL;
  *size = 0;
  if (file != NULL && fseek(file, 0, SEEK_END) == 0 && ftell(file) > 0) {
    *size = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*size);
    if (bytes != NULL && fread(bytes, 1, *size, file) != *size) {
      free(bytes);
      bytes = NULL;
    }
  }
  if (file != NULL) fclose(file);
  return bytes;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: segment_c MODEL.safetensors SCAN.bin\n");
    return 2;
  }
  size_t size = 0;
  void* data = read_file(argv[2], &size);
  if (data == NULL) {
    fprintf(stderr, "segment_c: cannot read %s\n", argv[2]);
    return 1;
  }

  rarefy_model* model = NULL;
  rarefy_session* session = NULL;
  const rarefy_points scan = {data, (int64_t)(size / 16), 16, 0, 4, 8, 12}; /* any layout, no copy */
  uint8_t* labels = malloc(size / 16 + 1);
  if (rarefy_model_load(argv[1], &model) != RAREFY_OK) return fail();
  if (rarefy_session_open(model, 2, &session) != RAREFY_OK) return fail(); /* two threads */
  if (rarefy_session_label(session, &scan, labels) != RAREFY_OK) return fail();

  rarefy_statistics statistics;
  if (rarefy_session_statistics(session, &statistics) != RAREFY_OK) return fail();
  printf("%lld points in %.0f ms\n", (long long)scan.count, statistics.total_ms);
  int64_t counts[256] = {0};
  for (int64_t p = 0; p < scan.count; ++p) ++counts[labels[p]];
  for (int64_t c = 0; c < rarefy_model_classes(model); ++c)
    if (counts[c] > 0) printf("  %-14s %lld\n", rarefy_model_class_name(model, c), (long long)counts[c]);

  rarefy_session_free(session);
  rarefy_model_free(model);
  free(labels);
  free(data);
  return 0;
}
