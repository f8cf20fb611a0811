/* SPDX-License-Identifier: Apache-2.0 */
/* Replays training runs that another framework recorded: replay FOLDER. In it: model.onnx with the initial weights,
 * batches.npz, meta.json with the settings of each optimizer, OPT.losses_f64.npy with the loss of every step, grads0.npz
 * with the gradients of the first batch. */
#include <cjson/cJSON.h>
#include <math.h>
#include <norn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;
static norn_session *session;
static norn_tensor *x, *y;
static int64_t batch;
static int failures;

static void stop(const char *what) {
    fprintf(stderr, "replay: %s: %s\n", what, norn_error());
    exit(1);
}

static const char *file(const char *name) {
    static char path[1000];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static norn_tensor *rows(const norn_tensor *t, int64_t step) {
    norn_tensor *part;
    if (norn_tensor_slice(t, 0, step * batch, (step + 1) * batch, &part) != NORN_OK)
        stop("batch");
    return part;
}

static cJSON *read_meta(void) {
    FILE *f = fopen(file("meta.json"), "rb");
    char *text = calloc(1, 1 << 20);
    size_t n = f && text ? fread(text, 1, (1 << 20) - 1, f) : 0;
    cJSON *j = n ? cJSON_Parse(text) : NULL;
    if (!j || fclose(f)) {
        fprintf(stderr, "replay: %s: no JSON\n", file("meta.json"));
        exit(1);
    }
    free(text);
    return j;
}

static double number(const cJSON *args, const char *key, double otherwise) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(args, key);
    return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

static norn_optimizer settings(const cJSON *of) {
    static const struct {
        const char *name;
        norn_optimizer_kind kind;
    } kinds[] = {{"SGD", NORN_SGD},
                 {"Adam", NORN_ADAM},
                 {"AdamW", NORN_ADAMW},
                 {"RMSprop", NORN_RMSPROP},
                 {"Adagrad", NORN_ADAGRAD}};
    const char *cls = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(of, "cls"));
    const cJSON *args = cJSON_GetObjectItemCaseSensitive(of, "args"),
                *betas = cJSON_GetObjectItemCaseSensitive(args, "betas");
    norn_optimizer o;
    size_t i = 0;
    while (i < sizeof kinds / sizeof *kinds && strcmp(kinds[i].name, cls ? cls : ""))
        i++;
    if (i == sizeof kinds / sizeof *kinds) {
        fprintf(stderr, "replay: meta.json: what is the optimizer '%s'?\n", cls ? cls : "");
        exit(1);
    }
    norn_optimizer_init(&o, kinds[i].kind);
    o.lr = number(args, "lr", o.lr);
    o.momentum = number(args, "momentum", o.momentum);
    o.dampening = number(args, "dampening", o.dampening);
    o.weight_decay = number(args, "weight_decay", o.weight_decay);
    o.alpha = number(args, "alpha", o.alpha);
    o.eps = number(args, "eps", o.eps);
    if (betas) {
        o.beta1 = cJSON_GetArrayItem(betas, 0)->valuedouble;
        o.beta2 = cJSON_GetArrayItem(betas, 1)->valuedouble;
    }
    o.nesterov = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "nesterov"));
    o.amsgrad = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "amsgrad"));
    o.centered = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(args, "centered"));
    return o;
}

static norn_trainer *trainer(norn_model **m, const norn_optimizer *o) {
    norn_train_options options;
    norn_trainer *t = NULL;
    norn_train_options_init(&options);
    options.optimizer = *o;
    if (norn_model_load(file("model.onnx"), NULL, m) != NORN_OK ||
        norn_trainer_new(session, *m, &options, &t) != NORN_OK)
        stop("model");
    return t;
}

/* The steps whose loss does not depend on rounding must agree. */
static void replay(const char *name, const cJSON *of) {
    char losses[200];
    norn_tensor *want;
    norn_model *m;
    norn_optimizer o = settings(of);
    snprintf(losses, sizeof losses, "%s.losses_f64.npy", name);
    if (norn_tensor_load(file(losses), &want) != NORN_OK)
        stop("losses");
    int64_t steps = (int64_t)number(of, "leading_steps_where_f32_and_f64_agree_to_1e-5", 0);
    norn_trainer *t = trainer(&m, &o);
    double worst = 0;
    int64_t bad = -1;
    for (int64_t s = 0; s < steps; s++) {
        norn_tensor *bx = rows(x, s), *by = rows(y, s);
        norn_train_result r;
        if (norn_trainer_step(t, bx, by, &r) != NORN_OK)
            stop(name);
        double w = norn_tensor_get(want, s), d = fabs(r.loss - w) / (1e-4 + 1e-4 * fabs(w));
        if (!(d <= 1) && bad < 0)
            bad = s;
        worst = d > worst || isnan(d) ? d : worst;
        norn_tensor_free(bx);
        norn_tensor_free(by);
    }
    printf("%s %s: %lld steps, largest difference %.3g of the tolerance\n", bad < 0 ? "ok  " : "FAIL", name,
           (long long)steps, worst);
    if (bad >= 0) {
        printf("     from step %lld on\n", (long long)bad);
        failures++;
    }
    norn_trainer_free(t);
    norn_model_free(m);
    norn_tensor_free(want);
}

static void gradients(void) {
    norn_archive *npz;
    norn_model *m;
    norn_optimizer o;
    norn_optimizer_init(&o, NORN_SGD);
    norn_trainer *t = trainer(&m, &o);
    size_t n = norn_trainer_parameter_count(t), found = 0;
    norn_tensor **got = calloc(n, sizeof *got), *bx = rows(x, 0), *by = rows(y, 0), *want;
    if (!got || norn_archive_open(file("grads0.npz"), &npz) != NORN_OK ||
        norn_trainer_gradients(t, bx, by, got) != NORN_OK)
        stop("gradients");
    for (size_t i = 0; i < n; i++) {
        norn_parameter_info p;
        norn_trainer_parameter_at(t, i, &p);
        if (!got[i] || !norn_archive_has(npz, p.name))
            continue;
        if (norn_archive_load(npz, p.name, &want) != NORN_OK)
            stop(p.name);
        int64_t bad = norn_tensor_elems(want) != p.elems;
        for (int64_t k = 0; !bad && k < p.elems; k++) {
            double w = norn_tensor_get(want, k);
            bad += !(fabs(norn_tensor_get(got[i], k) - w) <= 1e-6 + 1e-4 * fabs(w));
        }
        if (bad) {
            printf("FAIL gradient of %s: %lld of %lld elements\n", p.name, (long long)bad,
                   (long long)p.elems);
            failures++;
        }
        found++;
        norn_tensor_free(want);
        norn_tensor_free(got[i]);
    }
    printf("gradients: %zu of %zu compared\n", found, norn_archive_count(npz));
    failures += found != norn_archive_count(npz);
    free(got);
    norn_tensor_free(bx);
    norn_tensor_free(by);
    norn_archive_close(npz);
    norn_trainer_free(t);
    norn_model_free(m);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: replay FOLDER\n");
        return 2;
    }
    folder = argv[1];
    norn_archive *npz;
    cJSON *meta = read_meta();
    const cJSON *of;
    batch = (int64_t)number(meta, "batch", 1);
    if (norn_session_open(NULL, &session) != NORN_OK ||
        norn_archive_open(file("batches.npz"), &npz) != NORN_OK ||
        norn_archive_load(npz, "x", &x) != NORN_OK || norn_archive_load(npz, "y", &y) != NORN_OK)
        stop("data");
    gradients();
    cJSON_ArrayForEach(of, cJSON_GetObjectItemCaseSensitive(meta, "optimizers")) replay(of->string, of);
    norn_archive_close(npz);
    norn_tensor_free(x);
    norn_tensor_free(y);
    norn_session_close(session);
    cJSON_Delete(meta);
    return failures > 0;
}
