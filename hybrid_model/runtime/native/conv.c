#include "conv.h"

#include <math.h>
#include <string.h>

#include "conv_parts.h"
#include "kernels.h"

static int is_padded(const Conv *conv) { return conv->window.ph != 0 || conv->window.pw != 0; }

static float *float_channels(Arena *arena, const Conv *conv, const float *values) {
    float *padded = arena_take(arena, (size_t)(conv->vectors * LANES), sizeof(float));
    if (padded != NULL && values != NULL) memcpy(padded, values, (size_t)conv->oc * sizeof(float));
    return padded;
}

/* Which dimension shall the tables hold? Making one costs about as much as so many lookups. */
static int prefers_pixels(const Conv *conv) {
    const ptrdiff_t make = 45, make_from_pixels = 80;
    ptrdiff_t channels = table_blocks(conv) * (conv->oh * conv->ow + make);
    return pixel_blocks(conv) * (conv->oc + make_from_pixels) < channels;
}

static void choose_kind(Conv *conv, const ConvSpec *spec, const Kernels *kernels) {
    if (spec->binary_weight != NULL) {
        conv->kind = spec->threshold != NULL ? CONV_BINARY_BITS : CONV_BINARY_FLOAT;
        conv->map = is_padded(conv) ? MAP_WORDS : MAP_DIRECT;
        int counts_fit = conv->window.kh * conv->window.kw <= INT16_MAX / conv->ic - 1;
        if (kernels->wants_tables == NULL || !counts_fit || !kernels->wants_tables(conv)) return;
        conv->tables = 1;
        conv->swapped = prefers_pixels(conv);
        if (!conv->swapped) conv->map = MAP_PATTERNS;
        return;
    }
    if (spec->float_weight != NULL) {
        conv->kind = CONV_FLOAT;
        conv->map = is_padded(conv) ? MAP_FLOAT : MAP_DIRECT;
        return;
    }
    int least = 0, greatest = 0;
    for (ptrdiff_t i = 0; i < conv->ic && spec->zero_point != NULL; i++) {
        if (spec->zero_point[i] < least) least = spec->zero_point[i];
        if (spec->zero_point[i] > greatest) greatest = spec->zero_point[i];
    }
    int fits = kernels->whole_bytes == 1 ? least >= 0 && greatest <= 255 : least >= 255 - INT16_MAX;
    if (kernels->whole_bytes == 0 || !fits) {
        conv->kind = CONV_WHOLE_FLOAT;
        conv->map = MAP_CENTRED;
    } else {
        conv->kind = CONV_WHOLE;
        conv->map = kernels->whole_bytes == 1 ? MAP_U8 : MAP_S16;
    }
}

/* Segments, runs and strides of the windows in the map. */
static int lay_out_windows(Conv *conv, const Tensor *in, Arena *arena) {
    const Window *k = &conv->window;
    ptrdiff_t values = k->kw * conv->ic; /* of one row of taps */
    int by_tap = 0;
    switch (conv->map) {
    case MAP_DIRECT:
        conv->pixel_bytes = in->pixel_bytes;
        if (is_binary(conv)) {
            conv->run = k->kw * words_for(conv->ic);
        } else {
            by_tap = conv->ic % LANES != 0;
            conv->run = by_tap ? conv->ic : values;
        }
        break;
    case MAP_WORDS:
        conv->pixel_bytes = words_for(conv->ic) * 4;
        conv->run = k->kw * words_for(conv->ic);
        break;
    case MAP_PATTERNS:
        conv->pixel_bytes = groups_for(conv->ic) * (ptrdiff_t)sizeof(uint16_t);
        conv->run = (k->kw * groups_for(conv->ic) + TRIPLE - 1) / TRIPLE * TRIPLE;
        break;
    case MAP_U8:
        conv->pixel_bytes = conv->ic;
        conv->run = (values + 3) / 4;
        break;
    case MAP_S16:
        conv->pixel_bytes = conv->ic * 2;
        conv->run = (values + 1) / 2;
        break;
    case MAP_FLOAT:
    case MAP_CENTRED:
        conv->pixel_bytes = conv->ic * 4;
        conv->run = values;
        break;
    }
    conv->row_bytes = conv->pixel_bytes * (conv->iw + 2 * k->pw);
    conv->map_bytes = conv->map == MAP_DIRECT ? 0 : (size_t)conv->row_bytes * (size_t)(conv->ih + 2 * k->ph);
    if (conv->map == MAP_PATTERNS) conv->map_bytes += (TRIPLE - 1) * sizeof(uint16_t);
    conv->segments = by_tap ? k->kh * k->kw : k->kh;
    if (conv->tables) {
        conv->sums_bytes = (size_t)(table_blocks(conv) * conv->oh * conv->ow * TABLE_CHANNELS) * sizeof(uint16_t);
        conv->sums_bytes += TABLE_SCRATCH_BYTES;
    }
    if (conv->swapped) {
        conv->run = (k->kh * k->kw * groups_for(conv->ic) + TRIPLE - 1) / TRIPLE * TRIPLE;
        conv->sums_bytes += (size_t)(table_blocks(conv) * TABLE_CHANNELS * TABLE_PIXELS) * sizeof(uint16_t);
        conv->sums_bytes += MAX_TRIPLES * TRIPLE * SEED_BYTES;
        conv->sums_bytes += (size_t)(words_for(conv->ic) * 4) * PLANE_BYTES;
    }
    conv->segment_offset = arena_take(arena, (size_t)conv->segments, sizeof(ptrdiff_t));
    if (conv->segment_offset == NULL) return 0;
    for (ptrdiff_t s = 0; s < conv->segments; s++) {
        conv->segment_offset[s] =
            by_tap ? s / k->kw * conv->row_bytes + s % k->kw * conv->pixel_bytes : s * conv->row_bytes;
    }
    return 1;
}

/* With zero points in the border of an 8-bit map, sum(x * w) exceeds sum((x - zero_point) * w) by one constant. */
static int fold_zero_points(Conv *conv, const ConvSpec *spec, Arena *arena) {
    conv->correction = arena_take(arena, (size_t)(conv->vectors * LANES), sizeof(int32_t));
    conv->zero_point = arena_take(arena, (size_t)conv->ic, sizeof(int16_t));
    if (conv->correction == NULL || conv->zero_point == NULL) return 0;
    if (spec->zero_point == NULL) return 1;
    memcpy(conv->zero_point, spec->zero_point, (size_t)conv->ic * sizeof(int16_t));
    if (conv->map != MAP_U8) return 1;
    ptrdiff_t taps = conv->window.kh * conv->window.kw;
    for (ptrdiff_t i = 0; i < taps * conv->ic; i++) {
        for (ptrdiff_t oc = 0; oc < conv->oc; oc++) {
            int64_t sum = conv->correction[oc];
            sum += (int64_t)spec->zero_point[i % conv->ic] * spec->whole_weight[i * conv->oc + oc];
            conv->correction[oc] = (int32_t)(uint32_t)sum;
        }
    }
    return 1;
}

const char *conv_build(Conv *conv, const ConvSpec *spec, const Kernels *kernels, Arena *arena) {
    memset(conv, 0, sizeof *conv);
    conv->window = spec->window;
    conv->ih = spec->in.h, conv->iw = spec->in.w, conv->ic = spec->in.c;
    conv->oh = spec->out.h, conv->ow = spec->out.w, conv->oc = spec->out.c;
    conv->vectors = (conv->oc + LANES - 1) / LANES;
    conv->blocks = (conv->vectors + kernels->block_vectors - 1) / kernels->block_vectors;
    conv->block_vectors = conv->vectors / conv->blocks;
    conv->larger = conv->vectors % conv->blocks;
    conv->kernels = kernels;
    choose_kind(conv, spec, kernels);
    if (!lay_out_windows(conv, &spec->in, arena)) return NULL;
    if (!weights_pack(conv, spec, arena)) return NULL;
    conv->scale = float_channels(arena, conv, spec->scale);
    conv->bias = float_channels(arena, conv, spec->bias);
    if (conv->scale == NULL || conv->bias == NULL) return NULL;
    if (is_binary(conv)) return borders_classify(conv, spec, arena);
    fold_zero_points(conv, spec, arena);
    return NULL;
}

/* ---- A threshold behind whole numbers ---- */

/* No sum of a bundle that was checked reaches this, and below it floats are exact. */
#define EXACT_SUM (1 << 24)

static int passes(int32_t sum, float scale, float bias, float threshold) {
    float scaled = (float)sum * scale;
    return scaled + bias >= threshold;
}

/* The greatest sum for which the bit is not `above`, given that it is `above` from some sum on; -EXACT_SUM - 1: none. */
static int32_t last_below(float scale, float bias, float threshold, int above) {
    int32_t low = -EXACT_SUM - 1, high = EXACT_SUM; /* at `low` it is not above, behind `high` it may be */
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        if (passes(middle, scale, bias, threshold) == above) {
            high = middle - 1;
        } else {
            low = middle;
        }
    }
    return low;
}

int conv_take_threshold(Conv *conv, const float *threshold, Arena *arena) {
    if (conv->kind != CONV_WHOLE && conv->kind != CONV_WHOLE_FLOAT) return 0;
    for (ptrdiff_t oc = 0; oc < conv->oc; oc++) {
        if (!isfinite(conv->scale[oc]) || !isfinite(conv->bias[oc]) || isnan(threshold[oc])) return 0;
    }
    ptrdiff_t padded = conv->vectors * LANES;
    int32_t *limit = arena_take(arena, (size_t)padded, sizeof(int32_t));
    uint16_t *flip = arena_take(arena, (size_t)conv->vectors, sizeof(uint16_t));
    uint16_t *rows = arena_take(arena, (size_t)conv->oh, sizeof(uint16_t));
    uint16_t *columns = arena_take(arena, (size_t)conv->ow, sizeof(uint16_t));
    if (arena->failed) return 0;
    for (ptrdiff_t oc = 0; oc < padded; oc++) {
        if (oc >= conv->oc) {
            limit[oc] = INT32_MIN; /* padding channels give no bits */
            continue;
        }
        /* f32(sum) * scale + bias goes one way only: up with a positive scale, down with a negative one. */
        int up = conv->scale[oc] >= 0.0f;
        limit[oc] = last_below(conv->scale[oc], conv->bias[oc], threshold[oc], up) + conv->correction[oc];
        if (up) flip[oc / LANES] = (uint16_t)(flip[oc / LANES] | 1u << (oc % LANES));
    }
    conv->limit = limit, conv->flip = flip, conv->row_class = rows, conv->column_class = columns;
    conv->column_classes = 1;
    conv->kind = conv->kind == CONV_WHOLE ? CONV_WHOLE_BITS : CONV_WHOLE_FLOAT_BITS;
    return 1;
}
