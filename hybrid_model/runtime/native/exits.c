#include "exits.h"

#include <math.h>

/* exp(-800) is 0 in double; -inf would make 0 * -inf of a term of the entropy whose limit is 0. */
#define LOWEST_EXPONENT -800.0

static ptrdiff_t first_greatest(const float *logits, ptrdiff_t classes) {
    ptrdiff_t best = 0;
    for (ptrdiff_t i = 0; i < classes; i++) {
        if (isnan(logits[i])) return i;
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

static double top_two_apart(const double *p, ptrdiff_t classes, double total) {
    double first = -1.0, second = -1.0;
    for (ptrdiff_t i = 0; i < classes; i++) {
        double value = p[i] / total;
        if (value > first) {
            second = first;
            first = value;
        } else if (value > second) {
            second = value;
        }
    }
    return classes < 2 ? first : first - second;
}

Decision exits_score(const ExitRule *rule, const float *logits, ptrdiff_t classes, double *scratch) {
    Decision d = {NAN, NAN, first_greatest(logits, classes)};
    for (ptrdiff_t i = 0; i < classes; i++) {
        if (!isfinite(logits[i])) return d;
    }
    double greatest = logits[d.best], total = 0.0, weighted = 0.0;
    for (ptrdiff_t i = 0; i < classes; i++) {
        double z = ((double)logits[i] - greatest) / rule->temperature;
        if (!(z > LOWEST_EXPONENT)) z = LOWEST_EXPONENT;
        scratch[i] = exp(z);
        total += scratch[i];
        weighted += scratch[i] * z;
    }
    d.confidence = 1.0 / total;
    if (rule->kind == SCORE_ENTROPY) {
        double entropy = log(total) - weighted / total;
        d.score = entropy > 0.0 ? entropy : 0.0;
    } else if (rule->kind == SCORE_MAX_PROBABILITY) {
        d.score = d.confidence;
    } else {
        d.score = top_two_apart(scratch, classes, total);
    }
    return d;
}

int exits_leaves(const ExitRule *rule, double score) {
    return rule->kind == SCORE_ENTROPY ? score < rule->threshold : score > rule->threshold;
}
