#pragma once
/// The C interface: a model, a session, inputs and outputs by name. C11 and C++; link rarefy::rarefy_c
/// (librarefy_c.so), which shows nothing but the functions below.
///
/// Every call that can fail returns a rarefy_status; rarefy_last_error() then says what was expected, what was found
/// and what to do. No exception, C++ type or thread crosses this border. Names are UTF-8. A null pointer where one is
/// needed is RAREFY_USAGE_ERROR, never a crash; pointers that were freed cannot be told from good ones. A model may be
/// used by many threads at once; a session by one thread at a time.
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define RAREFY_C_API
#else
#define RAREFY_C_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// How a call ended. The values are those of the C++ exceptions of the same names (error.h).
typedef int32_t rarefy_status;
enum {
  RAREFY_OK = 0,
  RAREFY_USAGE_ERROR = 1,        ///< the caller asked for something that makes no sense
  RAREFY_INPUT_ERROR = 2,        ///< data are damaged or do not have the declared form
  RAREFY_SHAPE_ERROR = 3,        ///< shapes of a graph do not fit
  RAREFY_UNSUPPORTED_ERROR = 4,  ///< legitimate, but this build, CPU or version cannot serve it
  RAREFY_MEMORY_ERROR = 5,       ///< more memory than there is, or than is allowed
  RAREFY_IO_ERROR = 6,           ///< the operating system refused to read or write
  RAREFY_CANCELLED = 7,          ///< a deadline passed
  RAREFY_INTERNAL_ERROR = 8      ///< a mistake of rarefy's own
};

/// Element types of tensors.
typedef int32_t rarefy_dtype;
enum {
  RAREFY_F32 = 0,
  RAREFY_F64 = 1,
  RAREFY_F16 = 2,
  RAREFY_BF16 = 3,
  RAREFY_I8 = 4,
  RAREFY_U8 = 5,
  RAREFY_I32 = 6,
  RAREFY_I64 = 7
};

/// What a graph input takes.
enum {
  RAREFY_POINTS = 0,  ///< points [P, channels], coordinates first
  RAREFY_SPARSE = 1   ///< features [N, channels] and coordinates [N, 1 + dims]
};

/// An immutable model: graph, weights, pipeline.
typedef struct rarefy_model rarefy_model;
/// A model made ready for this CPU, with its threads and memory.
typedef struct rarefy_session rarefy_session;

/// A matrix in somebody's memory: element (r, c) lies at data + r * strides[0] + c * strides[1] bytes.
/// A vector is a matrix of one column.
typedef struct rarefy_tensor {
  void* data;          ///< inputs are only read
  rarefy_dtype dtype;  ///< RAREFY_F32, ...
  int64_t shape[2];    ///< rows, columns
  int64_t strides[2];  ///< bytes between rows, bytes between columns
} rarefy_tensor;

/// Points in any layout: float32 fields at fixed offsets from the start of each point. Metres; intensity 0..1.
typedef struct rarefy_points {
  const void* data;
  int64_t count;
  int64_t stride_bytes;  ///< from one point to the next
  int64_t x;             ///< offsets in bytes from the start of a point
  int64_t y;
  int64_t z;
  int64_t intensity;  ///< -1: the scan has none
} rarefy_points;

/// Times and counts of the last run.
typedef struct rarefy_statistics {
  double total_ms;
  double voxelize_ms;
  double maps_ms;
  double network_ms;
  int64_t macs;  ///< multiply-adds
  int64_t points;
  int64_t voxels;
  int64_t points_not_finite;  ///< labelled 255: a coordinate is NaN or infinite
  int64_t points_outside;     ///< labelled 255: outside the crop or the range of coordinates
  int64_t memory_bytes;       ///< that the session holds, weights not counted
} rarefy_statistics;

/// "0.1.0": what the library is, not what it was compiled against.
RAREFY_C_API const char* rarefy_version(void);

/// What the last failed call in this thread had to say; empty before the first. Valid until this thread's next failure.
RAREFY_C_API const char* rarefy_last_error(void);
/// Status of the last failed call in this thread; RAREFY_OK before the first. Calls that succeed leave both alone.
RAREFY_C_API rarefy_status rarefy_last_status(void);

/// Reads a model file (docs/model-file.md). `*model` is set on success, NULL otherwise; free it with rarefy_model_free.
RAREFY_C_API rarefy_status rarefy_model_load(const char* path, rarefy_model** model);
/// The same from memory, which may be freed afterwards. `name` stands for the file in messages; NULL = "memory".
RAREFY_C_API rarefy_status rarefy_model_parse(const void* bytes, size_t size, const char* name, rarefy_model** model);
/// Sessions of the model stay usable. NULL is allowed.
RAREFY_C_API void rarefy_model_free(rarefy_model* model);

/// Numbers of inputs, outputs and classes; 0 for NULL.
RAREFY_C_API int64_t rarefy_model_inputs(const rarefy_model* model);
RAREFY_C_API int64_t rarefy_model_outputs(const rarefy_model* model);
RAREFY_C_API int64_t rarefy_model_classes(const rarefy_model* model);
/// Name of input, output or class `index`; NULL (and an error) when there is none. Valid while the model lives.
RAREFY_C_API const char* rarefy_model_input_name(const rarefy_model* model, int64_t index);
RAREFY_C_API const char* rarefy_model_output_name(const rarefy_model* model, int64_t index);
RAREFY_C_API const char* rarefy_model_class_name(const rarefy_model* model, int64_t index);
/// What input `name` takes: RAREFY_POINTS or RAREFY_SPARSE, its channels, and its dimensions (0 for points). Each of
/// the three pointers may be NULL.
RAREFY_C_API rarefy_status rarefy_model_input(const rarefy_model* model, const char* name, int32_t* kind,
                                              int64_t* channels, int64_t* dims);

/// @param threads  1 = everything runs in the calling thread and none is started; at most 1024
/// `*session` is set on success, NULL otherwise; free it with rarefy_session_free. The model may be freed before.
RAREFY_C_API rarefy_status rarefy_session_open(const rarefy_model* model, int32_t threads, rarefy_session** session);
/// The same on a processor of choice.
/// @param device     "cpu", or "cuda": the first GPU (RAREFY_UNSUPPORTED_ERROR when there is none)
/// @param precision  what a GPU computes with: "fp16", "bf16", "tf32", "fp32"; NULL: fp16. On a CPU: NULL
RAREFY_C_API rarefy_status rarefy_session_open_on(const rarefy_model* model, int32_t threads, const char* device,
                                                  const char* precision, rarefy_session** session);
/// Ends the session's threads and frees its results. NULL is allowed.
RAREFY_C_API void rarefy_session_free(rarefy_session* session);
/// Most bytes that runs may hold; 0 = what the system has available. A run that needs more is refused.
RAREFY_C_API rarefy_status rarefy_session_set_memory_limit(rarefy_session* session, int64_t bytes);

/// Inputs of the next run. Nothing is copied: the memory must stay as it is until that run returns. Each run needs all
/// its inputs anew, whether the one before succeeded or not; a second value for a name replaces the first.

/// Points in any layout, for an input of kind RAREFY_POINTS.
RAREFY_C_API rarefy_status rarefy_session_set_points(rarefy_session* session, const char* name,
                                                     const rarefy_points* points);
/// Point features [P, channels], for an input of kind RAREFY_POINTS; float32, columns 4 bytes apart.
RAREFY_C_API rarefy_status rarefy_session_set_rows(rarefy_session* session, const char* name,
                                                   const rarefy_tensor* rows);
/// Where each scan begins when an input holds several: `begin` has batches + 1 ascending rows, from 0 to the number of
/// points. For points and rows, after they are set.
RAREFY_C_API rarefy_status rarefy_session_set_batches(rarefy_session* session, const char* name, const int64_t* begin,
                                                      int64_t batches);
/// A sparse tensor, for an input of kind RAREFY_SPARSE.
/// @param coords    int32 [N, 1 + dims], contiguous: batch, x, y, ...; any order
/// @param features  float32 [N, channels], columns 4 bytes apart
/// @param batches   -1 = one more than the largest batch index
RAREFY_C_API rarefy_status rarefy_session_set_sparse(rarefy_session* session, const char* name,
                                                     const rarefy_tensor* coords, const rarefy_tensor* features,
                                                     int64_t batches);

/// Runs the model. Results of the run before are gone, also when this one fails; the session stays usable after any
/// error. Cost: no allocation once it has seen its largest input.
RAREFY_C_API rarefy_status rarefy_session_run(rarefy_session* session);

/// A result of the last run, in the session's memory: valid until its next run, or until it is freed.
/// Over a sparse space, rows are in the order of rarefy_session_output_coords.
RAREFY_C_API rarefy_status rarefy_session_output(const rarefy_session* session, const char* name,
                                                 rarefy_tensor* output);
/// Coordinates int32 [N, 1 + dims] of that result's rows; RAREFY_USAGE_ERROR when its rows are points.
RAREFY_C_API rarefy_status rarefy_session_output_coords(const rarefy_session* session, const char* name,
                                                        rarefy_tensor* coords);
/// Times and counts of the last run that succeeded.
RAREFY_C_API rarefy_status rarefy_session_statistics(const rarefy_session* session, rarefy_statistics* statistics);

/// Labels a scan in one call: sets the model's only input, runs, and copies its output "labels" to the caller.
/// @param labels    receives one class per point; 255 = the point cannot be used. Room for points->count bytes
RAREFY_C_API rarefy_status rarefy_session_label(rarefy_session* session, const rarefy_points* points, uint8_t* labels);

#ifdef __cplusplus
}
#endif
