/* A plan: an edge graph, checked once more, lowered to nodes with packed weights. It never changes once built. */
#ifndef DEWPOINT_PLAN_H
#define DEWPOINT_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "conv.h"
#include "guard.h"
#include "kernels.h"
#include "memory.h"
#include "tensor.h"

/* Operations by number, in the order of OPERATIONS in hybrid_model/runtime/native_walker.py. */
enum Operation {
    OP_NORMALIZE,
    OP_CONV_INT8,
    OP_CONV_FLOAT,
    OP_CONV_BINARY,
    OP_CONV_KBIT,
    OP_BINARIZE,
    OP_QUANTIZE,
    OP_ADD,
    OP_RELU,
    OP_RPRELU,
    OP_AVG_POOL,
    OP_MAX_POOL,
    OP_REPEAT,
    OP_LINEAR,
    OP_CUT,
    OPERATIONS
};

#define MAX_PARAMS 4

typedef struct {
    const void *data;
    size_t bytes;
} Bytes;

/* One operation as it comes in: nothing in it is trusted. */
typedef struct {
    int64_t operation, stage, in[2], out;
    int64_t window[6];  /* kh, kw, sh, sw, ph, pw; 1, 1, 1, 1, 0, 0 where there is none */
    int64_t quantizer;  /* bits of quantize and cut */
    double gain;        /* of quantize and of a cut over 1 bit */
    Bytes param[MAX_PARAMS]; /* in the order of the operation's roles; data NULL behind the last */
} Step;

typedef struct {
    int64_t kind, h, w, c, bits;
} BufferSpec;

/* The guard of an exit as it comes in. */
typedef struct {
    int64_t source, directions; /* the tensor whose channels are summed; -1: the exit has no guard */
    Bytes weight, scale, mean;  /* int8 (C, R), float32 (R), float32 (K, R) */
} GuardSpec;

typedef struct {
    const BufferSpec *buffers;
    ptrdiff_t buffer_count;
    const Step *steps;
    ptrdiff_t step_count;
    const int64_t *exit_buffers;
    const GuardSpec *guards; /* one an exit */
    ptrdiff_t exit_count;
    int64_t cut_buffer;
} Graph;

enum Head { HEAD_LOAD, HEAD_NORMALIZE, HEAD_CONV, HEAD_AVERAGE, HEAD_GREATEST, HEAD_REPEAT, HEAD_ANY_BIT };

/* One pass over a map: its head makes rows of floats (or of bits), its tail finishes them while they are in cache. */
typedef struct {
    enum Head head;
    ptrdiff_t in, stage;
    Conv conv;
    Pool pool;
    float *zero_point, *scale; /* of HEAD_NORMALIZE, padded */
    int has_tail;
    Tail tail;
    ptrdiff_t residual;  /* tensors; -1: none. With fewer channels than the map: they are repeated */
    ptrdiff_t floats;    /* where the float map is stored */
    ptrdiff_t quantized; /* bits, levels or codes */
    ptrdiff_t oh, ow, vectors;
    ptrdiff_t block_rows; /* rows at a time */
    size_t block_bytes;   /* scratch for them, where the float map is not stored */
} Node;

typedef struct Plan {
    const Kernels *kernels;
    Arena arena;
    Tensor *tensors;
    ptrdiff_t tensor_count;
    Node *nodes;
    ptrdiff_t node_count;
    ptrdiff_t *stage_end; /* (exits + 1): nodes up to the end of each stage */
    ptrdiff_t *exit_tensor;
    Guard *guards; /* one an exit */
    ptrdiff_t exit_count, classes, cut_tensor;
    ptrdiff_t sum_count;   /* channel sums of all guards */
    size_t input_bytes;    /* of one sample, dense, as it comes in */
    size_t cut_codes;      /* codes of one sample */
    size_t feature_bytes;  /* of one sample's packed codes */
    /* A workspace: activations, then block, map, sums, decision and guard scratch. */
    size_t workspace_bytes, block_offset, map_offset, sums_offset, decision_offset, guard_offset;
} Plan;

#define PLAN_ERROR_BYTES 200

/* Builds a plan. Returns NULL with the reason in `error`; an empty reason means that memory ran out. */
Plan *plan_build(const Graph *graph, const Kernels *kernels, char error[PLAN_ERROR_BYTES]);
void plan_free(Plan *plan);

#endif
