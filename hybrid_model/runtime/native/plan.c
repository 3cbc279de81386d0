#include "plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "lowering.h"
#include "workspace.h"

static int take_guards(Plan *plan, const Graph *g) {
    for (ptrdiff_t e = 0; e < g->exit_count; e++) {
        const GuardSpec *spec = &g->guards[e];
        Guard *guard = &plan->guards[e];
        *guard = (Guard){.source = (ptrdiff_t)spec->source, .first_sum = plan->sum_count};
        if (guard->source < 0) continue;
        guard->channels = plan->tensors[guard->source].c;
        guard->directions = (ptrdiff_t)spec->directions;
        plan->sum_count += guard->channels;
        if (!guard_pack(guard, spec->weight.data, spec->scale.data, spec->mean.data, plan->classes, &plan->arena)) {
            return 0;
        }
    }
    return 1;
}

static int build(Plan *plan, const Graph *g, char *error) {
    Arena *arena = &plan->arena;
    size_t buffers = (size_t)g->buffer_count, steps = (size_t)g->step_count, exits = (size_t)g->exit_count;
    plan->tensors = arena_take(arena, buffers, sizeof(Tensor));
    plan->nodes = arena_take(arena, steps, sizeof(Node));
    plan->stage_end = arena_take(arena, exits + 1, sizeof(ptrdiff_t));
    plan->exit_tensor = arena_take(arena, exits, sizeof(ptrdiff_t));
    plan->guards = arena_take(arena, exits, sizeof(Guard));
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
    if (!take_guards(plan, g) || !lower(plan, g, error)) return 0;
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
