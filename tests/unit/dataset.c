/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

static const char *spec_of(const char *name, const char *split) {
    static char spec[600];
    snprintf(spec, sizeof spec, "%s%s%s", data_path(name), split ? ":" : "", split ? split : "");
    return spec;
}

static norn_dataset *open_set(const char *name, const char *split, const norn_dataset_options *o) {
    norn_dataset *ds;
    WORKS(norn_dataset_open(spec_of(name, split), o, &ds));
    return ds;
}

static norn_status try_set(const char *name, const char *split, const norn_dataset_options *o) {
    norn_dataset *ds = (norn_dataset *)"";
    norn_status s = norn_dataset_open(spec_of(name, split), o, &ds);
    assert_true((s == NORN_OK) == (ds != NULL));
    norn_dataset_close(ds);
    return s;
}

/* Sample i as doubles. */
static void assert_sample(const norn_dataset *ds, int64_t i, int64_t n, const double *x, double y) {
    norn_tensor *tx, *ty;
    WORKS(norn_dataset_batch(ds, &i, 1, &tx, &ty));
    assert_int_equal(tx->dtype, norn_dataset_dtype(ds));
    assert_int_equal(ty->dtype, norn_dataset_label_dtype(ds));
    assert_int_equal(norni_tensor_elems(tx), n);
    for (int64_t k = 0; k < n; k++)
        if (norni_get_double(tx->dtype, norni_tensor_data(tx), k) != x[k])
            fail_msg("sample %d, element %d: %.9g (wanted %.9g)", (int)i, (int)k,
                     norni_get_double(tx->dtype, norni_tensor_data(tx), k), x[k]);
    assert_true(norni_get_double(ty->dtype, norni_tensor_data(ty), 0) == y);
    norn_tensor_free(tx);
    norn_tensor_free(ty);
}

/* Sample 5 of the archives in tests/data/sets is 20, 21, 22, 23 with the label 2. */
static void scales_by_the_rule(void **state) {
    norn_dataset_options sixteenth = {.scale = 0.0625};
    static const struct {
        const char *file;
        bool scaled;
        norn_dtype dtype, label;
        double factor, y;
    } c[] = {
        {"uint8", false, NORN_F32, NORN_I64, 0, 2},        {"uint8", true, NORN_F32, NORN_I64, 0.0625, 2},
        {"scaled", false, NORN_F32, NORN_I64, 0.0625, 2},  {"float64", false, NORN_F32, NORN_I64, 0.5, 2},
        {"float64", true, NORN_F32, NORN_I64, 0.03125, 2}, {"float16", false, NORN_F32, NORN_F32, 0.5, 1},
        {"words", false, NORN_I64, NORN_I64, 1, 2},        {"words", true, NORN_F32, NORN_I64, 0.0625, 2}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char path[64];
        double x[4];
        snprintf(path, sizeof path, "sets/%s.npz", c[i].file);
        norn_dataset *ds = open_set(path, NULL, c[i].scaled ? &sixteenth : NULL);
        for (int k = 0; k < 4; k++)
            x[k] = c[i].factor != 0 ? (20 + k) * c[i].factor : (double)((float)(20 + k) / 255.0f);
        assert_int_equal(norn_dataset_dtype(ds), c[i].dtype);
        assert_int_equal(norn_dataset_label_dtype(ds), c[i].label);
        assert_int_equal(norn_dataset_classes(ds), c[i].label == NORN_I64 ? 3 : 0);
        assert_sample(ds, 5, 4, x, c[i].y);
        norn_dataset_close(ds);
    }
    norn_dataset_options two = {.scale = 2}; /* the caller's wins over the archive's */
    norn_dataset *ds = open_set("sets/scaled.npz", NULL, &two);
    assert_sample(ds, 5, 4, (double[]){40, 42, 44, 46}, 2);
    norn_dataset_close(ds);
    ds = open_set("sets/bool.npz", NULL, NULL);
    assert_sample(ds, 5, 4, (double[]){0, 1, 0, 1}, 0);
    assert_int_equal(norn_dataset_classes(ds), 2);
    norn_dataset_close(ds);
}

static void picks_splits(void **state) {
    norn_dataset *ds = open_set("sets/splits.npz", NULL, NULL);
    assert_int_equal(norn_dataset_count(ds), 6);
    norn_dataset_close(ds);
    norn_dataset_options one = {.scale = 1};
    ds = open_set("sets/splits.npz", "train", &one);
    assert_int_equal(norn_dataset_count(ds), 4);
    assert_sample(ds, 0, 4, (double[]){20, 21, 22, 23}, 2);
    assert_sample(ds, 3, 4, (double[]){4, 5, 6, 7}, 1);
    norn_dataset_close(ds);
    ds = open_set("sets/splits.npz", "test", &one);
    assert_int_equal(norn_dataset_count(ds), 2);
    assert_int_equal(norn_dataset_classes(ds), 3); /* of the whole archive */
    assert_sample(ds, 0, 4, (double[]){16, 17, 18, 19}, 1);
    norn_dataset_close(ds);
    ds = open_set("sets/named.npz", NULL, NULL); /* without a split: the training part */
    assert_int_equal(norn_dataset_count(ds), 4);
    assert_int_equal(norn_dataset_label_rank(ds), 0); /* stored as [count,1] */
    norn_dataset_close(ds);
    ds = open_set("sets/named.npz", "test", NULL);
    assert_int_equal(norn_dataset_count(ds), 2);
    assert_sample(ds, 1, 4, (double[]){20, 21, 22, 23}, 2);
    norn_dataset_close(ds);
    FAILS(try_set("sets/splits.npz", "wild", NULL), NORN_ARG,
          "the list of samples: entry 1 is 6 (wanted 0 to 5)");
    FAILS(try_set("sets/splits.npz", "minus", NULL), NORN_ARG, "entry 0 is -1");
    FAILS(try_set("sets/splits.npz", "none", NULL), NORN_SHAPE, "no samples in it");
    FAILS(try_set("sets/splits.npz", "dev", NULL), NORN_ARG,
          "splits.npz: no split 'dev' (wanted members x_dev and y_dev, or dev_idx)");
}

static void labels_keep_their_meaning(void **state) {
    norn_dataset *ds = open_set("sets/maps.npz", NULL, NULL);
    norn_tensor *y;
    assert_int_equal(norn_dataset_label_rank(ds), 1);
    assert_int_equal(norn_dataset_label_dims(ds)[0], 2);
    assert_int_equal(norn_dataset_classes(ds), 4);
    WORKS(norn_dataset_batch(ds, (int64_t[]){2, 0}, 2, NULL, &y));
    assert_shape(y, NORN_I64, 2, (int64_t[]){2, 2});
    static const int64_t wanted[] = {2, 3, 0, 1};
    assert_memory_equal(norni_tensor_data(y), wanted, sizeof wanted);
    norn_tensor_free(y);
    norn_dataset_close(ds);
    ds = open_set("sets/signs.npz", NULL, NULL);
    assert_int_equal(norn_dataset_label_dtype(ds), NORN_I64);
    assert_int_equal(norn_dataset_classes(ds), 0);
    assert_sample(ds, 0, 4, (double[]){0, 1, 2, 3}, -1);
    norn_dataset_close(ds);
}

static void refuses_bad_archives(void **state) {
    FAILS(try_set("sets/bad_counts.npz", NULL, NULL), NORN_SHAPE,
          "bad_counts.npz: samples of shape [6,2,2], labels of shape [5] (wanted the same number first)");
    FAILS(try_set("sets/bad_scale.npz", NULL, NULL), NORN_SHAPE,
          "member 'scale': shape [2] (wanted one number)");
    FAILS(try_set("sets/bad_scale0.npz", NULL, NULL), NORN_ARG,
          "member 'scale': 0 (wanted a finite number other than 0)");
    FAILS(try_set("sets/bad_names.npz", NULL, NULL), NORN_ARG,
          "bad_names.npz: no samples and labels among its members (a, b) (wanted x and y");
    FAILS(try_set("sets/bad_scalar.npz", NULL, NULL), NORN_SHAPE, "samples of shape []");
    FAILS(try_set("sets/bad_empty.npz", NULL, NULL), NORN_SHAPE, "bad_empty.npz: no samples in it");
    FAILS(try_set("npz/bad_crc.npz", NULL, NULL), NORN_ARG, "no samples and labels among its members (a)");
    FAILS(try_set("npz/none.npz", NULL, NULL), NORN_ARG, "among its members (none)");
    norn_dataset_options nan = {.scale = strtod("nan", NULL)}, two = {.channels = 2};
    FAILS(try_set("sets/uint8.npz", NULL, &nan), NORN_ARG, "scale nan (wanted a finite number)");
    FAILS(try_set("sets/uint8.npz", NULL, &two), NORN_ARG, "2 channels (wanted 0, 1, 3 or 4)");
}

static void refuses_what_is_no_data_set(void **state) {
    FAILS(try_set("npy/bool.npy", NULL, NULL), NORN_UNSUPPORTED, "bool.npy: a .npy file holds one array");
    FAILS(try_set("make_files.py", NULL, NULL), NORN_UNSUPPORTED, "no data set by its first bytes");
    FAILS(try_set("nothing", NULL, NULL), NORN_IO, "nothing: cannot open: No such file or directory");
    FAILS(try_set("nothing", "train", NULL), NORN_IO, "nothing:train: cannot open");
    FAILS(try_set("folder/no_classes", NULL, NULL), NORN_ARG,
          "no_classes: neither IDX files nor a folder for each class");
    FAILS(try_set("folder/no_pictures", NULL, NULL), NORN_ARG, "no_pictures/a: no .png among its 1 entries");
    FAILS(try_set("folder", "dev", NULL), NORN_ARG,
          "folder: no split 'dev': neither a folder of that name nor dev-images");
}

static void reads_idx(void **state) {
    norn_dataset *ds = open_set("mnist", NULL, NULL);
    assert_int_equal(norn_dataset_count(ds), 4);
    assert_int_equal(norn_dataset_rank(ds), 2);
    double x[6];
    for (int k = 0; k < 6; k++)
        x[k] = (double)((float)(30 + k) / 255.0f);
    assert_sample(ds, 3, 6, x, 0);
    norn_dataset_close(ds);
    ds = open_set("mnist", "test", NULL);
    assert_int_equal(norn_dataset_count(ds), 2);
    norn_dataset_close(ds);
    norn_dataset_options byte = {.scale = 1};
    ds = open_set("mnist/t10k", NULL, &byte);
    assert_sample(ds, 1, 6, (double[]){50, 51, 52, 53, 54, 55}, 2);
    char *text;
    WORKS(norn_dataset_print(ds, &text));
    assert_non_null(strstr(text, "mnist/t10k: 2 samples, x float[2,3] (uint8 * 1), y int64[], 3 classes"));
    free(text);
    norn_dataset_close(ds);
}

static void reads_folders(void **state) {
    norn_dataset_options byte = {.scale = 1}, grey = {.scale = 1, .channels = 1};
    norn_dataset *ds = open_set("folder", "train", &byte);
    assert_int_equal(norn_dataset_count(ds), 7);
    assert_int_equal(norn_dataset_classes(ds), 3);
    assert_string_equal(norn_dataset_class_name(ds, 0), "1");
    assert_string_equal(norn_dataset_class_name(ds, 1), "2");
    assert_string_equal(norn_dataset_class_name(ds, 2), "10");
    assert_null(norn_dataset_class_name(ds, 3));
    assert_null(norn_dataset_class_name(ds, -1));
    assert_int_equal(norn_dataset_rank(ds), 3);
    static const int64_t dims[] = {3, 2, 3};
    assert_memory_equal(norn_dataset_dims(ds), dims, sizeof dims);
    double x[18]; /* class 2, file 10.png, the third of its class: planes of red, green, blue */
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 6; i++)
            x[6 * c + i] = 50 + 40 + 3 * i + c;
    assert_sample(ds, 4, 18, x, 1);
    norn_dataset_close(ds);
    ds = open_set("folder/train", NULL, &grey);
    assert_int_equal(norn_dataset_dims(ds)[0], 1);
    assert_sample(ds, 0, 6, (double[]){1, 4, 7, 10, 13, 16}, 0);
    norn_dataset_close(ds);
    FAILS(try_set("folder/sizes", NULL, NULL), NORN_SHAPE,
          "b/p.png: 3x3 pixels, 3 channels (wanted 3x2 and 3, as ");
    FAILS(try_set("folder/channels", NULL, NULL), NORN_SHAPE,
          "b/p.png: 3x2 pixels, 1 channels (wanted 3x2 and 3, as ");
    norn_dataset_options three = {.channels = 3};
    WORKS(try_set("folder/channels", NULL, &three));
}

static void takes_the_shape_of_a_model(void **state) {
    norn_dataset *ds = open_set("mnist", NULL, NULL); /* [2,3] */
    norn_tensor *x;
    WORKS(norn_dataset_shape(ds, 3, (int64_t[]){1, 2, 3}));
    WORKS(norn_dataset_batch(ds, (int64_t[]){0, 3, 3}, 3, &x, NULL));
    assert_shape(x, NORN_F32, 4, (int64_t[]){3, 1, 2, 3});
    norn_tensor_free(x);
    WORKS(norn_dataset_shape(ds, 1, (int64_t[]){6}));
    WORKS(norn_dataset_shape(ds, 3, (int64_t[]){2, 3, 1}));
    FAILS(norn_dataset_shape(ds, 3, (int64_t[]){1, 28, 28}), NORN_SHAPE,
          "mnist: a sample is [2,3,1], 6 elements (wanted [1,28,28], 784)");
    FAILS(norn_dataset_shape(ds, 2, (int64_t[]){3, 2}), NORN_SHAPE,
          "a sample is [2,3] (wanted [3,2]): the axes are in another order");
    FAILS(norn_dataset_shape(ds, 2, (int64_t[]){-2, -3}), NORN_SHAPE, "(wanted [-2,-3], -1)");
    FAILS(norn_dataset_shape(ds, 8, (int64_t[]){1, 1, 1, 1, 1, 1, 2, 3}), NORN_SHAPE,
          "8 axes (wanted at most 7)");
    assert_int_equal(norn_dataset_rank(ds), 3); /* the last that worked */
    norn_dataset_close(ds);
}

static void copies_batches(void **state) {
    norn_dataset *ds = open_set("sets/words.npz", NULL, NULL);
    norn_tensor *x, *y;
    WORKS(norn_dataset_batch(ds, (int64_t[]){5, 0, 5}, 3, &x, &y));
    assert_shape(x, NORN_I64, 3, (int64_t[]){3, 2, 2});
    assert_shape(y, NORN_I64, 1, (int64_t[]){3});
    static const int64_t wx[] = {20, 21, 22, 23, 0, 1, 2, 3, 20, 21, 22, 23}, wy[] = {2, 0, 2};
    assert_memory_equal(norni_tensor_data(x), wx, sizeof wx);
    assert_memory_equal(norni_tensor_data(y), wy, sizeof wy);
    norn_tensor_free(x);
    norn_tensor_free(y);
    WORKS(norn_dataset_batch(ds, NULL, 0, &x, &y));
    assert_shape(x, NORN_I64, 3, (int64_t[]){0, 2, 2});
    norn_tensor_free(x);
    norn_tensor_free(y);
    FAILS(norn_dataset_batch(ds, (int64_t[]){0, 6}, 2, &x, &y), NORN_ARG,
          "words.npz: sample 6 (wanted 0 to 5)");
    assert_null(x);
    assert_null(y);
    FAILS(norn_dataset_batch(ds, (int64_t[]){-1}, 1, &x, &y), NORN_ARG, "sample -1");
    FAILS(norn_dataset_batch(ds, NULL, -1, &x, &y), NORN_ARG, "-1 samples");
    norn_dataset_close(ds);
}

static void opens_tensors(void **state) {
    norn_tensor *x, *y;
    norn_dataset *ds;
    int64_t dims[] = {4, 2}, n[] = {4};
    WORKS(norni_tensor_host(NORN_F32, 2, dims, &x));
    WORKS(norni_tensor_host(NORN_U8, 1, n, &y));
    norni_set_double(NORN_F32, norni_tensor_data(x), 3, 2.5);
    norni_set_int(NORN_U8, norni_tensor_data(y), 1, 7);
    WORKS(norn_dataset_open_tensors(x, y, NULL, &ds));
    norn_tensor_free(x); /* the data set keeps what it needs */
    norn_tensor_free(y);
    assert_int_equal(norn_dataset_classes(ds), 8);
    assert_sample(ds, 1, 2, (double[]){0, 2.5}, 7);
    norn_dataset_close(ds);
    WORKS(norni_tensor_host(NORN_F32, 2, dims, &x));
    WORKS(norni_tensor_host(NORN_F8E4M3FN, 0, NULL, &y));
    FAILS(norn_dataset_open_tensors(x, y, NULL, &ds), NORN_SHAPE,
          "data set: samples of shape [4,2], labels of shape []");
    norn_tensor_free(y);
    WORKS(norni_tensor_host(NORN_U64, 1, n, &y));
    ((uint64_t *)norni_tensor_data(y))[2] = 1ull << 63;
    FAILS(norn_dataset_open_tensors(x, y, NULL, &ds), NORN_ARG,
          "a label: 9223372036854775808 (wanted below 2^63)");
    FAILS(norn_dataset_open_tensors(y, y, NULL, &ds), NORN_ARG, "(wanted below 2^63)");
    norn_tensor_free(y);
    WORKS(norni_tensor_host(NORN_I4, 1, n, &y));
    FAILS(norn_dataset_open_tensors(x, y, NULL, &ds), NORN_UNSUPPORTED, "data set: labels of type int4");
    norn_tensor_free(x);
    norn_tensor_free(y);
}

static void assert_permutation(const int64_t *order, int64_t n) {
    bool seen[2000] = {false};
    for (int64_t i = 0; i < n; i++) {
        assert_true(order[i] >= 0 && order[i] < n && !seen[order[i]]);
        seen[order[i]] = true;
    }
}

static norn_dataset *counted(int64_t n) {
    norn_tensor *x, *y;
    norn_dataset *ds;
    WORKS(norni_tensor_host(NORN_F32, 1, &n, &x));
    WORKS(norni_tensor_host(NORN_I64, 1, &n, &y));
    for (int64_t i = 0; i < n; i++) {
        norni_set_double(NORN_F32, norni_tensor_data(x), i, (double)i);
        norni_set_int(NORN_I64, norni_tensor_data(y), i, i);
    }
    WORKS(norn_dataset_open_tensors(x, y, NULL, &ds));
    norn_tensor_free(x);
    norn_tensor_free(y);
    return ds;
}

static void shuffles_by_seed_and_epoch(void **state) {
    enum { N = 1000 };
    int64_t a[N], b[N];
    norn_dataset *ds = counted(N), *small = counted(8), *one = counted(1);
    norn_dataset_shuffle(ds, 42, 0, a);
    assert_permutation(a, N);
    norn_dataset_shuffle(ds, 42, 0, b);
    assert_memory_equal(a, b, sizeof a);
    norn_dataset_shuffle(ds, 42, 1, b);
    assert_permutation(b, N);
    assert_memory_not_equal(a, b, sizeof a);
    norn_dataset_shuffle(ds, 43, 0, b);
    assert_memory_not_equal(a, b, sizeof a);
    norn_dataset_shuffle(ds, 42 + (1ull << 32), 0, b); /* all 64 bits count */
    assert_memory_not_equal(a, b, sizeof a);
    norn_dataset_shuffle(one, 1, 1, b);
    assert_int_equal(b[0], 0);
    /* The order is part of the interface: a run must be repeatable with later versions. These come from a
     * separate implementation of Philox and Fisher-Yates, in tests/data/make_shuffle.py. */
    static const int64_t wanted[2][8] = {{0, 2, 6, 3, 4, 7, 1, 5}, {3, 2, 6, 1, 0, 5, 4, 7}};
    norn_dataset_shuffle(small, 0, 0, b);
    assert_memory_equal(b, wanted[0], sizeof wanted[0]);
    norn_dataset_shuffle(small, 0x0123456789abcdef, 3, b);
    assert_memory_equal(b, wanted[1], sizeof wanted[1]);
    /* Each element lands everywhere equally often: 8 x 8 cells of 500 expected. */
    long cell[8][8] = {{0}};
    for (uint32_t epoch = 0; epoch < 4000; epoch++) {
        norn_dataset_shuffle(small, 5, epoch, b);
        for (int i = 0; i < 8; i++)
            cell[i][b[i]]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 8; k++)
            chi2 += (double)(cell[i][k] - 500) * (double)(cell[i][k] - 500) / 500.0;
    /* The 99.9th percentile: rows and columns have fixed sums, so it is 8/7 of chi squared with 49 degrees.
     */
    assert_true(chi2 < 97.5);
    norn_dataset_close(ds);
    norn_dataset_close(small);
    norn_dataset_close(one);
}

static void splits_in_two(void **state) {
    enum { N = 100 };
    norn_dataset *ds = counted(N), *a, *b, *c, *d;
    int64_t seen[N] = {0}, order[N];
    WORKS(norn_dataset_split(ds, 30, 7, &a, &b));
    WORKS(norn_dataset_split(ds, 30, 7, &c, &d));
    norn_dataset_close(ds); /* the parts live on */
    assert_int_equal(norn_dataset_count(a), 30);
    assert_int_equal(norn_dataset_count(b), 70);
    assert_int_equal(norn_dataset_classes(a), N);
    for (int64_t i = 0; i < N; i++)
        order[i] = i;
    norn_dataset *part[] = {a, b, c};
    for (int p = 0; p < 3; p++) {
        norn_tensor *y;
        int64_t n = norn_dataset_count(part[p]);
        WORKS(norn_dataset_batch(part[p], order, n, NULL, &y));
        for (int64_t i = 0; i < n; i++)
            seen[norni_get_int(NORN_I64, norni_tensor_data(y), i)] += p == 2 ? 10 : 1;
        norn_tensor_free(y);
    }
    int both = 0;
    for (int i = 0; i < N; i++) {
        assert_true(seen[i] == 1 || seen[i] == 11); /* in one of the parts */
        both += seen[i] == 11;
    }
    assert_int_equal(both, 30);
    norn_dataset_close(c);
    norn_dataset_close(d);
    norn_dataset *e; /* a part of a part */
    WORKS(norn_dataset_subset(a, (int64_t[]){29, 29}, 2, &e));
    norn_tensor *x, *y;
    WORKS(norn_dataset_batch(e, (int64_t[]){1}, 1, &x, NULL));
    WORKS(norn_dataset_batch(a, (int64_t[]){29}, 1, &y, NULL));
    assert_true(norni_tensor_equal(x, y));
    norn_tensor_free(x);
    norn_tensor_free(y);
    FAILS(norn_dataset_split(a, 0, 7, &c, &d), NORN_ARG, "a first part of 0 samples (wanted 1 to 29");
    assert_null(c);
    FAILS(norn_dataset_split(a, 30, 7, &c, &d), NORN_ARG, "a first part of 30 samples");
    FAILS(norn_dataset_subset(a, NULL, 0, &c), NORN_ARG, "a part without samples");
    FAILS(norn_dataset_subset(a, (int64_t[]){30}, 1, &c), NORN_ARG, "sample 30");
    for (int p = 0; p < 2; p++)
        norn_dataset_close(part[p]);
    norn_dataset_close(e);
}

static void parts_keep_names_and_shape(void **state) {
    norn_dataset *ds = open_set("folder", "train", NULL), *a, *b;
    WORKS(norn_dataset_shape(ds, 1, (int64_t[]){18}));
    WORKS(norn_dataset_split(ds, 2, 1, &a, &b));
    norn_dataset_close(ds);
    assert_string_equal(norn_dataset_class_name(a, 2), "10");
    assert_int_equal(norn_dataset_rank(b), 1);
    norn_dataset_close(a);
    norn_dataset_close(b);
}

static norn_status use(const char *spec) {
    norn_dataset *ds, *a = NULL, *b = NULL;
    norn_tensor *x = NULL, *y = NULL;
    char *text = NULL;
    NORNI_TRY(norn_dataset_open(spec, NULL, &ds));
    norn_status s = norn_dataset_split(ds, 1, 0, &a, &b);
    if (s == NORN_OK)
        s = norn_dataset_batch(a, (int64_t[]){0}, 1, &x, &y);
    if (s == NORN_OK)
        s = norn_dataset_print(b, &text);
    norn_tensor_free(x);
    norn_tensor_free(y);
    norni_free(text);
    norn_dataset_close(a);
    norn_dataset_close(b);
    norn_dataset_close(ds);
    return s;
}

static norn_status npz_starved(void) {
    return use(spec_of("sets/splits.npz", "train"));
}
static norn_status idx_starved(void) {
    return use(spec_of("mnist", NULL));
}
static norn_status png_starved(void) {
    return use(spec_of("folder", "train"));
}

static void survives_without_memory(void **state) {
    starve(npz_starved);
    starve(idx_starved);
    starve(png_starved);
}

static norn_status read_damaged(const unsigned char *data, size_t bytes) {
    norn_dataset *ds;
    norn_tensor *x, *y;
    put_file(temporary_path("damaged.npz"), data, bytes);
    norn_status s = norn_dataset_open(temporary_path("damaged.npz"), NULL, &ds);
    if (s == NORN_OK) {
        int64_t last = norn_dataset_count(ds) - 1;
        WORKS(norn_dataset_batch(ds, &last, 1, &x, &y));
        norn_tensor_free(x);
        norn_tensor_free(y);
    }
    norn_dataset_close(ds);
    return s;
}

static void stands_damage(void **state) {
    size_t n;
    unsigned char *data = get_file(data_path("sets/scaled.npz"), &n);
    damage(data, n, 2000, true, read_damaged);
    norni_free(data);
}

static void reads_the_digits(void **state) {
    const char *names[] = {"data/digits/digits.npz", "data/digits", "data/digits/digits_png"};
    norn_dataset *ds, *idx;
    norn_tensor *x, *y, *u, *v;
    if (!fixture_path(names[0]) || !fixture_path(names[1]) || !fixture_path(names[2]))
        skip();
    char spec[600];
    norn_dataset_options sixteenth = {.scale = 0.0625};
    snprintf(spec, sizeof spec, "%s:test", fixture_path(names[0]));
    WORKS(norn_dataset_open(spec, &sixteenth, &ds));
    snprintf(spec, sizeof spec, "%s:test", fixture_path(names[1]));
    WORKS(norn_dataset_open(spec, NULL, &idx));
    assert_int_equal(norn_dataset_count(ds), 360);
    assert_int_equal(norn_dataset_count(idx), 360);
    assert_int_equal(norn_dataset_classes(ds), 10);
    int64_t all[360];
    for (int i = 0; i < 360; i++)
        all[i] = i;
    WORKS(norn_dataset_batch(ds, all, 360, &x, &y));
    WORKS(norn_dataset_batch(idx, all, 360, &u, &v));
    assert_true(norni_tensor_equal(y, v));
    for (int i = 0; i < 360 * 64; i++) { /* the IDX file holds 255 v / 16 rounded down */
        double d = norni_get_double(NORN_F32, norni_tensor_data(x), i) -
                   norni_get_double(NORN_F32, norni_tensor_data(u), i);
        assert_true(d > -1e-6 && d < 1 / 255.0);
    }
    norn_tensor_free(x);
    norn_tensor_free(y);
    norn_tensor_free(u);
    norn_tensor_free(v);
    norn_dataset_close(ds);
    norn_dataset_close(idx);
    WORKS(norn_dataset_open(fixture_path(names[2]), NULL, &ds));
    assert_int_equal(norn_dataset_count(ds), 100);
    assert_int_equal(norn_dataset_classes(ds), 10);
    assert_int_equal(norn_dataset_dims(ds)[0], 1);
    norn_dataset_close(ds);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_by_the_rule),
        cmocka_unit_test(picks_splits),
        cmocka_unit_test(labels_keep_their_meaning),
        cmocka_unit_test(refuses_bad_archives),
        cmocka_unit_test(refuses_what_is_no_data_set),
        cmocka_unit_test(reads_idx),
        cmocka_unit_test(reads_folders),
        cmocka_unit_test(takes_the_shape_of_a_model),
        cmocka_unit_test(copies_batches),
        cmocka_unit_test(opens_tensors),
        cmocka_unit_test(shuffles_by_seed_and_epoch),
        cmocka_unit_test(splits_in_two),
        cmocka_unit_test(parts_keep_names_and_shape),
        cmocka_unit_test(survives_without_memory),
        cmocka_unit_test(stands_damage),
        cmocka_unit_test(reads_the_digits),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
