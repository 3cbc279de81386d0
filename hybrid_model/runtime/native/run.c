#include "run.h"

#include <math.h>
#include <string.h>

#include "codes.h"
#include "rounding.h"

typedef struct {
    const Plan *plan;
    uint8_t *workspace;
    const uint8_t *sample;
} Run;

static uint8_t *memory_of(const Run *run, ptrdiff_t tensor) {
    return run->workspace + run->plan->tensors[tensor].offset;
}

static float *floats_of(const Run *run, ptrdiff_t tensor) { return (float *)(void *)memory_of(run, tensor); }

/* What a node reads: an 8-bit input lies where the caller has it. */
static const uint8_t *source_of(const Run *run, ptrdiff_t tensor) {
    return run->plan->tensors[tensor].kind == TENSOR_U8 ? run->sample : memory_of(run, tensor);
}

static void normalize_rows(const Run *run, const Node *node, ptrdiff_t y0, ptrdiff_t y1, float *out) {
    const Tensor *in = &run->plan->tensors[node->in];
    ptrdiff_t pixels = (y1 - y0) * in->w, padded = padded_channels(in->c), start = y0 * in->w;
    if (in->kind == TENSOR_U8) {
        const uint8_t *source = run->sample + start * in->c;
        for (ptrdiff_t p = 0; p < pixels; p++, source += in->c, out += padded) {
            for (ptrdiff_t i = 0; i < in->c; i++) out[i] = ((float)source[i] - node->zero_point[i]) * node->scale[i];
            memset(out + in->c, 0, (size_t)(padded - in->c) * sizeof(float));
        }
        return;
    }
    const float *source = floats_of(run, node->in) + start * padded;
    for (ptrdiff_t p = 0; p < pixels; p++, source += padded, out += padded) {
        for (ptrdiff_t i = 0; i < padded; i++) out[i] = (source[i] - node->zero_point[i]) * node->scale[i];
    }
}

static void repeat_rows(const Run *run, const Node *node, ptrdiff_t y0, ptrdiff_t y1, float *out) {
    const Tensor *in = &run->plan->tensors[node->in];
    ptrdiff_t pixels = (y1 - y0) * in->w, padded = padded_channels(in->c), end = node->vectors * LANES;
    ptrdiff_t channels = run->plan->tensors[node->floats >= 0 ? node->floats : node->quantized].c;
    const float *source = floats_of(run, node->in) + y0 * in->w * padded;
    for (ptrdiff_t p = 0; p < pixels; p++, source += padded, out += end) {
        for (ptrdiff_t c = 0; c < channels; c += in->c) memcpy(out + c, source, (size_t)in->c * sizeof(float));
        memset(out + channels, 0, (size_t)(end - channels) * sizeof(float));
    }
}

/* Ors `count` words of a window's row to what is in `out`; pixels of the window lie `count` words apart. */
static void or_words(const uint32_t *in, ptrdiff_t pixels, ptrdiff_t count, uint32_t *out) {
    for (ptrdiff_t j = 0; j < pixels; j++, in += count) {
        for (ptrdiff_t v = 0; v < count; v++) out[v] |= in[v];
    }
}

static void or_rows(const Run *run, const Node *node) {
    const Pool *pool = &node->pool;
    const Window *k = &pool->window;
    const ptrdiff_t count = pool->vectors;
    const uint32_t *in = (const uint32_t *)(const void *)memory_of(run, node->in);
    uint32_t *out = (uint32_t *)(void *)memory_of(run, node->quantized);
    memset(out, 0, (size_t)(node->oh * node->ow * count) * sizeof *out);
    for (ptrdiff_t y = 0; y < node->oh; y++) {
        for (ptrdiff_t i = 0; i < k->kh; i++) {
            const uint32_t *row = in + (y * k->sh + i) * pool->iw * count;
            uint32_t *to = out + y * node->ow * count;
            for (ptrdiff_t x = 0; x < node->ow; x++, row += k->sw * count, to += count) {
                if (count == 1) {
                    or_words(row, k->kw, 1, to);
                } else if (count == 2) {
                    or_words(row, k->kw, 2, to);
                } else if (count == 4) {
                    or_words(row, k->kw, 4, to);
                } else {
                    or_words(row, k->kw, count, to);
                }
            }
        }
    }
}

/* Rows y0 to y1 of the node's head, to `out`. */
static void head_rows(const Run *run, const Node *node, const uint8_t *map, ptrdiff_t y0, ptrdiff_t y1, float *out) {
    const Kernels *kernels = run->plan->kernels;
    switch (node->head) {
    case HEAD_CONV:
        kernels->conv_rows(&node->conv, map, y0, y1, out, NULL);
        break;
    case HEAD_AVERAGE:
        kernels->average_rows(&node->pool, floats_of(run, node->in), y0, y1, out);
        break;
    case HEAD_GREATEST:
        kernels->greatest_rows(&node->pool, floats_of(run, node->in), y0, y1, out);
        break;
    case HEAD_NORMALIZE:
        normalize_rows(run, node, y0, y1, out);
        break;
    case HEAD_REPEAT:
        repeat_rows(run, node, y0, y1, out);
        break;
    case HEAD_LOAD:
    case HEAD_ANY_BIT:
        break;
    }
}

static void tail_rows(const Run *run, const Node *node, const float *source, ptrdiff_t y0, ptrdiff_t y1) {
    const Plan *plan = run->plan;
    ptrdiff_t first = y0 * node->ow, padded = node->vectors * LANES;
    TailRows rows = {.pixels = (y1 - y0) * node->ow, .vectors = node->vectors, .source = source};
    if (node->residual >= 0) {
        rows.residual_vectors = padded_channels(plan->tensors[node->residual].c) / LANES;
        rows.residual = floats_of(run, node->residual) + first * rows.residual_vectors * LANES;
    }
    if (node->floats >= 0) rows.store = floats_of(run, node->floats) + first * padded;
    if (node->quantized >= 0) {
        const Tensor *t = &plan->tensors[node->quantized];
        uint8_t *memory = memory_of(run, node->quantized) + first * t->pixel_bytes;
        if (held_as_bits(t)) {
            rows.bits = (uint16_t *)(void *)memory;
        } else {
            rows.levels = memory;
        }
    }
    plan->kernels->tail(&node->tail, &rows);
}

static void run_node(const Run *run, const Node *node) {
    const Plan *plan = run->plan;
    const uint8_t *map = NULL;
    if (node->head == HEAD_ANY_BIT) {
        or_rows(run, node);
        return;
    }
    if (node->head == HEAD_CONV) {
        map = conv_prepare(&node->conv, &plan->tensors[node->in], source_of(run, node->in),
                           run->workspace + plan->map_offset);
        if (node->conv.tables) {
            uint8_t *sums = run->workspace + plan->sums_offset;
            plan->kernels->conv_sums(&node->conv, map, sums);
            map = sums;
        }
        if (conv_makes_bits(&node->conv)) {
            uint16_t *bits = (uint16_t *)(void *)memory_of(run, node->quantized);
            plan->kernels->conv_rows(&node->conv, map, 0, node->oh, NULL, bits);
            return;
        }
    }
    ptrdiff_t row = node->ow * node->vectors * LANES;
    for (ptrdiff_t y = 0; y < node->oh; y += node->block_rows) {
        ptrdiff_t end = y + node->block_rows < node->oh ? y + node->block_rows : node->oh;
        float *block;
        if (node->head == HEAD_LOAD) {
            block = floats_of(run, node->in) + y * row;
        } else if (node->floats >= 0) {
            block = floats_of(run, node->floats) + y * row;
        } else {
            block = (float *)(void *)(run->workspace + plan->block_offset);
        }
        head_rows(run, node, map, y, end, block);
        if (node->has_tail) tail_rows(run, node, block, y, end);
    }
}

/* Takes a float sample in; 0 if a value is not finite. */
static int load_floats(const Run *run) {
    const Tensor *in = &run->plan->tensors[0];
    ptrdiff_t pixels = in->h * in->w, padded = padded_channels(in->c);
    float *to = floats_of(run, 0);
    const uint8_t *from = run->sample;
    int finite = 1;
    for (ptrdiff_t p = 0; p < pixels; p++, from += in->c * 4, to += padded) {
        memcpy(to, from, (size_t)in->c * sizeof(float));
        for (ptrdiff_t i = in->c; i < padded; i++) to[i] = 0.0f;
        for (ptrdiff_t i = 0; i < in->c; i++) finite &= isfinite(to[i]) != 0;
    }
    return finite;
}

static void clear_results(const Plan *plan, const Batch *b, ptrdiff_t n) {
    b->exit_index[n] = -1;
    b->at_cut[n] = 0;
    for (ptrdiff_t e = n * plan->exit_count; e < (n + 1) * plan->exit_count; e++) {
        b->scores[e] = NAN;
        b->exit_classes[e] = -1;
        for (ptrdiff_t k = 0; b->logits != NULL && k < plan->classes; k++) b->logits[e * plan->classes + k] = NAN;
        if (b->distances != NULL) b->distances[e] = NAN;
        if (b->exit_in_domain != NULL) b->exit_in_domain[e] = 0;
    }
    for (ptrdiff_t s = n * plan->sum_count; b->sums != NULL && s < (n + 1) * plan->sum_count; s++) b->sums[s] = 0;
}

/* Does the guard of exit `e` take the sample in? Notes what it found. */
static int in_domain(const Run *run, const Batch *b, ptrdiff_t n, ptrdiff_t e, const Decision *d, int may_leave) {
    const Plan *plan = run->plan;
    const Guard *guard = &plan->guards[e];
    float distance = 0.0f;
    int inside = 1;
    if (guard->source >= 0) {
        uint32_t *scratch = (uint32_t *)(void *)(run->workspace + plan->guard_offset);
        distance = guard_distance(guard, plan->kernels, &plan->tensors[guard->source], memory_of(run, guard->source),
                                  d->best, scratch);
        if (isnan(d->score)) distance = NAN;
        inside = may_leave && (double)distance <= b->rules[e].limit;
        if (b->sums != NULL) {
            int32_t *sums = b->sums + n * plan->sum_count + guard->first_sum;
            memcpy(sums, scratch, (size_t)guard->channels * sizeof *sums);
        }
    }
    if (b->distances != NULL) b->distances[n * plan->exit_count + e] = distance;
    if (b->exit_in_domain != NULL) b->exit_in_domain[n * plan->exit_count + e] = (uint8_t)inside;
    return inside;
}

/* Notes the answer of exit `e`; 1 if the sample leaves here. */
static int decide(const Run *run, const Batch *b, ptrdiff_t n, ptrdiff_t e, int may_leave) {
    const Plan *plan = run->plan;
    const float *logits = floats_of(run, plan->exit_tensor[e]);
    double *scratch = (double *)(void *)(run->workspace + plan->decision_offset);
    Decision d = exits_score(&b->rules[e], logits, plan->classes, scratch);
    ptrdiff_t at = n * plan->exit_count + e;
    if (b->logits != NULL) memcpy(b->logits + at * plan->classes, logits, (size_t)plan->classes * sizeof(float));
    b->scores[at] = d.score;
    b->exit_classes[at] = (int32_t)d.best;
    int passes = may_leave && exits_leaves(&b->rules[e], d.score), left = b->exit_index[n] >= 0;
    /* Of a sample that rises the last exit's guard tells; an earlier one is asked only where it matters. */
    int asked = (!left && (passes || e == plan->exit_count - 1)) || b->distances != NULL ||
                b->exit_in_domain != NULL || b->sums != NULL;
    int inside = asked && in_domain(run, b, n, e, &d, may_leave);
    if (left) return 0;
    b->class_index[n] = (int32_t)d.best;
    b->confidence[n] = isnan(d.confidence) ? 0.0f : (float)d.confidence;
    b->in_domain[n] = (uint8_t)inside;
    if (!passes || (b->guard && !inside)) return 0;
    b->exit_index[n] = (int8_t)e;
    return 1;
}

static void run_sample(const Run *run, const Batch *b, ptrdiff_t n) {
    const Plan *plan = run->plan;
    int may_leave = b->may_leave == NULL || b->may_leave[n];
    clear_results(plan, b, n);
    if (plan->tensors[0].kind == TENSOR_FLOAT) may_leave &= load_floats(run);
    ptrdiff_t node = 0;
    for (ptrdiff_t stage = 0; stage <= plan->exit_count; stage++) {
        for (; node < plan->stage_end[stage]; node++) run_node(run, &plan->nodes[node]);
        if (stage < plan->exit_count && decide(run, b, n, stage, may_leave) && !b->to_cut) return;
    }
    const Tensor *cut = &plan->tensors[plan->cut_tensor];
    const uint8_t *held = memory_of(run, plan->cut_tensor);
    b->at_cut[n] = 1;
    if (b->codes != NULL) codes_spread(cut, held, b->codes + (size_t)n * plan->cut_codes);
    if (b->features != NULL) codes_pack(cut, held, b->features + (size_t)n * plan->feature_bytes);
}

void run_batch(const Plan *plan, const Batch *b, uint8_t *workspace) {
    RoundingMode before = rounding_exact();
    Run run = {plan, workspace, b->input};
    for (ptrdiff_t n = 0; n < b->count; n++, run.sample += plan->input_bytes) run_sample(&run, b, n);
    rounding_restore(before);
}
