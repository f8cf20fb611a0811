/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"
#include <errno.h>
#include <signal.h>

static void assert_content(const char *path, const char *text) {
    size_t n;
    unsigned char *data = get_file(path, &n);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(data, text, n + 1); /* with the zero behind */
    norni_free(data);
}

static void maps_a_file(void **state) {
    norni_map m;
    put_file(temporary_path("map"), "hello", 5);
    WORKS(norni_map_open(temporary_path("map"), &m));
    assert_int_equal(m.bytes, 5);
    assert_memory_equal(m.data, "hello", 5);
    norni_map_close(&m);
    assert_null(m.data);
    norni_map_close(&m);
    put_file(temporary_path("empty"), "", 0);
    WORKS(norni_map_open(temporary_path("empty"), &m));
    assert_non_null(m.data);
    assert_int_equal(m.bytes, 0);
    norni_map_close(&m);
}

static void refuses_what_is_no_file(void **state) {
    norni_map m;
    unsigned char *data;
    size_t n;
    const char *dir = temporary_path("d"), *pipe_path = temporary_path("pipe");
    FAILS(norni_map_open("/no/such/file", &m), NORN_IO,
          "/no/such/file: cannot open: No such file or directory");
    FAILS(norni_file_read("", 10, &data, &n), NORN_IO, "cannot open");
    assert_int_equal(mkdir(dir, 0700), 0);
    FAILS(norni_map_open(dir, &m), NORN_IO, "is a directory (wanted a file)");
    FAILS(norni_file_read(dir, 10, &data, &n), NORN_IO, "is a directory");
    assert_null(data);
    FAILS(norni_file_read("/dev/zero", 10, &data, &n), NORN_IO, "is a character device");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    FAILS(norni_map_open(pipe_path, &m), NORN_IO, "is a pipe"); /* and does not wait for a writer */
}

static void reads_within_a_limit(void **state) {
    unsigned char *data;
    size_t n;
    put_file(temporary_path("five"), "12345", 5);
    assert_content(temporary_path("five"), "12345");
    FAILS(norni_file_read(temporary_path("five"), 4, &data, &n), NORN_IO, "5 bytes (wanted at most 4)");
    assert_null(data);
    char buf[8];
    int fd;
    uint64_t bytes;
    WORKS(norni_file_open(temporary_path("five"), &fd, &bytes));
    assert_int_equal(bytes, 5);
    FAILS(norni_fd_read(fd, buf, 8), NORN_IO, "3 bytes are missing");
    close(fd);
}

static size_t entries(void) {
    norni_names names;
    WORKS(norni_dir_list(temporary, &names));
    size_t n = names.n;
    norni_names_free(&names);
    return n;
}

static void writes_whole_files(void **state) {
    const char *path = temporary_path("out");
    norni_piece two[] = {{"abc", 3}, {"", 0}, {"defg", 4}};
    WORKS(norni_file_write(path, two, 3));
    assert_content(path, "abcdefg");
    assert_int_equal(chmod(path, 0640), 0);
    size_t before = entries();
    WORKS(norni_file_write(path, two, 1)); /* over an old one, whose permissions stay */
    assert_content(path, "abc");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(entries(), before);
    WORKS(norni_file_write(temporary_path("nothing"), NULL, 0));
    assert_content(temporary_path("nothing"), "");
}

static void follows_links(void **state) {
    const char *real = temporary_path("real"), *link = temporary_path("link");
    norni_piece p = {"new", 3};
    put_file(real, "old", 3);
    assert_int_equal(symlink(real, link), 0);
    WORKS(norni_file_write(link, &p, 1));
    assert_content(real, "new");
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(unlink(real), 0);
    FAILS(norni_file_write(link, &p, 1), NORN_IO, "is a symbolic link to a file that does not exist");
}

static void leaves_the_old_file_after_a_failure(void **state) {
    const char *path = temporary_path("kept");
    put_file(path, "old", 3);
    size_t before = entries();
    /* A limit on the size of files stops the write in its midst. */
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = 100;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    static char big[1000];
    norni_piece p = {big, sizeof big};
    norn_status s = norni_file_write(path, &p, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(s, NORN_IO);
    assert_non_null(strstr(norn_error(), "kept: cannot write: File too large"));
    assert_content(path, "old");
    assert_int_equal(entries(), before);
}

static void does_not_replace_devices(void **state) {
    norni_piece p = {"x", 1};
    char *target;
    struct stat st;
    WORKS(norni_file_write("/dev/null", &p, 1));
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    if (norni_path_exists("/dev/full"))
        FAILS(norni_file_write("/dev/full", &p, 1), NORN_IO, "/dev/full: cannot write: No space left");
    FAILS(norni_file_write(temporary, &p, 1), NORN_IO, "is a directory");
    FAILS(norni_file_write("/no/such/folder/f", &p, 1), NORN_IO,
          "/no/such/folder/f: cannot make a temporary file");
    FAILS(norni_file_write("", &p, 1), NORN_IO, "empty path");
    FAILS(norni_file_target("/dev/null", &target), NORN_IO, "is a character device");
    assert_null(target);
}

static void compares_naturally(void **state) {
    static const char *const order[] = {"",    "01x", "1x",    "2.png", "10.png", "a",   "a2",
                                        "a2b", "a10", "a10b1", "b",     "b001",   "b01", "b1"};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
            int c = norni_natural_compare(order[i], order[k]);
            if ((c < 0) != (i < k) || (c > 0) != (i > k))
                fail_msg("'%s' and '%s' compare as %d", order[i], order[k], c);
        }
    assert_true(norni_natural_compare("99999999999999999999998", "99999999999999999999999") < 0);
}

static void lists_a_folder(void **state) {
    norni_names names;
    assert_int_equal(mkdir(temporary_path("list"), 0700), 0);
    WORKS(norni_dir_list(temporary_path("list"), &names));
    assert_int_equal(names.n, 0);
    norni_names_free(&names);
    put_file(temporary_path("list/10"), "", 0);
    put_file(temporary_path("list/9"), "", 0);
    put_file(temporary_path("list/.hidden"), "", 0);
    WORKS(norni_dir_list(temporary_path("list"), &names));
    assert_int_equal(names.n, 2);
    assert_string_equal(names.v[0], "9");
    assert_string_equal(names.v[1], "10");
    norni_names_free(&names);
    unlink(temporary_path("list/.hidden"));
    FAILS(norni_dir_list(temporary_path("none"), &names), NORN_IO,
          "none: cannot list: No such file or directory");
}

static void takes_paths_apart(void **state) {
    static const struct {
        const char *path, *dir, *base, *ext;
    } c[] = {{"a/b.png", "a", "b.png", ".png"}, {"b.tar.gz", ".", "b.tar.gz", ".gz"}, {"/x", "/", "x", ""},
             {"a.b/c", "a.b", "c", ""},         {"a/.hidden", "a", ".hidden", ""},    {"", ".", "", ""}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char *dir = norni_path_dir(c[i].path);
        assert_string_equal(dir, c[i].dir);
        assert_string_equal(norni_path_base(c[i].path), c[i].base);
        assert_string_equal(norni_path_ext(c[i].path), c[i].ext);
        norni_free(dir);
    }
    static const char *const joined[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < sizeof joined / sizeof *joined; i++) {
        char *p = norni_path_join(joined[i][0], joined[i][1]);
        assert_string_equal(p, joined[i][2]);
        norni_free(p);
    }
    assert_true(norni_path_has_ext("a/B.PnG", ".png"));
    assert_true(norni_path_has_ext("x.idx.gz", ".idx.gz"));
    assert_false(norni_path_has_ext("a/.png", ".png"));
    assert_false(norni_path_has_ext("png", ".png"));
}

static norn_status write_starved(void) {
    norni_piece p = {"new", 3};
    return norni_file_write(temporary_path("starved"), &p, 1);
}

static norn_status list_starved(void) {
    norni_names names;
    norn_status s = norni_dir_list(data_path("npy"), &names);
    norni_names_free(&names);
    return s;
}

static norn_status read_starved(void) {
    unsigned char *data;
    size_t n;
    norn_status s = norni_file_read(data_path("npy/bool.npy"), 1000, &data, &n);
    norni_free(data);
    return s;
}

static void survives_without_memory(void **state) {
    size_t before = entries();
    starve(write_starved);
    assert_int_equal(entries(), before + 1);
    starve(list_starved);
    starve(read_starved);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_a_file),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(reads_within_a_limit),
        cmocka_unit_test(writes_whole_files),
        cmocka_unit_test(follows_links),
        cmocka_unit_test(leaves_the_old_file_after_a_failure),
        cmocka_unit_test(does_not_replace_devices),
        cmocka_unit_test(compares_naturally),
        cmocka_unit_test(lists_a_folder),
        cmocka_unit_test(takes_paths_apart),
        cmocka_unit_test(survives_without_memory),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
