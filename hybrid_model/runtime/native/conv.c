#include "conv.h"

#include <math.h>
#include <string.h>

#include "kernels.h"
#include "tables.h"

/* Entries of the table of border classes: far more than any real network has. */
#define MAX_CLASS_ENTRIES ((ptrdiff_t)1 << 24)

static int popcount32(uint32_t x) {
    x -= (x >> 1) & 0x55555555u;
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    return (int)((((x + (x >> 4)) & 0x0F0F0F0Fu) * 0x01010101u) >> 24);
}

static int is_binary(const Conv *conv) { return conv->kind == CONV_BINARY_FLOAT || conv->kind == CONV_BINARY_BITS; }

static int is_padded(const Conv *conv) { return conv->window.ph != 0 || conv->window.pw != 0; }

static float *float_channels(Arena *arena, const Conv *conv, const float *values) {
    float *padded = arena_take(arena, (size_t)(conv->vectors * LANES), sizeof(float));
    if (padded != NULL && values != NULL) memcpy(padded, values, (size_t)conv->oc * sizeof(float));
    return padded;
}

/* The first vector of a block; with b = blocks, their number. */
static ptrdiff_t block_start(const Conv *conv, ptrdiff_t b) {
    return b * conv->block_vectors + (b < conv->larger ? b : conv->larger);
}

static ptrdiff_t table_blocks(const Conv *conv) { return (conv->oc + TABLE_CHANNELS - 1) / TABLE_CHANNELS; }

static ptrdiff_t pixel_blocks(const Conv *conv) { return (conv->oh * conv->ow + TABLE_PIXELS - 1) / TABLE_PIXELS; }

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

/* The word beside word `k` of segment `s` for output channel `oc`. */
static uint32_t weight_word(const Conv *conv, const ConvSpec *spec, ptrdiff_t s, ptrdiff_t k, ptrdiff_t oc) {
    ptrdiff_t per_word = conv->map == MAP_U8 ? 4 : conv->map == MAP_S16 ? 2 : 1;
    ptrdiff_t values = conv->window.kw * conv->ic;
    uint32_t word = 0;
    if (is_binary(conv)) {
        ptrdiff_t words = words_for(conv->ic), tap = s * conv->window.kw + k / words;
        return spec->binary_weight[(tap * conv->oc + oc) * words + k % words];
    }
    if (conv->kind == CONV_FLOAT) {
        memcpy(&word, &spec->float_weight[(s * conv->run + k) * conv->oc + oc], 4);
        return word;
    }
    if (conv->kind == CONV_WHOLE_FLOAT) {
        float value = spec->whole_weight[(s * conv->run + k) * conv->oc + oc];
        memcpy(&word, &value, 4);
        return word;
    }
    for (ptrdiff_t i = 0; i < per_word && k * per_word + i < values; i++) {
        int8_t value = spec->whole_weight[(s * values + k * per_word + i) * conv->oc + oc];
        uint32_t part = per_word == 4 ? (uint8_t)value : (uint16_t)value;
        word |= part << (i * (32 / per_word));
    }
    return word;
}

static int pack_weights(Conv *conv, const ConvSpec *spec, Arena *arena) {
    ptrdiff_t steps = conv->segments * conv->run;
    uint32_t *word = arena_take(arena, (size_t)steps * (size_t)(conv->vectors * LANES), sizeof(uint32_t));
    if (word == NULL) return 0;
    conv->weights = (uint8_t *)word;
    for (ptrdiff_t b = 0; b < conv->blocks; b++) {
        ptrdiff_t first = block_start(conv, b) * LANES, last = block_start(conv, b + 1) * LANES;
        for (ptrdiff_t s = 0; s < conv->segments; s++) {
            for (ptrdiff_t k = 0; k < conv->run; k++) {
                for (ptrdiff_t oc = first; oc < last; oc++) {
                    *word++ = oc < conv->oc ? weight_word(conv, spec, s, k, oc) : 0;
                }
            }
        }
    }
    return 1;
}

/* Entry 0 of a table and its five steps, for one group of input channels of one tap. */
static void pack_seed(const Conv *conv, const uint32_t *tap, ptrdiff_t group, ptrdiff_t first, uint8_t *seed) {
    ptrdiff_t words = words_for(conv->ic);
    for (ptrdiff_t q = 0; q < TABLE_CHANNELS && first + q < conv->oc; q++) {
        const uint32_t *word = tap + (first + q) * words;
        uint8_t *byte = seed + entry_byte(q);
        for (ptrdiff_t bit = 0; bit < PATTERN_BITS; bit++) {
            ptrdiff_t channel = group * PATTERN_BITS + bit;
            if (channel >= conv->ic) break;
            int one = (int)(word[channel / 32] >> (channel % 32) & 1), shift = entry_shift(q);
            byte[0] = (uint8_t)(byte[0] + (one << shift));
            uint8_t *step = byte + (1 + bit) * ENTRY_BYTES;
            *step = (uint8_t)(*step + (one ? 256 - (1 << shift) : 1 << shift));
        }
    }
}

static int pack_tables(Conv *conv, const ConvSpec *spec, Arena *arena) {
    ptrdiff_t groups = groups_for(conv->ic), words = words_for(conv->ic), blocks = table_blocks(conv);
    size_t count = (size_t)(blocks * conv->window.kh * conv->run);
    uint8_t *seed = arena_take(arena, count, SEED_BYTES);
    if (seed == NULL) return 0;
    conv->weights = seed;
    for (ptrdiff_t b = 0; b < blocks; b++) {
        for (ptrdiff_t ky = 0; ky < conv->window.kh; ky++) {
            for (ptrdiff_t g = 0; g < conv->run; g++, seed += SEED_BYTES) {
                ptrdiff_t kx = g / groups, tap = ky * conv->window.kw + kx;
                if (kx >= conv->window.kw) continue; /* fills up the last triple */
                pack_seed(conv, spec->binary_weight + tap * conv->oc * words, g % groups, b * TABLE_CHANNELS, seed);
            }
        }
    }
    return 1;
}

/* Swapped: the pattern of one group of input channels of one tap, for one output channel. */
static uint16_t weight_pattern(const Conv *conv, const ConvSpec *spec, ptrdiff_t tap, ptrdiff_t group, ptrdiff_t oc) {
    ptrdiff_t words = words_for(conv->ic);
    const uint32_t *word = spec->binary_weight + (tap * conv->oc + oc) * words;
    unsigned pattern = 0;
    for (ptrdiff_t bit = 0; bit < PATTERN_BITS; bit++) {
        ptrdiff_t channel = group * PATTERN_BITS + bit;
        if (channel < conv->ic) pattern |= (word[channel / 32] >> (channel % 32) & 1u) << bit;
    }
    return (uint16_t)(pattern * ENTRY_BYTES);
}

static int pack_patterns(Conv *conv, const ConvSpec *spec, Arena *arena) {
    ptrdiff_t groups = groups_for(conv->ic), taps = conv->window.kh * conv->window.kw, triples = conv->run / TRIPLE;
    uint16_t *pattern = arena_take(arena, (size_t)(conv->oc * conv->run), sizeof(uint16_t));
    if (pattern == NULL) return 0;
    conv->weights = (uint8_t *)pattern;
    for (ptrdiff_t pass = 0; pass < passes_for(triples); pass++) {
        ptrdiff_t first = pass_start(triples, pass) * TRIPLE, end = pass_start(triples, pass + 1) * TRIPLE;
        for (ptrdiff_t oc = 0; oc < conv->oc; oc++) {
            for (ptrdiff_t i = first; i < end; i++, pattern++) {
                if (i < taps * groups) *pattern = weight_pattern(conv, spec, i / groups, i % groups, oc);
            }
        }
    }
    return 1;
}

/* Swapped: where each pixel's window begins, and which of its taps lie inside the map. */
static int place_pixels(Conv *conv, Arena *arena) {
    const Window *k = &conv->window;
    ptrdiff_t taps = k->kh * k->kw, pixels = conv->oh * conv->ow, blocks = pixel_blocks(conv);
    conv->word_offset = arena_take(arena, (size_t)(blocks * TABLE_PIXELS), sizeof(int32_t));
    conv->inside = arena_take(arena, (size_t)(blocks * taps), ENTRY_BYTES);
    if (conv->word_offset == NULL || conv->inside == NULL) return 0;
    for (ptrdiff_t p = 0; p < pixels; p++) {
        ptrdiff_t y = p / conv->ow * k->sh, x = p % conv->ow * k->sw, i = p % TABLE_PIXELS;
        ptrdiff_t place = p / TABLE_PIXELS * TABLE_PIXELS + i / ENTRY_BYTES * ENTRY_BYTES + entry_byte(i);
        conv->word_offset[place] = (int32_t)((y * conv->row_bytes + x * conv->pixel_bytes) / 4);
        for (ptrdiff_t t = 0; t < taps; t++) {
            ptrdiff_t from_y = y + t / k->kw - k->ph, from_x = x + t % k->kw - k->pw;
            if (from_y < 0 || from_y >= conv->ih || from_x < 0 || from_x >= conv->iw) continue;
            uint8_t *byte = conv->inside + (p / TABLE_PIXELS * taps + t) * ENTRY_BYTES + entry_byte(i);
            *byte = (uint8_t)(*byte + (1 << entry_shift(i)));
        }
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

/* Numbers the sets of taps inside the map along one axis; returns how many, `first` and `end` of each. */
static ptrdiff_t number_classes(ptrdiff_t in, ptrdiff_t out, ptrdiff_t k, ptrdiff_t step, ptrdiff_t pad, uint16_t *of,
                                ptrdiff_t *first, ptrdiff_t *end) {
    ptrdiff_t classes = 0;
    for (ptrdiff_t i = 0; i < out; i++) {
        ptrdiff_t start = i * step - pad;
        ptrdiff_t a = start < 0 ? -start : 0, b = in - start < k ? in - start : k;
        if (classes == 0 || first[classes - 1] != a || end[classes - 1] != b) {
            first[classes] = a;
            end[classes++] = b;
        }
        of[i] = (uint16_t)(classes - 1);
    }
    return classes;
}

static int32_t clamped(int64_t value) {
    const int64_t top = (int64_t)1 << 30;
    return (int32_t)(value > top ? top : value < -top ? -top : value);
}

/* base and limit of one class: taps (y0..y1, x0..x1) lie inside the map, the border's zero words count as mismatches
 * where weights have ones. */
static void fill_class(const Conv *conv, const ConvSpec *spec, const int32_t *ones, const ptrdiff_t range[4],
                       int32_t *base, int32_t *limit) {
    const Window *k = &conv->window;
    ptrdiff_t inside = (range[1] - range[0]) * (range[3] - range[2]);
    for (ptrdiff_t oc = 0; oc < conv->oc; oc++) {
        int64_t outside_ones = 0;
        for (ptrdiff_t y = 0; y < k->kh; y++) {
            for (ptrdiff_t x = 0; x < k->kw; x++) {
                int in = y >= range[0] && y < range[1] && x >= range[2] && x < range[3];
                if (!in) outside_ones += ones[(y * k->kw + x) * conv->oc + oc];
            }
        }
        int64_t value = (int64_t)inside * conv->ic + 2 * outside_ones;
        base[oc] = clamped(value);
        if (limit != NULL) {
            int64_t twice = value - spec->threshold[oc];
            limit[oc] = clamped(twice < 0 ? -1 : twice / 2);
        }
    }
}

/* Limits as 16-bit numbers, for sums that are compared as such. */
static void make_bounds(Conv *conv, ptrdiff_t classes, Arena *arena) {
    ptrdiff_t width = table_blocks(conv) * TABLE_CHANNELS, padded = conv->vectors * LANES;
    conv->bound = arena_take(arena, (size_t)(classes * width), sizeof(int16_t));
    for (ptrdiff_t i = 0; i < classes && conv->bound != NULL && conv->limit != NULL; i++) {
        for (ptrdiff_t oc = 0; oc < conv->oc; oc++) {
            int32_t limit = conv->limit[i * padded + oc];
            conv->bound[i * width + oc] = (int16_t)(limit < 0 ? 0 : limit >= INT16_MAX ? INT16_MAX : limit + 1);
        }
    }
}

static const char *make_classes(Conv *conv, const ConvSpec *spec, Arena *arena) {
    const Window *k = &conv->window;
    ptrdiff_t taps = k->kh * k->kw, words = words_for(conv->ic), padded = conv->vectors * LANES;
    Arena own = {0};
    int32_t *ones = arena_take(&own, (size_t)(taps * conv->oc), sizeof(int32_t));
    ptrdiff_t *rows = arena_take(&own, (size_t)conv->oh * 2, sizeof(ptrdiff_t));
    ptrdiff_t *columns = arena_take(&own, (size_t)conv->ow * 2, sizeof(ptrdiff_t));
    conv->row_class = arena_take(arena, (size_t)conv->oh, sizeof(uint16_t));
    conv->column_class = arena_take(arena, (size_t)conv->ow, sizeof(uint16_t));
    if (own.failed || arena->failed) {
        arena_free(&own);
        arena->failed = 1;
        return NULL;
    }
    /* By tables, what lies outside adds nothing in the first place. */
    for (ptrdiff_t i = 0; i < taps * conv->oc && !conv->tables; i++) {
        for (ptrdiff_t j = 0; j < words; j++) ones[i] += popcount32(spec->binary_weight[i * words + j]);
    }
    ptrdiff_t n = number_classes(conv->ih, conv->oh, k->kh, k->sh, k->ph, conv->row_class, rows, rows + conv->oh);
    ptrdiff_t m = number_classes(conv->iw, conv->ow, k->kw, k->sw, k->pw, conv->column_class, columns,
                                 columns + conv->ow);
    conv->column_classes = m;
    const char *error = NULL;
    if (n * m > MAX_CLASS_ENTRIES / padded) {
        error = "its windows meet the border in too many ways";
    } else {
        size_t entries = (size_t)(n * m * padded);
        conv->base = arena_take(arena, entries, sizeof(int32_t));
        if (spec->threshold != NULL) conv->limit = arena_take(arena, entries, sizeof(int32_t));
        for (ptrdiff_t i = 0; i < n * m && !arena->failed; i++) {
            ptrdiff_t r = i / m, c = i % m;
            ptrdiff_t range[4] = {rows[r], rows[conv->oh + r], columns[c], columns[conv->ow + c]};
            int32_t *limit = conv->limit == NULL ? NULL : conv->limit + i * padded;
            fill_class(conv, spec, ones, range, conv->base + i * padded, limit);
            for (ptrdiff_t oc = conv->oc; limit != NULL && oc < padded; oc++) limit[oc] = -1;
        }
    }
    arena_free(&own);
    if (error == NULL && conv->tables && spec->threshold != NULL) make_bounds(conv, n * m, arena);
    return error;
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
    if (conv->swapped && !place_pixels(conv, arena)) return NULL;
    if (!(conv->swapped ? pack_patterns : conv->tables ? pack_tables : pack_weights)(conv, spec, arena)) return NULL;
    conv->scale = float_channels(arena, conv, spec->scale);
    conv->bias = float_channels(arena, conv, spec->bias);
    if (conv->scale == NULL || conv->bias == NULL) return NULL;
    if (is_binary(conv)) return make_classes(conv, spec, arena);
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

/* ---- Preparing a map ---- */

/* Copies rows of words between borders of zero words. */
static void copy_words(const Conv *conv, const uint8_t *source, uint8_t *map) {
    size_t border = (size_t)(conv->window.pw * conv->pixel_bytes), inner = (size_t)(conv->iw * conv->pixel_bytes);
    size_t above = (size_t)(conv->window.ph * conv->row_bytes);
    memset(map, 0, above);
    map += above;
    for (ptrdiff_t y = 0; y < conv->ih; y++) {
        memset(map, 0, border);
        memcpy(map + border, source, inner);
        memset(map + border + inner, 0, border);
        map += conv->row_bytes;
        source += inner;
    }
    memset(map, 0, above);
}

static uint16_t *fill_outside(const Conv *conv, uint16_t *patterns, ptrdiff_t pixels) {
    ptrdiff_t count = pixels * groups_for(conv->ic);
    for (ptrdiff_t i = 0; i < count; i++) patterns[i] = OUTSIDE_PATTERN;
    return patterns + count;
}

/* In ascending order: the kernel may write beyond a row's end. */
static void copy_patterns(const Conv *conv, const uint8_t *source, uint8_t *map) {
    const Window *k = &conv->window;
    ptrdiff_t width = conv->iw + 2 * k->pw;
    uint16_t *to = fill_outside(conv, (uint16_t *)(void *)map, k->ph * width);
    for (ptrdiff_t y = 0; y < conv->ih; y++, source += conv->iw * words_for(conv->ic) * 4) {
        to = fill_outside(conv, to, k->pw);
        conv->kernels->patterns(source, conv->iw, conv->ic, to);
        to = fill_outside(conv, to + conv->iw * groups_for(conv->ic), k->pw);
    }
    to = fill_outside(conv, to, k->ph * width);
    /* What fills up the last window's last triple reads on here. */
    for (int i = 0; i < TRIPLE - 1; i++) to[i] = OUTSIDE_PATTERN;
}

static void fill_zero_points(const Conv *conv, uint8_t *map, ptrdiff_t pixels) {
    for (ptrdiff_t p = 0; p < pixels; p++) {
        for (ptrdiff_t i = 0; i < conv->ic; i++) *map++ = (uint8_t)conv->zero_point[i];
    }
}

static void copy_octets(const Conv *conv, ptrdiff_t source_pixel, const uint8_t *source, uint8_t *map) {
    const Window *k = &conv->window;
    ptrdiff_t width = conv->iw + 2 * k->pw;
    fill_zero_points(conv, map, k->ph * width);
    map += k->ph * conv->row_bytes;
    for (ptrdiff_t y = 0; y < conv->ih; y++) {
        fill_zero_points(conv, map, k->pw);
        map += k->pw * conv->ic;
        if (source_pixel == conv->ic) {
            memcpy(map, source, (size_t)(conv->iw * conv->ic));
        } else {
            for (ptrdiff_t x = 0; x < conv->iw; x++) {
                memcpy(map + x * conv->ic, source + x * source_pixel, (size_t)conv->ic);
            }
        }
        source += conv->iw * source_pixel;
        map += conv->iw * conv->ic;
        fill_zero_points(conv, map, k->pw);
        map += k->pw * conv->ic;
    }
    fill_zero_points(conv, map, k->ph * width);
}

static void copy_shorts(const Conv *conv, ptrdiff_t source_pixel, const uint8_t *source, uint8_t *map) {
    const Window *k = &conv->window;
    memset(map, 0, conv->map_bytes);
    for (ptrdiff_t y = 0; y < conv->ih; y++) {
        int16_t *to = (int16_t *)(void *)(map + (y + k->ph) * conv->row_bytes + k->pw * conv->pixel_bytes);
        for (ptrdiff_t x = 0; x < conv->iw; x++, source += source_pixel) {
            for (ptrdiff_t i = 0; i < conv->ic; i++) *to++ = (int16_t)(source[i] - conv->zero_point[i]);
        }
    }
}

static void copy_floats(const Conv *conv, const float *source, uint8_t *map) {
    const Window *k = &conv->window;
    ptrdiff_t source_pixel = padded_channels(conv->ic);
    memset(map, 0, conv->map_bytes);
    for (ptrdiff_t y = 0; y < conv->ih; y++) {
        float *to = (float *)(void *)(map + (y + k->ph) * conv->row_bytes + k->pw * conv->pixel_bytes);
        for (ptrdiff_t x = 0; x < conv->iw; x++, source += source_pixel, to += conv->ic) {
            memcpy(to, source, (size_t)conv->ic * sizeof(float));
        }
    }
}

static void copy_centred(const Conv *conv, ptrdiff_t source_pixel, const uint8_t *source, uint8_t *map) {
    const Window *k = &conv->window;
    memset(map, 0, conv->map_bytes);
    for (ptrdiff_t y = 0; y < conv->ih; y++) {
        float *to = (float *)(void *)(map + (y + k->ph) * conv->row_bytes + k->pw * conv->pixel_bytes);
        for (ptrdiff_t x = 0; x < conv->iw; x++, source += source_pixel) {
            for (ptrdiff_t i = 0; i < conv->ic; i++) *to++ = (float)(source[i] - conv->zero_point[i]);
        }
    }
}

const uint8_t *conv_prepare(const Conv *conv, const Tensor *in, const uint8_t *source, uint8_t *scratch) {
    switch (conv->map) {
    case MAP_DIRECT:
        return source;
    case MAP_WORDS:
        copy_words(conv, source, scratch);
        break;
    case MAP_PATTERNS:
        copy_patterns(conv, source, scratch);
        break;
    case MAP_U8:
        copy_octets(conv, in->pixel_bytes, source, scratch);
        break;
    case MAP_S16:
        copy_shorts(conv, in->pixel_bytes, source, scratch);
        break;
    case MAP_FLOAT:
        copy_floats(conv, (const float *)(const void *)source, scratch);
        break;
    case MAP_CENTRED:
        copy_centred(conv, in->pixel_bytes, source, scratch);
        break;
    }
    return scratch;
}
