#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define MAX_WORKSPACE_BYTES ((size_t)1 << 30)
/* Rows of a float map at a time: they stay in the first-level cache from head to tail. */
#define BLOCK_BYTES 24576

/* What is known while steps become nodes. */
typedef struct {
    const Graph *graph;
    Plan *plan;
    ptrdiff_t *readers; /* of each tensor, steps and exits */
    uint8_t *lowered;   /* of each step */
    uint8_t *made;      /* of each tensor */
} Lowering;

static float *padded_floats(Plan *plan, const Bytes *param, ptrdiff_t channels, float fill) {
    size_t padded = (size_t)padded_channels(channels);
    float *values = arena_take(&plan->arena, padded, sizeof(float));
    if (values == NULL) return NULL;
    memcpy(values, param->data, (size_t)channels * sizeof(float));
    for (size_t i = (size_t)channels; i < padded; i++) values[i] = fill;
    return values;
}

/* ---- Heads ---- */

static Window window_of(const Step *s) {
    return (Window){(ptrdiff_t)s->window[0], (ptrdiff_t)s->window[1], (ptrdiff_t)s->window[2],
                    (ptrdiff_t)s->window[3], (ptrdiff_t)s->window[4], (ptrdiff_t)s->window[5]};
}

static const char *lower_convolution(Plan *plan, Node *node, const Step *s) {
    ConvSpec spec = {.window = window_of(s), .in = plan->tensors[s->in[0]], .out = plan->tensors[s->out]};
    const void *p[MAX_PARAMS];
    for (int i = 0; i < MAX_PARAMS; i++) p[i] = s->param[i].data;
    switch (s->operation) {
    case OP_CONV_INT8:
        spec.whole_weight = p[0], spec.zero_point = p[1], spec.scale = p[2], spec.bias = p[3];
        break;
    case OP_CONV_KBIT:
        spec.whole_weight = p[0], spec.scale = p[1], spec.bias = p[2];
        break;
    case OP_CONV_BINARY:
        spec.binary_weight = p[0];
        if (spec.out.kind == TENSOR_BITS) {
            spec.threshold = p[1];
        } else {
            spec.scale = p[1], spec.bias = p[2];
        }
        break;
    case OP_LINEAR:
        spec.window = (Window){spec.in.h, spec.in.w, 1, 1, 0, 0};
        spec.float_weight = p[0], spec.bias = p[1];
        break;
    default:
        spec.float_weight = p[0], spec.bias = p[1];
    }
    node->head = HEAD_CONV;
    return conv_build(&node->conv, &spec, plan->kernels, &plan->arena);
}

static void lower_pool(Plan *plan, Node *node, const Step *s) {
    const Tensor *in = &plan->tensors[s->in[0]];
    int bits = in->kind == TENSOR_BITS;
    node->head = bits ? HEAD_ANY_BIT : s->operation == OP_AVG_POOL ? HEAD_AVERAGE : HEAD_GREATEST;
    node->pool = (Pool){
        .window = window_of(s),
        .iw = in->w,
        .ow = plan->tensors[s->out].w,
        .vectors = bits ? words_for(in->c) : padded_channels(in->c) / LANES,
        .factor = (float)(1.0 / ((double)s->window[0] * (double)s->window[1])),
    };
}

/* ---- Tails ---- */

static void take_quantizer(Plan *plan, Node *node, const Step *s) {
    const Tensor *out = &plan->tensors[s->out];
    node->quantized = (ptrdiff_t)s->out;
    if (held_as_bits(out)) {
        node->tail.quant = QUANT_BITS;
        /* Padding channels hold zeros: no bit of theirs is ever set. */
        node->tail.threshold = padded_floats(plan, &s->param[0], out->c, 1.0f);
    } else {
        node->tail.quant = QUANT_LEVELS;
        node->tail.gain = (float)s->gain;
        node->tail.top = (float)((1 << out->bits) - 1);
    }
}

static void take_activation(Plan *plan, Node *node, const Step *s) {
    ptrdiff_t channels = plan->tensors[s->out].c;
    node->tail.act = s->operation == OP_RELU ? ACT_RELU : ACT_RPRELU;
    if (s->operation == OP_RELU) return;
    node->tail.shift_in = padded_floats(plan, &s->param[0], channels, 0.0f);
    node->tail.slope = padded_floats(plan, &s->param[1], channels, 0.0f);
    node->tail.shift_out = padded_floats(plan, &s->param[2], channels, 0.0f);
}

/* The first step behind `from` in the same stage that reads `tensor` and is not lowered yet; NULL where none does. */
static const Step *next_reader(const Lowering *l, ptrdiff_t from, ptrdiff_t tensor, int quantizers_only) {
    int64_t stage = l->graph->steps[from].stage;
    for (ptrdiff_t i = from + 1; i < l->graph->step_count && l->graph->steps[i].stage == stage; i++) {
        const Step *s = &l->graph->steps[i];
        int quantizer = s->operation == OP_BINARIZE || s->operation == OP_QUANTIZE || s->operation == OP_CUT;
        if (l->lowered[i] || (quantizers_only && !quantizer)) continue;
        if (s->in[0] == tensor || (s->operation == OP_ADD && s->in[1] == tensor)) return s;
    }
    return NULL;
}

static void mark_lowered(Lowering *l, const Step *s) { l->lowered[s - l->graph->steps] = 1; }

/* Takes the pointwise steps behind a float map into the node that makes it, as far as nobody else reads between. */
static void grow_tail(Lowering *l, Node *node, ptrdiff_t step, ptrdiff_t current) {
    Plan *plan = l->plan;
    const Step *s = l->readers[current] == 1 ? next_reader(l, step, current, 0) : NULL;
    if (s != NULL && s->operation == OP_ADD && node->residual < 0 && node->tail.act == ACT_NONE) {
        ptrdiff_t other = (ptrdiff_t)(s->in[0] == current ? s->in[1] : s->in[0]);
        if (l->made[other]) {
            node->residual = other;
            current = (ptrdiff_t)s->out;
            mark_lowered(l, s);
            s = l->readers[current] == 1 ? next_reader(l, step, current, 0) : NULL;
        }
    }
    if (s != NULL && (s->operation == OP_RELU || s->operation == OP_RPRELU) && node->tail.act == ACT_NONE) {
        take_activation(plan, node, s);
        current = (ptrdiff_t)s->out;
        mark_lowered(l, s);
    }
    s = next_reader(l, step, current, 1);
    if (s != NULL) {
        take_quantizer(plan, node, s);
        mark_lowered(l, s);
    }
    if (s == NULL || l->readers[current] > 1) node->floats = current;
}

static const char *lower_step(Lowering *l, ptrdiff_t i, Node *node) {
    Plan *plan = l->plan;
    const Step *s = &l->graph->steps[i];
    const char *error = NULL;
    *node = (Node){.in = (ptrdiff_t)s->in[0], .stage = (ptrdiff_t)s->stage};
    node->residual = node->floats = node->quantized = -1;
    mark_lowered(l, s);
    ptrdiff_t out = (ptrdiff_t)s->out;
    switch (s->operation) {
    case OP_CONV_INT8:
    case OP_CONV_FLOAT:
    case OP_CONV_BINARY:
    case OP_CONV_KBIT:
    case OP_LINEAR:
        error = lower_convolution(plan, node, s);
        break;
    case OP_AVG_POOL:
    case OP_MAX_POOL:
        lower_pool(plan, node, s);
        break;
    case OP_NORMALIZE:
        node->head = HEAD_NORMALIZE;
        node->zero_point = padded_floats(plan, &s->param[0], plan->tensors[out].c, 0.0f);
        node->scale = padded_floats(plan, &s->param[1], plan->tensors[out].c, 0.0f);
        break;
    case OP_ADD:
        node->residual = (ptrdiff_t)s->in[1];
        break;
    case OP_RELU:
    case OP_RPRELU:
        take_activation(plan, node, s);
        break;
    default:
        take_quantizer(plan, node, s);
    }
    if (error != NULL || plan->arena.failed) return error;
    const Tensor *made = &plan->tensors[out];
    if (made->kind == TENSOR_FLOAT) {
        grow_tail(l, node, i, out);
    } else if (made->kind == TENSOR_LOGITS) {
        node->floats = out;
    } else {
        node->quantized = out;
    }
    int bits_alone = node->floats < 0 && node->residual < 0 && node->tail.act == ACT_NONE;
    if (node->head == HEAD_CONV && bits_alone && node->tail.quant == QUANT_BITS && !plan->arena.failed &&
        conv_take_threshold(&node->conv, node->tail.threshold, &plan->arena)) {
        node->tail.quant = QUANT_NONE;
    }
    node->has_tail = node->residual >= 0 || node->tail.act != ACT_NONE || node->tail.quant != QUANT_NONE;
    if (node->floats >= 0) l->made[node->floats] = 1;
    if (node->quantized >= 0) l->made[node->quantized] = 1;
    return NULL;
}

static void choose_rows(const Plan *plan, Node *node) {
    const Tensor *out = &plan->tensors[node->floats >= 0 ? node->floats : node->quantized];
    node->oh = out->h, node->ow = out->w;
    node->vectors = padded_channels(out->c) / LANES;
    size_t row_bytes = (size_t)(node->ow * node->vectors) * LANES * sizeof(float);
    size_t rows = row_bytes >= BLOCK_BYTES ? 1 : BLOCK_BYTES / row_bytes;
    node->block_rows = !node->has_tail || rows > (size_t)node->oh ? node->oh : (ptrdiff_t)rows;
    int needs_block = node->has_tail && node->floats < 0 && node->head != HEAD_LOAD;
    node->block_bytes = needs_block ? row_bytes * (size_t)node->block_rows : 0;
}

/* ---- Memory ---- */

static void needed_at(Plan *plan, ptrdiff_t tensor, ptrdiff_t node) {
    if (tensor < 0) return;
    Tensor *t = &plan->tensors[tensor];
    if (t->first_node < 0) t->first_node = node;
    if (t->last_node < node) t->last_node = node;
}

static void find_lifetimes(Plan *plan) {
    for (ptrdiff_t t = 0; t < plan->tensor_count; t++) plan->tensors[t].first_node = plan->tensors[t].last_node = -1;
    if (plan->tensors[0].kind == TENSOR_FLOAT) needed_at(plan, 0, 0);
    ptrdiff_t first = 0;
    for (ptrdiff_t stage = 0; stage <= plan->exit_count; stage++) {
        for (ptrdiff_t n = first; n < plan->stage_end[stage]; n++) {
            const Node *node = &plan->nodes[n];
            needed_at(plan, node->floats, n);
            needed_at(plan, node->quantized, n);
            needed_at(plan, node->residual, n);
            needed_at(plan, node->in, n);
        }
        first = plan->stage_end[stage];
        /* Logits are read when every node of their stage has run. */
        if (stage < plan->exit_count) needed_at(plan, plan->exit_tensor[stage], first);
    }
    needed_at(plan, plan->cut_tensor, plan->node_count);
    if (plan->tensors[0].kind == TENSOR_U8) plan->tensors[0].first_node = -1; /* read where the caller has it */
}

static int overlap(const Tensor *a, const Tensor *b) {
    return a->first_node <= b->last_node && b->first_node <= a->last_node;
}

static size_t rounded(size_t bytes) { return (bytes + 127) / 64 * 64; }

/* The lowest place for tensor `t` that no earlier tensor with an overlapping life takes. */
static void place(Plan *plan, ptrdiff_t t) {
    Tensor *tensor = &plan->tensors[t];
    size_t offset = 0;
    for (int moved = 1; moved;) {
        moved = 0;
        for (ptrdiff_t i = 0; i < t; i++) {
            const Tensor *other = &plan->tensors[i];
            if (other->first_node < 0 || !overlap(tensor, other)) continue;
            if (offset < other->offset + rounded(other->bytes) && other->offset < offset + rounded(tensor->bytes)) {
                offset = other->offset + rounded(other->bytes);
                moved = 1;
            }
        }
    }
    tensor->offset = offset;
    if (plan->workspace_bytes < offset + rounded(tensor->bytes)) {
        plan->workspace_bytes = offset + rounded(tensor->bytes);
    }
}

static const char *lay_out_workspace(Plan *plan) {
    find_lifetimes(plan);
    for (ptrdiff_t t = 0; t < plan->tensor_count; t++) {
        if (plan->tensors[t].first_node >= 0) place(plan, t);
    }
    size_t block = 0, map = 0, sums = 0;
    for (ptrdiff_t n = 0; n < plan->node_count; n++) {
        const Node *node = &plan->nodes[n];
        if (block < node->block_bytes) block = node->block_bytes;
        if (map < node->conv.map_bytes) map = node->conv.map_bytes;
        if (sums < node->conv.sums_bytes) sums = node->conv.sums_bytes;
    }
    plan->block_offset = plan->workspace_bytes;
    plan->map_offset = plan->block_offset + rounded(block);
    plan->sums_offset = plan->map_offset + rounded(map);
    plan->decision_offset = plan->sums_offset + rounded(sums);
    plan->workspace_bytes = plan->decision_offset + rounded((size_t)plan->classes * sizeof(double));
    return plan->workspace_bytes > MAX_WORKSPACE_BYTES ? "its activations take too much memory" : NULL;
}

/* ---- All of it ---- */

static void count_readers(const Graph *g, ptrdiff_t *readers) {
    for (ptrdiff_t i = 0; i < g->step_count; i++) {
        readers[g->steps[i].in[0]]++;
        if (g->steps[i].operation == OP_ADD) readers[g->steps[i].in[1]]++;
    }
    for (ptrdiff_t e = 0; e < g->exit_count; e++) readers[g->exit_buffers[e]]++;
    readers[g->cut_buffer]++;
}

static int lower(Plan *plan, const Graph *g, char *error) {
    Arena own = {0};
    Lowering l = {.graph = g, .plan = plan};
    l.readers = arena_take(&own, (size_t)g->buffer_count, sizeof *l.readers);
    l.lowered = arena_take(&own, (size_t)g->step_count, 1);
    l.made = arena_take(&own, (size_t)g->buffer_count, 1);
    int done = 0;
    if (own.failed) goto end;
    count_readers(g, l.readers);
    l.made[0] = 1;
    for (ptrdiff_t i = 0; i < g->step_count; i++) {
        if (l.lowered[i]) continue;
        Node *node = &plan->nodes[plan->node_count];
        const char *reason = lower_step(&l, i, node);
        if (reason != NULL) snprintf(error, PLAN_ERROR_BYTES, "step %td cannot be run: %s", i, reason);
        if (reason != NULL || plan->arena.failed) goto end;
        choose_rows(plan, node);
        plan->node_count++;
        for (ptrdiff_t stage = node->stage; stage <= plan->exit_count; stage++) {
            plan->stage_end[stage] = plan->node_count;
        }
    }
    done = 1;
end:
    arena_free(&own);
    return done;
}

static int build(Plan *plan, const Graph *g, char *error) {
    Arena *arena = &plan->arena;
    size_t buffers = (size_t)g->buffer_count, steps = (size_t)g->step_count, exits = (size_t)g->exit_count;
    plan->tensors = arena_take(arena, buffers, sizeof(Tensor));
    plan->nodes = arena_take(arena, steps, sizeof(Node));
    plan->stage_end = arena_take(arena, exits + 1, sizeof(ptrdiff_t));
    plan->exit_tensor = arena_take(arena, exits, sizeof(ptrdiff_t));
    if (arena->failed || !check_graph(g, plan->tensors, error)) return 0;
    plan->tensor_count = g->buffer_count;
    plan->exit_count = g->exit_count;
    plan->cut_tensor = (ptrdiff_t)g->cut_buffer;
    for (ptrdiff_t e = 0; e < g->exit_count; e++) plan->exit_tensor[e] = (ptrdiff_t)g->exit_buffers[e];
    plan->classes = plan->tensors[plan->exit_tensor[0]].c;
    const Tensor *in = &plan->tensors[0], *cut = &plan->tensors[plan->cut_tensor];
    plan->input_bytes = (size_t)(in->h * in->w * in->c) * (in->kind == TENSOR_U8 ? 1 : sizeof(float));
    plan->cut_codes = (size_t)(cut->h * cut->w * cut->c);
    plan->feature_bytes = (plan->cut_codes * (size_t)cut->bits + 7) / 8;
    if (!lower(plan, g, error)) return 0;
    const char *reason = lay_out_workspace(plan);
    if (reason != NULL) snprintf(error, PLAN_ERROR_BYTES, "%s", reason);
    return reason == NULL;
}

Plan *plan_build(const Graph *g, const Kernels *kernels, char error[PLAN_ERROR_BYTES]) {
    error[0] = '\0';
    Plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL) return NULL;
    plan->kernels = kernels;
    if (!build(plan, g, error)) {
        plan_free(plan);
        return NULL;
    }
    return plan;
}

void plan_free(Plan *plan) {
    if (plan == NULL) return;
    arena_free(&plan->arena);
    free(plan);
}
