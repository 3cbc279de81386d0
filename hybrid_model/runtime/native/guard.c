#include "guard.h"

#include <string.h>

static ptrdiff_t summed_channels(const Guard *guard) { return words_for(guard->channels) * 32; }

size_t guard_scratch_bytes(const Guard *guard) {
    if (guard->source < 0) return 0;
    return (size_t)(summed_channels(guard) + guard->padded) * sizeof(uint32_t);
}

int guard_pack(Guard *guard, const int8_t *weight, const float *scale, const float *mean, ptrdiff_t classes,
               Arena *arena) {
    const ptrdiff_t directions = guard->directions;
    guard->padded = padded_channels(directions);
    guard->weight = arena_take(arena, (size_t)(guard->channels * guard->padded), sizeof(int16_t));
    guard->scale = arena_take(arena, (size_t)directions, sizeof(float));
    guard->mean = arena_take(arena, (size_t)(classes * directions), sizeof(float));
    if (guard->weight == NULL || guard->scale == NULL || guard->mean == NULL) return 0;
    for (ptrdiff_t c = 0; c < guard->channels; c++) {
        for (ptrdiff_t r = 0; r < directions; r++) guard->weight[c * guard->padded + r] = weight[c * directions + r];
    }
    memcpy(guard->scale, scale, (size_t)directions * sizeof(float));
    memcpy(guard->mean, mean, (size_t)(classes * directions) * sizeof(float));
    return 1;
}

float guard_distance(const Guard *guard, const Kernels *kernels, const Tensor *in, const uint8_t *map, ptrdiff_t best,
                     uint32_t *scratch) {
    uint32_t *placed = scratch + summed_channels(guard);
    if (held_as_bits(in)) {
        kernels->bit_sums((const uint32_t *)(const void *)map, in->h * in->w, words_for(in->c), scratch);
    } else {
        kernels->level_sums(map, in->h * in->w, in->c, in->pixel_bytes, scratch);
    }
    kernels->weighted_sums(scratch, guard->channels, guard->weight, guard->padded, placed);
    const float *mean = guard->mean + best * guard->directions;
    float distance = 0.0f;
    for (ptrdiff_t r = 0; r < guard->directions; r++) {
        float apart = (float)(int32_t)placed[r] * guard->scale[r];
        apart = apart - mean[r];
        float square = apart * apart;
        distance = distance + square;
    }
    return distance;
}
