/* An exit's guard: the squared distance of a sample from the class that the exit sees in it. See guard_distance in
 * hybrid_model/runtime/reference.py.
 */
#ifndef DEWPOINT_GUARD_H
#define DEWPOINT_GUARD_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"
#include "memory.h"
#include "tensor.h"

#define MAX_DIRECTIONS 256

typedef struct {
    ptrdiff_t source; /* the tensor whose channels are summed; -1: the exit has no guard */
    ptrdiff_t channels, directions, padded; /* padded: directions up to whole vectors */
    ptrdiff_t first_sum; /* where its channel sums lie among those of all guards */
    int16_t *weight;     /* (channels, padded) */
    float *scale, *mean; /* (directions), (classes, directions) */
} Guard;

/* Scratch of one guard: its channel sums up to whole words, then the sums of its directions. */
size_t guard_scratch_bytes(const Guard *guard);

/* Takes the arrays over. Returns 0 where memory ran out. */
int guard_pack(Guard *guard, const int8_t *weight, const float *scale, const float *mean, ptrdiff_t classes,
               Arena *arena);

/* The squared distance from class `best` of what `map`, of the type `in`, holds. `scratch` begins with its channel sums
 * afterwards.
 */
float guard_distance(const Guard *guard, const Kernels *kernels, const Tensor *in, const uint8_t *map, ptrdiff_t best,
                     uint32_t *scratch);

#endif
